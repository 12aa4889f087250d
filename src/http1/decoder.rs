//! The reading side of a connection: finds heads and contents in the bytes that arrive.
//!
//! It stores no bytes and borrows none between calls: the caller keeps them and passes them again. It does
//! not know when or from where they arrive. Its invariant: after `Incomplete`, the next input begins with the
//! bytes that it asked the caller to keep, in the same order, and new ones follow.

use super::chunks::{ChunkPiece, Chunks, InPlace};
use super::parse::{self, ParseError, ParsedHead};
use super::scan::{Scan, narrow};
use super::{Awaits, ContentStep, Fields, Framing, Head, HeadStep, PieceStep, Refusal, trailers};
use crate::arena::Arena;
use crate::config::Limits;

/// How many empty lines are ignored before a request line (RFC 9112 §2.2 asks for at least one).
const BLANK_LINES_MAX: u8 = 2;

/// Reads the requests of one connection.
///
/// The caller passes [`head`](Decoder::head) all bytes that have arrived and are not consumed, and acts on
/// the [`HeadStep`] that comes back. After [`HeadStep::Head`] it does one of four things:
///
/// - [`content`](Decoder::content) returns the content in one piece;
/// - [`stream`](Decoder::stream) and [`piece`](Decoder::piece) return it in pieces as it arrives;
/// - [`discard`](Decoder::discard) skips it, for a request that is answered without it;
/// - the caller closes the connection.
///
/// Until one of these is called the decoder's state is unchanged, and the same bytes give the same head
/// again. The [module](super) has an example with all steps.
///
/// ```
/// use fleeting::http1::{ContentStep, Decoder, HeadStep};
/// use fleeting::{Arena, Limits};
///
/// let (arena, limits) = (Arena::new(4096), Limits::default());
/// let mut decoder = Decoder::new();
/// let mut input = *b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET";
/// let HeadStep::Head { head, rest, .. } = decoder.head(&mut input, &arena, &limits) else { panic!() };
/// assert_eq!(head.target.path(), "/x");
/// let ContentStep::Whole { content, consumed, .. } = decoder.content(head, rest, &arena, &limits) else {
///     panic!()
/// };
/// assert_eq!(content, b"hi");
/// assert_eq!(consumed, 50); // `GET` is the next request's
/// ```
#[derive(Debug)]
pub struct Decoder {
    state: Reading,
}

#[derive(Debug)]
enum Reading {
    /// Before a head or within one.
    Head { scan: Scan, blank_lines: u8 },
    /// The head has been returned; the content has a known length and is incomplete.
    Sized {
        head_len: u32,
        /// Bytes of the head and the content together.
        len: usize,
    },
    /// The head has been returned; the chunks are incomplete. `decoded` bytes of data follow the head.
    Chunked { head_len: u32, decoded: usize, chunks: Chunks },
    /// The head has been returned; all chunks are decoded.
    Decoded {
        head_len: u32,
        trailers_len: u32,
        content_len: usize,
        /// Offset of the trailer section from the end of the head; at least `content_len`.
        trailers_at: usize,
    },
    /// The head has been consumed; `left` bytes of content remain to be returned in pieces.
    StreamSized { left: u64 },
    /// The head has been consumed; chunked content is returned in pieces, of at most `left` more bytes.
    StreamChunked { left: u64, chunks: Chunks },
    /// The request has been answered; `left` bytes of its content are still to be skipped.
    DiscardSized { left: u64 },
    /// The request has been answered; its chunks may take at most `left` more bytes.
    DiscardChunked { left: u64, chunks: Chunks },
    /// The bytes were refused. Nothing more is read.
    Closed(Refusal),
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// Creates a decoder for a connection on which nothing has arrived.
    pub const fn new() -> Decoder {
        Decoder { state: Reading::START }
    }

    /// Returns what the connection waits for after a step was `Incomplete`.
    pub fn awaits(&self) -> Awaits {
        match self.state {
            Reading::Head { scan, .. } if scan.is_new() => Awaits::Request,
            Reading::Head { .. } => Awaits::Head,
            Reading::Sized { .. } | Reading::Chunked { .. } | Reading::Decoded { .. } => Awaits::Content,
            Reading::StreamSized { .. } | Reading::StreamChunked { .. } => Awaits::Content,
            Reading::DiscardSized { .. } | Reading::DiscardChunked { .. } => Awaits::Discard,
            Reading::Closed(_) => Awaits::Close,
        }
    }

