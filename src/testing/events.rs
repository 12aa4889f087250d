//! A client of a stream of events, as a browser's `EventSource` reads it (WHATWG HTML §9.2).
//!
//! It knows no connection but its bytes. Its invariant: only whole events are returned, in their order.

use super::answer::Answer;
use super::connection::{NoAnswer, Pending};
use super::request::RequestBuilder;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// A request for a stream of events, to be sent: see [`TestServer::events`](super::TestServer::events).
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct EventsRequest {
    request: RequestBuilder,
    target: String,
}

/// An event that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedEvent {
    /// Its type; `message` if the server names none.
    pub name: String,
    /// Its data. Several lines are joined by LF.
    pub data: String,
    /// The last id that the server has sent, with this event or before it. A browser that reconnects returns it in the
    /// field `Last-Event-ID`.
    pub last_id: String,
}

impl EventsRequest {
    #[track_caller]
    pub(super) fn new(request: RequestBuilder, target: &str) -> EventsRequest {
        EventsRequest { request: request.header("accept", "text/event-stream"), target: target.into() }
    }

    /// Adds a field: a cookie, or `Last-Event-ID`.
    ///
    /// # Panics
    /// If the name or the value would not be one line.
    #[track_caller]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> EventsRequest {
        EventsRequest { request: self.request.header(name, value), ..self }
    }

    /// Opens the stream.
    ///
    /// # Panics
    /// If the server does not answer with a 200 and `text/event-stream`; the message shows its answer.
    #[track_caller]
    pub fn open(self) -> EventStream {
        let EventsRequest { request, target } = self;
        let pending = request.begin();
        let answer = match pending.client().wait(|| settled(&pending)) {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => panic!("the events of {target}: no answer: {reason}"),
            Err(stuck) => panic!("the events of {target}: no answer: {stuck}"),
        };
        let media_type = answer.header("content-type").and_then(|value| value.split(';').next());
        if answer.status() != 200 || media_type.map(str::trim) != Some("text/event-stream") {
            panic!("the server has not answered {target} with a stream of events: {answer:?}");
        }
        EventStream { pending, answer, target, reading: Reading::default() }
    }
}

/// Returns the answer once its head is there, or why it will not come.
fn settled(pending: &Pending) -> Option<Result<Answer, NoAnswer>> {
    match pending.so_far() {
        Some(answer) => Some(Ok(answer)),
        None => match pending.try_answer() {
            Err(NoAnswer::Pending) => None,
            other => Some(other),
        },
    }
}

/// The client's end of an open stream of events.
///
/// The client leaves when this is dropped.
///
/// ```
/// use fleeting::{App, Event, Response, testing};
/// use std::time::Duration;
///
/// let app = testing::serve(App::new().get("/prices", |_req| {
///     let (response, mut events) = Response::events(16 << 10);
///     std::thread::spawn(move || {
///         for price in ["10", "11"] {
///             events.send(&Event::data(price).name("price")).unwrap();
///         }
///     });
///     Ok(response)
/// }));
/// let mut prices = app.events("/prices").open();
/// let event = prices.receive(); // waits for the other thread
/// assert_eq!((&*event.name, &*event.data), ("price", "10"));
/// assert_eq!(prices.receive().data, "11");
/// assert!(prices.has_ended());
/// ```
pub struct EventStream {
    pending: Pending,
    answer: Answer,
    target: String,
    reading: Reading,
}

impl EventStream {
    /// Returns the head of the server's answer, for its fields.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Waits for the next event. No time passes for the server; if other threads must do something, this waits for them.
    ///
    /// # Panics
    /// If none comes, or the stream ends; the message says why.
    #[track_caller]
    pub fn receive(&mut self) -> ReceivedEvent {
        let EventStream { pending, reading, target, .. } = self;
        let next = || {
            let outcome = pending.try_answer();
            reading.read(&pending.take_body());
            match (reading.events.pop_front(), outcome) {
                (Some(event), _) => Some(Ok(event)),
                (None, Err(NoAnswer::Pending)) => None,
                (None, outcome) => Some(Err(outcome.err())),
            }
        };
        match pending.client().wait(next) {
            Ok(Ok(event)) => event,
            Ok(Err(None)) => panic!("the events of {target}: the stream has ended"),
            Ok(Err(Some(reason))) => panic!("the events of {target}: {reason}"),
            Err(stuck) => panic!("the events of {target}: no event: {stuck}"),
        }
    }

