//! A WebSocket on a stream has its own timeouts: activity on other streams does not keep it alive, and its end does not affect
//! them.

use crate::driver::Driver;
use crate::http2_peer::{Http2Peer, websocket_head, whole_frames};
use fleeting::engine::Settings;
use fleeting::{App, Response, SocketOptions, Timeouts};
use fleeting_testkit::client::{BINARY, CLOSE, Frame, PING, PONG, TEXT, frame};
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::frames::{code, setting};
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::server::Echo;
use std::time::Duration;

/// The maximum lateness of a timer, in milliseconds.
const LATE: u64 = 200;
const WINDOW: u32 = 1 << 30;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An engine without timeouts, except those of the route `/ws` and those that `set` sets.
fn driver(options: SocketOptions, set: impl FnOnce(&mut Timeouts)) -> Driver {
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .ws_with("/ws", options, Echo)
        .ws("/other", Echo);
    let mut settings = Settings::default();
    for name in Timeouts::NAMES {
        settings.timeouts.set(name, "0s").expect("a name and a time");
    }
    set(&mut settings.timeouts);
    Driver::new(app, settings)
}

fn connect(driver: &mut Driver) -> Http2Peer {
    let mut client = Http2Peer::connect(driver, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
    client.grant(driver, 0, WINDOW);
    client
}

#[track_caller]
fn open(client: &mut Http2Peer, driver: &mut Driver, path: &str) -> u32 {
    let stream = client.start(driver, &websocket_head(path), false);
    assert_eq!(client.got(stream).status, 200);
    stream
}

#[track_caller]
fn hello(client: &mut Http2Peer, driver: &mut Driver) {
    let stream = client.start(driver, &head("GET", "/"), true);
    assert_eq!(client.got(stream).text(), "hello");
}

/// Returns the frames that have arrived since the last call.
#[track_caller]
fn frames(client: &mut Http2Peer, driver: &mut Driver, stream: u32) -> Vec<Frame> {
    client.exchange(driver);
    whole_frames(&client.take_content(stream))
}

/// Expects a ping and nothing else. Returns its payload.
#[track_caller]
fn pinged(client: &mut Http2Peer, driver: &mut Driver, stream: u32) -> Vec<u8> {
    let frames = frames(client, driver, stream);
    let [Frame { opcode: PING, payload }] = &frames[..] else { panic!("{frames:?}") };
    payload.clone()
}

/// Expects a Close and nothing else. Answers it, and expects the end of the stream, without a reset.
#[track_caller]
fn closed(client: &mut Http2Peer, driver: &mut Driver, stream: u32, code: u16, reason: &str) {
    let frames = frames(client, driver, stream);
    let [close] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((close.close_code(), &close.payload[2..]), (code, reason.as_bytes()));
    client.data(driver, stream, &frame(true, CLOSE, &close.payload), true);
    let got = client.got(stream);
    assert_eq!((got.ended, got.reset), (true, None));
    hello(client, driver);
}

/// Expects that a WebSocket works.
#[track_caller]
fn echoes(client: &mut Http2Peer, driver: &mut Driver, stream: u32) {
    client.data(driver, stream, &frame(true, TEXT, b"still here"), false);
    let frames = frames(client, driver, stream);
    assert_eq!(frames.last().expect("an echo").text(), "still here");
}

#[test]
fn what_other_streams_do_is_no_sign_of_life() {
    let mut driver = driver(SocketOptions::new().ping(ms(1000)).idle(ms(3000)), |_| {});
    let mut client = connect(&mut driver);
    let [silent, busy, answers] = [(); 3].map(|()| open(&mut client, &mut driver, "/ws"));
    let other = open(&mut client, &mut driver, "/other");
    for round in 0..3 {
        driver.advance(500);
        echoes(&mut client, &mut driver, busy);
        hello(&mut client, &mut driver);
        driver.advance(500 + LATE);
        echoes(&mut client, &mut driver, busy);
        let payload = pinged(&mut client, &mut driver, answers);
        client.data(&mut driver, answers, &frame(true, PONG, &payload), false);
        match round {
            0 => drop(pinged(&mut client, &mut driver, silent)),
            1 => assert_eq!(frames(&mut client, &mut driver, silent), []),
            _ => closed(&mut client, &mut driver, silent, 1001, "idle for too long"),
        }
    }
    assert_eq!((driver.counters().timeouts, driver.counters().connections), (1, 1));
    // The server's timeouts apply to a route without its own: here they are off.
    for stream in [busy, answers, other] {
        echoes(&mut client, &mut driver, stream);
    }
}

#[test]
fn a_lifetime_ends_one_stream() {
    let mut driver = driver(SocketOptions::new().lifetime(ms(10_000)), |_| {});
    let mut client = connect(&mut driver);
    let first = open(&mut client, &mut driver, "/ws");
    driver.advance(5000);
    let second = open(&mut client, &mut driver, "/ws");
    for _ in 0..4 {
        driver.advance(1000);
        echoes(&mut client, &mut driver, first);
    }
    driver.advance(1000 + LATE);
    closed(&mut client, &mut driver, first, 1001, "open for long enough");
    echoes(&mut client, &mut driver, second);
    driver.advance(5000);
    closed(&mut client, &mut driver, second, 1001, "open for long enough");
    assert_eq!(driver.counters().timeouts, 0);
}

/// A message may arrive slowly, in any number of DATA frames, but not arbitrarily slowly.
#[test]
fn a_message_that_stalls_closes_its_stream() {
    let stall = |timeouts: &mut Timeouts| timeouts.message_stall = Duration::from_secs(10);
    let large = frame(true, BINARY, &[b'x'; 1 << 20]);
    let fragment = frame(false, TEXT, b"a fragment");
    // What arrives first, and whether a byte follows each half second.
    for (begun, trickles) in [
        (&b"\x82"[..], false),
        (&large[..14], true),
        (&large[..5000], false),
        (&large[..5000], true),
        (&fragment[..], false),
    ] {
        let mut driver = driver(SocketOptions::new(), stall);
        let mut client = connect(&mut driver);
        let (stream, other) =
            (open(&mut client, &mut driver, "/ws"), open(&mut client, &mut driver, "/other"));
        client.data(&mut driver, stream, begun, false);
        let mut waited = 0;
        while driver.counters().timeouts == 0 {
            assert!(waited < 60_000, "{} bytes, {trickles}: it may stall for ever", begun.len());
            driver.advance(500);
            if trickles {
                client.data(&mut driver, stream, b"x", false);
            }
            echoes(&mut client, &mut driver, other);
            waited += 500;
        }
        assert!(waited >= 9500, "{} bytes, {trickles}: after {waited} ms", begun.len());
        closed(&mut client, &mut driver, stream, 1008, "a message arrives too slowly");
        echoes(&mut client, &mut driver, other);
    }
    // A message that arrives steadily does not time out.
    let mut driver = driver(SocketOptions::new(), stall);
    let mut client = connect(&mut driver);
    let stream = open(&mut client, &mut driver, "/ws");
    for piece in large.chunks(20_000) {
        driver.advance(1000);
        client.data(&mut driver, stream, piece, false);
    }
    assert_eq!(frames(&mut client, &mut driver, stream)[0].payload.len(), 1 << 20);
    assert_eq!(driver.counters().timeouts, 0);
}

#[test]
fn a_close_that_is_never_answered_ends_the_stream_alone() {
    let options = SocketOptions::new().lifetime(ms(1000));
    let mut driver = driver(options, |timeouts| timeouts.close = Duration::from_secs(5));
    let mut client = connect(&mut driver);
    let other = open(&mut client, &mut driver, "/other");
    let stream = open(&mut client, &mut driver, "/ws");
    driver.advance(1000 + LATE);
    assert_eq!(frames(&mut client, &mut driver, stream)[0].close_code(), 1001);
    driver.advance(5000 - 2 * LATE);
    client.exchange(&mut driver);
    assert_eq!((client.got(stream).ended, client.got(stream).reset), (false, None));
    driver.advance(4 * LATE);
    client.exchange(&mut driver);
    // The server gives up on the stream, which is not an internal error (RFC 9113 §7).
    assert_eq!(client.got(stream).reset, Some(code::CANCEL));
    assert_eq!((driver.counters().timeouts, driver.counters().connections), (1, 1));
    echoes(&mut client, &mut driver, other);
    hello(&mut client, &mut driver);
}

/// Both sides have sent a Close, and the client does not end its side of the stream: nothing more is needed (RFC 9113 §8.1).
#[test]
fn a_stream_that_is_not_ended_after_the_closing_handshake_is_reset() {
    let mut driver = driver(SocketOptions::new(), |timeouts| timeouts.linger = Duration::from_secs(5));
    let mut client = connect(&mut driver);
    let stream = open(&mut client, &mut driver, "/ws");
    client.data(&mut driver, stream, &frame(true, CLOSE, b"\x03\xe8"), false);
    assert_eq!((client.got(stream).ended, client.got(stream).reset), (true, None));
    driver.advance(5000 + LATE);
    client.exchange(&mut driver);
    assert_eq!(client.got(stream).reset, Some(code::NO_ERROR));
    hello(&mut client, &mut driver);
}

/// The client opens no window for one WebSocket. Its other streams go on.
#[test]
fn a_websocket_whose_client_takes_nothing_is_reset() {
    let stall = |timeouts: &mut Timeouts| timeouts.write_stall = Duration::from_secs(30);
    let mut driver = driver(SocketOptions::new(), stall);
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 100)]);
    client.session.windows = Windows::OfConnection;
    let [stuck, slow] = [(); 2].map(|()| open(&mut client, &mut driver, "/ws"));
    for stream in [stuck, slow] {
        client.data(&mut driver, stream, &frame(true, BINARY, &[b'x'; 300]), false);
        assert_eq!(client.got(stream).body.len(), 100);
    }
    for _ in 0..3 {
        driver.advance(15_000);
        client.grant(&mut driver, slow, 1);
        hello(&mut client, &mut driver);
    }
    assert_eq!(client.got(stuck).reset, Some(code::CANCEL));
    assert_eq!((driver.counters().timeouts, client.got(slow).reset), (1, None));
    client.grant(&mut driver, slow, WINDOW);
    let frames = frames(&mut client, &mut driver, slow);
    assert_eq!(frames.iter().map(|frame| frame.payload.len()).collect::<Vec<_>>(), [300]);
}

