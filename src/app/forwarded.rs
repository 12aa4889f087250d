//! What a proxy says in a request about the client that it asks for: Forwarded (RFC 7239), or X-Forwarded-For, -Proto and
//! -Host.
//!
//! It knows no connection. Its invariant: only a trusted proxy is believed, what a client has sent is never believed in place of
//! what such a proxy has written, and what cannot be read says nothing.

use crate::config::{ForwardedFields, Proxies};
use crate::http1::{Fields, is_authority, is_token};
use crate::transport::Peer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is said about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Forwarded<'v> {
    /// Its address: that of a proxy, if the proxy does not say whose request it passes on.
    pub(super) ip: Option<IpAddr>,
    /// Whether it has connected over TLS.
    pub(super) is_secure: Option<bool>,
    /// The authority that it has asked for.
    pub(super) host: Option<&'v str>,
}

/// Returns the address of the client of a request, if `peer`, who has sent it, is a trusted proxy.
#[inline]
pub(crate) fn forwarded_ip(peer: &Peer, fields: &Fields<'_>) -> Option<IpAddr> {
    of_fields(peer, fields).and_then(|forwarded| forwarded.ip)
}

/// Returns what the fields of a request say about its client, if `peer`, who has sent it, is a trusted proxy.
#[inline]
pub(super) fn of_fields<'r>(peer: &Peer, fields: &Fields<'r>) -> Option<Forwarded<'r>> {
    peer.trusted().map(|proxies| read(peer.ip(), proxies, |name| fields.values(name)))
}

/// Returns what a request says about its client. `peer` has sent it, and `values` are those of its fields of a name.
pub(super) fn read<'v, V: Iterator<Item = &'v [u8]>>(
    peer: Option<IpAddr>,
    proxies: &Proxies,
    values: impl Fn(&'static str) -> V,
) -> Forwarded<'v> {
    let mut way = Way::default();
    match proxies.fields() {
        ForwardedFields::XForwarded => {
            for text in list(values("x-forwarded-for")) {
                way.pass(Forwarded { ip: node(text), ..Forwarded::default() }, proxies);
            }
            let mut found = way.client(peer);
            found.is_secure = list(values("x-forwarded-proto")).last().and_then(is_secure);
            found.host = list(values("x-forwarded-host")).last().and_then(host);
            found
        }
        ForwardedFields::Forwarded => {
            list(values("forwarded")).for_each(|text| way.pass(element(text), proxies));
            way.client(peer)
        }
    }
}

/// The proxies on the way from the client, from the farthest to the nearest. Each has added who its own peer was. The client is
/// the last that is no trusted proxy, because what stands before that was written by somebody else.
#[derive(Default)]
struct Way<'v> {
    client: Option<Forwarded<'v>>,
}

impl<'v> Way<'v> {
    fn pass(&mut self, next: Forwarded<'v>, proxies: &Proxies) {
        let is_trusted = next.ip.is_some_and(|ip| proxies.trusts(Some(ip)));
        match &mut self.client {
            // Of a client that is not named, this is the nearest proxy.
            Some(client) if is_trusted => client.ip = client.ip.or(next.ip),
            _ => self.client = Some(next),
        }
    }

    fn client(self, peer: Option<IpAddr>) -> Forwarded<'v> {
        let client = self.client.unwrap_or_default();
        Forwarded { ip: client.ip.or(peer), ..client }
    }
}

/// Reads `for`, `proto` and `host` of an element of Forwarded. One that is malformed says nothing.
fn element(text: &[u8]) -> Forwarded<'_> {
    let mut found = [None; 3];
    for pair in split(text, b';').filter(|pair| !pair.is_empty()) {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { return Forwarded::default() };
        let (name, Some(value)) = (&pair[..equals], value(&pair[equals + 1..])) else {
            return Forwarded::default();
        };
        let names = [&b"for"[..], b"proto", b"host"];
        let Some(at) = names.iter().position(|known| name.eq_ignore_ascii_case(known)) else { continue };
        // §4: each of them at most once.
        if found[at].replace(value).is_some() {
            return Forwarded::default();
        }
    }
    let [client, proto, authority] = found;
    Forwarded {
        ip: client.and_then(node),
        is_secure: proto.and_then(is_secure),
        host: authority.and_then(host),
    }
}

