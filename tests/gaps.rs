//! A subscriber that reads loses nothing. One that does not is told how much it has lost, where it has lost it.
//!
//! The same rules hold for WebSockets and for streams of events.

use crate::driver::{Driver, Peer};
use fleeting::engine::{Bounds, Counters, Readiness, Settings};
use fleeting::testing::wire::Head;
use fleeting::ws::CloseCode;
use fleeting::{
    App, Completion, Error, EventsOptions, Handle, Message, PublishError, Request, Response, SlowConsumer,
    Socket, SocketOptions, WebSocket,
};
use fleeting_testkit::client::{BINARY, CLOSE, TEXT, frame};
use fleeting_testkit::server::{GapReporter, subscribe};
use std::cell::RefCell;
use std::rc::Rc;

const OUTBOX_BYTES: usize = 16 << 10;
const HTTP: &str = "HTTP/1.1";
/// Sends content without chunks.
const HTTP_10: &str = "HTTP/1.0";

/// An application whose routes `/ws` and `/events` subscribe to everything.
fn app(handle: &Handle, slow: SlowConsumer) -> App {
    let (handle, options) = (handle.clone(), EventsOptions::new().slow_consumer(slow));
    App::new()
        .ws_with("/ws", SocketOptions::new().slow_consumer(slow), GapReporter)
        .get("/events", move |_req| Ok(handle.events_with("*", options)?))
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.limits.outbox_bytes = OUTBOX_BYTES;
    settings
}

/// How a subscriber gets publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    WebSocket,
    Events,
    BareEvents,
}

const KINDS: [Kind; 3] = [Kind::WebSocket, Kind::Events, Kind::BareEvents];

/// A subscriber, and what it has been sent.
struct Subscriber {
    kind: Kind,
    peer: Peer,
    received: Vec<Received>,
    /// Events that are not complete.
    rest: String,
    /// The server has ended the stream, or begun to close the WebSocket.
    ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Received {
    Text(String),
    /// This many publications are missing here.
    Gap(usize),
}

impl Subscriber {
    fn new(driver: &mut Driver, kind: Kind) -> Subscriber {
        let get = |driver: &mut Driver, version| {
            let (peer, head) = driver.get("/events", version);
            assert_eq!(head.status(), 200);
            assert_eq!(peer.content(version == HTTP), ":\n\n");
            peer
        };
        let peer = match kind {
            Kind::WebSocket => driver.websocket("/ws"),
            Kind::Events => get(driver, HTTP),
            Kind::BareEvents => get(driver, HTTP_10),
        };
        Subscriber { kind, peer, received: Vec::new(), rest: String::new(), ended: false }
    }

    /// Reads what has been written.
    fn read(&mut self) {
        if self.kind == Kind::WebSocket {
            for frame in self.peer.frames() {
                assert!(!self.ended, "something follows a Close");
                match frame.opcode {
                    CLOSE => self.ended = frame.close_code() == 1013,
                    _ => self.received.push(match frame.text().strip_prefix("gap ") {
                        Some(lost) => Received::Gap(lost.parse().expect("a number")),
                        None => Received::Text(frame.text().into()),
                    }),
                }
            }
            return;
        }
        self.rest += &self.peer.content(self.kind == Kind::Events);
        self.ended = self.peer.is_shut();
        while let Some((event, rest)) = self.rest.split_once("\n\n") {
            self.received.push(match event.strip_prefix("event: gap\ndata: ") {
                Some(lost) => Received::Gap(lost.parse().expect("a number")),
                None => Received::Text(event.strip_prefix("data: ").expect("data").replace("\ndata: ", "\n")),
            });
            self.rest = rest.into();
        }
    }