    /// Returns whether the connection is between two requests: closing it loses nothing.
    pub fn is_idle(&self) -> bool {
        self.awaits() == Awaits::Request
    }

    /// Returns the length in bytes that the input must reach for the request to be complete, after a step
    /// was `Incomplete`; 0 if that is not known yet.
    pub fn wants(&self) -> usize {
        match self.state {
            Reading::Sized { len, .. } => len,
            _ => 0,
        }
    }

    /// Reads the head of the next request. `input` holds all bytes of the connection that are not consumed.
    ///
    /// The head borrows `input` and `arena`. `limits` must not change within a request.
    #[inline]
    pub fn head<'r>(&mut self, input: &'r mut [u8], arena: &'r Arena, limits: &Limits) -> HeadStep<'r> {
        match &mut self.state {
            Reading::Head { scan, blank_lines }
                if scan.is_new() && !matches!(input.first(), None | Some(b'\r' | b'\n')) =>
            {
                if let Ok(parsed) = parse::head(input, arena, limits) {
                    // Apart from this counter, the state is the start state.
                    *blank_lines = 0;
                    return found_head(parsed, input, arena, false);
                }
            }
            _ => {}
        }
        self.slow_head(input, arena, limits)
    }

    /// Reads everything but a complete and valid head that arrived in one piece.
    #[cold]
    fn slow_head<'r>(&mut self, input: &'r mut [u8], arena: &'r Arena, limits: &Limits) -> HeadStep<'r> {
        let filled = input.len();
        match &mut self.state {
            Reading::Closed(refusal) => HeadStep::Refused(*refusal),
            _ if filled == 0 => HeadStep::Incomplete { filled: 0 },
            Reading::Head { scan, blank_lines } => {
                if scan.is_new() {
                    match input {
                        [b'\n', ..] => return self.refuse(Refusal::BareLf),
                        [b'\r'] => return HeadStep::Incomplete { filled },
                        [b'\r', b'\n', ..] if *blank_lines < BLANK_LINES_MAX => {
                            *blank_lines += 1;
                            return HeadStep::Skip(2);
                        }
                        [b'\r', b'\n', ..] => return self.refuse(Refusal::BlankLines),
                        [b'\r', ..] => return self.refuse(Refusal::BareCr),
                        _ => {}
                    }
                }
                match scan.run(input, parse::bounds(limits)) {
                    Ok(Some(len)) => self.parse_scanned(len, input, arena, limits, false),
                    Ok(None) => HeadStep::Incomplete { filled },
                    Err(refusal) => self.refuse(refusal),
                }
            }
            Reading::Sized { len, .. } if filled < *len => HeadStep::Incomplete { filled },
            Reading::Sized { head_len, .. } | Reading::Decoded { head_len, .. } => {
                let len = *head_len as usize;
                self.parse_scanned(len, input, arena, limits, true)
            }
            Reading::Chunked { head_len, decoded, chunks } => {
                let head_len = *head_len as usize;
                match chunks.decode_in_place(*decoded, &mut input[head_len..], limits) {
                    Ok(InPlace::Incomplete { decoded: now, filled }) => {
                        *decoded = now;
                        HeadStep::Incomplete { filled: head_len + filled }
                    }
                    Ok(InPlace::Whole { content_len, trailers_at, trailers_len }) => {
                        self.state = Reading::Decoded {
                            head_len: narrow(head_len),
                            trailers_len: narrow(trailers_len),
                            content_len,
                            trailers_at,
                        };
                        self.parse_scanned(head_len, input, arena, limits, true)
                    }
                    Err(refusal) => self.refuse(refusal),
                }
            }
            // The caller reads these with `piece`.
            Reading::StreamSized { .. } | Reading::StreamChunked { .. } => HeadStep::Incomplete { filled },
            Reading::DiscardSized { left } => {
                let here = usize::try_from(*left).map_or(filled, |left| left.min(filled));
                *left -= here as u64;
                if *left == 0 {
                    self.state = Reading::START;
                }
                HeadStep::Skip(here)
            }
            Reading::DiscardChunked { left, chunks } => {
                let window = usize::try_from(*left).map_or(filled, |left| left.min(filled));
                match chunks.skip(&mut input[..window], *left, limits) {
                    Ok((skipped, Some(trailers_len))) => {
                        let section = &input[skipped..skipped + trailers_len];
                        if let Err(refusal) = trailers::parse(section, arena, limits) {
                            self.state = Reading::Closed(refusal);
                            return HeadStep::Broken(refusal);
                        }
                        self.state = Reading::START;
                        HeadStep::Skip(skipped + trailers_len)
                    }
                    Ok((_, None)) if window as u64 == *left => {
                        self.state = Reading::Closed(Refusal::ContentTooLarge);
                        HeadStep::Broken(Refusal::ContentTooLarge)
                    }
                    Ok((skipped, None)) => {
                        *left -= skipped as u64;
                        if skipped > 0 { HeadStep::Skip(skipped) } else { HeadStep::Incomplete { filled } }
                    }
                    Err(refusal) => {
                        self.state = Reading::Closed(refusal);
                        HeadStep::Broken(refusal)
                    }
                }
            }
        }
    }

