//! Keeps the pages of other sites away from routes.
//!
//! It knows no route. Its invariant: a refusal says which flag would allow the request.

use crate::settings::Settings;
use fleeting::http1::Method;
use fleeting::{Error, LayerFn, ListenAddr, Response, SitePolicy};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The hosts and origins that are allowed at present. A reload of the settings replaces them.
pub(crate) struct Sites {
    allowed: Mutex<Allowed>,
    /// Counts the replacements.
    version: AtomicU64,
}

#[derive(Clone)]
struct Allowed {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Allowed {
    fn of(settings: &Settings) -> Allowed {
        Allowed { hosts: settings.hosts.clone(), origins: settings.origins.clone() }
    }
}

impl Sites {
    pub(crate) fn new(settings: &Settings) -> Arc<Sites> {
        Arc::new(Sites { allowed: Mutex::new(Allowed::of(settings)), version: AtomicU64::new(0) })
    }

    /// Allows the hosts and origins of these settings, and no others.
    pub(crate) fn replace(&self, settings: &Settings) {
        *self.allowed.lock().unwrap_or_else(PoisonError::into_inner) = Allowed::of(settings);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Makes the rules of a layer from what is allowed at present.
    fn rules(&self, hosts: Hosts) -> Rules {
        let version = self.version.load(Ordering::Acquire);
        let Allowed { hosts: names, origins } =
            self.allowed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let policy = origins.iter().fold(SitePolicy::new(), |policy, origin| policy.origin(origin));
        let policy = match hosts {
            Hosts::Any => policy,
            Hosts::Named { or_loopback } => {
                let policy = names.iter().fold(policy, |policy, host| policy.host(host));
                if or_loopback { policy.loopback() } else { policy }
            }
        };
        Rules { version, policy, origins }
    }
}

/// Which hosts a layer allows.
#[derive(Clone, Copy)]
enum Hosts {
    Any,
    Named { or_loopback: bool },
}

/// What a layer has made of the hosts and origins.
struct Rules {
    version: u64,
    policy: SitePolicy,
    origins: Vec<String>,
}

/// Makes the layer for routes that show or change state: only hosts of this server, and changes only by pages of its own
/// origin. `addrs` are those that the routes are served on.
pub(crate) fn guard(sites: &Arc<Sites>, addrs: &[ListenAddr]) -> impl LayerFn + use<> {
    let or_loopback = addrs.iter().any(is_loopback);
    layer(sites.clone(), Hosts::Named { or_loopback })
}

/// Makes the layer for routes without state: any host.
pub(crate) fn guard_origin(sites: &Arc<Sites>) -> impl LayerFn + use<> {
    layer(sites.clone(), Hosts::Any)
}

/// Makes the layer. Pages of the origins that are allowed may read the answers too (Fetch §3.2).
fn layer(sites: Arc<Sites>, hosts: Hosts) -> impl LayerFn {
    let rules = RefCell::new(Rc::new(sites.rules(hosts)));
    move |req, next| {
        if rules.borrow().version != sites.version.load(Ordering::Acquire) {
            rules.replace(Rc::new(sites.rules(hosts)));
        }
        let rules = rules.borrow().clone();
        let Rules { policy, origins, .. } = &*rules;
        policy.check(req).map_err(with_flag)?;
        let is_listed =
            |origin: &&str| origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin));
        let origin = req.header("origin").filter(is_listed);
        let is_preflight = req.header("access-control-request-method").is_some();
        let response = match req.method() {
            Method::Options if is_preflight && origin.is_some() => preflight()?,
            _ => next.call(req).unwrap_or_else(Response::from),
        };
        if response.status() == 101 {
            return Ok(response);
        }
        // Answers repeat what clients have sent, so a browser must not guess their types.
        let response = response.header("x-content-type-options", "nosniff")?;
        if origins.is_empty() {
            return Ok(response);
        }
        // Also without an origin: a cache must not give this answer to a page that sends one.
        let response = response.add_header("vary", "Origin")?;
        match origin {
            Some(origin) => response
                .header("access-control-allow-origin", origin)?
                .header("access-control-expose-headers", "Location, Retry-After"),
            None => Ok(response),
        }
    }
}

/// Answers a browser that asks what a page may send.
fn preflight() -> Result<Response<'static>, Error> {
    Response::new(204)
        .header("access-control-allow-methods", "GET, POST, DELETE")?
        .header("access-control-allow-headers", "Content-Type, X-Id")?
        .header("access-control-max-age", "600")
}

fn with_flag(error: Error) -> Error {
    let flag = match error.status() {
        421 => "Start the server with --host NAME to serve it.",
        _ => "Start the server with --origin ORIGIN to allow it.",
    };
    Error::new(error.status(), format!("{} {flag}", error.message()))
}

/// Whether browsers of this machine alone reach an address.
fn is_loopback(addr: &ListenAddr) -> bool {
    addr.tcp().is_some_and(|addr| addr.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_recognised_in_an_address() {
        for (addr, expected) in [
            ("127.0.0.1:80", true),
            ("127.9.9.9:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.7:80", false),
        ] {
            assert_eq!(is_loopback(&ListenAddr::Tcp(addr.parse().unwrap())), expected, "{addr}");
        }
        assert!(!is_loopback(&ListenAddr::Unix("/run/a.sock".into())));
    }
}
