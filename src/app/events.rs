//! Server-sent events (WHATWG HTML §9.2): lines of text that a browser's `EventSource` reads.
//!
//! It knows the format, but no client. Its invariant: only whole events and comments are sent, and no value
//! can end its line early.

use super::{BodySender, Error, Gone, Pushed, Response};
use std::fmt;
use std::time::Duration;

const EVENT_STREAM: &[u8] = b"Content-Type: text/event-stream\r\n";

/// Sends a stream of events from any thread. Made by [`Response::events`].
///
/// The stream ends when the sender is dropped, or when the server shuts down. A browser then requests it again.
#[derive(Debug)]
pub struct EventSender {
    body: BodySender,
    /// The encoded event. Kept between events for its memory.
    text: Vec<u8>,
}

/// One server-sent event (WHATWG HTML §9.2.6).
///
/// ```
/// use fleeting::Event;
/// use std::time::Duration;
///
/// // A browser runs the listeners of "tick", with "one\ntwo" as data.
/// let event = Event::data("one\ntwo").name("tick").id("7").retry(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<'e> {
    data: &'e str,
    name: Option<&'e str>,
    id: Option<&'e str>,
    retry: Option<Duration>,
}

/// Why an event cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The name contains a CR or LF.
    Name,
    /// The id contains a CR or LF, or a NUL, which would make a browser ignore it.
    Id,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventError::Name => "the event's name contains a line break",
            EventError::Id => "the event's id contains a line break or a NUL",
        })
    }
}

impl std::error::Error for EventError {}

impl From<EventError> for Error {
    fn from(error: EventError) -> Error {
        Error::internal(error.to_string())
    }
}

impl<'e> Event<'e> {
    /// Makes an event with this data, which may have several lines. Browsers ignore an event with empty data.
    pub fn data(data: &'e str) -> Event<'e> {
        Event { data, ..Event::default() }
    }

    /// Sets the event's type, which is `message` otherwise.
    pub fn name(self, name: &'e str) -> Event<'e> {
        Event { name: Some(name), ..self }
    }

    /// Sets the event's id. A browser that reconnects sends the last one it saw as `Last-Event-ID`.
    pub fn id(self, id: &'e str) -> Event<'e> {
        Event { id: Some(id), ..self }
    }

    /// Sets how long a browser waits before it reconnects, in whole milliseconds.
    pub fn retry(self, retry: Duration) -> Event<'e> {
        Event { retry: Some(retry), ..self }
    }

    /// Appends the encoded event.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EventError> {
        if self.name.is_some_and(|name| name.contains(['\r', '\n'])) {
            return Err(EventError::Name);
        }
        if self.id.is_some_and(|id| id.contains(['\r', '\n', '\0'])) {
            return Err(EventError::Id);
        }
        if let Some(name) = self.name {
            line(out, "event: ", name);
        }
        if let Some(id) = self.id {
            line(out, "id: ", id);
        }
        if let Some(retry) = self.retry {
            line(out, "retry: ", &retry.as_millis().to_string());
        }
        lines(out, "data: ", self.data);
        out.push(b'\n');
        Ok(())
    }
}

fn line(out: &mut Vec<u8>, field: &str, value: &str) {
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// Appends one `field` line for each line of `text`. CR, LF and CRLF end a line.
fn lines(out: &mut Vec<u8>, field: &str, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        line(out, field, &rest[..at]);
        let length = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[at + length..];
    }
    line(out, field, rest);
}

impl Response<'_> {
    /// Makes a 200 with a stream of events (`text/event-stream`). At most `capacity_bytes` bytes are queued
    /// for a client that reads slowly.
    ///
    /// A browser that reconnects names the last event it saw in the field `Last-Event-ID` of its request.
    /// While no event is sent, a comment is sent at the [`ping`](crate::Timeouts::ping) interval.
    ///
    /// ```
    /// use fleeting::{App, Event, Response};
    ///
    /// let app = App::new().get("/events", |_req| {
    ///     let (response, mut events) = Response::events(16 << 10);
    ///     std::thread::spawn(move || events.send(&Event::data("hello").name("greeting")));
    ///     Ok(response)
    /// });
    /// ```
    pub fn events(capacity_bytes: usize) -> (Response<'static>, EventSender) {
        let (response, body) = Response::channel_of(capacity_bytes, true);
        let response = response.with_line(EVENT_STREAM).header("cache-control", "no-store");
        (response.expect("the field is valid"), EventSender { body, text: Vec::new() })
    }
}

impl EventSender {
    /// Queues an event. Returns whether it was queued; see [`Pushed`].
    ///
    /// # Errors
    /// [`EventError`] if the name or the id cannot be encoded.
    pub fn try_send(&mut self, event: &Event<'_>) -> Result<Pushed, EventError> {
        self.text.clear();
        event.encode(&mut self.text)?;
        Ok(self.body.try_send(&self.text))
    }

    /// Queues an event, and blocks until it fits. Do not call it in a handler: it may wait for the connection
    /// to take bytes, and the handler's own thread serves the connection.
    ///
    /// # Errors
    /// [`Gone`] if the stream is over.
    ///
    /// # Panics
    /// If the name or the id cannot be encoded: see [`EventError`].
    pub fn send(&mut self, event: &Event<'_>) -> Result<(), Gone> {
        self.text.clear();
        event.encode(&mut self.text).unwrap_or_else(|error| panic!("{error}"));
        self.body.send(&self.text)
    }

    /// Queues a comment, which browsers ignore. A comment now and then keeps proxies from closing a quiet
    /// connection, and reveals a client that vanished. The server sends empty ones by itself, see
    /// [`Response::events`].
    pub fn comment(&mut self, text: &str) -> Pushed {
        self.text.clear();
        lines(&mut self.text, ": ", text);
        self.text.push(b'\n');
        self.body.try_send(&self.text)
    }

    /// Whether the stream is over: the client has left, or the server is shutting down.
    pub fn is_gone(&self) -> bool {
        self.body.is_gone()
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        // Only whole events were queued, so the content is complete.
        self.body.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_encoded() {
        fn check(event: Event<'_>, expected: Result<&str, EventError>) {
            let mut out = Vec::new();
            let encoded = event.encode(&mut out).map(|()| String::from_utf8(out).unwrap());
            assert_eq!(encoded.as_deref(), expected.as_ref().map(|text| *text), "{event:?}");
        }
        check(Event::data("hello"), Ok("data: hello\n\n"));
        check(Event::data(""), Ok("data: \n\n"));
        check(Event::data("a\nb"), Ok("data: a\ndata: b\n\n"));
        check(Event::data("a\r\nb\rc\n"), Ok("data: a\ndata: b\ndata: c\ndata: \n\n"));
        check(Event::data("\r\r\n\n"), Ok("data: \ndata: \ndata: \ndata: \n\n"));
        check(Event::data(" a: b"), Ok("data:  a: b\n\n"));
        let all = Event::data("x").name("tick").id("7").retry(Duration::from_millis(1500));
        check(all, Ok("event: tick\nid: 7\nretry: 1500\ndata: x\n\n"));
        check(Event::data("x").id(""), Ok("id: \ndata: x\n\n"));
        check(Event::data("x").name("a\nb"), Err(EventError::Name));
        check(Event::data("x").name("a\rdata: b"), Err(EventError::Name));
        check(Event::data("x").id("a\n"), Err(EventError::Id));
        check(Event::data("x").id("a\0"), Err(EventError::Id));
    }
}
