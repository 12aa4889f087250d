//! One connection as the kernel sees it: what has arrived, what has been taken, which events are due.
//!
//! It knows nothing of what the bytes mean. Its events are those of an edge-triggered epoll: readable
//! when bytes or the end arrive, writable when a write came up short and room was made since. A read
//! that comes up short has drained the stream, or more arrives at once and an event is due.

use fleeting::engine::Readiness;
use fleeting::transport::Stream;
use fleeting_testkit::random::Random;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

/// The state that a client and the engine's stream share.
pub struct Wire {
    clock: Rc<Cell<u64>>,
    random: Random,
    /// Everything the client will ever send.
    pub sent: Vec<u8>,
    /// How much of it has arrived; `read <= arrived <= sent.len()`.
    pub arrived: usize,
    /// How much the engine has read.
    pub read: usize,
    /// The client's end has arrived, behind what has arrived.
    pub fin: bool,
    /// The client has gone, and everything fails.
    pub reset: bool,
    /// Everything the engine has written.
    pub written: Vec<u8>,
    /// How much of it the client has taken; `taken <= written.len()`.
    pub taken: usize,
    /// Bytes between `taken` and `written` that fit at most.
    pub capacity: usize,
    /// A write came up short: the engine waits for an event.
    pub short: bool,
    /// The last write came up short: the engine has more to write.
    pub behind: bool,
    /// Nothing fits until the client takes something.
    choked: bool,
    pub due: Readiness,
    /// Reads and writes of a thousand that are interrupted or cut short.
    pub trouble: usize,
    /// The engine has read the end.
    pub end_read: bool,
    /// The engine was told of a failure.
    failed: bool,
    /// Milliseconds: when the engine ended its side.
    pub write_ended: Option<u64>,
    /// How much the engine had read then; the rest it throws away.
    pub read_in_time: Option<usize>,
    /// How much the engine had read when it was last looked at.
    pub seen: usize,
    /// Milliseconds: when the engine let go of the stream.
    pub dropped: Option<u64>,
    /// Reads and writes so far, in vain or not.
    pub calls: u64,
    pub last_read_ms: u64,
    pub last_write_ms: u64,
    /// What the engine must not have done. Not a panic, which a handler's guard might catch.
    pub violation: Option<String>,
}

impl Wire {
    pub fn new(clock: &Rc<Cell<u64>>, random: Random, sent: Vec<u8>) -> Wire {
        Wire {
            clock: clock.clone(),
            random,
            sent,
            arrived: 0,
            read: 0,
            fin: false,
            reset: false,
            written: Vec::new(),
            taken: 0,
            capacity: usize::MAX,
            short: false,
            behind: false,
            choked: false,
            due: Readiness::default(),
            trouble: 0,
            end_read: false,
            failed: false,
            write_ended: None,
            read_in_time: None,
            seen: 0,
            dropped: None,
            calls: 0,
            last_read_ms: clock.get(),
            last_write_ms: clock.get(),
            violation: None,
        }
    }

    /// `bytes` more arrive.
    pub fn arrive(&mut self, bytes: usize) {
        self.arrived += bytes;
        assert!(self.arrived <= self.sent.len());
        self.due.readable |= bytes > 0;
    }

    /// The client sends no more.
    pub fn finish(&mut self) {
        self.fin = true;
        self.due.readable = true;
        self.due.ended = true;
    }

    /// The client is gone at once.
    pub fn reset(&mut self) {
        self.reset = true;
        self.due = Readiness { readable: true, writable: true, ended: true };
    }

    /// The client takes `bytes` of what was written.
    pub fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        self.choked &= bytes == 0;
        if self.short && self.room() > 0 {
            self.short = false;
            self.due.writable = true;
        }
    }

    /// What a poll that looks now would tell, beside what has changed.
    pub fn state(&self) -> Readiness {
        let gone = self.fin || self.reset;
        Readiness {
            readable: self.read < self.arrived || gone,
            writable: self.room() > 0 || self.reset,
            ended: gone,
        }
    }

    pub fn is_due(&self) -> bool {
        self.due.readable || self.due.writable || self.due.ended
    }

    fn room(&self) -> usize {
        if self.choked { 0 } else { self.capacity.saturating_sub(self.written.len() - self.taken) }
    }

    fn forbid(&mut self, wrong: bool, what: &str) {
        if wrong && self.violation.is_none() {
            self.violation = Some(what.into());
        }
    }

    fn touched(&mut self) -> io::Result<()> {
        self.calls += 1;
        self.forbid(self.dropped.is_some(), "the stream was used after it was let go");
        self.forbid(self.failed, "the stream was used after it had failed");
        if self.reset {
            self.failed = true;
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.random.chance(self.trouble / 2) { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.forbid(self.end_read, "the stream was read after its end");
        self.forbid(buffer.is_empty(), "nothing was to be read");
        self.touched()?;
        let there = self.arrived - self.read;
        if there == 0 {
            if !self.fin {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.end_read = true;
            return Ok(0);
        }
        let mut bytes = there.min(buffer.len());
        if bytes > 1 && self.random.chance(self.trouble) {
            bytes = self.random.within(1, bytes);
            // The rest has come only now.
            self.due.readable = true;
            self.due.ended |= self.fin;
        }
        buffer[..bytes].copy_from_slice(&self.sent[self.read..self.read + bytes]);
        self.read += bytes;
        self.last_read_ms = self.clock.get();
        Ok(bytes)
    }

    fn write(&mut self, buffers: &[&[u8]]) -> io::Result<usize> {
        let length: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        self.forbid(self.write_ended.is_some(), "something was written after the end");
        self.forbid(length == 0, "nothing was to be written");
        self.touched()?;
        let mut room = self.room().min(length);
        if room > 1 && self.random.chance(self.trouble) {
            room = self.random.within(1, room);
        }
        let bytes = room;
        self.behind = bytes < length;
        for buffer in buffers {
            let part = &buffer[..room.min(buffer.len())];
            self.written.extend_from_slice(part);
            room -= part.len();
        }
        if bytes < length {
            self.short = true;
            self.choked = true;
        }
        if bytes == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.last_write_ms = self.clock.get();
        Ok(bytes)
    }
}

/// The engine's end of a [`Wire`].
pub struct SimStream(Rc<RefCell<Wire>>);

impl SimStream {
    pub fn new(wire: &Rc<RefCell<Wire>>) -> SimStream {
        SimStream(wire.clone())
    }
}

impl Stream for SimStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(&[buffer])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let buffers: Vec<&[u8]> = buffers.iter().map(|buffer| &**buffer).collect();
        self.0.borrow_mut().write(&buffers)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        let again = wire.write_ended.is_some();
        wire.forbid(again, "the end was written twice");
        if wire.reset {
            wire.failed = true;
            return Err(ErrorKind::NotConnected.into());
        }
        wire.write_ended = Some(wire.clock.get());
        wire.read_in_time = Some(wire.read);
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.dropped = Some(wire.clock.get());
    }
}
