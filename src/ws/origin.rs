//! Decides whether a page's request is admitted: one of the server's own origin, or of an origin that is listed (RFC 6455
//! §10.2, RFC 6454).
//!
//! It knows no request, only the values of its fields. Its invariant: an origin that cannot be parsed never counts as the
//! same.

/// Returns whether a request is admitted that has these values of `Origin` and of `Sec-Fetch-Site` and is for `host`.
///
/// An origin is admitted if it is listed, or if `*` is. Otherwise `Sec-Fetch-Site` decides, which a page cannot set and a
/// proxy does not change (Fetch Metadata Request Headers §2.4): `same-origin` is admitted, and so is `none`, which says
/// that the user and no page has made the request; `same-site`, `cross-site` and what else may come are not. Without that
/// field, which browsers leave out on plain HTTP, the origin must be the same as `host`, with TLS if the connection
/// `is_secure`. A request without either field does not come from a browser.
pub(crate) fn is_admitted<'a>(
    origins: impl IntoIterator<Item = &'a [u8]>,
    sites: impl IntoIterator<Item = &'a [u8]>,
    host: &str,
    is_secure: bool,
    listed: &[Box<str>],
) -> bool {
    let (mut origins, mut sites) = (origins.into_iter(), sites.into_iter());
    let origin = match (origins.next(), origins.next()) {
        (origin, None) => origin.map(|origin| std::str::from_utf8(origin.trim_ascii()).unwrap_or_default()),
        // No browser sends two, so this is none that could be listed.
        (_, Some(_)) => Some(""),
    };
    if origin.is_some_and(|origin| is_listed(origin, listed)) {
        return true;
    }
    match (sites.next(), sites.next()) {
        (None, _) => origin.is_none_or(|origin| is_same(origin, host, is_secure)),
        (Some(site), None) => matches!(site.trim_ascii(), b"same-origin" | b"none"),
        _ => false,
    }
}

/// Returns whether one of `listed` is `origin`, ignoring case, or `*`.
pub(super) fn is_listed(origin: &str, listed: &[Box<str>]) -> bool {
    listed.iter().any(|listed| **listed == *"*" || listed.eq_ignore_ascii_case(origin))
}

/// Returns whether `origin` (the field's value) and `host` (the request's) name the same server.
///
/// The origin's scheme must be `https`, or `http` unless the connection `is_secure`. It also supplies the default port for
/// both, because a server behind a proxy that terminates TLS does not know its own scheme.
pub(super) fn is_same(origin: &str, host: &str, is_secure: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("http") && !is_secure {
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
    fn a_listed_origin_or_else_the_browser_or_else_the_host_decides() {
        /// `fields` are lines, `O` for Origin and `S` for Sec-Fetch-Site.
        fn check(listed: &[&str], fields: &[&str], expected: bool) {
            let listed: Vec<Box<str>> = listed.iter().map(|origin| (*origin).into()).collect();
            let values =
                |mark| fields.iter().filter_map(move |line| line.strip_prefix(mark)).map(str::as_bytes);
            let found = is_admitted(values("O "), values("S "), "a.example:8080", false, &listed);
            assert_eq!(found, expected, "{listed:?} {fields:?}");
        }
        let (own, app, evil) = ("O http://a.example:8080", "O https://app.example", "O http://evil.example");
        check(&[], &[], true);
        check(&[], &[own], true);
        check(&[], &[evil], false);
        check(&[], &[own, own], false);
        check(&[], &["O null"], false);
        check(&[], &["O "], false);
        // A proxy has changed the host, and the browser knows better.
        check(&[], &[app, "S same-origin"], true);
        check(&[], &["O null", "S same-origin"], true);
        check(&[], &["S none"], true);
        check(&[], &[own, "S same-site"], false);
        check(&[], &[own, "S cross-site"], false);
        check(&[], &["S cross-site"], false);
        check(&[], &["S "], false);
        check(&[], &["S same-origin", "S same-origin"], false);
        check(&["https://app.example"], &[app], true);
        check(&["HTTPS://APP.example"], &[app, "S cross-site"], true);
        check(&["https://app.example"], &[own, "S same-origin"], true);
        check(&["https://app.example"], &[evil, "S same-site"], false);
        check(&["https://app.example"], &[app, app], false);
        check(&["https://app.example"], &["S cross-site"], false);
        check(&["*"], &[evil, "S cross-site"], true);
        check(&["*"], &["O null"], true);
    }

    #[test]
    fn only_the_same_origin_matches() {
        fn check(origin: &str, host: &str, expected: bool) {
            assert_eq!(is_same(origin, host, false), expected, "{origin} at {host}");
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
        // With TLS, the own page has it too.
        assert!(is_same("https://example.com", "example.com", true));
        assert!(!is_same("http://example.com", "example.com", true));
        assert!(!is_same("http://example.com:8443", "example.com:8443", true));

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
