//! `/topics`: publishing, listening and counting over HTTP.
//!
//! It knows no WebSocket; its publications reach the clients of `/hub` all the same. Its invariant: a publication
//! answered with 202 has a topic that clients can subscribe to and a size that can be sent.

use super::delivery::{Delivery, refusal};
use crate::request::content;
use fleeting::TopicCount;
use fleeting::engine::PublishError;
use fleeting::{App, Error, Handle, Message, Request, Response, TopicError};
use serde::Serialize;

/// Adds the routes.
pub(crate) fn routes(app: App, handle: &Handle) -> App {
    let (counting, publishing, listening) = (handle.clone(), handle.clone(), handle.clone());
    app.get("/topics", move |_req| Ok(count(&counting)))
        .post("/topics/{name}", move |req| publish(req, &publishing))
        .get("/topics/{name}", move |req| listen(req, &listening))
}

/// Bytes of events queued for a client that reads slowly. Events beyond that are dropped.
const EVENTS_BYTES: usize = 64 << 10;

/// Streams the publications under a topic or a filter as server-sent events.
fn listen(req: &Request<'_>, handle: &Handle) -> Result<Response<'static>, Error> {
    handle
        .events(req.param("name"), EVENTS_BYTES)
        .map_err(|error| Error::bad_request(format!("Cannot subscribe: {error}.")))
}

fn publish<'r>(req: &Request<'r>, handle: &Handle) -> Result<Response<'r>, Error> {
    let topic = req.param("name");
    if let Some(sentence) = refusal(topic) {
        return Err(Error::forbidden(sentence));
    }
    let data = content::json(req)?;
    let text = Delivery { topic, data: &data }.encode();
    handle.publish(topic, Message::Text(&text)).map_err(|error| match error {
        PublishError::Topic(error @ TopicError::MessageTooBig(_)) => Error::new(413, error.to_string()),
        PublishError::Topic(error) => Error::bad_request(format!("Cannot publish: {error}.")),
        PublishError::Full => Error::unavailable(
            "A worker's mailbox is full, so some subscribers do not receive this message. Publish more slowly.",
        ),
        _ => Error::unavailable(error.to_string()),
    })?;
    // RFC 9110 §15.3.3: whether and when the subscribers receive it is unknown.
    Ok(Response::new(202))
}

/// A topic or a filter, as `GET /topics` lists it.
#[derive(Serialize)]
struct TopicEntry<'a> {
    name: &'a str,
    subscribers: usize,
    published: u64,
}

/// Lists the topics of all workers, once the last of them has reported.
fn count(handle: &Handle) -> Response<'static> {
    let (response, responder) = Response::defer();
    handle.count_topics(move |counts| {
        // The client may be gone.
        let _ = responder.send(list(&counts).unwrap_or_else(Response::from));
    });
    response
}

fn list(counts: &[TopicCount]) -> Result<Response<'static>, Error> {
    let entries = counts.iter().map(|TopicCount { name, subscribers, published, .. }| TopicEntry {
        name,
        subscribers: *subscribers,
        published: *published,
    });
    let entries: Vec<_> = entries.collect();
    let text = serde_json::to_vec(&entries).map_err(|error| Error::internal(error.to_string()))?;
    Response::new(200).body(text).content_type("application/json")?.header("cache-control", "no-store")
}
