//! Streams of server-sent events that are made of publications.
//!
//! It knows neither topics nor connections: the engine subscribes the connection that sends the response. Its invariant:
//! a stream that cannot begin is answered as an error, without the fields of a stream.

use super::body::Awaited;
use super::events::{self, Event};
use super::events_options::TopicEvents;
use super::{Body, Response};

impl TopicEvents {
    /// Makes the response that begins the stream.
    pub(crate) fn response(self) -> Response<'static> {
        let response = Response::new(200).body(Body::pending(Awaited::Events(self)));
        events::with_fields(response)
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

/// Gives `refusal`, which is sent because the stream that `response` was to begin cannot, the fields that layers have set.
pub(crate) fn refuse(mut response: Response<'static>, mut refusal: Response<'static>) -> Response<'static> {
    for name in events::FIELDS {
        response.fields.unset(name);
    }
    refusal.fields.put_in_front(&response.fields);
    refusal.close |= response.close;
    refusal
}
