//! The address of a Redis, with login and database, parsed from text.
//!
//! It knows no connection and opens no file. Invariant: neither its text nor its errors contain a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a Redis, in one of these forms:
///
/// - `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`
/// - `rediss://`, the same with TLS (feature `tls`)
/// - `redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...[/NAME[/DATABASE]]`: the primary that these sentinels
///   watch under this name, which is `mymaster` unless given
/// - `rediss+sentinel://`, the same with TLS to the sentinels and the primary
/// - `unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`, a Unix socket
///
/// The port is 6379, or 26379 for a sentinel, and the database 0 unless given. `valkey` and `valkeys` mean the same as
/// `redis` and `rediss`. User names, passwords, names and paths are percent-encoded (RFC 3986 §2.1). `Display` and `Debug`
/// print `***` in place of the password, and leave out the parameters below.
///
/// With TLS the server's certificate is always verified, for HOST or the host that the sentinels return. These parameters
/// name PEM files, and have the names of redis-py as well:
///
/// - `ca` or `ssl_ca_certs`: the authorities to trust, instead of those that the system trusts
/// - `cert` and `key`, or `ssl_certfile` and `ssl_keyfile`: a certificate to show to the server, and its key
///
/// With sentinels, `sentinel_username` and `sentinel_password` are a login for them; USER and PASSWORD are for the primary. No
/// standard defines these URLs. These forms are the ones of the Python packages redis-sentinel-url and prefect-redis.
///
/// ```
/// use fleeting_store::RedisUrl;
///
/// let url: RedisUrl = "redis://app:s%40fe@cache.example:6380/2".parse()?;
/// assert_eq!(url.to_string(), "redis://app:***@cache.example:6380/2");
/// let url: RedisUrl = "redis+sentinel://a.example,b.example/cache?sentinel_password=s%40fe".parse()?;
/// assert_eq!(url.to_string(), "redis+sentinel://a.example:26379,b.example:26379/cache");
/// # Ok::<(), fleeting_store::RedisUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) endpoint: Endpoint,
    pub(super) login: Login,
    pub(super) database: u32,
    /// The files for TLS, if connections use it.
    pub(super) tls: Option<TlsFiles>,
}

/// Where to find the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Tcp(Host),
    Unix(PathBuf),
    /// The primary of this name, which the sentinels know.
    Sentinels {
        sentinels: Box<[Host]>,
        name: Box<str>,
        login: Login,
    },
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: Box<str>,
    pub(super) port: u16,
}

/// A user and a password. Without a user, it is the server's default user.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Login {
    pub(super) user: Option<Box<str>>,
    pub(super) password: Option<Box<str>>,
}

/// PEM files: the authorities to trust, and the certificate of this client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TlsFiles {
    /// The authorities to trust; those of the system if there is none.
    pub(super) authorities: Option<PathBuf>,
    /// A certificate chain and its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
}

/// Why a text is not the address of a Redis. The messages do not quote the text, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// The text starts with none of the schemes.
    Scheme,
    /// The scheme asks for TLS, and the package was built without the feature `tls`.
    Tls,
    /// There is a certificate without a key, or a key without a certificate.
    Certificate,
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

/// The default ports of Redis and of a sentinel.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// The name in the example configuration of Redis Sentinel.
const PRIMARY: &str = "mymaster";
/// The longest path of a socket on Linux, in bytes; other systems allow no more (unix(7)).
const PATH_BYTES_MAX: usize = 107;

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisUrlError::Scheme => f.write_str(
                "expected redis://HOST[:PORT][/DATABASE], rediss:// for TLS, redis+sentinel://HOST[:PORT],.../NAME, \
                 or unix:///PATH",
            ),
            RedisUrlError::Tls => {
                f.write_str("TLS to Redis needs the feature `tls` of fleeting-store, which this build lacks")
            }
            RedisUrlError::Certificate => f.write_str("`cert` and `key` should be given together"),
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
            "redis" | "valkey" => parse_tcp(rest, false),
            "rediss" | "valkeys" => parse_tcp(rest, true),
            "redis+sentinel" | "valkey+sentinel" => parse_sentinels(rest, false),
            "rediss+sentinel" | "valkeys+sentinel" => parse_sentinels(rest, true),
            "unix" | "redis+unix" | "valkey+unix" => parse_unix(rest),
            _ => Err(RedisUrlError::Scheme),
        }
    }
}

