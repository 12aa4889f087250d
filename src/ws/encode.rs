//! The encoder of a server's frames: unmasked (RFC 6455 §5.1), each message in one frame.
//!
//! It knows no connection: [`Closing`](super::Closing) decides whether a frame may be sent. Its invariant: every frame
//! that is appended is complete and keeps the rules for its type.

use super::header::CONTROL_BYTES_MAX;
use super::{CloseCode, Opcode, short};
use tungstenite::protocol::frame::FrameHeader;

/// Appends the header of a frame with `len` bytes of payload. The caller appends the payload.
///
/// `fin` is set if the frame is the last of its message.
///
/// ```
/// use fleeting::ws::{self, Opcode};
///
/// let mut out = Vec::new();
/// ws::encode_header(&mut out, Opcode::Text, true, 5);
/// out.extend_from_slice(b"Hello");
/// assert_eq!(out, b"\x81\x05Hello"); // RFC 6455 §5.7
/// ```
#[inline]
pub fn encode_header(out: &mut Vec<u8>, opcode: Opcode, fin: bool, len: usize) {
    match short::header(opcode, fin, len) {
        Some(header) => out.extend_from_slice(&header),
        None => encode_long_header(out, opcode, fin, len),
    }
}

/// Appends the header of a compressed message or of its first frame. It has the first reserved bit set
/// (RFC 7692 §6). `opcode` must be text or binary.
pub fn encode_compressed_header(out: &mut Vec<u8>, opcode: Opcode, fin: bool, len: usize) {
    debug_assert!(matches!(opcode, Opcode::Text | Opcode::Binary));
    let start = out.len();
    encode_header(out, opcode, fin, len);
    out[start] |= 0x40;
}

fn encode_long_header(out: &mut Vec<u8>, opcode: Opcode, fin: bool, len: usize) {
    if let Some(header) = short::medium_header(opcode, fin, len) {
        return out.extend_from_slice(&header);
    }
    let header = FrameHeader { is_final: fin, opcode: opcode.to_wire(), ..FrameHeader::default() };
    // Writing to a `Vec` does not fail.
    let _ = header.format(len as u64, out);
}

/// Appends a ping with at most the first 125 bytes of `payload`, the limit for control frames (RFC 6455 §5.5).
pub fn encode_ping(out: &mut Vec<u8>, payload: &[u8]) {
    encode_frame(out, Opcode::Ping, &payload[..payload.len().min(CONTROL_BYTES_MAX)]);
}

/// Appends a pong with at most the first 125 bytes of `payload`. The payload of a ping is never longer.
pub fn encode_pong(out: &mut Vec<u8>, payload: &[u8]) {
    encode_frame(out, Opcode::Pong, &payload[..payload.len().min(CONTROL_BYTES_MAX)]);
}

/// Appends a Close frame with `code` and the whole characters of `reason` that fit into 123 bytes. Without a
/// code the payload is empty (RFC 6455 §5.5.1).
pub fn encode_close(out: &mut Vec<u8>, code: Option<CloseCode>, reason: &str) {
    let Some(code) = code else { return encode_header(out, Opcode::Close, true, 0) };
    let fits = reason.len().min(CONTROL_BYTES_MAX - 2);
    let end = (0..=fits).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or_default();
    let reason = &reason[..end];
    encode_header(out, Opcode::Close, true, 2 + reason.len());
    out.extend_from_slice(&code.get().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    encode_header(out, opcode, true, payload.len());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = b"before".to_vec();
        write(&mut out);
        out.split_off(6)
    }

    #[test]
    fn headers_have_their_shortest_form() {
        fn check(opcode: Opcode, fin: bool, len: usize, expected: &[u8]) {
            assert_eq!(encoded(|out| encode_header(out, opcode, fin, len)), expected, "{opcode:?} {len}");
        }
        check(Opcode::Text, true, 0, b"\x81\x00");
        check(Opcode::Text, false, 125, b"\x01\x7d");
        check(Opcode::Binary, true, 126, b"\x82\x7e\x00\x7e");
        check(Opcode::Continuation, true, 65535, b"\x80\x7e\xff\xff");
        check(Opcode::Continuation, false, 65536, b"\x00\x7f\0\0\0\0\0\x01\0\0");
        check(Opcode::Ping, true, 5, b"\x89\x05");
        check(Opcode::Pong, true, 5, b"\x8a\x05");
    }

    #[test]
    fn headers_of_compressed_messages_have_the_first_reserved_bit() {
        fn check(opcode: Opcode, fin: bool, len: usize, expected: &[u8]) {
            let found = encoded(|out| encode_compressed_header(out, opcode, fin, len));
            assert_eq!(found, expected, "{opcode:?} {len}");
        }
        check(Opcode::Text, true, 7, b"\xc1\x07");
        check(Opcode::Text, false, 3, b"\x41\x03");
        check(Opcode::Binary, true, 126, b"\xc2\x7e\x00\x7e");
        check(Opcode::Binary, true, 65536, b"\xc2\x7f\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn frames_are_a_header_and_the_payload() {
        // RFC 6455 §5.7.
        assert_eq!(encoded(|out| encode_frame(out, Opcode::Text, b"Hello")), b"\x81\x05Hello");
        assert_eq!(encoded(|out| encode_ping(out, b"Hello")), b"\x89\x05Hello");
        assert_eq!(encoded(|out| encode_pong(out, b"Hello")), b"\x8a\x05Hello");
        let payload = vec![7; 256];
        let binary = encoded(|out| encode_frame(out, Opcode::Binary, &payload));
        assert_eq!(binary, [b"\x82\x7e\x01\x00", &payload[..]].concat());
        assert_eq!(encoded(|out| encode_ping(out, &payload)).len(), 127);
        assert_eq!(encoded(|out| encode_pong(out, &payload)).len(), 127);
    }

    #[test]
    fn close_frames_truncate_the_reason() {
        fn check(code: Option<CloseCode>, reason: &str, expected: &[u8]) {
            assert_eq!(encoded(|out| encode_close(out, code, reason)), expected, "{code:?} {reason}");
        }
        check(None, "", b"\x88\x00");
        check(None, "not said", b"\x88\x00");
        check(Some(CloseCode::NORMAL), "", b"\x88\x02\x03\xe8");
        check(Some(CloseCode::AWAY), "bye", b"\x88\x05\x03\xe9bye");
        let long = "é".repeat(100);
        let cut = [b"\x88\x7c\x03\xe8", "é".repeat(61).as_bytes()].concat();
        check(Some(CloseCode::NORMAL), &long, &cut);
        check(Some(CloseCode::NORMAL), &"x".repeat(124), &[b"\x88\x7d\x03\xe8", &[b'x'; 123][..]].concat());
    }
}
