//! Parses the bytes of a head into a checked [`Head`].
//!
//! The lexer ([`lex`]) finds the parts of a head of the common form, and httparse finds the parts of any
//! other head. This file checks that the parts form a valid head. It knows no state: the result depends on
//! the head's bytes and the limits alone. Its invariant: it accepts what a [`Scan`] followed by the checks
//! would accept, so lines end in CRLF and nothing else, and the limits hold.
//!
//! The result is a [`ParsedHead`] of offsets. The caller needs the bytes behind the head mutably, and slices
//! would keep the whole input borrowed.
//!
//! [`Scan`]: super::scan::Scan

use super::fields::{FieldSpan, Fields, Span};
use super::framing_fields::FramingFields;
use super::lex::{self, HeadParts};
use super::scan::{Bounds, narrow, section_max};
use super::{Framing, Head, Method, Refusal, Version, target};
use crate::arena::Arena;
use crate::config::Limits;
use httparse::{Error, Header, Request, Status};
use std::mem::MaybeUninit;

/// Room in a request line for everything except the target, in bytes: method, version, spaces and CRLF.
const REQUEST_LINE_SLACK: usize = 64;

/// A checked head, as offsets into its bytes.
pub(super) struct ParsedHead<'r> {
    pub(super) len: usize,
    parts: HeadParts<'r>,
    /// The Host field or the target's authority.
    host: Span,
    framing: Framing,
}

/// Why a head could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParseError {
    /// The head is incomplete, or a [`Scan`] must find what is wrong with it, and where.
    ///
    /// [`Scan`]: super::scan::Scan
    NeedsScan,
    Refused(Refusal),
}

impl From<Refusal> for ParseError {
    fn from(refusal: Refusal) -> ParseError {
        ParseError::Refused(refusal)
    }
}

impl<'r> ParsedHead<'r> {
    /// Returns the head as slices of `bytes`, which it was parsed from.
    #[inline(always)]
    pub(super) fn into_head(self, bytes: &'r [u8]) -> Head<'r> {
        let ParsedHead { len, parts, host, framing } = self;
        let HeadParts { method, target, target_spans, version, fields, framing_fields, .. } = parts;
        let http11 = version == Version::Http11;
        Head {
            method: method.unwrap_or_else(|| Method::from(Span { at: 0, len: target.at - 1 }.text(bytes))),
            target: target_spans.into_target(target.bytes(bytes)),
            version,
            fields: Fields::new(bytes, fields),
            framing,
            // RFC 9112 §9.3
            keep_alive: !framing_fields.close && (http11 || framing_fields.keep_alive),
            // RFC 9110 §10.1.1: ignored without content, and in HTTP/1.0.
            expects_continue: framing_fields.expects_continue && http11 && !framing.is_empty(),
            // RFC 9110 §7.8: ignored in HTTP/1.0.
            upgrade: framing_fields.websocket && framing_fields.upgrade && http11,
            len,
            host,
        }
    }
}

/// Returns the bounds of a request head.
pub(super) fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        first_line: limits.target_bytes.saturating_add(REQUEST_LINE_SLACK),
        section: section_max(limits.head_bytes),
        too_large: Refusal::HeadTooLarge,
    }
}

/// Returns limits that are never exceeded, for bytes that have been accepted before.
pub(super) fn no_limits() -> Limits {
    Limits { headers: usize::MAX, head_bytes: usize::MAX, target_bytes: usize::MAX, ..Limits::default() }
}

/// Parses the head that `input` begins with; it must not begin with an empty line.
#[inline(always)]
pub(super) fn head<'r>(
    input: &[u8],
    arena: &'r Arena,
    limits: &Limits,
) -> Result<ParsedHead<'r>, ParseError> {
    match lex::head(input, arena, limits.headers) {
        Some(parts) => {
            #[cfg(test)]
            assert_same(input, &parts, arena, limits);
            check_limits(parts.len, parts.target, limits)?;
            assemble(parts)
        }
        None => assemble(parse_with_httparse(input, arena, limits)?),
    }
}

