//! A turn of the loop does a bounded amount of everything; what it puts off follows in the next turns, and nothing is lost or
//! reordered by that. A subscriber costs one write, however its topics alternate.

use crate::driver::{Driver, Peer};
use fleeting::engine::{Bound, Bounds, Readiness, Settings};
use fleeting::{
    App, Error, EventsOptions, Handle, Message, Progress, Request, Response, Room, Server, SlowConsumer,
    Socket, Source, WebSocket,
};
use fleeting_testkit::client::{CLOSE, TEXT, frame};
use fleeting_testkit::server::subscribe;
use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

/// Its clients subscribe to the topics in the query, and publish what they send: `topic:text`.
struct Hub;

impl WebSocket for Hub {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        req.query()
            .unwrap_or_default()
            .split(',')
            .filter(|topic| !topic.is_empty())
            .try_for_each(|topic| subscribe(socket, topic))
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let Message::Text(text) = message else { panic!("text is published") };
        let (topic, _) = text.split_once(':').expect("a topic");
        socket.publish(topic, message).expect("it is valid");
    }
}

fn hub() -> (Driver, Handle) {
    let handle = Handle::unattended(1);
    let app = App::new().ws("/hub", Hub).get("/", |_req| Ok(Response::text("hello")));
    (Driver::with_handle(app, Settings::default(), &handle), handle)
}

/// Takes turns until nothing is left to do. Calls `after` after each.
fn turns(driver: &mut Driver, mut after: impl FnMut(&mut Driver)) {
    loop {
        driver.engine.run();
        after(driver);
        if driver.engine.next_ms() != Some(0) {
            return;
        }
        driver.engine.begin(driver.now);
    }
}

/// Returns the number of turns that have reached a bound.
fn bounded(driver: &Driver, bound: Bound) -> u64 {
    let counters = driver.counters();
    counters.bounded_turns().find(|(label, _)| *label == bound.label()).expect("every bound is counted").1
}

/// Returns the frames in which a client publishes these texts.
fn publications<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<u8> {
    texts.into_iter().flat_map(|text| frame(true, TEXT, text.as_bytes())).collect()
}

/// Finding B5.
#[test]
fn a_subscriber_costs_one_write_however_its_topics_alternate() {
    let (mut driver, _handle) = hub();
    let subscribers = ["a", "b", "a,b", "a", "c"].map(|topics| driver.websocket(&format!("/hub?{topics}")));
    let publisher = driver.websocket("/hub");
    let texts: Vec<String> =
        (0..900).map(|number| format!("{}:{number}", ["a", "b", "c"][number % 3])).collect();
    let before: Vec<u64> = subscribers.iter().map(Peer::calls).collect();
    driver.arrive(&publisher, &publications(&texts));
    for ((peer, topics), before) in subscribers.iter().zip(["a", "b", "ab", "a", "c"]).zip(before) {
        let expected: Vec<_> = texts.iter().filter(|text| topics.contains(&text[..1])).cloned().collect();
        assert_eq!(peer.texts(), expected, "{topics}");
        assert_eq!(peer.calls() - before, 1, "{topics}");
    }
}