    /// Checks that each of the publications `0..published` has arrived, or that a gap in its place says that it is missing. Returns how
    /// many are missing.
    fn account(&self, published: usize) -> usize {
        let (mut next, mut missing) = (0, 0);
        for received in &self.received {
            match received {
                Received::Gap(lost) => {
                    assert!(*lost > 0, "{:?}: nothing is missing before {next}", self.kind);
                    (next, missing) = (next + lost, missing + lost);
                }
                Received::Text(text) => {
                    assert!(*text == self::text(next), "{:?}: not {next}, but {text}", self.kind);
                    next += 1;
                }
            }
        }
        assert_eq!(next, published, "{:?}: something is missing and was not told", self.kind);
        missing
    }
}

/// Returns publication `number`, whose length varies.
fn text(number: usize) -> String {
    format!("{number}\n{}", ".".repeat(number * 37 % 900))
}

fn publish(handle: &Handle, number: usize) {
    handle.publish("topic", Message::Text(&text(number))).expect("there is room");
}

fn dropped(counters: &Counters) -> u64 {
    counters.dropped_newest + counters.dropped_oldest
}

/// Findings B1 and B2.
#[test]
fn a_client_that_reads_loses_nothing_of_a_burst() {
    const BURST: usize = 2000;
    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(app(&handle, SlowConsumer::DropNewest), settings(), &handle);
    let mut subscribers = KINDS.map(|kind| Subscriber::new(&mut driver, kind));
    // All of them in one turn, and many times what may be queued.
    (0..BURST).for_each(|number| publish(&handle, number));
    driver.turn();
    for subscriber in &mut subscribers {
        subscriber.read();
        assert_eq!(subscriber.account(BURST), 0);
    }
    assert_eq!((dropped(&driver.counters()), driver.counters().delivered), (0, 3 * BURST as u64));
}

/// Finding B1.
#[test]
fn any_message_fits_into_an_empty_queue() {
    for slow in SlowConsumer::ALL {
        let handle = Handle::unattended(1);
        let mut driver = Driver::with_handle(app(&handle, slow), settings(), &handle);
        for kind in KINDS {
            let mut subscriber = Subscriber::new(&mut driver, kind);
            let longest = "x".repeat(settings().limits.message_bytes);
            for room in [0, 1, 1000] {
                subscriber.peer.limit_room(room);
                handle.publish("topic", Message::Text(&longest)).expect("there is room");
                driver.turn();
                driver.make_room(&subscriber.peer, usize::MAX);
                subscriber.read();
                assert_eq!(subscriber.received, [Received::Text(longest.clone())], "{slow} {kind:?} {room}");
                subscriber.received.clear();
            }
        }
        let counters = driver.counters();
        assert_eq!(counters.matched, counters.delivered, "{counters:?}");
    }
}

/// Finding B3. The client reads `step` bytes in a turn, in which `rate` messages are published.
#[test]
fn a_gap_is_told_where_it_is_and_only_there() {
    const PUBLISHED: usize = 400;
    let mut gaps = 0;
    for slow in [SlowConsumer::DropNewest, SlowConsumer::DropOldest] {
        for kind in KINDS {
            for (step, rate) in [(0, 1), (0, 7), (97, 1), (1000, 5), (3000, 40), (9000, 9), (100_000, 100)] {
                let handle = Handle::unattended(1);
                let mut driver = Driver::with_handle(app(&handle, slow), settings(), &handle);
                let mut subscriber = Subscriber::new(&mut driver, kind);
                subscriber.peer.limit_room(10);
                let mut number = 0;
                while number < PUBLISHED {
                    for _ in 0..rate.min(PUBLISHED - number) {
                        publish(&handle, number);
                        number += 1;
                    }
                    driver.turn();
                    driver.make_room(&subscriber.peer, step);
                }
                driver.make_room(&subscriber.peer, usize::MAX);
                subscriber.read();
                let missing = subscriber.account(PUBLISHED);
                let counters = driver.counters();
                assert_eq!(missing as u64, dropped(&counters), "{slow} {kind:?} {step} {rate}");
                assert_eq!(counters.matched, counters.delivered + dropped(&counters));
                gaps += usize::from(missing > 0);
            }
        }
    }
    assert!(gaps > 20, "only {gaps} of the cases lose something");
}

/// A message that was replaced by a newer one of its topic is not lost.
#[test]
fn what_conflation_replaces_is_no_gap() {
    for kind in KINDS {
        let handle = Handle::unattended(1);
        let mut driver = Driver::with_handle(app(&handle, SlowConsumer::Conflate), settings(), &handle);
        let mut subscriber = Subscriber::new(&mut driver, kind);
        subscriber.peer.limit_room(0);
        for number in 0..100 {
            publish(&handle, number);
            driver.turn();
        }
        // Topics that do not fit any more.
        let long = "y".repeat(OUTBOX_BYTES / 2);
        for topic in ["a", "b", "c"] {
            handle.publish(topic, Message::Text(&long)).expect("there is room");
        }
        driver.turn();
        driver.make_room(&subscriber.peer, usize::MAX);
        subscriber.read();
        let counters = driver.counters();
        assert_eq!((counters.conflated, counters.dropped_newest), (99, 2), "{kind:?}");
        let expected = [Received::Text(text(99)), Received::Text(long), Received::Gap(2)];
        assert_eq!(subscriber.received, expected, "{kind:?}");
    }
}

/// A WebSocket that is closed for being too slow gets 1013. A stream of events has no close code: it ends with a gap.
#[test]
fn a_stream_that_is_closed_for_being_too_slow_ends_with_a_gap() {
    for kind in KINDS {
        let handle = Handle::unattended(1);
        let mut driver = Driver::with_handle(app(&handle, SlowConsumer::Close), settings(), &handle);
        let mut subscriber = Subscriber::new(&mut driver, kind);
        subscriber.peer.limit_room(5000);
        let mut published = 0;
        while driver.counters().closed_slow == 0 {
            (published..published + 10).for_each(|number| publish(&handle, number));
            published += 10;
            driver.turn();
        }
        driver.make_room(&subscriber.peer, usize::MAX);
        subscriber.read();
        if kind == Kind::WebSocket {
            assert!(!matches!(subscriber.received.last(), Some(Received::Gap(_))));
        } else {
            assert_eq!(subscriber.account(published) as u64, driver.counters().dropped_slow);
        }
        // HTTP/1.1 allows the next request.
        assert!(subscriber.ended || kind == Kind::Events, "{kind:?}");
        let before = driver.counters().matched;
        publish(&handle, 0);
        driver.turn();
        assert_eq!(driver.counters().matched, before, "{kind:?} is still subscribed");
    }
}

/// Events are text.
#[test]
fn a_binary_message_is_no_event_and_no_loss() {
    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(app(&handle, SlowConsumer::DropNewest), settings(), &handle);
    let mut events = Subscriber::new(&mut driver, Kind::Events);
    handle.publish("topic", Message::Binary(b"bytes")).expect("there is room");
    handle.announce("name", Message::Binary(b"bytes")).expect("there is room");
    driver.turn();
    assert_eq!(driver.counters().matched, 0);
    let socket = Subscriber::new(&mut driver, Kind::WebSocket);
    handle.publish("topic", Message::Binary(b"bytes")).expect("there is room");
    publish(&handle, 0);
    driver.turn();
    let frames = socket.peer.frames();
    assert_eq!((frames.len(), frames[0].opcode, frames[1].opcode), (2, BINARY, TEXT));
    events.read();
    assert_eq!(events.account(1), 0);
    assert_eq!((driver.counters().matched, driver.counters().delivered), (3, 3));
}

#[test]
fn an_announcement_has_its_name_and_the_application_says_what_a_gap_says() {
    fn missing(publications: u64) -> String {
        assert_ne!(publications, 3, "planted");
        format!("{{\"missing\":{publications}}}")
    }
    let handle = Handle::unattended(1);
    let events = handle.clone();
    let app = App::new()
        .get("/events", move |_req| Ok(events.events_with("*", EventsOptions::new().gap(missing))?));
    let mut driver = Driver::with_handle(app, settings(), &handle);
    let (peer, _) = driver.get("/events", HTTP);
    handle.announce("two\r\nlines", Message::Text("one\r\ntwo\n")).expect("there is room");
    driver.turn();
    assert_eq!(peer.content(true), ":\n\nevent: two  lines\ndata: one\ndata: two\ndata: \n\n");
    for (lost, told) in [(2, "{\"missing\":2}"), (3, "3")] {
        peer.limit_room(0);
        let long = "x".repeat(OUTBOX_BYTES);
        for _ in 0..lost + 1 {
            handle.publish("topic", Message::Text(&long)).expect("there is room");
        }
        driver.turn();
        driver.make_room(&peer, usize::MAX);
        assert_eq!(peer.content(true), format!("data: {long}\n\nevent: gap\ndata: {told}\n\n"));
    }
    assert_eq!(driver.counters().panics, 1);
}

/// Finding B8.
#[test]
fn a_stream_beyond_the_limit_of_topics_is_a_503() {
    let handle = Handle::unattended(1);
    let mut settings = settings();
    settings.limits.topics = 1;
    let events = handle.clone();
    let app = App::new()
        .get("/events/{filter}", move |req| Ok(events.events(req.param("filter"))?))
        .layer(|req, next| next.call(req)?.header("x-layer", "1"));
    let mut driver = Driver::with_handle(app, settings, &handle);
    let (first, head) = driver.get("/events/a", HTTP);
    assert_eq!(head.status(), 200);
    let (refused, head) = driver.get("/events/b", HTTP);
    let field = |head: &Head, name: &str| {
        let mut fields = head.fields().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(head.status(), 503);
    let names = ["retry-after", "content-type", "x-accel-buffering", "cache-control", "x-layer"];
    let expected = [Some("1"), Some("text/plain; charset=utf-8"), None, None, Some("1")];
    assert_eq!(names.map(|name| field(&head, name)), expected.map(|value| value.map(str::to_string)));
    assert!(refused.content(false).contains("there may be 1 topics at most"));
    // The connection serves the next request, and a topic that has subscribers has room for more.
    driver.arrive(&refused, b"GET /events/a HTTP/1.1\r\nHost: test\r\n\r\n");
    handle.publish("a", Message::Text("x")).expect("there is room");
    driver.turn();
    assert!(refused.content(false).contains("data: x\n\n"));
    assert_eq!(first.content(true), ":\n\ndata: x\n\n");
    assert_eq!(driver.get("/events/a*b", HTTP).1.status(), 400);
}

#[test]
fn a_head_request_does_not_subscribe() {
    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(app(&handle, SlowConsumer::DropNewest), settings(), &handle);
    let head = driver.raw(b"HEAD /events HTTP/1.1\r\nHost: test\r\n\r\n").content(false);
    assert!(head.contains("\r\nContent-Type: text/event-stream\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(driver.engine.figures().topics, 0);
    Subscriber::new(&mut driver, Kind::Events);
    assert_eq!(driver.engine.figures().topics, 1);
}

/// What a session sends when it is told of a gap comes where the gap is, even behind its own backlog.
#[test]
fn the_note_of_a_gap_is_taken_under_backpressure() {
    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(app(&handle, SlowConsumer::DropNewest), settings(), &handle);
    let peer = driver.websocket("/ws");
    peer.limit_room(0);
    let long = "x".repeat(OUTBOX_BYTES);
    for _ in 0..3 {
        handle.publish("topic", Message::Text(&long)).expect("there is room");
    }
    driver.turn();
    // Its own messages are queued behind them, until it sees backpressure.
    let own = "o".repeat(OUTBOX_BYTES);
    driver.send(&peer, TEXT, &own);
    driver.make_room(&peer, usize::MAX);
    assert_eq!(peer.texts(), [long, own, "gap 2".to_string()]);
}

/// A session may close when it is told of a gap. Nothing follows the Close.
#[test]
fn a_session_may_close_for_a_gap() {
    struct Strict;

    impl WebSocket for Strict {
        type Session = ();

        fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
            subscribe(socket, "*")
        }

        fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}

        fn dropped(&self, _session: &mut (), publications: u64, socket: &mut Socket<'_>) {
            assert!(publications < 5, "planted");
            socket.close(CloseCode::NORMAL, "incomplete");
        }
    }

    for (lost, code) in [(4, 1000), (5, 1011)] {
        let options = SocketOptions::new().slow_consumer(SlowConsumer::DropOldest);
        let handle = Handle::unattended(1);
        let app = App::new().ws_with("/ws", options, Strict);
        let mut driver = Driver::with_handle(app, settings(), &handle);
        let peer = driver.websocket("/ws");
        peer.limit_room(0);
        let long = "x".repeat(OUTBOX_BYTES / 4);
        for _ in 0..lost + 3 {
            handle.publish("topic", Message::Text(&long)).expect("there is room");
        }
        driver.turn();
        driver.make_room(&peer, usize::MAX);
        let frames = peer.frames();
        let (close, before) = frames.split_last().expect("a Close");
        assert_eq!((close.opcode, close.close_code(), before.len()), (CLOSE, code, 3));
        let counters = driver.counters();
        assert_eq!((counters.dropped_oldest, counters.panics), (lost, u64::from(code == 1011)));
    }
}

/// The completion hook counts what a stream has sent, and not what was dropped.
#[test]
fn the_bytes_of_a_stream_are_those_that_have_left() {
    for (slow, room) in
        [(SlowConsumer::DropNewest, 700), (SlowConsumer::DropOldest, 3), (SlowConsumer::Close, 9)]
    {
        let handle = Handle::unattended(1);
        let completed = Rc::new(RefCell::new(Vec::new()));
        let hook = completed.clone();
        let app = app(&handle, slow).on_complete(move |completion: &Completion<'_>| {
            hook.borrow_mut().push((completion.status(), completion.bytes_out()));
        });
        let mut driver = Driver::with_handle(app, settings(), &handle);
        let (peer, head) = driver.get("/events", HTTP);
        peer.limit_room(room);
        for number in 0..200 {
            publish(&handle, number);
            driver.turn();
            driver.make_room(&peer, 50);
        }
        driver.make_room(&peer, 5000);
        driver.engine.abort(peer.id);
        let sent = (head.bytes().len() + peer.untaken_bytes()) as u64;
        assert_eq!(*completed.borrow(), [(Some(200), sent)], "{slow}");
    }
}

/// A response that a layer replaces subscribes nobody, and one that another thread makes does.
#[test]
fn only_a_stream_that_is_sent_is_subscribed() {
    let handle = Handle::unattended(1);
    let (dropping, deferring) = (handle.clone(), handle.clone());
    let app = App::new()
        .get("/dropped", move |_req| {
            drop(dropping.events("*")?);
            Ok(Response::text("no stream"))
        })
        .get("/deferred", move |_req| {
            let (response, responder) = Response::defer();
            responder.send(deferring.events("*")?).map_err(|_| Error::internal("gone"))?;
            Ok(response)
        });
    let mut driver = Driver::with_handle(app, settings(), &handle);
    assert_eq!(driver.get("/dropped", HTTP).0.content(false), "no stream");
    assert_eq!(driver.engine.figures().topics, 0);
    let (peer, head) = driver.get("/deferred", HTTP);
    publish(&handle, 0);
    driver.turn();
    assert_eq!(
        (head.status(), peer.content(true)),
        (200, format!(":\n\ndata: 0\ndata: {}\n\n", &text(0)[2..]))
    );
    // A shutdown completes it, once everything has left.
    peer.limit_room(0);
    publish(&handle, 1);
    driver.turn();
    handle.shutdown();
    driver.turn();
    driver.make_room(&peer, usize::MAX);
    let rest = peer.content(false);
    assert!(rest.ends_with("\n\n\r\n0\r\n\r\n") && rest.contains("data: 1\n"), "{rest}");
    assert!(peer.is_ended());
}

/// What layers change of a stream that has yet to begin holds for the head, the content and the connection.
#[test]
fn layers_may_change_a_stream_that_has_yet_to_begin() {
    let handle = Handle::unattended(1);
    let app = app(&handle, SlowConsumer::DropNewest).layer(|req, next| {
        let response = next.call(req)?.header("x-layer", "1")?;
        match req.query() {
            Some("none") => Ok(response.with_status(204)),
            Some("close") => Ok(response.close()),
            Some("other") => Ok(response.with_status(207)),
            _ => Ok(response),
        }
    });
    let mut driver = Driver::with_handle(app, settings(), &handle);
    let (peer, head) = driver.get("/events?none", HTTP);
    assert_eq!((head.status(), driver.engine.figures().topics), (204, 0));
    // The connection is free for the next request.
    driver.arrive(
        &peer,
        b"GET /events?other HTTP/1.1\r\nHost: test\r\n\r\nGET /events?close HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    let head = String::from_utf8(peer.written()).expect("text");
    assert!(head.starts_with("HTTP/1.1 207 ") && head.contains("x-layer: 1\r\n"), "{head}");
    assert_eq!((head.matches("HTTP/1.1").count(), driver.engine.figures().topics), (1, 1));
    let (closing, head) = driver.get("/events?close", HTTP);
    assert!(head.fields().any(|(name, value)| name == "Connection" && value == b"close"));
    publish(&handle, 0);
    driver.turn();
    for peer in [&peer, &closing] {
        assert!(peer.content(true).ends_with(&format!("data: 0\ndata: {}\n\n", &text(0)[2..])));
    }
    // The request behind the stream is answered once the stream has ended, and by then the server is shutting down.
    handle.shutdown();
    driver.turn();
    let rest = String::from_utf8(peer.written()).expect("text");
    assert!(rest.starts_with("0\r\n\r\nHTTP/1.1 200 ") && rest.contains("Connection: close\r\n"), "{rest}");
    assert_eq!(closing.written(), b"0\r\n\r\n");
    assert!(peer.is_shut() && closing.is_shut());
}

/// A client of HTTP/1.0 learns the end of a stream from the end of the connection, whatever it has asked for.
#[test]
fn a_stream_without_chunks_ends_with_its_connection() {
    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(app(&handle, SlowConsumer::DropNewest), settings(), &handle);
    let peer = driver.raw(b"GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let head = String::from_utf8(peer.written()).expect("text");
    assert!(head.contains("Connection: close\r\n") && head.ends_with("\r\n\r\n:\n\n"), "{head}");
    assert!(!head.contains("Transfer-Encoding") && !head.contains("Content-Length"), "{head}");
    peer.limit_room(0);
    let long = "x".repeat(OUTBOX_BYTES);
    for _ in 0..2 {
        handle.publish("topic", Message::Text(&long)).expect("there is room");
    }
    driver.turn();
    handle.shutdown();
    driver.turn();
    assert!(!peer.is_shut());
    driver.make_room(&peer, usize::MAX);
    assert_eq!(peer.content(false), format!("data: {long}\n\nevent: gap\ndata: 1\n\n"));
    assert!(peer.is_shut());
    for version in ["1.0", "1.1"] {
        let peer = driver.raw(format!("HEAD /events HTTP/{version}\r\nHost: test\r\n\r\n").as_bytes());
        assert!(peer.written().ends_with(b"\r\n\r\n"));
    }
    assert_eq!(driver.engine.figures().topics, 0);
}

/// A session that takes its subscription back, and makes it again, between deliveries that are put off.
#[test]
fn a_subscription_that_is_made_again_gets_each_publication_once() {
    struct Fickle;

    impl WebSocket for Fickle {
        type Session = ();

        fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
            subscribe(socket, "a")
        }

        fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
            match message {
                Message::Text("leave") => assert!(socket.unsubscribe("a")),
                Message::Text(_) => subscribe(socket, "a").expect("there is room"),
                Message::Binary(_) => socket.close(CloseCode::NORMAL, ""),
            }
        }
    }

    let handle = Handle::unattended(1);
    let mut settings = settings();
    settings.bounds.deliveries = 2;
    let mut driver = Driver::with_handle(App::new().ws("/ws", Fickle), settings, &handle);
    let peers: Vec<_> = (0..10).map(|_| driver.websocket("/ws")).collect();
    let last = &peers[9];
    // One step a turn, each while earlier deliveries are put off.
    let steps = ["leave", "again", "leave", "again"];
    for (number, step) in steps.into_iter().enumerate() {
        handle.publish("a", Message::Text(&number.to_string())).expect("there is room");
        last.deliver(&frame(true, TEXT, step.as_bytes()));
        driver.engine.begin(driver.now);
        driver.engine.ready(last.id, Readiness { readable: true, ..Readiness::default() });
        driver.engine.run();
    }
    // One closes while it is due something, and another takes its place in the tables.
    let closed = &peers[8];
    closed.deliver(&frame(true, BINARY, b""));
    driver.engine.begin(driver.now);
    driver.engine.ready(closed.id, Readiness { readable: true, ..Readiness::default() });
    driver.engine.run();
    let late = driver.websocket("/ws");
    handle.publish("a", Message::Text("4")).expect("there is room");
    driver.turn();
    assert_eq!(peers[0].texts(), ["0", "1", "2", "3", "4"]);
    assert_eq!(
        (last.texts(), late.texts()),
        (["0", "2", "4"].map(String::from).to_vec(), vec!["4".to_string()])
    );
    let counters = driver.counters();
    assert_eq!(counters.matched, counters.delivered + counters.dropped_closing);
}

// ---------------------------------------------------------------- a mailbox that is full

/// Subscribes to the filter in the query, and tells its client what it has lost.
struct Filtered;

impl WebSocket for Filtered {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, req.query().unwrap_or_default())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}

    fn dropped(&self, _session: &mut (), publications: u64, socket: &mut Socket<'_>) {
        socket.text(&format!("gap {publications}"));
    }
}

