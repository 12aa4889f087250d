//! Server-sent events (WHATWG HTML, section 9.2): a body of lines that a browser's `EventSource` reads.
//!
//! It knows the format, and nothing of who reads it. Its invariant: what is sent is whole events and
//! comments; no value can end a line that is not its own.

use super::{BodySender, Error, Gone, Pushed, Response};
use std::fmt;
use std::time::Duration;

const EVENT_STREAM: &[u8] = b"Content-Type: text/event-stream\r\n";

/// Sends a stream of events from any thread. When it is dropped, the stream ends, and the browser asks for
/// it again; when the server shuts down, too.
#[derive(Debug)]
pub struct EventSender {
    body: BodySender,
    /// The event being sent; empty between events, kept for its memory.
    text: Vec<u8>,
}

/// One event.
///
/// ```
/// use fleeting::Event;
///
/// let event = Event::data("one\ntwo").name("tick").id("7");
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<'e> {
    data: &'e str,
    name: Option<&'e str>,
    id: Option<&'e str>,
    retry: Option<Duration>,
}

/// Why an event cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The name holds a line break.
    Name,
    /// The id holds a line break, or a NUL, for which a browser ignores it.
    Id,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventError::Name => "the event's name contains a line break: leave it out",
            EventError::Id => "the event's id contains a line break or a NUL: leave it out",
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
    /// An event with this data, which may have several lines. Without any, browsers do not dispatch it.
    pub fn data(data: &'e str) -> Event<'e> {
        Event { data, ..Event::default() }
    }

    /// Its type, in place of `message`.
    pub fn name(self, name: &'e str) -> Event<'e> {
        Event { name: Some(name), ..self }
    }

    /// What a browser that has lost the connection names in `Last-Event-ID`.
    pub fn id(self, id: &'e str) -> Event<'e> {
        Event { id: Some(id), ..self }
    }

    /// How long a browser waits before it asks again, in whole milliseconds.
    pub fn retry(self, retry: Duration) -> Event<'e> {
        Event { retry: Some(retry), ..self }
    }

    /// Appends the event as it goes out.
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

/// One line for each of `text`, which CR, LF and CRLF end.
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
    /// 200 with a stream of events, of which at most `capacity_bytes` are queued for a client that reads
    /// slowly. The handler finds in `Last-Event-ID` where a client that comes back has been.
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
        (response.expect("a good field"), EventSender { body, text: Vec::new() })
    }
}

impl EventSender {
    /// Queues an event, or tells why not: [`Pushed`].
    ///
    /// # Errors
    /// [`EventError`]: it cannot be sent as it is.
    pub fn try_send(&mut self, event: &Event<'_>) -> Result<Pushed, EventError> {
        self.text.clear();
        event.encode(&mut self.text)?;
        Ok(self.body.try_send(&self.text))
    }

    /// Queues an event, and waits as long as it does not fit. Not for handlers: what makes room is their
    /// own thread.
    ///
    /// # Errors
    /// [`Gone`]: nobody is there to have it.
    ///
    /// # Panics
    /// If the name or the id cannot be sent: see [`try_send`](EventSender::try_send).
    pub fn send(&mut self, event: &Event<'_>) -> Result<(), Gone> {
        self.text.clear();
        event.encode(&mut self.text).unwrap_or_else(|error| panic!("{error}"));
        self.body.send(&self.text)
    }

    /// Queues a comment, which browsers ignore: one every 15 seconds or so keeps proxies from closing a
    /// connection on which nothing happens, and shows whether the client is still there.
    pub fn comment(&mut self, text: &str) -> Pushed {
        self.text.clear();
        lines(&mut self.text, ": ", text);
        self.text.push(b'\n');
        self.body.try_send(&self.text)
    }

    /// Whether nobody is there any more.
    pub fn is_gone(&self) -> bool {
        self.body.is_gone()
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        // Every event is whole, so the end is a good one.
        self.body.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_as_they_go_out() {
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
