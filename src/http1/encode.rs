//! Response heads and chunks, as bytes.
//!
//! It appends to a buffer and knows neither the content nor who it is for. Its invariant: whatever it is
//! given, what it writes is one well-formed head: no field can end a line, and framing fields and the
//! connection's are written here alone.

use super::characters::{is_control, is_token};
use super::status::status_line;
use std::fmt;

/// The interim response that asks for the content (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a response says before its content.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The status, of three digits: 100 to 999.
    pub status: u16,
    /// The caller's fields, as [`encode_field`] wrote them.
    pub fields: &'a [u8],
    /// How the content is framed.
    pub content: ContentLength,
    /// What becomes of the connection.
    pub connection: ConnectionHeader,
    /// The date, in the form of RFC 9110 §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub date: &'a [u8; 29],
}

/// How the content of a response is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentLength {
    /// Content-Length. To HEAD, and with 304, the length that the content would have: none is sent.
    Known(u64),
    /// `Transfer-Encoding: chunked`; not for HTTP/1.0.
    Chunked,
    /// No framing field: 101, 204, or content that the end of the connection ends.
    None,
}

/// What a response says of the connection (RFC 9112 §9.6, RFC 9110 §7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionHeader {
    /// Nothing: it persists in HTTP/1.1, and closes in HTTP/1.0.
    Implied,
    /// `close`.
    Close,
    /// `keep-alive`, for HTTP/1.0.
    KeepAlive,
    /// `Upgrade`, with `Upgrade: websocket`: for 101, and for 426 (RFC 9110 §15.5.22).
    Upgrade,
}

/// Appends a response head, its empty line included.
///
/// Responses that cannot have content, 1xx and 204, get no framing field, whatever is asked for
/// (RFC 9110 §8.6, RFC 9112 §6.1).
#[inline(always)]
pub fn encode_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.reserve(FIXED_BYTES_MAX + head.fields.len());
    if head.status == 200 {
        // Its length is known here, so that it is not a call that copies it.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    } else {
        match status_line(head.status) {
            Some(line) => out.extend_from_slice(line),
            None => {
                // RFC 9112 §4: the space stays, the reason may be absent.
                out.extend_from_slice(b"HTTP/1.1 ");
                push_decimal(out, u64::from(head.status));
                out.extend_from_slice(b" \r\n");
            }
        }
        out.extend_from_slice(b"Date: ");
    }
    out.extend_from_slice(head.date);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head.fields);
    if !matches!(head.status, 100..=199 | 204) {
        match head.content {
            ContentLength::Known(length) => {
                out.extend_from_slice(b"Content-Length: ");
                push_decimal(out, length);
                out.extend_from_slice(b"\r\n");
            }
            ContentLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            ContentLength::None => {}
        }
    }
    match head.connection {
        ConnectionHeader::Implied => out.extend_from_slice(b"\r\n"),
        ConnectionHeader::Close => out.extend_from_slice(b"Connection: close\r\n\r\n"),
        ConnectionHeader::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        ConnectionHeader::Upgrade => {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        }
    }
}

/// More than everything in a head but the caller's fields.
const FIXED_BYTES_MAX: usize = 256;

/// Why a field cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldError {
    /// The name is not a token (RFC 9110 §5.1).
    Name,
    /// The value holds a line break or another control character (RFC 9110 §5.5).
    Value,
    /// The field is the server's own: it frames the content or governs the connection.
    Reserved,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldError::Name => "the field name is not a token",
            FieldError::Value => "the field value contains a control character",
            FieldError::Reserved => "the field is written by the server itself",
        })
    }
}

impl std::error::Error for FieldError {}

/// Appends a field line, for [`ResponseHead::fields`]. White space around the value is left off: it
/// would not be part of it (RFC 9110 §5.5).
///
/// # Errors
/// [`FieldError`]; nothing is appended then.
///
/// ```
/// use fleeting::http1::encode_field;
///
/// let mut fields = Vec::new();
/// encode_field(&mut fields, "X-Id", b"1").unwrap();
/// assert_eq!(fields, b"X-Id: 1\r\n");
/// assert!(encode_field(&mut fields, "X-Id", b"1\r\nSet-Cookie: stolen").is_err());
/// ```
pub fn encode_field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), FieldError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(FieldError::Name);
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return Err(FieldError::Reserved);
    }
    if !is_value(value) {
        return Err(FieldError::Value);
    }
    let value = value.trim_ascii();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Fields that [`encode_head`] writes, or that only it might.
const RESERVED: &[&str] =
    &["connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// RFC 9110 §5.5, white space at the ends let pass.
#[inline]
fn is_value(value: &[u8]) -> bool {
    // No early way out, so that many bytes are looked at at once.
    !value.iter().fold(false, |bad, &b| bad | is_control(b))
}

/// Appends the line that a chunk of `size` bytes begins with, for who sends the data from elsewhere, and a
/// CRLF behind it. None may be of no bytes: it would be the last one.
pub fn encode_chunk_size(out: &mut Vec<u8>, size: usize) {
    debug_assert!(size > 0, "a chunk without data ends the content");
    let mut line = [0; SIZE_LINE_MAX];
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut left = size;
    while left > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[left % 16];
        left /= 16;
    }
    out.extend_from_slice(&line[at..]);
}

