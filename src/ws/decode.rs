//! Decodes a client's bytes into messages.
//!
//! It knows no socket and keeps no input. The caller holds the bytes and passes the same ones again, with more
//! behind them, until a frame is complete. The event then borrows the payload from the input, unmasked in place.
//! Only the fragments of a message are copied, into a buffer that lives as long as the message.
//!
//! Its invariant: events and failures depend on the byte stream alone, however it is cut, and no byte is unmasked
//! twice.

use super::compression::with_overhead;
use super::header::{HEADER_BYTES_MAX, Header};
use super::mask::{unmask, unmask_aligned, unmask_short};
use super::reassembly::Reassembly;
use super::short::{self, Short};
use super::{CloseCode, Failure, Opcode};
use crate::buffer::{Memory, NoMemory};
use crate::config::Limits;
use crate::utf8::{self, Utf8};
use std::sync::Arc;

/// The receiving side of one connection.
///
/// ```
/// use fleeting::Limits;
/// use fleeting::ws::{Decoder, Event, Step};
///
/// // RFC 6455 §5.7: a masked "Hello", which arrives in two reads.
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
    state: State,
    /// The fragmented message under way, from the end of its first frame until its last event has been
    /// handled. Boxed, because most connections never receive one.
    reassembly: Option<Box<Reassembly>>,
    /// The unfinished character at the end of the text so far.
    utf8: Utf8,
    /// Messages may be compressed.
    deflate: bool,
}

/// The kind of bytes at the start of the input.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// A header that has not been read yet.
    #[default]
    Header,
    /// A frame whose header has been read and is valid.
    Payload {
        header: Header,
        /// Bytes of its payload that have been unmasked and validated.
        unmasked_bytes: usize,
    },
    /// Bytes that are ignored, because the connection has failed.
    Failed(Failure),
}

/// The outcome of [`Decoder::next`].
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'m> {
    /// More bytes are needed. The caller must pass all of the input again, as it is now, followed by the bytes that
    /// arrive.
    Incomplete,
    /// An event is complete.
    Event {
        /// The event. It borrows the input or the decoder.
        event: Event<'m>,
        /// Bytes at the start of the input that the caller drops once it has handled the event.
        consumed: usize,
    },
    /// The peer broke a rule. The caller sends a Close frame with [`Failure::close_code`] and ends the
    /// connection. Nothing more is read.
    Failed(Failure),
}

