//! Short and medium messages, the common cases: a header of two or four bytes and a mask, read and written by hand.
//!
//! It knows no connection. Its invariant: it returns what [`Header`](super::header::Header) returns, or `None`.
//! `Header` uses tungstenite's codec, which handles all frames, but took a third of the time of a message with 16 bytes
//! of payload.

use super::Opcode;
use super::header::CONTROL_BYTES_MAX;
use crate::config::Limits;

/// Bytes before the payload of a short message: two and the mask (RFC 6455 §5.2).
pub(super) const HEADER_BYTES: usize = 6;

/// Bytes before the payload of a medium message: two, two of length, and the mask.
pub(super) const MEDIUM_HEADER_BYTES: usize = 8;

/// The second byte of a masked frame whose length is in the next two bytes.
const MEDIUM: u8 = 0x80 | 126;

/// A complete data frame that is a whole message: a short one of at most 125 bytes, or a medium one of at most 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// Text or binary.
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) payload_bytes: usize,
}

impl Short {
    /// Returns whether the limits allow the message.
    #[inline(always)]
    pub(super) fn is_within(&self, limits: &Limits) -> bool {
        self.payload_bytes <= limits.frame_bytes.min(limits.message_bytes) && limits.fragments > 0
    }
}

/// Returns the number that the bytes of a short message's payload must be below to be within the limits; 0 if the limits
/// allow no message at all.
pub(crate) fn below(limits: &Limits) -> usize {
    let most = limits.frame_bytes.min(limits.message_bytes).min(CONTROL_BYTES_MAX);
    if limits.fragments > 0 { most + 1 } else { 0 }
}

/// Returns the frame at the start of `input` if it is a short message.
#[inline(always)]
pub(super) fn read(input: &[u8]) -> Option<Short> {
    read_below(input, CONTROL_BYTES_MAX + 1)
}

/// The same if its payload has fewer bytes than `below`, which is at most 126.
#[inline(always)]
pub(super) fn read_below(input: &[u8], below: usize) -> Option<Short> {
    let [first, second, mask @ ..] = *input.first_chunk::<HEADER_BYTES>()?;
    let opcode = whole_message(first)?;
    // The second byte is the mask bit and the length.
    let payload_bytes = usize::from(second.wrapping_sub(0x80));
    (payload_bytes < below && input.len() >= HEADER_BYTES + payload_bytes).then_some(Short {
        opcode,
        mask,
        payload_bytes,
    })
}

/// Returns the frame at the start of `input` if it is a medium message.
#[inline(always)]
pub(super) fn read_medium(input: &[u8]) -> Option<Short> {
    let [first, MEDIUM, high, low, mask @ ..] = *input.first_chunk::<MEDIUM_HEADER_BYTES>()? else {
        return None;
    };
    let opcode = whole_message(first)?;
    let payload_bytes = usize::from(u16::from_be_bytes([high, low]));
    (payload_bytes > CONTROL_BYTES_MAX && input.len() >= MEDIUM_HEADER_BYTES + payload_bytes)
        .then_some(Short { opcode, mask, payload_bytes })
}

/// Returns the opcode of a frame that is a whole message: FIN is set, and the reserved bits are 0.
#[inline(always)]
fn whole_message(first: u8) -> Option<Opcode> {
    match first {
        0x81 => Some(Opcode::Text),
        0x82 => Some(Opcode::Binary),
        _ => None,
    }
}

/// Returns the header of a server's frame with `len` bytes of payload, if it has two bytes.
#[inline(always)]
pub(super) fn header(opcode: Opcode, fin: bool, len: usize) -> Option<[u8; 2]> {
    (len <= CONTROL_BYTES_MAX).then_some([opcode as u8 | u8::from(fin) << 7, len as u8])
}