#[test]
fn deliveries_are_bounded_and_a_request_does_not_wait_for_their_end() {
    let (mut driver, handle) = hub();
    let subscribers: Vec<_> = (0..5000).map(|_| driver.websocket("/hub?a")).collect();
    handle.publish("a", Message::Text("a:1")).expect("there is room");
    let Peer { id: canary, pipe } = driver.connect();
    pipe.borrow_mut().deliver(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    driver.engine.begin(driver.now);
    // In the first turn, though its event comes with those of the publications.
    driver.engine.ready(canary, Readiness { readable: true, ..Readiness::default() });
    let (mut before, mut count) = (0, 0);
    turns(&mut driver, |driver| {
        assert!(pipe.borrow().written.ends_with(b"hello"));
        let delivered = driver.counters().delivered;
        assert!(delivered - before <= Bound::Deliveries.a_turn() as u64, "{before} {delivered}");
        (before, count) = (delivered, count + 1);
    });
    assert_eq!((before, count), (5000, 5));
    assert_eq!(bounded(&driver, Bound::Deliveries), 4);
    assert!(subscribers.iter().all(|peer| peer.texts() == ["a:1"]));
}

#[test]
fn a_turn_that_delivers_everything_puts_nothing_off() {
    let (mut driver, handle) = hub();
    let subscribers: Vec<_> = (0..Bound::Deliveries.a_turn()).map(|_| driver.websocket("/hub?a")).collect();
    handle.publish("a", Message::Text("a:1")).expect("there is room");
    driver.engine.begin(driver.now);
    driver.engine.run();
    assert!(subscribers.iter().all(|peer| peer.texts() == ["a:1"]));
    assert_eq!(bounded(&driver, Bound::Deliveries), 0);
    assert_ne!(driver.engine.next_ms(), Some(0));
}

/// A subscriber that is closed gets a turn of its own, in the middle of a delivery.
#[test]
fn subscribers_that_are_too_slow_do_not_lift_the_bound() {
    const DELIVERIES: usize = 4;
    let handle = Handle::unattended(1);
    let (events, options) = (handle.clone(), EventsOptions::new().slow_consumer(SlowConsumer::Close));
    let app = App::new().get("/events", move |_req| Ok(events.events_with("a", options)?));
    let bounds = Bounds { deliveries: DELIVERIES, batch: 1, ..Bounds::default() };
    let mut settings = Settings { bounds, ..Settings::default() };
    settings.limits.outbox_bytes = 1000;
    let mut driver = Driver::with_handle(app, settings, &handle);
    let subscribers: Vec<_> = (0..10 * DELIVERIES).map(|_| driver.get("/events", "HTTP/1.1").0).collect();
    subscribers.iter().for_each(|peer| peer.limit_room(0));
    // The first is queued whatever its size, and there is no room for the second.
    for _ in 0..2 {
        handle.publish("a", Message::Text(&"x".repeat(1000))).expect("there is room");
    }
    driver.engine.begin(driver.now);
    let mut before = 0;
    turns(&mut driver, |driver| {
        let closed = driver.counters().closed_slow;
        assert!(closed - before <= DELIVERIES as u64, "{before} {closed}");
        before = closed;
    });
    assert_eq!(before, subscribers.len() as u64);
    for peer in &subscribers {
        driver.make_room(peer, usize::MAX);
        assert_eq!(peer.content(true), ":\n\nevent: gap\ndata: 2\n\n");
    }
}

/// Publishes that its client has taken everything.
struct Drains;

impl WebSocket for Drains {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }

    fn drain(&self, _session: &mut (), socket: &mut Socket<'_>) {
        socket.publish("a", Message::Text("a:drained")).expect("it is valid");
    }
}

#[test]
fn a_session_that_waits_for_room_publishes_nothing_into_a_full_batch() {
    const SUBSCRIBERS: u64 = 20;
    const DRAINED: usize = 10;
    let handle = Handle::unattended(1);
    let bounds = Bounds { deliveries: 4, batch: 1, ..Bounds::default() };
    let mut settings = Settings { bounds, ..Settings::default() };
    settings.limits.outbox_bytes = 10;
    let app = App::new().ws("/hub", Hub).ws("/drains", Drains);
    let mut driver = Driver::with_handle(app, settings, &handle);
    let subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| driver.websocket("/hub?a")).collect();
    let clients: Vec<_> = (0..DRAINED).map(|_| driver.websocket("/drains")).collect();
    driver.engine.begin(driver.now);
    for client in &clients {
        client.deliver(&frame(true, TEXT, &[b'x'; 100]));
        driver.engine.ready(client.id, Readiness { readable: true, ..Readiness::default() });
    }
    turns(&mut driver, |driver| {
        let counters = driver.counters();
        assert!(counters.matched - counters.delivered <= SUBSCRIBERS, "{counters:?}");
    });
    assert!(subscribers.iter().all(|peer| peer.texts() == ["a:drained"; DRAINED]));
}

