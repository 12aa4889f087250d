//! A frame's header: parsed by tungstenite, then checked by the rules that tungstenite leaves to its caller.
//!
//! It knows nothing of earlier frames. Its invariant: a header is accepted or refused when its last byte has arrived,
//! not earlier. If there are several faults, the same one is always reported.

use super::{Failure, Opcode};
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;

/// The largest size of a header: two bytes, eight of length, four of mask (RFC 6455 §5.2).
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// The largest payload of a control frame (RFC 6455 §5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// The header of a client's frame that is valid by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// The frame is the last of its message.
    pub(super) fin: bool,
    /// The frame begins a compressed message.
    pub(super) compressed: bool,
    pub(super) mask: [u8; 4],
    /// The size of the header, 6 to 14 bytes.
    pub(super) header_bytes: u8,
    /// At most `frame_bytes` for a data frame, at most 125 for a control frame.
    pub(super) payload_bytes: usize,
}

impl Header {
    /// Reads the header at the start of `input`. Returns `None` while it is incomplete.
    ///
    /// `frame_bytes` limits the payload of data frames; RFC 6455 limits that of control frames. `deflate` is true if
    /// permessage-deflate was negotiated.
    #[inline]
    pub(super) fn read(input: &[u8], frame_bytes: usize, deflate: bool) -> Result<Option<Header>, Failure> {
        // If the input is long enough, pass an array of the largest size: the length is a constant then, and the
        // codec copies without a call.
        let parsed = match input.first_chunk::<HEADER_BYTES_MAX>() {
            Some(bytes) => parse(Cursor::new(bytes))?,
            None => parse(Cursor::new(input))?,
        };
        let Some((header, length, bytes_read)) = parsed else { return Ok(None) };
        let opcode = Opcode::from_wire(header.opcode).ok_or(Failure::ReservedOpcode)?;
        // RFC 6455 §5.2: the reserved bits must be 0 unless an extension says otherwise.
        if (header.rsv1 || header.rsv2 || header.rsv3) && !(deflate && is_compressed(&header, opcode)) {
            return Err(Failure::ReservedBits);
        }
        // RFC 6455 §5.1: a server must close upon a frame that is not masked.
        let mask = header.mask.ok_or(Failure::Unmasked)?;
        // RFC 6455 §5.2: "the most significant bit MUST be 0".
        if length >> 63 != 0 {
            return Err(Failure::LengthHighBit);
        }
        // RFC 6455 §5.2: "the minimal number of bytes MUST be used to encode the length".
        let header_bytes = header.len(length);
        if bytes_read != header_bytes as u64 {
            return Err(Failure::LengthNotMinimal);
        }
        if opcode.is_control() {
            // RFC 6455 §5.5.
            if !header.is_final {
                return Err(Failure::ControlFragmented);
            }
            if length > CONTROL_BYTES_MAX as u64 {
                return Err(Failure::ControlTooLong);
            }
            // RFC 6455 §5.5.1: a payload begins with a code of two bytes.
            if opcode == Opcode::Close && length == 1 {
                return Err(Failure::CloseTooShort);
            }
        } else if length > frame_bytes as u64 {
            return Err(Failure::FrameTooBig);
        }
        Ok(Some(Header {
            opcode,
            fin: header.is_final,
            compressed: header.rsv1,
            mask,
            header_bytes: header_bytes as u8,
            // The length does not exceed `frame_bytes`, which is a usize.
            payload_bytes: length as usize,
        }))
    }

    /// Returns the size of the whole frame in bytes.
    #[inline]
    pub(super) fn frame_bytes(&self) -> usize {
        self.payload_bytes.saturating_add(usize::from(self.header_bytes))
    }
}

/// Returns whether only the first reserved bit is set, in the first frame of a message (RFC 7692 §6).
#[cold]
fn is_compressed(header: &FrameHeader, opcode: Opcode) -> bool {
    header.rsv1 && !header.rsv2 && !header.rsv3 && matches!(opcode, Opcode::Text | Opcode::Binary)
}

