//! Server-sent events (WHATWG HTML §9.2): lines of text that a browser's `EventSource` reads.
//!
//! It knows the format, but no client. Its invariant: only whole events and comments are sent, and no value
//! can end its line early.

use super::fields::{FixedField, content_type};
use super::{BodySender, Error, Gone, Pushed, Response};
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

static EVENT_STREAM: FixedField = content_type!("text/event-stream");
/// The fields of a stream. nginx and those that follow it would collect the content otherwise.
pub(super) const FIELDS: [&str; 3] = ["content-type", "cache-control", "x-accel-buffering"];
/// Sends a stream of events from any thread. Made by [`Response::events`].
///
/// The stream ends when the sender is dropped, or when the server shuts down. A browser then requests it again.
#[derive(Debug)]
pub struct EventSender {
    body: BodySender,
    /// The encoded event. Kept between events for its memory.
    text: Vec<u8>,
    /// How much of `text` [`send_async`](EventSender::send_async) has queued. If that is a part of it, the rest comes
    /// before the next event.
    queued: usize,
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
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EventError> {
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
    /// The stream begins with an empty comment, so that proxies pass on its head at once. While no event is sent, another
    /// is sent at the [`ping`](crate::Timeouts::ping) interval. `X-Accel-Buffering: no` keeps nginx from collecting events.
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
        (with_fields(response), EventSender { body, text: Vec::new(), queued: 0 })
    }
}

/// Gives a response the fields of a stream of events, in place of its own.
pub(super) fn with_fields(response: Response<'static>) -> Response<'static> {
    let response = response.with_field(&EVENT_STREAM).header(FIELDS[1], "no-store");
    response.and_then(|response| response.header(FIELDS[2], "no")).expect("the fields are valid")
}

impl EventSender {
    /// Queues an event. Returns whether it was queued; see [`Pushed`].
    ///
    /// # Errors
    /// [`EventError`] if the name or the id cannot be encoded.
    pub fn try_send(&mut self, event: &Event<'_>) -> Result<Pushed, EventError> {
        let pushed = self.try_complete();
        if pushed != Pushed::Sent {
            return Ok(pushed);
        }
        event.encode(self.begin())?;
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
        if self.is_unfinished() {
            self.body.send(&self.text[self.queued..])?;
        }
        event.encode(self.begin()).unwrap_or_else(|error| panic!("{error}"));
        self.body.send(&self.text)
    }

    /// Queues an event from a task in any async executor. The task is suspended while the queue is full, so a client that
    /// reads slowly suspends it.
    ///
    /// If the future is dropped, the event is not queued, provided that its encoding fits into the queue's capacity. Of a
    /// longer event a part may be queued; the rest then precedes what is sent next.
    ///
    /// ```
    /// use fleeting::{Event, EventSender, Gone};
    ///
    /// async fn count(mut events: EventSender) -> Result<(), Gone> {
    ///     for number in 0..1_000_000 {
    ///         events.send_async(&Event::data(&number.to_string())).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Gone`] if the stream is over.
    ///
    /// # Panics
    /// If the name or the id cannot be encoded: see [`EventError`].
    pub async fn send_async(&mut self, event: &Event<'_>) -> Result<(), Gone> {
        if self.is_unfinished() {
            poll_fn(|cx| self.poll_push(cx)).await?;
        }
        event.encode(self.begin()).unwrap_or_else(|error| panic!("{error}"));
        poll_fn(|cx| self.poll_push(cx)).await
    }

    /// Queues what is left of the encoded event.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.body.poll_push(cx, &self.text, &mut self.queued)
    }

    /// Returns the memory for the next event's encoding.
    fn begin(&mut self) -> &mut Vec<u8> {
        self.queued = 0;
        self.text.clear();
        &mut self.text
    }

    /// Whether the future that sent the last event was dropped when only a part of the event was queued.
    fn is_unfinished(&self) -> bool {
        self.queued > 0 && self.queued < self.text.len()
    }

    /// Queues what is left of an unfinished event, as far as it fits.
    fn try_complete(&mut self) -> Pushed {
        if self.is_unfinished() {
            match self.body.try_push(&self.text[self.queued..]) {
                Ok(pushed) => self.queued += pushed,
                Err(Gone) => return Pushed::Gone,
            }
        }
        if self.is_unfinished() { Pushed::Full } else { Pushed::Sent }
    }

    /// Queues a comment, which browsers ignore. A comment now and then keeps proxies from closing a quiet
    /// connection, and reveals a client that vanished. The server sends empty ones by itself, see
    /// [`Response::events`].
    pub fn comment(&mut self, text: &str) -> Pushed {
        let pushed = self.try_complete();
        if pushed != Pushed::Sent {
            return pushed;
        }
        let line = self.begin();
        lines(line, ": ", text);
        line.push(b'\n');
        self.body.try_send(&self.text)
    }

    /// Whether the stream is over: the client has left, or the server is shutting down.
    pub fn is_gone(&self) -> bool {
        self.body.is_gone()
    }

    /// Waits until the stream is over, in any async executor. See [`BodySender::gone`].
    pub async fn gone(&mut self) {
        self.body.gone().await;
    }

    /// The same as [`gone`](EventSender::gone), for a hand-written future. Only the task that polled last is woken.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body.poll_gone(cx)
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        // If only whole events were queued, the content is complete.
        if !self.is_unfinished() {
            self.body.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::body::Awaited;
    use crate::app::waker::tests::{CONN, Counting};
    use crate::app::{Body, Progress, Room, Waker};
    use std::pin::pin;
    use std::sync::Arc;

    /// Returns the content of the stream, which is complete or not.
    fn content(response: Response<'static>) -> (String, bool) {
        let Body::Pending(pending) = response.body else { panic!("the response is not pending") };
        let Some(Awaited::Source(mut streamed)) = pending.into_awaited() else {
            panic!("there is no source")
        };
        let waker = Waker::new(CONN, Arc::new(Counting::default()));
        let mut bytes = [0; 100];
        let mut room = Room::new(&mut bytes, &waker);
        let complete = matches!(streamed.source.read(&mut room), Ok(Progress::End));
        let used = room.used();
        (String::from_utf8(bytes[..used].to_vec()).unwrap(), complete)
    }

    #[test]
    fn a_cancelled_event_does_not_cut_another_one_in_half() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        // It would fit into the queue: nothing of it is queued.
        let (response, mut events) = Response::events(20);
        assert_eq!(events.try_send(&Event::data("one")), Ok(Pushed::Sent));
        assert!(pin!(events.send_async(&Event::data("two"))).poll(cx).is_pending());
        drop(events);
        assert_eq!(content(response), (":\n\ndata: one\n\n".into(), true));
        // It is longer than the queue: what is left of it comes first, and nothing else until it has left.
        let (response, mut events) = Response::events(20);
        let long = "x".repeat(20);
        assert!(pin!(events.send_async(&Event::data(&long))).poll(cx).is_pending());
        assert_eq!(events.try_send(&Event::data("one")), Ok(Pushed::Full));
        assert_eq!(events.comment("two"), Pushed::Full);
        assert!(pin!(events.send_async(&Event::data("three"))).poll(cx).is_pending());
        drop(events);
        // The stream is cut off in the middle of the event.
        assert_eq!(content(response), (format!(":\n\ndata: {}", "x".repeat(14)), false));
    }

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