#[test]
fn what_is_published_before_a_shutdown_is_sent_before_a_connection_closes() {
    let handle = Handle::unattended(1);
    let events = handle.clone();
    let app = App::new().ws("/hub", Hub).get("/events", move |_req| Ok(events.events("a")?));
    let mut driver = Driver::with_handle(app, Settings::default(), &handle);
    let sockets: Vec<_> = (0..1000).map(|_| driver.websocket("/hub?a")).collect();
    let streams: Vec<_> = (0..1000).map(|_| driver.get("/events", "HTTP/1.1").0).collect();
    let publish = |text| handle.publish("a", Message::Text(text)).expect("there is room");
    publish("a:1");
    driver.engine.begin(driver.now);
    driver.engine.run();
    assert_eq!(bounded(&driver, Bound::Deliveries), 1);
    // In the turn that begins the shutdown.
    publish("a:2");
    handle.shutdown();
    driver.turn();
    for peer in &sockets {
        let frames = peer.frames();
        assert_eq!((frames.len(), frames[0].text(), frames[1].text()), (3, "a:1", "a:2"));
        assert_eq!((frames[2].opcode, frames[2].close_code()), (CLOSE, 1001));
    }
    for peer in &streams {
        assert_eq!(peer.content(true), ":\n\ndata: a:1\n\ndata: a:2\n\n");
        assert!(peer.is_gone() && peer.untaken_bytes() == 0);
    }
    let counters = driver.counters();
    assert_eq!((counters.delivered, counters.dropped_closing), (4000, 0));
}

