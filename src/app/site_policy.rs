//! Which sites may use routes: a check of the Host and the Origin of requests.
//!
//! It knows no route. Its invariant: a host or an origin that it cannot read is refused.

use super::{Error, LayerFn, Request};
use crate::http1::Method;
use crate::ws::is_admitted;
use std::net::{IpAddr, Ipv6Addr};

/// Keeps other sites' pages away from routes: it checks the Host and the Origin of requests. Its [`layer`](SitePolicy::layer)
/// goes around the routes that show or change something.
///
/// - **Host.** A page of `evil.example` can let that name point to another address once it is loaded, such as 127.0.0.1
///   (DNS rebinding). For the browser the server there then has the page's own origin, and the page may read everything. What
///   gives such a request away is its Host field. By default any host is served; with [`host`](SitePolicy::host) and
///   [`loopback`](SitePolicy::loopback) only those, and other requests get 421 (RFC 9110 §15.5.20). If a
///   [trusted](crate::Proxies::trust) proxy says what its client has asked for, both must be served.
/// - **Origin.** A page may send requests to another server without reading the answers, and may open WebSockets. So
///   requests with an unsafe method (RFC 9110 §9.2.1) and opening handshakes get 403 unless they come from a page of the
///   server's own origin, from one of an origin that is listed, or from no page at all. The browser's word
///   (`Sec-Fetch-Site`) decides: `same-origin` and `none`, which is the user, are let through, `same-site` and
///   `cross-site` are not. Without that field, which browsers send only over HTTPS and to the loopback, Origin must match
///   Host.
///
/// A WebSocket route inside of the layer lets in the pages that the layer has let through, whatever its own
/// [`Policy`](crate::ws::Policy) says of origins.
///
/// ```
/// use fleeting::{App, Response, SitePolicy};
///
/// let notes = App::new().post("/", |_req| Ok(Response::new(201)));
/// let policy = SitePolicy::new().loopback().host("notes.example").origin("https://app.example");
/// let app = App::new().get("/healthz", |_req| Ok(Response::text("ok"))).nest("/notes", notes.layer(policy.layer()));
/// # #[cfg(feature = "testing")] {
/// let app = fleeting::testing::serve(app);
/// let status = |host: &str, origin: &str| app.post("/notes").header("host", host).header("origin", origin).send().status();
/// assert_eq!(status("notes.example", "http://notes.example"), 201);
/// assert_eq!(status("localhost:8080", "https://app.example"), 201);
/// assert_eq!(status("localhost:8080", "http://evil.example"), 403);
/// assert_eq!(status("evil.example", "http://evil.example"), 421);
/// assert_eq!(app.get("/healthz").header("host", "10.0.0.7").send().status(), 200); // not in the layer
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SitePolicy {
    /// Names without a port, and addresses without brackets.
    hosts: Vec<Box<str>>,
    loopback: bool,
    origins: Vec<Box<str>>,
}

/// What a [`SitePolicy`] has found about the origin of a request, for a WebSocket route inside of its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OriginVerdict {
    Admitted,
    Refused,
}

impl SitePolicy {
    /// Makes a policy that serves any host, and refuses what pages of other origins may not do.
    pub fn new() -> SitePolicy {
        SitePolicy::default()
    }

    /// Serves requests for the host `name`, a name or an IP address, on any port. Requests for hosts that are not named are
    /// refused from then on. `*` serves every host again.
    #[must_use]
    pub fn host(mut self, name: &str) -> SitePolicy {
        self.hosts.push(without_brackets(name).into());
        self
    }

    /// Serves requests that arrive over the loopback only for the names and addresses of the loopback, besides those of
    /// [`host`](SitePolicy::host): `localhost` and what ends in `.localhost` (RFC 6761 §6.3), 127.0.0.0/8 and `[::1]`. Requests
    /// from other machines are not affected.
    ///
    /// A request arrives over the loopback if its peer has such an address, or none. One that arrives at a Unix socket does not:
    /// no browser opens one, so there is a proxy in front, and it is served for any host unless hosts are named.
    #[must_use]
    pub fn loopback(mut self) -> SitePolicy {
        self.loopback = true;
        self
    }

    /// Lets pages of `origin` through too, such as `https://example.com:8443`. `*` lets all through. The whole text is
    /// compared, ignoring case.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> SitePolicy {
        self.origins.push(origin.into());
        self
    }

    /// Makes the layer.
    pub fn layer(self) -> impl LayerFn {
        move |req, next| {
            self.check(req)?;
            next.call(req)
        }
    }

    /// Does what the layer does before it calls `next`, for a layer of your own.
    ///
    /// # Errors
    /// Status 421 for another host, and 403 for a page of another origin. The sentence names both.
    pub fn check(&self, req: &Request<'_>) -> Result<(), Error> {
        // Not that of a proxy's client: a page that has rebound its name can send the fields of a proxy, too.
        let over_loopback = req.peer().is_loopback();
        let (sent, host) = (req.head().host(), req.host());
        if !self.serves(sent, over_loopback) {
            return Err(not_served(sent));
        }
        if host != sent && !self.serves(host, over_loopback) {
            return Err(not_served(host));
        }
        let is_safe = matches!(req.method(), Method::Get | Method::Head | Method::Options | Method::Trace);
        if is_safe && req.fields().get("upgrade").is_none() {
            return Ok(());
        }
        let fields = req.fields();
        let (origins, sites) = (fields.values("origin"), fields.values("sec-fetch-site"));
        if is_admitted(origins, sites, host, req.is_secure(), &self.origins) {
            req.insert(OriginVerdict::Admitted);
            return Ok(());
        }
        req.insert(OriginVerdict::Refused);
        Err(other_origin(req))
    }

    fn serves(&self, host: &str, over_loopback: bool) -> bool {
        let limited =
            if over_loopback { self.loopback || !self.hosts.is_empty() } else { !self.hosts.is_empty() };
        let name = host_name(host);
        !limited
            || self.hosts.iter().any(|listed| **listed == *"*" || is_same_host(listed, name))
            || (over_loopback && self.loopback && is_loopback(name))
    }
}

