//! What a client sends, turned into messages.
//!
//! Knows no socket and keeps no input: the caller holds the bytes and hands in the same ones again,
//! with more behind them, until a frame is whole. Then it is handed out where it lies, unmasked in
//! place. Only the pieces of a fragmented message are copied, into a buffer that lives as long as it.
//!
//! Invariant: events and failure are a function of the byte stream, however it is cut, and no byte is
//! unmasked twice.

use super::header::{HEADER_BYTES_MAX, Header};
use super::mask::{unmask, unmask_aligned};
use super::short::{self, Short};
use super::utf8::Utf8;
use super::{CloseCode, Failure, Opcode};
use crate::config::Limits;

/// The reading side of one connection.
///
/// ```
/// use fleeting::Limits;
/// use fleeting::ws::{Decoder, Event, Step};
///
/// // RFC 6455 §5.7: a masked "Hello".
/// let mut input = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// let mut decoder = Decoder::new();
/// let limits = Limits::default();
/// assert_eq!(decoder.next(&mut input[..8], &limits), Step::Incomplete);
/// assert_eq!(
///     decoder.next(&mut input, &limits),
///     Step::Event { event: Event::Text("Hello"), consumed: 11 },
/// );
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    place: Place,
    /// The fragmented message under way, from the end of its first frame on; then, for the time that the
    /// last event borrows it, the whole one. Most connections never have any: it is behind a pointer.
    gathered: Option<Box<Gathered>>,
    /// Where in a character the text so far ends; a whole text leaves nothing behind.
    utf8: Utf8,
    /// Messages may come compressed.
    deflate: bool,
}

/// What is at the start of the input.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    /// A header that has not been read.
    #[default]
    Header,
    /// A frame whose header has been read and found right.
    Frame {
        header: Header,
        /// Bytes of its payload that are unmasked (and judged) already.
        seen_bytes: usize,
    },
    /// Nothing that is read any more.
    Failed(Failure),
}

/// What has come of a fragmented message.
#[derive(Debug)]
struct Gathered {
    /// Its first frame said that it is text.
    text: bool,
    /// Its first frame said that it is compressed.
    compressed: bool,
    /// Its last frame is among them.
    whole: bool,
    /// Frames that it has come in.
    fragments: usize,
    /// Their payloads. At most `message_bytes` of capacity.
    payload: Vec<u8>,
}

/// What became of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'m> {
    /// More is needed. All of the input must come again, as it is now, with more behind it.
    Incomplete,
    /// Something is there.
    Event {
        /// What it is.
        event: Event<'m>,
        /// Bytes at the start of the input that are done with once the event is handled.
        consumed: usize,
    },
    /// The connection is to be failed: a Close frame with [`Failure::close_code`], then the end.
    /// Nothing more is read.
    Failed(Failure),
}