#[test]
fn a_shutdown_is_not_over_while_a_listener_is_due_something() {
    let handle = Handle::unattended(1);
    let mut settings = Settings::default();
    settings.bounds.deliveries = 1;
    let mut driver = Driver::with_handle(App::new(), settings, &handle);
    let (sender, heard) = std::sync::mpsc::channel();
    let listeners: Vec<_> = (0..3)
        .map(|number| {
            let sender = sender.clone();
            handle
                .subscribe("a", move |_: &str, _: Message<'_>| sender.send(number).is_ok())
                .expect("there is room")
        })
        .collect();
    driver.turn();
    driver.engine.shutdown();
    handle.publish("a", Message::Text("last")).expect("there is room");
    driver.engine.begin(driver.now);
    let mut turns = 0;
    loop {
        driver.engine.run();
        turns += 1;
        if driver.engine.is_over() {
            break;
        }
        driver.engine.begin(driver.now);
    }
    assert_eq!((turns, heard.try_iter().count(), listeners.len()), (3, 3, 3));
}

#[test]
fn what_is_published_meanwhile_comes_after_it_and_publishers_wait_for_a_full_batch() {
    let (mut driver, handle) = hub();
    let subscribers: Vec<_> =
        (0..300).map(|number| driver.websocket(["/hub?a", "/hub?a,b"][number % 2])).collect();
    let publisher = driver.websocket("/hub");
    let own: Vec<String> =
        (0..3000).map(|number| format!("{}:own {number:60}", ["a", "b"][number % 2])).collect();
    let others: Vec<String> =
        (0..1000).map(|number| format!("{}:other {number:60}", ["a", "b"][number % 2])).collect();
    for text in &others {
        handle.publish(&text[..1], Message::Text(text)).expect("there is room");
    }
    publisher.deliver(&publications(&own));
    driver.engine.begin(driver.now);
    driver.engine.ready(publisher.id, Readiness { readable: true, ..Readiness::default() });
    turns(&mut driver, |driver| {
        let counters = driver.counters();
        // A batch takes no more once it has matched this often.
        let due = counters.matched - counters.delivered;
        assert!(due < (256 << 10) + 300, "{due}");
    });
    assert_eq!(driver.counters().published, 4000);
    assert!(bounded(&driver, Bound::Batches) > 0 && bounded(&driver, Bound::Deliveries) > 0);
    for (number, peer) in subscribers.iter().enumerate() {
        let texts = peer.texts();
        let due = |text: &&String| number % 2 == 1 || text.starts_with('a');
        for (published, word) in [(&own, "own"), (&others, "other")] {
            let arrived = texts.iter().filter(|text| text.contains(word));
            assert!(arrived.eq(published.iter().filter(due)), "{number} {word}");
        }
    }
}

#[test]
fn commands_are_bounded_and_stay_in_order() {
    let (mut driver, handle) = hub();
    let subscriber = driver.websocket("/hub?a");
    let texts: Vec<String> = (0..5000).map(|number| format!("a:{number}")).collect();
    for text in &texts {
        handle.publish("a", Message::Text(text)).expect("there is room");
    }
    driver.engine.begin(driver.now);
    let mut before = 0;
    turns(&mut driver, |driver| {
        let published = driver.counters().published;
        assert!(published - before <= Bound::Commands.a_turn() as u64, "{before} {published}");
        before = published;
        // What comes later waits its turn.
        if published == 1024 {
            handle.publish("a", Message::Text("a:last")).expect("there is room");
        }
    });
    assert_eq!((before, bounded(&driver, Bound::Commands)), (5001, 4));
    assert!(subscriber.texts().iter().eq(texts.iter().chain([&"a:last".to_string()])));
}

#[test]
fn accepts_are_bounded_over_all_listening_sockets() {
    let builder = Server::builder().bind("127.0.0.1:0").bind("127.0.0.1:0");
    let mut worker = builder.worker(|_| App::new()).expect("it starts");
    let addrs = worker.local_addrs();
    // The system confirms connections that are not accepted yet.
    let clients: Vec<_> =
        (0..300).map(|number| TcpStream::connect(addrs[number % 2]).expect("there is room")).collect();
    let mut accepted = Vec::new();
    while accepted.last() != Some(&clients.len()) {
        worker.turn(Some(Duration::ZERO)).expect("polling works");
        accepted.push(worker.counters().accepted as usize);
    }
    accepted.dedup();
    accepted.retain(|count| *count > 0);
    assert_eq!(accepted, [256, 300]);
    let counters = worker.counters();
    assert!(counters.bounded_turns().any(|counted| counted == (Bound::Accepts.label(), 1)));
}

/// A source that makes so many pieces.
struct Pieces(usize);

impl Source for Pieces {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        room.push(b"piece");
        self.0 -= 1;
        Ok(if self.0 == 0 { Progress::End } else { Progress::More })
    }
}