fn not_served(host: &str) -> Error {
    Error::new(421, format!("The host `{host}` is not served here."))
}

/// The answer to a page of another origin.
pub(crate) fn other_origin(req: &Request<'_>) -> Error {
    let field = |name| req.fields().get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let host = req.host();
    Error::forbidden(match (field("origin"), field("sec-fetch-site")) {
        (Some(origin), _) => {
            format!("The page's origin `{origin}` is not that of the host `{host}`, and is not allowed.")
        }
        (None, site) => {
            let site = site.unwrap_or_default();
            format!(
                "The browser says that a page of another origin made this request to the host `{host}` ({site})."
            )
        }
    })
}

/// Returns the host of an authority, without the port, the brackets and the dot of a name's root.
fn host_name(authority: &str) -> &str {
    let name = match authority.rsplit_once(':') {
        // Inside of an address in brackets, the last colon does not precede a port.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => authority,
    };
    let name = without_brackets(name);
    name.strip_suffix('.').unwrap_or(name)
}

/// Returns an IPv6 address without its brackets. Anything else in brackets keeps them, so it is no name.
fn without_brackets(host: &str) -> &str {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.filter(|inside| inside.parse::<Ipv6Addr>().is_ok()).unwrap_or(host)
}

fn is_same_host(listed: &str, name: &str) -> bool {
    match (listed.parse::<IpAddr>(), name.parse::<IpAddr>()) {
        (Ok(listed), Ok(addr)) => listed.to_canonical() == addr.to_canonical(),
        _ => listed.strip_suffix('.').unwrap_or(listed).eq_ignore_ascii_case(name),
    }
}

fn is_loopback(name: &str) -> bool {
    const LOCALHOST: &[u8] = b"localhost";
    if let Ok(addr) = name.parse::<IpAddr>() {
        return addr.to_canonical().is_loopback();
    }
    let Some((before, end)) = name.len().checked_sub(LOCALHOST.len()).map(|at| name.as_bytes().split_at(at))
    else {
        return false;
    };
    end.eq_ignore_ascii_case(LOCALHOST) && (before.is_empty() || before.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_served_by_its_name_on_any_port() {
        fn check(hosts: &[&str], host: &str, expected: bool) {
            let policy = hosts.iter().fold(SitePolicy::new(), |policy, host| policy.host(host));
            for over_loopback in [true, false] {
                assert_eq!(policy.serves(host, over_loopback), expected, "{hosts:?} {host:?}");
            }
        }
        check(&[], "evil.example:80", true);
        check(&[], "", true);
        check(&["a.example"], "a.example", true);
        check(&["a.example"], "A.Example:8080", true);
        check(&["A.example."], "a.example", true);
        check(&["a.example"], "a.example.:80", true);
        check(&["a.example", "b.example"], "b.example", true);
        check(&["a.example"], "b.a.example", false);
        check(&["a.example"], "a.example.evil", false);
        check(&["a.example"], "localhost", false);
        check(&["a.example"], "127.0.0.1:80", false);
        check(&["a.example"], "", false);
        check(&["a.example", "*"], "evil.example", true);
        check(&["10.0.0.7"], "10.0.0.7:80", true);
        check(&["10.0.0.7"], "[::ffff:10.0.0.7]:80", true);
        check(&["[2001:db8::1]"], "[2001:DB8:0::1]:80", true);
        check(&["2001:db8::1"], "[2001:db8::1]", true);
        check(&["2001:db8::1"], "[2001:db8::2]", false);
    }

    #[test]
    fn the_loopback_has_names_and_addresses() {
        fn check(host: &str, expected: bool) {
            let policy = SitePolicy::new().loopback();
            assert_eq!(policy.serves(host, true), expected, "{host:?}");
            assert!(policy.serves(host, false), "{host:?} from another machine");
        }
        check("localhost", true);
        check("LocalHost:8080", true);
        check("localhost.:8080", true);
        check("app.localhost:8080", true);
        check("127.0.0.1:8080", true);
        check("127.200.3.4", true);
        check("[::1]:8080", true);
        check("[0:0:0:0:0:0:0:1]", true);
        check("[::ffff:127.0.0.1]", true);
        check("", false);
        check(":8080", false);
        check("evil.example:8080", false);
        check("localhost.evil.example", false);
        check("evillocalhost", false);
        check("localhost..", false);
        check("127.0.0.1.evil.example", false);
        check("127.1", false);
        check("0.0.0.0", false);
        check("10.0.0.7:8080", false);
        check("[::]", false);
        check("[v1.a]", false);
        check("[v1.localhost]", false);
        check("%6cocalhost", false);
        check("\u{e9}localhost", false);
    }

    #[test]
    fn named_hosts_are_served_besides_the_loopback() {
        let policy = SitePolicy::new().loopback().host("a.example");
        for (host, over_loopback, expected) in [
            ("a.example", true, true),
            ("localhost", true, true),
            ("evil.example", true, false),
            ("a.example", false, true),
            // It is no name of this machine for another one.
            ("localhost", false, false),
        ] {
            assert_eq!(policy.serves(host, over_loopback), expected, "{host} {over_loopback}");
        }
    }
}
