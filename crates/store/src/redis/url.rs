//! The address of a Redis, with login and database, parsed from text.
//!
//! It knows no connection. Invariant: neither its text nor its errors contain the password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a Redis: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or for a Unix socket
/// `unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`.
///
/// The port is 6379 and the database 0 unless given. `valkey://` means the same as `redis://`. User names, passwords and
/// paths are percent-encoded (RFC 3986 §2.1). `Display` and `Debug` print `***` in place of the password. TLS is not
/// supported.
///
/// ```
/// use fleeting_store::RedisUrl;
///
/// let url: RedisUrl = "redis://app:s%40fe@cache.example:6380/2".parse()?;
/// assert_eq!(url.to_string(), "redis://app:***@cache.example:6380/2");
/// assert!("rediss://cache.example".parse::<RedisUrl>().unwrap_err().to_string().contains("TLS"));
/// # Ok::<(), fleeting_store::RedisUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) endpoint: Endpoint,
    pub(super) user: Option<Box<str>>,
    pub(super) password: Option<Box<str>>,
    pub(super) database: u32,
}

/// The address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Tcp(Box<str>, u16),
    Unix(PathBuf),
}

/// Why a text is not the address of a Redis. The messages do not quote the text, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// The text does not start with `redis://` or `unix://`.
    Scheme,
    /// The scheme asks for TLS, which is not supported.
    Tls,
    /// The host is missing, or contains a character that no host name has.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The database is not a number.
    Database,
    /// There is a user without a password.
    User,
    /// A percent-encoding is malformed, or the decoded text is not UTF-8.
    Encoding,
    /// The path of a socket does not start with `/`, or is too long.
    Path,
    /// This part of the text has no meaning.
    Trailing(Box<str>),
}

/// The default port of Redis.
const PORT: u16 = 6379;
/// The longest path of a socket on Linux, in bytes; other systems allow no more (unix(7)).
const PATH_BYTES_MAX: usize = 107;

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisUrlError::Scheme => {
                f.write_str("expected redis://HOST[:PORT][/DATABASE] or unix:///PATH[?db=DATABASE]")
            }
            RedisUrlError::Tls => f.write_str(
                "TLS to Redis is not supported: use redis:// on a trusted network or through a tunnel",
            ),
            RedisUrlError::Host => f.write_str("the host in redis://HOST[:PORT][/DATABASE] is missing or malformed"),
            RedisUrlError::Port => f.write_str("the port should be a number from 1 to 65535"),
            RedisUrlError::Database => f.write_str("the database should be a number, such as 0"),
            RedisUrlError::User => {
                f.write_str("the URL has a user without a password; a password alone is redis://:PASSWORD@HOST")
            }
            RedisUrlError::Encoding => f.write_str(
                "each % should start an encoded byte, such as %40 for @, and the decoded text should be UTF-8",
            ),
            RedisUrlError::Path => write!(
                f,
                "the path of a socket should start with / and have at most {PATH_BYTES_MAX} bytes, as in unix:///run/redis.sock"
            ),
            RedisUrlError::Trailing(part) => write!(f, "`{part}` has no meaning in the address of a Redis"),
        }
    }
}

impl std::error::Error for RedisUrlError {}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<RedisUrl, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::Scheme)?;
        match &*scheme.to_ascii_lowercase() {
            "redis" | "valkey" => parse_tcp(rest),
            "unix" | "redis+unix" | "valkey+unix" => parse_unix(rest),
            "rediss" | "valkeys" => Err(RedisUrlError::Tls),
            _ => Err(RedisUrlError::Scheme),
        }
    }
}

/// `[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`
fn parse_tcp(rest: &str) -> Result<RedisUrl, RedisUrlError> {
    // A password that is not encoded may contain any character; the text after the last @ may not.
    let (userinfo, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    if let Some(at) = rest.find(['?', '#']) {
        return Err(RedisUrlError::Trailing(rest[at..].into()));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(RedisUrlError::Host)?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => parse_number(digits).filter(|port| *port != 0).ok_or(RedisUrlError::Port)?,
        None if port.is_empty() => PORT,
        None => return Err(RedisUrlError::Port),
    };
    let plain = |byte: u8| byte > b' ' && !b"\"%<>[\\]^`{|}\x7f".contains(&byte);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(RedisUrlError::Host);
    }
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (decode(user)?, decode(password)?),
        None if userinfo.is_empty() => (None, None),
        None => return Err(RedisUrlError::User),
    };
    if user.is_some() && password.is_none() {
        return Err(RedisUrlError::User);
    }
    let database = database.strip_suffix('/').unwrap_or(database);
    let database =
        if database.is_empty() { 0 } else { parse_number(database).ok_or(RedisUrlError::Database)? };
    Ok(RedisUrl { endpoint: Endpoint::Tcp(host.into(), port), user, password, database })
}

/// `/PATH[?db=DATABASE&user=USER&pass=PASSWORD]`
fn parse_unix(rest: &str) -> Result<RedisUrl, RedisUrlError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = decode(path)?.ok_or(RedisUrlError::Path)?;
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        return Err(RedisUrlError::Path);
    }
    let (mut user, mut password, mut database) = (None, None, 0);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("db", value)) => database = parse_number(value).ok_or(RedisUrlError::Database)?,
            Some(("user", value)) => user = decode(value)?,
            Some(("pass", value)) => password = decode(value)?,
            // Only the name, because the value may be a password.
            Some((name, _)) => return Err(RedisUrlError::Trailing(name.into())),
            None => return Err(RedisUrlError::Trailing(pair.into())),
        }
    }
    if user.is_some() && password.is_none() {
        return Err(RedisUrlError::User);
    }
    Ok(RedisUrl { endpoint: Endpoint::Unix(String::from(path).into()), user, password, database })
}

