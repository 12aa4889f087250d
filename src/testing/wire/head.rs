//! The parts of a response: its head, its chunks, its trailers.
//!
//! It knows no connection and no request but whether it was HEAD. Its invariant: each function returns `None` exactly
//! while more bytes are needed.

use std::fmt;
use std::ops::Range;

/// What is wrong with bytes that a server has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes the error for `bytes`, of which a message shows no more than a line.
pub(super) fn malformed(what: &str, bytes: &[u8]) -> Malformed {
    const SHOWN: usize = 100;
    let more = if bytes.len() > SHOWN { "..." } else { "" };
    Malformed(format!("{what}: \"{}{more}\"", bytes[..bytes.len().min(SHOWN)].escape_ascii()))
}

/// The head of a response, as it was on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    status: u16,
    /// The status line and the field lines with the empty line behind them. They were checked.
    bytes: Vec<u8>,
}

/// Where the content of a response ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes.
    Length(usize),
    /// With the last chunk and the trailers.
    Chunked,
    /// With the connection.
    UntilEnd,
}

/// Where a chunk's data lies, and where the chunk ends. The last chunk has no data; the trailers follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub data: Range<usize>,
    pub end: usize,
}

const VERSION: &[u8] = b"HTTP/1.1 ";
/// More than a line with a chunk's size takes.
const SIZE_LINE_BYTES_MAX: usize = 1024;

impl Head {
    /// Reads the head that `bytes` begin with.
    ///
    /// # Errors
    /// If it breaks the grammar of RFC 9112 §4 or §5, or is of another version than HTTP/1.1.
    pub fn read(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
        let known = bytes.len().min(VERSION.len());
        if bytes[..known] != VERSION[..known] {
            return Err(malformed("not a response of HTTP/1.1", bytes));
        }
        let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let bytes = &bytes[..end + 4];
        let line = &bytes[..find(bytes, b"\r\n").unwrap_or(end)];
        let status = match line[VERSION.len()..] {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ref reason @ ..]
                if reason.iter().all(|byte| is_text(*byte)) =>
            {
                [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
            }
            _ => return Err(malformed("not a status line", line)),
        };
        check_fields(&bytes[line.len() + 2..])?;
        Ok(Some(Head { status, bytes: bytes.to_vec() }))
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the status line and the field lines, as they were on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the names and values of the fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        field_lines(&self.bytes[find(&self.bytes, b"\r\n").map_or(0, |at| at + 2)..])
    }

    /// Returns the values of the fields with this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns where the content ends. `to_head`: the request was HEAD.
    ///
    /// # Errors
    /// If the fields contradict each other or the status: RFC 9112 §6, RFC 9110 §8.6.
    pub fn framing(&self, to_head: bool) -> Result<Framing, Malformed> {
        let mut lengths = self.values("content-length");
        let mut codings = self.values("transfer-encoding");
        let (length, coding) = (lengths.next(), codings.next());
        if lengths.next().is_some() || codings.next().is_some() || (length.is_some() && coding.is_some()) {
            return Err(malformed("more than one framing of the content", &self.bytes));
        }
        let bodiless = matches!(self.status, 100..=199 | 204);
        if bodiless && (length.is_some() || coding.is_some()) {
            return Err(malformed("a framing field, and a status without content", &self.bytes));
        }
        let framing = match (length, coding) {
            (Some(length), _) => Framing::Length(number(length, 10)?),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (None, Some(coding)) => return Err(malformed("an unknown transfer coding", coding)),
            (None, None) => Framing::UntilEnd,
        };
        Ok(if to_head || bodiless || self.status == 304 { Framing::Empty } else { framing })
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.bytes), f)
    }
}

/// Reads the chunk that `bytes` begin with (RFC 9112 §7.1).
///
/// # Errors
/// If its size is no hexadecimal number, or its data is longer than that.
pub fn chunk(bytes: &[u8]) -> Result<Option<Chunk>, Malformed> {
    let Some(line) = find(&bytes[..bytes.len().min(SIZE_LINE_BYTES_MAX)], b"\r\n") else {
        return match bytes.len() < SIZE_LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(malformed("not the size of a chunk", bytes)),
        };
    };
    let size = bytes[..line].split(|byte| *byte == b';').next().unwrap_or_default();
    let size = number(size.trim_ascii_end(), 16)?;
    let data = line + 2..(line + 2).saturating_add(size);
    if size == 0 {
        return Ok(Some(Chunk { end: data.end, data }));
    }
    let Some(behind) = bytes.get(data.end..).and_then(|behind| behind.get(..2)) else { return Ok(None) };
    if behind != b"\r\n" {
        return Err(malformed("no line end behind the data of a chunk", behind));
    }
    Ok(Some(Chunk { end: data.end + 2, data }))
}

/// Reads the trailer section that `bytes` begin with (RFC 9112 §7.1.2), and returns its length with the empty line that
/// ends it.
pub(super) fn trailers(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let end = match bytes.starts_with(b"\r\n") {
        true => 2,
        false => match find(bytes, b"\r\n\r\n") {
            Some(end) => end + 4,
            None => return Ok(None),
        },
    };
    check_fields(&bytes[..end])?;
    Ok(Some(end))
}