    /// Reads the content of `head`. Both arguments come from the [`HeadStep::Head`] that was just returned:
    /// `rest` is what follows the head in the input.
    ///
    /// `consumed` and `filled` in the result count from the start of the input of [`head`](Decoder::head).
    /// Content longer than `limits.body_bytes` is refused as soon as its length is known, before memory is
    /// taken for it.
    #[inline]
    pub fn content<'r>(
        &mut self,
        head: &Head<'_>,
        rest: &'r mut [u8],
        arena: &'r Arena,
        limits: &Limits,
    ) -> ContentStep<'r> {
        if head.framing.is_empty() {
            debug_assert!(self.is_idle(), "the decoder is at its start after a head without content");
            return ContentStep::Whole { content: &[], trailers: Fields::default(), consumed: head.len };
        }
        match head.framing {
            Framing::None => ContentStep::Incomplete { filled: head.len + rest.len() },
            Framing::Length(length) => self.sized(head.len, length, rest, limits),
            Framing::Chunked => self.chunked(head.len, rest, arena, limits),
        }
    }

    #[inline(never)]
    fn sized<'r>(
        &mut self,
        head_len: usize,
        length: u64,
        rest: &'r mut [u8],
        limits: &Limits,
    ) -> ContentStep<'r> {
        let length = match usize::try_from(length) {
            Ok(length) if length <= limits.body_bytes && length <= usize::MAX - head_len => length,
            _ => {
                self.state = Reading::Closed(Refusal::ContentTooLarge);
                return ContentStep::Refused(Refusal::ContentTooLarge);
            }
        };
        let len = head_len + length;
        let rest = &*rest;
        match rest.get(..length) {
            Some(content) => {
                self.state = Reading::START;
                ContentStep::Whole { content, trailers: Fields::default(), consumed: len }
            }
            None => {
                self.state = Reading::Sized { head_len: narrow(head_len), len };
                ContentStep::Incomplete { filled: head_len + rest.len() }
            }
        }
    }

    #[inline(never)]
    fn chunked<'r>(
        &mut self,
        head_len: usize,
        rest: &'r mut [u8],
        arena: &'r Arena,
        limits: &Limits,
    ) -> ContentStep<'r> {
        let (content_len, trailers_at, trailers_len) = match self.state {
            Reading::Decoded { content_len, trailers_at, trailers_len, .. } => {
                (content_len, trailers_at, trailers_len as usize)
            }
            _ => {
                let mut chunks = Chunks::new();
                match chunks.decode_in_place(0, rest, limits) {
                    Ok(InPlace::Whole { content_len, trailers_at, trailers_len }) => {
                        (content_len, trailers_at, trailers_len)
                    }
                    Ok(InPlace::Incomplete { decoded, filled }) => {
                        self.state = Reading::Chunked { head_len: narrow(head_len), decoded, chunks };
                        return ContentStep::Incomplete { filled: head_len + filled };
                    }
                    Err(refusal) => {
                        self.state = Reading::Closed(refusal);
                        return ContentStep::Refused(refusal);
                    }
                }
            }
        };
        let rest = &*rest;
        match trailers::parse(&rest[trailers_at..trailers_at + trailers_len], arena, limits) {
            Ok(trailers) => {
                self.state = Reading::START;
                let consumed = head_len + trailers_at + trailers_len;
                ContentStep::Whole { content: &rest[..content_len], trailers, consumed }
            }
            Err(refusal) => {
                self.state = Reading::Closed(refusal);
                ContentStep::Refused(refusal)
            }
        }
    }

    /// Skips the content of `head`, for a request that is answered without it. Called instead of
    /// [`content`](Decoder::content), for a head that is not resumed.
    ///
    /// At most `bound` bytes are skipped, including the framing of chunks. Returns `false` if the content is
    /// known to be longer: the connection must then be closed. After `true` the caller consumes the
    /// `head.len` bytes of the head and continues with [`head`](Decoder::head).
    ///
    /// Close the connection too if the client waits for `100 Continue`: it may never send the content.
    pub fn discard(&mut self, head: &Head<'_>, bound: u64) -> bool {
        self.state = match (&self.state, head.framing) {
            (Reading::Head { .. }, Framing::None | Framing::Length(0)) => Reading::START,
            (Reading::Head { .. }, Framing::Length(left)) if left <= bound => Reading::DiscardSized { left },
            (Reading::Head { .. }, Framing::Chunked) if bound > 0 => {
                Reading::DiscardChunked { left: bound, chunks: Chunks::new() }
            }
            _ => Reading::Closed(Refusal::ContentTooLarge),
        };
        !matches!(self.state, Reading::Closed(_))
    }

    /// Begins to read the content of `head` in pieces, of at most `limit` bytes in total. Called instead of
    /// [`content`](Decoder::content), for a head that is not resumed. `limits.body_bytes` does not apply.
    ///
    /// The caller consumes the `head.len` bytes of the head and continues with [`piece`](Decoder::piece),
    /// even if there is no content.
    ///
    /// # Errors
    /// Returns [`Refusal::ContentTooLarge`] if the content is known to be longer than `limit`: answer with
    /// its status and close.
    ///
    /// ```
    /// use fleeting::http1::{Decoder, HeadStep, PieceStep};
    /// use fleeting::{Arena, Limits};
    ///
    /// let (arena, limits) = (Arena::new(4096), Limits::default());
    /// let mut decoder = Decoder::new();
    /// let mut input = *b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    /// let HeadStep::Head { head, .. } = decoder.head(&mut input, &arena, &limits) else { panic!() };
    /// decoder.stream(head, 1 << 30)?;
    /// let mut at = head.len;
    /// let mut content = Vec::new();
    /// loop {
    ///     match decoder.piece(&input[at..], &arena, &limits) {
    ///         PieceStep::Piece { bytes, consumed } => {
    ///             content.extend_from_slice(bytes);
    ///             at += consumed;
    ///         }
    ///         PieceStep::End { .. } => break,
    ///         PieceStep::Incomplete { .. } => panic!("here a server reads more"),
    ///         PieceStep::Refused(refusal) => return Err(refusal),
    ///     }
    /// }
    /// assert_eq!(content, b"hi");
    /// # Ok::<(), fleeting::http1::Refusal>(())
    /// ```
    pub fn stream(&mut self, head: &Head<'_>, limit: u64) -> Result<(), Refusal> {
        self.state = match head.framing {
            Framing::None => Reading::StreamSized { left: 0 },
            Framing::Length(left) if left <= limit => Reading::StreamSized { left },
            Framing::Length(_) => {
                self.state = Reading::Closed(Refusal::ContentTooLarge);
                return Err(Refusal::ContentTooLarge);
            }
            Framing::Chunked => Reading::StreamChunked { left: limit, chunks: Chunks::new() },
        };
        Ok(())
    }

    /// Returns the next piece of [streamed](Decoder::stream) content. `input` holds all bytes that have
    /// arrived and are not consumed; it may be empty.
    pub fn piece<'r>(&mut self, input: &'r [u8], arena: &'r Arena, limits: &Limits) -> PieceStep<'r> {
        let refusal = match &mut self.state {
            Reading::StreamSized { left: 0 } => {
                self.state = Reading::START;
                return PieceStep::End { trailers: Fields::default(), consumed: 0 };
            }
            Reading::StreamSized { left } if !input.is_empty() => {
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= here as u64;
                return PieceStep::Piece { bytes: &input[..here], consumed: here };
            }
            Reading::StreamChunked { left, chunks } => match chunks.next_piece(input, *left, limits) {
                Ok(ChunkPiece::Data { from, to }) => {
                    *left -= (to - from) as u64;
                    return PieceStep::Piece { bytes: &input[from..to], consumed: to };
                }
                Ok(ChunkPiece::Incomplete { consumed }) => return PieceStep::Incomplete { consumed },
                Ok(ChunkPiece::Trailers { at, len }) => {
                    match trailers::parse(&input[at..at + len], arena, limits) {
                        Ok(trailers) => {
                            self.state = Reading::START;
                            return PieceStep::End { trailers, consumed: at + len };
                        }
                        Err(refusal) => refusal,
                    }
                }
                Err(refusal) => refusal,
            },
            Reading::Closed(refusal) => *refusal,
            // Nothing has arrived, or no content is streamed.
            _ => return PieceStep::Incomplete { consumed: 0 },
        };
        self.state = Reading::Closed(refusal);
        PieceStep::Refused(refusal)
    }

    /// Skips the rest of streamed content, for a request that is answered without it. `bound` and the result
    /// are those of [`discard`](Decoder::discard).
    pub fn discard_rest(&mut self, bound: u64) -> bool {
        self.state = match self.state {
            Reading::StreamSized { left: 0 } => Reading::START,
            Reading::StreamSized { left } if left <= bound => Reading::DiscardSized { left },
            Reading::StreamChunked { chunks, .. } if bound > 0 => {
                Reading::DiscardChunked { left: bound, chunks }
            }
            _ => Reading::Closed(Refusal::ContentTooLarge),
        };
        !matches!(self.state, Reading::Closed(_))
    }

    /// Parses a head whose length is known, either from a scan or from the first parse.
    fn parse_scanned<'r>(
        &mut self,
        len: usize,
        input: &'r mut [u8],
        arena: &'r Arena,
        limits: &Limits,
        resumed: bool,
    ) -> HeadStep<'r> {
        match parse::head(&input[..len], arena, limits) {
            Ok(parsed) => {
                if !resumed {
                    self.state = Reading::START;
                }
                found_head(parsed, input, arena, resumed)
            }
            Err(ParseError::Refused(refusal)) => self.refuse(refusal),
            // The scan has found the head's end, so the head is complete.
            Err(ParseError::NeedsScan) => self.refuse(Refusal::FieldLine),
        }
    }

    fn refuse<'r>(&mut self, refusal: Refusal) -> HeadStep<'r> {
        self.state = Reading::Closed(refusal);
        HeadStep::Refused(refusal)
    }
}

