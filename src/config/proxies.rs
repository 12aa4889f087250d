//! Which peers are proxies, and how they name their clients.
//!
//! It knows no field and no header. Its invariant: no peer is a proxy unless it is listed.

use super::Networks;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The proxies in front of a server, for [`Builder::proxies`](crate::Builder::proxies).
///
/// A server behind a proxy sees the proxy's address, scheme and host in place of the client's. There are two ways in which
/// proxies pass these on. Both can be forged by any client, so each is believed only if the peer's address is listed.
///
/// - With the PROXY protocol, a connection begins with a header that names the client: [`proxy_protocol`](Proxies::proxy_protocol).
///   It works for every protocol, TLS included, and for proxies that do not read HTTP.
/// - Proxies that read HTTP add fields to requests: [`trust`](Proxies::trust).
///
/// ```
/// use fleeting::{App, ForwardedFields, Proxies, Response};
///
/// let app = App::new().get("/", |req| {
///     let client = req.client_ip().expect("the peer has an address");
///     Ok(Response::text(req.arena().format(format_args!("{} {client}", req.scheme()))))
/// });
/// # #[cfg(feature = "testing")] {
/// use fleeting::testing;
///
/// let proxies = Proxies::new().trust("10.0.0.0/8".parse()?, ForwardedFields::XForwarded);
/// let app = testing::builder().proxies(proxies).serve(app);
/// let ask = |peer: &str| {
///     let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\r\n";
///     app.connect_from(peer.parse().unwrap()).raw(request).answer().text().to_string()
/// };
/// assert_eq!(ask("10.0.0.1:5"), "https 198.51.100.7");
/// assert_eq!(ask("192.0.2.1:5"), "http 192.0.2.1"); // not a proxy
/// # }
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    announcing: Networks,
    trusted: Networks,
    fields: ForwardedFields,
}

/// The fields in which proxies name their clients. It is one kind, because a proxy passes on what a client has sent of the
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`. A proxy must set all three, or remove those that it does not
    /// set: what a client has sent would be believed.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Proxies {
    /// There are no proxies.
    pub fn new() -> Proxies {
        Proxies::default()
    }

    /// Expects a header of the PROXY protocol, version 1 or 2, at the beginning of each connection from `peers`. A connection
    /// without one, or with a malformed one, is closed; one from elsewhere must not have one. The address in it becomes that
    /// of the peer ([`Request::peer_addr`](crate::Request::peer_addr)).
    #[must_use]
    pub fn proxy_protocol(mut self, peers: Networks) -> Proxies {
        self.announcing = peers;
        self
    }

    /// Believes what requests from `peers` say in `fields` about the client. If they name several addresses, one for each proxy
    /// on the way, the client is the last that is not in `peers`. Of several schemes or hosts, the last counts. A client with
    /// an address in `peers` can pass for any other, so list the proxies only.
    #[must_use]
    pub fn trust(mut self, peers: Networks, fields: ForwardedFields) -> Proxies {
        (self.trusted, self.fields) = (peers, fields);
        self
    }

    /// Whether connections from this address begin with a PROXY header.
    pub(crate) fn announces(&self, addr: Option<IpAddr>) -> bool {
        self.announcing.contains(addr)
    }

    /// Whether requests from this address are believed.
    pub(crate) fn trusts(&self, addr: Option<IpAddr>) -> bool {
        self.trusted.contains(addr)
    }

    pub(crate) fn fields(&self) -> ForwardedFields {
        self.fields
    }
}

impl ForwardedFields {
    const ALL: [ForwardedFields; 2] = [ForwardedFields::XForwarded, ForwardedFields::Forwarded];

    fn name(self) -> &'static str {
        match self {
            ForwardedFields::XForwarded => "x-forwarded",
            ForwardedFields::Forwarded => "forwarded",
        }
    }
}

impl fmt::Display for ForwardedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ForwardedFields {
    type Err = String;

    /// Reads the name that [`Display`](fmt::Display) writes: `x-forwarded` or `forwarded`.
    ///
    /// # Errors
    /// A sentence that lists the valid names.
    fn from_str(name: &str) -> Result<ForwardedFields, String> {
        let found = ForwardedFields::ALL.into_iter().find(|fields| fields.name() == name);
        let names = ForwardedFields::ALL.map(ForwardedFields::name).join(", ");
        found.ok_or_else(|| format!("`{name}` is not one of {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_the_value_and_back() {
        for fields in ForwardedFields::ALL {
            assert_eq!(fields.to_string().parse(), Ok(fields));
        }
        let error = "Forwarded".parse::<ForwardedFields>();
        assert_eq!(error, Err("`Forwarded` is not one of x-forwarded, forwarded".into()));
    }

    #[test]
    fn nobody_is_a_proxy_by_default() {
        for addr in [None, "127.0.0.1".parse().ok(), "::1".parse().ok()] {
            assert!(!Proxies::new().announces(addr) && !Proxies::new().trusts(addr));
        }
    }
}
