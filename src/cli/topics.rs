//! `/topics`: publishing, listening and counting over HTTP.
//!
//! It knows no WebSocket; what it publishes reaches those of `/hub` all the same. Its invariant: what is
//! answered with 202 has a name that can be subscribed to and a size that can be sent.

use super::delivery::Delivery;
use fleeting::engine::PublishError;
use fleeting::pubsub::TopicCount;
use fleeting::ws::Policy;
use fleeting::{App, Error, Handle, Message, Request, Response, TopicError};
use serde::Serialize;
use serde_json::value::RawValue;

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
    // A page of any origin could post text here, unasked by its reader: the rule is that of WebSockets.
    let mut origins = req.fields().values("origin");
    if !origins.all(|origin| Policy::new().admits(origin, req.host())) {
        return Err(Error::forbidden("Pages of this origin may not publish."));
    }
    let topic = req.param("name");
    let data = data(req)?;
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

/// The content as JSON: as it is, or text as a string.
fn data(req: &Request<'_>) -> Result<Box<RawValue>, Error> {
    let media_type = req.header("content-type").unwrap_or_default();
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        let read = serde_json::from_slice(req.body());
        return read.map_err(|error| Error::bad_request(format!("The content is not JSON: {error}.")));
    }
    if !essence.starts_with("text/") {
        return Err(Error::unsupported_media_type(
            "The Content-Type should be application/json, or text/plain for a string.",
        ));
    }
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    if !charset.is_none_or(|name| ["utf-8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known)))
    {
        return Err(Error::unsupported_media_type("Text should be in UTF-8."));
    }
    let text = std::str::from_utf8(req.body()).map_err(|error| {
        Error::bad_request(format!("The text is not UTF-8 from byte {} on.", error.valid_up_to()))
    })?;
    serde_json::value::to_raw_value(text).map_err(|error| Error::internal(error.to_string()))
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
    let told = counts.iter().map(|TopicCount { name, subscribers, published }| Told {
        name,
        subscribers: *subscribers,
        published: *published,
    });
    let told: Vec<_> = told.collect();
    let text = serde_json::to_vec(&told).map_err(|error| Error::internal(error.to_string()))?;
    Response::status(200).body(text).content_type("application/json")?.header("cache-control", "no-store")
}
