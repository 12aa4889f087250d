//! A WebSocket stays open as long as its client shows signs of life and its route allows.

use crate::pipe::{Peer, Stage};
use fleeting::engine::Settings;
use fleeting::{App, Error, Message, Request, Socket, SocketOptions, Timeouts, WebSocket};
use fleeting_testkit::client::{CLOSE, Frame, PING, PONG, TEXT};
use fleeting_testkit::rig::Echo;
use std::time::Duration;

/// The maximum lateness of a timer, in milliseconds.
const LATE: u64 = 200;

/// An engine with a route `/ws` with these options, where the server's own timeouts are one minute and two.
fn stage(options: SocketOptions) -> Stage {
    let mut timeouts = Timeouts::default();
    timeouts.ping = Duration::from_secs(60);
    timeouts.ws_idle = Duration::from_secs(120);
    let app = App::new().ws_with("/ws", options, Echo).ws("/other", Echo).ws("/feed", Feed);
    Stage::new(app, Settings { timeouts, ..Settings::default() })
}

/// Subscribes every client to "feed", and publishes there what any client sends.
struct Feed;

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        socket.subscribe("feed").map_err(|error| Error::bad_request(error.to_string()))?;
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.publish("feed", message).expect("it is in order");
    }
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
    let mut stage = stage(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
    let (own, other) = (stage.websocket("/ws"), stage.websocket("/other"));
    stage.pass(999);
    assert_eq!(own.frames(), []);
    stage.pass(1 + LATE);
    pinged(&own);
    stage.pass(1999 - LATE);
    assert_eq!(own.frames(), []);
    stage.pass(1 + LATE);
    closed(&own, "idle for too long");
    assert_eq!((stage.counters().timeouts, other.frames()), (1, vec![]));
    // The server's timeouts apply to a route without its own.
    stage.pass(57_000 + LATE);
    pinged(&other);
    stage.pass(60_000);
    closed(&other, "idle for too long");
}

#[test]
fn zero_turns_a_timeout_off() {
    let mut stage = stage(SocketOptions::new().ping(ms(0)).idle(ms(0)).lifetime(ms(0)));
    let peer = stage.websocket("/ws");
    stage.pass(365 * 86_400_000);
    assert_eq!(peer.frames(), []);
    stage.say(&peer, TEXT, "still here");
    assert_eq!(peer.texts(), ["still here"]);
}

#[test]
fn silence_ends_a_websocket_that_is_never_pinged() {
    let mut stage = stage(SocketOptions::new().ping(ms(0)).idle(ms(3000)));
    let peer = stage.websocket("/ws");
    stage.pass(2999);
    assert_eq!(peer.frames(), []);
    stage.pass(1 + LATE);
    closed(&peer, "idle for too long");
}

/// What arrives 500 ms after a ping, and whether it is a sign of life. If it is, idle time is counted from then on.
#[test]
fn only_the_right_pong_is_a_sign_of_life() {
    fn check(what: &str, alive: bool, answer: impl FnOnce(&mut Stage, &Peer, Vec<u8>)) {
        let mut stage = stage(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
        let peer = stage.websocket("/ws");
        stage.pass(1000 + LATE);
        let payload = pinged(&peer);
        stage.pass(500);
        answer(&mut stage, &peer, payload);
        peer.frames();
        // More than 3,000 ms after the opening, less after the answer.
        stage.pass(1500 + LATE);
        let opcodes: Vec<u8> = peer.frames().iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, if alive { [PING] } else { [CLOSE] }, "{what}");
    }
    check("the right one", true, |stage, peer, payload| stage.say(peer, PONG, payload));
    check("none", false, |_, _, _| {});
    check("an empty one", false, |stage, peer, _| stage.say(peer, PONG, ""));
    check("a wrong one", false, |stage, peer, mut payload| {
        payload[7] ^= 1;
        stage.say(peer, PONG, payload);
    });
    check("a longer one", false, |stage, peer, payload| stage.say(peer, PONG, [&payload[..], b"x"].concat()));
    check("a wrong one, then the right one", true, |stage, peer, payload| {
        stage.say(peer, PONG, "");
        stage.say(peer, PONG, payload);
    });
    check("a wrong one with a message behind it", true, |stage, peer, _| {
        stage.say(peer, PONG, "");
        stage.say(peer, TEXT, "hello");
    });
    check("a ping", true, |stage, peer, _| stage.say(peer, PING, ""));
    check("a message", true, |stage, peer, _| stage.say(peer, TEXT, "hello"));
    check("the beginning of a frame", true, |stage, peer, _| stage.arrive(peer, b"\x81"));
}