#[test]
fn connections_that_go_on_without_an_event_are_bounded_and_take_turns() {
    const PIECES: usize = 6;
    let app = App::new().get("/", |_req| Ok(Response::source(None, Pieces(PIECES))));
    let mut driver = Driver::new(app, Settings::default());
    let clients: Vec<_> = (0..600).map(|_| driver.connect()).collect();
    driver.engine.begin(driver.now);
    for Peer { id, pipe } in &clients {
        pipe.borrow_mut().deliver(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        driver.engine.ready(*id, Readiness { readable: true, ..Readiness::default() });
    }
    let pieces = |pipe: &RefCell<fleeting::testing::stream::Pipe>| {
        pipe.borrow().written.windows(5).filter(|window| *window == b"piece").count()
    };
    let mut before = clients.iter().map(|peer| pieces(&peer.pipe)).sum::<usize>();
    turns(&mut driver, |_| {
        let counts: Vec<_> = clients.iter().map(|peer| pieces(&peer.pipe)).collect();
        let sum = counts.iter().sum::<usize>();
        assert!(sum - before <= Bound::Connections.a_turn(), "{before} {sum}");
        let (least, most) = (counts.iter().min().expect("some"), counts.iter().max().expect("some"));
        assert!(most - least <= 1, "{least} to {most}");
        before = sum;
    });
    assert_eq!(before, 600 * PIECES);
    assert!(bounded(&driver, Bound::Connections) > 0);
}

#[test]
fn deadlines_are_bounded() {
    for (clients, expected) in [(Bound::Deadlines.a_turn(), &[256][..]), (600, &[256, 512, 600])] {
        let mut driver = Driver::new(App::new(), Settings::default());
        let clients: Vec<_> = (0..clients).map(|_| driver.connect()).collect();
        driver.now.ms += 11_000;
        driver.engine.begin(driver.now);
        let mut ended = Vec::new();
        turns(&mut driver, |driver| ended.push(driver.counters().timeouts));
        assert_eq!(ended, expected);
        assert_eq!(bounded(&driver, Bound::Deadlines) as usize, expected.len() - 1);
        assert!(clients.iter().all(Peer::is_gone));
    }
}

/// A turn pings no more clients than it handles deadlines, and the others follow at once.
#[test]
fn all_are_pinged_when_a_turn_cannot_ping_all() {
    const CLIENTS: usize = 600;
    let (mut driver, _handle) = hub();
    let clients: Vec<_> = (0..CLIENTS).map(|_| driver.websocket("/hub")).collect();
    let before: Vec<_> = clients.iter().map(|client| client.pipe.borrow().written.len()).collect();
    driver.now.ms += 31_000;
    driver.engine.begin(driver.now);
    let pinged = || {
        let written = clients.iter().map(|client| client.pipe.borrow().written.len());
        written.zip(&before).filter(|(now, before)| now > before).count()
    };
    let mut counts = Vec::new();
    turns(&mut driver, |_| counts.push(pinged()));
    assert_eq!(counts, [256, 512, 600]);
}

/// Each connection of these has its answer, or its request, before its deadline. Its turn was put off beyond that.
#[test]
fn what_a_turn_puts_off_was_in_time() {
    const CLIENTS: usize = 5;
    let responders = Rc::new(RefCell::new(Vec::new()));
    let deferred = responders.clone();
    let app = App::new().get("/now", |_req| Ok(Response::text("answer"))).get("/later", move |_req| {
        let (response, responder) = Response::defer();
        deferred.borrow_mut().push(responder);
        Ok(response)
    });
    let bounds = Bounds { connections: 1, ..Bounds::default() };
    let mut settings = Settings { bounds, ..Settings::default() };
    // Two of three requests that come together wait for further turns.
    settings.limits.pipeline = 1;
    let mut driver = Driver::new(app, settings);
    let later = connected(&mut driver, CLIENTS, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    for responder in responders.borrow_mut().drain(..) {
        responder.send(Response::text("answer")).expect("the client waits");
    }
    driver.now.ms += 61_000;
    driver.turn();
    let pipelined = connected(&mut driver, CLIENTS, "");
    driver.engine.begin(driver.now);
    for Peer { id, pipe } in &pipelined {
        pipe.borrow_mut().deliver("GET /now HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3).as_bytes());
        driver.engine.ready(*id, Readiness { readable: true, ..Readiness::default() });
    }
    driver.engine.run();
    driver.now.ms += 61_000;
    driver.turn();
    for (peers, answers) in [(&later, 1), (&pipelined, 3)] {
        for peer in peers {
            assert_eq!(peer.take_written().matches("\r\n\r\nanswer").count(), answers);
        }
    }
    assert!(bounded(&driver, Bound::Connections) > 0);
    // The clients of the first kind were idle for a minute since.
    assert_eq!(driver.counters().timeouts, CLIENTS as u64);
}

/// Connects clients that send this request.
fn connected(driver: &mut Driver, count: usize, request: &str) -> Vec<Peer> {
    (0..count).map(|_| driver.raw(request.as_bytes())).collect()
}
