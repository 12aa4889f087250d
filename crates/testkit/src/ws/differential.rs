//! Compares the decoder with tungstenite's `WebSocket` on the same byte stream, for tests and fuzzers.
//!
//! The two may differ in these ways, and in no other:
//!
//! - tungstenite accepts a length that is not in its shortest form. Whatever it reports after one is not compared.
//! - It checks the opcode and the frame's size with the header, and everything else, UTF-8 included, only when the
//!   frame is whole. Where the decoder fails inside an unfinished frame, tungstenite still waits at the end of the
//!   stream.
//! - It reports a Close with a bad code as 1002 "Protocol violation" instead of failing, and counts 1014 among the bad
//!   codes. It checks the reason before the code.
//! - It checks the frame's size early, so of two faults it reports that one. It checks the mask before the reserved
//!   bits. A length with its high bit set is too large to it, not malformed.
//! - It does not count fragments, so they are not limited here.
//!
//! Invariant: up to there both report the same, and both agree whether the stream is refused.

use super::trace::{End, drive};
use fleeting::ws::{Decoder, Event, Failure};
use std::io::{self, Cursor, Read, Write};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// Small, because tungstenite reserves what a header claims.
const BYTES_MAX: usize = 4096;

/// What the results of both can be converted to.
#[derive(Debug, PartialEq, Eq)]
enum Report {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// Panics on a difference between the two that is not listed above.
pub fn compare(bytes: &[u8]) {
    let limits = crate::limits! {
    frame_bytes: BYTES_MAX,
    message_bytes: BYTES_MAX,
    fragments: usize::MAX };
    let mut ours = Vec::new();
    let end = drive(Decoder::new(), bytes, &[], &limits, |event| ours.extend(report(event)));
    let (mut theirs, error) = theirs(bytes);

    match end {
        End::Waits { .. } => assert!(waits(error.as_ref()), "{error:?} while we wait: {bytes:x?}"),
        End::Closed => {
            assert!(error.is_none(), "{error:?} instead of a close: {bytes:x?}");
            // The code is bad to tungstenite only.
            if let Some(Report::Close(Some((1014, _)))) = ours.last() {
                assert_eq!(theirs.pop(), Some(violation()), "{bytes:x?}");
                ours.pop();
            }
        }
        End::Failed(Failure::LengthNotMinimal, _) => theirs.truncate(ours.len()),
        End::Failed(Failure::CloseCodeInvalid, _) if error.is_none() => {
            assert_eq!(theirs.pop(), Some(violation()), "{bytes:x?}");
        }
        End::Failed(failure, start) => {
            let late = waits(error.as_ref()) && !is_whole(&bytes[start..]);
            let same = error.as_ref().is_some_and(|error| explains(failure, error));
            assert!(late || same, "{error:?} where we have {failure:?}: {bytes:x?}");
        }
    }
    assert_eq!(theirs, ours, "{end:?} {error:?}: {bytes:x?}");
}

/// Returns whether tungstenite's `error` corresponds to our `failure`.
fn explains(failure: Failure, error: &Error) -> bool {
    use ProtocolError as P;
    match (failure, error) {
        (Failure::ReservedOpcode, Error::Protocol(P::InvalidOpcode(_))) => true,
        (Failure::ReservedBits, Error::Protocol(P::NonZeroReservedBits | P::UnmaskedFrameFromClient)) => true,
        (Failure::Unmasked, Error::Protocol(P::UnmaskedFrameFromClient)) => true,
        (Failure::ControlFragmented, Error::Protocol(P::FragmentedControlFrame)) => true,
        (Failure::ControlTooLong, Error::Protocol(P::ControlFrameTooBig)) => true,
        (Failure::NothingToContinue, Error::Protocol(P::UnexpectedContinueFrame)) => true,
        (Failure::MessageUnfinished, Error::Protocol(P::ExpectedFragment(_))) => true,
        (Failure::CloseTooShort, Error::Protocol(P::InvalidCloseSequence)) => true,
        (Failure::TextInvalid | Failure::CloseReasonInvalid, Error::Utf8(_)) => true,
        // tungstenite checks the reason first.
        (Failure::CloseCodeInvalid, Error::Utf8(_)) => true,
        (Failure::LengthHighBit | Failure::FrameTooBig | Failure::MessageTooBig, Error::Capacity(_)) => true,
        // tungstenite checks the size first.
        (
            Failure::ReservedBits
            | Failure::Unmasked
            | Failure::ControlFragmented
            | Failure::ControlTooLong
            | Failure::NothingToContinue
            | Failure::MessageUnfinished,
            Error::Capacity(_),
        ) => true,
        _ => false,
    }
}

/// Returns whether tungstenite ran out of bytes.
fn waits(error: Option<&Error>) -> bool {
    matches!(error, Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)))
}

