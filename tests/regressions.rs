//! Cases that the simulator has found, each without randomness.

use crate::simulator::service::{Log, STATIC_BYTES, app, flood};
use crate::simulator::wire::{SimStream, Wire};
use fleeting::ConnId;
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::testing::rest::run_to_rest;
use fleeting::time::Now;
use fleeting_testkit::client::handshake;
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::session::Session;
use fleeting_testkit::random::Random;
use fleeting_testkit::ws::frames::{client_frame, server_frame};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const MASK: [u8; 4] = [1, 2, 3, 4];

/// An engine with one connection.
struct Bench {
    engine: Engine<SimStream>,
    clock: Rc<Cell<u64>>,
    wire: Rc<RefCell<Wire>>,
    id: ConnId,
}

impl Bench {
    /// Connects a client whose `stream` arrives as [`turn`](Bench::turn) delivers it, through a pipe of `capacity`
    /// bytes.
    fn new(settings: Settings, stream: &[u8], capacity: usize) -> Bench {
        let clock = Rc::new(Cell::new(1000));
        let mut wire = Wire::new(&clock, Random::new(0), stream.to_vec());
        wire.set_capacity(capacity);
        let wire = Rc::new(RefCell::new(wire));
        let now = Now { ms: clock.get(), unix_secs: 0 };
        let mut engine = Engine::new(app(&Rc::new(Log::default())), settings, now);
        let id = engine.accept(Wire::stream(&wire), None);
        Bench { engine, clock, wire, id }
    }

    /// Lets time pass, delivers bytes, and lets the engine do all it can.
    fn turn(&mut self, passes_ms: u64, bytes: usize) {
        self.clock.set(self.clock.get() + passes_ms);
        self.wire.borrow_mut().arrive(bytes);
        let now = Now { ms: self.clock.get(), unix_secs: 0 };
        self.engine.begin(now);
        while self.wire.borrow().is_due() {
            let due: Readiness = std::mem::take(&mut self.wire.borrow_mut().due);
            self.engine.ready(self.id, due);
        }
        run_to_rest(&mut self.engine, now);
        assert_eq!(self.wire.borrow().violation, None);
    }

    /// The client takes everything until nothing more comes.
    fn take_all(&mut self) {
        loop {
            let waiting = self.wire.borrow().waiting();
            if waiting == 0 {
                return;
            }
            self.wire.borrow_mut().take(waiting);
            self.turn(0, 0);
        }
    }
}

/// Backpressure can begin while the session's messages are in the cork, and then the stream takes everything at once.
/// No outbox ever drains, but `drain` must still be called.
#[test]
fn drain_is_called_when_backpressure_ends_within_the_turn() {
    let mut settings = Settings::default();
    settings.limits.outbox_bytes = 100;
    let stream = [handshake("/ws", "").as_bytes(), &client_frame(0x81, b"flood abc 20 90", MASK)].concat();
    let mut bench = Bench::new(settings, &stream, usize::MAX);
    bench.turn(0, stream.len());
    let frames: Vec<u8> =
        (1..=20).flat_map(|at| server_frame(0x81, flood("abc", at, 90).as_bytes())).collect();
    assert!(bench.wire.borrow().pipe.written.ends_with(&frames), "not all was sent");
}

/// The same with the client's end right behind its order. The session's messages go first, as they do when an outbox
/// holds them back.
#[test]
fn a_clients_end_is_read_after_its_backpressure_has_ended() {
    let mut settings = Settings::default();
    settings.limits.outbox_bytes = 100;
    let stream = [handshake("/ws", "").as_bytes(), &client_frame(0x81, b"flood abc 20 90", MASK)].concat();
    let mut bench = Bench::new(settings, &stream, usize::MAX);
    bench.wire.borrow_mut().finish();
    bench.turn(0, stream.len());
    let wire = bench.wire.borrow();
    let last = server_frame(0x81, flood("abc", 20, 90).as_bytes());
    assert!(wire.pipe.written.ends_with(&last), "not all was sent");
    assert!(wire.dropped.is_some());
}

/// The response was being sent when the shutdown began, so it did not announce the close. Once the client has taken it,
/// the connection must close without waiting for the end of the grace period.
#[test]
fn a_connection_that_becomes_idle_after_the_shutdown_is_closed() {
    let stream = b"GET /static HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut bench = Bench::new(Settings::default(), stream, 10_000);
    bench.turn(0, stream.len());
    bench.engine.shutdown();
    assert!(!bench.engine.is_over());
    bench.take_all();
    assert!(bench.wire.borrow().pipe.written.len() > STATIC_BYTES);
    assert!(bench.wire.borrow().write_ended.is_some(), "the connection is kept");
    bench.wire.borrow_mut().finish();
    bench.turn(0, 0);
    assert!(bench.engine.is_over());
}

/// The same with content that is being discarded at the time of the shutdown.
#[test]
fn a_connection_whose_last_content_is_discarded_after_the_shutdown_is_closed() {
    let stream = b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let mut bench = Bench::new(Settings::default(), stream, usize::MAX);
    bench.turn(0, stream.len() - 2);
    bench.engine.shutdown();
    assert!(bench.wire.borrow().dropped.is_none());
    bench.turn(0, 2);
    assert!(bench.wire.borrow().write_ended.is_some(), "the connection is kept");
}

/// RFC 6455 §7.1.1 leaves open how long to wait for the peer's Close. The peer must not be able to extend the wait.
#[test]
fn a_peer_that_keeps_sending_does_not_delay_the_close() {
    let ping = client_frame(0x89, b"still here", MASK);
    let head = [handshake("/ws", "").as_bytes(), &client_frame(0x81, b"close", MASK)].concat();
    let stream = [&head[..], &ping.repeat(20)].concat();
    let settings = Settings::default();
    let close_secs = settings.timeouts.close.as_secs();
    let mut bench = Bench::new(settings, &stream, usize::MAX);
    bench.turn(0, head.len());
    for _ in 0..=close_secs {
        assert!(bench.wire.borrow().dropped.is_none());
        bench.turn(1000, ping.len());
    }
    assert!(bench.wire.borrow().dropped.is_some(), "the peer keeps the connection");
}

/// RFC 9110 §9.3.2: a response to HEAD has no content, even if it is an error.
#[test]
fn a_head_request_refused_for_its_content_is_answered_without_content() {
    let stream = b"HEAD /bye HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";
    let mut bench = Bench::new(Settings::default(), stream, usize::MAX);
    bench.turn(0, stream.len());
    let wire = bench.wire.borrow();
    assert!(wire.pipe.written.starts_with(b"HTTP/1.1 413 "));
    assert!(wire.pipe.written.ends_with(b"\r\n\r\n"), "{}", wire.pipe.written.escape_ascii());
}

/// The client has ended its side while another thread makes its answer, and then it is gone. Nothing is read any more, so only the
/// poll shows that.
#[test]
fn a_connection_of_http2_is_dropped_when_its_client_is_gone() {
    let settings = Settings { half_close: true, ..Settings::default() };
    let mut session = Session::client(&[]);
    session.open(&head("GET", "/later/x/yes"), true);
    let mut bench = Bench::new(settings, &session.output, usize::MAX);
    bench.turn(0, session.output.len());
    bench.wire.borrow_mut().finish();
    bench.turn(0, 0);
    assert_eq!(bench.wire.borrow().dropped, None);
    bench.wire.borrow_mut().reset();
    bench.turn(0, 0);
    bench.engine.failed(bench.id);
    assert!(bench.wire.borrow().dropped.is_some());
}
