//! Refuses changes that a page of another origin requests.
//!
//! Without this check a page of any origin could make its visitor's browser send a request here unnoticed. The rule is
//! the same as for WebSockets.

use fleeting::ws::Policy;
use fleeting::{Error, Request};

/// Checks that the request does not come from a page of another origin.
///
/// # Errors
/// 403, with a sentence that names the `action`, such as "publish".
pub(crate) fn check(req: &Request<'_>, action: &str) -> Result<(), Error> {
    let mut origins = req.fields().values("origin");
    if origins.all(|origin| Policy::new().admits(origin, req.host())) {
        return Ok(());
    }
    Err(Error::forbidden(format!("Pages of another origin may not {action}.")))
}