/// Returns the header of a server's frame with `len` bytes of payload, more than 125, if it has four bytes.
#[inline(always)]
pub(super) fn medium_header(opcode: Opcode, fin: bool, len: usize) -> Option<[u8; 4]> {
    let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
    Some([opcode as u8 | u8::from(fin) << 7, MEDIUM & 0x7f, high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::header::Header;
    use tungstenite::protocol::frame::FrameHeader;

    /// Returns the frame at the start of `input` as the codec reads it, if it is a complete message in one frame whose
    /// header has this size.
    fn read_by_codec(input: &[u8], header_bytes: usize) -> Option<Short> {
        let header = Header::read(input, usize::MAX, true).ok().flatten()?;
        let Header { opcode, mask, payload_bytes, .. } = header;
        let is_whole = matches!(opcode, Opcode::Text | Opcode::Binary) && header.fin && !header.compressed;
        let is_complete = header.frame_bytes() <= input.len();
        (is_whole && is_complete && usize::from(header.header_bytes) == header_bytes).then_some(Short {
            opcode,
            mask,
            payload_bytes,
        })
    }

    #[test]
    fn short_messages_are_read_as_the_codec_reads_them() {
        let mut found = 0;
        for first in 0..=255 {
            for second in 0..=255 {
                for length in [0, 1, 2, 5, 6, 7, 8, 100, 130, 131, 200] {
                    let mut input = vec![7; length];
                    for (byte, value) in input.iter_mut().zip([first, second, 1, 2, 3, 4]) {
                        *byte = value;
                    }
                    let expected = read_by_codec(&input, HEADER_BYTES);
                    assert_eq!(read(&input), expected, "{first:x} {second:x} {length}");
                    found += usize::from(expected.is_some());
                }
            }
        }
        assert!(found > 900, "{found}");
    }

    #[test]
    fn a_payload_below_the_number_is_within_the_limits() {
        for bytes_max in [0, 1, 2, 124, 125, 126, 127, 1 << 20] {
            for fragments in [0, 1, 2] {
                for (frame_bytes, message_bytes) in [(bytes_max, 1 << 20), (1 << 20, bytes_max)] {
                    let limits = Limits { frame_bytes, message_bytes, fragments, ..Limits::default() };
                    for payload_bytes in 0..=CONTROL_BYTES_MAX {
                        let mut frame = vec![0; HEADER_BYTES + payload_bytes];
                        frame[..2].copy_from_slice(&[0x82, 0x80 | payload_bytes as u8]);
                        let expected = read(&frame).filter(|short| short.is_within(&limits));
                        assert_eq!(
                            read_below(&frame, below(&limits)),
                            expected,
                            "{limits:?} {payload_bytes}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn medium_messages_are_read_as_the_codec_reads_them() {
        let mut found = 0;
        for first in 0..=255 {
            for second in [0, 125, 126, 127, 0x80, 0x80 | 125, 0x80 | 126, 0x80 | 127] {
                for payload in [0u16, 1, 125, 126, 127, 255, 256, 1024, 65_534, 65_535] {
                    for missing in [-1, 0, 1, 2, 100] {
                        let length = usize::from(payload).saturating_add_signed(8 - missing);
                        let [high, low] = payload.to_be_bytes();
                        let mut input = vec![7; length];
                        for (byte, value) in input.iter_mut().zip([first, second, high, low, 1, 2, 3, 4]) {
                            *byte = value;
                        }
                        let expected = read_by_codec(&input, MEDIUM_HEADER_BYTES);
                        assert_eq!(read_medium(&input), expected, "{first:x} {second:x} {payload} {missing}");
                        found += usize::from(expected.is_some());
                    }
                }
            }
        }
        assert_eq!(found, 2 * 7 * 2);
    }

    #[test]
    fn headers_are_written_as_the_codec_writes_them() {
        use Opcode::*;
        for opcode in [Continuation, Text, Binary, Close, Ping, Pong] {
            for fin in [true, false] {
                for len in (0..200).chain([255, 256, 1024, 65_534, 65_535, 65_536, 1 << 40]) {
                    let mut codec = Vec::new();
                    let header =
                        FrameHeader { is_final: fin, opcode: opcode.to_wire(), ..FrameHeader::default() };
                    header.format(len as u64, &mut codec).unwrap();
                    let expected = (codec.len() == 2).then(|| [codec[0], codec[1]]);
                    assert_eq!(super::header(opcode, fin, len), expected, "{opcode:?} {fin} {len}");
                    if expected.is_none() {
                        let expected = codec.first_chunk::<4>().copied().filter(|_| codec.len() == 4);
                        assert_eq!(medium_header(opcode, fin, len), expected, "{opcode:?} {fin} {len}");
                    }
                }
            }
        }
    }
}
