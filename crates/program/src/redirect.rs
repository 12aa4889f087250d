//! The listener that sends clients of plain HTTP to https.
//!
//! It serves nothing else. Its invariant: the answer depends on the request and the port, and on nothing that is stored.

use fleeting::{App, Error, Request, Response};

/// Builds its application. `port` is where https is served.
pub(crate) fn app(port: u16) -> App {
    // Not the scheme's own port (RFC 9110 §4.2.2).
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    App::new().fallback(move |req| redirect(req, &port))
}

/// The method and the content stay what they were (RFC 9110 §15.4.9).
fn redirect<'r>(req: &Request<'r>, port: &str) -> Result<Response<'r>, Error> {
    let host = without_port(req.host());
    if host.is_empty() || !req.path().starts_with('/') {
        return Err(Error::bad_request(
            "This port only leads to https, and the request says no place there.",
        ));
    }
    let mark = if req.query().is_some() { "?" } else { "" };
    let query = req.query().unwrap_or_default();
    Response::redirect(
        308,
        req.arena().format(format_args!("https://{host}{port}{}{mark}{query}", req.path())),
    )
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // Inside of an address in brackets, the last colon does not precede a port.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}
