//! Cookies: those that a client sends, and those that a response sets (RFC 6265, and RFC 6265bis where browsers follow
//! it).
//!
//! It keeps no cookies and knows no sessions. Its invariant: a Set-Cookie that it writes is one that a browser
//! understands as it was meant, or it is an error.
//!
//! The crate `cookie` owns its names and values on the heap; here both ends borrow.

use super::scratch::with_scratch;
use super::{Error, Request, Response};
use crate::http1::is_token;
use crate::time::DateCache;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl<'r> Request<'r> {
    /// Returns the value of the first cookie of this name (RFC 6265 §4.2). Names are case-sensitive.
    ///
    /// The value is as it was sent: quotes around it are part of it (RFC 6265 §4.1.1), and nothing is decoded.
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let app = App::new().get("/me", |req| match req.cookie("session") {
    ///     Some(session) => Ok(Response::text(session)),
    ///     None => Err(Error::forbidden("There is no session.")),
    /// });
    /// ```
    pub fn cookie(&self, name: &str) -> Option<&'r str> {
        self.cookies().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns the names and values of all cookies, in the order in which they were sent, over all Cookie fields.
    /// Several may have the same name, with different paths or domains. Text that is not of the form `name=value`, or
    /// not UTF-8, is left out.
    pub fn cookies(&self) -> impl Iterator<Item = (&'r str, &'r str)> + Clone + use<'r> {
        let values = self.fields().values("cookie");
        values.flat_map(|value| value.split(|byte| *byte == b';')).filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let name =
                std::str::from_utf8(pair[..equals].trim_ascii()).ok().filter(|name| !name.is_empty())?;
            Some((name, std::str::from_utf8(pair[equals + 1..].trim_ascii()).ok()?))
        })
    }
}

/// A cookie that a response sets. [`Response::cookie`] sends it.
///
/// It borrows its name and its value. A constant may hold the attributes of a cookie whose [`value`](Cookie::value)
/// differs from response to response:
///
/// ```
/// use fleeting::{App, Cookie, Response, SameSite};
/// use std::time::Duration;
///
/// const SESSION: Cookie<'static> = Cookie::new("__Host-session", "")
///     .path("/")
///     .secure()
///     .http_only()
///     .same_site(SameSite::Lax)
///     .max_age(Duration::from_secs(30 * 86_400));
///
/// let app = App::new()
///     .post("/login", |req| {
///         let token = req.arena().format(format_args!("{:016x}", 42));
///         Response::new(204).cookie(&SESSION.value(token))
///     })
///     .post("/logout", |_req| Response::new(204).cookie(&SESSION.removal()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it is sent by `Response::cookie`"]
pub struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    path: Option<&'a str>,
    domain: Option<&'a str>,
    max_age: Option<Duration>,
    expires: Option<SystemTime>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSite>,
    partitioned: bool,
}

/// Whether a client sends a cookie with requests that come from other sites (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user navigates to this site with a safe method, as by following a link.
    Lax,
    /// Always. Browsers require [`secure`](Cookie::secure) with it.
    None,
}

/// Browsers ignore a cookie whose name and value together are longer, in bytes (RFC 6265bis §5.6).
const PAIR_BYTES_MAX: usize = 4096;
/// Browsers ignore an attribute whose value is longer, in bytes (RFC 6265bis §5.6).
const ATTRIBUTE_BYTES_MAX: usize = 1024;

