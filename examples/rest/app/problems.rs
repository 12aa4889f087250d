//! Errors as JSON (RFC 9457).
//!
//! It knows errors and where they come from, but no route.

use super::layers::RequestId;
use fleeting::{Error, Handler, Request, Response};
use serde::Serialize;

const TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'a str,
    /// For a support request. A request that could not be read has no id.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// A layer that makes JSON of every error that it sees: of handlers, of inner layers, 404, 405 and panics.
pub fn as_json<'r>(req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error> {
    next.call(req).or_else(|error| {
        let request_id = req.extension_text::<RequestId>();
        let problem = Problem { status: error.status(), title: error.message(), request_id };
        let mut text = req.arena().writer();
        serde_json::to_writer(&mut text, &problem)?;
        // The error's own fields stay, such as Allow and Retry-After.
        Response::from(error).body(text.finish()).content_type(TYPE)
    })
}

/// Renders the errors that no layer sees: requests that cannot be read or are too large, and uploads that fail after they
/// have begun.
pub fn page(error: &Error) -> Result<Response<'static>, Error> {
    let problem = Problem { status: error.status(), title: error.message(), request_id: None };
    Response::json_owned(&problem)?.content_type(TYPE)
}
