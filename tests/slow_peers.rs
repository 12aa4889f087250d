//! A peer may be slow, but not as slow as it likes: what has begun must arrive, and what is queued must be taken, at some pace.

use crate::driver::{Driver, Peer};
use fleeting::engine::Settings;
use fleeting::http1::Fields;
use fleeting::{App, Body, Error, Flow, Request, Response, Timeouts, Upload};
use fleeting_testkit::client::{BINARY, CLOSE, PING, PONG, TEXT, frame};
use fleeting_testkit::server::{Echo, Feed};
use std::time::Duration;

/// The maximum lateness of a timer, in milliseconds.
const LATE: u64 = 200;

/// Accepts any content.
struct Sink;

impl Upload for Sink {
    type Session = ();

    fn open(&self, _req: &Request<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn piece(&self, _session: &mut (), _bytes: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text("received"))
    }
}

/// Bytes that nothing takes at once.
static LARGE: [u8; 100_000] = [0; 100_000];

fn driver(set: impl FnOnce(&mut Timeouts)) -> Driver {
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/large", |_req| Ok(Response::bytes(Body::Static(&LARGE))))
        .post("/whole", |_req| Ok(Response::text("received")))
        .upload("POST", "/upload", Sink)
        .ws("/ws", Echo)
        .ws("/feed", Feed);
    let mut timeouts = Timeouts::default();
    timeouts.body_stall = Duration::from_secs(5);
    timeouts.message_stall = Duration::from_secs(10);
    timeouts.write_stall = Duration::from_secs(30);
    set(&mut timeouts);
    Driver::new(app, Settings { timeouts, ..Settings::default() })
}

/// Sends a byte each half second, for `ms` milliseconds.
fn trickle(driver: &mut Driver, peer: &Peer, ms: u64) {
    for _ in 0..ms / 500 {
        driver.advance(500);
        driver.arrive(peer, b"x");
    }
}

/// Expects a Close with 1008, and counts one timeout.
#[track_caller]
fn stalled(driver: &mut Driver, peer: &Peer) {
    let frames = peer.frames();
    let close = frames.last().expect("a Close");
    assert_eq!((close.close_code(), &close.payload[2..]), (1008, &b"a message arrives too slowly"[..]));
    assert_eq!(driver.counters().timeouts, 1);
    driver.advance(5000 + LATE);
    assert!(peer.is_gone(), "the closing handshake is bounded too");
}

/// Finding C1. A masked header, then the payload byte by byte, or less.
#[test]
fn a_message_that_trickles_is_closed() {
    let large = &frame(true, BINARY, &[b'x'; 1 << 20])[..14];
    let fragment = &frame(false, BINARY, &[b'x'; 70_000])[..14];
    let ping = &frame(true, PING, &[b'x'; 125])[..6];
    for (what, start) in [
        ("one byte", &b"\x82"[..]),
        ("half a header", &large[..8]),
        ("a header", large),
        ("a fragment's header", fragment),
        ("a control frame's header", ping),
    ] {
        let mut driver = driver(|timeouts| timeouts.ping = Duration::from_secs(1));
        let peer = driver.websocket("/ws");
        driver.arrive(&peer, start);
        driver.advance(9999);
        assert!(peer.frames().iter().all(|frame| frame.opcode == PING), "{what}");
        driver.advance(1 + LATE);
        stalled(&mut driver, &peer);
    }
    let mut driver = driver(|_| {});
    let peer = driver.websocket("/ws");
    driver.arrive(&peer, large);
    trickle(&mut driver, &peer, 9500);
    assert_eq!(peer.frames(), []);
    trickle(&mut driver, &peer, 1000);
    stalled(&mut driver, &peer);
}

/// Finding C1. Whole frames do not help if the message does not end.
#[test]
fn a_fragmented_message_that_trickles_is_closed() {
    let mut driver = driver(|_| {});
    let peer = driver.websocket("/ws");
    driver.arrive(&peer, &frame(false, TEXT, b"x"));
    for second in 0..10 {
        assert!(peer.frames().iter().all(|frame| frame.opcode == PONG), "after {second} s");
        driver.advance(1000);
        driver.arrive(&peer, &frame(false, 0, b"x"));
        driver.send(&peer, PING, "alive");
    }
    driver.advance(LATE);
    stalled(&mut driver, &peer);
}

/// Finding C1. A message that waits behind publications which its sender takes slowly.
#[test]
fn a_subscribers_message_that_trickles_is_closed() {
    let mut driver = driver(|_| {});
    let (peer, other) = (driver.websocket("/feed"), driver.websocket("/feed"));
    peer.limit_room(0);
    driver.send(&other, TEXT, "news that are longer than what is taken");
    assert!(peer.is_full());
    driver.arrive(&peer, b"\x81");
    for _ in 0..10 {
        driver.advance(1000);
        driver.make_room(&peer, 1);
    }
    driver.advance(LATE);
    driver.make_room(&peer, usize::MAX);
    stalled(&mut driver, &peer);
}

/// Both ways of being slow, for as long as it takes.
#[test]
fn a_message_may_take_long_if_it_arrives_steadily() {
    let mut driver = driver(|_| {});
    let peer = driver.websocket("/ws");
    let message = frame(true, TEXT, &[b'x'; 500_000]);
    for second in message.chunks(1100) {
        assert_eq!(peer.frames(), []);
        driver.arrive(&peer, second);
        driver.advance(1000);
    }
    assert_eq!(peer.texts(), ["x".repeat(500_000)]);
    // In fragments, and in bursts of ten seconds.
    for number in 0..40 {
        assert_eq!(peer.frames(), []);
        driver.arrive(&peer, &frame(number == 39, if number == 0 { TEXT } else { 0 }, &[b'x'; 11_000]));
        driver.advance(10_000);
    }
    assert_eq!(peer.texts(), ["x".repeat(440_000)]);
}

