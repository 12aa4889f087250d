//! `/topics`: publishing, listening and counting over HTTP.
//!
//! It knows no WebSocket; what it publishes reaches those of `/hub` all the same. Its invariant: what is
//! answered with 202 has a name that can be subscribed to and a size that can be sent.

use super::delivery::Delivery;
use super::{content, origin, registry};
use fleeting::engine::PublishError;
use fleeting::pubsub::TopicCount;
use fleeting::{App, Error, Handle, Message, Request, Response, TopicError};
use serde::Serialize;

/// Adds the routes.
pub(super) fn routes(app: App, handle: &Handle) -> App {
    let (counting, publishing, listening) = (handle.clone(), handle.clone(), handle.clone());
    app.get("/topics", move |_req| Ok(count(&counting)))
        .post("/topics/{name}", move |req| publish(req, &publishing))
        .get("/topics/{name}", move |req| listen(req, &listening))
}

/// Bytes of events that are queued for a client that reads slowly; what finds no room is dropped.
const EVENTS_BYTES: usize = 64 << 10;

/// What is published under a topic or a filter, as server-sent events.
fn listen(req: &Request<'_>, handle: &Handle) -> Result<Response<'static>, Error> {
    handle
        .events(req.param("name"), EVENTS_BYTES)
        .map_err(|error| Error::bad_request(format!("It cannot be subscribed to: {error}.")))
}

fn publish<'r>(req: &Request<'r>, handle: &Handle) -> Result<Response<'r>, Error> {
    origin::check(req, "publish")?;
    let topic = req.param("name");
    if topic.starts_with(registry::TOPICS) {
        return Err(Error::forbidden(registry::RESERVED));
    }
    let data = content::json(req)?;
    let text = Delivery { topic, data: &data }.encode();
    handle.publish(topic, Message::Text(&text)).map_err(|error| match error {
        PublishError::Topic(error @ TopicError::MessageTooBig(_)) => Error::new(413, error.to_string()),
        PublishError::Topic(error) => Error::bad_request(format!("It cannot be published: {error}.")),
        PublishError::Full => Error::unavailable(
            "A worker has too much waiting: some subscribers do not get it. Publish more slowly.",
        ),
        _ => Error::unavailable(error.to_string()),
    })?;
    // RFC 9110 §15.3.3: it is not known when all have it, or whether.
    Ok(Response::empty(202))
}

/// A topic or a filter, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    subscribers: usize,
    published: u64,
}

/// What all workers have, when the last of them has said so.
fn count(handle: &Handle) -> Response<'static> {
    let (response, responder) = Response::defer();
    handle.count_topics(move |counts| {
        // Who has asked may be gone.
        let _ = responder.send(told(&counts).unwrap_or_else(Response::from));
    });
    response
}

fn told(counts: &[TopicCount]) -> Result<Response<'static>, Error> {
    let told = counts.iter().map(|TopicCount { name, subscribers, published, .. }| Told {
        name,
        subscribers: *subscribers,
        published: *published,
    });
    let told: Vec<_> = told.collect();
    let text = serde_json::to_vec(&told).map_err(|error| Error::internal(error.to_string()))?;
    Response::status(200).body(text).content_type("application/json")?.header("cache-control", "no-store")
}
