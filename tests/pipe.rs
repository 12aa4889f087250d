//! An engine whose streams a test holds the other end of, in a time that the test makes up.
//!
//! Nothing is left to chance, or to a kernel: a pipe takes exactly as much as it has room for.

use fleeting::ConnId;
use fleeting::engine::{Counters, Engine, Readiness, Settings};
use fleeting::time::Now;
use fleeting::transport::Stream;
use fleeting::{App, Handle};
use fleeting_testkit::client::{Frame, frame, handshake};
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::rc::Rc;

/// What both ends of a pipe share.
#[derive(Default)]
struct Ends {
    /// What the engine has yet to read.
    arrived: Vec<u8>,
    /// What the engine has written and the peer has not looked at.
    written: Vec<u8>,
    /// Bytes that the engine may write before the pipe is full.
    room: usize,
    /// A write came up short: the engine waits for room.
    short: bool,
    /// The engine has let go of it.
    gone: bool,
}

/// The engine's end.
pub struct Pipe(Rc<RefCell<Ends>>);

/// The other end, of a connection whose name is `id`.
pub struct Peer {
    pub id: ConnId,
    ends: Rc<RefCell<Ends>>,
}

/// An engine and the time.
pub struct Stage {
    pub engine: Engine<Pipe>,
    pub now: Now,
}

impl Stage {
    pub fn new(app: App, settings: Settings) -> Stage {
        let handle = Handle::unattended(usize::from(settings.worker) + 1);
        Stage::with_handle(app, settings, &handle)
    }

    pub fn with_handle(app: App, settings: Settings, handle: &Handle) -> Stage {
        assert_eq!(app.check(), Ok(()));
        let now = Now { ms: 1_000_000, unix_secs: 1_767_225_600 };
        Stage { engine: Engine::with_handle(app, settings, now, handle), now }
    }

    /// A WebSocket, its handshake done, with room for everything.
    pub fn websocket(&mut self, path: &str) -> Peer {
        self.upgraded(path, "").0
    }

    /// The same, of a handshake with further `fields`; the head of the answer comes with it.
    pub fn upgraded(&mut self, path: &str, fields: &str) -> (Peer, String) {
        let ends = Ends { room: usize::MAX, ..Ends::default() };
        let ends = Rc::new(RefCell::new(ends));
        let id = self.engine.accept(Pipe(ends.clone()), None);
        let peer = Peer { id, ends };
        self.arrive(&peer, handshake(path, fields).as_bytes());
        let mut ends = peer.ends.borrow_mut();
        let head = ends.written.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer") + 4;
        assert!(ends.written.starts_with(b"HTTP/1.1 101 "), "{}", ends.written.escape_ascii());
        let head = String::from_utf8(ends.written.drain(..head).collect()).expect("ASCII");
        drop(ends);
        (peer, head)
    }

    /// A turn without an event.
    pub fn turn(&mut self) {
        self.engine.begin(self.now);
        self.engine.run();
        self.rest();
    }

    /// `bytes` arrive, and the engine does all there is to do.
    pub fn arrive(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.ends.borrow_mut().arrived.extend_from_slice(bytes);
        self.engine.begin(self.now);
        self.engine.ready(peer.id, Readiness { readable: true, ..Readiness::default() });
        self.engine.run();
        self.rest();
    }

    /// A whole message, or a control frame, arrives.
    pub fn say(&mut self, peer: &Peer, opcode: u8, payload: impl AsRef<[u8]>) {
        self.arrive(peer, &frame(true, opcode, payload.as_ref()));
    }

    /// Makes room for `bytes` more, and tells the engine of it.
    pub fn make_room(&mut self, peer: &Peer, bytes: usize) {
        let mut ends = peer.ends.borrow_mut();
        ends.room = ends.room.saturating_add(bytes);
        ends.short = false;
        drop(ends);
        self.engine.begin(self.now);
        self.engine.ready(peer.id, Readiness { writable: true, ..Readiness::default() });
        self.engine.run();
        self.rest();
    }

    /// Time passes; the engine has a turn whenever it asks for one.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.ms + ms;
        while let Some(next) = self.engine.next_ms().filter(|next| *next <= until) {
            self.now.ms = self.now.ms.max(next);
            self.engine.begin(self.now);
            self.engine.run();
        }
        self.now.ms = until;
        self.turn();
    }

    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// Turns until there is nothing more to do at this time.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            if self.engine.next_ms() != Some(0) {
                return;
            }
            self.engine.begin(self.now);
            self.engine.run();
        }
        panic!("the engine never comes to rest");
    }
}

impl Peer {
    /// From here on only `bytes` more fit.
    pub fn narrow(&self, bytes: usize) {
        self.ends.borrow_mut().room = bytes;
    }

    /// Frames that were written whole since this was asked last.
    pub fn frames(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.each_frame(|opcode, payload| frames.push(Frame { opcode, payload: payload.to_vec() }));
        frames
    }

    /// As [`frames`](Peer::frames), with nothing copied.
    pub fn each_frame(&self, mut see: impl FnMut(u8, &[u8])) {
        let mut ends = self.ends.borrow_mut();
        let mut at = 0;
        while let Some((opcode, payload)) = frame_at(&ends.written, at) {
            at = payload.end;
            see(opcode, &ends.written[payload]);
        }
        ends.written.drain(..at);
    }

    /// Payloads of the messages that were written whole since this was asked last, as text.
    pub fn texts(&self) -> Vec<String> {
        self.frames().iter().map(|frame| frame.text().to_string()).collect()
    }

    /// Whether the engine has let go of the stream.
    pub fn is_gone(&self) -> bool {
        self.ends.borrow().gone
    }

    /// Whether the engine waits for room.
    pub fn is_full(&self) -> bool {
        self.ends.borrow().short
    }
}

/// The frame of a server that begins at `at`, if it is all there: its opcode, with 0x40 if it is compressed, and
/// where its payload lies. It is the last of its message, without a mask or another reserved bit.
pub fn frame_at(bytes: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let &[first, second, ..] = bytes.get(at..)? else { return None };
    assert_eq!((first & 0xb0, second & 0x80), (0x80, 0), "not a frame: {}", bytes[at..].escape_ascii());
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?)), at + 4),
        127 => (u64::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?) as usize, at + 10),
        length => (usize::from(length), at + 2),
    };
    (start + length <= bytes.len()).then_some((first & 0x4f, start..start + length))
}

impl Stream for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        if ends.arrived.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = ends.arrived.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&ends.arrived[..bytes]);
        ends.arrived.drain(..bytes);
        Ok(bytes)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut ends = self.0.borrow_mut();
        let mut taken = 0;
        for buffer in buffers {
            let bytes = buffer.len().min(ends.room);
            ends.written.extend_from_slice(&buffer[..bytes]);
            if ends.room != usize::MAX {
                ends.room -= bytes;
            }
            taken += bytes;
            ends.short |= bytes < buffer.len();
        }
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.borrow_mut().gone = true;
    }
}
