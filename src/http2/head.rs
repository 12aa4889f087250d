//! Makes a request head of a field section (RFC 9113 §8.3, RFC 8441 §4), and trailer fields of another (RFC 9113 §8.1).
//!
//! It knows which fields make a request and no routes. Its invariant: a head has passed every check that one of HTTP/1.1
//! passes, and has the fields that HTTP/1.1 would have: no pseudo-fields, and `host`.

use super::field::PseudoField;
use super::malformed::{HeadError, Malformed};
use super::section::{HOST, Section};
use crate::http1::{
    DROPPED_TRAILERS, FieldSpan, Fields, Framing, Head, Method, REFUSED_TRAILERS, Refusal, Span, TargetSpans,
    Version, is_token, split_origin_form, split_target,
};

/// The head of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'r> {
    /// What HTTP/1.1 has too. Its method is CONNECT if there is a `protocol`.
    pub head: &'r Head<'r>,
    /// The value of `content-length`: the content must be that long (RFC 9113 §8.1.1).
    pub content_length: Option<u64>,
    /// The protocol that the stream is to carry (RFC 8441 §4).
    pub protocol: Option<&'r str>,
}

/// Makes the head of a request whose field block has been decoded. `end_stream`: no content follows.
///
/// # Errors
/// A [`HeadError`], which concerns the request and not its connection.
#[inline(never)]
pub fn read<'r>(section: &mut Section<'r>, end_stream: bool) -> Result<RequestHead<'r>, HeadError> {
    if let Some(refusal) = section.refusal() {
        return Err(refusal.into());
    }
    let (arena, size, target_max) = (section.arena, section.size(), section.target_max);
    let pseudo_fields = section.pseudo_fields();
    section.join_cookies();
    let (bytes, spans) = section.finish();
    let (noted, len) = (&section.noted, section.len);
    let method_at = noted.check_request(bytes)?;
    let framing = noted.framing.framing(Version::Http2)?;
    let authority = noted.get(PseudoField::Authority);
    let host = host(bytes, authority, noted.framing.host)?;
    let has_host = noted.framing.host.is_some();
    let spans = &mut spans[pseudo_fields - usize::from(!has_host)..];
    if !has_host {
        // It takes the place of a pseudo-field.
        spans[0] = FieldSpan { name: Span { at: 0, len: HOST.len() as u32 }, value: host };
    }
    let bytes = &*bytes;
    let method = match method_at.bytes(bytes) {
        b"GET" => Method::Get,
        b"POST" => Method::Post,
        _ => unusual_method(bytes, method_at)?,
    };
    let (framing, content_length) = content(framing, end_stream)?;
    if let Some(refusal) = noted.refusal {
        return Err(refusal.into());
    }
    // RFC 9113 §8.3.1, §8.5
    let path = noted.get(PseudoField::Path);
    let at = path.or(authority).unwrap_or_default();
    let raw = at.bytes(bytes);
    let is_origin = path.is_some() && raw.first() == Some(&b'/') && raw.len() <= target_max;
    let origin = if is_origin { split_origin_form(bytes, at) } else { None };
    let target = match origin {
        Some(target) => target,
        None => unusual_target(method, raw, path.is_some(), target_max)?,
    };
    let protocol = noted.get(PseudoField::Protocol).map(|protocol| protocol.text(bytes));
    let head = Head {
        method,
        target: target.into_target(raw),
        version: Version::Http2,
        fields: Fields::new(&bytes[..len], spans),
        framing,
        keep_alive: true,
        // RFC 9110 §10.1.1: ignored without content.
        expects_continue: noted.framing.expects_continue && !framing.is_empty(),
        // RFC 8441 §5
        upgrade: protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")),
        len: size,
        host,
    };
    Ok(RequestHead { head: arena.alloc(head), content_length, protocol })
}