/// What a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'m> {
    /// A text message.
    Text(&'m str),
    /// A binary message.
    Binary(&'m [u8]),
    /// A message compressed with permessage-deflate (RFC 7692 §7.2.2). The caller inflates it, and checks that
    /// a text is UTF-8. Only a decoder made by [`Decoder::with_deflate`] returns it.
    Compressed {
        /// Whether the message is text.
        text: bool,
        /// The compressed payload of the whole message.
        payload: &'m [u8],
    },
    /// A ping. The caller answers with a pong of the same payload.
    Ping(&'m [u8]),
    /// A pong.
    Pong(&'m [u8]),
    /// A Close frame. The caller must not read anything after it (RFC 6455 §5.5.1).
    Close {
        /// The code, if there is one.
        code: Option<CloseCode>,
        /// The reason; empty if there is no code.
        reason: &'m str,
    },
    /// A fragment was stored. The message is not complete yet.
    Fragment,
}

impl Decoder {
    /// Makes a decoder for a connection right after its handshake.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Makes a decoder for a connection whose handshake negotiated permessage-deflate.
    pub fn with_deflate() -> Decoder {
        Decoder { deflate: true, ..Decoder::default() }
    }

    /// Decodes the next event of `input`, which holds all bytes that are not consumed yet.
    ///
    /// Payload is unmasked in place as soon as it arrives, and text is validated at once. After
    /// [`Step::Incomplete`] the caller must pass the same, now partly unmasked, bytes again. After a fragmented
    /// message the next call frees its buffer, even if the input is empty.
    ///
    /// After [`Step::Failed`] every call returns the same failure.
    #[inline(never)]
    pub fn next<'m>(&'m mut self, input: &'m mut [u8], limits: &Limits) -> Step<'m> {
        if let Some(short) = self.whole_frame(input, limits, short::read) {
            return whole(self.open_short(input, short));
        }
        if let Some(medium) = self.whole_frame(input, limits, short::read_medium) {
            return whole(self.open_medium(input, medium));
        }
        self.next_any(input, limits)
    }

    /// Decodes the next event if it is a complete message in one frame of at most 125 bytes. Otherwise returns
    /// `None`, and the caller calls [`next`](Decoder::next).
    ///
    /// It is inlined into the caller's loop, so that its result stays in registers.
    #[inline(always)]
    pub fn short<'m>(&mut self, input: &'m mut [u8], limits: &Limits) -> Option<(Event<'m>, usize)> {
        self.short_below(input, short::below(limits))
    }

    /// The same for a payload of fewer bytes than `below`, which [`short_below`](super::short_below) returns: a caller
    /// with many messages compares them with one number instead of three limits.
    #[inline(always)]
    pub(crate) fn short_below<'m>(
        &mut self,
        input: &'m mut [u8],
        below: usize,
    ) -> Option<(Event<'m>, usize)> {
        if !self.is_between_messages() {
            return None;
        }
        let short = short::read_below(input, below)?;
        self.open_short(input, short)
    }

    /// Returns what `read` finds at the start of `input`, if a message may begin there and the limits allow it.
    #[inline(always)]
    fn whole_frame(
        &self,
        input: &[u8],
        limits: &Limits,
        read: impl Fn(&[u8]) -> Option<Short>,
    ) -> Option<Short> {
        if !self.is_between_messages() {
            return None;
        }
        let frame = read(input)?;
        if frame.is_within(limits) { Some(frame) } else { None }
    }

    /// Returns whether a message may begin at the next byte.
    #[inline(always)]
    fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Header) && self.reassembly.is_none()
    }

    /// Unmasks a short message. Returns `None` if it is text but not UTF-8.
    #[inline(always)]
    fn open_short<'m>(&mut self, input: &'m mut [u8], short: Short) -> Option<(Event<'m>, usize)> {
        let consumed = short::HEADER_BYTES + short.payload_bytes;
        let frame = &mut input[..consumed];
        if short.opcode == Opcode::Binary {
            let payload = &mut frame[short::HEADER_BYTES..];
            unmask_short(payload, short.mask);
            return Some((Event::Binary(payload), consumed));
        }
        self.whole_text(unmask_aligned(frame, short::HEADER_BYTES, short.mask), consumed)
    }

    /// Unmasks a medium message. Returns `None` if it is text but not UTF-8.
    fn open_medium<'m>(&mut self, input: &'m mut [u8], medium: Short) -> Option<(Event<'m>, usize)> {
        let consumed = short::MEDIUM_HEADER_BYTES + medium.payload_bytes;
        let payload = &mut input[short::MEDIUM_HEADER_BYTES..consumed];
        unmask(payload, medium.mask, 0);
        if medium.opcode == Opcode::Binary {
            return Some((Event::Binary(payload), consumed));
        }
        self.whole_text(payload, consumed)
    }

    #[inline(always)]
    fn whole_text<'m>(&mut self, payload: &'m [u8], consumed: usize) -> Option<(Event<'m>, usize)> {
        match utf8::text(payload) {
            Ok(text) => Some((Event::Text(text), consumed)),
            Err(_) => {
                self.fail(Failure::TextInvalid);
                None
            }
        }
    }

    /// Decodes a frame that is not a short message, or a part of such a frame.
    fn next_any<'m>(&'m mut self, input: &'m mut [u8], limits: &Limits) -> Step<'m> {
        self.release();
        let (frame, unmasked_bytes) = match self.state {
            State::Payload { header, unmasked_bytes } => (header, unmasked_bytes),
            State::Header => match self.read_header(input, limits) {
                Ok(Some(frame)) => (frame, 0),
                Ok(None) => return Step::Incomplete,
                Err(failure) => return self.fail(failure),
            },
            State::Failed(failure) => return Step::Failed(failure),
        };

        let is_whole = input.len() >= frame.frame_bytes();
        // A control frame is short: wait until its payload is complete.
        if !is_whole && frame.opcode.is_control() {
            return self.incomplete(frame, unmasked_bytes);
        }
        let end = input.len().min(frame.frame_bytes());
        let Some(payload) = input.get_mut(usize::from(frame.header_bytes)..end) else {
            return self.incomplete(frame, unmasked_bytes);
        };
        let Some(fresh) = payload.get_mut(unmasked_bytes..) else {
            return self.incomplete(frame, unmasked_bytes);
        };
        unmask(fresh, frame.mask, unmasked_bytes);

        if frame.opcode.is_control() {
            self.state = State::Header;
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

        let text =
            self.reassembly.as_ref().map_or(frame.opcode == Opcode::Text, |reassembly| reassembly.text);
        let compressed = self.deflate && self.is_compressed(&frame);
        // RFC 6455 §8.1. A partial text is validated as it arrives, so that it fails at its first wrong byte. A
        // complete text is validated by `utf8::text` below: most texts arrive complete and are checked once, the
        // others twice. A compressed text is checked after it is inflated.
        if is_whole && frame.fin {
            self.utf8 = Utf8::default();
        } else if text && !compressed && self.utf8.feed(fresh).is_err() {
            return self.fail(Failure::TextInvalid);
        }
        if !is_whole {
            return self.incomplete(frame, payload.len());
        }
        self.state = State::Header;

        let message: &'m [u8] = if frame.fin && self.reassembly.is_none() {
            payload
        } else {
            if let Err(NoMemory) = self.reassemble(payload, frame.fin, text, compressed, limits) {
                self.state = State::Failed(Failure::NoMemory);
                return Step::Failed(Failure::NoMemory);
            }
            if !frame.fin {
                return Step::Event { event: Event::Fragment, consumed: end };
            }
            self.reassembly.as_ref().map_or(&[], |reassembly| &reassembly.payload)
        };
        if compressed {
            return Step::Event { event: Event::Compressed { text, payload: message }, consumed: end };
        }
        if !text {
            return Step::Event { event: Event::Binary(message), consumed: end };
        }
        match utf8::text(message) {
            Ok(text) => Step::Event { event: Event::Text(text), consumed: end },
            Err(_) => {
                self.state = State::Failed(Failure::TextInvalid);
                Step::Failed(Failure::TextInvalid)
            }
        }
    }

    /// Adds a fragment to the message under way.
    #[inline(never)]
    fn reassemble(
        &mut self,
        fragment: &[u8],
        fin: bool,
        text: bool,
        compressed: bool,
        limits: &Limits,
    ) -> Result<(), NoMemory> {
        let reassembly = self.reassembly.get_or_insert_with(|| Reassembly::new(text, compressed));
        if let Err(error) = reassembly.add(fragment, limits) {
            reassembly.payload = Vec::new();
            return Err(error);
        }
        reassembly.complete = fin;
        Ok(())
    }

    /// Returns the number of input bytes that the frame at its start needs to be complete. Before the header has been
    /// read, this is the largest size of a header.
    ///
    /// After [`Step::Incomplete`] it is more than the length of the input. A caller can size its buffer by it,
    /// but should let the buffer grow with the bytes that arrive: claiming a large size costs the peer nothing.
    pub fn wants(&self) -> usize {
        match self.state {
            State::Payload { header, .. } => header.frame_bytes(),
            State::Header | State::Failed(_) => HEADER_BYTES_MAX,
        }
    }

    /// Returns whether a fragmented message is under way: its first frame has arrived, and its last has not.
    pub fn in_message(&self) -> bool {
        self.reassembly.as_ref().is_some_and(|reassembly| !reassembly.complete)
    }

    /// Returns the number of bytes of payload that have arrived in whole frames of a fragmented message; `None` if no such
    /// message is under way.
    pub(crate) fn fragment_bytes(&self) -> Option<usize> {
        let reassembly = self.reassembly.as_ref().filter(|reassembly| !reassembly.complete);
        reassembly.map(|reassembly| reassembly.payload.len())
    }

    /// Returns the bytes of memory that are held for the payload of a fragmented message.
    pub fn reassembly_bytes(&self) -> usize {
        self.reassembly.as_ref().map_or(0, |reassembly| reassembly.payload.capacity())
    }

    /// Charges the memory of the fragments that have arrived to the server, after [`Event::Fragment`].
    ///
    /// # Errors
    /// The server has no more memory for them.
    #[inline(never)]
    pub(crate) fn charge(&mut self, memory: &Arc<Memory>) -> Result<(), NoMemory> {
        let Some(reassembly) = &mut self.reassembly else { return Ok(()) };
        if reassembly.fragments == 1 {
            reassembly.charge = memory.charge();
        }
        reassembly.charge.set(reassembly.payload.capacity())
    }

    /// Frees the memory of the last fragmented message, unless one is under way.
    ///
    /// [`next`](Decoder::next) does the same. This is for a caller that has nothing to read.
    pub fn release(&mut self) {
        if self.reassembly.as_ref().is_some_and(|reassembly| reassembly.complete) {
            self.free();
        }
    }

    #[cold]
    #[inline(never)]
    fn free(&mut self) {
        self.reassembly = None;
    }

    /// Reads a header and checks that its frame is allowed now.
    fn read_header(&self, input: &[u8], limits: &Limits) -> Result<Option<Header>, Failure> {
        let bytes_max = if self.deflate { with_overhead(limits.frame_bytes) } else { limits.frame_bytes };
        let Some(frame) = Header::read(input, bytes_max, self.deflate)? else { return Ok(None) };
        if !frame.opcode.is_control() {
            // RFC 6455 §5.4: only control frames may come between the frames of a message.
            let (fragments, bytes) = match (&self.reassembly, frame.opcode) {
                (Some(reassembly), Opcode::Continuation) => (reassembly.fragments, reassembly.payload.len()),
                (Some(_), _) => return Err(Failure::MessageUnfinished),
                (None, Opcode::Continuation) => return Err(Failure::NothingToContinue),
                (None, _) => (0, 0),
            };
            let compressed =
                self.reassembly.as_ref().map_or(frame.compressed, |reassembly| reassembly.compressed);
            let message_bytes =
                if compressed { with_overhead(limits.message_bytes) } else { limits.message_bytes };
            if frame.payload_bytes > limits.frame_bytes && !compressed {
                return Err(Failure::FrameTooBig);
            }
            // Checked before any memory is allocated. The difference is exact, because `bytes` is within the limit.
            if frame.payload_bytes > message_bytes.saturating_sub(bytes) {
                return Err(Failure::MessageTooBig);
            }
            if fragments >= limits.fragments {
                return Err(Failure::TooManyFragments);
            }
        }
        Ok(Some(frame))
    }

    /// Returns whether `frame` belongs to a compressed message.
    #[cold]
    fn is_compressed(&self, frame: &Header) -> bool {
        self.reassembly.as_ref().map_or(frame.compressed, |reassembly| reassembly.compressed)
    }

    fn incomplete(&mut self, header: Header, unmasked_bytes: usize) -> Step<'static> {
        self.state = State::Payload { header, unmasked_bytes };
        Step::Incomplete
    }

    #[cold]
    #[inline(never)]
    fn fail(&mut self, failure: Failure) -> Step<'static> {
        self.state = State::Failed(failure);
        self.reassembly = None;
        Step::Failed(failure)
    }
}

