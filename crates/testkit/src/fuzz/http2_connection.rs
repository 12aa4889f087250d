//! Runs a client's script through a whole engine: requests, content, resets, windows, WebSockets, all on one connection.
//!
//! The client is a [`Session`], which checks each frame of the server, and windows. Each response that is not cut off by
//! the script must be the one that its request asks for. With an impatient script the clock runs, and the server may shut
//! down; then only the frames are checked. A script may end in bytes that are no frames.

use super::http2_requests::{Asked, CONTENT_MAX, app, message};
use crate::http2::event::Event;
use crate::http2::frames::{Frame, HEADER, PREFACE, code, setting};
use crate::http2::hpack::Literal;
use crate::http2::session::{Session, Windows};
use fleeting::ConnId;
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::testing::rest::run_to_rest;
use fleeting::testing::stream::{MemoryStream, Pipe};
use fleeting::time::Now;
use fleeting::{Limits, Timeouts};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Streams that a client may have open.
const STREAMS: usize = 6;
/// The server may take more frames of the script than this for a flood.
const NOISE_MAX: usize = 900;

/// Panics if a handler panics, if the server sends what no correct server sends, if a response is not the one that was
/// asked for, or if a connection or a session is still open at the end.
pub fn http2_connection(bytes: &[u8]) {
    let [variant, script @ ..] = bytes else { return };
    let mut play = Play::new(*variant);
    let mut steps = script;
    while let [op, argument, rest @ ..] = steps {
        steps = rest;
        if op % 16 == 15 && *argument >= 0xf0 {
            play.client.output.extend_from_slice(rest);
            play.is_blind = true;
            break;
        }
        play.step(*op, *argument);
    }
    play.finish();

    let counters = play.engine.counters();
    assert_eq!(counters.panics, 0);
    assert_eq!(counters.connections, 0, "{:?}", play.engine);
    assert_eq!(play.opened.get(), play.ended.get(), "sessions that have begun, and ended");
}

/// Small, so that the script reaches them.
fn limits() -> Limits {
    crate::limits! {
    streams: STREAMS,
    headers: 16,
    head_bytes: 600,
    body_bytes: CONTENT_MAX,
    arena_bytes: 1024 }
}

struct Play {
    engine: Engine<MemoryStream>,
    now: Now,
    pipe: Rc<RefCell<Pipe>>,
    conn: ConnId,
    client: Session,
    asked: Vec<Asked>,
    opened: Rc<Cell<u64>>,
    ended: Rc<Cell<u64>>,
    is_impatient: bool,
    /// The server has ended the connection, or has been told to.
    is_over: bool,
    /// The client sends what is no frame.
    is_blind: bool,
    /// The connection may have ended before the whole preface has arrived.
    is_http1: bool,
    /// Bytes that were delivered.
    delivered: usize,
    /// Frames that bring nothing.
    noise: usize,
}

impl Play {
    fn new(variant: u8) -> Play {
        let (opened, ended) = (Rc::default(), Rc::default());
        let app = app(&opened, &ended);
        assert_eq!(app.check(), Ok(()));
        let is_impatient = variant & 1 != 0;
        let timeouts = if is_impatient { Timeouts::default() } else { super::connection::never() };
        let settings = Settings { limits: limits(), timeouts, ..Settings::default() };
        let now = Now { ms: 1, unix_secs: 784_111_777 };
        let mut engine = Engine::new(app, settings, now);
        let pipe = Rc::new(RefCell::new(Pipe::with_room(if variant & 2 != 0 { 0 } else { usize::MAX })));
        let conn = engine.accept(MemoryStream::new(&pipe), None);
        let window = [65_535, 1, 100, 1 << 20][usize::from(variant >> 4 & 3)];
        let mut client = Session::client(&[(setting::INITIAL_WINDOW_SIZE, window)]);
        client.windows = match variant >> 2 & 3 {
            0 | 1 => Windows::Open,
            2 => Windows::OfConnection,
            _ => Windows::Closed,
        };
        Play {
            engine,
            now,
            pipe,
            conn,
            client,
            asked: Vec::new(),
            opened,
            ended,
            is_impatient,
            is_over: false,
            is_blind: false,
            is_http1: false,
            delivered: 0,
            noise: 0,
        }
    }

