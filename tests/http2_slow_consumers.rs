//! A stream that is slow gets what a slow connection of HTTP/1.1 gets, byte for byte; and a connection that is slow gets what
//! the policy of each of its streams says.

use crate::driver::{Driver, Peer};
use crate::http2_peer::{Http2Peer, websocket_head, whole_frames};
use fleeting::engine::{Counters, Settings};
use fleeting::{App, EventsOptions, Handle, Message, Response, SlowConsumer, SocketOptions};
use fleeting_testkit::client::{CLOSE, TEXT};
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::frames::setting;
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::server::GapReporter;
use std::fmt::Debug;

const OUTBOX_BYTES: usize = 16 << 10;
const TOPICS: usize = 4;
const WINDOW: u32 = 1 << 30;
/// Bytes that the connection takes from its streams beyond what its own stream has taken, and a few heads of frames.
const AHEAD_BYTES: usize = (64 << 10) + 1000;
/// What a stream of events begins with.
const BEGINNING: &[u8] = b":\n\n";

/// Returns an application with `/events` and `/ws` for each policy, by its number.
fn driver() -> (Driver, Handle) {
    let handle = Handle::unattended(1);
    let mut app = App::new().get("/", |_req| Ok(Response::text("hello")));
    for (at, slow) in SlowConsumer::ALL.into_iter().enumerate() {
        let (events, options) = (handle.clone(), EventsOptions::new().slow_consumer(slow));
        app = app.get(&format!("/events/{at}"), move |_req| Ok(events.events_with("*", options)?)).ws_with(
            &format!("/ws/{at}"),
            SocketOptions::new().slow_consumer(slow),
            GapReporter,
        );
    }
    let mut settings = Settings { pushed_unsent_bytes: Some(UNSENT_BYTES), ..Settings::default() };
    settings.limits.outbox_bytes = OUTBOX_BYTES;
    (Driver::with_handle(app, settings, &handle), handle)
}

const UNSENT_BYTES: u32 = 16 << 10;

/// Returns publication `number`, whose length varies.
fn text(number: usize) -> String {
    format!("{number}\n{}", ".".repeat(number * 37 % 900))
}

fn publish(handle: &Handle, number: usize) {
    let topic = format!("topic{}", number % TOPICS);
    handle.publish(&topic, Message::Text(&text(number))).expect("there is room");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Events,
    WebSocket,
}

const KINDS: [Kind; 2] = [Kind::Events, Kind::WebSocket];

impl Kind {
    fn path(self, policy: usize) -> String {
        match self {
            Kind::Events => format!("/events/{policy}"),
            Kind::WebSocket => format!("/ws/{policy}"),
        }
    }
}

/// Opens a stream. Takes what it begins with.
fn open(client: &mut Http2Peer, driver: &mut Driver, kind: Kind, policy: usize) -> u32 {
    let path = kind.path(policy);
    let (head, beginning) = match kind {
        Kind::Events => (head("GET", &path), BEGINNING),
        Kind::WebSocket => (websocket_head(&path), &b""[..]),
    };
    let stream = client.start(driver, &head, kind == Kind::Events);
    assert_eq!(client.got(stream).status, 200, "{path}");
    assert_eq!(client.take_content(stream), beginning, "{path}");
    stream
}

/// A subscriber with room for a number of bytes, over one of the versions.
trait Slow {
    fn room(&mut self, driver: &mut Driver, bytes: usize);
    fn read(&mut self, driver: &mut Driver) -> Vec<u8>;
    fn has_ended(&self) -> bool;
}

struct OverHttp1(Peer);

impl OverHttp1 {
    fn new(driver: &mut Driver, kind: Kind, policy: usize, room: usize) -> OverHttp1 {
        let peer = match kind {
            Kind::WebSocket => driver.websocket(&kind.path(policy)),
            // Without chunks.
            Kind::Events => {
                let (peer, _) = driver.get(&kind.path(policy), "HTTP/1.0");
                assert_eq!(peer.written(), BEGINNING);
                peer
            }
        };
        peer.limit_room(room);
        OverHttp1(peer)
    }
}

impl Slow for OverHttp1 {
    fn room(&mut self, driver: &mut Driver, bytes: usize) {
        driver.make_room(&self.0, bytes);
    }

    fn read(&mut self, _driver: &mut Driver) -> Vec<u8> {
        self.0.written()
    }

    fn has_ended(&self) -> bool {
        self.0.is_shut()
    }
}

struct OverHttp2(Http2Peer, u32);

impl OverHttp2 {
    fn new(driver: &mut Driver, kind: Kind, policy: usize, room: usize) -> OverHttp2 {
        let beginning = if kind == Kind::Events { BEGINNING.len() } else { 0 };
        let window = u32::try_from(room + beginning).expect("a small window");
        let mut client = Http2Peer::connect(driver, &[(setting::INITIAL_WINDOW_SIZE, window)]);
        client.session.windows = Windows::OfConnection;
        let stream = open(&mut client, driver, kind, policy);
        OverHttp2(client, stream)
    }
}