/// Returns the names and values of checked field lines.
pub(in crate::testing) fn field_lines(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
    })
}

/// Checks field lines and the empty line behind them (RFC 9112 §5).
fn check_fields(mut lines: &[u8]) -> Result<(), Malformed> {
    while let Some(end) = find(lines, b"\r\n").filter(|end| *end > 0) {
        let line = &lines[..end];
        lines = &lines[end + 2..];
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let (name, value) = line.split_at(colon);
        if name.is_empty()
            || !name.iter().all(|byte| is_token(*byte))
            || !value.iter().all(|byte| is_text(*byte))
        {
            return Err(malformed("not a field line", line));
        }
    }
    Ok(())
}

fn number(digits: &[u8], radix: u32) -> Result<usize, Malformed> {
    let number =
        std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, radix).ok());
    // A sign is no digit.
    number.filter(|_| !digits.starts_with(b"+")).ok_or_else(|| malformed("not a length", digits))
}

/// RFC 9110 §5.5: text in a field value.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// RFC 9110 §5.6.2.
pub(in crate::testing) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}")).expect("the head is complete")
    }

    #[test]
    fn a_head_is_complete_with_its_empty_line() {
        let text = "HTTP/1.1 404 Not Found\r\nDate: x\r\nset-cookie: a=b\r\nSet-Cookie:\tc \r\n\r\n";
        for length in 0..text.len() {
            assert_eq!(Head::read(&text.as_bytes()[..length]), Ok(None), "{length}");
        }
        let head = head(&format!("{text}rest"));
        assert_eq!((head.status(), head.bytes()), (404, text.as_bytes()));
        assert_eq!(head.values("SET-COOKIE").collect::<Vec<_>>(), [&b"a=b"[..], b"c"]);
        assert_eq!(head.fields().count(), 3);
    }

    #[test]
    fn a_malformed_head_is_refused_with_the_reason() {
        for (bad, reason) in [
            ("HTTP/1.0 200 OK\r\n\r\n", "not a response of HTTP/1.1"),
            ("hello", "not a response of HTTP/1.1"),
            ("HTTP/1.1 20 OK\r\n\r\n", "not a status line"),
            ("HTTP/1.1 200\r\n\r\n", "not a status line"),
            ("HTTP/1.1 099 X\r\n\r\n", "not a status line"),
            ("HTTP/1.1 200 O\nK\r\n\r\n", "not a status line"),
            ("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "not a field line"),
            ("HTTP/1.1 200 OK\r\n: c\r\n\r\n", "not a field line"),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "not a field line"),
            ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", "not a field line"),
        ] {
            let error = Head::read(bad.as_bytes()).expect_err(bad).to_string();
            assert!(error.starts_with(reason), "{bad:?}: {error}");
        }
    }

    #[test]
    fn the_framing_follows_from_the_status_the_fields_and_the_method() {
        let framing = |status: u16, fields: &str, to_head| {
            head(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n")).framing(to_head).ok()
        };
        let (length, chunked) = ("Content-Length: 12\r\n", "Transfer-Encoding: chunked\r\n");
        assert_eq!(framing(200, length, false), Some(Framing::Length(12)));
        assert_eq!(framing(200, chunked, false), Some(Framing::Chunked));
        assert_eq!(framing(200, "", false), Some(Framing::UntilEnd));
        assert_eq!(framing(200, length, true), Some(Framing::Empty));
        assert_eq!(framing(200, chunked, true), Some(Framing::Empty));
        assert_eq!(framing(304, length, false), Some(Framing::Empty));
        for status in [100, 101, 103, 204] {
            assert_eq!(framing(status, "", false), Some(Framing::Empty));
            assert_eq!(framing(status, length, false), None);
            assert_eq!(framing(status, chunked, false), None);
        }
        assert_eq!(framing(200, &length.repeat(2), false), None);
        assert_eq!(framing(200, &format!("{length}{chunked}"), false), None);
        for bad in ["Content-Length: +1\r\n", "Content-Length: \r\n", "Transfer-Encoding: gzip, chunked\r\n"]
        {
            assert_eq!(framing(200, bad, false), None, "{bad}");
        }
    }

    #[test]
    fn a_chunk_is_its_size_its_data_and_two_line_ends() {
        let text = b"00a;x=\"y\"\r\n0123456789\r\n";
        for length in 0..text.len() {
            assert_eq!(chunk(&text[..length]), Ok(None), "{length}");
        }
        assert_eq!(chunk(text), Ok(Some(Chunk { data: 11..21, end: 23 })));
        assert_eq!(chunk(b"0\r\n\r\n"), Ok(Some(Chunk { data: 3..3, end: 3 })));
        for bad in [&b"g\r\n"[..], b"\r\n", b"+1\r\nx\r\n", b"1\r\nxy\r\n", b"11111111111111111\r\n"] {
            assert!(chunk(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert_eq!((trailers(b"\r\n").ok(), trailers(b"A: b\r\n\r\nx").ok()), (Some(Some(2)), Some(Some(8))));
        assert_eq!((trailers(b"\r"), trailers(b"A: b\r\n\r")), (Ok(None), Ok(None)));
        assert!(trailers(b"nothing\r\n\r\n").is_err());
    }
}