/// A connection is idle when its last stream has ended, and the time counts from then on.
#[test]
fn an_open_websocket_keeps_its_connection() {
    let mut driver = driver(SocketOptions::new(), |timeouts| timeouts.idle = Duration::from_secs(60));
    let mut client = connect(&mut driver);
    let [first, last] = [(); 2].map(|()| open(&mut client, &mut driver, "/other"));
    driver.advance(3_600_000);
    client.session.reset(first, code::CANCEL);
    client.exchange(&mut driver);
    driver.advance(3_600_000);
    echoes(&mut client, &mut driver, last);
    client.data(&mut driver, last, &frame(true, CLOSE, b"\x03\xe8"), true);
    assert!(client.got(last).ended);
    driver.advance(59_000);
    assert!(!client.peer.is_gone() && client.goaways.is_empty());
    driver.advance(1000 + LATE);
    client.read();
    assert_eq!(client.goaways, [(last, code::NO_ERROR)]);
}

/// Each event stream that has nothing to send is kept alive by comments of its own.
#[test]
fn a_quiet_stream_of_events_sends_comments() {
    let handle = fleeting::Handle::unattended(1);
    let events = handle.clone();
    let app = App::new().get("/events", move |req| Ok(events.events(req.query().unwrap_or("*"))?));
    let mut settings = Settings::default();
    settings.timeouts.ping = Duration::from_secs(10);
    let mut driver = Driver::with_handle(app, settings, &handle);
    let mut client = connect(&mut driver);
    let [quiet, busy] =
        ["/events?a", "/events?b"].map(|path| client.start(&mut driver, &head("GET", path), true));
    for round in 0..3 {
        for _ in 0..2 {
            driver.advance(5000 + LATE / 2);
            handle.publish("b", fleeting::Message::Text("tick")).expect("there is room");
            driver.turn();
        }
        client.exchange(&mut driver);
        let comments = if round == 0 { ":\n\n:\n\n" } else { ":\n\n" };
        assert_eq!(client.take_content(quiet), comments.as_bytes(), "round {round}");
        let ticks = String::from_utf8(client.take_content(busy)).expect("text");
        assert_eq!(ticks.replace(":\n\n", ""), "data: tick\n\n".repeat(2), "round {round}");
    }
}
