//! `/topics`: publishing, listening and counting over HTTP.
//!
//! It knows no WebSocket; its publications reach the clients of `/hub` all the same. Its invariant: a publication
//! answered with 202 has a topic that clients can subscribe to and a size that can be sent.

use super::delivery::{Delivery, refusal, slow_gap};
use crate::listing::{self, Listing, Ordered, Page, Pages};
use crate::request::content;
use fleeting::engine::PublishError;
use fleeting::{
    App, Error, EventsOptions, Handle, Message, Request, Response, SlowConsumer, TopicCount, TopicError,
    TopicPage,
};
use serde::Serialize;

/// Adds the routes. `slow`: the policy for streams that do not choose one.
pub(crate) fn routes(app: App, handle: &Handle, slow: SlowConsumer) -> App {
    let (counting, publishing, listening) = (handle.clone(), handle.clone(), handle.clone());
    app.get("/topics", move |req| list(req, &counting))
        .post("/topics/{name}", move |req| publish(req, &publishing))
        .get("/topics/{name}", move |req| listen(req, &listening, slow))
}

/// Streams the publications under a topic or a filter as server-sent events. The query `slow` selects the policy.
fn listen(req: &Request<'_>, handle: &Handle, slow: SlowConsumer) -> Result<Response<'static>, Error> {
    let slow = match req.query_value("slow") {
        Some(policy) => policy.parse().map_err(|why| Error::bad_request(format!("`slow`: {why}.")))?,
        None => slow,
    };
    let options = EventsOptions::new().slow_consumer(slow).gap(slow_gap);
    handle
        .events_with(req.param("name"), options)
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

/// Lists all topics, or at most `?limit=` of them.
fn list(req: &Request<'_>, handle: &Handle) -> Result<Response<'static>, Error> {
    let limit = listing::limit(req.query_value("limit"))?;
    let response = Response::source(None, Listing::array(TopicPages(handle.clone()), None, limit));
    response.content_type("application/json")?.header("cache-control", "no-store")
}

/// The pages of the topics of all workers.
struct TopicPages(Handle);

impl Pages for TopicPages {
    /// The last topic of the page before.
    type Place = Option<Box<str>>;

    fn order(
        &self,
        after: Self::Place,
        topics_max: usize,
        ordered: Ordered<Self::Place>,
    ) -> Result<(), Error> {
        self.0.count_topics(after.as_deref(), move |page| ordered.complete(json(page, topics_max)));
        Ok(())
    }
}

fn json(mut page: TopicPage, topics_max: usize) -> Result<Page<Option<Box<str>>>, Error> {
    page.topics.truncate(topics_max);
    let entries = page.topics.iter().map(|TopicCount { name, subscribers, published, .. }| TopicEntry {
        name,
        subscribers: *subscribers,
        published: *published,
    });
    let entries: Vec<_> = entries.collect();
    let mut json = serde_json::to_vec(&entries).map_err(|error| Error::internal(error.to_string()))?;
    // The entries alone, without the brackets of their array.
    json.pop();
    json.remove(0);
    Ok(Page { json, entries: entries.len(), next: page.next.map(Some) })
}