impl<'r> Head<'r> {
    /// Parses the [`bytes`](Head::bytes) of an accepted head, or a copy of them, again. The limits are not
    /// checked again. Returns `None` if the bytes are not such a head.
    pub(crate) fn read_again(bytes: &'r [u8], arena: &'r Arena) -> Option<&'r Head<'r>> {
        let parsed = head(bytes, arena, &no_limits()).ok()?;
        Some(arena.alloc(parsed.into_head(bytes)))
    }
}

/// Panics if the lexer accepts the head that `input` begins with and httparse reads it differently.
#[doc(hidden)]
pub fn assert_lexer_agrees(input: &[u8], limits: &Limits) {
    let arena = Arena::new(512);
    if let Some(parts) = lex::head(input, &arena, limits.headers) {
        assert_same(input, &parts, &arena, limits);
    }
}

/// Panics unless httparse finds the parts that the lexer has found.
fn assert_same(input: &[u8], lexed: &HeadParts<'_>, arena: &Arena, limits: &Limits) {
    if check_limits(lexed.len, lexed.target, limits).is_ok() {
        let mut parts =
            parse_with_httparse(input, arena, limits).expect("httparse accepts what the lexer accepts");
        parts.method = Method::read(input);
        assert_eq!(*lexed, parts);
    }
}

/// Parses a head that is not of the common form.
#[cold]
fn parse_with_httparse<'r>(
    input: &[u8],
    arena: &'r Arena,
    limits: &Limits,
) -> Result<HeadParts<'r>, ParseError> {
    // The shortest field line has 4 bytes: `a:` and CRLF.
    let fields_max = limits.headers.min(input.len().min(section_max(limits.head_bytes)) / 4);
    let table = arena.alloc_slice_with(fields_max, |_| MaybeUninit::uninit());
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(input, table) {
        Ok(Status::Complete(len)) => httparse_parts(input, len, &request, arena, limits),
        Ok(Status::Partial) => Err(ParseError::NeedsScan),
        Err(error) => match later_minor_version(error, &request, input) {
            Some(minor_at) => {
                let copy = arena.alloc_slice_with(input.len().min(section_max(limits.head_bytes)), |i| {
                    if i == minor_at { b'1' } else { input[i] }
                });
                parse_with_httparse(copy, arena, limits)
            }
            None => Err(refusal_for(error, &request, input).into()),
        },
    }
}

/// Returns the position of the minor version if it is the only thing that httparse refuses about the request line: the
/// version is one from HTTP/1.2 to HTTP/1.9. It is read like HTTP/1.1 (RFC 9110 §2.5).
fn later_minor_version(error: Error, request: &Request<'_, '_>, input: &[u8]) -> Option<usize> {
    let (Error::Version, Some(method), Some(target)) = (error, request.method, request.path) else {
        return None;
    };
    let version_at = method.len() + target.len() + 2;
    match input.get(version_at..)? {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', b'\r', ..] => {
            Some(version_at + "HTTP/1.".len())
        }
        _ => None,
    }
}

/// Returns the refusal for an error of httparse, depending on how far httparse got.
fn refusal_for(error: Error, request: &Request<'_, '_>, input: &[u8]) -> Refusal {
    match (error, request.method, request.path) {
        (Error::TooManyHeaders, ..) => Refusal::TooManyFields,
        (_, None, _) => Refusal::BadMethod,
        (_, _, None) => Refusal::BadTarget,
        (Error::Version, Some(method), Some(target)) => {
            let word = input.get(method.len() + target.len() + 2..).unwrap_or_default();
            match word {
                // RFC 9112 §2.3: HTTP-version = HTTP-name "/" DIGIT "." DIGIT
                [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', ..]
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    Refusal::UnsupportedVersion
                }
                _ => Refusal::BadVersion,
            }
        }
        _ if request.version.is_none() => Refusal::RequestLine,
        // httparse reports a wrong line break after the version like an error in a field line. The byte
        // after the version distinguishes them.
        (_, Some(method), Some(target)) => match input.get(method.len() + target.len() + 10) {
            Some(b'\r') => Refusal::FieldLine,
            _ => Refusal::RequestLine,
        },
    }
}

