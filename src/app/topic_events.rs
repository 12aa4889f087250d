//! Streams of server-sent events that are made of publications.
//!
//! It knows neither topics nor connections: the engine subscribes the connection that sends the response. Its invariant:
//! a stream that cannot begin is answered as an error, without the fields of a stream.

use super::body::Awaited;
use super::events::{self, Event};
use super::{Body, Error, Response};
use crate::buffer::SlowConsumer;
use std::fmt;

/// Options of a stream of [`events`](crate::Handle::events_with): what happens to publications for a client that reads too
/// slowly, and how it is told of those that were dropped.
///
/// ```
/// use fleeting::{EventsOptions, SlowConsumer};
///
/// let options = EventsOptions::new()
///     .slow_consumer(SlowConsumer::Conflate)
///     .gap(|publications| format!("{{\"missing\":{publications}}}"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct EventsOptions {
    pub(crate) slow: SlowConsumer,
    gap: Option<fn(u64) -> String>,
}

impl EventsOptions {
    /// Makes the default options: [`SlowConsumer::DropNewest`], and the number of dropped publications as the data of the
    /// event `gap`.
    pub fn new() -> EventsOptions {
        EventsOptions::default()
    }

    /// Sets what happens to publications for a client that reads too slowly. With [`SlowConsumer::Close`] the stream ends
    /// after an event `gap`.
    #[must_use]
    pub fn slow_consumer(mut self, slow: SlowConsumer) -> EventsOptions {
        self.slow = slow;
        self
    }

    /// Sets the data of the event `gap`, made from the number of publications that were dropped.
    #[must_use]
    pub fn gap(mut self, data: fn(u64) -> String) -> EventsOptions {
        self.gap = Some(data);
        self
    }
}

/// A stream of events that has not begun.
pub(crate) struct TopicEvents {
    pub(crate) filter: Box<str>,
    pub(crate) options: EventsOptions,
}

impl fmt::Debug for TopicEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicEvents").field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl TopicEvents {
    /// Makes the response that begins the stream.
    pub(crate) fn response(self) -> Response<'static> {
        let response = Response::new(200).body(Body::pending(Awaited::Events(self)));
        events::with_fields(response)
    }
}

impl EventsOptions {
    /// Returns the data of the event `gap`.
    pub(crate) fn gap_data(&self, publications: u64) -> String {
        self.gap.map_or_else(|| publications.to_string(), |data| data(publications))
    }
}

/// Appends an event. A line break in the name becomes a space.
pub(crate) fn encode_event(name: Option<&str>, data: &str, out: &mut Vec<u8>) {
    let event = Event::data(data);
    let encoded = match name {
        Some(name) if name.contains(['\r', '\n']) => event.name(&name.replace(['\r', '\n'], " ")).encode(out),
        Some(name) => event.name(name).encode(out),
        None => event.encode(out),
    };
    debug_assert_eq!(encoded, Ok(()), "neither a name with line breaks nor an id");
}

/// Turns the response that was to begin a stream into one that says why it does not. The fields of layers stay.
pub(crate) fn refuse(mut response: Response<'static>, error: Error) -> Response<'static> {
    for name in events::FIELDS {
        response.fields.unset(name);
    }
    let mut refusal = Response::from(error);
    refusal.fields.put_in_front(&response.fields);
    refusal.close = response.close;
    refusal
}
