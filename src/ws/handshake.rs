//! The opening handshake, from the server's side (RFC 6455 §4.2).
//!
//! It knows no parser: a request is a method, a version, a host and a way to look up fields. It knows no socket: the
//! response is written into a `Vec`. Its invariant: if there are several faults, the first in the order of [`accept`]'s
//! checks is reported.

use super::extension::{self, Negotiated};
use super::tokens::{elements, is_token_byte};
use super::{Compression, Rejected, origin};
use tungstenite::handshake::derive_accept_key;

/// Which clients may connect, which subprotocols are supported, and whether messages are compressed.
///
/// By default, pages of the same origin and clients that send no origin (they are not browsers) may connect,
/// without subprotocol and without compression. A page is of the same origin if the browser says so (`Sec-Fetch-Site`), and
/// without that field, if the Host field names the page's origin.
///
/// ```
/// use fleeting::ws::Policy;
///
/// let policy = Policy::new().origin("https://app.example.com").protocol("chat.v2").protocol("chat.v1");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    origins: Vec<Box<str>>,
    protocols: Vec<Box<str>>,
    compression: Compression,
}

impl Policy {
    /// Makes the default policy: same origin only, no subprotocol, no compression.
    pub fn new() -> Policy {
        Policy::default()
    }

    /// Allows pages of `origin` to connect too, such as `https://example.com:8443`. `*` allows any origin. The
    /// whole text is compared, ignoring case.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Policy {
        self.origins.push(origin.into());
        self
    }

    /// Adds a subprotocol. Of the subprotocols that a client offers, the server chooses the one that was added first. A
    /// name that is not a token (RFC 9110 §5.6.2) is never chosen, because no client can offer it.
    #[must_use]
    pub fn protocol(mut self, protocol: &str) -> Policy {
        self.protocols.push(protocol.into());
        self
    }

    /// Compresses messages for clients that offer it (RFC 7692).
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Policy {
        self.compression = compression;
        self
    }

    /// Returns the value set with [`compression`](Policy::compression).
    pub fn wanted_compression(&self) -> &Compression {
        &self.compression
    }

    /// Returns whether a page may connect (RFC 6455 §10.2) if the browser does not say where it comes from. `origin` is the
    /// value of the Origin field, and `host` is the value of the Host field.
    ///
    /// ```
    /// use fleeting::ws::Policy;
    ///
    /// let policy = Policy::new().origin("https://app.example.com");
    /// assert!(policy.admits(b"https://example.com", "example.com"));
    /// assert!(policy.admits(b"https://app.example.com", "example.com"));
    /// assert!(!policy.admits(b"https://evil.example", "example.com"));
    /// ```
    pub fn admits(&self, origin: &[u8], host: &str) -> bool {
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        origin::is_same(origin, host, false) || origin::is_listed(origin, &self.origins)
    }
}

/// A valid handshake, and the contents of the response to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted<'p> {
    /// The value of `Sec-WebSocket-Accept`, in ASCII; `None` over HTTP/2, which has no such field.
    pub accept_key: Option<[u8; 28]>,
    /// The chosen subprotocol, as the policy spells it.
    pub protocol: Option<&'p str>,
    /// The negotiated compression; `None` if messages are not compressed.
    pub deflate: Option<Negotiated>,
}

/// Checks a handshake (RFC 6455 §4.2.1, §4.2.2). See the [module documentation](super) for an example.
///
/// `http11` is true if the request is HTTP/1.1 or later. `host` is the value of its Host field. `is_secure`: the
/// connection is encrypted, so a page of the same origin is too. `fields` returns the
/// values of all fields of a name, which it must look up ignoring case.
///
/// # Errors
/// The first fault, in the order of the checks: method, HTTP version, `Upgrade` and `Connection`, WebSocket
/// version, key, origin, subprotocols, extensions. The caller answers with its
/// [`status`](Rejected::status) and [`fields`](Rejected::fields).
pub fn accept<'a, 'p, I>(
    method: &str,
    http11: bool,
    host: &str,
    is_secure: bool,
    fields: impl Fn(&'static str) -> I,
    policy: &'p Policy,
) -> Result<Accepted<'p>, Rejected>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    if method != "GET" {
        return Err(Rejected::Method);
    }
    if !http11 {
        return Err(Rejected::HttpVersion);
    }
    let contains = |name, token: &str| {
        fields(name)
            .into_iter()
            .flat_map(elements)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    };
    if !contains("Upgrade", "websocket") || !contains("Connection", "upgrade") {
        return Err(Rejected::NotAnUpgrade);
    }
    check_version(&fields)?;
    let key = match only(fields("Sec-WebSocket-Key")) {
        Ok(Some(key)) if is_key(key) => key,
        _ => return Err(Rejected::Key),
    };
    let accepted = agree(host, is_secure, fields, policy)?;
    // 20 bytes of SHA-1 are 28 characters of base64.
    let mut accept_key = [0; 28];
    accept_key.copy_from_slice(derive_accept_key(key).as_bytes());
    Ok(Accepted { accept_key: Some(accept_key), ..accepted })
}