/// What a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'m> {
    /// A text message.
    Text(&'m str),
    /// A binary message.
    Binary(&'m [u8]),
    /// A message as permessage-deflate has it (RFC 7692 §7.2.2): to be inflated, and a text to be judged
    /// then. It comes only to who has agreed to it: [`Decoder::with_deflate`].
    Compressed {
        /// Whether it is a text.
        text: bool,
        /// The whole message, as it came.
        payload: &'m [u8],
    },
    /// A ping; a pong with the same payload is due.
    Ping(&'m [u8]),
    /// A pong.
    Pong(&'m [u8]),
    /// A Close frame. Nothing after it is to be read (RFC 6455 §5.5.1).
    Close {
        /// Its code, if it has one.
        code: Option<CloseCode>,
        /// Its reason; empty without a code.
        reason: &'m str,
    },
    /// A piece of a message was put by; the message is not whole yet.
    Fragment,
}

impl Decoder {
    /// A connection's state right after the handshake.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// The same, after a handshake that has agreed on permessage-deflate.
    pub fn with_deflate() -> Decoder {
        Decoder { deflate: true, ..Decoder::default() }
    }

    /// Looks for the next event in `input`, all the bytes not consumed yet.
    ///
    /// Payload that has arrived is unmasked in place at once, text is judged at once. After
    /// [`Step::Incomplete`] the same bytes must come again, changed as they are. After a message the
    /// next call, even with an empty input, gives back what its fragments were gathered in.
    #[inline(never)]
    pub fn next<'m>(&'m mut self, input: &'m mut [u8], limits: &Limits) -> Step<'m> {
        match self.short_frame(input, limits) {
            Some(short) => match self.open(input, short) {
                Some((event, consumed)) => Step::Event { event, consumed },
                None => Step::Failed(Failure::TextInvalid),
            },
            None => self.long(input, limits),
        }
    }

    /// As [`next`](Decoder::next), but only if a short message in one frame comes next and is all there;
    /// else `None`, and `next` has the word.
    ///
    /// It is for the loop around it: what is returned here stays in registers.
    #[inline(always)]
    pub fn short<'m>(&mut self, input: &'m mut [u8], limits: &Limits) -> Option<(Event<'m>, usize)> {
        let short = self.short_frame(input, limits)?;
        self.open(input, short)
    }

    #[inline(always)]
    fn short_frame(&mut self, input: &[u8], limits: &Limits) -> Option<Short> {
        if !matches!(self.place, Place::Header) || self.gathered.is_some() {
            return None;
        }
        let short = short::read(input)?;
        if short.is_within(limits) { Some(short) } else { None }
    }

    /// Unmasks a short message; `None` if it says that it is text and is not.
    #[inline(always)]
    fn open<'m>(&mut self, input: &'m mut [u8], short: Short) -> Option<(Event<'m>, usize)> {
        let consumed = short::HEADER_BYTES + short.payload_bytes;
        let frame = &mut input[..consumed];
        if short.opcode == Opcode::Binary {
            let payload = &mut frame[short::HEADER_BYTES..];
            unmask(payload, short.mask, 0);
            return Some((Event::Binary(payload), consumed));
        }
        match std::str::from_utf8(unmask_aligned(frame, short::HEADER_BYTES, short.mask)) {
            Ok(text) => Some((Event::Text(text), consumed)),
            Err(_) => {
                self.fail(Failure::TextInvalid);
                None
            }
        }
    }

    /// Any other frame, or a part of one.
    fn long<'m>(&'m mut self, input: &'m mut [u8], limits: &Limits) -> Step<'m> {
        self.release();
        let (frame, seen_bytes) = match self.place {
            Place::Frame { header, seen_bytes } => (header, seen_bytes),
            Place::Header => match self.read(input, limits) {
                Ok(Some(frame)) => (frame, 0),
                Ok(None) => return Step::Incomplete,
                Err(failure) => return self.fail(failure),
            },
            Place::Failed(failure) => return Step::Failed(failure),
        };

        let whole = input.len() >= frame.frame_bytes();
        // A control frame is short, and its payload is judged as a whole.
        if !whole && frame.opcode.is_control() {
            return self.wait(frame, seen_bytes);
        }
        let end = input.len().min(frame.frame_bytes());
        let Some(payload) = input.get_mut(usize::from(frame.header_bytes)..end) else {
            return self.wait(frame, seen_bytes);
        };
        let Some(fresh) = payload.get_mut(seen_bytes..) else { return self.wait(frame, seen_bytes) };
        unmask(fresh, frame.mask, seen_bytes);

        if frame.opcode.is_control() {
            self.place = Place::Header;
            let event = match frame.opcode {
                Opcode::Ping => Event::Ping(payload),
                Opcode::Pong => Event::Pong(payload),
                _ => match close(payload) {
                    Ok(event) => event,
                    Err(failure) => return self.fail(failure),
                },
            };
            return Step::Event { event, consumed: end };
        }

        let text = self.gathered.as_ref().map_or(frame.opcode == Opcode::Text, |gathered| gathered.text);
        let compressed = self.deflate && self.is_compressed(&frame);
        // RFC 6455 §8.1. While some of a text is missing, what has come is judged, so that it fails where
        // it goes wrong. Once it is all there it is judged as a whole, by what makes a `str` of it: most
        // texts come at once and are looked at once, the others twice. What is compressed is no text yet.
        if whole && frame.fin {
            self.utf8 = Utf8::default();
        } else if text && !compressed && self.utf8.feed(fresh).is_err() {
            return self.fail(Failure::TextInvalid);
        }
        if !whole {
            return self.wait(frame, payload.len());
        }
        self.place = Place::Header;

        let message: &'m [u8] = if frame.fin && self.gathered.is_none() {
            payload
        } else {
            let gathered = self.gathered.get_or_insert_with(|| Gathered::new(text, compressed));
            gathered.add(payload, limits);
            gathered.whole = frame.fin;
            if !frame.fin {
                return Step::Event { event: Event::Fragment, consumed: end };
            }
            &gathered.payload
        };
        if compressed {
            return Step::Event { event: Event::Compressed { text, payload: message }, consumed: end };
        }
        if !text {
            return Step::Event { event: Event::Binary(message), consumed: end };
        }
        match std::str::from_utf8(message) {
            Ok(text) => Step::Event { event: Event::Text(text), consumed: end },
            Err(_) => {
                self.place = Place::Failed(Failure::TextInvalid);
                Step::Failed(Failure::TextInvalid)
            }
        }
    }

    /// How long the input has to be for the frame at its start to be whole; before the header has been
    /// read, the most that a header may need.
    ///
    /// After [`Step::Incomplete`] it is more than the input had. It is for sizing a buffer, whose growth
    /// should still follow the bytes that arrive: what a header claims costs the peer nothing.
    pub fn wants(&self) -> usize {
        match self.place {
            Place::Frame { header, .. } => header.frame_bytes(),
            Place::Header | Place::Failed(_) => HEADER_BYTES_MAX,
        }
    }

    /// Whether a fragmented message is under way: its first frame has come, and its last has not.
    pub fn in_message(&self) -> bool {
        self.gathered.as_ref().is_some_and(|gathered| !gathered.whole)
    }

    /// Bytes that the connection holds for a fragmented message's payload.
    pub fn gathered_bytes(&self) -> usize {
        self.gathered.as_ref().map_or(0, |gathered| gathered.payload.capacity())
    }

    /// Gives back the memory of the last fragmented message, if none is under way.
    ///
    /// [`next`](Decoder::next) does it too; this is for when there is nothing to read.
    pub fn release(&mut self) {
        if self.gathered.as_ref().is_some_and(|gathered| gathered.whole) {
            self.gathered = None;
        }
    }

    /// Reads a header and sees whether its frame may come now.
    fn read(&self, input: &[u8], limits: &Limits) -> Result<Option<Header>, Failure> {
        let most = if self.deflate { with_overhead(limits.frame_bytes) } else { limits.frame_bytes };
        let Some(frame) = Header::read(input, most, self.deflate)? else { return Ok(None) };
        if !frame.opcode.is_control() {
            // RFC 6455 §5.4: the frames of a message come one after the other, only control frames between.
            let (fragments, bytes) = match (&self.gathered, frame.opcode) {
                (Some(gathered), Opcode::Continuation) => (gathered.fragments, gathered.payload.len()),
                (Some(_), _) => return Err(Failure::MessageUnfinished),
                (None, Opcode::Continuation) => return Err(Failure::NothingToContinue),
                (None, _) => (0, 0),
            };
            let compressed = self.gathered.as_ref().map_or(frame.compressed, |gathered| gathered.compressed);
            let message_bytes =
                if compressed { with_overhead(limits.message_bytes) } else { limits.message_bytes };
            if frame.payload_bytes > limits.frame_bytes && !compressed {
                return Err(Failure::FrameTooBig);
            }
            // Before any memory is taken for it; `bytes` is within the limit, the difference is exact.
            if frame.payload_bytes > message_bytes.saturating_sub(bytes) {
                return Err(Failure::MessageTooBig);
            }
            if fragments >= limits.fragments {
                return Err(Failure::TooManyFragments);
            }
        }
        Ok(Some(frame))
    }

    /// Whether `frame` belongs to a compressed message.
    #[cold]
    fn is_compressed(&self, frame: &Header) -> bool {
        self.gathered.as_ref().map_or(frame.compressed, |gathered| gathered.compressed)
    }

    fn wait(&mut self, header: Header, seen_bytes: usize) -> Step<'static> {
        self.place = Place::Frame { header, seen_bytes };
        Step::Incomplete
    }

    fn fail(&mut self, failure: Failure) -> Step<'static> {
        self.place = Place::Failed(failure);
        self.gathered = None;
        Step::Failed(failure)
    }
}