impl Slow for OverHttp2 {
    fn room(&mut self, driver: &mut Driver, bytes: usize) {
        self.0.grant(driver, self.1, u32::try_from(bytes).expect("a window"));
    }

    fn read(&mut self, driver: &mut Driver) -> Vec<u8> {
        self.0.exchange(driver);
        self.0.take_content(self.1)
    }

    fn has_ended(&self) -> bool {
        self.0.got(self.1).ended
    }
}

/// Runs a script with a subscriber that is slow in different ways. Returns all it has received at each step.
fn run<S: Slow>(make: impl FnOnce(&mut Driver, usize) -> S, room: usize) -> (Vec<(Vec<u8>, bool)>, Counters) {
    let (mut driver, handle) = driver();
    let mut subscriber = make(&mut driver, room);
    let mut steps = Vec::new();
    let (mut next, mut burst) = (0, 1);
    for round in 0..120 {
        for _ in 0..burst {
            publish(&handle, next);
            next += 1;
        }
        burst = burst % 7 + 1;
        driver.turn();
        steps.push((subscriber.read(&mut driver), subscriber.has_ended()));
        // The client takes nothing for a while, or part of a message, or nearly everything.
        let bytes = [0, 0, 0, 1, 7, 300, 0, 5000, 0, 0, 0, 0, 90, 4000][round % 14];
        if bytes > 0 {
            subscriber.room(&mut driver, bytes);
            steps.push((subscriber.read(&mut driver), subscriber.has_ended()));
        }
    }
    subscriber.room(&mut driver, WINDOW as usize);
    steps.push((subscriber.read(&mut driver), subscriber.has_ended()));
    (steps, driver.counters())
}

#[test]
fn a_slow_stream_is_sent_what_a_slow_connection_is_sent() {
    /// Returns what the counters say about publications.
    fn fates(counters: &Counters) -> [u64; 9] {
        let Counters { matched, delivered, dropped_newest, dropped_oldest, conflated, .. } = counters;
        let Counters { dropped_slow, dropped_closing, closed_slow, dropped, .. } = counters;
        [matched, delivered, dropped_newest, dropped_oldest, conflated, dropped_slow, dropped_closing]
            .into_iter()
            .chain([closed_slow, dropped])
            .copied()
            .collect::<Vec<_>>()
            .try_into()
            .expect("nine")
    }

    for (policy, slow) in SlowConsumer::ALL.into_iter().enumerate() {
        for kind in KINDS {
            for room in [0, 1, 5, 100, 1000, 10_000] {
                let http1 = run(|driver, room| OverHttp1::new(driver, kind, policy, room), room);
                let http2 = run(|driver, room| OverHttp2::new(driver, kind, policy, room), room);
                for (step, (one, two)) in http1.0.iter().zip(&http2.0).enumerate() {
                    assert_eq!(
                        (one.0.escape_ascii().to_string(), one.1),
                        (two.0.escape_ascii().to_string(), two.1),
                        "{slow} {kind:?} {room} step {step}"
                    );
                }
                assert_eq!(fates(&http1.1), fates(&http2.1), "{slow} {kind:?} {room}");
                let counters = http2.1;
                let lost = counters.dropped_newest + counters.dropped_oldest;
                assert!(lost + counters.conflated + counters.dropped_slow > 0, "{slow}: nothing was lost");
            }
        }
    }
}

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Received {
    Number(usize),
    Gap(usize),
    Close(u16),
}

/// Reads whole events, or whole frames.
#[track_caller]
fn received(kind: Kind, content: &[u8]) -> Vec<Received> {
    let number = |all: &str| {
        let number = all.split('\n').next().and_then(|number| number.parse().ok()).expect("a number first");
        assert_eq!(all, text(number), "a byte differs");
        Received::Number(number)
    };
    let gap = |lost: &str| Received::Gap(lost.parse().expect("a number"));
    if kind == Kind::WebSocket {
        let frame = |frame: fleeting_testkit::client::Frame| match frame.opcode {
            CLOSE => Received::Close(frame.close_code()),
            opcode => {
                assert_eq!(opcode, TEXT);
                frame.text().strip_prefix("gap ").map_or_else(|| number(frame.text()), gap)
            }
        };
        return whole_frames(content).into_iter().map(frame).collect();
    }
    let content = std::str::from_utf8(content).expect("text");
    assert!(content.is_empty() || content.ends_with("\n\n"), "an event is not complete: {content}");
    let event = |event: &str| match event.strip_prefix("event: gap\ndata: ") {
        Some(lost) => gap(lost),
        None => number(&event.strip_prefix("data: ").expect("data").replace("\ndata: ", "\n")),
    };
    content.split_terminator("\n\n").map(event).collect()
}

