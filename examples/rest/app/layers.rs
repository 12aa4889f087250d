//! The layers: what is done for many routes at once.
//!
//! It knows fields and users, but no notes. Each function makes one layer, with the state that it needs.

use super::rate::RateLimit;
use super::users::{COOKIE, Sessions, User};
use fleeting::{Error, Handler, LayerFn, Request, Response};
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

/// The name under which a request's id is passed on.
pub struct RequestId;

/// Gives each request an id, for logs and error reports: the one that the client or a proxy sent, if it is harmless.
/// The answer repeats it.
pub fn request_ids(worker: usize) -> impl LayerFn {
    // Another number in each process and on each worker.
    let process = RandomState::new().build_hasher().finish();
    let count = Cell::new(0u64);
    move |req, next| {
        let id = req.header("x-request-id").filter(|id| is_harmless(id)).unwrap_or_else(|| {
            count.set(count.get() + 1);
            req.arena().format(format_args!("{process:016x}-{worker}-{}", count.get()))
        });
        req.insert_text::<RequestId>(id);
        next.call(req).unwrap_or_else(Response::from).header("x-request-id", id)
    }
}

fn is_harmless(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Lets pages of other origins read the answers (Fetch §3.2). A preflight is answered here, because it carries no token.
pub fn cross_origin(origins: &'static [&'static str]) -> impl LayerFn {
    move |req, next| {
        let origin = req.header("origin").filter(|origin| origins.contains(origin));
        let is_preflight = req.method() == "OPTIONS" && req.header("access-control-request-method").is_some();
        let answer = match (is_preflight, origin) {
            (false, _) => next.call(req).unwrap_or_else(Response::from),
            (true, None) => Response::new(204),
            (true, Some(_)) => Response::new(204)
                .header("access-control-allow-methods", "GET, POST, PUT, DELETE")?
                .header(
                    "access-control-allow-headers",
                    "Authorization, Content-Type, If-Match, X-Request-Id",
                )?
                .header("access-control-max-age", "600")?,
        };
        // Also without an origin: a cache must not give this answer to a page that sends one.
        let answer = answer.add_header("vary", "Origin")?;
        match origin {
            Some(origin) => answer
                .header("access-control-allow-origin", origin)?
                .header("access-control-expose-headers", "ETag, Location, Retry-After, X-Request-Id"),
            None => Ok(answer),
        }
    }
}

/// Bounds how often an address may ask. Behind a proxy that the server does not trust, all clients have the proxy's address.
pub fn rate_limit() -> impl LayerFn {
    let limit = RefCell::new(RateLimit::default());
    move |req, next| {
        if let Some(client) = req.client_ip() {
            // The borrow ends here, before anything else is called.
            limit.borrow_mut().take(client, Instant::now()).map_err(|wait| {
                let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1).to_string();
                Error::new(429, "There were too many requests.").header("retry-after", seconds)
            })?;
        }
        next.call(req)
    }
}

/// Lets only users through, and tells the handlers which one it is. A user shows a token (RFC 6750 §2.1) or, in a
/// browser, a session's cookie.
pub fn users(sessions: Sessions) -> impl LayerFn {
    move |req, next| {
        let user = match req.header("authorization") {
            Some(credentials) => credentials
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .and_then(|(_, token)| User::with_token(token)),
            None => req.cookie(COOKIE).and_then(|token| sessions.user(token, Instant::now())),
        };
        req.insert(user.ok_or_else(|| Error::unauthorized("Bearer", "Log in, or send a token."))?);
        next.call(req)
    }
}

/// Lets only administrators through. A layer without state may be a function.
pub fn only_admins<'r>(req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error> {
    if !User::of(req).is_admin {
        return Err(Error::forbidden("This is for administrators."));
    }
    next.call(req)
}
