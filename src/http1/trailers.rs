//! The trailer section of chunked content (RFC 9112 §7.1.2).
//!
//! It knows which fields a trailer must not contain: it refuses those that decide where a request ends or goes, drops the
//! others of them, and leaves the rest to the handler. Its input has been scanned: lines end in CRLF and contain no control
//! characters except HTAB.

use super::Refusal;
use super::fields::{FieldSpan, Fields, Span};
use super::parse::no_limits;
use super::scan::narrow;
use crate::arena::Arena;
use crate::config::Limits;
use httparse::{EMPTY_HEADER, Error, Status};

/// Fields that frame the content or route the request. A recipient that merged one of them into the head would read another
/// request than this server, so they are refused.
pub(crate) const REFUSED: &[&str] = &["content-length", "host", "transfer-encoding"];

/// Further fields that must precede the content, because they describe the connection, the content, or how the request is
/// to be handled. A sender must not put them into a trailer, and a recipient drops them (RFC 9110 §6.5.1).
pub(crate) const DROPPED: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "upgrade",
];

/// Parses a whole trailer section, including its empty line.
pub(super) fn parse<'r>(section: &'r [u8], arena: &'r Arena, limits: &Limits) -> Result<Fields<'r>, Refusal> {
    if section == b"\r\n" {
        return Ok(Fields::default());
    }
    let lines = section.iter().filter(|&&b| b == b'\n').count() - 1;
    if lines > limits.headers {
        return Err(Refusal::TooManyFields);
    }
    let table = arena.alloc_slice_with(lines, |_| EMPTY_HEADER);
    let headers = match httparse::parse_headers(section, table) {
        Ok(Status::Complete((_, headers))) => headers,
        Err(Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
        Ok(Status::Partial) | Err(_) => return Err(Refusal::TrailerLine),
    };
    if headers.iter().any(|field| is_among(REFUSED, field.name)) {
        return Err(Refusal::TrailerForbidden);
    }
    let span = |part: &[u8]| Span {
        at: narrow((part.as_ptr() as usize).wrapping_sub(section.as_ptr() as usize)),
        len: narrow(part.len()),
    };
    let mut spans = arena.list(headers.len());
    for field in headers.iter().filter(|field| !is_among(DROPPED, field.name)) {
        spans.push(FieldSpan { name: span(field.name.as_bytes()), value: span(field.value) });
    }
    Ok(Fields::new(section, spans.finish()))
}

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

impl<'r> Fields<'r> {
    /// Returns the trailer section that these fields were parsed from; empty if there was none.
    pub(crate) fn trailer_bytes(&self) -> &'r [u8] {
        self.section()
    }

    /// Parses the [`bytes`](Fields::trailer_bytes) of an accepted section, or a copy of them, again.
    pub(crate) fn read_trailers_again(bytes: &'r [u8], arena: &'r Arena) -> Option<Fields<'r>> {
        if bytes.is_empty() { Some(Fields::default()) } else { parse(bytes, arena, &no_limits()).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Add;

    #[test]
    fn trailers_are_parsed_or_refused() {
        fn check(section: &str, expected: Result<&[(&str, &str)], Refusal>) {
            let arena = Arena::new(4096);
            let limits = Limits { headers: 3, ..Limits::default() };
            let found = parse(section.as_bytes(), &arena, &limits).map(|fields| {
                let again =
                    Fields::read_trailers_again(fields.trailer_bytes(), &arena).expect("accepted before");
                assert_eq!(format!("{again:?}"), format!("{fields:?}"));
                fields.iter().map(|(n, v)| (n, std::str::from_utf8(v).unwrap())).collect::<Vec<_>>()
            });
            assert_eq!(found.as_deref(), expected.as_ref().map(|f| *f), "{section:?}");
        }
        check("\r\n", Ok(&[]));
        check("X-Sum: 1\r\n\r\n", Ok(&[("X-Sum", "1")]));
        check("a:\r\nb: c \r\nd:\te\r\n\r\n", Ok(&[("a", ""), ("b", "c"), ("d", "e")]));
        check("a:b\r\na:b\r\na:b\r\na:b\r\n\r\n", Err(Refusal::TooManyFields));
        check("a\r\n\r\n", Err(Refusal::TrailerLine));
        check("a : b\r\n\r\n", Err(Refusal::TrailerLine));
        check(" a: b\r\n\r\n", Err(Refusal::TrailerLine));
        check("a: b\r\n c\r\n\r\n", Err(Refusal::TrailerLine));
        check("Content-length: 5\r\n\r\n", Err(Refusal::TrailerForbidden));
        check("X: 1\r\nHOST: a\r\n\r\n", Err(Refusal::TrailerForbidden));
        for name in REFUSED {
            check(&format!("{name}: x\r\n\r\n"), Err(Refusal::TrailerForbidden));
            check(&format!("Cookie: x\r\n{name}: x\r\n\r\n"), Err(Refusal::TrailerForbidden));
        }
        // Finding E5.
        check("Content-Type: text/plain\r\n\r\n", Ok(&[]));
        for name in DROPPED {
            check(&format!("a: b\r\n{name}: x\r\nc: d\r\n\r\n"), Ok(&[("a", "b"), ("c", "d")]));
            // It counts and is parsed like any other.
            check(&format!("{name}: x\r\n").repeat(4).add("\r\n"), Err(Refusal::TooManyFields));
            check(&format!("{name} : x\r\n\r\n"), Err(Refusal::TrailerLine));
        }
    }
}
