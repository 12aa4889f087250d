//! One request by HTTP/2 (RFC 9113), for connections that are idle afterwards. Reads no fields but the status.

use crate::args::Args;
use crate::die::die;
use crate::link::Link;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
const STREAM: u32 = 1;

// Frame types and flags (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED_OR_PRIORITY: u8 = 0x28;

/// SETTINGS_ENABLE_PUSH is 0 (RFC 9113 §6.5.2).
const NO_PUSH: [u8; 6] = [0, 2, 0, 0, 0, 0];

/// Names of the static table (RFC 7541 Appendix A), with their indices: those of a browser's request.
const STATIC_NAMES: [(&str, u8); 6] = [
    ("accept-encoding", 16),
    ("accept-language", 17),
    ("accept", 19),
    ("cookie", 32),
    ("referer", 51),
    ("user-agent", 58),
];
/// `:status: 200` of the static table.
const STATUS_200: u8 = 0x88;

/// Opens a connection, sends one GET, reads the complete answer, acknowledges the settings, and keeps the connection open.
pub fn once(a: &Args, path: &str) -> Link {
    let mut link = Link::connect(a);
    let mut out = PREFACE.to_vec();
    push(&mut out, SETTINGS, 0, 0, &NO_PUSH);
    push(&mut out, HEADERS, END_STREAM | END_HEADERS, STREAM, &request(a, path));
    link.write_all(&out);
    let (mut received, mut tmp) = (Vec::new(), [0u8; 64 * 1024]);
    loop {
        match link.read(&mut tmp) {
            Ok(n) if n > 0 => received.extend_from_slice(&tmp[..n]),
            _ => die("connection closed before the end of the HTTP/2 answer"),
        }
        let mut has_ended = false;
        while let Some((kind, flags, stream, payload)) = frame(&received) {
            match kind {
                HEADERS => check_status(flags, payload),
                SETTINGS if flags & ACK == 0 => {
                    let mut ack = Vec::new();
                    push(&mut ack, SETTINGS, ACK, 0, &[]);
                    link.write_all(&ack);
                }
                RST_STREAM | GOAWAY => die("the server ended the HTTP/2 stream or the connection"),
                _ => {}
            }
            has_ended |= stream == STREAM && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            received.drain(..HEAD + payload.len());
        }
        if has_ended {
            return link;
        }
    }
}

/// Returns type, flags, stream and payload of the first frame, if it is complete.
fn frame(b: &[u8]) -> Option<(u8, u8, u32, &[u8])> {
    let (head, rest) = b.split_first_chunk::<HEAD>()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, rest.get(..len)?))
}

fn push(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[len[1], len[2], len[3], kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The status is the first field (RFC 9113 §8.3), after updates of the table's size (RFC 7541 §4.2).
fn check_status(flags: u8, block: &[u8]) {
    let first = block.iter().find(|b| *b & 0xe0 != 0x20);
    if flags & PADDED_OR_PRIORITY != 0 || first != Some(&STATUS_200) {
        die("the status of the HTTP/2 answer is not 200");
    }
}

/// Returns the field block of a GET. All fields but the path go into the server's dynamic table, as a browser's do.
fn request(a: &Args, path: &str) -> Vec<u8> {
    // `:method: GET`, and `:scheme`, which is http or https.
    let mut block = vec![0x82, if a.tls.is_some() { 0x87 } else { 0x86 }];
    if path == "/" {
        block.push(0x84);
    } else {
        block.push(0x04);
        push_string(&mut block, path);
    }
    block.push(0x41);
    push_string(&mut block, &format!("{}:{}", a.host, a.port));
    for (name, value) in &a.fields {
        push_field(&mut block, name, value);
    }
    block
}

/// Appends a field that goes into the dynamic table (RFC 7541 §6.2.1).
fn push_field(block: &mut Vec<u8>, name: &str, value: &str) {
    match STATIC_NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, index)) => block.push(0x40 | index),
        None => {
            block.push(0x40);
            push_string(block, name);
        }
    }
    push_string(block, value);
}

/// Appends a string without Huffman coding (RFC 7541 §5.2).
fn push_string(block: &mut Vec<u8>, s: &str) {
    if s.len() < 127 {
        block.push(s.len() as u8);
    } else {
        block.push(127);
        let mut rest = s.len() - 127;
        while rest >= 128 {
            block.push(rest as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(s.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_literals_with_indexing() {
        let check = |name: &str, value: &str, expected: &[u8]| {
            let mut block = Vec::new();
            push_field(&mut block, name, value);
            assert!(block.starts_with(expected), "{name}: {block:x?}");
        };
        // RFC 7541 Appendix C.2.1.
        check("custom-key", "custom-header", b"\x40\x0acustom-key\x0dcustom-header");
        check("cookie", "a=b", b"\x60\x03a=b");
        check("cookie", &"a".repeat(126), b"\x60\x7ea");
        check("cookie", &"a".repeat(127), b"\x60\x7f\x00a");
        check("cookie", &"a".repeat(127 + 300), b"\x60\x7f\xac\x02a");
    }

    #[test]
    fn a_frame_is_read_when_it_is_whole() {
        let mut bytes = Vec::new();
        push(&mut bytes, DATA, END_STREAM, STREAM, b"Hello");
        assert_eq!(frame(&bytes), Some((DATA, END_STREAM, STREAM, &b"Hello"[..])));
        assert!((0..bytes.len()).all(|n| frame(&bytes[..n]).is_none()));
    }
}
