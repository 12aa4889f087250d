//! However a client's bytes are cut into reads, the engine sends the same answers and calls handlers with the same
//! data.
//!
//! Each connection of a corpus is played in one piece and cut once at every place, and the short ones are cut twice.

use crate::simulator::service::{Log, app};
use crate::simulator::wire::{SimStream, Wire};
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::testing::rest::run_to_rest;
use fleeting::time::Now;
use fleeting_testkit::client::handshake;
use fleeting_testkit::random::Random;
use fleeting_testkit::ws::frames::client_frame;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const NOW: Now = Now { ms: 5000, unix_secs: 784_111_777 };
/// Streams up to this length are cut twice.
const TWICE_BYTES_MAX: usize = 200;
/// The maximum number of cuts in three per stream.
const TWICE_MAX: usize = 4000;

/// The effects of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    written: String,
    /// The engine ended its side before the client did.
    ended: bool,
    calls: Vec<String>,
}

struct Bench {
    engine: Engine<SimStream>,
    log: Rc<Log>,
    clock: Rc<Cell<u64>>,
}

impl Bench {
    fn new() -> Bench {
        let log = Rc::new(Log::default());
        let mut settings = Settings::default();
        settings.limits.arena_bytes = 1024;
        settings.limits.body_bytes = 100;
        settings.limits.head_bytes = 300;
        settings.limits.message_bytes = 50;
        let engine = Engine::new(app(&log), settings, NOW);
        Bench { engine, log, clock: Rc::new(Cell::new(NOW.ms)) }
    }

    /// Plays a connection whose bytes arrive up to each of `cuts`, and then completely. Then it ends.
    fn play(&mut self, stream: &[u8], cuts: &[usize]) -> Outcome {
        *self.log.lines.borrow_mut() = Some(Vec::new());
        let wire = Rc::new(RefCell::new(Wire::new(&self.clock, Random::new(0), stream.to_vec())));
        self.engine.begin(NOW);
        let id = self.engine.accept(Wire::stream(&wire), None);
        let mut from = 0;
        for to in cuts.iter().copied().chain([stream.len()]) {
            wire.borrow_mut().arrive(to - from);
            from = to;
            self.report(id, Readiness { readable: true, writable: true, ..Readiness::default() });
        }
        let ended = wire.borrow().write_ended.is_some();
        wire.borrow_mut().finish();
        self.report(id, Readiness { readable: true, writable: true, ended: true, ..Readiness::default() });
        let wire = wire.borrow();
        assert!(wire.dropped.is_some(), "{} is still open", stream.escape_ascii());
        assert_eq!(wire.violation, None, "{}", stream.escape_ascii());
        let written = wire.pipe.written.escape_ascii().to_string();
        Outcome { written, ended, calls: self.log.lines.take().unwrap_or_default() }
    }

    fn report(&mut self, id: fleeting::ConnId, readiness: Readiness) {
        self.engine.begin(NOW);
        self.engine.ready(id, readiness);
        run_to_rest(&mut self.engine, NOW);
    }

    /// Checks a stream under all cuts. The number of responses with a Date and of `calls` ensure that the stream is
    /// what it is meant to be.
    fn check(&mut self, stream: &[u8], answers: usize, calls: usize) {
        let whole = self.play(stream, &[]);
        let shown = stream.escape_ascii();
        assert_eq!(whole.calls.len(), calls, "{shown}: {whole:#?}");
        assert_eq!(whole.written.matches("\\r\\nDate: ").count(), answers, "{shown}: {whole:#?}");
        for cut in 0..=stream.len() {
            assert_eq!(self.play(stream, &[cut]), whole, "{shown} cut at {cut}");
        }
        let bytewise: Vec<usize> = (1..stream.len()).collect();
        assert_eq!(self.play(stream, &bytewise), whole, "{shown} a byte at a time");
        if stream.len() > TWICE_BYTES_MAX {
            return;
        }
        // Coprime to most lengths, so that all kinds of places have their turn.
        let step = (stream.len() * stream.len() / 2 / TWICE_MAX) * 2 + 1;
        let pairs = (0..stream.len()).flat_map(|a| (a..stream.len()).map(move |b| [a, b]));
        for cuts in pairs.step_by(step) {
            assert_eq!(self.play(stream, &cuts), whole, "{shown} cut at {cuts:?}");
        }
    }

    fn http(&mut self, stream: &str, answers: usize, calls: usize) {
        self.check(stream.as_bytes(), answers, calls);
    }