/// Checks that each of the publications `0..published` has arrived, or that a gap in its place says that it is missing.
#[track_caller]
fn account(received: &[Received], published: usize, what: &str) {
    let mut next = 0;
    for one in received {
        match one {
            Received::Gap(lost) => next += lost,
            one => {
                assert_eq!(*one, Received::Number(next), "{what}");
                next += 1;
            }
        }
    }
    assert_eq!(next, published, "{what}: a loss was not reported");
}

/// One connection takes nothing for a while. Each of its streams gets what its own policy says, and no frame is cut.
#[test]
fn streams_of_a_slow_connection_keep_their_own_policies() {
    const PUBLICATIONS: usize = 600;
    for steps in [usize::MAX, 40_000, 777] {
        let (mut driver, handle) = driver();
        let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
        client.grant(&mut driver, 0, WINDOW);
        let mut streams = Vec::new();
        for (policy, slow) in SlowConsumer::ALL.into_iter().enumerate() {
            for kind in KINDS {
                streams.push((slow, kind, open(&mut client, &mut driver, kind, policy)));
            }
        }
        client.session.windows = Windows::Closed;
        client.peer.limit_room(500);
        for number in 0..PUBLICATIONS {
            publish(&handle, number);
            if number % 5 == 0 {
                driver.turn();
            }
        }
        driver.turn();
        while client.peer.is_full() {
            driver.make_room(&client.peer, steps);
            client.read();
        }
        client.exchange(&mut driver);
        for (slow, kind, stream) in streams {
            let what = format!("{slow} {kind:?} {steps}");
            let got = client.got(stream);
            let received = received(kind, &got.body);
            let last = |topic: usize| {
                received.iter().rposition(|one| matches!(one, Received::Number(at) if at % TOPICS == topic))
            };
            match slow {
                SlowConsumer::DropNewest | SlowConsumer::DropOldest => {
                    account(&received, PUBLICATIONS, &what);
                    let is_last = received.last() == Some(&Received::Number(PUBLICATIONS - 1));
                    assert_eq!(is_last, slow == SlowConsumer::DropOldest, "{what}: {received:?}");
                }
                SlowConsumer::Conflate => {
                    for newest in PUBLICATIONS - TOPICS..PUBLICATIONS {
                        let at = last(newest % TOPICS).expect("it is there");
                        assert_eq!(received[at], Received::Number(newest), "{what}");
                    }
                    assert!(received.len() < PUBLICATIONS / 2, "{what}: {}", received.len());
                }
                _ if kind == Kind::WebSocket => {
                    assert_eq!(received.last(), Some(&Received::Close(1013)), "{what}");
                }
                _ => assert!(got.ended || got.reset.is_some(), "{what}: the stream goes on"),
            }
        }
        let counters = driver.counters();
        let lost = counters.dropped_newest + counters.dropped_oldest + counters.conflated;
        let fates = counters.delivered + lost + counters.dropped_slow + counters.dropped_closing;
        assert_eq!((counters.matched, counters.closed_slow), (fates, 2), "{counters:?}");
        let stream = client.start(&mut driver, &head("GET", "/"), true);
        assert_eq!(client.got(stream).text(), "hello");
    }
}

/// When the client does not read, only content already queued on the connection is older than the newest publications.
#[test]
fn a_slow_connection_holds_little_that_is_stale() {
    for policy in 0..SlowConsumer::ALL.len() {
        let slow = SlowConsumer::ALL[policy];
        for kind in KINDS {
            let (mut driver, handle) = driver();
            let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
            client.grant(&mut driver, 0, WINDOW);
            let stream = open(&mut client, &mut driver, kind, policy);
            // Without a bound the kernel would accept megabytes, and nothing there can be replaced.
            let expected = (slow == SlowConsumer::Conflate).then_some(UNSENT_BYTES);
            assert_eq!(client.peer.unsent_limit(), expected, "{slow} {kind:?}");
            if slow != SlowConsumer::Conflate {
                continue;
            }
            client.session.windows = Windows::Closed;
            client.peer.limit_room(0);
            (0..1000).for_each(|number| publish(&handle, number));
            driver.turn();
            (1000..2000).for_each(|number| publish(&handle, number));
            driver.turn();
            driver.make_room(&client.peer, usize::MAX);
            client.read();
            let content = client.take_content(stream);
            let received = received(kind, &content);
            let newest = (2000 - TOPICS..2000).map(Received::Number).collect::<Vec<_>>();
            assert_eq!(received[received.len() - TOPICS..], newest, "{kind:?}");
            let longest = wire_bytes(kind);
            assert!(content.len() <= AHEAD_BYTES + (TOPICS + 1) * longest, "{kind:?}: {}", content.len());
            // The bound stays after the stream has ended, because other streams may need it.
            client.session.reset(stream, 8);
            client.exchange(&mut driver);
            assert_eq!(client.peer.unsent_limit(), expected, "{kind:?}");
        }
    }
}

/// The maximum length of a publication, framed.
fn wire_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Events => 920,
        Kind::WebSocket => 910,
    }
}
