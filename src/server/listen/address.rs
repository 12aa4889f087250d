//! How the address of a listening socket is written.
//!
//! It opens nothing, and looks up no name. Its invariant: an error says which part of the text is wrong.

use crate::config::ConfigError;
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// HOST:PORT, where the host may be a name.
    Tcp(String),
    /// A Unix socket, and the mode of its file, if that is given.
    Unix(UnixName<'a>, Option<u32>),
    /// An inherited descriptor.
    Inherited(RawFd),
    /// The sockets that a service manager has passed: all of them, or those of one name.
    Activated(Option<&'a str>),
}

/// The name of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnixName<'a> {
    Path(&'a str),
    /// A name in Linux's abstract namespace, without a file.
    Abstract(&'a str),
}

/// Checks an address as [`Builder::bind`](crate::Builder::bind) takes it, without opening anything: for programs that read
/// addresses from settings.
///
/// ```
/// assert!(fleeting::check_address("unix:/run/chat.sock?mode=0660").is_ok());
/// let error = fleeting::check_address("localhost").unwrap_err().to_string();
/// assert!(error.starts_with("bad address `localhost`: there is no port; expected HOST:PORT"));
/// ```
///
/// # Errors
/// [`ConfigError::BadAddress`] says what is wrong.
pub fn check_address(addr: &str) -> Result<(), ConfigError> {
    Address::parse(addr).map(drop)
}

impl<'a> Address<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Address<'a>, ConfigError> {
        let text = text.trim();
        let parsed = match text.split_once(':') {
            None if text == "systemd" => Ok(Address::Activated(None)),
            Some(("systemd", name)) => activated(name),
            Some(("fd", number)) => inherited(number),
            Some(("unix", rest)) => unix(rest),
            _ => tcp(text).map(Address::Tcp),
        };
        parsed.map_err(|why| ConfigError::BadAddress(text.into(), why))
    }
}

fn activated(name: &str) -> Result<Address<'_>, &'static str> {
    if name.is_empty() { Err("the name of the sockets is empty") } else { Ok(Address::Activated(Some(name))) }
}

fn inherited<'a>(number: &str) -> Result<Address<'a>, &'static str> {
    match number.parse() {
        Ok(parsed) if is_decimal(number) => Ok(Address::Inherited(parsed)),
        _ => Err("the descriptor is not a number"),
    }
}

fn is_decimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads `/PATH`, `///PATH`, `PATH` or `@NAME`, with `?mode=0660`.
fn unix(rest: &str) -> Result<Address<'_>, &'static str> {
    let (name, mode) = match rest.split_once('?') {
        None => (rest, None),
        Some((name, option)) => {
            let Some(mode) = option.strip_prefix("mode=") else { return Err("the only option is mode") };
            match u32::from_str_radix(mode, 8) {
                Ok(bits @ 0..=0o777) if is_decimal(mode) => (name, Some(bits)),
                _ => return Err("the mode is not an octal number up to 0777"),
            }
        }
    };
    match name.strip_prefix('@') {
        Some(_) if mode.is_some() => Err("a name that begins with @ has no file, so no mode"),
        Some("") => Err("the name is empty"),
        Some(name) => Ok(Address::Unix(UnixName::Abstract(name), None)),
        None => {
            // As in a URL.
            let path = name.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(name);
            if path.is_empty() {
                return Err("the path is empty");
            }
            Ok(Address::Unix(UnixName::Path(path), mode))
        }
    }
}

