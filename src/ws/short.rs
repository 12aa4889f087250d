//! Short messages, the common case: a header of two bytes and a mask, read and written by hand.
//!
//! It knows no connection. Its invariant: it returns what [`Header`](super::header::Header) returns, or `None`.
//! `Header` uses tungstenite's codec, which handles all frames, but took a third of the time of a message with 16 bytes
//! of payload.

use super::Opcode;
use super::header::CONTROL_BYTES_MAX;
use crate::config::Limits;

/// Bytes before the payload: two and the mask (RFC 6455 §5.2).
pub(super) const HEADER_BYTES: usize = 6;

/// A complete data frame that is a whole message of at most 125 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// Text or binary.
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    /// At most 125.
    pub(super) payload_bytes: usize,
}

impl Short {
    /// Returns whether the limits allow the message.
    #[inline(always)]
    pub(super) fn is_within(&self, limits: &Limits) -> bool {
        self.payload_bytes <= limits.frame_bytes.min(limits.message_bytes) && limits.fragments > 0
    }
}

/// Returns the frame at the start of `input` if it is a short message.
#[inline(always)]
pub(super) fn read(input: &[u8]) -> Option<Short> {
    let [first, second, mask @ ..] = *input.first_chunk::<HEADER_BYTES>()?;
    // FIN is set and the reserved bits are 0. The second byte is the mask bit and the length.
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        _ => return None,
    };
    let payload_bytes = usize::from(second.wrapping_sub(0x80));
    (payload_bytes <= CONTROL_BYTES_MAX && input.len() >= HEADER_BYTES + payload_bytes).then_some(Short {
        opcode,
        mask,
        payload_bytes,
    })
}

/// Returns the header of a server's frame with `len` bytes of payload, if it has two bytes.
#[inline(always)]
pub(super) fn header(opcode: Opcode, fin: bool, len: usize) -> Option<[u8; 2]> {
    (len <= CONTROL_BYTES_MAX).then_some([opcode as u8 | u8::from(fin) << 7, len as u8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::header::Header;
    use tungstenite::protocol::frame::FrameHeader;

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
                    let codec = Header::read(&input, usize::MAX, true).ok().flatten().filter(|header| {
                        let data = matches!(header.opcode, Opcode::Text | Opcode::Binary);
                        data && header.fin
                            && !header.compressed
                            && header.payload_bytes <= 125
                            && header.frame_bytes() <= length
                    });
                    let expected = codec.map(|header| {
                        let Header { opcode, mask, payload_bytes, .. } = header;
                        assert_eq!(usize::from(header.header_bytes), HEADER_BYTES);
                        Short { opcode, mask, payload_bytes }
                    });
                    assert_eq!(read(&input), expected, "{first:x} {second:x} {length}");
                    found += usize::from(expected.is_some());
                }
            }
        }
        assert!(found > 900, "{found}");
    }

    #[test]
    fn short_headers_are_written_as_the_codec_writes_them() {
        use Opcode::*;
        for opcode in [Continuation, Text, Binary, Close, Ping, Pong] {
            for fin in [true, false] {
                for len in 0..200 {
                    let mut codec = Vec::new();
                    let header =
                        FrameHeader { is_final: fin, opcode: opcode.to_wire(), ..FrameHeader::default() };
                    header.format(len as u64, &mut codec).unwrap();
                    let expected = (codec.len() == 2).then(|| [codec[0], codec[1]]);
                    assert_eq!(super::header(opcode, fin, len), expected, "{opcode:?} {fin} {len}");
                }
            }
        }
    }
}