/// Bytes of a chunk's size, and its CRLF.
const SIZE_LINE_MAX: usize = 18;

/// Appends the last chunk and an empty trailer section: the content ends.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn push_decimal(out: &mut Vec<u8>, number: u64) {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[0; 2]; 100];
        let mut i = 0;
        while i < 100 {
            pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
            i += 1;
        }
        pairs
    };
    if number >= 100 {
        push_decimal(out, number / 100);
        out.extend_from_slice(&PAIRS[(number % 100) as usize]);
    } else if number >= 10 {
        out.extend_from_slice(&PAIRS[number as usize]);
    } else {
        out.push(b'0' + number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    const HEAD: ResponseHead<'static> = ResponseHead {
        status: 200,
        fields: b"",
        content: ContentLength::Known(0),
        connection: ConnectionHeader::Implied,
        date: DATE,
    };

    #[test]
    fn heads() {
        fn check(head: ResponseHead<'_>, expected: &str) {
            let mut out = Vec::new();
            encode_head(&mut out, &head);
            let text = String::from_utf8(out).unwrap();
            let text = text.replace("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "@").replace("\r\n", "|");
            assert_eq!(text, expected);
        }
        check(HEAD, "HTTP/1.1 200 OK|@Content-Length: 0||");
        check(ResponseHead { status: 299, ..HEAD }, "HTTP/1.1 299 |@Content-Length: 0||");
        check(ResponseHead { status: 204, ..HEAD }, "HTTP/1.1 204 No Content|@|");
        check(
            ResponseHead { status: 204, content: ContentLength::Chunked, ..HEAD },
            "HTTP/1.1 204 No Content|@|",
        );
        check(
            ResponseHead { status: 304, content: ContentLength::Known(7), ..HEAD },
            "HTTP/1.1 304 Not Modified|@Content-Length: 7||",
        );
        check(
            ResponseHead { status: 101, connection: ConnectionHeader::Upgrade, ..HEAD },
            "HTTP/1.1 101 Switching Protocols|@Connection: Upgrade|Upgrade: websocket||",
        );
        check(
            ResponseHead {
                status: 404,
                fields: b"A: b\r\n",
                content: ContentLength::Chunked,
                connection: ConnectionHeader::Close,
                ..HEAD
            },
            "HTTP/1.1 404 Not Found|@A: b|Transfer-Encoding: chunked|Connection: close||",
        );
        check(
            ResponseHead { content: ContentLength::None, connection: ConnectionHeader::KeepAlive, ..HEAD },
            "HTTP/1.1 200 OK|@Connection: keep-alive||",
        );
    }

    #[test]
    fn the_longest_head_fits_what_is_reserved() {
        for status in 100..600 {
            let mut out = Vec::new();
            let head = ResponseHead {
                status,
                content: ContentLength::Known(u64::MAX),
                connection: ConnectionHeader::Upgrade,
                ..HEAD
            };
            encode_head(&mut out, &head);
            assert!(out.len() <= FIXED_BYTES_MAX, "{status}: {}", out.len());
        }
    }

    #[test]
    fn decimals() {
        for number in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1_048_576, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn fields() {
        fn check(name: &str, value: &[u8], expected: Result<&str, FieldError>) {
            let mut out = b"before".to_vec();
            let result = encode_field(&mut out, name, value);
            let text = String::from_utf8_lossy(&out["before".len()..]).into_owned();
            assert_eq!(result.map(|()| &*text), expected, "{name:?}: {value:?}");
            assert!(result.is_ok() || text.is_empty());
        }
        check("X-Id", b"1", Ok("X-Id: 1\r\n"));
        check("x", b"", Ok("x: \r\n"));
        check("x", b" \ta\tb ", Ok("x: a\tb\r\n"));
        check("x", "caf\u{e9}".as_bytes(), Ok("x: caf\u{e9}\r\n"));
        check("", b"1", Err(FieldError::Name));
        check("a b", b"1", Err(FieldError::Name));
        check("a:", b"1", Err(FieldError::Name));
        check("a\r\n", b"1", Err(FieldError::Name));
        check("caf\u{e9}", b"1", Err(FieldError::Name));
        for bad in [&b"a\rb"[..], b"a\nb", b"a\0b", b"a\x1bb", b"a\x7fb", b"a\r\n", b"\n"] {
            check("x", bad, Err(FieldError::Value));
        }
        for name in RESERVED {
            check(name, b"1", Err(FieldError::Reserved));
        }
        check("Content-LENGTH", b"1", Err(FieldError::Reserved));
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        fn check(size: usize, expected: &str) {
            let mut out = Vec::new();
            encode_chunk_size(&mut out, size);
            assert_eq!(out.escape_ascii().to_string(), expected);
        }
        check(1, "1\\r\\n");
        check(10, "a\\r\\n");
        check(16, "10\\r\\n");
        check(0x1a0, "1a0\\r\\n");
        check(usize::MAX, &format!("{:x}\\r\\n", usize::MAX));
    }

    #[test]
    fn the_last_chunk_has_an_empty_trailer_section() {
        let mut out = Vec::new();
        encode_last_chunk(&mut out);
        assert_eq!(out, b"0\r\n\r\n");
    }
}
