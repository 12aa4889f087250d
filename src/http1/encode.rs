//! Writes response heads and the lines around chunks.
//!
//! It appends to a buffer and knows neither the content nor the request. Its invariant: it writes one
//! well-formed head, whatever its arguments are. No field can end a line, and only this file writes the
//! fields for the framing and the connection.

use super::characters::{is_control, is_token};
use super::status::status_line;
use std::fmt;

/// The interim response that asks for the content (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A response head, to be written by [`encode_head`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The status code, with three digits: 100 to 999.
    pub status: u16,
    /// The caller's field lines, written by [`encode_field`].
    pub fields: &'a [u8],
    /// How the content is framed.
    pub content: ContentLength,
    /// What the head says about the connection.
    pub connection: ConnectionHeader,
    /// The Date field's value as an IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub date: &'a [u8; 29],
}

impl<'a> ResponseHead<'a> {
    /// Creates a head without additional fields. An HTTP/1.1 connection persists.
    pub const fn new(status: u16, content: ContentLength, date: &'a [u8; 29]) -> ResponseHead<'a> {
        ResponseHead { status, fields: b"", content, connection: ConnectionHeader::Implied, date }
    }
}

/// How the content of a response is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentLength {
    /// Content-Length, in bytes. In an answer to HEAD and with status 304 it is the length that the content
    /// would have; no content follows.
    Known(u64),
    /// `Transfer-Encoding: chunked`. An HTTP/1.0 client does not understand it.
    Chunked,
    /// No framing field: for 101 and 204, or for content that ends when the connection closes.
    None,
}

/// What a response head says about the connection (RFC 9112 §9.6, RFC 9110 §7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionHeader {
    /// Nothing: the connection persists in HTTP/1.1 and closes in HTTP/1.0.
    Implied,
    /// `close`.
    Close,
    /// `keep-alive`, for HTTP/1.0.
    KeepAlive,
    /// `Upgrade`, and the field `Upgrade: websocket`: for 101 and 426 (RFC 9110 §15.5.22).
    Upgrade,
    /// `Upgrade` and `close`, and the field `Upgrade: websocket`: for a 426 after which the connection closes.
    UpgradeClose,
}

/// Appends a response head, including its empty line.
///
/// Statuses 1xx and 204 cannot have content and get no framing field, whatever `head.content` is
/// (RFC 9110 §8.6, RFC 9112 §6.1).
///
/// ```
/// use fleeting::http1::{ContentLength, ResponseHead, encode_head};
///
/// let mut out = Vec::new();
/// encode_head(&mut out, &ResponseHead::new(200, ContentLength::Known(2), b"Sun, 06 Nov 1994 08:49:37 GMT"));
/// out.extend_from_slice(b"hi");
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nhi");
/// ```
#[inline(always)]
pub fn encode_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.reserve(FIXED_BYTES_MAX + head.fields.len());
    if head.status == 200 {
        // A constant length lets the compiler copy inline instead of calling memcpy.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    } else {
        match status_line(head.status) {
            Some(line) => out.extend_from_slice(line),
            None => {
                // RFC 9112 §4: the reason phrase is optional, the space before it is not.
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
                push_last_decimal(out, length);
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
        ConnectionHeader::UpgradeClose => {
            out.extend_from_slice(b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n");
        }
    }
}

/// An upper bound of a head's length in bytes, without the caller's fields.
const FIXED_BYTES_MAX: usize = 256;

/// Why [`encode_field`] rejects a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldError {
    /// The name is not a token (RFC 9110 §5.1).
    Name,
    /// The value contains a line break or another control character (RFC 9110 §5.5).
    Value,
    /// Only the server writes this field: it frames the content or governs the connection.
    Reserved,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldError::Name => "the field name is not a token",
            FieldError::Value => "the field value contains a control character",
            FieldError::Reserved => "only the server writes this field",
        })
    }
}

impl std::error::Error for FieldError {}

/// Appends a field line, for [`ResponseHead::fields`].
///
/// White space around the value is dropped, because it is not part of the value (RFC 9110 §5.5).
///
/// # Errors
/// Returns a [`FieldError`], and appends nothing, if the name is not a token, if the value contains a
/// control character, or if only the server writes the field: Connection, Content-Length, Date, Keep-Alive,
/// TE, Trailer, Transfer-Encoding and Upgrade.
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

/// Fields that [`encode_head`] writes or could write.
const RESERVED: &[&str] =
    &["connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Returns whether `value` is a field value (RFC 9110 §5.5); white space at its ends is allowed.
#[inline]
fn is_value(value: &[u8]) -> bool {
    // Without an early return the compiler checks many bytes at once.
    !value.iter().fold(false, |bad, &b| bad | is_control(b))
}

/// Appends the line that begins a chunk of `size` bytes (RFC 9112 §7.1). The caller appends the data and a
/// CRLF.
///
/// `size` must not be 0, because that would be the last chunk.
///
/// ```
/// use fleeting::http1::{encode_chunk_size, encode_last_chunk};
///
/// let mut out = Vec::new();
/// encode_chunk_size(&mut out, 10);
/// out.extend_from_slice(b"ten bytes!\r\n");
/// encode_last_chunk(&mut out);
/// assert_eq!(out, b"a\r\nten bytes!\r\n0\r\n\r\n");
/// ```
///
/// # Panics
/// In a debug build, if `size` is 0.
pub fn encode_chunk_size(out: &mut Vec<u8>, size: usize) {
    out.extend_from_slice(chunk_size_line(size, &mut [0; SIZE_LINE_MAX]));
}

/// Returns the line before a chunk of `size` bytes, in `line`.
pub(crate) fn chunk_size_line(size: usize, line: &mut [u8; SIZE_LINE_MAX]) -> &[u8] {
    debug_assert!(size > 0, "a chunk without data ends the content");
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut left = size;
    while left > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[left % 16];
        left /= 16;
    }
    &line[at..]
}

/// The length of the longest line with a chunk size, including its CRLF.
pub(crate) const SIZE_LINE_MAX: usize = 18;

/// Appends the last chunk and an empty trailer section, which end the content (RFC 9112 §7.1).
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends a number and the end of its line, in one piece with the last digits.
#[inline]
fn push_last_decimal(out: &mut Vec<u8>, number: u64) {
    if number < 10 {
        return out.extend_from_slice(&[b'0' + number as u8, b'\r', b'\n']);
    }
    if number >= 100 {
        push_decimal(out, number / 100);
    }
    let [tens, ones] = PAIRS[(number % 100) as usize];
    out.extend_from_slice(&[tens, ones, b'\r', b'\n']);
}

/// Appends a number.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= 100 {
        push_decimal(out, number / 100);
        out.extend_from_slice(&PAIRS[(number % 100) as usize]);
    } else if number >= 10 {
        out.extend_from_slice(&PAIRS[number as usize]);
    } else {
        out.push(b'0' + number as u8);
    }
}

/// The numbers below 100 with two digits.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

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
    fn heads_have_the_fields_that_their_status_allows() {
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
    fn numbers_are_written_in_decimal() {
        for number in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1_048_576, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            push_last_decimal(&mut out, number);
            push_decimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number}\r\n{number}"));
        }
    }

    #[test]
    fn a_field_that_could_break_the_head_is_refused() {
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
