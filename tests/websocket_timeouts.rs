//! A WebSocket stays open as long as its client shows signs of life and its route allows.

use crate::driver::{Driver, Peer};
use fleeting::engine::Settings;
use fleeting::{App, SocketOptions, Timeouts};
use fleeting_testkit::client::{CLOSE, Frame, PING, PONG, TEXT};
use fleeting_testkit::server::{Echo, Feed};
use std::time::Duration;

/// The maximum lateness of a timer, in milliseconds.
const LATE: u64 = 200;

/// An engine with a route `/ws` with these options, where the server's own timeouts are one minute and two.
fn driver(options: SocketOptions) -> Driver {
    let mut timeouts = Timeouts::default();
    timeouts.ping = Duration::from_secs(60);
    timeouts.ws_idle = Duration::from_secs(120);
    let app = App::new().ws_with("/ws", options, Echo).ws("/other", Echo).ws("/feed", Feed);
    Driver::new(app, Settings { timeouts, ..Settings::default() })
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Expects a ping and nothing else. Returns its payload.
#[track_caller]
fn pinged(peer: &Peer) -> Vec<u8> {
    let frames = peer.frames();
    let [Frame { opcode: PING, payload }] = &frames[..] else { panic!("{frames:?}") };
    payload.clone()
}

/// Expects a Close with 1001 and this reason, and nothing else.
#[track_caller]
fn closed(peer: &Peer, reason: &str) {
    let frames = peer.frames();
    let [close] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((close.close_code(), &close.payload[2..]), (1001, reason.as_bytes()));
}

#[test]
fn a_route_may_set_its_own_ping_and_idle_timeouts() {
    let mut driver = driver(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
    let (own, other) = (driver.websocket("/ws"), driver.websocket("/other"));
    driver.advance(999);
    assert_eq!(own.frames(), []);
    driver.advance(1 + LATE);
    pinged(&own);
    driver.advance(1999 - LATE);
    assert_eq!(own.frames(), []);
    driver.advance(1 + LATE);
    closed(&own, "idle for too long");
    assert_eq!((driver.counters().timeouts, other.frames()), (1, vec![]));
    // The server's timeouts apply to a route without its own.
    driver.advance(57_000 + LATE);
    pinged(&other);
    driver.advance(60_000);
    closed(&other, "idle for too long");
}

#[test]
fn zero_turns_a_timeout_off() {
    let mut driver = driver(SocketOptions::new().ping(ms(0)).idle(ms(0)).lifetime(ms(0)));
    let peer = driver.websocket("/ws");
    driver.advance(365 * 86_400_000);
    assert_eq!(peer.frames(), []);
    driver.send(&peer, TEXT, "still here");
    assert_eq!(peer.texts(), ["still here"]);
}

#[test]
fn silence_ends_a_websocket_that_is_never_pinged() {
    let mut driver = driver(SocketOptions::new().ping(ms(0)).idle(ms(3000)));
    let peer = driver.websocket("/ws");
    driver.advance(2999);
    assert_eq!(peer.frames(), []);
    driver.advance(1 + LATE);
    closed(&peer, "idle for too long");
}

/// What arrives 500 ms after a ping, and whether it is a sign of life. If it is, idle time is counted from then on.
#[test]
fn while_a_ping_is_pending_only_the_right_pong_counts() {
    fn check(what: &str, alive: bool, answer: impl FnOnce(&mut Driver, &Peer, Vec<u8>)) {
        let mut driver = driver(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
        let peer = driver.websocket("/ws");
        driver.advance(1000 + LATE);
        let payload = pinged(&peer);
        driver.advance(500);
        answer(&mut driver, &peer, payload);
        peer.frames();
        // More than 3,000 ms after the opening, less after the answer.
        driver.advance(1500 + LATE);
        let opcodes: Vec<u8> = peer.frames().iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, if alive { [PING] } else { [CLOSE] }, "{what}");
    }
    check("the right one", true, |driver, peer, payload| driver.send(peer, PONG, payload));
    check("none", false, |_, _, _| {});
    check("an empty one", false, |driver, peer, _| driver.send(peer, PONG, ""));
    check("a wrong one", false, |driver, peer, mut payload| {
        payload[7] ^= 1;
        driver.send(peer, PONG, payload);
    });
    check("a longer one", false, |driver, peer, payload| {
        driver.send(peer, PONG, [&payload[..], b"x"].concat())
    });
    check("a wrong one, then the right one", true, |driver, peer, payload| {
        driver.send(peer, PONG, "");
        driver.send(peer, PONG, payload);
    });
    check("a wrong one with a message behind it", true, |driver, peer, _| {
        driver.send(peer, PONG, "");
        driver.send(peer, TEXT, "hello");
    });
    check("a ping", true, |driver, peer, _| driver.send(peer, PING, ""));
    check("a message", true, |driver, peer, _| driver.send(peer, TEXT, "hello"));
    check("the beginning of a frame", true, |driver, peer, _| driver.arrive(peer, b"\x81"));
}

/// RFC 6455 §5.5.3: a pong may be unsolicited.
#[test]
fn an_unsolicited_pong_is_a_sign_of_life() {
    let mut driver = driver(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
    let peer = driver.websocket("/ws");
    for _ in 0..20 {
        driver.advance(900);
        driver.send(&peer, PONG, "of its own accord");
        assert_eq!(peer.frames(), []);
    }
    driver.advance(1000 + LATE);
    pinged(&peer);
}

/// The answer to an earlier ping says nothing about the present.
#[test]
fn the_pong_to_an_earlier_ping_does_not_count() {
    let mut driver = driver(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
    let peer = driver.websocket("/ws");
    driver.advance(1000 + LATE);
    let first = pinged(&peer);
    driver.send(&peer, PONG, &first);
    driver.advance(1000 + LATE);
    let second = pinged(&peer);
    assert_ne!(first, second);
    driver.send(&peer, PONG, &first);
    driver.advance(2000);
    closed(&peer, "idle for too long");
}

/// A peer that takes what was queued is alive. Its late pong, to the earlier ping, must not count against it, and
/// the next silence causes another ping.
#[test]
fn a_ping_sent_before_the_peer_was_slow_is_forgotten() {
    let mut driver = driver(SocketOptions::new());
    let (feed, other) = (driver.websocket("/feed"), driver.websocket("/feed"));
    driver.advance(60_000 + LATE);
    let payload = pinged(&feed);
    pinged(&other);
    feed.limit_room(0);
    driver.send(&other, TEXT, "news");
    assert!(feed.is_full());
    driver.advance(1000);
    driver.make_room(&feed, usize::MAX);
    assert_eq!(feed.texts(), ["news"]);
    driver.send(&feed, PONG, payload);
    driver.advance(60_000 + LATE);
    pinged(&feed);
}

/// While a peer takes its messages slowly, it cannot be pinged. That does not count against it, but a ping that it
/// does not answer afterwards does.
#[test]
fn a_peer_that_was_slow_for_longer_than_the_idle_timeout_is_pinged_first() {
    for answers in [true, false] {
        let mut driver = driver(SocketOptions::new());
        let (feed, other) = (driver.websocket("/feed"), driver.websocket("/feed"));
        feed.limit_room(0);
        for _ in 0..13 {
            driver.send(&other, TEXT, "news that are longer than what is taken");
            driver.make_room(&feed, 1);
            driver.advance(10_000);
        }
        driver.make_room(&feed, usize::MAX);
        assert_eq!(feed.texts().len(), 13);
        driver.advance(LATE);
        let payload = pinged(&feed);
        driver.advance(59_000);
        if answers {
            driver.send(&feed, PONG, payload);
        }
        driver.advance(1000 + LATE);
        if answers {
            assert_eq!(feed.frames(), []);
            driver.advance(59_000);
            pinged(&feed);
        } else {
            closed(&feed, "idle for too long");
        }
    }
}

#[test]
fn a_lifetime_ends_a_slow_websocket() {
    let mut driver = driver(SocketOptions::new().lifetime(ms(10_000)));
    let peer = driver.websocket("/ws");
    peer.limit_room(0);
    driver.send(&peer, TEXT, "longer than what is taken");
    for _ in 0..11 {
        driver.make_room(&peer, 1);
        driver.advance(1000);
    }
    // The Close comes after what was queued, and nothing comes after the Close.
    driver.send(&peer, TEXT, "too late");
    driver.make_room(&peer, usize::MAX);
    let [answer, close] = &peer.frames()[..] else { panic!("expected an answer and a Close") };
    assert_eq!((answer.text(), close.close_code()), ("longer than what is taken", 1001));
    assert_eq!(driver.counters().timeouts, 0);
}

#[test]
fn a_lifetime_ends_a_busy_websocket() {
    let mut driver = driver(SocketOptions::new().ping(ms(1000)).lifetime(ms(10_000)));
    let (peer, other) = (driver.websocket("/ws"), driver.websocket("/other"));
    for _ in 0..19 {
        driver.advance(500);
        driver.send(&peer, TEXT, "tick");
        assert_eq!(peer.texts(), ["tick"]);
    }
    driver.advance(500 + LATE);
    closed(&peer, "open for long enough");
    // The peer was not silent, so this is not a timeout.
    assert_eq!(driver.counters().timeouts, 0);
    driver.send(&peer, CLOSE, 1001u16.to_be_bytes());
    driver.send(&other, TEXT, "still here");
    assert_eq!(other.texts(), ["still here"]);
}

#[test]
fn a_lifetime_ends_a_websocket_without_other_timeouts() {
    let options = SocketOptions::new().ping(ms(0)).idle(ms(0)).lifetime(ms(3_600_000));
    let mut driver = driver(options);
    let peer = driver.websocket("/ws");
    driver.advance(3_599_900);
    assert_eq!(peer.frames(), []);
    driver.advance(100 + LATE);
    closed(&peer, "open for long enough");
}

/// The peer has five seconds to send its Close, as in any closing handshake.
#[test]
fn a_peer_that_never_answers_the_close_is_dropped() {
    let mut driver = driver(SocketOptions::new().lifetime(ms(1000)));
    let peer = driver.websocket("/ws");
    driver.advance(1000 + LATE);
    closed(&peer, "open for long enough");
    driver.advance(5000 - LATE);
    assert!(!peer.is_gone());
    driver.advance(2 * LATE);
    assert!(peer.is_gone());
    assert_eq!(driver.counters().timeouts, 1);
}