/// `[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?PARAMETERS]`
fn parse_tcp(rest: &str, is_tls: bool) -> Result<RedisUrl, RedisUrlError> {
    let (userinfo, rest, query) = split(rest)?;
    let parameters = Parameters::parse(query, is_tls, false)?;
    let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, login) = (Host::parse(host, PORT)?, parse_userinfo(userinfo)?);
    let (database, tls) = (parse_database(database)?, is_tls.then_some(parameters.files));
    Ok(RedisUrl { endpoint: Endpoint::Tcp(host), login, database, tls })
}

/// `[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...[/NAME[/DATABASE]][?PARAMETERS]`
fn parse_sentinels(rest: &str, is_tls: bool) -> Result<RedisUrl, RedisUrlError> {
    let (userinfo, rest, query) = split(rest)?;
    let parameters = Parameters::parse(query, is_tls, true)?;
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, database) = path.split_once('/').unwrap_or((path, ""));
    let sentinels =
        hosts.split(',').map(|host| Host::parse(host, SENTINEL_PORT)).collect::<Result<_, _>>()?;
    let name = decode(name)?.unwrap_or_else(|| PRIMARY.into());
    let (login, database) = (parse_userinfo(userinfo)?, parse_database(database)?);
    let endpoint = Endpoint::Sentinels { sentinels, name, login: parameters.login };
    Ok(RedisUrl { endpoint, login, database, tls: is_tls.then_some(parameters.files) })
}

/// `/PATH[?db=DATABASE&user=USER&pass=PASSWORD]`
fn parse_unix(rest: &str) -> Result<RedisUrl, RedisUrlError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = decode(path)?.ok_or(RedisUrlError::Path)?;
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        return Err(RedisUrlError::Path);
    }
    let (mut login, mut database) = (Login::default(), 0);
    for pair in pairs(query) {
        match pair? {
            ("db", value) => {
                database = value.as_deref().and_then(parse_number).ok_or(RedisUrlError::Database)?;
            }
            ("user", value) => login.user = value,
            ("pass", value) => login.password = value,
            (name, _) => return Err(RedisUrlError::Trailing(name.into())),
        }
    }
    let endpoint = Endpoint::Unix(String::from(path).into());
    Ok(RedisUrl { endpoint, login: login.check()?, database, tls: None })
}

/// Splits into the login, the hosts with the path, and the query.
fn split(rest: &str) -> Result<(&str, &str, &str), RedisUrlError> {
    // A password that is not encoded may contain any character; the text after the last @ may not.
    let (userinfo, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    if userinfo.contains("sentinel_password=") {
        // That @ is part of another password, which would be taken for a host.
        return Err(RedisUrlError::Encoding);
    }
    if let Some(at) = rest.find('#') {
        return Err(RedisUrlError::Trailing(rest[at..].into()));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok((userinfo, rest, query))
}

/// What the query of an address with a host says.
#[derive(Default)]
struct Parameters {
    files: TlsFiles,
    /// The login for sentinels.
    login: Login,
}

impl Parameters {
    fn parse(query: &str, is_tls: bool, has_sentinels: bool) -> Result<Parameters, RedisUrlError> {
        if is_tls && !cfg!(feature = "tls") {
            return Err(RedisUrlError::Tls);
        }
        let mut parameters = Parameters::default();
        let (mut certificate, mut key) = (None, None);
        for pair in pairs(query) {
            let (name, value) = pair?;
            let file = value.as_deref().map(PathBuf::from);
            match name {
                "ca" | "ssl_ca_certs" if is_tls => parameters.files.authorities = file,
                "cert" | "ssl_certfile" if is_tls => certificate = file,
                "key" | "ssl_keyfile" if is_tls => key = file,
                "sentinel_username" if has_sentinels => parameters.login.user = value,
                "sentinel_password" if has_sentinels => parameters.login.password = value,
                // Only the name, because the value may be a password.
                _ => return Err(RedisUrlError::Trailing(name.into())),
            }
        }
        parameters.files.certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(RedisUrlError::Certificate),
        };
        parameters.login = parameters.login.check()?;
        Ok(parameters)
    }
}

/// Returns the names and the decoded values of a query; `None` for an empty value.
fn pairs(query: &str) -> impl Iterator<Item = Result<(&str, Option<Box<str>>), RedisUrlError>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| RedisUrlError::Trailing(pair.into()))?;
        Ok((name, decode(value)?))
    })
}