/// Returns the header as the codec parses it, the payload's length, and the number of bytes read.
#[inline(always)]
fn parse<T: AsRef<[u8]>>(mut cursor: Cursor<T>) -> Result<Option<(FrameHeader, u64, u64)>, Failure> {
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((header, length))) => Ok(Some((header, length, cursor.position()))),
        Ok(None) => Ok(None),
        // Reading from memory has no other error.
        Err(_) => Err(Failure::ReservedOpcode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_accepted_or_refused() {
        fn check(input: &[u8], expected: Result<(Opcode, bool, usize, u8), Failure>) {
            let read = Header::read(input, 70_000, false);
            let found = read.map(|header| header.map(|h| (h.opcode, h.fin, h.payload_bytes, h.header_bytes)));
            assert_eq!(found, expected.map(Some), "{input:x?}");
            // One byte less is not enough, and further bytes change nothing.
            assert_eq!(Header::read(&input[..input.len() - 1], 70_000, false), Ok(None), "{input:x?}");
            assert_eq!(Header::read(&[input, b"more"].concat(), 70_000, false), read, "{input:x?}");
        }
        use Failure::*;
        check(b"\x81\x85mask", Ok((Opcode::Text, true, 5, 6)));
        check(b"\x02\x80mask", Ok((Opcode::Binary, false, 0, 6)));
        check(b"\x80\xfdmask", Ok((Opcode::Continuation, true, 125, 6)));
        check(b"\x82\xfe\x00\x7emask", Ok((Opcode::Binary, true, 126, 8)));
        check(b"\x82\xfe\xff\xffmask", Ok((Opcode::Binary, true, 65535, 8)));
        check(b"\x82\xff\0\0\0\0\0\x01\0\0mask", Ok((Opcode::Binary, true, 65536, 14)));
        check(b"\x89\xfdmask", Ok((Opcode::Ping, true, 125, 6)));
        check(b"\x8a\x80mask", Ok((Opcode::Pong, true, 0, 6)));
        check(b"\x88\x82mask", Ok((Opcode::Close, true, 2, 6)));
        // One fault each.
        check(b"\xc1\x80mask", Err(ReservedBits));
        check(b"\xa1\x80mask", Err(ReservedBits));
        check(b"\x91\x80mask", Err(ReservedBits));
        check(b"\x83\x80mask", Err(ReservedOpcode));
        check(b"\x87\x80mask", Err(ReservedOpcode));
        check(b"\x8b\x80mask", Err(ReservedOpcode));
        check(b"\x8f\x80mask", Err(ReservedOpcode));
        check(b"\x81\x05", Err(Unmasked));
        check(b"\x81\x7e\x00\x80", Err(Unmasked));
        check(b"\x82\xfe\x00\x7dmask", Err(LengthNotMinimal));
        check(b"\x82\xfe\x00\x00mask", Err(LengthNotMinimal));
        check(b"\x82\xff\0\0\0\0\0\0\xff\xffmask", Err(LengthNotMinimal));
        check(b"\x88\xff\0\0\0\0\0\0\0\x01mask", Err(LengthNotMinimal));
        check(b"\x82\xff\x80\0\0\0\0\0\0\x01mask", Err(LengthHighBit));
        check(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask", Err(FrameTooBig));
        check(b"\x82\xff\0\0\0\0\0\x01\x11\x71mask", Err(FrameTooBig));
        check(b"\x89\xfe\x00\x7emask", Err(ControlTooLong));
        check(b"\x09\x80mask", Err(ControlFragmented));
        check(b"\x08\x80mask", Err(ControlFragmented));
        check(b"\x88\x81mask", Err(CloseTooShort));
        // If there are two faults, the same one is always reported.
        check(b"\xf3\x05", Err(ReservedOpcode));
        check(b"\xf1\x05", Err(ReservedBits));
    }

    #[test]
    fn the_limit_applies_to_data_frames_only() {
        assert_eq!(Header::read(b"\x82\x82mask", 1, false), Err(Failure::FrameTooBig));
        assert!(matches!(Header::read(b"\x82\x81mask", 1, false), Ok(Some(_))));
        assert!(matches!(Header::read(b"\x89\xfdmask", 1, false), Ok(Some(_))));
    }

    #[test]
    fn the_first_reserved_bit_marks_a_compressed_message() {
        fn check(first: u8, expected: Result<bool, Failure>) {
            let found = Header::read(&[first, 0x80, 1, 2, 3, 4], 10, true);
            assert_eq!(found.map(|header| header.unwrap().compressed), expected, "{first:x}");
            if expected != Ok(false) {
                let without = Header::read(&[first, 0x80, 1, 2, 3, 4], 10, false);
                assert_eq!(without, Err(Failure::ReservedBits), "{first:x}");
            }
        }
        for (first, compressed) in [(0x81, 0xc1), (0x82, 0xc2), (0x01, 0x41), (0x02, 0x42)] {
            check(first, Ok(false));
            check(compressed, Ok(true));
            for others in [0x10, 0x20, 0x30] {
                check(first | others, Err(Failure::ReservedBits));
                check(compressed | others, Err(Failure::ReservedBits));
            }
        }
        // Continuations, Close, Ping, Pong.
        for first in [0x40, 0xc0, 0xc8, 0xc9, 0xca] {
            check(first, Err(Failure::ReservedBits));
        }
        check(0x80, Ok(false));
        check(0x89, Ok(false));
    }
}
