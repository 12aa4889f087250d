//! Drives an engine directly, over streams in memory and in simulated time.
//!
//! Nothing is random and no kernel is involved: a stream takes exactly as much as there is room for.

use fleeting::ConnId;
use fleeting::engine::{Counters, Engine, Readiness, Settings};
use fleeting::testing::rest::{later, next_turn, run_to_rest};
use fleeting::testing::stream::{MemoryStream, Pipe};
use fleeting::testing::wire;
use fleeting::time::Now;
use fleeting::{App, Handle};
use fleeting_testkit::client::{Frame, frame, handshake};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// The client's end of the connection `id`.
pub struct Peer {
    pub id: ConnId,
    pub pipe: Rc<RefCell<Pipe>>,
}

/// An engine and the time.
pub struct Driver {
    pub engine: Engine<MemoryStream>,
    pub now: Now,
}

impl Driver {
    pub fn new(app: App, settings: Settings) -> Driver {
        let handle = Handle::unattended(usize::from(settings.worker) + 1);
        Driver::with_handle(app, settings, &handle)
    }

    pub fn with_handle(app: App, settings: Settings, handle: &Handle) -> Driver {
        assert_eq!(app.check(), Ok(()));
        let now = Now { ms: 1_000_000, unix_secs: 1_767_225_600 };
        Driver { engine: Engine::with_handle(app, settings, now, handle), now }
    }

    /// Opens a connection that has room for everything.
    pub fn connect(&mut self) -> Peer {
        let pipe = Rc::new(RefCell::new(Pipe::with_room(usize::MAX)));
        Peer { id: self.engine.accept(MemoryStream::new(&pipe), None), pipe }
    }

    /// Opens a WebSocket that has room for everything.
    pub fn websocket(&mut self, path: &str) -> Peer {
        self.websocket_with(path, "").0
    }

    /// Opens a WebSocket with further handshake `fields`. Also returns the head of the response.
    pub fn websocket_with(&mut self, path: &str, fields: &str) -> (Peer, String) {
        let peer = self.connect();
        self.arrive(&peer, handshake(path, fields).as_bytes());
        let mut pipe = peer.pipe.borrow_mut();
        let head =
            wire::Head::read(&pipe.written).unwrap_or_else(|error| panic!("{error}")).expect("an answer");
        assert_eq!(head.status(), 101, "{head:?}");
        pipe.written.drain(..head.bytes().len());
        let head = String::from_utf8(head.bytes().to_vec()).expect("ASCII");
        drop(pipe);
        (peer, head)
    }

    /// Sends `bytes` on a new connection that has room for everything.
    pub fn raw(&mut self, bytes: &[u8]) -> Peer {
        let pipe = Rc::new(RefCell::new(Pipe::with_room(usize::MAX)));
        let id = self.engine.accept(MemoryStream::new(&pipe), None);
        let peer = Peer { id, pipe };
        self.arrive(&peer, bytes);
        peer
    }

    /// Sends a GET, and takes the head of its response, which it returns.
    pub fn get(&mut self, target: &str, version: &str) -> (Peer, wire::Head) {
        let peer = self.raw(format!("GET {target} {version}\r\nHost: test\r\n\r\n").as_bytes());
        let mut pipe = peer.pipe.borrow_mut();
        let head =
            wire::Head::read(&pipe.written).unwrap_or_else(|error| panic!("{error}")).expect("an answer");
        pipe.written.drain(..head.bytes().len());
        drop(pipe);
        (peer, head)
    }

    /// Runs a turn without an event.
    pub fn turn(&mut self) {
        self.engine.begin(self.now);
        run_to_rest(&mut self.engine, self.now);
    }

    /// Delivers `bytes` and lets the engine do all it can.
    pub fn arrive(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.pipe.borrow_mut().deliver(bytes);
        self.engine.begin(self.now);
        self.engine.ready(peer.id, Readiness { readable: true, ..Readiness::default() });
        run_to_rest(&mut self.engine, self.now);
    }

    /// Delivers a whole message or a control frame.
    pub fn send(&mut self, peer: &Peer, opcode: u8, payload: impl AsRef<[u8]>) {
        self.arrive(peer, &frame(true, opcode, payload.as_ref()));
    }

    /// Makes room for `bytes` more and reports it to the engine.
    pub fn make_room(&mut self, peer: &Peer, bytes: usize) {
        peer.pipe.borrow_mut().add_room(bytes);
        self.engine.begin(self.now);
        self.engine.ready(peer.id, Readiness { writable: true, ..Readiness::default() });
        run_to_rest(&mut self.engine, self.now);
    }