/// Returns HOST:PORT. The name is not looked up.
fn tcp(text: &str) -> Result<String, &'static str> {
    if text.contains("://") {
        return Err("it is a URL");
    }
    if text.starts_with('/') {
        return Err("a path begins with unix:");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return Err("there is no port") };
    match port.parse::<u32>() {
        _ if port.is_empty() => return Err("there is no port"),
        _ if port.bytes().any(|byte| !byte.is_ascii_digit()) => return Err("the port is not a number"),
        Ok(port) if port <= u16::MAX.into() => {}
        _ => return Err("the port is above 65535"),
    }
    // All addresses, of both families.
    if host.is_empty() || host == "*" {
        return Ok(format!("[::]:{port}"));
    }
    if host.starts_with('[') || host.contains(':') {
        return match text.parse::<SocketAddr>() {
            Ok(_) => Ok(text.into()),
            Err(_) if host.starts_with('[') => Err("it is not an IPv6 address"),
            Err(_) => Err("an IPv6 address needs brackets"),
        };
    }
    if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Ok(text.into());
    }
    Err("the host is not a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect_error(text: &str, why: &str) {
        let message = Address::parse(text).unwrap_err().to_string();
        let begin = format!("bad address `{}`: {why}; expected HOST:PORT", text.trim());
        assert!(message.starts_with(&begin), "{message}");
    }

    /// Finding F4.
    #[test]
    fn an_address_of_tcp_is_a_host_and_a_port() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Address::parse(text), Ok(Address::Tcp(expected.into())), "{text}");
        };
        check("127.0.0.1:8080", "127.0.0.1:8080");
        check(" [::1]:0 ", "[::1]:0");
        check("localhost:80", "localhost:80");
        check("my_host.example-1:80", "my_host.example-1:80");
        check(":8080", "[::]:8080");
        check("*:0", "[::]:0");
        expect_error("", "there is no port");
        expect_error("8080", "there is no port");
        expect_error("localhost", "there is no port");
        expect_error("localhost:", "there is no port");
        expect_error("localhost:65536", "the port is above 65535");
        expect_error("127.0.0.1:99999", "the port is above 65535");
        expect_error("127.0.0.1:99999999999", "the port is above 65535");
        expect_error("localhost:+1", "the port is not a number");
        expect_error("localhost:http", "the port is not a number");
        expect_error("::1:80", "an IPv6 address needs brackets");
        expect_error("[::1:80", "it is not an IPv6 address");
        expect_error("http://localhost:80", "it is a URL");
        expect_error("a b:80", "the host is not a name");
    }

    #[test]
    fn a_unix_socket_has_a_path_and_perhaps_a_mode() {
        let check = |text: &str, path: &str, mode: Option<u32>| {
            assert_eq!(Address::parse(text), Ok(Address::Unix(UnixName::Path(path), mode)), "{text}");
        };
        check("unix:/run/a.sock", "/run/a.sock", None);
        check("unix:///run/a.sock", "/run/a.sock", None);
        check("unix:a:1/b.sock", "a:1/b.sock", None);
        check("unix:/a?mode=0660", "/a", Some(0o660));
        check("unix:/a?mode=777", "/a", Some(0o777));
        check("unix:/a?mode=0", "/a", Some(0));
        expect_error("unix:", "the path is empty");
        expect_error("unix:?mode=0660", "the path is empty");
        for mode in ["", "8", "0778", "1000", "07777", "+60", "rw", "660&user=a"] {
            expect_error(&format!("unix:/a?mode={mode}"), "the mode is not an octal number up to 0777");
        }
        expect_error("unix:/a?user=b", "the only option is mode");
        expect_error("/run/a.sock", "a path begins with unix:");
        expect_error("/run/a.sock:80", "a path begins with unix:");
        let name = Address::Unix(UnixName::Abstract("a"), None);
        assert_eq!(Address::parse("unix:@a"), Ok(name));
        expect_error("unix:@", "the name is empty");
        expect_error("unix:@a?mode=0660", "a name that begins with @ has no file, so no mode");
    }

    #[test]
    fn inherited_sockets_have_a_number_or_a_name() {
        assert_eq!(Address::parse("fd:0"), Ok(Address::Inherited(0)));
        assert_eq!(Address::parse(" fd:17 "), Ok(Address::Inherited(17)));
        for number in ["", "-1", "+3", "3a", "99999999999", "web"] {
            expect_error(&format!("fd:{number}"), "the descriptor is not a number");
        }
        assert_eq!(Address::parse("systemd"), Ok(Address::Activated(None)));
        assert_eq!(Address::parse("systemd:web"), Ok(Address::Activated(Some("web"))));
        // No host can be named so.
        assert_eq!(Address::parse("systemd:80"), Ok(Address::Activated(Some("80"))));
        expect_error("systemd:", "the name of the sockets is empty");
    }
}
