//! Checks `uri-host [ ":" port ]`, the form of Host and of authorities in targets (RFC 3986 §3.2,
//! RFC 9110 §7.2).
//!
//! It knows the grammar and resolves no names. Its invariant: userinfo is refused, because `@` is not part of
//! the grammar.

use super::block::find;
use super::fields::Span;
use std::net::Ipv6Addr;

/// What the callers need to know about a well-formed authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host_is_empty: bool,
    pub(crate) has_port: bool,
}

/// Does the same as [`check`], for the authority at `span` in `section`. More bytes follow it there, so it
/// can be read sixteen bytes at a time.
#[inline]
pub(crate) fn check_in(section: &[u8], span: Span) -> Option<Authority> {
    let (at, end) = (span.at as usize, (span.at + span.len) as usize);
    let host_end = find(section, at, |block| block.not_word() & !block.is(b'.'));
    if host_end >= end && at < end {
        return Some(Authority { host_is_empty: false, has_port: false });
    }
    match section.get(host_end..end) {
        Some([b':', port @ ..]) if host_end > at => {
            is_port(port).then_some(Authority { host_is_empty: false, has_port: !port.is_empty() })
        }
        _ => check(span.bytes(section)),
    }
}

/// Checks an authority and returns `None` if it is malformed. An empty host and an empty port are valid.
#[inline]
pub(super) fn check(authority: &[u8]) -> Option<Authority> {
    let (host_len, rest) = if authority.first() == Some(&b'[') {
        let close = authority.iter().position(|&b| b == b']')?;
        if !is_ip_literal(&authority[1..close]) {
            return None;
        }
        (close + 1, &authority[close + 1..])
    } else {
        let len = authority.iter().position(|&b| !NAME[b as usize]).unwrap_or(authority.len());
        (len, &authority[len..])
    };
    match rest {
        [] => Some(Authority { host_is_empty: host_len == 0, has_port: false }),
        [b':', port @ ..] => {
            is_port(port).then_some(Authority { host_is_empty: host_len == 0, has_port: !port.is_empty() })
        }
        // Percent-encoded names are rare, so they are checked again from the start.
        [b'%', ..] => check_escaped(authority),
        _ => None,
    }
}

/// Whether it is an authority with a host, as in the Host field of a request.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    check(text).is_some_and(|authority| !authority.host_is_empty)
}

/// `reg-name` without `pct-encoded`: unreserved and sub-delims (RFC 3986 §3.2.2).
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        b += 1;
    }
    table
};

#[cold]
fn check_escaped(authority: &[u8]) -> Option<Authority> {
    let mut rest = authority;
    loop {
        rest = match rest {
            [] => return Some(Authority { host_is_empty: false, has_port: false }),
            [b':', port @ ..] => {
                return is_port(port)
                    .then_some(Authority { host_is_empty: false, has_port: !port.is_empty() });
            }
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [b, rest @ ..] if NAME[*b as usize] => rest,
            _ => return None,
        };
    }
}

fn is_port(port: &[u8]) -> bool {
    port.iter().all(u8::is_ascii_digit) && (port.len() < 5 || (port.len() == 5 && port <= &b"65535"[..]))
}

/// Returns whether the text between brackets is an IPv6 address or `IPvFuture` (RFC 3986 §3.2.2).
fn is_ip_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&b| b == b'.') else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&b| NAME[b as usize] || b == b':');
    }
    std::str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_a_host_and_perhaps_a_port() {
        fn check(authority: &str, expected: Option<(bool, bool)>) {
            let found = super::check(authority.as_bytes()).map(|a| (a.host_is_empty, a.has_port));
            assert_eq!(found, expected, "{authority:?}");
            // The bytes around it must make no difference.
            for (before, behind) in [("", ""), ("a:", "a.b.c:80\r\n"), ("Host: ", "\r\n\r\n"), ("", "0")] {
                let span = Span { at: before.len() as u32, len: authority.len() as u32 };
                let section = format!("{before}{authority}{behind}");
                let found = check_in(section.as_bytes(), span).map(|a| (a.host_is_empty, a.has_port));
                assert_eq!(found, expected, "{authority:?} in {section:?}");
            }
        }
        let (plain, with_port) = (Some((false, false)), Some((false, true)));
        check("", Some((true, false)));
        check(":80", Some((true, true)));
        check("a", plain);
        check("a:", plain);
        check("example.org:8080", with_port);
        check("127.0.0.1:1", with_port);
        check("a_b-c.d~e", plain);
        check("a,b", plain);
        check("caf%C3%A9:80", with_port);
        check("%41", plain);
        check("a%4", None);
        check("a%4g", None);
        check("a%", None);
        check("[::1]", plain);
        check("[::1]:8080", with_port);
        check("[::ffff:1.2.3.4]:0", with_port);
        check("[v1.a:b]", plain);
        check("[v.a]", None);
        check("[v1]", None);
        check("[::1", None);
        check("[]", None);
        check("[::1]x", None);
        check("[fe80::1%25eth0]", None);
        check("::1", None);
        check("a:65535", with_port);
        check("a:65536", None);
        check("a:99999999999", None);
        check("a:-1", None);
        check("a:b", None);
        check("a:1:2", None);
        check("user@a", None);
        check("a b", None);
        check("a/b", None);
        check("a?b", None);
        check("a#b", None);
        check("caf\u{e9}", None);
        check("a\\b", None);
    }
}