    fn step(&mut self, op: u8, argument: u8) {
        let amount = usize::from(argument);
        match op % 16 {
            // The server remembers so many that it has reset.
            0..=2 if self.asked.len() < 100 => {
                let asked = Asked::open(&mut self.client, argument);
                self.asked.push(asked);
            }
            0..=2 => {}
            3 | 4 => self.content(amount),
            5 => self.with(amount, |asked, client, _| asked.end(client)),
            6 => self.with(amount, |asked, client, _| asked.end_by_trailers(client)),
            7 => self.with(amount, |asked, client, _| {
                asked.is_cut = true;
                client.reset(asked.stream, code::CANCEL);
            }),
            8 => {
                self.noise += 1;
                let more = [1, 100, 10_000, 100_000][amount % 4];
                let stream = self.asked.get(amount / 4).map_or(0, |asked| asked.stream);
                self.client.grant(stream, more);
            }
            9 => self.settings(amount),
            10 => self.other(amount),
            11 => self.deliver(1 + amount / 4),
            12 => self.deliver(usize::MAX),
            13 => {
                self.pipe.borrow_mut().add_room(1 + amount * amount / 4);
                self.event(Readiness { writable: true, ..Readiness::default() });
            }
            14 => {
                self.client.encoder.huffman = amount & 1 != 0;
                let literals = [Literal::Indexed, Literal::NotIndexed, Literal::NeverIndexed];
                self.client.encoder.literal = literals[amount / 2 % 3];
            }
            _ if self.is_impatient => {
                // As yet, the connection may be one of HTTP/1.1, and is answered as such if it ends.
                self.is_http1 |= self.delivered < PREFACE.len();
                self.be_impatient(amount);
            }
            _ => {
                self.pipe.borrow_mut().interrupted = true;
                self.event(Readiness { readable: true, writable: true, ..Readiness::default() });
            }
        }
    }

    fn be_impatient(&mut self, amount: usize) {
        match amount % 8 {
            0 => {
                self.is_over = true;
                self.engine.shutdown();
                self.event(Readiness::default());
            }
            1 => self.engine.abort(self.conn),
            _ => {
                self.now.ms += 400 * amount as u64;
                self.event(Readiness::default());
            }
        }
    }

    /// Does something with one of the streams on which the client may still send.
    fn with(&mut self, choice: usize, act: impl FnOnce(&mut Asked, &mut Session, usize)) {
        let open: Vec<usize> =
            (0..self.asked.len()).filter(|at| self.client.is_writable(self.asked[*at].stream)).collect();
        if let Some(at) = open.get(choice % 8 % open.len().max(1)) {
            act(&mut self.asked[*at], &mut self.client, choice / 8);
        }
    }

    fn content(&mut self, argument: usize) {
        // Perhaps without any content.
        self.noise += 1;
        self.with(argument, |asked, client, size| {
            if asked.is_socket() {
                asked.send(client, &message(size));
            } else {
                let length = [1, 0, 100, 1000, 5000, 16_384, 20_000][size % 7];
                asked.send(client, &vec![b'a' + size as u8; length]);
            }
        });
    }

    fn settings(&mut self, amount: usize) {
        self.noise += 1;
        let (id, value) = match amount % 8 {
            0 => (setting::HEADER_TABLE_SIZE, 0),
            1 => (setting::HEADER_TABLE_SIZE, 4096),
            at => (setting::INITIAL_WINDOW_SIZE, [0, 1, 1000, 65_535, 16_384, 1 << 20][at - 2]),
        };
        self.client.set(&[(id, value)]);
    }

    /// Frames that a server answers, or ignores.
    fn other(&mut self, amount: usize) {
        self.noise += 1;
        let frame = match amount % 4 {
            0 => Frame::ping([7; 8]),
            1 => Frame::priority(1 + 2 * (amount as u32 / 4), 0, 15),
            2 => Frame::new(0x63, 0xff, amount as u32, [0; 7]),
            _ => Frame::goaway(0, code::NO_ERROR),
        };
        self.client.put(&frame);
    }

    /// Delivers at most `bytes` bytes of what the client has sent.
    fn deliver(&mut self, bytes: usize) {
        let output = &mut self.client.output;
        let piece: Vec<u8> = output.drain(..output.len().min(bytes)).collect();
        self.delivered += piece.len();
        self.pipe.borrow_mut().deliver(&piece);
        self.event(Readiness { readable: true, ..Readiness::default() });
    }