impl<'a> Cookie<'a> {
    /// Makes a cookie without attributes. It lasts until the browser closes, and returns to this host and to the
    /// directory of the request's path.
    pub const fn new(name: &'a str, value: &'a str) -> Cookie<'a> {
        Cookie {
            name,
            value,
            path: None,
            domain: None,
            max_age: None,
            expires: None,
            secure: false,
            http_only: false,
            same_site: None,
            partitioned: false,
        }
    }

    /// Replaces the value.
    pub const fn value<'v>(self, value: &'v str) -> Cookie<'v>
    where
        'a: 'v,
    {
        Cookie { value, ..self }
    }

    /// Makes the client delete the cookie of this name, path and domain, which have to be the same as when it was set.
    pub const fn removal(self) -> Cookie<'a> {
        Cookie { value: "", max_age: Some(Duration::ZERO), expires: Some(UNIX_EPOCH), ..self }
    }

    /// Sets Path: the cookie is sent with requests whose path is this one or below it. It begins with `/`.
    pub const fn path(self, path: &'a str) -> Cookie<'a> {
        Cookie { path: Some(path), ..self }
    }

    /// Sets Domain: the cookie is sent to this host and to all below it. Without Domain, it is sent to the host that
    /// set it, and to no other.
    pub const fn domain(self, domain: &'a str) -> Cookie<'a> {
        Cookie { domain: Some(domain), ..self }
    }

    /// Sets Max-Age, in whole seconds: how long the cookie lives. It takes precedence over
    /// [`expires`](Cookie::expires).
    pub const fn max_age(self, age: Duration) -> Cookie<'a> {
        Cookie { max_age: Some(age), ..self }
    }

    /// Sets Expires: when the cookie's life ends, by the client's clock.
    pub const fn expires(self, at: SystemTime) -> Cookie<'a> {
        Cookie { expires: Some(at), ..self }
    }

    /// Sets Secure: the cookie is sent over TLS only. A server behind a proxy that does TLS may set it.
    pub const fn secure(self) -> Cookie<'a> {
        Cookie { secure: true, ..self }
    }

    /// Sets HttpOnly: scripts cannot read the cookie.
    pub const fn http_only(self) -> Cookie<'a> {
        Cookie { http_only: true, ..self }
    }

    /// Sets SameSite. Browsers take [`SameSite::Lax`] if it is not set.
    pub const fn same_site(self, same_site: SameSite) -> Cookie<'a> {
        Cookie { same_site: Some(same_site), ..self }
    }

    /// Sets Partitioned: a cookie of an embedded page is kept for each site that embeds it. Browsers require
    /// [`secure`](Cookie::secure) with it.
    pub const fn partitioned(self) -> Cookie<'a> {
        Cookie { partitioned: true, ..self }
    }

    /// Appends the cookie to `out`, as the value of a Set-Cookie field (RFC 6265 §4.1.1).
    ///
    /// ```
    /// use fleeting::Cookie;
    ///
    /// let mut value = Vec::new();
    /// Cookie::new("lang", "en").path("/").encode(&mut value)?;
    /// assert_eq!(value, b"lang=en; Path=/");
    /// assert!(Cookie::new("lang", "en; Secure").encode(&mut value).is_err());
    /// # Ok::<(), fleeting::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Response::cookie`]. Nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(problem) = self.problem() {
            return Err(Error::internal(format!("The cookie {:?} cannot be set: {problem}.", self.name)));
        }
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(self.value.as_bytes());
        for (attribute, value) in [("; Path=", self.path), ("; Domain=", self.domain)] {
            if let Some(value) = value {
                out.extend_from_slice(attribute.as_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        }
        if let Some(age) = self.max_age {
            // Writing to memory cannot fail.
            let _ = write!(out, "; Max-Age={}", age.as_secs());
        }
        if let Some(at) = self.expires {
            let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            out.extend_from_slice(b"; Expires=");
            out.extend_from_slice(DateCache::new(since_1970.as_secs()).text());
        }
        let same_site = match self.same_site {
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
            None => "",
        };
        for (is_set, attribute) in [
            (self.secure, "; Secure"),
            (self.http_only, "; HttpOnly"),
            (true, same_site),
            (self.partitioned, "; Partitioned"),
        ] {
            if is_set {
                out.extend_from_slice(attribute.as_bytes());
            }
        }
        Ok(())
    }

    /// Returns why a browser would ignore or misunderstand the cookie.
    fn problem(&self) -> Option<&'static str> {
        // RFC 6265bis §5.6: browsers compare prefixes in any case.
        let has_prefix = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_host = has_prefix("__Host-");
        let rules = [
            (is_name(self.name), "its name is not a token"),
            (is_cookie_value(self.value), "its value contains a character that is not allowed"),
            (self.name.len() + self.value.len() <= PAIR_BYTES_MAX, "it is longer than 4096 bytes"),
            (self.path.is_none_or(is_path), "its path does not begin with a slash, or is not a valid path"),
            (self.domain.is_none_or(is_domain), "its domain is not a host name"),
            (self.secure || !has_prefix("__Secure-"), "its prefix requires Secure"),
            (self.secure || !is_host, "its prefix requires Secure"),
            (self.path == Some("/") || !is_host, "its prefix requires the path /"),
            (self.domain.is_none() || !is_host, "its prefix allows no domain"),
            (self.secure || self.same_site != Some(SameSite::None), "SameSite=None requires Secure"),
            (self.secure || !self.partitioned, "Partitioned requires Secure"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, problem)| problem)
    }
}

