//! Frames as both sides write them, and the frames of a server read back (RFC 6455 §5.2).
//!
//! It knows no connection and no message. Its invariant: a frame that is read has no mask and its length in the shortest
//! form.

use super::head::{Malformed, malformed};
use std::ops::Range;

/// A frame that a server has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its first byte: FIN, the reserved bits, the opcode.
    pub first: u8,
    /// Where its payload lies. The frame ends with it.
    pub payload: Range<usize>,
}

/// Returns the frame that `bytes` begin with, once it is complete.
///
/// # Errors
/// If it is masked, or its length is not in its shortest form.
pub fn frame(bytes: &[u8]) -> Result<Option<Frame>, Malformed> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let (length, start, least) = match second {
        0..126 => (Some(u64::from(second)), 2, 0),
        126 => (rest.first_chunk().map(|length| u16::from_be_bytes(*length).into()), 4, 126),
        127 => (rest.first_chunk().map(|length| u64::from_be_bytes(*length)), 10, 65_536),
        _ => return Err(malformed("a server's frame with a mask", bytes)),
    };
    let Some(length) = length else { return Ok(None) };
    if length < least {
        return Err(malformed("a frame's length is not in its shortest form", bytes));
    }
    let payload = start..usize::try_from(length).unwrap_or(usize::MAX).saturating_add(start);
    Ok((payload.end <= bytes.len()).then_some(Frame { first, payload }))
}

/// Returns a frame as a client sends it. `first` is its first byte: FIN, the reserved bits, the opcode.
pub fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0x80);
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Returns a frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn header(first: u8, length: usize, masked: u8) -> Vec<u8> {
    match length {
        0..126 => vec![first, length as u8 | masked],
        126..65_536 => [&[first, 126 | masked][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127 | masked][..], &(length as u64).to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let sent = server_frame(0x82, &vec![7; length]);
            assert_eq!(frame(&sent[..sent.len() - 1]), Ok(None), "{length}");
            assert_eq!(
                frame(&sent),
                Ok(Some(Frame { first: 0x82, payload: sent.len() - length..sent.len() }))
            );
        }
        assert_eq!((frame(b""), frame(b"\x81\x7e\0")), (Ok(None), Ok(None)));
        for bad in
            [&client_frame(0x81, b"hi", [1; 4])[..], b"\x81\x7e\0\x7d", b"\x81\x7f\0\0\0\0\0\0\xff\xff"]
        {
            assert!(frame(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