/// RFC 6455 §5.5.3: a pong may be unsolicited.
#[test]
fn an_unsolicited_pong_is_a_sign_of_life() {
    let mut stage = stage(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
    let peer = stage.websocket("/ws");
    for _ in 0..20 {
        stage.pass(900);
        stage.say(&peer, PONG, "of its own accord");
        assert_eq!(peer.frames(), []);
    }
    stage.pass(1000 + LATE);
    pinged(&peer);
}

/// The answer to an earlier ping says nothing about the present.
#[test]
fn the_pong_to_an_earlier_ping_does_not_count() {
    let mut stage = stage(SocketOptions::new().ping(ms(1000)).idle(ms(3000)));
    let peer = stage.websocket("/ws");
    stage.pass(1000 + LATE);
    let first = pinged(&peer);
    stage.say(&peer, PONG, &first);
    stage.pass(1000 + LATE);
    let second = pinged(&peer);
    assert_ne!(first, second);
    stage.say(&peer, PONG, &first);
    stage.pass(2000);
    closed(&peer, "idle for too long");
}

/// A peer that takes what was queued is alive. Its late pong, to the earlier ping, must not count against it, and
/// the next silence causes another ping.
#[test]
fn a_ping_sent_before_the_peer_was_slow_is_forgotten() {
    let mut stage = stage(SocketOptions::new());
    let (feed, other) = (stage.websocket("/feed"), stage.websocket("/feed"));
    stage.pass(60_000 + LATE);
    let payload = pinged(&feed);
    pinged(&other);
    feed.narrow(0);
    stage.say(&other, TEXT, "news");
    assert!(feed.is_full());
    stage.pass(1000);
    stage.make_room(&feed, usize::MAX);
    assert_eq!(feed.texts(), ["news"]);
    stage.say(&feed, PONG, payload);
    stage.pass(60_000 + LATE);
    pinged(&feed);
}

/// While a peer takes its messages slowly, it cannot be pinged. That does not count against it, but a ping that it
/// does not answer afterwards does.
#[test]
fn a_peer_that_was_slow_for_longer_than_the_idle_timeout_is_pinged_first() {
    for answers in [true, false] {
        let mut stage = stage(SocketOptions::new());
        let (feed, other) = (stage.websocket("/feed"), stage.websocket("/feed"));
        feed.narrow(0);
        for _ in 0..13 {
            stage.say(&other, TEXT, "news that are longer than what is taken");
            stage.make_room(&feed, 1);
            stage.pass(10_000);
        }
        stage.make_room(&feed, usize::MAX);
        assert_eq!(feed.texts().len(), 13);
        stage.pass(LATE);
        let payload = pinged(&feed);
        stage.pass(59_000);
        if answers {
            stage.say(&feed, PONG, payload);
        }
        stage.pass(1000 + LATE);
        if answers {
            assert_eq!(feed.frames(), []);
            stage.pass(59_000);
            pinged(&feed);
        } else {
            closed(&feed, "idle for too long");
        }
    }
}

#[test]
fn a_lifetime_ends_a_slow_websocket() {
    let mut stage = stage(SocketOptions::new().lifetime(ms(10_000)));
    let peer = stage.websocket("/ws");
    peer.narrow(0);
    stage.say(&peer, TEXT, "longer than what is taken");
    for _ in 0..11 {
        stage.make_room(&peer, 1);
        stage.pass(1000);
    }
    // The Close comes after what was queued, and nothing comes after the Close.
    stage.say(&peer, TEXT, "too late");
    stage.make_room(&peer, usize::MAX);
    let [answer, close] = &peer.frames()[..] else { panic!("expected an answer and a Close") };
    assert_eq!((answer.text(), close.close_code()), ("longer than what is taken", 1001));
    assert_eq!(stage.counters().timeouts, 0);
}

#[test]
fn a_lifetime_ends_a_busy_websocket() {
    let mut stage = stage(SocketOptions::new().ping(ms(1000)).lifetime(ms(10_000)));
    let (peer, other) = (stage.websocket("/ws"), stage.websocket("/other"));
    for _ in 0..19 {
        stage.pass(500);
        stage.say(&peer, TEXT, "tick");
        assert_eq!(peer.texts(), ["tick"]);
    }
    stage.pass(500 + LATE);
    closed(&peer, "open for long enough");
    // The peer was not silent, so this is not a timeout.
    assert_eq!(stage.counters().timeouts, 0);
    stage.say(&peer, CLOSE, 1001u16.to_be_bytes());
    stage.say(&other, TEXT, "still here");
    assert_eq!(other.texts(), ["still here"]);
}

#[test]
fn a_lifetime_ends_a_websocket_without_other_timeouts() {
    let options = SocketOptions::new().ping(ms(0)).idle(ms(0)).lifetime(ms(3_600_000));
    let mut stage = stage(options);
    let peer = stage.websocket("/ws");
    stage.pass(3_599_900);
    assert_eq!(peer.frames(), []);
    stage.pass(100 + LATE);
    closed(&peer, "open for long enough");
}

/// The peer has five seconds to send its Close, as in any closing handshake.
#[test]
fn a_peer_that_never_answers_the_close_is_dropped() {
    let mut stage = stage(SocketOptions::new().lifetime(ms(1000)));
    let peer = stage.websocket("/ws");
    stage.pass(1000 + LATE);
    closed(&peer, "open for long enough");
    stage.pass(5000 - LATE);
    assert!(!peer.is_gone());
    stage.pass(2 * LATE);
    assert!(peer.is_gone());
    assert_eq!(stage.counters().timeouts, 1);
}