/// Each message has its own grace period, however the messages are cut.
#[test]
fn many_messages_are_not_one() {
    let mut driver = driver(|_| {});
    let peer = driver.websocket("/ws");
    let mut stream = frame(true, TEXT, b"whole");
    stream.extend(frame(false, TEXT, b"first"));
    stream.extend(frame(true, PING, b"between"));
    stream.extend(frame(true, 0, b"last"));
    // Each second ends within a message that began in that second or the one before.
    let step = stream.len() - 1;
    let all = stream.repeat(60);
    for second in all.chunks(step) {
        driver.arrive(&peer, second);
        driver.advance(1000);
    }
    assert_eq!(peer.frames().iter().filter(|frame| frame.opcode == TEXT).count(), 120);
    driver.advance(20_000);
    assert_eq!((peer.frames().len(), driver.counters().timeouts), (0, 0));
}

/// What its client cannot help does not count: the message waits because our answers do.
#[test]
fn a_message_that_is_not_read_is_not_slow() {
    let mut driver = driver(|timeouts| timeouts.write_stall = Duration::from_secs(100));
    let peer = driver.websocket("/ws");
    peer.limit_room(0);
    let mut input = frame(true, TEXT, b"hello");
    input.extend(&frame(true, TEXT, b"second")[..9]);
    driver.arrive(&peer, &input);
    driver.advance(50_000);
    assert!(peer.is_full());
    driver.make_room(&peer, usize::MAX);
    driver.advance(9000);
    driver.arrive(&peer, &frame(true, TEXT, b"second")[9..]);
    let texts: Vec<_> = peer.frames().into_iter().filter(|frame| frame.opcode == TEXT).collect();
    assert_eq!(texts.iter().map(|frame| frame.text()).collect::<Vec<_>>(), ["hello", "second"]);
    assert_eq!(driver.counters().timeouts, 0);
}

#[test]
fn zero_lets_a_message_take_its_time() {
    let mut driver = driver(|timeouts| {
        (timeouts.message_stall, timeouts.ping, timeouts.ws_idle) = Default::default();
    });
    let peer = driver.websocket("/ws");
    driver.arrive(&peer, &frame(true, TEXT, b"hello")[..9]);
    driver.advance(86_400_000);
    driver.arrive(&peer, &frame(true, TEXT, b"hello")[9..]);
    assert_eq!(peer.texts(), ["hello"]);
}

/// Finding C2. Content that came at once does not buy time without end.
#[test]
fn content_that_came_fast_may_pause_for_twice_the_grace_period_only() {
    for (path, bytes) in
        [("/whole", 20 << 10), ("/whole", 1_000_000), ("/upload", 20 << 10), ("/upload", 2_000_000)]
    {
        let mut driver = driver(|_| {});
        let peer = driver.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", bytes + 9);
        driver.arrive(&peer, head.as_bytes());
        driver.arrive(&peer, &vec![0; bytes]);
        driver.advance(9000);
        driver.arrive(&peer, &[0; 4]);
        driver.advance(900);
        assert_eq!(peer.written(), b"", "{path} {bytes}");
        driver.advance(100 + LATE);
        let answer = peer.written();
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{path} {bytes} {}", answer.escape_ascii());
        assert_eq!(driver.counters().timeouts, 1);
    }
}

#[test]
fn content_may_take_long_if_it_arrives_steadily() {
    for path in ["/whole", "/upload"] {
        for (step, pause) in [(1100, 1000), (9900, 9000)] {
            let mut driver = driver(|_| {});
            let peer = driver.connect();
            let length = step * 50;
            let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
            driver.arrive(&peer, head.as_bytes());
            for _ in 0..50 {
                assert_eq!(peer.written(), b"", "{path} {step}");
                driver.arrive(&peer, &vec![0; step]);
                driver.advance(pause);
            }
            assert!(peer.written().ends_with(b"\r\n\r\nreceived"), "{path} {step}");
        }
    }
}

/// Finding C3. A kernel reports room late, and takes bytes before.
#[test]
fn a_client_that_takes_something_is_not_cut_off_though_no_event_says_so() {
    let mut driver = driver(|_| {});
    let peer = driver.connect();
    peer.limit_room(10_000);
    driver.arrive(&peer, b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut taken = peer.written();
    assert_eq!(taken.len(), 10_000);
    while !taken.ends_with(&LARGE) {
        assert!(peer.is_full(), "after {}", taken.len());
        driver.make_room_silently(&peer, 9000);
        driver.advance(30_000 + LATE);
        let more = peer.written();
        assert!(!more.is_empty() && !peer.is_gone(), "after {}", taken.len());
        taken.extend(more);
    }
    assert_eq!(driver.counters().timeouts, 0);
    driver.arrive(&peer, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(peer.written().ends_with(b"hello"));
}

/// Finding C3. The other half: nothing taken is a stall, on any kind of connection.
#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let mut driver = driver(|_| {});
    let (peer, feed, other) = (driver.connect(), driver.websocket("/feed"), driver.websocket("/feed"));
    peer.limit_room(10_000);
    feed.limit_room(0);
    driver.arrive(&peer, b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    driver.send(&other, TEXT, "news");
    driver.advance(29_900);
    assert!(!peer.is_gone() && !feed.is_gone());
    driver.advance(100 + LATE);
    assert!(peer.is_gone() && feed.is_gone() && !other.is_gone());
    assert_eq!(driver.counters().timeouts, 2);
    driver.send(&other, CLOSE, 1000u16.to_be_bytes());
}