/// A worker whose turns do very little, the handle that reaches it, and messages with which its mailbox is full but for
/// short ones.
fn full_mailbox() -> (Driver, Handle, impl FnOnce() -> String) {
    let handle = Handle::unattended(1);
    let events = handle.clone();
    let app = App::new()
        .ws("/ws", Filtered)
        .get("/events", move |req| Ok(events.events(req.query().unwrap_or_default())?));
    let bounds = Bounds { connections: 1, deliveries: 1, ..Bounds::default() };
    let driver = Driver::with_handle(app, Settings { bounds, ..Settings::default() }, &handle);
    let filled = handle.clone();
    let fill = move || {
        let long = "x".repeat(1 << 20);
        let publish = || filled.publish("fill", Message::Text(&long));
        assert!((0..1000).any(|_| publish() == Err(PublishError::Full)), "the mailbox has no bound");
        long
    };
    (driver, handle, fill)
}

#[test]
fn what_a_full_mailbox_refuses_is_told_to_the_subscribers_of_its_topic_at_its_place() {
    let (mut driver, handle, fill) = full_mailbox();
    let sockets = ["p.a", "p.*", "p.b", "p.a"].map(|filter| driver.websocket(&format!("/ws?{filter}")));
    let (events, _) = driver.get("/events?p.a", HTTP_10);
    let _listener = handle.subscribe("p.a", |_: &str, _: Message<'_>| true).expect("there is room");
    sockets[3].limit_room(0);
    handle.publish("p.a", Message::Text("first")).expect("there is room");
    let long = fill();
    for (topic, message) in [
        ("p.a", Message::Text(&long)),
        ("p.a", Message::Binary(long.as_bytes())),
        ("p.c", Message::Text(&long)),
        ("p.a", Message::Text(&long)),
    ] {
        assert_eq!(handle.publish(topic, message), Err(PublishError::Full));
    }
    handle.publish("p.a", Message::Text("last")).expect("there is room for a short one");
    driver.turn();
    driver.make_room(&sockets[3], usize::MAX);
    assert_eq!(sockets[0].texts(), ["first", "gap 3", "last"]);
    assert_eq!(sockets[1].texts(), ["first", "gap 4", "last"]);
    assert!(sockets[2].frames().is_empty());
    assert_eq!(sockets[3].texts(), ["first", "gap 3", "last"]);
    assert_eq!(events.content(false), ":\n\ndata: first\n\nevent: gap\ndata: 2\n\ndata: last\n\n");
    let counters = driver.counters();
    // The listener cannot be told of its three.
    assert_eq!((counters.dropped_newest, counters.delivered), (3 + 4 + 3 + 2 + 3, 10));
    assert_eq!(counters.matched, counters.delivered + counters.dropped_newest);
}

#[test]
fn losses_of_many_topics_concern_all_subscribers() {
    let (mut driver, handle, fill) = full_mailbox();
    let [first, other] = ["t.0", "other"].map(|filter| driver.websocket(&format!("/ws?{filter}")));
    let long = fill();
    // The losses of 64 topics are told apart, and one has been lost as the mailbox was filled.
    for topic in 0..70 {
        let refused = handle.publish(&format!("t.{topic}"), Message::Text(&long));
        assert_eq!(refused, Err(PublishError::Full));
    }
    driver.turn();
    assert_eq!((first.texts(), other.texts()), (vec!["gap 8".to_string()], vec!["gap 7".to_string()]));
    // Once.
    driver.turn();
    assert!(first.frames().is_empty() && other.frames().is_empty());
}
