//! Measures what a million connections cost one worker's engine, over streams in memory.
//!
//! `cargo bench -p fleeting --bench million [-- CONNECTIONS]`. Prints a table for 1,000 connections and one for CONNECTIONS,
//! 1,000,000 by default (a multiple of 1,000). Bytes are what the engine has asked the allocator for; the sockets' share in the kernel is what
//! `benches/sweep --only memory` measures. Times are CPU times of this thread. A stream is as small as a socket's
//! descriptor, and costs no system call. All connections are opened
//! at the same moment of the engine's clock, so their timers fall into one turn: the worst case.

use allocation_counter::measure;
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::time::Now;
use fleeting::transport::Stream;
use fleeting::{App, ConnId, Error, Message, Request, Response, Socket, WebSocket};
use std::io::{self, ErrorKind, IoSlice};

/// Connections that are busy in a turn.
const BUSY: usize = 1000;
/// Turns of which the mean is taken.
const TURNS: usize = 200;
const TOPIC: &str = "prices.eur";

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
const OPEN: &[u8] = b"GET /feed HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SUBSCRIBE: &[u8] = b"GET /feed?a HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// "hello", masked with zeros.
const FRAME: &[u8] = b"\x81\x85\0\0\0\0hello";

/// What a peer sends, by number; nothing for 0.
const SENDS: [&[u8]; 5] = [b"", GET, OPEN, SUBSCRIBE, FRAME];
const REQUEST: u32 = 1;
const MESSAGE: u32 = 4;

/// A peer that takes all bytes, and sends its request or message on demand.
struct Peer(u32);

impl Stream for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = SENDS[std::mem::take(&mut self.0) as usize];
        if bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(buffers.iter().map(|buffer| buffer.len()).sum())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Subscribes to [`TOPIC`] if there is a query, and echoes.
struct Feed;

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        if req.query().is_some() {
            socket.subscribe(TOPIC)?;
        }
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

/// The CPU time of this thread in nanoseconds.
fn cpu_ns() -> u64 {
    // The system brings the count up to date when a thread yields, and otherwise every few milliseconds.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("the first number is the time")
}

/// Returns the CPU time of a call in nanoseconds.
fn timed(call: impl FnOnce()) -> u64 {
    let before = cpu_ns();
    call();
    cpu_ns() - before
}

/// Turns that were taken until something was done.
#[derive(Default)]
struct Turns {
    count: u64,
    ns: u64,
    longest_ns: u64,
}

impl Turns {
    fn add(&mut self, ns: u64) {
        self.count += 1;
        self.ns += ns;
        self.longest_ns = self.longest_ns.max(ns);
    }

    fn row(&self, what: &str, connections: usize) {
        let each = self.ns as f64 / connections as f64;
        let (all, longest) = (self.ns as f64 / 1e6, self.longest_ns as f64 / 1e6);
        println!(
            "| {what} | {each:.0} ns each, {all:.2} ms in {} turns, the longest {longest:.2} ms |",
            self.count
        );
    }
}

/// An engine and its connections.
struct Rig {
    engine: Engine<Peer>,
    ids: Vec<ConnId>,
    now: Now,
    /// What a busy connection sends.
    sends: u32,
}

impl Rig {
    fn new(connections: usize, sends: u32) -> Rig {
        let app = App::new().get("/", |_req| Ok(Response::text("hello"))).ws("/feed", Feed);
        let now = Now { ms: 1, unix_secs: 784_111_777 };
        let mut settings = Settings::default();
        // The tables begin small, so that all of their memory is counted.
        settings.limits.connections = 1;
        let engine = Engine::new(app, settings, now);
        Rig { engine, ids: Vec::with_capacity(connections), now, sends }
    }

    fn turn(&mut self) {
        self.engine.begin(self.now);
        self.engine.run();
    }

    /// Opens a connection on which `first` is sent.
    fn open(&mut self, first: u32) {
        self.engine.begin(self.now);
        let id = self.engine.accept(Peer(first), None);
        self.engine.ready(id, READABLE);
        self.engine.run();
        self.ids.push(id);
    }