/// Returns the entries of all lists, as if they were one.
fn list<'v>(values: impl Iterator<Item = &'v [u8]>) -> impl Iterator<Item = &'v [u8]> {
    values.flat_map(|value| split(value, b','))
}

/// Splits at a separator that is not within quotes. White space around the parts is dropped. A part may be empty: a proxy that
/// adds one has nothing to say, so what stands before it is not its word.
///
/// A client may begin a quoted string, for a proxy to add to. So a quote only counts if the string ends where a value ends,
/// and has no escapes, for which no value has a use.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut end = 0;
        while let Some(byte) = text.get(end).filter(|byte| **byte != separator) {
            let quoted = if *byte == b'"' { quoted_bytes(&text[end..]) } else { None };
            end += quoted.unwrap_or(1);
        }
        rest = text.get(end + 1..);
        Some(text[..end].trim_ascii())
    })
}

/// Returns how long the quoted string is that begins here, with its quotes.
fn quoted_bytes(text: &[u8]) -> Option<usize> {
    let inner = text[1..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let ends_there = text[1 + inner] == b'"'
        && matches!(text[inner + 2..].trim_ascii_start().first(), None | Some(b',' | b';'));
    ends_there.then_some(inner + 2)
}

/// Returns a value without its quotes. Without quotes it must be a token (§4), though an address with a port is let pass.
fn value(text: &[u8]) -> Option<&[u8]> {
    if text.first() == Some(&b'"') {
        return (quoted_bytes(text)? == text.len()).then(|| &text[1..text.len() - 1]);
    }
    let is_allowed = |byte: &u8| is_token(*byte) || matches!(byte, b':' | b'[' | b']');
    text.iter().all(is_allowed).then_some(text)
}

/// Reads an address with or without a port (RFC 7239 §6). Returns `None` for the names that stand for others.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let (ip, port): (IpAddr, _) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, after) = rest.split_once(']')?;
            (
                ip.parse::<Ipv6Addr>().ok()?.into(),
                if after.is_empty() { None } else { Some(after.strip_prefix(':')?) },
            )
        }
        None => match text.parse() {
            Ok(ip) => (ip, None),
            Err(_) => {
                let (ip, port) = text.split_once(':')?;
                (ip.parse::<Ipv4Addr>().ok()?.into(), Some(port))
            }
        },
    };
    let is_port = |port: &str| matches!(port.len(), 1..=5) && port.bytes().all(|byte| byte.is_ascii_digit());
    port.is_none_or(is_port).then(|| ip.to_canonical())
}

/// Some proxies name the scheme of a WebSocket.
fn is_secure(scheme: &[u8]) -> Option<bool> {
    let is_one_of = |names: [&[u8]; 2]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    if is_one_of([b"https", b"wss"]) { Some(true) } else { is_one_of([b"http", b"ws"]).then_some(false) }
}

