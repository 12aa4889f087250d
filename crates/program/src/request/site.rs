//! Keeps the pages of other sites away from routes.
//!
//! It knows no route. Its invariant: a refusal says which flag would allow the request.

use crate::settings::Settings;
use fleeting::{Error, LayerFn, Response, SitePolicy};
use std::net::ToSocketAddrs;

/// Makes the layer for routes that show or change state: only hosts of this server, and changes only by pages of its own
/// origin. `listen` are the addresses that the routes are served on.
pub(crate) fn guard(settings: &Settings, listen: &[String]) -> impl LayerFn + use<> {
    let policy = settings.hosts.iter().fold(origins(settings), |policy, host| policy.host(host));
    layer(if listen.iter().any(|addr| is_loopback(addr)) { policy.loopback() } else { policy })
}

/// Makes the layer for routes without state: any host.
pub(crate) fn guard_origin(settings: &Settings) -> impl LayerFn + use<> {
    layer(origins(settings))
}

fn origins(settings: &Settings) -> SitePolicy {
    settings.origins.iter().fold(SitePolicy::new(), |policy, origin| policy.origin(origin))
}

fn layer(policy: SitePolicy) -> impl LayerFn {
    move |req, next| {
        policy.check(req).map_err(with_flag)?;
        let response = next.call(req).unwrap_or_else(Response::from);
        if response.status() == 101 {
            return Ok(response);
        }
        // Answers repeat what clients have sent, so a browser must not guess their types.
        response.header("x-content-type-options", "nosniff")
    }
}

fn with_flag(error: Error) -> Error {
    let flag = match error.status() {
        421 => "Start the server with --host NAME to serve it.",
        _ => "Start the server with --origin ORIGIN to allow it.",
    };
    Error::new(error.status(), format!("{} {flag}", error.message()))
}

/// Whether this machine's loopback is among the addresses of `addr`, a HOST:PORT.
fn is_loopback(addr: &str) -> bool {
    addr.to_socket_addrs().is_ok_and(|mut addrs| addrs.any(|addr| addr.ip().to_canonical().is_loopback()))
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
            ("localhost:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.0.0.7:80", false),
        ] {
            assert_eq!(is_loopback(addr), expected, "{addr}");
        }
    }
}