impl Host {
    /// Parses `HOST[:PORT]`.
    fn parse(text: &str, default_port: u16) -> Result<Host, RedisUrlError> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(RedisUrlError::Host)?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => parse_number(digits).filter(|port| *port != 0).ok_or(RedisUrlError::Port)?,
            None if port.is_empty() => default_port,
            None => return Err(RedisUrlError::Port),
        };
        let plain = |byte: u8| byte > b' ' && !b"\"%<>[\\]^`{|}\x7f".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(RedisUrlError::Host);
        }
        Ok(Host { name: name.into(), port })
    }
}

impl Login {
    /// Refuses a user without a password.
    fn check(self) -> Result<Login, RedisUrlError> {
        if self.user.is_some() && self.password.is_none() { Err(RedisUrlError::User) } else { Ok(self) }
    }
}

/// `[USER]:PASSWORD`
fn parse_userinfo(userinfo: &str) -> Result<Login, RedisUrlError> {
    match userinfo.split_once(':') {
        Some((user, password)) => Login { user: decode(user)?, password: decode(password)? }.check(),
        None if userinfo.is_empty() => Ok(Login::default()),
        None => Err(RedisUrlError::User),
    }
}

fn parse_database(text: &str) -> Result<u32, RedisUrlError> {
    let digits = text.strip_suffix('/').unwrap_or(text);
    if digits.is_empty() { Ok(0) } else { parse_number(digits).ok_or(RedisUrlError::Database) }
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

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Host { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.password {
            Some(_) => write!(f, "{}:***", self.user.as_deref().unwrap_or_default()),
            None => f.write_str("no login"),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let hosts: &[Host] = match &self.endpoint {
            Endpoint::Tcp(host) => {
                write!(f, "{scheme}://")?;
                std::slice::from_ref(host)
            }
            Endpoint::Sentinels { sentinels, .. } => {
                write!(f, "{scheme}+sentinel://")?;
                sentinels
            }
            Endpoint::Unix(path) => {
                write!(f, "unix://{}", path.display())?;
                return if self.database != 0 { write!(f, "?db={}", self.database) } else { Ok(()) };
            }
        };
        if self.login.password.is_some() {
            write!(f, "{:?}@", self.login)?;
        }
        for (at, host) in hosts.iter().enumerate() {
            write!(f, "{}{host}", if at == 0 { "" } else { "," })?;
        }
        if let Endpoint::Sentinels { name, .. } = &self.endpoint {
            write!(f, "/{name}")?;
        }
        if self.database != 0 { write!(f, "/{}", self.database) } else { Ok(()) }
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
            assert_eq!((url.login.user.as_deref(), url.login.password.as_deref()), login, "{text}");
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
        check("redis+sentinel://a", no_login, 0, "redis+sentinel://a:26379/mymaster");
        check(
            "Redis+Sentinel://u:p@a:1,[::1],b:2/m%20n/3/?sentinel_username=s&sentinel_password=t",
            (Some("u"), Some("p")),
            3,
            "redis+sentinel://u:***@a:1,[::1]:26379,b:2/m n/3",
        );
        check("valkey+sentinel://a,b/m/", no_login, 0, "redis+sentinel://a:26379,b:26379/m");
        let Endpoint::Unix(path) = "unix:///a%20b".parse::<RedisUrl>().unwrap().endpoint else {
            panic!("a path")
        };
        assert_eq!(path, PathBuf::from("/a b"));
    }

    #[test]
    fn sentinels_have_a_login_of_their_own() {
        let text = "redis+sentinel://:p@a/m?sentinel_username=s&sentinel_password=t%40";
        let url: RedisUrl = text.parse().unwrap();
        let Endpoint::Sentinels { sentinels, name, login } = &url.endpoint else { panic!("sentinels") };
        assert_eq!((&**sentinels, &**name), (&[Host { name: "a".into(), port: 26379 }][..], "m"));
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("s"), Some("t@")));
        assert_eq!(url.login, Login { user: None, password: Some("p".into()) });
        let debugged = format!("{url:?} {:?} {login:?}", url.endpoint);
        assert!(!debugged.contains("t@") && debugged.contains("s:***"), "{debugged}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn files_for_tls_are_parameters() {
        fn check(text: &str, authorities: Option<&str>, certificate: Option<(&str, &str)>, displayed: &str) {
            let url: RedisUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.to_string(), displayed, "{text}");
            let certificate = certificate.map(|(chain, key)| (chain.into(), key.into()));
            assert_eq!(url.tls, Some(TlsFiles { authorities: authorities.map(PathBuf::from), certificate }));
        }
        check("rediss://a", None, None, "rediss://a:6379");
        check("valkeys://:p@a/1?ca=/b%20c.pem", Some("/b c.pem"), None, "rediss://:***@a:6379/1");
        check("rediss://a?ca=b&cert=c&key=d", Some("b"), Some(("c", "d")), "rediss://a:6379");
        let of_redis_py = "rediss://a/?ssl_ca_certs=b&ssl_certfile=c&ssl_keyfile=d";
        check(of_redis_py, Some("b"), Some(("c", "d")), "rediss://a:6379");
        check("rediss+sentinel://a/m?ca=b", Some("b"), None, "rediss+sentinel://a:26379/m");
        let refused = |text: &str| text.parse::<RedisUrl>().unwrap_err();
        assert_eq!(refused("rediss://a?cert=c"), RedisUrlError::Certificate);
        assert_eq!(refused("rediss://a?key=c"), RedisUrlError::Certificate);
        // Certificates are always verified.
        for name in ["insecure", "ssl_cert_reqs", "sentinel_password"] {
            assert_eq!(refused(&format!("rediss://a?{name}=none")), RedisUrlError::Trailing(name.into()));
        }
        assert_eq!(refused("rediss://a#insecure"), RedisUrlError::Trailing("#insecure".into()));
        assert_eq!(refused("redis://a?ca=b"), RedisUrlError::Trailing("ca".into()));
        assert_eq!(refused("redis+sentinel://a?ca=b"), RedisUrlError::Trailing("ca".into()));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_needs_its_feature() {
        for text in ["rediss://a", "valkeys://a", "rediss+sentinel://a/m"] {
            assert_eq!(text.parse::<RedisUrl>(), Err(RedisUrlError::Tls), "{text}");
        }
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
        for text in ["redis+sentinel://", "redis+sentinel://a,,b", "redis+sentinel://a,/m"] {
            check(text, RedisUrlError::Host);
        }
        check("redis+sentinel://:secret@a:x,b/m", RedisUrlError::Port);
        check("redis+sentinel://a/m/x", RedisUrlError::Database);
        check("redis+sentinel://a/m?sentinel_username=s", RedisUrlError::User);
        check("redis+sentinel://a/m?sentinel_password=secret@b", RedisUrlError::Encoding);
        check("redis+sentinel://a/m?password=secret", RedisUrlError::Trailing("password".into()));
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
        check("redis://a/0?protocol=resp3", RedisUrlError::Trailing("protocol".into()));
        check("redis://a#insecure", RedisUrlError::Trailing("#insecure".into()));
        check("unix:///a?password=secret", RedisUrlError::Trailing("password".into()));
        check("unix:///a?db", RedisUrlError::Trailing("db".into()));
    }
}
