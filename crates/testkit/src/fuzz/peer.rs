//! A peer in memory, and the script by which it acts.
//!
//! It keeps the promises of a socket: a short read has drained it, and it takes what there is room for.

use fleeting::transport::Stream;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;

/// Both ends of a connection: one clone is the engine's stream, the other acts for the peer.
#[derive(Debug, Clone)]
pub(super) struct Wire(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    arrived: Vec<u8>,
    /// Index into `arrived`: what lies before it has been read.
    read: usize,
    ended: bool,
    /// Bytes that can be written now.
    room: usize,
    sent: Vec<u8>,
    shut: bool,
    /// The next call is interrupted.
    interrupted: bool,
    reset: bool,
}

impl Wire {
    /// A peer that has room for `room` bytes.
    pub(super) fn new(room: usize) -> Wire {
        Wire(Rc::new(RefCell::new(State {
            arrived: Vec::new(),
            read: 0,
            ended: false,
            room,
            sent: Vec::new(),
            shut: false,
            interrupted: false,
            reset: false,
        })))
    }

    pub(super) fn deliver(&self, bytes: &[u8]) {
        self.0.borrow_mut().arrived.extend_from_slice(bytes);
    }

    pub(super) fn end(&self) {
        self.0.borrow_mut().ended = true;
    }

    pub(super) fn add_room(&self, bytes: usize) {
        let state = &mut *self.0.borrow_mut();
        state.room = state.room.saturating_add(bytes);
    }

    pub(super) fn interrupt(&self) {
        self.0.borrow_mut().interrupted = true;
    }

    pub(super) fn reset(&self) {
        self.0.borrow_mut().reset = true;
    }

    /// All that the engine has written.
    pub(super) fn sent(&self) -> Vec<u8> {
        self.0.borrow().sent.clone()
    }
}

impl State {
    fn may_go(&mut self) -> io::Result<()> {
        if self.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if std::mem::take(&mut self.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl Stream for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = &mut *self.0.borrow_mut();
        assert!(!buffer.is_empty(), "it would look like the end");
        state.may_go()?;
        let bytes = buffer.len().min(state.arrived.len() - state.read);
        if bytes == 0 && !state.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..bytes].copy_from_slice(&state.arrived[state.read..state.read + bytes]);
        state.read += bytes;
        Ok(bytes)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let state = &mut *self.0.borrow_mut();
        assert!(!state.shut, "written after the end");
        assert!(buffers.iter().any(|buffer| !buffer.is_empty()), "nothing is written");
        state.may_go()?;
        let mut taken = 0;
        for buffer in buffers {
            let bytes = buffer.len().min(state.room);
            state.sent.extend_from_slice(&buffer[..bytes]);
            state.room -= bytes;
            taken += bytes;
        }
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        assert!(!std::mem::replace(&mut state.shut, true), "ended twice");
        Ok(())
    }
}

/// How a peer acts, over and over until its stream has arrived.
#[derive(Debug)]
pub(super) struct Script<'s> {
    /// The clock runs, the timeouts are on, and the peer need not wait for its answers.
    pub(super) impatient: bool,
    /// Steps give room for answers; otherwise there is always enough.
    pub(super) tight: bool,
    /// The peer's end comes in one event with its last bytes.
    pub(super) ends_at_once: bool,
    steps: &'s [u8],
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// So many bytes arrive.
    Deliver(usize),
    /// There is room for so many more bytes.
    Room(usize),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// The next read or write is interrupted.
    Interrupt,
    /// An event for nothing.
    Spurious,
    /// The connection fails.
    Reset,
    /// The peer ends its side.
    End,
    /// The server shuts down.
    Shutdown,
    /// The server drops the connection.
    Abort,
}

impl<'s> Script<'s> {
    /// Reads the script that `bytes` begin with; the rest is the stream.
    pub(super) fn read(bytes: &'s [u8]) -> (Script<'s>, &'s [u8]) {
        let (first, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
        let (steps, stream) = rest.split_at(rest.len().min(usize::from(first & 0x0f)));
        let script = Script {
            impatient: first & 0x10 != 0,
            tight: first & 0x20 != 0,
            ends_at_once: first & 0x40 != 0,
            steps,
        };
        (script, stream)
    }

    pub(super) fn acts(&self) -> impl Iterator<Item = Act> {
        self.steps.iter().map(|step| {
            let amount = usize::from(step >> 3);
            match step & 7 {
                0 | 1 => Act::Deliver(1 + amount),
                2 => Act::Deliver(32 + 16 * amount),
                3 => Act::Room(1 + amount),
                4 => Act::Room(32 + 64 * amount),
                5 => Act::Wait(500 * amount as u64),
                6 => Act::Interrupt,
                _ if !self.impatient => Act::Spurious,
                _ => match amount {
                    0 => Act::Reset,
                    1 => Act::End,
                    2 => Act::Shutdown,
                    3 => Act::Abort,
                    _ => Act::Spurious,
                },
            }
        })
    }
}