/// `cookie-name` (RFC 6265 §4.1.1).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

/// `cookie-value` (RFC 6265 §4.1.1): visible ASCII without `"`, `,`, `;` and `\`, perhaps between quotes.
fn is_cookie_value(value: &str) -> bool {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    inner.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'))
}

/// `path-value` (RFC 6265 §4.1.1). Browsers ignore a path that does not begin with `/` (§5.2.4).
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= ATTRIBUTE_BYTES_MAX
        && path.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';')
}

/// `domain-value`: a `subdomain` (RFC 1034 §3.5, RFC 1123 §2.1).
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= ATTRIBUTE_BYTES_MAX && domain.split('.').all(is_label)
}

impl<'r> Response<'r> {
    /// Adds a cookie, in a Set-Cookie field of its own. See [`Cookie`] for an example.
    ///
    /// # Errors
    /// Status 500 if a browser would ignore or misunderstand the cookie:
    ///
    /// - The name is not a token, the value contains white space, quotes, `,`, `;`, `\` or bytes outside ASCII, the path
    ///   or the domain is malformed (RFC 6265 §4.1.1), or the name and the value are longer than 4096 bytes.
    /// - The name begins with `__Secure-`, and Secure is missing; or with `__Host-`, and Secure is missing, the path is
    ///   not `/`, or there is a domain (RFC 6265bis §4.1.3).
    /// - `SameSite=None` or Partitioned is set without Secure.
    pub fn cookie(self, cookie: &Cookie<'_>) -> Result<Response<'r>, Error> {
        with_scratch(|value| {
            cookie.encode(value)?;
            self.add_header("set-cookie", value)
        })
    }
}

impl Error {
    /// Sets a cookie with the answer. A cookie that a browser would ignore makes it a 500 that says so.
    pub fn cookie(self, cookie: &Cookie<'_>) -> Error {
        let mut value = Vec::new();
        match cookie.encode(&mut value) {
            Ok(()) => self.add_header("set-cookie", value),
            Err(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::request::tests::with_request;

    #[test]
    fn cookies_are_read_from_all_fields() {
        fn check(fields: &str, expected: &[(&str, &str)]) {
            with_request("GET /", fields, b"", |req| {
                assert_eq!(req.cookies().collect::<Vec<_>>(), expected, "{fields}");
                for (name, _) in expected {
                    let first = expected.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
                    assert_eq!(req.cookie(name), first, "{name} in {fields}");
                }
                assert_eq!(req.cookie("other"), None);
                assert_eq!(req.cookie(""), None);
            });
        }
        check("", &[]);
        check("Cookie:\r\n", &[]);
        check(
            "Cookie: SID=31d4d96e407aad42; lang=en-US\r\n",
            &[("SID", "31d4d96e407aad42"), ("lang", "en-US")],
        );
        check("Cookie: a=1\r\nX: y\r\ncookie: b=2; a=3\r\n", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("Cookie: a=1;b=2 ;  c = 3;;\r\n", &[("a", "1"), ("b", "2"), ("c", "3")]);
        check("Cookie: a=b=c; d=\r\n", &[("a", "b=c"), ("d", "")]);
        check("Cookie: a=\"1\"; A=%20\r\n", &[("a", "\"1\""), ("A", "%20")]);
        check("Cookie: a; =b; c=\u{e9}\r\n", &[("c", "\u{e9}")]);
    }

    #[track_caller]
    fn check(cookie: Cookie<'_>, expected: Result<&str, &str>) {
        let mut value = b"before ".to_vec();
        match (cookie.encode(&mut value), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(value, format!("before {expected}").as_bytes()),
            (Err(error), Err(expected)) => {
                assert_eq!((error.status(), value), (500, b"before ".to_vec()));
                assert_eq!(
                    error.message(),
                    format!("The cookie {:?} cannot be set: {expected}.", cookie.name)
                );
            }
            (found, _) => panic!("{found:?} {:?}", value.escape_ascii().to_string()),
        }
    }

    #[test]
    fn cookies_are_written_with_their_attributes() {
        let lang = Cookie::new("lang", "en-US");
        check(lang, Ok("lang=en-US"));
        check(lang.path("/a b"), Ok("lang=en-US; Path=/a b"));
        check(lang.domain("a-1.example.com"), Ok("lang=en-US; Domain=a-1.example.com"));
        check(lang.max_age(Duration::from_millis(1999)), Ok("lang=en-US; Max-Age=1"));
        check(lang.max_age(Duration::MAX), Ok("lang=en-US; Max-Age=18446744073709551615"));
        let then = UNIX_EPOCH + Duration::from_secs(784_111_777);
        check(lang.expires(then), Ok("lang=en-US; Expires=Sun, 06 Nov 1994 08:49:37 GMT"));
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        check(lang.expires(before_1970), Ok("lang=en-US; Expires=Thu, 01 Jan 1970 00:00:00 GMT"));
        check(lang.secure().http_only(), Ok("lang=en-US; Secure; HttpOnly"));
        check(lang.same_site(SameSite::Strict), Ok("lang=en-US; SameSite=Strict"));
        check(lang.same_site(SameSite::Lax), Ok("lang=en-US; SameSite=Lax"));
        check(
            lang.same_site(SameSite::None).secure().partitioned(),
            Ok("lang=en-US; Secure; SameSite=None; Partitioned"),
        );
        check(
            lang.path("/").value("de").removal(),
            Ok("lang=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        );
        check(Cookie::new("a", ""), Ok("a="));
        check(Cookie::new("a", "\"b\""), Ok("a=\"b\""));
        check(Cookie::new("__Secure-a", "b").secure(), Ok("__Secure-a=b; Secure"));
        check(Cookie::new("__Host-a", "b").path("/").secure(), Ok("__Host-a=b; Path=/; Secure"));
    }

    #[test]
    fn what_a_browser_would_misunderstand_is_an_error() {
        for name in ["", "a b", "a=b", "a;b", "a,b", "\u{e9}", "a\r\n", "a\"b\""] {
            check(Cookie::new(name, "1"), Err("its name is not a token"));
        }
        for value in
            ["a b", "a;b", "a,b", "a\\b", "\"", "\"a", "a\"b", "\u{e9}", "a\r\nb", "a\0", "\x7f", "a\t"]
        {
            check(Cookie::new("a", value), Err("its value contains a character that is not allowed"));
        }
        let long = "x".repeat(PAIR_BYTES_MAX);
        check(Cookie::new("a", &long[1..]), Ok(&format!("a={}", &long[1..])));
        check(Cookie::new("a", &long), Err("it is longer than 4096 bytes"));
        let long = format!("/{}", "x".repeat(ATTRIBUTE_BYTES_MAX));
        for path in ["", "a", "/a;b", "/\r\n", "/\u{e9}", &long] {
            let problem = "its path does not begin with a slash, or is not a valid path";
            check(Cookie::new("a", "b").path(path), Err(problem));
        }
        for domain in ["", ".a.b", "a..b", "a.b.", "-a.b", "a-.b", "a b", "a;b", "a:80", "a\r\n", &long] {
            check(Cookie::new("a", "b").domain(domain), Err("its domain is not a host name"));
        }
        let [host, secure] = ["__hOsT-a", "__sEcUrE-a"].map(|name| Cookie::new(name, "b"));
        check(secure, Err("its prefix requires Secure"));
        check(host.path("/"), Err("its prefix requires Secure"));
        check(host.secure(), Err("its prefix requires the path /"));
        check(host.secure().path("/a"), Err("its prefix requires the path /"));
        check(host.secure().path("/").domain("a.b"), Err("its prefix allows no domain"));
        check(Cookie::new("a", "b").same_site(SameSite::None), Err("SameSite=None requires Secure"));
        check(Cookie::new("a", "b").partitioned(), Err("Partitioned requires Secure"));
    }

    #[test]
    fn each_cookie_of_a_response_has_a_field_of_its_own() {
        let (one, two) = (Cookie::new("a", "1"), Cookie::new("a", "2").path("/"));
        let response = Response::new(204).cookie(&one).and_then(|response| response.cookie(&two)).unwrap();
        assert_eq!(response.fields.bytes(), b"set-cookie: a=1\r\nset-cookie: a=2; Path=/\r\n");
        assert_eq!(Response::new(204).cookie(&one.value("a b")).unwrap_err().status(), 500);
    }
}