/// What as many bytes may become when they cannot be compressed: stored blocks have a header each (RFC 1951
/// §3.2.4), fixed codes nine bits for some eight. A message within the limit is to pass, compressed or not.
pub(crate) fn with_overhead(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 8 + 64)
}

impl Gathered {
    fn new(text: bool, compressed: bool) -> Box<Gathered> {
        Box::new(Gathered { text, compressed, whole: false, fragments: 0, payload: Vec::new() })
    }

    /// Puts a piece by. Makes room for as much again as has come, but not past the limit.
    fn add(&mut self, piece: &[u8], limits: &Limits) {
        let needed = self.payload.len() + piece.len();
        if needed > self.payload.capacity() {
            let doubled = needed.saturating_mul(2).min(limits.message_bytes);
            self.payload.reserve_exact(doubled.max(needed) - self.payload.len());
        }
        self.payload.extend_from_slice(piece);
        self.fragments += 1;
    }
}

/// RFC 6455 §5.5.1: nothing, or a code and a reason.
fn close(payload: &[u8]) -> Result<Event<'_>, Failure> {
    if payload.is_empty() {
        return Ok(Event::Close { code: None, reason: "" });
    }
    let (code, reason) = payload.split_first_chunk().ok_or(Failure::CloseTooShort)?;
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(Failure::CloseCodeInvalid)?;
    let reason = std::str::from_utf8(reason).map_err(|_| Failure::CloseReasonInvalid)?;
    Ok(Event::Close { code: Some(code), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting_testkit::ws::frames::{frame, masked};

    fn limits(message_bytes: usize, frame_bytes: usize, fragments: usize) -> Limits {
        Limits { message_bytes, frame_bytes, fragments, ..Limits::default() }
    }

    #[test]
    fn small() {
        assert!(size_of::<Decoder>() <= 40, "{}", size_of::<Decoder>());
    }

    #[test]
    fn a_claim_takes_no_memory() {
        let limits = limits(1 << 30, 1 << 30, 10);
        let mut decoder = Decoder::new();
        let mut input = *b"\x02\xff\0\0\0\0\x20\0\0\0mask";
        assert_eq!(decoder.next(&mut input, &limits), Step::Incomplete);
        assert_eq!(decoder.gathered_bytes(), 0);
        assert_eq!(decoder.wants(), (512 << 20) + 14);
    }

    #[test]
    fn the_buffer_of_fragments_stays_within_the_limit_and_goes() {
        let limits = limits(1000, 1000, 100);
        let mut decoder = Decoder::new();
        for index in 0..10 {
            let opcode = if index == 0 { 0x02 } else { 0x00 };
            let mut input = masked(&[frame(opcode, &[7; 100])]);
            let step = decoder.next(&mut input, &limits);
            assert_eq!(step, Step::Event { event: Event::Fragment, consumed: 106 });
            assert!(decoder.gathered_bytes() <= 1000);
        }
        let mut input = masked(&[frame(0x80, b"")]);
        let step = decoder.next(&mut input, &limits);
        assert_eq!(step, Step::Event { event: Event::Binary(&[7; 1000]), consumed: 6 });
        assert_eq!(decoder.next(&mut [], &limits), Step::Incomplete);
        assert_eq!(decoder.gathered_bytes(), 0);

        // It goes with a failure, too.
        let mut input = masked(&[frame(0x02, &[7; 100])]);
        assert!(matches!(decoder.next(&mut input, &limits), Step::Event { .. }));
        let mut input = masked(&[frame(0x83, b"")]);
        assert_eq!(decoder.next(&mut input, &limits), Step::Failed(Failure::ReservedOpcode));
        assert_eq!(decoder.gathered_bytes(), 0);
    }

    #[test]
    fn one_frame_is_not_copied() {
        let mut input = masked(&[frame(0x81, b"where it lies")]);
        let payload = input[6..].as_ptr();
        let mut decoder = Decoder::new();
        let Step::Event { event: Event::Text(text), consumed: 19 } =
            decoder.next(&mut input, &Limits::default())
        else {
            panic!("no text")
        };
        assert_eq!(text, "where it lies");
        // Or a few bytes before, where its header was.
        assert!((0..=6).contains(&(payload as usize - text.as_ptr() as usize)));
    }

    #[test]
    fn a_failure_is_final() {
        let limits = Limits::default();
        let mut decoder = Decoder::new();
        let mut input = masked(&[frame(0x83, b"")]);
        assert_eq!(decoder.next(&mut input, &limits), Step::Failed(Failure::ReservedOpcode));
        let mut input = masked(&[frame(0x81, b"fine")]);
        assert_eq!(decoder.next(&mut input, &limits), Step::Failed(Failure::ReservedOpcode));
    }

    #[test]
    fn shrunk_input_is_no_panic() {
        let limits = Limits::default();
        let mut decoder = Decoder::new();
        let mut input = masked(&[frame(0x81, b"some text")]);
        assert_eq!(decoder.next(&mut input[..12], &limits), Step::Incomplete);
        for len in 0..12 {
            assert_eq!(decoder.next(&mut input[..len], &limits), Step::Incomplete);
        }
    }

    #[test]
    fn a_byte_at_a_time_nothing_is_looked_at_twice() {
        // What the decoder has seen is overwritten with bytes that no text has. If it judged them again
        // it would fail, if it unmasked them again they would change.
        let limits = Limits::default();
        let text = "aé€😀".repeat(6554);
        let mut input = masked(&[frame(0x81, text.as_bytes())]);
        assert!(text.len() > 65535);
        let mut decoder = Decoder::new();
        for len in 1..input.len() {
            assert_eq!(decoder.next(&mut input[..len], &limits), Step::Incomplete);
            if len > 14 {
                assert_eq!(input[len - 1], text.as_bytes()[len - 15]);
                input[len - 1] = 0xff;
            }
        }
        let last = input.len() - 1;
        assert!(input[14..last].iter().all(|byte| *byte == 0xff));
        input[14..last].copy_from_slice(&text.as_bytes()[..last - 14]);
        let consumed = input.len();
        assert_eq!(decoder.next(&mut input, &limits), Step::Event { event: Event::Text(&text), consumed });
    }

    #[test]
    fn close_payloads() {
        fn check(payload: &[u8], expected: Result<(Option<u16>, &str), Failure>) {
            let found = match close(payload) {
                Ok(Event::Close { code, reason }) => Ok((code.map(CloseCode::get), reason)),
                Ok(other) => panic!("{other:?}"),
                Err(failure) => Err(failure),
            };
            assert_eq!(found, expected, "{payload:x?}");
        }
        check(b"", Ok((None, "")));
        check(b"\x03\xe8", Ok((Some(1000), "")));
        check(b"\x0f\xa0bye", Ok((Some(4000), "bye")));
        check(b"\x03", Err(Failure::CloseTooShort));
        check(b"\x03\xed", Err(Failure::CloseCodeInvalid));
        check(b"\x00\x00", Err(Failure::CloseCodeInvalid));
        check(b"\x03\xe8\xff", Err(Failure::CloseReasonInvalid));
        check(b"\x03\xe8\xe2\x82", Err(Failure::CloseReasonInvalid));
    }
}