/// Returns the trailer fields whose field block has been decoded (RFC 9113 §8.1). What must not be in a trailer section is
/// refused or left out, as in HTTP/1.1.
///
/// # Errors
/// A [`HeadError`], which concerns the request and not its connection.
pub fn trailers<'r>(section: &mut Section<'r>) -> Result<Fields<'r>, HeadError> {
    match section.refusal() {
        None => {}
        Some(Refusal::HeadTooLarge) => return Err(Refusal::TrailersTooLarge.into()),
        Some(refusal) => return Err(refusal.into()),
    }
    let (bytes, fields) = section.finish();
    let (arena, noted, len) = (section.arena, &section.noted, section.len);
    if noted.has_pseudo_fields() {
        return Err(Malformed::PseudoField.into());
    }
    if let Some(malformed) = noted.malformed() {
        return Err(malformed.into());
    }
    let mut spans = arena.list(fields.len());
    for field in fields {
        let name = field.name.text(bytes);
        if REFUSED_TRAILERS.contains(&name) {
            return Err(Refusal::TrailerForbidden.into());
        }
        if !DROPPED_TRAILERS.contains(&name) {
            spans.push(*field);
        }
    }
    Ok(Fields::new(&bytes[..len], spans.finish()))
}

/// Returns the host: `:authority`, or the field `host` if that is missing (RFC 9113 §8.3.1).
#[inline(always)]
fn host(bytes: &[u8], authority: Option<Span>, field: Option<Span>) -> Result<Span, HeadError> {
    match (authority, field) {
        (Some(authority), None) => Ok(authority),
        (Some(authority), Some(field)) => {
            let is_same = field.bytes(bytes).eq_ignore_ascii_case(authority.bytes(bytes));
            if is_same { Ok(authority) } else { Err(Malformed::Host.into()) }
        }
        (None, field) => field.ok_or(Refusal::HostMissing.into()),
    }
}

#[cold]
fn unusual_method(bytes: &[u8], name: Span) -> Result<Method<'_>, Refusal> {
    match Method::from(name.text(bytes)) {
        Method::Extension(name) if name.is_empty() || !name.bytes().all(is_token) => Err(Refusal::BadMethod),
        method => Ok(method),
    }
}

/// Returns how the content is framed, and how long it must be.
#[inline]
fn content(framing: Framing, end_stream: bool) -> Result<(Framing, Option<u64>), Malformed> {
    let length = match framing {
        Framing::Length(length) => Some(length),
        Framing::None | Framing::Chunked => None,
    };
    match (length, end_stream) {
        (Some(1..), true) => Err(Malformed::Length),
        (None, false) => Ok((Framing::Chunked, None)),
        _ => Ok((framing, length)),
    }
}