    /// Runs one turn of the loop, and further ones as long as the engine asks for them. Reads what the server has sent.
    fn event(&mut self, readiness: Readiness) {
        self.engine.begin(self.now);
        self.engine.ready(self.conn, readiness);
        run_to_rest(&mut self.engine, self.now);
        self.read();
    }

    fn read(&mut self) {
        let mut written = std::mem::take(&mut self.pipe.borrow_mut().written);
        if self.is_http1 {
            return;
        }
        let mut from = 0;
        while let Some((frame, length)) = Frame::parse(&written[from..]) {
            from += length;
            assert!(length <= HEADER + 16_384, "{frame:?}");
            if self.is_blind {
                continue;
            }
            let event = self.client.receive(&frame).unwrap_or_else(|problem| panic!("{problem}"));
            match event {
                Event::Fields { stream, fields, end } => self.find(stream).take_fields(&fields, end),
                Event::Data { stream, data, end, .. } => self.find(stream).take_data(&data, end),
                Event::Reset { stream, code } => self.find(stream).reset = Some(code),
                Event::GoAway { code: code::NO_ERROR, .. } => assert!(self.is_impatient, "{frame:?}"),
                Event::GoAway { code: code::ENHANCE_YOUR_CALM, .. } => {
                    let is_flood = self.noise + self.asked.len() > NOISE_MAX;
                    assert!(is_flood || self.is_impatient, "{frame:?}");
                    self.is_over = true;
                }
                Event::GoAway { .. } => panic!("the client is correct: {frame:?}"),
                _ => {}
            }
        }
        written.drain(..from);
        // What is left is the beginning of a frame.
        let length = written.get(..3).unwrap_or_default();
        assert!(length <= &[0, 0x40, 0][..], "no frame: {}", written.escape_ascii());
        self.pipe.borrow_mut().written = written;
    }

    fn find(&mut self, stream: u32) -> &mut Asked {
        self.asked.iter_mut().find(|asked| asked.stream == stream).expect("the session knows it")
    }

    /// Lets every response come to its end, and checks it. Then the client ends the connection.
    fn finish(&mut self) {
        let both = Readiness { readable: true, writable: true, ..Readiness::default() };
        self.pipe.borrow_mut().add_room(usize::MAX);
        self.event(both);
        if !self.is_blind && !self.is_impatient {
            self.complete();
        }
        self.deliver(usize::MAX);
        self.pipe.borrow_mut().ended = true;
        self.event(Readiness { ended: true, ..both });
        if self.is_blind {
            // Its responses may wait for a window for ever.
            self.engine.abort(self.conn);
            self.event(Readiness::default());
        } else if self.is_impatient {
            self.wait_for_the_end();
        } else {
            assert!(self.pipe.borrow().written.is_empty() || self.is_over, "a frame is cut short");
        }
    }

    fn complete(&mut self) {
        self.client.windows = Windows::Open;
        self.client.grant(0, 8 << 20);
        for asked in &mut self.asked {
            self.client.grant(asked.stream, 1 << 20);
        }
        // Each round, content is delivered, and room for more comes back.
        for _ in 0..100 {
            for asked in &mut self.asked {
                if self.client.is_writable(asked.stream) && asked.send_rest(&mut self.client) {
                    asked.end(&mut self.client);
                }
            }
            if self.client.output.is_empty() || self.is_over {
                break;
            }
            self.deliver(usize::MAX);
        }
        if !self.is_over {
            assert_eq!(self.client.output.len(), 0, "there is always more to send");
            let many = self.asked.len() > STREAMS;
            self.asked.iter().for_each(|asked| asked.check(many));
            assert_eq!(self.engine.next_ms(), None);
        }
    }

    /// Lets time pass without any events, so that timeouts end the connections.
    fn wait_for_the_end(&mut self) {
        for _ in 0..60 {
            if self.engine.counters().connections == 0 {
                return;
            }
            self.now.ms += 10_000;
            self.event(Readiness::default());
        }
        panic!("never closed: {:?}", self.engine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_valid_input() {
        http2_connection(b"");
        http2_connection(b"\0");
        http2_connection(&[0, 0, 10, 12, 0, 3, 0, 12, 0]);
    }
}
