//! The check that a page and the server have the same origin (RFC 6455 §10.2, RFC 6454).
//!
//! It knows no request, only the two strings. Its invariant: an origin that cannot be parsed never counts as
//! the same.

/// Returns whether `origin` (the field's value) and `host` (the request's) name the same server.
///
/// The origin's scheme must be `http` or `https`. It also supplies the default port for both, because a
/// server behind a proxy that terminates TLS does not know its own scheme.
pub(super) fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("http") {
        80
    } else if scheme.eq_ignore_ascii_case("https") {
        443
    } else {
        return false;
    };
    match (split(authority, port), split(host, port)) {
        (Some((name, port)), Some((host, host_port))) => name.eq_ignore_ascii_case(host) && port == host_port,
        _ => false,
    }
}

/// Splits an authority without user information into name and port.
fn split(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    let (name, port) = match authority.rsplit_once(':') {
        // Inside an address in brackets, the last colon does not precede a port.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (authority, ""),
    };
    let port = match port {
        "" => default_port,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    let is_allowed = |byte: u8| !matches!(byte, b'/' | b'?' | b'#' | b'@' | b',' | b' ' | b'\t');
    (!name.is_empty() && name.bytes().all(is_allowed)).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_origin_matches() {
        fn check(origin: &str, host: &str, expected: bool) {
            assert_eq!(is_same(origin, host), expected, "{origin} at {host}");
        }
        check("http://example.com", "example.com", true);
        check("HTTP://Example.COM", "eXample.com", true);
        check("http://example.com:80", "example.com", true);
        check("http://example.com", "example.com:80", true);
        check("https://example.com", "example.com", true);
        check("https://example.com", "example.com:443", true);
        check("http://localhost:8080", "localhost:8080", true);
        check("http://[::1]:8080", "[::1]:8080", true);
        check("http://[::1]", "[::1]:80", true);
        check("http://[::1]", "[::1]", true);
        check("http://example.com", "example.com:", true);

        check("https://example.com", "example.com:80", false);
        check("http://localhost:8080", "localhost:8081", false);
        check("http://localhost:8080", "localhost", false);
        check("http://localhost", "localhost:8080", false);
        check("http://evil.example", "example.com", false);
        check("http://example.com.evil", "example.com", false);
        check("http://example.com@evil", "evil", false);
        check("http://example.com/", "example.com", false);
        check("http://example.com/", "example.com/", false);
        check("http://a b", "a b", false);
        check("http://example.com:080x", "example.com", false);
        check("http://example.com:99999", "example.com:99999", false);
        check("ftp://example.com", "example.com", false);
        check("file://", "", false);
        check("http://", "", false);
        check("null", "null", false);
        check("", "", false);
        check("example.com", "example.com", false);
    }
}