    /// Gives a turn in which [`BUSY`] connections send something, evenly spread over all, from the `first` on.
    fn busy_turn(&mut self, first: usize) {
        self.engine.begin(self.now);
        for &id in self.ids.iter().skip(first).step_by(self.ids.len() / BUSY).take(BUSY) {
            self.engine.stream_mut(id).expect("it is open").0 = self.sends;
            self.engine.ready(id, READABLE);
        }
        self.engine.run();
    }

    /// Returns the nanoseconds that a busy connection costs in a turn. With `rotates`, others are busy in each turn.
    fn busy(&mut self, rotates: bool) -> f64 {
        let step = self.ids.len() / BUSY;
        let first = |turn: usize| if rotates { turn % step } else { 0 };
        (0..10).for_each(|turn| self.busy_turn(first(turn)));
        let ns = timed(|| (10..10 + TURNS).for_each(|turn| self.busy_turn(first(turn))));
        ns as f64 / (TURNS * BUSY) as f64
    }

    /// Takes turns, after `begin`, until nothing is due at once.
    fn settle(&mut self, begin: impl FnOnce(&mut Engine<Peer>)) -> Turns {
        let mut turns = Turns::default();
        let mut begin = Some(begin);
        while begin.is_some() || self.engine.next_ms() == Some(0) {
            turns.add(timed(|| {
                if let Some(begin) = begin.take() {
                    begin(&mut self.engine);
                }
                self.turn();
            }));
        }
        turns
    }

    /// Lets `secs` pass in steps of a tick, or less if a shutdown is complete before. Returns the turns.
    fn pass(&mut self, secs: u64) -> Turns {
        let mut turns = Turns::default();
        for _ in 0..secs * 1000 / 128 {
            self.now.ms += 128;
            turns.add(timed(|| self.turn()));
            if self.engine.is_over() {
                break;
            }
        }
        turns
    }
}

const READABLE: Readiness = Readiness { readable: true, urgent: false, writable: false, ended: false };

const SUBSCRIBERS: &str = "WebSockets, subscribed";

/// Prints one table.
fn report(kind: &str, connections: usize, first: u32, sends: u32) {
    let mut rig = Rig::new(connections, sends);
    // What the engine takes once, and keeps.
    rig.open(first);
    let id = rig.ids.pop().expect("one was opened");
    rig.engine.abort(id);
    let mut opening = Turns::default();
    let memory = measure(|| {
        for _ in 0..connections / BUSY {
            opening.add(timed(|| (0..BUSY).for_each(|_| rig.open(first))));
        }
    });
    let each = |bytes: i64| bytes as f64 / connections as f64;
    println!("\n| {connections} {kind} | |\n| --- | --- |");
    println!(
        "| bytes each | {:.0}, {:.0} while the tables grow |",
        each(memory.bytes_current),
        each(memory.bytes_max as i64)
    );
    opening.row("open", connections);
    let idle = timed(|| (0..TURNS).for_each(|_| rig.turn())) as f64 / TURNS as f64;
    println!("| a turn with nothing to do | {idle:.0} ns |");
    println!("| busy, the same {BUSY} in each turn | {:.0} ns each |", rig.busy(false));
    println!("| busy, others in each turn | {:.0} ns each |", rig.busy(true));
    if kind == SUBSCRIBERS {
        let before = rig.engine.counters().delivered;
        let publish =
            |engine: &mut Engine<Peer>| engine.publish(TOPIC, Message::Text("1.08")).expect("it is valid");
        rig.settle(publish).row("a publication to all", connections);
        assert_eq!(rig.engine.counters().delivered - before, connections as u64);
    }
    rig.pass(20).row("timers in 20 s that end no wait", connections);
    rig.settle(Engine::shutdown).row("shutdown", connections);
    let open = rig.engine.counters().connections;
    let ends = rig.pass(40);
    if open > 0 {
        ends.row("the end of those that do not answer it", connections);
    }
    assert!(rig.engine.is_over());
}

fn main() {
    let connections = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(1_000_000);
    for connections in [BUSY, connections] {
        report("keep-alive connections", connections, REQUEST, REQUEST);
        report("WebSockets", connections, 2, MESSAGE);
        report(SUBSCRIBERS, connections, 3, MESSAGE);
    }
}
