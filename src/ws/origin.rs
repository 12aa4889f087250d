//! Whether a page may open a WebSocket here (RFC 6455 §10.2, RFC 6454).
//!
//! Knows no request, only the two strings. Invariant: what is not understood is not the same origin.

/// Whether `origin` (the field's value) and `host` (of the request) name the same server.
///
/// The origin's scheme has to be `http` or `https`; it also says which port is meant where one of the
/// two names none, because behind a proxy that ends TLS the server does not know its own scheme.
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

/// The name and the port of an authority without user information.
fn split(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    let (name, port) = match authority.rsplit_once(':') {
        // The last colon of an address in brackets is not before a port.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (authority, ""),
    };
    let port = match port {
        "" => default_port,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    let known = |byte: u8| !matches!(byte, b'/' | b'?' | b'#' | b'@' | b',' | b' ' | b'\t');
    (!name.is_empty() && name.bytes().all(known)).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
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