/// Converts what httparse has found.
fn httparse_parts<'r>(
    input: &[u8],
    len: usize,
    request: &Request<'_, '_>,
    arena: &'r Arena,
    limits: &Limits,
) -> Result<HeadParts<'r>, ParseError> {
    let (Some(method), Some(raw), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(ParseError::NeedsScan);
    };
    // httparse accepts a bare LF as a line end. RFC 9112 §2.2 allows that, but here it is refused. In what
    // httparse accepts, LF follows every CR, so it is enough to check the byte before each LF: before each
    // name and at the end of the head. The scan then finds the refusal.
    if !input[..len].ends_with(b"\r\n\r\n") {
        return Err(ParseError::NeedsScan);
    }
    let target = Span { at: narrow(method.len() + 1), len: narrow(raw.len()) };
    check_limits(len, target, limits)?;
    let target_spans = target::split(Method::from(method), raw.as_bytes())?;
    let offset = |part: &[u8]| narrow((part.as_ptr() as usize).wrapping_sub(input.as_ptr() as usize));
    let mut lines_end_in_crlf = true;
    let mut framing_fields = FramingFields::new(target_spans.authority.is_some());
    let headers = &*request.headers;
    let fields = arena.alloc_slice_with(headers.len(), |i| {
        let Header { name, value } = headers[i];
        let at = offset(name.as_bytes());
        lines_end_in_crlf &= matches!(input.get((at as usize).wrapping_sub(2)), Some(b'\r'));
        let field = FieldSpan {
            name: Span { at, len: narrow(name.len()) },
            value: Span { at: offset(value), len: narrow(value.len()) },
        };
        framing_fields.inspect(input, name.as_bytes(), field.value);
        field
    });
    if !lines_end_in_crlf {
        return Err(ParseError::NeedsScan);
    }
    Ok(HeadParts {
        len,
        method: None,
        target,
        target_spans,
        version: if minor == 0 { Version::Http10 } else { Version::Http11 },
        fields,
        framing_fields,
    })
}

/// Checks the lengths of a head and its request line against the limits.
#[inline]
fn check_limits(len: usize, target: Span, limits: &Limits) -> Result<(), ParseError> {
    let bounds = bounds(limits);
    let line_len = (target.at + target.len) as usize + " HTTP/1.1\r\n".len();
    if len > bounds.section || line_len > bounds.first_line {
        // The scan finds out which limit was exceeded first.
        return Err(ParseError::NeedsScan);
    }
    if target.len as usize > limits.target_bytes {
        return Err(Refusal::TargetTooLong.into());
    }
    Ok(())
}