    /// Returns the next event, if it is there.
    #[track_caller]
    pub fn try_receive(&mut self) -> Option<ReceivedEvent> {
        self.read();
        self.reading.events.pop_front()
    }

    /// Waits until the stream has ended, or until there is another event. Returns whether it has ended.
    ///
    /// # Panics
    /// If neither comes.
    #[track_caller]
    pub fn has_ended(&mut self) -> bool {
        let EventStream { pending, reading, target, .. } = self;
        let next = || {
            let outcome = pending.try_answer();
            reading.read(&pending.take_body());
            match reading.events.is_empty() {
                false => Some(false),
                true => (outcome != Err(NoAnswer::Pending)).then_some(true),
            }
        };
        match pending.client().wait(next) {
            Ok(has_ended) => has_ended,
            Err(stuck) => panic!("the events of {target}: neither an event nor the end: {stuck}"),
        }
    }

    /// Counts the comments so far. The server sends one when no event was sent for a while, so that a client that has
    /// vanished is noticed.
    #[track_caller]
    pub fn comments(&mut self) -> usize {
        self.read();
        self.reading.comments
    }

    /// Returns how long a browser would wait before it reconnects: the last such time that the server has sent.
    #[track_caller]
    pub fn retry(&mut self) -> Option<Duration> {
        self.read();
        self.reading.retry
    }

    /// Reads what has arrived.
    #[track_caller]
    fn read(&mut self) {
        // Other threads may have posted something.
        self.pending.client().act(|_| {});
        let _ = self.pending.try_answer();
        self.reading.read(&self.pending.take_body());
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Reads the format, line by line (WHATWG HTML §9.2.6).
#[derive(Debug, Default)]
struct Reading {
    /// What has arrived of the line that is not complete.
    rest: Vec<u8>,
    name: String,
    data: Option<String>,
    last_id: String,
    retry: Option<Duration>,
    comments: usize,
    events: VecDeque<ReceivedEvent>,
}

impl Reading {
    fn read(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = self.rest[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let end = at + length;
            let ending = match self.rest[end..] {
                // It may be the first half of a CRLF.
                [b'\r'] => break,
                [b'\r', b'\n', ..] => 2,
                _ => 1,
            };
            let line = String::from_utf8_lossy(&self.rest[at..end]).into_owned();
            self.line(&line);
            at = end + ending;
        }
        self.rest.drain(..at);
    }

    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => self.dispatch(),
            "" => self.comments += 1,
            "event" => self.name = value.into(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.into()),
            },
            "id" if !value.contains('\0') => self.last_id = value.into(),
            "retry" => {
                if let Ok(ms) = value.parse() {
                    self.retry = Some(Duration::from_millis(ms));
                }
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        // Browsers ignore an event with empty data.
        let Some(data) = self.data.take().filter(|data| !data.is_empty()) else { return };
        let name = if name.is_empty() { "message".into() } else { name };
        self.events.push_back(ReceivedEvent { name, data, last_id: self.last_id.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str, &str)]) -> Reading {
        let mut bytewise = Reading::default();
        text.bytes().for_each(|byte| bytewise.read(&[byte]));
        let mut whole = Reading::default();
        whole.read(text.as_bytes());
        assert_eq!(whole.events, bytewise.events, "{text:?}");
        let events: Vec<_> =
            whole.events.iter().map(|event| (&*event.name, &*event.data, &*event.last_id)).collect();
        assert_eq!(events, expected, "{text:?}");
        whole
    }

    #[test]
    fn events_are_read_as_a_browser_reads_them() {
        check("data: a\n\n", &[("message", "a", "")]);
        check("data:a\ndata: b\r\ndata:  c\r\n\r\n", &[("message", "a\nb\n c", "")]);
        check("event: tick\nid: 7\ndata: x\n\ndata: y\n\n", &[("tick", "x", "7"), ("message", "y", "7")]);
        check("data: \n\nevent: a\n\ndata: b\n\n", &[("message", "b", "")]);
        check("data: a\n", &[]);
        check("other: a\ndata\ndata: b\n\n", &[("message", "\nb", "")]);
        let reading = check(":\n\n: hello\nretry: 1500\nretry: x\n\n", &[]);
        assert_eq!((reading.comments, reading.retry), (2, Some(Duration::from_millis(1500))));
    }
}