    /// Checks frames after a handshake, which calls the layer and `open`.
    fn frames(&mut self, frames: &[u8], calls: usize) {
        self.check(&[handshake("/ws", "").as_bytes(), frames].concat(), 1, calls + 2);
    }
}

#[test]
fn requests_are_answered_the_same_however_they_are_cut() {
    let mut bench = Bench::new();
    bench.http("GET /tag/a HTTP/1.1\r\nHost: a\r\n\r\n", 1, 1);
    bench.http(
        "\r\nHEAD /tag/a%20b?c HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\n",
        2,
        2,
    );
    bench.http("GET /tag/a HTTP/1.0\r\n\r\nGET /tag/b HTTP/1.0\r\n\r\n", 1, 1);
    bench.http(&"GET /tag/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(6), 6, 6);
    bench.http("GET /bye HTTP/1.1\r\nHost: a\r\n\r\nGET /tag/b HTTP/1.1\r\nHost: a\r\n\r\n", 1, 1);
    bench.http("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nPUT /bye HTTP/1.1\r\nHost: a\r\n\r\n", 2, 2);
    bench.http("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /tag/b HTTP/1.1\r\nHost: a\r\n\r\n", 2, 2);
    bench.http("POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nGET /bye GET /tag/b HTTP/1.1\r\nHost: a\r\n\r\n", 2, 2);
    bench.http("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", 0, 0);
}

#[test]
fn chunked_content_is_read_the_same_however_it_is_cut() {
    let mut bench = Bench::new();
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let next = "GET /tag/b HTTP/1.1\r\nHost: a\r\n\r\n";
    bench.http(&format!("{post}3\r\nabc\r\n00a;x=\"y;\"\r\n0123456789\r\n0\r\nS: 1\r\n\r\n{next}"), 2, 2);
    bench.http(&format!("{post}3\r\nabcd"), 1, 0);
    bench.http(&format!("{post}3\r\nabc\r\n0\r\nHost: b\r\n\r\n{next}"), 1, 0);
    bench.http(&format!("{post}3\r\nabc\r\n62\r\n"), 1, 0);
    let lost = "POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    bench.http(&format!("{lost}3\r\nabc\r\n0\r\n\r\n{next}"), 2, 2);
    bench.http(&format!("{lost}3\r\nabcd{next}"), 1, 1);
    let expect = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
    bench.http(&format!("{expect}Content-Length: 3\r\n\r\nabc{next}"), 2, 2);
    bench.http(&format!("{expect}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), 1, 1);
    bench.http(&format!("{expect}Content-Length: 101\r\n\r\nabc"), 1, 0);
}

#[test]
fn requests_are_refused_the_same_however_they_are_cut() {
    let mut bench = Bench::new();
    let next = "GET /tag/b HTTP/1.1\r\nHost: a\r\n\r\n";
    for bad in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HEAD /bye HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n",
    ] {
        bench.http(&format!("{next}{bad}{next}"), 2, 1);
    }
    bench.http(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(300)), 1, 0);
}

#[test]
fn websockets_behave_the_same_however_frames_are_cut() {
    let mut bench = Bench::new();
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let frame = |first, payload: &[u8]| client_frame(first, payload, mask);
    let (hello, close) = (frame(0x81, "hé".as_bytes()), frame(0x88, b"\x03\xe8bye"));
    bench.frames(&[&hello[..], &frame(0x82, b"\0\xff"), &close, &hello].concat(), 3);
    bench.frames(
        &[frame(0x01, b"h\xc3"), frame(0x89, b"p"), frame(0x80, b"\xa9"), frame(0x88, b"")].concat(),
        2,
    );
    bench.frames(&[&hello[..], &frame(0x81, b"\xc3("), &hello].concat(), 2);
    bench.frames(&[&hello[..], &frame(0x83, b""), &hello].concat(), 2);
    bench.frames(&frame(0x82, &[7; 51]), 1);
    bench.frames(&[frame(0x81, b"close"), hello.clone(), close.clone(), hello.clone()].concat(), 2);
    bench.frames(&[frame(0x81, b"panic"), hello.clone(), close].concat(), 2);
    bench.frames(&frame(0x81, b"flood abc 3 5"), 2);
    bench.http("GET /ws HTTP/1.1\r\nHost: a\r\n\r\nGET /tag/b HTTP/1.1\r\nHost: a\r\n\r\n", 2, 2);
}