/// Returns whether the frame at the start of `bytes` is complete.
fn is_whole(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((_, length))) => length <= bytes.len() as u64 - cursor.position(),
        Ok(None) => false,
        Err(_) => true,
    }
}

fn report(event: Event<'_>) -> Option<Report> {
    Some(match event {
        Event::Text(text) => Report::Text(text.to_owned()),
        Event::Binary(bytes) => Report::Binary(bytes.to_vec()),
        Event::Ping(bytes) => Report::Ping(bytes.to_vec()),
        Event::Pong(bytes) => Report::Pong(bytes.to_vec()),
        Event::Close { code, reason } => Report::Close(code.map(|code| (code.get(), reason.to_owned()))),
        Event::Compressed { .. } | Event::Fragment => return None,
    })
}

fn violation() -> Report {
    Report::Close(Some((1002, "Protocol violation".to_owned())))
}

/// Returns what tungstenite reads from `bytes`, up to a Close or an error.
fn theirs(bytes: &[u8]) -> (Vec<Report>, Option<Error>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(256)
        .max_frame_size(Some(BYTES_MAX))
        .max_message_size(Some(BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Stream(bytes), Role::Server, Some(config));
    let mut all = Vec::new();
    loop {
        all.push(match socket.read() {
            Ok(Message::Text(text)) => Report::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Report::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Report::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Report::Pong(bytes.to_vec()),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| (close.code.into(), close.reason.as_str().to_owned()));
                all.push(Report::Close(close));
                return (all, None);
            }
            // Never returned by `read`.
            Ok(Message::Frame(_)) => continue,
            Err(error) => return (all, Some(error)),
        });
    }
}

/// A client that has sent everything and ignores the responses.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::ws::corpus;
    use crate::ws::frames::{frame, masked};

    #[test]
    fn the_corpus_and_its_prefixes_mean_the_same_to_both() {
        for case in corpus::streams() {
            for end in 0..=case.bytes.len() {
                compare(&case.bytes[..end]);
            }
        }
    }

    #[test]
    fn each_listed_difference_is_tolerated() {
        compare(b"\x81\xfe\0\x02\0\0\0\0hi"); // a length too long
        compare(b"\x88\xfe\0\x02\0\0\0\0\x03\xe8"); // the same, in a close
        compare(b"\xc1\x85\0\0\0\0hel"); // late: reserved bits
        compare(b"\x81\x85\0\0\0\0h\xff"); // late: UTF-8
        compare(&masked(&[frame(0x88, b"\x03\xedwhy")])); // 1005
        compare(&masked(&[frame(0x88, b"\x03\xf6why")])); // 1014
        compare(&masked(&[frame(0x88, b"\x03\xed\xff")])); // 1005 and not UTF-8
        compare(b"\xc2\xfe\x20\0\0\0\0\0"); // reserved bits, and too big
        compare(b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"); // high bit
        compare(b"\x82\x7f\x80\0\0\0\0\0\0\0"); // high bit, unmasked
    }

    #[test]
    fn random_streams_mean_the_same_to_both() {
        // Frames from a small alphabet, so that most combinations occur, with some bytes changed afterwards.
        let mut random = Random::new(1);
        let payloads: [&[u8]; 12] = [
            b"",
            b"a",
            b"\x03\xe8",
            b"\x03\xe8\xe2\x82\xac",
            b"\x03\xf6",
            b"\xe2\x82",
            b"\xac",
            b"\xff",
            b"\xed",
            &[b'x'; 127],
            &[b'y'; 3000],
            &[b'z'; 4097],
        ];
        let firsts = [0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x89, 0x8a, 0x88, 0x09, 0xc1, 0x83];
        for _ in 0..20_000 {
            let frames: Vec<_> = (0..random.within(1, 5))
                .map(|_| frame(random.one_of(&firsts), random.one_of(&payloads)))
                .collect();
            let mut bytes = masked(&frames);
            if random.below(3) == 0 {
                let place = random.below(bytes.len());
                bytes[place] ^= 1 << random.below(8);
            }
            if random.below(3) == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            compare(&bytes);
            let cuts = [random.below(bytes.len() + 1), random.below(bytes.len() + 1)];
            crate::ws::trace::check_cuts(&bytes, &cuts, &corpus::limits());
        }
    }
}
