//! Encodes response heads and trailer sections as field blocks (RFC 9113 §8.3.2).
//!
//! It reads the field lines that [`encode_field`](crate::http1::encode_field) has written and checked, and knows neither
//! content nor streams. Its invariant: a block does not depend on the blocks before it.

use super::field::is_of_connection;
use super::hpack::encoder;
use crate::http1::{Block, ContentLength, ResponseHead, find};

/// An upper bound of what a block has besides the caller's fields, in bytes.
const FIXED_BYTES_MAX: usize = 64;

/// Appends a response head as one field block. What the head says about the connection has no place in HTTP/2
/// (RFC 9113 §8.2.2), nor has `Transfer-Encoding`.
///
/// ```
/// use fleeting::http1::{ContentLength, ResponseHead};
/// use fleeting::http2::response::encode_head;
///
/// let mut block = Vec::new();
/// encode_head(&mut block, &ResponseHead::new(200, ContentLength::Known(2), b"Sun, 06 Nov 1994 08:49:37 GMT"));
/// assert_eq!(block, b"\x88\x0f\x12\x1dSun, 06 Nov 1994 08:49:37 GMT\x0f\x0d\x012");
/// ```
#[inline]
pub fn encode_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    encode_head_with(out, head, None);
}

/// Does the same as [`encode_head`]. If there is a `block`, it has the fields.
#[inline(always)]
pub(crate) fn encode_head_with(out: &mut Vec<u8>, head: &ResponseHead<'_>, block: Option<&[u8]>) {
    out.reserve(FIXED_BYTES_MAX + head.fields.len());
    encoder::status(out, head.status);
    encoder::date(out, head.date);
    match block {
        Some(block) => out.extend_from_slice(block),
        None => encode_lines(out, head.fields),
    }
    if let (ContentLength::Known(length), false) = (head.content, matches!(head.status, 100..=199 | 204)) {
        encoder::content_length(out, length);
    }
}

/// Returns the block of a Content-Type: three bytes and the value, which is shorter than 127 bytes.
pub(crate) const fn content_type<const N: usize>(value: &str) -> [u8; N] {
    assert!(N == value.len() + 3 && value.len() < 0x7f, "the block is of another length");
    let mut block = [0; N];
    [block[0], block[1], block[2]] = [0x0f, encoder::CONTENT_TYPE - 0x0f, value.len() as u8];
    let mut at = 0;
    while at < value.len() {
        block[3 + at] = value.as_bytes()[at];
        at += 1;
    }
    block
}

/// Appends an interim response (RFC 9110 §15.2), such as 100 (Continue).
pub fn encode_interim(out: &mut Vec<u8>, status: u16) {
    encoder::status(out, status);
}

/// Appends a trailer section as one field block (RFC 9113 §8.1). `lines` are written by
/// [`encode_field`](crate::http1::encode_field).
pub fn trailers_block(out: &mut Vec<u8>, lines: &[u8]) {
    out.reserve(lines.len());
    encode_lines(out, lines);
}

/// Appends the fields of field lines, each a name, a colon, a space, a value and CRLF.
#[inline]
fn encode_lines(out: &mut Vec<u8>, lines: &[u8]) {
    let mut at = 0;
    while at < lines.len() {
        // The searches also stop at NUL, which a line does not contain.
        let name_end = find(lines, at, |block| block.is(b':') | block.is(0));
        let line_end = find(lines, name_end, |block: Block| block.is(b'\r') | block.is(0));
        let (name, value) = (lines.get(at..name_end), lines.get(name_end + 2..line_end));
        if let (Some(name), Some(value)) = (name, value) {
            if !is_of_connection(name) {
                encoder::field(out, name, value);
            }
        }
        at = line_end + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Section;
    use super::super::hpack::{Decoder, TABLE_BYTES};
    use super::*;
    use crate::arena::Arena;
    use crate::config::Limits;
    use crate::http1::{ConnectionHeader, encode_field};

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn decoded(block: &[u8]) -> String {
        let arena = Arena::new(4096);
        let mut section = Section::new(&arena, &Limits::default(), block.len());
        Decoder::new(TABLE_BYTES).decode(block, &mut section).unwrap();
        let (bytes, spans) = section.finish();
        let line = |span: &crate::http1::FieldSpan| {
            format!("{}: {}\n", span.name.text(bytes), span.value.text(bytes))
        };
        spans.iter().map(line).collect()
    }

    fn lines(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut lines = Vec::new();
        for (name, value) in fields {
            encode_field(&mut lines, name, value.as_bytes()).unwrap();
        }
        lines
    }

    #[test]
    fn heads_have_the_fields_that_http1_has() {
        fn check(status: u16, content: ContentLength, fields: &[(&str, &str)], expected: &str) {
            let fields = lines(fields);
            let mut head = ResponseHead::new(status, content, DATE);
            (head.fields, head.connection) = (&fields, ConnectionHeader::UpgradeClose);
            let mut block = Vec::new();
            encode_head(&mut block, &head);
            let expected = expected.replace("DATE", "date: Sun, 06 Nov 1994 08:49:37 GMT\n");
            assert_eq!(decoded(&block), expected);
        }
        let long = "v\t".repeat(200) + "v";
        check(200, ContentLength::Known(12), &[], ":status: 200\nDATEcontent-length: 12\n");
        check(200, ContentLength::Chunked, &[], ":status: 200\nDATE");
        check(204, ContentLength::Known(0), &[], ":status: 204\nDATE");
        check(103, ContentLength::None, &[], ":status: 103\nDATE");
        check(
            418,
            ContentLength::Known(u64::MAX),
            &[
                ("Content-Type", "text/plain; charset=utf-8"),
                ("X-Empty", ""),
                ("Proxy-Connection", "close"),
                ("X-A-Name-Which-Is-Longer-Than-A-Block", "a: b"),
                ("X-Long", &long),
                ("Set-Cookie", "a=b"),
            ],
            &format!(
                ":status: 418\nDATEcontent-type: text/plain; charset=utf-8\nx-empty: \n\
                 x-a-name-which-is-longer-than-a-block: a: b\nx-long: {long}\nset-cookie: a=b\n\
                 content-length: 18446744073709551615\n"
            ),
        );
    }

    #[test]
    fn trailers_and_interim_responses_are_blocks_too() {
        let mut block = Vec::new();
        trailers_block(&mut block, &lines(&[("X-Sum", "1"), ("Etag", "\"a\"")]));
        assert_eq!(decoded(&block), "x-sum: 1\netag: \"a\"\n");
        block.clear();
        encode_interim(&mut block, 100);
        assert_eq!(decoded(&block), ":status: 100\n");
    }
}