/// Parses a number without a sign.
fn parse_number<N: FromStr>(digits: &str) -> Option<N> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Decodes percent-encoded text (RFC 3986 §2.1). Returns `None` if it is empty.
fn decode(text: &str) -> Result<Option<Box<str>>, RedisUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or(RedisUrlError::Encoding)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    let text = String::from_utf8(bytes).map_err(|_| RedisUrlError::Encoding)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Tcp(host, port) => {
                f.write_str("redis://")?;
                if self.password.is_some() {
                    write!(f, "{}:***@", self.user.as_deref().unwrap_or_default())?;
                }
                if host.contains(':') {
                    write!(f, "[{host}]:{port}")?
                } else {
                    write!(f, "{host}:{port}")?
                }
                if self.database != 0 { write!(f, "/{}", self.database) } else { Ok(()) }
            }
            Endpoint::Unix(path) => {
                write!(f, "unix://{}", path.display())?;
                if self.database != 0 { write!(f, "?db={}", self.database) } else { Ok(()) }
            }
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_displayed_without_the_password() {
        type Login<'a> = (Option<&'a str>, Option<&'a str>);
        fn check(text: &str, login: Login<'_>, database: u32, displayed: &str) {
            let url: RedisUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.user.as_deref(), url.password.as_deref()), login, "{text}");
            assert_eq!(url.database, database, "{text}");
            assert_eq!(url.to_string(), displayed, "{text}");
            assert_eq!(format!("{url:?}"), format!("RedisUrl({displayed})"));
        }
        let no_login = (None, None);
        check("redis://localhost", no_login, 0, "redis://localhost:6379");
        check("REDIS://127.0.0.1:1/", no_login, 0, "redis://127.0.0.1:1");
        check("valkey://a-b.example:65535/15", no_login, 15, "redis://a-b.example:65535/15");
        check("redis://[::1]", no_login, 0, "redis://[::1]:6379");
        check("redis://[::1]:7/3/", no_login, 3, "redis://[::1]:7/3");
        check("redis://@a", no_login, 0, "redis://a:6379");
        check("redis://:p@a", (None, Some("p")), 0, "redis://:***@a:6379");
        check("redis://u:p%40%c3%a9@a:1", (Some("u"), Some("p@é")), 0, "redis://u:***@a:1");
        check("redis://u:p@:/?#@a:1/2", (Some("u"), Some("p@:/?#")), 2, "redis://u:***@a:1/2");
        check("unix:///run/redis.sock", no_login, 0, "unix:///run/redis.sock");
        check("redis+unix:///a%20b?db=4", no_login, 4, "unix:///a b?db=4");
        check("unix:///a?user=u&pass=p%26&db=4", (Some("u"), Some("p&")), 4, "unix:///a?db=4");
        let Endpoint::Unix(path) = "unix:///a%20b".parse::<RedisUrl>().unwrap().endpoint else {
            panic!("a path")
        };
        assert_eq!(path, PathBuf::from("/a b"));
    }

    #[test]
    fn errors_do_not_contain_the_password() {
        fn check(text: &str, expected: RedisUrlError) {
            let error = text.parse::<RedisUrl>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("secret"), "{text}: {error}");
        }
        for text in ["", "memory", "localhost:6379", "http://a", "redis:/a", "redis", "://a", " redis://a"] {
            check(text, RedisUrlError::Scheme);
        }
        check("rediss://:secret@a", RedisUrlError::Tls);
        check("valkeys://a", RedisUrlError::Tls);
        for text in
            ["redis://", "redis:///0", "redis://:1", "redis://:secret@", "redis://a b", "redis://[::1"]
        {
            check(text, RedisUrlError::Host);
        }
        for port in ["", "0", "65536", "+1", "x", "-1", "1:2"] {
            check(&format!("redis://:secret@a:{port}"), RedisUrlError::Port);
        }
        check("redis://[::1]6379", RedisUrlError::Port);
        for database in ["x", "-1", "+1", "0/1", "4294967296", "1 "] {
            check(&format!("redis://:secret@a/{database}"), RedisUrlError::Database);
        }
        check("unix:///a?db=x", RedisUrlError::Database);
        check("redis://secret@a", RedisUrlError::User);
        check("redis://user:@a", RedisUrlError::User);
        check("unix:///a?user=u", RedisUrlError::User);
        for text in ["redis://:secret%@a", "redis://:secret%4@a", "redis://:%+4secret@a", "redis://:%ff@a"] {
            check(text, RedisUrlError::Encoding);
        }
        check("redis://:%é@a", RedisUrlError::Encoding);
        check("unix://a", RedisUrlError::Path);
        check("unix://", RedisUrlError::Path);
        check(&format!("unix:///{}", "x".repeat(107)), RedisUrlError::Path);
        check("redis://a/0?protocol=resp3", RedisUrlError::Trailing("?protocol=resp3".into()));
        check("redis://a#insecure", RedisUrlError::Trailing("#insecure".into()));
        check("unix:///a?password=secret", RedisUrlError::Trailing("password".into()));
        check("unix:///a?db", RedisUrlError::Trailing("db".into()));
    }
}