/// Checks a head as a whole. Each of its parts is well-formed.
#[inline(always)]
fn assemble(parts: HeadParts<'_>) -> Result<ParsedHead<'_>, ParseError> {
    let HeadParts { len, target, target_spans, version, .. } = parts;
    let framing = parts.framing_fields.framing(version)?;
    let host = match (target_spans.authority, parts.framing_fields.host, version) {
        // RFC 9112 §3.2: HTTP/1.1 requires exactly one Host, whatever the target is.
        (_, None, Version::Http11) => return Err(Refusal::HostMissing.into()),
        // RFC 9112 §3.2.2: the target's authority takes precedence.
        (Some(authority), ..) => Span { at: target.at + authority.at, ..authority },
        (None, host, _) => host.unwrap_or_default(),
    };
    Ok(ParsedHead { len, parts, host, framing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expected: Result<&str, Refusal>) {
        let arena = Arena::new(4096);
        let bytes = head.as_bytes();
        let found = super::head(bytes, &arena, &Limits::default()).map(|parsed| {
            let head = parsed.into_head(bytes);
            assert_eq!((head.len, head.bytes()), (bytes.len(), bytes));
            let again = Head::read_again(bytes, &arena).expect("accepted before");
            assert_eq!(format!("{again:?} {}", again.host()), format!("{head:?} {}", head.host()));
            let flags =
                [(head.keep_alive, "keep"), (head.expects_continue, "continue"), (head.upgrade, "ws")];
            let flags: Vec<_> = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
            format!("{:?} {} [{}]", head.framing, flags.join("+"), head.host())
        });
        let found = found.map_err(|error| match error {
            ParseError::Refused(refusal) => refusal,
            ParseError::NeedsScan => panic!("{head:?} needs a scan"),
        });
        assert_eq!(found.as_deref(), expected.as_deref(), "{head:?}");
    }

    fn check_fields(fields: &str, expected: Result<&str, Refusal>) {
        check(&format!("POST / HTTP/1.1\r\n{fields}\r\n"), expected);
    }

    #[test]
    fn request_lines_are_accepted_or_refused() {
        let refused = |line: &str, refusal| check(&format!("{line}\r\nHost: a\r\n\r\n"), Err(refusal));
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("None keep [a]"));
        check("BREW /x?y HTTP/1.1\r\nHost: a\r\n\r\n", Ok("None keep [a]"));
        check("GET / HTTP/1.0\r\n\r\n", Ok("None  []"));
        refused("GET /", Refusal::BadTarget);
        refused("GET", Refusal::BadMethod);
        refused("GET HTTP/1.1", Refusal::BadTarget);
        refused("GET /a b HTTP/1.1", Refusal::BadVersion);
        refused("GET  / HTTP/1.1", Refusal::BadTarget);
        refused("GET /  HTTP/1.1", Refusal::BadVersion);
        refused(" GET / HTTP/1.1", Refusal::BadMethod);
        refused("G(T / HTTP/1.1", Refusal::BadMethod);
        refused("GET / HTTP/1.1 ", Refusal::RequestLine);
        refused("GET / HTTP/1.11", Refusal::RequestLine);
        refused("GET / HTTP/2.0", Refusal::UnsupportedVersion);
        refused("PRI * HTTP/2.0", Refusal::UnsupportedVersion);
        refused("GET / HTTP/0.9", Refusal::UnsupportedVersion);
        refused("GET / HTTP/2", Refusal::BadVersion);
        refused("GET / HTTP/10.0", Refusal::BadVersion);
        refused("GET / HTTP/x.y", Refusal::BadVersion);
        refused("GET / http/1.1", Refusal::BadVersion);
        refused("GET / ", Refusal::BadVersion);
        refused("GET index HTTP/1.1", Refusal::BadTarget);
        refused("GET /a#b HTTP/1.1", Refusal::BadTarget);
        refused("GET /\u{e9} HTTP/1.1", Refusal::BadTarget);
        refused("GET * HTTP/1.1", Refusal::BadTarget);
    }

    /// Finding E2.
    #[test]
    fn a_later_minor_version_is_read_like_http_1_1() {
        for minor in 2..=9 {
            let with = |fields: &str, expected| {
                check(&format!("POST / HTTP/1.{minor}\r\n{fields}\r\n"), expected);
            };
            with("Host: a\r\n", Ok("None keep [a]"));
            with("Host: a\r\nConnection: close\r\n", Ok("None  [a]"));
            with("Host: a\r\nTransfer-Encoding: chunked\r\n", Ok("Chunked keep [a]"));
            with(
                "Host: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n",
                Ok("Length(1) keep+continue [a]"),
            );
            with("Host: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n", Ok("None keep+ws [a]"));
            with("", Err(Refusal::HostMissing));
            with("Host: a\r\nX-A : b\r\n", Err(Refusal::FieldLine));
            check(&format!("BREW http://b/c HTTP/1.{minor}\r\nHost: a\r\n\r\n"), Ok("None keep [b]"));
        }
        let refused = |line: &str, refusal| check(&format!("{line}\r\nHost: a\r\n\r\n"), Err(refusal));
        refused("GET /a#b HTTP/1.2", Refusal::BadTarget);
        refused("GET / HTTP/1.2 ", Refusal::BadVersion);
        refused("GET / HTTP/1.22", Refusal::BadVersion);
        refused("GET / HTTP/1.", Refusal::BadVersion);
        refused("GET / HTTP/1.a", Refusal::BadVersion);
        refused("GET / HTTP/2.1", Refusal::UnsupportedVersion);
    }

    #[test]
    fn field_lines_are_accepted_or_refused() {
        let refused = |line: &str| check_fields(&format!("Host: a\r\n{line}\r\n"), Err(Refusal::FieldLine));
        refused("X-A : b");
        refused("X-A");
        refused(": b");
        refused(" b");
        refused("X-A: b\r\n c");
        refused("X[A]: b");
        refused("X\u{e9}: b");
        check_fields("Host: a\r\nX-A: caf\u{e9}\r\n", Ok("None keep [a]"));
        check_fields("Host: a\r\nX-A:\r\nX-B: \t\r\n", Ok("None keep [a]"));
        check_fields("Host: \t a \t\r\nx!#$%&'*+-.^_`|~0Z:b\r\n", Ok("None keep [a]"));
        let many = |n: usize| format!("Host: a\r\n{}", "X: y\r\n".repeat(n - 1));
        check_fields(&many(48), Ok("None keep [a]"));
        check_fields(&many(49), Ok("None keep [a]"));
        check_fields(&many(100), Ok("None keep [a]"));
        check_fields(&many(101), Err(Refusal::TooManyFields));
    }

    #[test]
    fn http_1_1_needs_one_valid_host() {
        check_fields("", Err(Refusal::HostMissing));
        check_fields("hOST: a:80\r\n", Ok("None keep [a:80]"));
        check_fields("Host: [::1]:80\r\n", Ok("None keep [[::1]:80]"));
        check_fields("Host: a b\r\n", Err(Refusal::BadHost));
        check_fields("Host: a, b\r\n", Err(Refusal::BadHost));
        check_fields("Host: a/b\r\n", Err(Refusal::BadHost));
        check_fields("Host: a\r\nHost: a\r\n", Err(Refusal::HostTwice));
        check("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Err(Refusal::HostTwice));
        check("GET http://b:1/ HTTP/1.1\r\nHost: a\r\n\r\n", Ok("None keep [b:1]"));
        check("GET http://b:1/ HTTP/1.1\r\n\r\n", Err(Refusal::HostMissing));
        check("GET http://b:1/ HTTP/1.1\r\nHost: a b\r\n\r\n", Err(Refusal::BadHost));
        check("CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n", Ok("None keep [b:1]"));
    }

    /// Finding E1.
    #[test]
    fn an_empty_host_is_refused_unless_the_target_names_one() {
        for host in ["", " ", "\t", ":", ":80"] {
            for start in [
                "POST / HTTP/1.1",
                "POST / HTTP/1.0",
                "BREW / HTTP/1.1",
                "OPTIONS * HTTP/1.1",
                "GET /a HTTP/1.2",
            ] {
                check(&format!("{start}\r\nHost:{host}\r\n\r\n"), Err(Refusal::BadHost));
            }
            check(&format!("GET http://b:1/ HTTP/1.1\r\nHost:{host}\r\n\r\n"), Ok("None keep [b:1]"));
            check(&format!("CONNECT b:1 HTTP/1.1\r\nHost:{host}\r\n\r\n"), Ok("None keep [b:1]"));
        }
        check("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", Err(Refusal::BadHost));
        check_fields("Host:\r\nHost: a\r\n", Err(Refusal::BadHost));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let host = |fields: &str, expected| check_fields(&format!("Host: a\r\n{fields}"), expected);
        let length = |value: &str, expected| host(&format!("Content-Length: {value}\r\n"), expected);
        length("0", Ok("Length(0) keep [a]"));
        length("5", Ok("Length(5) keep [a]"));
        length("005", Ok("Length(5) keep [a]"));
        length("18446744073709551615", Ok("Length(18446744073709551615) keep [a]"));
        for bad in [
            "",
            "18446744073709551616",
            "-5",
            "+5",
            "five",
            "0x5",
            "5 5",
            "5, 5",
            "5,",
            "5;",
            "5.0",
            "\u{665}",
        ] {
            length(bad, Err(Refusal::BadLength));
        }
        length("5\r\ncontent-length: 5", Err(Refusal::LengthTwice));
        length("5\r\ncontent-length: x", Err(Refusal::LengthTwice));
        let encoding = |value: &str, expected| host(&format!("Transfer-Encoding: {value}\r\n"), expected);
        encoding("chunked", Ok("Chunked keep [a]"));
        encoding("CHUNKED", Ok("Chunked keep [a]"));
        encoding("tea", Err(Refusal::UnknownEncoding));
        encoding("gzip", Err(Refusal::UnknownEncoding));
        encoding("identity", Err(Refusal::UnknownEncoding));
        encoding("gzip, chunked", Err(Refusal::UnknownEncoding));
        encoding("gzip;q=1, chunked", Err(Refusal::UnknownEncoding));
        encoding("\u{b}chunked", Err(Refusal::FieldLine));
        for bad in
            ["", ",", "chunked,", ",chunked", "chunked, gzip", "chunked, chunked", "chunked;a=b", "chunked x"]
        {
            encoding(bad, Err(Refusal::BadEncoding));
        }
        encoding("chunked\r\nTransfer-Encoding: chunked", Err(Refusal::EncodingTwice));
        encoding("gzip\r\nTransfer-Encoding: chunked", Err(Refusal::EncodingTwice));
        encoding("chunked\r\nContent-Length: 1", Err(Refusal::LengthWithEncoding));
        host("Content-Length: 1\r\nTransfer-Encoding: tea\r\n", Err(Refusal::LengthWithEncoding));
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Refusal::EncodingInHttp10));
    }

    #[test]
    fn connection_expect_and_upgrade_are_read() {
        let with = |version: &str, fields: &str, expected| {
            check(&format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"), expected);
        };
        with("1.1", "Connection: close\r\n", Ok("None  [a]"));
        with("1.1", "CONNECTION: CLOSE\r\n", Ok("None  [a]"));
        with("1.1", "Connection: keep-alive\r\n", Ok("None keep [a]"));
        with("1.1", "Connection: x\r\nConnection: y, close ,z\r\n", Ok("None  [a]"));
        with("1.1", "Connection: closed, not-close\r\n", Ok("None keep [a]"));
        with("1.0", "", Ok("None  [a]"));
        with("1.0", "Connection: Keep-Alive\r\n", Ok("None keep [a]"));
        with("1.0", "Connection: keep-alive, close\r\n", Ok("None  [a]"));
        with("1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n", Ok("Length(1) keep+continue [a]"));
        with("1.1", "Expect: 100-continue\r\n", Ok("None keep [a]"));
        with("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", Ok("Length(1)  [a]"));
        with("1.1", "Expect: tea\r\n", Err(Refusal::UnknownExpectation));
        with("1.1", "Expect: 100-continue, tea\r\n", Err(Refusal::UnknownExpectation));
        with("1.1", "Upgrade: WebSocket\r\nConnection: keep-alive, UPGRADE\r\n", Ok("None keep+ws [a]"));
        with("1.1", "Upgrade: h2c, websocket\r\nConnection: upgrade\r\n", Ok("None keep+ws [a]"));
        with("1.1", "Upgrade: websocket\r\n", Ok("None keep [a]"));
        with("1.1", "Connection: upgrade\r\nUpgrade: tea/1\r\n", Ok("None keep [a]"));
        with("1.0", "Upgrade: websocket\r\nConnection: upgrade, keep-alive\r\n", Ok("None keep [a]"));
    }

    #[test]
    fn incomplete_heads_and_bare_line_feeds_need_a_scan() {
        fn check(head: &str) {
            let arena = Arena::new(4096);
            let found = super::head(head.as_bytes(), &arena, &Limits::default()).err();
            assert_eq!(found, Some(ParseError::NeedsScan), "{head:?}");
        }
        check("GET / HTTP/1.1\r\nHost: a\r\n");
        check("GET / HTTP/1.1\nHost: a\r\n\r\n");
        check("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n");
        check("GET / HTTP/1.1\r\nHost: a\r\n\n");
        check("GET / HTTP/1.1\r\nHost: a\n\r\n");
        check("GET / HTTP/1.1\n\r\n");
        check(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8300)));
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(17000)));
    }
}