fn host(authority: &[u8]) -> Option<&str> {
    std::str::from_utf8(authority).ok().filter(|text| is_authority(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    /// Reads fields that are lines such as `X-Forwarded-For: 192.0.2.1`, and writes what they say in a line.
    fn read_lines(lines: &str, fields: ForwardedFields) -> String {
        let proxies = Proxies::new().trust("10.0.0.0/8, 2001:db8::/32".parse().unwrap(), fields);
        let fields: Vec<_> = lines.lines().filter_map(|line| line.split_once(": ")).collect();
        let values = |name: &str| {
            let name = name.to_string();
            let found = fields.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(&name));
            found.map(|(_, value)| value.as_bytes())
        };
        let Forwarded { ip, is_secure, host } = read(PEER.parse().ok(), &proxies, values);
        let scheme = is_secure.map_or("-", |is_secure| if is_secure { "https" } else { "http" });
        format!("{} {scheme} {}", ip.unwrap(), host.unwrap_or("-"))
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy() {
        fn check(list: &str, expected: &str) {
            let lines = format!("X-Forwarded-For: {list}");
            assert_eq!(
                read_lines(&lines, ForwardedFields::XForwarded),
                format!("{expected} - -"),
                "{list:?}"
            );
            // The same, as the standard writes it.
            let quoted: Vec<_> = list.split(',').map(|node| format!("for=\"{}\"", node.trim())).collect();
            let lines = format!("Forwarded: {}", quoted.join(", "));
            assert_eq!(
                read_lines(&lines, ForwardedFields::Forwarded),
                format!("{expected} - -"),
                "{lines:?}"
            );
        }
        check("192.0.2.1", "192.0.2.1");
        check("192.0.2.1:4711", "192.0.2.1");
        check("[2001:db9::1]", "2001:db9::1");
        check("[2001:db9::1]:4711", "2001:db9::1");
        check("2001:db9::1", "2001:db9::1");
        check("::ffff:192.0.2.1", "192.0.2.1");
        // What the client itself has sent.
        check("127.0.0.1, 192.0.2.1", "192.0.2.1");
        check("10.9.9.9, 192.0.2.1", "192.0.2.1");
        // More proxies.
        check("192.0.2.1, 10.0.0.2", "192.0.2.1");
        check("192.0.2.1,10.0.0.3 , [2001:db8::5]:1", "192.0.2.1");
        check("127.0.0.1, 192.0.2.1, 10.0.0.2", "192.0.2.1");
        check("127.0.0.1, 192.0.2.1, 198.51.100.7, 10.0.0.2", "198.51.100.7");
        // All are proxies: the farthest asks for itself.
        check("10.0.0.3, 10.0.0.2", "10.0.0.3");
        // A client that is not named: the address is that of the last proxy before it.
        for unknown in [
            "unknown",
            "_hidden",
            "_hidden:80",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:123456",
            "192.0.2",
            "1.2.3.4.5",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:",
            "0x7f.1",
            "localhost",
            "\u{e9}",
            "192.0.2.1 192.0.2.2",
        ] {
            check(unknown, PEER);
            check(&format!("127.0.0.1, {unknown}"), PEER);
            check(&format!("127.0.0.1, {unknown}, 10.0.0.3, 10.0.0.2"), "10.0.0.3");
            check(&format!("{unknown}, 192.0.2.1"), "192.0.2.1");
        }
    }

    #[test]
    fn lists_may_have_several_lines_and_empty_entries() {
        fn check(lines: &str, expected: &str) {
            assert_eq!(read_lines(lines, ForwardedFields::XForwarded), expected, "{lines:?}");
        }
        check("", "10.0.0.1 - -");
        check("X-Forwarded-For: ", "10.0.0.1 - -");
        check("X-Forwarded-For: , ,", "10.0.0.1 - -");
        // The proxy has not said who it is.
        check("X-Forwarded-For: 192.0.2.1,,", "10.0.0.1 - -");
        check("X-Forwarded-For: 192.0.2.1, , 10.0.0.2", "10.0.0.2 - -");
        check("X-Forwarded-For: ,192.0.2.1", "192.0.2.1 - -");
        check("X-Forwarded-For: 192.0.2.1\nX-Forwarded-For: ", "10.0.0.1 - -");
        check("X-Forwarded-Host: evil.example\nX-Forwarded-Host: ", "10.0.0.1 - -");
        check(
            "X-Forwarded-For: 127.0.0.1\nx-forwarded-for: 192.0.2.1\nX-FORWARDED-FOR: 10.0.0.2",
            "192.0.2.1 - -",
        );
        // The other kind is not believed.
        check("Forwarded: for=192.0.2.1;proto=https;host=evil.example", "10.0.0.1 - -");
        let lines = "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil.example";
        assert_eq!(read_lines(lines, ForwardedFields::Forwarded), "10.0.0.1 - -");
    }

    #[test]
    fn scheme_and_host_are_those_that_the_client_has_used() {
        fn check(clients: &str, protos: &str, hosts: &str, expected: &str) {
            let lines =
                format!("X-Forwarded-For: {clients}\nX-Forwarded-Proto: {protos}\nX-Forwarded-Host: {hosts}");
            assert_eq!(read_lines(&lines, ForwardedFields::XForwarded), expected, "{lines:?}");
        }
        check("192.0.2.1", "https", "a.example", "192.0.2.1 https a.example");
        check("192.0.2.1", "HTTP", "a.example:8080", "192.0.2.1 http a.example:8080");
        check("192.0.2.1", "wss", "[::1]:80", "192.0.2.1 https [::1]:80");
        check("192.0.2.1", "ws", "", "192.0.2.1 http -");
        check("", "https", "a.example", "10.0.0.1 https a.example");
        // What the nearest proxy has written counts, whatever stands before it.
        check("192.0.2.1, 10.0.0.2", "https", "a.example", "192.0.2.1 https a.example");
        check("127.0.0.1, 192.0.2.1", "https, http", "evil.example, a.example", "192.0.2.1 http a.example");
        check("192.0.2.1, 10.0.0.2", "http, https", "evil.example, a.example", "192.0.2.1 https a.example");
        check("192.0.2.1", "https, ", "evil.example, ", "192.0.2.1 - -");
        for bad in ["ftp", "https://", "http s", "\"https\"", "-"] {
            check("192.0.2.1", bad, "a.example", "192.0.2.1 - a.example");
        }
        for bad in
            ["a b", "a/b", "user@a.example", "a.example:x", ":80", "\"a.example\"", "a\u{e9}", "[::1", "?"]
        {
            check("192.0.2.1", "https", bad, "192.0.2.1 https -");
        }
    }

    #[test]
    fn the_standard_field_says_it_in_one() {
        fn check(value: &str, expected: &str) {
            let lines = format!("Forwarded: {value}");
            assert_eq!(read_lines(&lines, ForwardedFields::Forwarded), expected, "{value:?}");
        }
        check("for=192.0.2.1;proto=https;host=a.example", "192.0.2.1 https a.example");
        check("HOST=\"a.example:80\" ; Proto=http;By=\"_x\";FOR=192.0.2.1", "192.0.2.1 http a.example:80");
        check("for=192.0.2.1;ext=\"a,b;c\";proto=https", "192.0.2.1 https -");
        check("for=\"[2001:db9::1]:80\"", "2001:db9::1 - -");
        check("proto=https", "10.0.0.1 https -");
        // Each element speaks for its own client.
        check(
            "for=192.0.2.1;proto=https;host=a.example, for=10.0.0.2;proto=http;host=b",
            "192.0.2.1 https a.example",
        );
        check("for=127.0.0.1;proto=https;host=evil, for=192.0.2.1;proto=http", "192.0.2.1 http -");
        check("for=unknown;proto=https, for=10.0.0.2;proto=http", "10.0.0.2 https -");
        // Malformed ones say nothing.
        for bad in [
            "for=192.0.2.1;for=192.0.2.2",
            "for",
            "=",
            "for=192.0.2.1;proto",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "for=192.0.2.1;host=a\"",
            "for=192.0.2.1;x=a/b",
            "for=192.0.2.1;x=\"a\"b\"",
        ] {
            check(bad, "10.0.0.1 - -");
        }
        check("for=192.0.2.1;proto=https;PROTO=http", "10.0.0.1 - -");
        check("for=192.0.2.1;proto=", "192.0.2.1 - -");
        check("for=192.0.2.1:80;host=a.example:80;;", "192.0.2.1 - a.example:80");
        // A client begins what a proxy adds to.
        for begun in [
            "for=\"",
            "for=\"a",
            "x=\"\\",
            "for=127.0.0.1;x=\"",
            "\"",
            "for=\"127.0.0.1\"x\"",
            ";",
            "host=\"evil",
        ] {
            check(&format!("{begun}, for=192.0.2.1"), "192.0.2.1 - -");
            check(&format!("{begun}, for=\"192.0.2.1:80\";proto=https"), "192.0.2.1 https -");
            check(
                &format!("{begun}, for=\"192.0.2.1\";by=\"\"; host=\"a.example\""),
                "192.0.2.1 - a.example",
            );
        }
    }
}
