//! `/clients` over HTTP.
//!
//! Each handler is written once, as if the store never blocked. If the store blocks, its handlers run on other
//! threads; only [`routes`] decides that.

use super::errors::no_client;
use super::record::check_id;
use super::records::{PAGE_BYTES, Registry};
use super::socket::Clients;
use crate::listing::{self, Listing, Ordered, Pages};
use crate::request::content;
use fleeting::ws::Policy;
use fleeting::{App, Arena, Error, Handler, Offload, Request, Response};
use fleeting_store::Cursor;
use std::sync::Arc;

/// The largest content that a record may keep.
const SENT_BYTES_MAX: usize = 16 << 10;

/// Adds the routes. `offload` has the threads that call the store, if the store blocks.
pub(crate) fn routes(
    app: App,
    registry: &Arc<Registry>,
    offload: Option<&Arc<Offload>>,
    policy: Policy,
) -> App {
    let handler =
        |operation| StoreHandler { operation, registry: registry.clone(), offload: offload.cloned() };
    let mut app = app.ws_with("/clients/ws", policy, Clients::new(registry, offload.cloned()));
    for (method, path, operation) in [
        ("POST", "/clients", put as Operation),
        ("GET", "/clients", list),
        ("GET", "/clients/{id}", find),
        ("DELETE", "/clients/{id}", remove),
    ] {
        app = match offload {
            Some(offload) => app.route_handler(method, path, offload.handler(handler(operation))),
            None => app.route_handler(method, path, handler(operation)),
        };
    }
    app
}

/// One operation on records.
type Operation = for<'r> fn(&Request<'r>, &StoreHandler) -> Result<Response<'r>, Error>;

/// A handler that runs an operation on the registry.
struct StoreHandler {
    operation: Operation,
    registry: Arc<Registry>,
    /// The threads that call a store that blocks.
    offload: Option<Arc<Offload>>,
}

impl Handler for StoreHandler {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        (self.operation)(req, self)?.header("cache-control", "no-store")
    }
}

fn put<'r>(req: &Request<'r>, handler: &StoreHandler) -> Result<Response<'r>, Error> {
    let id = req.header("x-id").ok_or(Error::bad_request("The field X-Id is missing or is not UTF-8."))?;
    check_id(id).map_err(Error::bad_request)?;
    let bytes = req.body().len();
    if bytes > SENT_BYTES_MAX {
        let sentence = format!("The content has {bytes} bytes; a record may have at most 16 KiB.");
        return Err(Error::new(413, sentence));
    }
    let sent = if req.body().is_empty() { None } else { Some(content::json(req)?) };
    let sent = sent.as_deref().unwrap_or(serde_json::value::RawValue::NULL);
    let from = client(req);
    let (new, record) = handler.registry.put(id, sent, from, req.arena())?;
    let response = json(record)?;
    if !new {
        return Ok(response);
    }
    let location = req.arena().format(format_args!("/clients/{}", Encoded(id)));
    response.with_status(201).header("location", location)
}

/// Returns the address of the client, with its port if that is known.
fn client<'r>(req: &Request<'r>) -> Option<&'r str> {
    let (ip, peer) = (req.client_ip()?, req.peer_addr());
    Some(match peer.filter(|peer| peer.ip() == ip) {
        Some(peer) => req.arena().format(format_args!("{peer}")),
        None => req.arena().format(format_args!("{ip}")),
    })
}

/// Answers with all records, or with at most `?limit=` of them.
fn list<'r>(req: &Request<'r>, handler: &StoreHandler) -> Result<Response<'r>, Error> {
    let limit = listing::limit(req.query_value("limit"))?;
    let first = handler.registry.list(Cursor::START, limit, req.arena())?;
    let pages = RecordPages { registry: handler.registry.clone(), offload: handler.offload.clone() };
    Response::source(None, Listing::object(pages, first, limit)).content_type("application/json")
}

/// The pages of all records.
struct RecordPages {
    registry: Arc<Registry>,
    /// The threads that call a store that blocks.
    offload: Option<Arc<Offload>>,
}

impl Pages for RecordPages {
    type Place = Cursor;

    fn order(&self, from: Cursor, records_max: usize, ordered: Ordered<Cursor>) -> Result<(), Error> {
        let registry = self.registry.clone();
        let list = move || {
            let page = registry.list(from, records_max, &Arena::new(PAGE_BYTES));
            ordered.complete(page.map_err(Error::from));
        };
        match &self.offload {
            Some(offload) => Ok(offload.run(list)?),
            None => {
                list();
                Ok(())
            }
        }
    }
}

fn find<'r>(req: &Request<'r>, handler: &StoreHandler) -> Result<Response<'r>, Error> {
    let id = path_id(req)?;
    json(handler.registry.find(id, req.arena())?.ok_or_else(no_client)?)
}

fn remove<'r>(req: &Request<'r>, handler: &StoreHandler) -> Result<Response<'r>, Error> {
    let removed = handler.registry.remove(path_id(req)?, req.arena())?;
    if removed { Ok(Response::new(204)) } else { Err(no_client()) }
}

/// Returns the id in the path. An invalid id is answered as an unknown one.
fn path_id<'r>(req: &Request<'r>) -> Result<&'r str, Error> {
    let id = req.param("id");
    check_id(id).map_err(|_| no_client())?;
    Ok(id)
}

fn json(record: &[u8]) -> Result<Response<'_>, Error> {
    Response::new(200).body(record).content_type("application/json")
}

/// Text percent-encoded as a segment of a path (RFC 3986 §3.3).
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