/// Returns the parts of a target that is not in origin form, or is refused. `is_path`: it is `:path`, and not `:authority`.
#[cold]
fn unusual_target(
    method: Method<'_>,
    raw: &[u8],
    is_path: bool,
    target_max: usize,
) -> Result<TargetSpans, HeadError> {
    let is_asterisk = method == Method::Options && raw == b"*";
    match is_path {
        _ if raw.len() > target_max => Err(Refusal::TargetTooLong.into()),
        true if raw.first() == Some(&b'/') => Err(Refusal::BadTarget.into()),
        true if !is_asterisk => Err(Malformed::Path.into()),
        _ => Ok(split_target(method, raw)?),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hpack::{Decoder, TABLE_BYTES, encoder};
    use super::*;
    use crate::arena::Arena;
    use crate::config::Limits;
    use crate::http1::TargetForm;

    const GET: &[(&str, &str)] =
        &[(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];

    /// Encodes fields as they are, because the encoder changes names to lower case.
    fn block(fields: &[(&str, &str)], representation: u8) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            let len = |text: &str| u8::try_from(text.len()).ok().filter(|len| *len < 127).expect("short");
            block.extend_from_slice(&[representation, len(name)]);
            block.extend_from_slice(name.as_bytes());
            block.push(len(value));
            block.extend_from_slice(value.as_bytes());
        }
        block
    }

    fn section<'r>(arena: &'r Arena, limits: &Limits, fields: &[(&str, &str)]) -> Section<'r> {
        let block = block(fields, 0x00);
        let mut section = Section::new(arena, limits, block.len());
        Decoder::new(TABLE_BYTES).decode(&block, &mut section).unwrap();
        section
    }

    /// The same when all fields come from the dynamic table, if there is room for them.
    fn repeated<'r>(arena: &'r Arena, limits: &Limits, fields: &[(&str, &str)]) -> Option<Section<'r>> {
        let mut decoder = Decoder::new(TABLE_BYTES);
        let first = block(fields, 0x40);
        decoder.decode(&first, &mut Section::new(arena, &Limits::default(), first.len())).unwrap();
        let mut section = Section::new(arena, limits, fields.len());
        let indexes: Vec<u8> = (0..fields.len()).rev().map(|newer| 0x80 | (62 + newer) as u8).collect();
        let fits = fields.len() < 60;
        (fits && decoder.decode(&indexes, &mut section).is_ok()).then_some(section)
    }

    /// Reads a head and describes it: method, target, host, framing, flags, and fields.
    fn describe(fields: &[(&str, &str)], end_stream: bool) -> Result<String, HeadError> {
        let (arena, limits) = (Arena::new(4096), Limits::default());
        let read = |mut section: Section<'_>| read(&mut section, end_stream).map(describe_head);
        let found = read(section(&arena, &limits, fields));
        if let Some(section) = repeated(&arena, &limits, fields) {
            assert_eq!(read(section), found, "{fields:?}");
        }
        found
    }

    fn describe_head(request: RequestHead<'_>) -> String {
        let RequestHead { head, content_length, protocol } = request;
        assert_eq!((head.version, head.keep_alive), (Version::Http2, true));
        assert_eq!(content_length.is_some(), matches!(head.framing, Framing::Length(_)));
        let flags = [(head.expects_continue, " continue"), (head.upgrade, " ws")];
        let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        let protocol = protocol.map_or(String::new(), |protocol| format!(" ({protocol})"));
        let (method, target, host) = (head.method.as_str(), head.target, head.host());
        format!("{method} {target:?} [{host}] {:?}{flags}{protocol} {:?}", head.framing, head.fields)
    }

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: Result<&str, HeadError>) {
        assert_eq!(describe(fields, true).as_deref(), expected.as_ref().map(|text| *text), "{fields:?}");
    }

    #[track_caller]
    fn malformed(fields: &[(&str, &str)], reason: Malformed) {
        check(fields, Err(HeadError::Malformed(reason)));
    }

    #[track_caller]
    fn refused(fields: &[(&str, &str)], refusal: Refusal) {
        check(fields, Err(HeadError::Refused(refusal)));
    }

    /// Returns the pseudo-fields of a GET with some replaced, and some fields behind them.
    fn with<'a>(replaced: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let value = |name: &str| replaced.iter().find(|(known, _)| *known == name);
        GET.iter().map(|field| *value(field.0).unwrap_or(field)).chain(more.iter().copied()).collect()
    }

    fn without(name: &str) -> Vec<(&'static str, &'static str)> {
        GET.iter().copied().filter(|(known, _)| *known != name).collect()
    }

    #[test]
    fn heads_look_like_those_of_http1() {
        check(GET, Ok(r#"GET Target(Origin, "/") [a] None {"host": "a"}"#));
        check(
            &with(&[(":path", "/x?y")], &[("x-id", "1"), ("accept", "*/*")]),
            Ok(r#"GET Target(Origin, "/x?y") [a] None {"host": "a", "x-id": "1", "accept": "*/*"}"#),
        );
        check(
            &with(&[(":method", "BREW")], &[("x", "1"), ("host", "A")]),
            Ok(r#"BREW Target(Origin, "/") [a] None {"x": "1", "host": "A"}"#),
        );
        let no_authority = [&without(":authority")[..], &[("x", "1"), ("host", "b:80")]].concat();
        check(&no_authority, Ok(r#"GET Target(Origin, "/") [b:80] None {"x": "1", "host": "b:80"}"#));
        check(
            &with(&[(":method", "OPTIONS"), (":path", "*")], &[]),
            Ok(r#"OPTIONS Target(Asterisk, "*") [a] None {"host": "a"}"#),
        );
        check(
            &with(&[(":scheme", "HTTP")], &[("a-name.which_is-longer-than-a-block", "\u{e9}\tx"), ("x", "")]),
            Ok("GET Target(Origin, \"/\") [a] None \
                {\"host\": \"a\", \"a-name.which_is-longer-than-a-block\": \"\u{e9}\\tx\", \"x\": \"\"}"),
        );
        check(
            &[(":method", "CONNECT"), (":authority", "a:443")],
            Ok(r#"CONNECT Target(Authority, "a:443") [a:443] None {"host": "a:443"}"#),
        );
        check(
            &with(&[(":method", "CONNECT"), (":path", "/chat")], &[])
                .into_iter()
                .chain([(":protocol", "websocket")])
                .collect::<Vec<_>>(),
            Ok(r#"CONNECT Target(Origin, "/chat") [a] None ws (websocket) {"host": "a"}"#),
        );
    }

    #[test]
    fn pseudo_fields_follow_their_rules() {
        for name in [":method", ":scheme", ":path"] {
            malformed(&without(name), Malformed::MissingPseudoField);
        }
        refused(&without(":authority"), Refusal::HostMissing);
        malformed(&[], Malformed::MissingPseudoField);
        malformed(&[("x", "1")], Malformed::MissingPseudoField);
        for field in
            [(":method", "GET"), (":status", "200"), (":x", ""), (":", ""), (":protocol", "websocket")]
        {
            malformed(&with(&[], &[field]), Malformed::PseudoField);
            malformed(&with(&[], &[("x", "1"), field]), Malformed::LatePseudoField);
        }
        malformed(&with(&[], &[(":Path", "/")]), Malformed::PseudoField);
        // RFC 9113 §8.5, RFC 8441 §4
        let connect = [(":method", "CONNECT"), (":authority", "a:443")];
        malformed(&connect[..1], Malformed::MissingPseudoField);
        malformed(&[&connect[..], &[(":path", "/")]].concat(), Malformed::PseudoField);
        malformed(&[&connect[..], &[(":scheme", "https")]].concat(), Malformed::PseudoField);
        malformed(&[&connect[..], &[(":protocol", "x")]].concat(), Malformed::MissingPseudoField);
        refused(&[(":method", "CONNECT"), (":authority", "a")], Refusal::BadTarget);
    }

    #[test]
    fn the_values_of_pseudo_fields_are_checked() {
        let replaced = |name, value| with(&[(name, value)], &[]);
        for path in ["", "x", "*", "http://a/", "?"] {
            malformed(&replaced(":path", path), Malformed::Path);
        }
        for path in ["/#", "/a b", "/\u{e9}", "/\t"] {
            refused(&replaced(":path", path), Refusal::BadTarget);
        }
        malformed(&replaced(":path", "/\0"), Malformed::Value);
        malformed(&replaced(":path", "/\r\nx: y"), Malformed::Value);
        for scheme in ["", "ftp", "httpx"] {
            refused(&replaced(":scheme", scheme), Refusal::BadTarget);
        }
        for method in ["", "G T", "G\u{e9}", "A/B", "GET\t"] {
            refused(&replaced(":method", method), Refusal::BadMethod);
        }
        for authority in ["", ":80", "u@a", "a b", "a:x", "a/", "[::1"] {
            refused(&replaced(":authority", authority), Refusal::BadHost);
        }
        malformed(&with(&[], &[("host", "b")]), Malformed::Host);
        refused(&with(&[], &[("host", "a"), ("host", "a")]), Refusal::HostTwice);
        refused(&[&without(":authority")[..], &[("host", "")]].concat(), Refusal::BadHost);
    }

    #[test]
    fn the_characters_of_fields_are_checked() {
        fn field<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
            with(&[], &[("first", "1"), (name, value), ("last", "1")])
        }
        for name in
            ["", "X", "x y", "x:", "x\t", "x\u{e9}", "a-name-longer-than-a-block-X", "sixteen-letters-", "x@"]
        {
            let expected =
                if name == "sixteen-letters-" { Ok(()) } else { Err(HeadError::Malformed(Malformed::Name)) };
            assert_eq!(describe(&field(name, "1"), true).map(drop), expected, "{name}");
        }
        for byte in 0..=0x7f_u8 {
            let text = char::from(byte).to_string();
            let (name, value) = (format!("a{text}b"), format!("a{text}b"));
            let is_value = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            let is_name = is_token(byte) && !byte.is_ascii_uppercase();
            assert_eq!(describe(&field("x", &value), true).is_ok(), is_value, "{value:?}");
            assert_eq!(describe(&field(&name, "1"), true).is_ok(), is_name, "{name:?}");
        }
        for value in [" a", "a ", "\ta", "a\t", " "] {
            malformed(&field("x", value), Malformed::Value);
        }
    }

    #[test]
    fn fields_of_http1_connections_are_malformed() {
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
        ] {
            malformed(&with(&[], &[(name, value)]), Malformed::ConnectionField);
        }
        let te = with(&[], &[("te", "trailers")]);
        check(&te, Ok(r#"GET Target(Origin, "/") [a] None {"host": "a", "te": "trailers"}"#));
    }

    #[test]
    fn content_length_agrees_with_the_end_of_the_stream() {
        fn check(lengths: &[&str], end_stream: bool, expected: Result<Framing, HeadError>) {
            let lengths: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
            let arena = Arena::new(4096);
            let mut section = section(&arena, &Limits::default(), &with(&[], &lengths));
            let found = read(&mut section, end_stream).map(|request| request.head.framing);
            assert_eq!(found, expected, "{lengths:?}");
        }
        check(&[], true, Ok(Framing::None));
        check(&[], false, Ok(Framing::Chunked));
        check(&["0"], true, Ok(Framing::Length(0)));
        check(&["0"], false, Ok(Framing::Length(0)));
        check(&["12"], false, Ok(Framing::Length(12)));
        check(&["12"], true, Err(Malformed::Length.into()));
        for length in ["", "+1", "1a", "18446744073709551616", "1, 1"] {
            check(&[length], false, Err(Refusal::BadLength.into()));
        }
        check(&["1", "1"], false, Err(Refusal::LengthTwice.into()));
    }

    #[test]
    fn expectations_are_as_in_http1() {
        let expects = with(&[], &[("expect", "100-continue")]);
        assert!(!describe(&expects, true).unwrap().contains("continue "));
        assert!(describe(&expects, false).unwrap().contains("Chunked continue "));
        refused(&with(&[], &[("expect", "x")]), Refusal::UnknownExpectation);
    }

    #[test]
    fn cookies_are_joined_in_the_place_of_the_first() {
        let cookie = |value| ("cookie", value);
        check(
            &with(&[], &[("x", "1"), cookie("a=b"), ("y", "2"), cookie("c=d"), cookie("e"), ("z", "3")]),
            Ok("GET Target(Origin, \"/\") [a] None \
                {\"host\": \"a\", \"x\": \"1\", \"cookie\": \"a=b; c=d; e\", \"y\": \"2\", \"z\": \"3\"}"),
        );
        check(
            &[&without(":authority")[..], &[cookie("a"), cookie("b"), ("host", "h")]].concat(),
            Ok("GET Target(Origin, \"/\") [h] None {\"cookie\": \"a; b\", \"host\": \"h\"}"),
        );
        // So many that they need more room than there is.
        let value = "v".repeat(100);
        let many: Vec<_> = (0..30).map(|_| cookie(&value[..])).collect();
        let found = describe(&with(&[], &many), true).unwrap();
        assert!(
            found.ends_with(&format!("{{\"host\": \"a\", \"cookie\": {:?}}}", vec![value; 30].join("; ")))
        );
    }

    #[test]
    fn limits_are_those_of_http1() {
        fn check(change: fn(&mut Limits), expected: Result<(), HeadError>) {
            let (mut limits, arena) = (Limits::default(), Arena::new(4096));
            change(&mut limits);
            let mut section =
                section(&arena, &limits, &with(&[(":path", "/12345")], &[("a", "b"), ("c", "d")]));
            assert_eq!(read(&mut section, true).map(drop), expected);
        }
        check(|limits| limits.headers = 2, Ok(()));
        check(|limits| limits.headers = 1, Err(Refusal::TooManyFields.into()));
        check(|limits| limits.head_bytes = 249, Ok(()));
        check(|limits| limits.head_bytes = 100, Err(Refusal::HeadTooLarge.into()));
        check(|limits| limits.target_bytes = 6, Ok(()));
        check(|limits| limits.target_bytes = 5, Err(Refusal::TargetTooLong.into()));
    }

    #[test]
    fn trailers_are_read_as_in_http1() {
        fn check(fields: &[(&str, &str)], expected: Result<&str, HeadError>) {
            let arena = Arena::new(4096);
            let found = trailers(&mut section(&arena, &Limits::default(), fields))
                .map(|fields| format!("{fields:?}"));
            assert_eq!(found.as_deref(), expected.as_ref().map(|text| *text), "{fields:?}");
        }
        check(&[], Ok("{}"));
        check(&[("x-sum", "1"), ("te", "trailers"), ("cookie", "a")], Ok(r#"{"x-sum": "1"}"#));
        check(&[(":path", "/")], Err(Malformed::PseudoField.into()));
        check(&[("x", "1"), (":path", "/")], Err(Malformed::PseudoField.into()));
        check(&[("X", "1")], Err(Malformed::Name.into()));
        check(&[("x", "1\n")], Err(Malformed::Value.into()));
        check(&[("connection", "close")], Err(Malformed::ConnectionField.into()));
        check(&[("content-length", "1")], Err(Refusal::TrailerForbidden.into()));
        check(&[("host", "a")], Err(Refusal::TrailerForbidden.into()));
        let arena = Arena::new(4096);
        let limits = Limits { head_bytes: 50, ..Limits::default() };
        let mut large = section(&arena, &limits, &[("x", "1"), ("y", "2")]);
        assert_eq!(trailers(&mut large).map(drop), Err(Refusal::TrailersTooLarge.into()));
    }

    #[test]
    fn what_http1_accepts_is_read_alike() {
        use crate::http1::{Decoder as Http1, HeadStep};
        let paths = ["/", "/a?b", "/a%20b?c=d%", "/?", "/a??b", "//", "/a#", "/ a", "/\u{7f}"];
        let hosts = ["a", "a:80", "[::1]", "[::1]:8080", "a%41", "a:", "", "u@a", "a:70000"];
        let fields =
            ["", "X-Id: 1\r\n", "Expect: 100-continue\r\n", "Content-Length: 5\r\n", "Expect: y\r\n"];
        for (path, host) in paths.iter().flat_map(|path| hosts.map(|host| (*path, host))) {
            for lines in fields {
                let text = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n");
                let (arena, mut input) = (Arena::new(4096), text.into_bytes());
                let first = match Http1::new().head(&mut input, &arena, &Limits::default()) {
                    HeadStep::Head { head, .. } => {
                        assert_eq!(head.target.form(), TargetForm::Origin);
                        Some(format!("{:?} {} {:?}", head.target, head.host(), head.fields).to_lowercase())
                    }
                    HeadStep::Refused(_) => None,
                    step => panic!("{step:?}"),
                };
                let mut block = Vec::new();
                for (name, value) in
                    [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", host)]
                {
                    encoder::field(&mut block, name.as_bytes(), value.as_bytes());
                }
                for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
                    encoder::field(&mut block, name.as_bytes(), value.as_bytes());
                }
                let mut section = Section::new(&arena, &Limits::default(), block.len());
                Decoder::new(TABLE_BYTES).decode(&block, &mut section).unwrap();
                let second = read(&mut section, false).ok().map(|request| request.head);
                let second = second.map(|head| {
                    format!("{:?} {} {:?}", head.target, head.host(), head.fields).to_lowercase()
                });
                assert_eq!(first, second, "{path} {host} {lines}");
            }
        }
    }
}
