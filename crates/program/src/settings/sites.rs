//! Which hosts are served, and which other sites' pages may use them.
//!
//! It does not know what is checked. Its invariant: a host has no port, and an origin no path, because such a one would
//! never match.

use super::values::Settings;

impl Settings {
    /// Replaces the hosts that are served.
    pub(super) fn set_hosts(&mut self, hosts: Vec<String>) -> Result<(), String> {
        self.hosts = hosts.iter().map(|host| checked_host(host.trim())).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Replaces the origins whose pages may change things.
    pub(super) fn set_origins(&mut self, origins: Vec<String>) -> Result<(), String> {
        self.origins =
            origins.iter().map(|origin| checked_origin(origin.trim())).collect::<Result<_, _>>()?;
        Ok(())
    }
}

fn checked_host(host: &str) -> Result<String, String> {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if host == "*" || is_name || address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(host.into());
    }
    Err(format!(
        "bad host `{host}`; expected a name or an address without a port, such as chat.example, or *"
    ))
}

/// Returns the origin as browsers send it: without the scheme's own port (RFC 6454 §6.2).
fn checked_origin(origin: &str) -> Result<String, String> {
    let host = origin.split_once("://").filter(|(scheme, host)| {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@,*".contains(&byte);
        !scheme.is_empty()
            && !host.is_empty()
            && origin.bytes().filter(|byte| *byte != b'/').all(is_plain)
            && !host.contains('/')
    });
    match host {
        _ if origin == "*" || origin == "null" => Ok(origin.into()),
        Some(("http", _)) => Ok(origin.strip_suffix(":80").unwrap_or(origin).into()),
        Some(("https", _)) => Ok(origin.strip_suffix(":443").unwrap_or(origin).into()),
        Some(_) => Ok(origin.into()),
        None => Err(format!(
            "bad origin `{origin}`; expected SCHEME://HOST[:PORT] without a path, such as https://chat.example, or *"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_port() {
        fn check(host: &str, expected: bool) {
            assert_eq!(checked_host(host).is_ok(), expected, "{host}");
        }
        check("chat.example", true);
        check("10.0.0.7", true);
        check("[::1]", true);
        check("2001:db8::1", true);
        check("*", true);
        check("", false);
        check("chat.example:80", false);
        check("[::1]:80", false);
        check("http://chat.example", false);
        check("*.example", false);
        check("a b", false);
    }

    #[test]
    fn an_origin_has_no_path_and_not_the_schemes_own_port() {
        fn check(origin: &str, expected: Option<&str>) {
            assert_eq!(checked_origin(origin).ok().as_deref(), expected, "{origin}");
        }
        check("https://chat.example", Some("https://chat.example"));
        check("https://chat.example:443", Some("https://chat.example"));
        check("http://chat.example:443", Some("http://chat.example:443"));
        check("http://[::1]:80", Some("http://[::1]"));
        check("tauri://localhost", Some("tauri://localhost"));
        check("null", Some("null"));
        check("*", Some("*"));
        check("", None);
        check("chat.example", None);
        check("https://chat.example/", None);
        check("https://chat.example/a", None);
        check("https://*.example", None);
        check("https://a@b", None);
        check("https://", None);
        check("://a", None);
    }
}