/// Checks a handshake over HTTP/2: an extended CONNECT for the protocol `websocket` (RFC 8441 §5). The arguments are those of
/// [`accept`].
///
/// # Errors
/// The first fault, in the order of the checks: WebSocket version, origin, subprotocols, extensions.
pub fn accept_connect<'a, 'p, I>(
    host: &str,
    is_secure: bool,
    fields: impl Fn(&'static str) -> I,
    policy: &'p Policy,
) -> Result<Accepted<'p>, Rejected>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    check_version(&fields)?;
    agree(host, is_secure, fields, policy)
}

fn check_version<'a, I>(fields: &impl Fn(&'static str) -> I) -> Result<(), Rejected>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    match only(fields("Sec-WebSocket-Version")) {
        Ok(Some(b"13")) => Ok(()),
        Ok(None) => Err(Rejected::VersionMissing),
        _ => Err(Rejected::VersionUnsupported),
    }
}

/// Checks the origin, and chooses the subprotocol and the extensions.
fn agree<'a, 'p, I>(
    host: &str,
    is_secure: bool,
    fields: impl Fn(&'static str) -> I,
    policy: &'p Policy,
) -> Result<Accepted<'p>, Rejected>
where
    I: IntoIterator<Item = &'a [u8]>,
{
    // RFC 6455 §4.2.2: a client that is not a browser need not send an origin.
    if !origin::is_admitted(fields("Origin"), fields("Sec-Fetch-Site"), host, is_secure, &policy.origins) {
        return Err(Rejected::Origin);
    }
    let protocol = choose(fields("Sec-WebSocket-Protocol"), policy)?;
    // RFC 6455 §9.1: a malformed field fails the handshake. An offer that is not answered is declined.
    let deflate = extension::negotiate(fields("Sec-WebSocket-Extensions"), &policy.compression);
    let deflate = deflate.map_err(|_| Rejected::Extensions)?;
    Ok(Accepted { accept_key: None, protocol, deflate })
}

/// Appends the 101 response that completes a handshake (RFC 6455 §4.2.2). Only frames follow it.
///
/// `extra` holds further fields, each `Name: value` with its CRLF. `date` is the value of the Date field.
pub fn encode_switching_protocols(out: &mut Vec<u8>, accepted: &Accepted<'_>, extra: &[u8], date: &[u8; 29]) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accepted.accept_key.unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    encode_agreed(out, accepted);
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(extra);
    out.extend_from_slice(b"\r\n");
}

/// Appends the field lines that name what was agreed upon: the subprotocol and the extensions, if there are any.
pub fn encode_agreed(out: &mut Vec<u8>, accepted: &Accepted<'_>) {
    if let Some(protocol) = accepted.protocol {
        out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(deflate) = accepted.deflate {
        out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
        deflate.encode(out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Returns the first of the policy's subprotocols that the client offers (RFC 6455 §4.2.2).
fn choose<'a, 'p>(
    offered: impl IntoIterator<Item = &'a [u8]>,
    policy: &'p Policy,
) -> Result<Option<&'p str>, Rejected> {
    // The index of the best one so far in the policy's list.
    let mut best = policy.protocols.len();
    for protocol in offered.into_iter().flat_map(elements) {
        if !protocol.iter().copied().all(is_token_byte) {
            return Err(Rejected::Protocol);
        }
        // The comparison is case-sensitive: RFC 6455 §1.9 does not mention folding.
        if let Some(better) = policy.protocols[..best].iter().position(|name| name.as_bytes() == protocol) {
            best = better;
        }
    }
    Ok(policy.protocols.get(best).map(|name| &**name))
}

/// Returns the value without the white space around it, or `None` if there is none. Several values are an error.
fn only<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, ()> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(<[u8]>::trim_ascii)),
        _ => Err(()),
    }
}

/// Returns whether `key` has the form of 16 bytes in base64 (RFC 6455 §4.1): 22 characters and two of padding. The last
/// character has four unused bits. They need not be zero, and are not in the RFC's own example.
fn is_key(key: &[u8]) -> bool {
    let Some((characters, b"==")) = key.split_at_checked(22) else { return false };
    characters.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ];

    fn check_handshake<'p>(
        fields: &[(&str, &str)],
        policy: &'p Policy,
    ) -> Result<(String, Option<&'p str>), Rejected> {
        let find = |name: &str| {
            let name = name.to_ascii_lowercase();
            fields.iter().filter(move |field| field.0 == name).map(|field| field.1.as_bytes())
        };
        accept("GET", true, "example.com:8080", false, find, policy).map(|accepted| {
            (String::from_utf8(accepted.accept_key.unwrap().to_vec()).unwrap(), accepted.protocol)
        })
    }

    /// Returns the valid request without the field `absent`, and with the fields `changed` instead of those of the same
    /// names.
    fn with<'a>(changed: &[(&'a str, &'a str)], absent: &str) -> Vec<(&'a str, &'a str)> {
        let kept = GOOD.into_iter().filter(|(name, _)| *name != absent);
        let kept = kept.filter(|(name, _)| changed.iter().all(|other| other.0 != *name));
        kept.chain(changed.iter().copied()).collect()
    }

    #[test]
    fn the_example_of_rfc_6455_is_accepted() {
        let policy = Policy::new();
        assert_eq!(check_handshake(&GOOD, &policy), Ok(("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(), None)));
    }

    #[test]
    fn method_and_version_are_checked_first() {
        let policy = Policy::new();
        let none = |_: &str| None;
        assert_eq!(accept("POST", false, "h", false, none, &policy), Err(Rejected::Method));
        assert_eq!(accept("get", true, "h", false, none, &policy), Err(Rejected::Method));
        assert_eq!(accept("GET", false, "h", false, none, &policy), Err(Rejected::HttpVersion));
        assert_eq!(accept("GET", true, "h", false, none, &policy), Err(Rejected::NotAnUpgrade));
    }

    #[test]
    fn each_field_is_checked() {
        fn check(changed: &[(&str, &str)], absent: &str, expected: Result<(), Rejected>) {
            let found = check_handshake(&with(changed, absent), &Policy::new()).map(|_| ());
            assert_eq!(found, expected, "{changed:?} without {absent:?}");
        }
        use Rejected::*;
        check(&[("upgrade", "h2c, WebSocket"), ("connection", "keep-alive , upgrade")], "", Ok(()));
        check(&[("connection", "keep-alive"), ("connection", ",, Upgrade ,")], "", Ok(()));
        check(&[("connection", "keep-alive")], "", Err(NotAnUpgrade));
        check(&[("connection", "upgraded")], "", Err(NotAnUpgrade));
        check(&[("upgrade", "websocket/13")], "", Err(NotAnUpgrade));
        check(&[("upgrade", "web socket")], "", Err(NotAnUpgrade));
        check(&[], "upgrade", Err(NotAnUpgrade));
        check(&[], "connection", Err(NotAnUpgrade));

        check(&[], "sec-websocket-version", Err(VersionMissing));
        check(&[("sec-websocket-version", "8")], "", Err(VersionUnsupported));
        check(&[("sec-websocket-version", "013")], "", Err(VersionUnsupported));
        check(&[("sec-websocket-version", "13, 8")], "", Err(VersionUnsupported));
        check(&[("sec-websocket-version", "")], "", Err(VersionUnsupported));
        let twice = [("sec-websocket-version", "13"), ("sec-websocket-version", "13")];
        check(&twice, "", Err(VersionUnsupported));

        check(&[], "sec-websocket-key", Err(Key));
        check(&[("sec-websocket-key", KEY), ("sec-websocket-key", KEY)], "", Err(Key));
        check(&[("sec-websocket-key", "  AAAAAAAAAAAAAAAAAAAAAA== ")], "", Ok(()));
        check(&[("sec-websocket-key", "+/AAAAAAAAAAAAAAAAAAAg==")], "", Ok(()));
        // Finding E6: the example of §4.1, whose unused bits are not zero.
        check(&[("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEC==")], "", Ok(()));
        for last in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']) {
            check(&[("sec-websocket-key", &format!("AAAAAAAAAAAAAAAAAAAAA{last}=="))], "", Ok(()));
        }
        for key in [
            "",
            "short",
            "AAAAAAAAAAAAAAAAAAAAAAA=",   // 17 bytes
            "AAAAAAAAAAAAAAAAAAAAAA",     // no padding
            "AAAAAAAAAAAAAAAAAAAAAA=A",   // padding in the middle
            "AAAAAAAAAAAAAAAAAAAAA-A==",  // too long
            "AAAAAAAAAAAAAAAAAAAA-A==",   // URL alphabet
            "AAAAAAAAAA AAAAAAAAAAA==",   // white space
            "AAAAAAAAAAAAAAAAAAAAAA==AA", // trailing characters
        ] {
            check(&[("sec-websocket-key", key)], "", Err(Key));
        }

        check(&[("origin", "http://example.com:8080")], "", Ok(()));
        check(&[("origin", "http://example.com")], "", Err(Origin));
        check(&[("origin", "null")], "", Err(Origin));
        check(&[("origin", "")], "", Err(Origin));
        let twice = [("origin", "http://example.com:8080"), ("origin", "http://example.com:8080")];
        check(&twice, "", Err(Origin));
        check(&[("origin", "http://example.com"), ("sec-fetch-site", "same-origin")], "", Ok(()));
        check(&[("sec-fetch-site", "same-site")], "", Err(Origin));

        check(&[("sec-websocket-protocol", "chat, superchat")], "", Ok(()));
        check(&[("sec-websocket-protocol", "")], "", Ok(()));
        check(&[("sec-websocket-protocol", "chat superchat")], "", Err(Protocol));
        check(&[("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "a\"b")], "", Err(Protocol));
        check(&[("sec-websocket-protocol", "café")], "", Err(Protocol));

        check(&[("sec-websocket-extensions", "permessage-deflate; a=b, c")], "", Ok(()));
        check(&[("sec-websocket-extensions", "")], "", Ok(()));
        check(&[("sec-websocket-extensions", "permessage-deflate; a=b c")], "", Err(Extensions));

        // If there are several faults, the first in the order of the checks is reported.
        let all = [("sec-websocket-version", "8"), ("sec-websocket-key", ""), ("origin", "null")];
        check(&all, "", Err(VersionUnsupported));
        check(&all[1..], "", Err(Key));
    }

    #[test]
    fn listed_origins_may_connect() {
        fn check(listed: &[&str], origin: &str, expected: bool) {
            let policy = listed.iter().fold(Policy::new(), |policy, origin| policy.origin(origin));
            assert_eq!(
                check_handshake(&with(&[("origin", origin)], ""), &policy).is_ok(),
                expected,
                "{listed:?} {origin}"
            );
        }
        check(&["https://a.example"], "https://a.example", true);
        check(&["https://a.example"], "HTTPS://A.example", true);
        check(&["https://a.example"], "https://a.example:443", false);
        check(&["https://a.example"], "http://a.example", false);
        check(&["https://a.example"], "http://example.com:8080", true);
        check(&["https://a.example", "null"], "null", true);
        check(&["*"], "null", true);
        check(&["*"], "https://anything", true);
    }

    #[test]
    fn the_order_of_the_policy_decides_the_subprotocol() {
        fn check(known: &[&str], offered: &[&str], expected: Option<&str>) {
            let policy = known.iter().fold(Policy::new(), |policy, name| policy.protocol(name));
            let fields: Vec<_> = offered.iter().map(|value| ("sec-websocket-protocol", *value)).collect();
            let found = check_handshake(&with(&fields, ""), &policy).unwrap().1;
            assert_eq!(found, expected, "{known:?} {offered:?}");
        }
        check(&[], &["a"], None);
        check(&["a"], &[], None);
        check(&["a", "b"], &["a, b"], Some("a"));
        check(&["a", "b"], &["b, a"], Some("a"));
        check(&["a", "b"], &["c", "b"], Some("b"));
        check(&["a", "b"], &["b", "x,a"], Some("a"));
        check(&["a"], &["A"], None);
        check(&["a\r\nX: y"], &["a"], None);
    }

    #[test]
    fn the_response_has_the_accepted_fields() {
        fn check(protocol: Option<&str>, extra: &str, expected: &str) {
            let mut out = Vec::new();
            let accept_key = *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
            let accepted = Accepted { accept_key: Some(accept_key), protocol, deflate: None };
            let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
            encode_switching_protocols(&mut out, &accepted, extra.as_bytes(), date);
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
            assert_eq!(String::from_utf8(out).unwrap(), format!("{head}{expected}\r\n"));
        }
        check(None, "", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        check(
            Some("chat"),
            "X-A: b\r\n",
            "Sec-WebSocket-Protocol: chat\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-A: b\r\n",
        );
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn compression_is_answered() {
        let policy = Policy::new().compression(Compression::shared().window(11)).protocol("chat");
        let mut fields = with(&[("sec-websocket-protocol", "chat")], "");
        fields.push(("sec-websocket-extensions", "x, permessage-deflate; server_max_window_bits=8"));
        fields.push(("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"));
        let find = |name: &str| {
            let name = name.to_ascii_lowercase();
            fields.iter().filter(move |field| field.0 == name).map(|field| field.1.as_bytes())
        };
        let accepted = accept("GET", true, "example.com", false, find, &policy).unwrap();
        let deflate = accepted.deflate.unwrap();
        assert_eq!((deflate.server_takeover, deflate.client_takeover), (false, false));
        assert_eq!((deflate.server_window_bits, deflate.client_window_bits()), (11, Some(11)));
        let mut out = Vec::new();
        encode_switching_protocols(&mut out, &accepted, b"", b"Sun, 06 Nov 1994 08:49:37 GMT");
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().skip(4).collect();
        assert_eq!(
            lines,
            [
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=11",
                "Date: Sun, 06 Nov 1994 08:49:37 GMT",
                "",
            ]
        );
    }
}
