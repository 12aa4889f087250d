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

/// A layer that makes JSON of every error: of handlers, of inner layers, 404, 405 and panics. Only the errors of an upload
/// that has begun come after it, as plain text.
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

/// The answer to a request that cannot be read or is too large.
pub fn page(error: &Error) -> Response<'static> {
    let problem = Problem { status: error.status(), title: error.message(), request_id: None };
    let page = Response::json_owned(&problem).and_then(|page| page.content_type(TYPE));
    page.unwrap_or_else(Response::from).with_status(error.status())
}
