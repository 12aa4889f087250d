//! Frames, payloads, and the byte streams that a correct server answers with.

use crate::die::die;
use std::io::Write;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Returns a payload of printable ASCII, so that the same bytes are valid text.
pub fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|i| b'a' + ((i * 7 + i / 97) % 26) as u8).collect()
}

/// Returns JSON-like text of about `size` bytes, different for each `seed`.
pub fn json_payload(size: usize, seed: u64) -> Vec<u8> {
    let mut s = Vec::with_capacity(size + 128);
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let names = ["alice", "bob", "carol", "dave", "erin", "frank"];
    s.extend_from_slice(b"{\"items\":[");
    while s.len() < size {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let _ = write!(
            s,
            "{{\"id\":{},\"user\":\"{}\",\"price\":{}.{:02},\"active\":{}}},",
            x % 1_000_000,
            names[(x >> 20) as usize % names.len()],
            (x >> 30) % 1000,
            (x >> 40) % 100,
            x & 1 == 0
        );
    }
    s.truncate(size.max(1));
    s
}

fn frame_header(out: &mut Vec<u8>, b0: u8, len: usize, masked: bool) {
    let m = if masked { 0x80 } else { 0 };
    out.push(b0);
    if len < 126 {
        out.push(m | len as u8);
    } else if len <= 0xffff {
        out.push(m | 126);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(m | 127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Returns a masked frame; `b0` is its first byte.
pub fn client_frame(b0: u8, body: &[u8]) -> Vec<u8> {
    let mut f = Vec::with_capacity(body.len() + 14);
    frame_header(&mut f, b0, body.len(), true);
    f.extend_from_slice(&MASK);
    f.extend(body.iter().enumerate().map(|(i, b)| b ^ MASK[i & 3]));
    f
}

/// Returns an unmasked frame; `b0` is its first byte.
pub fn server_frame(b0: u8, body: &[u8]) -> Vec<u8> {
    let mut f = Vec::with_capacity(body.len() + 10);
    frame_header(&mut f, b0, body.len(), false);
    f.extend_from_slice(body);
    f
}

/// An endless repetition of one frame, stored so that a long run of it is one slice.
pub struct Pattern {
    pub bytes: Vec<u8>,
    pub frame: usize,
}

impl Pattern {
    pub fn new(frame: Vec<u8>, at_least: usize) -> Self {
        let n = frame.len();
        let copies = at_least.div_ceil(n) + 1;
        Pattern {
            bytes: frame.repeat(copies),
            frame: n,
        }
    }

    /// Checks that `data` continues the pattern at `pos`, an offset into the current frame. Returns the new offset and
    /// the number of completed frames, or `None` if the bytes differ.
    #[inline]
    pub fn check(&self, mut pos: usize, mut data: &[u8]) -> Option<(usize, usize)> {
        let mut done = 0;
        while !data.is_empty() {
            let n = data.len().min(self.bytes.len() - pos);
            if data[..n] != self.bytes[pos..pos + n] {
                return None;
            }
            pos += n;
            done += pos / self.frame;
            pos %= self.frame;
            data = &data[n..];
        }
        Some((pos, done))
    }
}

/// Returns the first byte, the header length and the payload length of the unmasked frame at the start of `b`.
pub fn parse_header(b: &[u8]) -> Option<(u8, usize, usize)> {
    if b.len() < 2 {
        return None;
    }
    if b[1] & 0x80 != 0 {
        die("masked frame from the server");
    }
    match b[1] {
        126 if b.len() >= 4 => Some((b[0], 4, u16::from_be_bytes([b[2], b[3]]) as usize)),
        127 if b.len() >= 10 => Some((b[0], 10, u64::from_be_bytes(b[2..10].try_into().unwrap()) as usize)),
        126 | 127 => None,
        n => Some((b[0], 2, n as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_counts_frames_across_odd_chunks() {
        let frame = server_frame(0x81, b"hello");
        let p = Pattern::new(frame.clone(), 10);
        let stream = frame.repeat(9);
        let (mut pos, mut frames) = (0, 0);
        for chunk in stream.chunks(4) {
            let (np, d) = p.check(pos, chunk).unwrap();
            pos = np;
            frames += d;
        }
        assert_eq!((pos, frames), (0, 9));
        let mut bad = stream;
        bad[20] ^= 1;
        assert!(p.check(0, &bad).is_none());
    }

    #[test]
    fn headers_round_trip() {
        for len in [0usize, 1, 125, 126, 65535, 65536, 1 << 20] {
            let f = server_frame(0x82, &vec![7; len]);
            let (b0, head, l) = parse_header(&f).unwrap();
            assert_eq!((b0, head + l, l), (0x82, f.len(), len));
        }
    }

    #[test]
    fn client_frame_is_masked() {
        let f = client_frame(0x81, b"abcd");
        assert_eq!(&f[..6], &[0x81, 0x84, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(f[6] ^ 0x37, b'a');
    }
}