/// Returns the step of a whole message; `None` stands for text that is not UTF-8.
#[inline(always)]
fn whole<'m>(opened: Option<(Event<'m>, usize)>) -> Step<'m> {
    match opened {
        Some((event, consumed)) => Step::Event { event, consumed },
        None => Step::Failed(Failure::TextInvalid),
    }
}

/// Reads a Close frame's payload: nothing, or a code and a reason (RFC 6455 §5.5.1).
fn close(payload: &[u8]) -> Result<Event<'_>, Failure> {
    if payload.is_empty() {
        return Ok(Event::Close { code: None, reason: "" });
    }
    let (code, reason) = payload.split_first_chunk().ok_or(Failure::CloseTooShort)?;
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(Failure::CloseCodeInvalid)?;
    let reason = utf8::text(reason).map_err(|_| Failure::CloseReasonInvalid)?;
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
    fn a_decoder_is_small() {
        assert!(size_of::<Decoder>() <= 40, "{}", size_of::<Decoder>());
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let limits = limits(1 << 30, 1 << 30, 10);
        let mut decoder = Decoder::new();
        let mut input = *b"\x02\xff\0\0\0\0\x20\0\0\0mask";
        assert_eq!(decoder.next(&mut input, &limits), Step::Incomplete);
        assert_eq!(decoder.reassembly_bytes(), 0);
        assert_eq!(decoder.wants(), (512 << 20) + 14);
    }

    #[test]
    fn the_reassembly_buffer_stays_within_the_limit_and_is_freed() {
        let limits = limits(1000, 1000, 100);
        let mut decoder = Decoder::new();
        for index in 0..10 {
            let opcode = if index == 0 { 0x02 } else { 0x00 };
            let mut input = masked(&[frame(opcode, &[7; 100])]);
            let step = decoder.next(&mut input, &limits);
            assert_eq!(step, Step::Event { event: Event::Fragment, consumed: 106 });
            assert!(decoder.reassembly_bytes() <= 1000);
        }
        let mut input = masked(&[frame(0x80, b"")]);
        let step = decoder.next(&mut input, &limits);
        assert_eq!(step, Step::Event { event: Event::Binary(&[7; 1000]), consumed: 6 });
        assert_eq!(decoder.next(&mut [], &limits), Step::Incomplete);
        assert_eq!(decoder.reassembly_bytes(), 0);

        // A failure frees the buffer, too.
        let mut input = masked(&[frame(0x02, &[7; 100])]);
        assert!(matches!(decoder.next(&mut input, &limits), Step::Event { .. }));
        let mut input = masked(&[frame(0x83, b"")]);
        assert_eq!(decoder.next(&mut input, &limits), Step::Failed(Failure::ReservedOpcode));
        assert_eq!(decoder.reassembly_bytes(), 0);
    }

    #[test]
    fn a_message_in_one_frame_is_not_copied() {
        let mut input = masked(&[frame(0x81, b"where it lies")]);
        let payload = input[6..].as_ptr();
        let mut decoder = Decoder::new();
        let Step::Event { event: Event::Text(text), consumed: 19 } =
            decoder.next(&mut input, &Limits::default())
        else {
            panic!("no text")
        };
        assert_eq!(text, "where it lies");
        // A short text moves a few bytes down, over its header.
        assert!((0..=6).contains(&(payload as usize - text.as_ptr() as usize)));
    }

    #[test]
    fn a_wrong_byte_fails_a_text_at_every_place_however_it_arrives() {
        fn check(input: &mut [u8], cut: usize, expected: Option<&str>) {
            let limits = Limits::default();
            let (mut decoder, mut from, mut to) = (Decoder::new(), 0, cut);
            loop {
                match decoder.next(&mut input[from..to], &limits) {
                    Step::Incomplete => {
                        assert!(to < input.len());
                        to = input.len();
                    }
                    Step::Event { event: Event::Fragment, consumed } => from += consumed,
                    Step::Event { event: Event::Text(text), .. } => return assert_eq!(Some(text), expected),
                    Step::Failed(Failure::TextInvalid) => return assert_eq!(None, expected),
                    other => panic!("{other:?}"),
                }
            }
        }
        let valid = "a\u{e9}\u{20ac}\u{1f600}".repeat(20);
        for len in 1..=valid.len() {
            for at in 0..=len {
                let mut text = valid.as_bytes()[..len].to_vec();
                if at < len {
                    text[at] = 0xff;
                }
                let expected = std::str::from_utf8(&text).ok();
                let whole = masked(&[frame(0x81, &text)]);
                check(&mut whole.clone(), whole.len(), expected);
                check(&mut whole.clone(), whole.len() - at, expected);
                let mut fragments = masked(&[frame(0x01, &text[..at]), frame(0x80, &text[at..])]);
                let cut = fragments.len();
                check(&mut fragments, cut, expected);
            }
        }
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
    fn input_that_shrinks_does_not_panic() {
        let limits = Limits::default();
        let mut decoder = Decoder::new();
        let mut input = masked(&[frame(0x81, b"some text")]);
        assert_eq!(decoder.next(&mut input[..12], &limits), Step::Incomplete);
        for len in 0..12 {
            assert_eq!(decoder.next(&mut input[..len], &limits), Step::Incomplete);
        }
    }

    #[test]
    fn no_byte_is_unmasked_or_validated_twice() {
        // Bytes that the decoder has seen are overwritten with one that is never UTF-8. Validating them again
        // would fail, and unmasking them again would change them.
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
    fn close_payloads_are_accepted_or_refused() {
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
