//! Which pages may change something here: those of this origin.
//!
//! A page of any origin could send a simple request here, unasked by its reader: the rule is that of WebSockets.

use fleeting::ws::Policy;
use fleeting::{Error, Request};

/// That no page of another origin asks.
///
/// # Errors
/// 403; `what` says what it may not do.
pub(super) fn check(req: &Request<'_>, what: &str) -> Result<(), Error> {
    let mut origins = req.fields().values("origin");
    if origins.all(|origin| Policy::new().admits(origin, req.host())) {
        return Ok(());
    }
    Err(Error::forbidden(format!("Pages of this origin may not {what}.")))
}
