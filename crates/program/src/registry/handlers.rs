//! `/clients` over HTTP.
//!
//! Each handler is written once, as if the store answered at once. One that waits has its handlers called on
//! another thread; that is said in [`routes`] and nowhere else.

use super::super::{content, origin};
use super::Registry;
use super::listing::Listing;
use super::record::check_id;
use super::socket::Clients;
use fleeting::app::Full;
use fleeting::ws::Policy;
use fleeting::{App, Error, Handler, Offload, Request, Response};
use fleeting_store::StoreError;
use std::sync::Arc;

/// What a client may send to be kept.
const SENT_BYTES_MAX: usize = 16 << 10;

/// Adds the routes. `offload`, if the store waits: who asks it.
pub(in super::super) fn routes(
    app: App,
    registry: &Arc<Registry>,
    offload: Option<&Arc<Offload>>,
    policy: Policy,
) -> App {
    let asks = |does| Asks { does, registry: registry.clone(), offload: offload.cloned() };
    let mut app = app.ws_with("/clients/ws", policy, Clients::new(registry, offload.cloned()));
    for (method, path, does) in [
        ("POST", "/clients", put as Does),
        ("GET", "/clients", list),
        ("GET", "/clients/{id}", find),
        ("DELETE", "/clients/{id}", remove),
    ] {
        app = match offload {
            Some(offload) => app.route(method, path, offload.handler(asks(does))),
            None => app.route(method, path, asks(does)),
        };
    }
    app
}

/// What one of them does.
type Does = for<'r> fn(&Request<'r>, &Asks) -> Result<Response<'r>, Error>;

/// A handler, and whom it asks.
struct Asks {
    does: Does,
    registry: Arc<Registry>,
    /// Who asks a store that waits.
    offload: Option<Arc<Offload>>,
}

impl Handler for Asks {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        (self.does)(req, self)?.header("cache-control", "no-store")
    }
}

fn put<'r>(req: &Request<'r>, asks: &Asks) -> Result<Response<'r>, Error> {
    origin::check(req, "store a client")?;
    let id = req.header("x-id").ok_or(Error::bad_request("The field X-Id is missing, or not UTF-8."))?;
    check_id(id).map_err(Error::bad_request)?;
    if req.body().len() > SENT_BYTES_MAX {
        return Err(Error::new(413, "A client may send 16 KiB at most to be kept."));
    }
    let sent = if req.body().is_empty() { None } else { Some(content::json(req)?) };
    let sent = sent.as_deref().unwrap_or(serde_json::value::RawValue::NULL);
    let from = req.peer_addr().map(|addr| req.arena().format(format_args!("{addr}")));
    let (new, record) = asks.registry.put(id, sent, from, req.arena()).map_err(refusal)?;
    let response = json(record)?;
    if !new {
        return Ok(response);
    }
    let location = req.arena().format(format_args!("/clients/{}", Encoded(id)));
    response.with_status(201).header("location", location)
}

/// All records, or as many as `?limit=` says.
fn list<'r>(req: &Request<'r>, asks: &Asks) -> Result<Response<'r>, Error> {
    let most = match req.query_value("limit").map(str::parse) {
        None => usize::MAX,
        Some(Ok(most)) if most > 0 => most,
        Some(_) => return Err(Error::bad_request("`limit` should be a number from 1 on.")),
    };
    let listing = Listing::begin(&asks.registry, asks.offload.clone(), most, req.arena());
    Response::source(None, listing.map_err(refusal)?).content_type("application/json")
}

fn find<'r>(req: &Request<'r>, asks: &Asks) -> Result<Response<'r>, Error> {
    let id = known(req)?;
    json(asks.registry.find(id, req.arena()).map_err(refusal)?.ok_or_else(no_client)?)
}

fn remove<'r>(req: &Request<'r>, asks: &Asks) -> Result<Response<'r>, Error> {
    origin::check(req, "take a client out")?;
    let removed = asks.registry.remove(known(req)?, req.arena()).map_err(refusal)?;
    if removed { Ok(Response::empty(204)) } else { Err(no_client()) }
}

/// The id that the path names. One that cannot be has no record.
fn known<'r>(req: &Request<'r>) -> Result<&'r str, Error> {
    let id = req.param("id");
    check_id(id).map_err(|_| no_client())?;
    Ok(id)
}

pub(super) fn no_client() -> Error {
    Error::not_found("There is no client of this id.")
}

/// Nobody has the time to ask the store.
pub(super) fn busy(_full: Full) -> Error {
    Error::unavailable("Too many are waiting for the store.")
}

/// What a client is answered when the store has not done it.
pub(super) fn refusal(error: StoreError) -> Error {
    match error {
        // RFC 4918 §11.5.
        StoreError::Full => Error::new(507, "The store is full."),
        StoreError::Unavailable(_) => Error::unavailable(error.to_string()),
        _ => Error::internal(error.to_string()),
    }
}

fn json(record: &[u8]) -> Result<Response<'_>, Error> {
    Response::status(200).body(record).content_type("application/json")
}

/// A segment of a path (RFC 3986 §3.3).
struct Encoded<'a>(&'a str);

impl std::fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
