//! The answers that the router gives itself.
//!
//! It knows what was not found, not where it was looked for.

use super::{Error, Handler, Request, Response};

/// An answer that the router gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Early<'a> {
    /// 404.
    NotFound,
    /// 405 with Allow.
    MethodNotAllowed(&'a str),
    /// 204 with Allow: `OPTIONS *`, or OPTIONS on a route that has no handler for it.
    Options(&'a str),
    /// 501: an extension method without a handler, or CONNECT (RFC 9110 §9.1).
    MethodUnknown,
    /// 400: a parameter that is not UTF-8 after decoding.
    BadParameter,
}

/// The answer to `OPTIONS *`: the methods that have a shorthand in [`App`](super::App) (RFC 9110 §9.3.7).
pub(super) const ALLOW_ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The router's own answers, as a handler that layers can go around.
impl Handler for Early<'_> {
    fn call<'r>(&self, _req: &Request<'r>) -> Result<Response<'r>, Error> {
        match *self {
            Early::NotFound => Err(Error::not_found("There is nothing at this path.")),
            Early::MethodNotAllowed(allow) => {
                Err(Error::new(405, "The method is not allowed here.").header("allow", allow))
            }
            Early::Options(allow) => Response::new(204).header("allow", allow),
            Early::MethodUnknown => Err(Error::new(501, "The method is not known.")),
            Early::BadParameter => Err(Error::bad_request("The path is not UTF-8 once decoded.")),
        }
    }
}