    /// Makes room for `bytes` more without an event, as a kernel does whose buffer is still nearly full.
    pub fn make_room_silently(&mut self, peer: &Peer, bytes: usize) {
        peer.pipe.borrow_mut().add_room(bytes);
    }

    /// Lets time pass. The engine has a turn whenever it asks for one.
    pub fn advance(&mut self, ms: u64) {
        let until = self.now.ms + ms;
        while let Some(next) = next_turn(&self.engine, self.now, until) {
            self.now = next;
            self.engine.begin(self.now);
            self.engine.run();
        }
        self.now = later(self.now, until);
        self.turn();
    }

    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }
}

impl Peer {
    /// Delivers `bytes`; the engine is to be told.
    pub fn deliver(&self, bytes: &[u8]) {
        self.pipe.borrow_mut().deliver(bytes);
    }

    /// From now on only `bytes` more fit.
    pub fn limit_room(&self, bytes: usize) {
        self.pipe.borrow_mut().room = bytes;
    }

    /// Returns everything that was written since the last call.
    pub fn take_written(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.pipe.borrow_mut().written)).expect("text")
    }

    /// Returns the frames that were written completely since the last call.
    pub fn frames(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.each_frame(|opcode, payload| frames.push(Frame { opcode, payload: payload.to_vec() }));
        frames
    }

    /// Like [`frames`](Peer::frames), without copying.
    pub fn each_frame(&self, mut see: impl FnMut(u8, &[u8])) {
        let mut pipe = self.pipe.borrow_mut();
        let mut at = 0;
        while let Some((opcode, payload)) = frame_at(&pipe.written, at) {
            at = payload.end;
            see(opcode, &pipe.written[payload]);
        }
        pipe.written.drain(..at);
    }

    /// Returns the payloads of the text messages that were written completely since the last call.
    pub fn texts(&self) -> Vec<String> {
        self.frames().iter().map(|frame| frame.text().to_string()).collect()
    }

    /// Returns everything that was written since the last call.
    pub fn written(&self) -> Vec<u8> {
        std::mem::take(&mut self.pipe.borrow_mut().written)
    }

    /// Returns the content that was written since the last call: whole chunks, or whatever there is without chunks.
    pub fn content(&self, chunks: bool) -> String {
        let mut pipe = self.pipe.borrow_mut();
        if !chunks {
            return String::from_utf8(std::mem::take(&mut pipe.written)).expect("text");
        }
        let (mut content, mut at) = (Vec::new(), 0);
        while let Some(chunk) = wire::chunk(&pipe.written[at..]).unwrap_or_else(|error| panic!("{error}")) {
            content.extend_from_slice(&pipe.written[at..][chunk.data.clone()]);
            at += chunk.end;
            if chunk.data.is_empty() {
                // The last chunk, without trailers.
                at = pipe.written.len().min(at + 2);
                break;
            }
        }
        pipe.written.drain(..at);
        String::from_utf8(content).expect("text")
    }

    /// Returns the number of bytes that were written and not taken.
    pub fn untaken_bytes(&self) -> usize {
        self.pipe.borrow().written.len()
    }

    /// Returns whether the engine has ended its side.
    pub fn is_shut(&self) -> bool {
        self.pipe.borrow().shut
    }

    /// Returns the number of reads and writes so far.
    pub fn calls(&self) -> u64 {
        self.pipe.borrow().calls
    }

    /// Returns the bound on what is taken before it is sent, if the engine has set one.
    pub fn unsent_limit(&self) -> Option<u32> {
        self.pipe.borrow().unsent_limit
    }

    /// Returns whether the engine has dropped the stream.
    pub fn is_gone(&self) -> bool {
        self.pipe.borrow().dropped
    }

    /// Returns whether the engine has closed the connection, or its own side of it.
    pub fn is_ended(&self) -> bool {
        self.is_shut() || self.is_gone()
    }

    /// Returns whether the engine waits for room.
    pub fn is_full(&self) -> bool {
        self.pipe.borrow().short
    }
}

/// Returns the server's frame that begins at `at`, if it is complete: its opcode, with 0x40 if it is compressed, and
/// the range of its payload. The frame must be the last of its message, without other reserved bits.
pub fn frame_at(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let found = wire::frame(&bytes[at..]).unwrap_or_else(|error| panic!("{error}"))?;
    assert_eq!(found.first & 0xb0, 0x80, "not a frame: {}", bytes[at..].escape_ascii());
    Some((found.first & 0x4f, at + found.payload.start..at + found.payload.end))
}