impl Reading {
    const START: Reading = Reading::Head { scan: Scan::HEAD, blank_lines: 0 };
}

#[inline(always)]
fn found_head<'r>(
    parsed: ParsedHead<'r>,
    input: &'r mut [u8],
    arena: &'r Arena,
    resumed: bool,
) -> HeadStep<'r> {
    let (front, rest) = input.split_at_mut(parsed.len);
    // The head is written into the arena once and never moved.
    HeadStep::Head { head: arena.alloc(parsed.into_head(front)), rest, resumed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::scan::tests::scanned;

    #[test]
    fn a_decoder_is_small_and_reports_what_it_awaits() {
        assert!(size_of::<Decoder>() <= 32, "{} bytes", size_of::<Decoder>());
        let (arena, limits) = (Arena::new(4096), Limits::default());
        let mut decoder = Decoder::new();
        let mut awaits = |stream: &str, expected| {
            decoder = Decoder::new();
            let mut input = stream.as_bytes().to_vec();
            if let HeadStep::Head { head, rest, .. } = decoder.head(&mut input, &arena, &limits) {
                decoder.content(head, rest, &arena, &limits);
            }
            assert_eq!(decoder.awaits(), expected, "{stream:?}");
            assert_eq!(decoder.is_idle(), expected == Awaits::Request);
        };
        awaits("", Awaits::Request);
        awaits("\r\n", Awaits::Request);
        awaits("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Awaits::Request);
        awaits("G", Awaits::Head);
        awaits("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na", Awaits::Content);
        awaits("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2", Awaits::Content);
        awaits("\n", Awaits::Close);
    }

    #[test]
    fn a_head_that_arrives_byte_by_byte_is_scanned_once() {
        let (mut arena, limits) = (Arena::new(4096), Limits::default());
        let mut stream = String::from("GET / HTTP/1.1\r\nHost: a\r\n");
        while stream.len() < limits.head_bytes - 200 {
            stream.push_str(&format!("X-{}: {}\r\n", stream.len(), "y".repeat(180)));
        }
        stream.push_str("\r\n");
        let mut input = stream.into_bytes();
        let before = scanned();
        let mut decoder = Decoder::new();
        for end in 1..input.len() {
            let step = decoder.head(&mut input[..end], &arena, &limits);
            assert!(matches!(step, HeadStep::Incomplete { filled } if filled == end));
            arena.reset();
        }
        assert!(matches!(decoder.head(&mut input, &arena, &limits), HeadStep::Head { .. }));
        let work = scanned() - before;
        assert!(work <= input.len(), "{work} bytes scanned for a head of {}", input.len());
    }
}
