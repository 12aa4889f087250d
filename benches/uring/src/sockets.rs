//! Sockets whose bytes pass through the ring: what has arrived for the engine to read, what the engine has
//! written, and which operations are in flight.
//!
//! Its invariant: a socket is closed, and its key reused, only when none of its operations is in flight. A
//! completion therefore always belongs to the socket for which it was requested, and what an operation points
//! to is still alive.

use crate::buffers::{Buffers, GROUP};
use crate::ring::{Name, Ring, outcome};
use fleeting::ConnId;
use fleeting::engine::Readiness;
use fleeting::transport::Stream;
use io_uring::{cqueue, opcode, types};
use slab::Slab;
use socket2::SockRef;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

pub struct Sockets {
    slab: Slab<Socket>,
    buffers: Buffers,
    /// Send buffers of sockets that have nothing to send. The last one was used most recently.
    spare: Vec<Vec<u8>>,
    /// Keys of the sockets to settle at the end of the turn, without duplicates.
    pub touched: Vec<usize>,
}

struct Socket {
    stream: TcpStream,
    conn: Option<ConnId>,
    /// The engine has dropped its end.
    dropped: bool,
    touched: bool,
    /// The readiness to report to the engine.
    news: Readiness,

    receiving: Receiving,
    /// Bytes that the engine left unread in earlier turns. While there are any, nothing more is received.
    held: VecDeque<u8>,
    /// What arrived in this turn. It follows `held`.
    received: VecDeque<Chunk>,
    /// What follows `received`: the end of the stream, or a failure (`errno`).
    end: Option<Result<(), i32>>,

    /// Bytes that the engine has written. Not touched while a send is in flight.
    out: Vec<u8>,
    /// Bytes of `out` already sent: less than its length, or both are 0.
    sent: usize,
    sending: bool,
    /// The engine could not write everything.
    short: bool,
    ending: Ending,
    broken: bool,
}

/// The state of the multishot receive.
#[derive(Clone, Copy, PartialEq)]
enum Receiving {
    No,
    Yes,
    Cancelled,
}

/// The state of the sending side.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Open,
    /// To be shut down once everything has been sent.
    Due,
    Shut,
}

/// The bytes `from..to` of a buffer.
struct Chunk {
    buffer: u16,
    from: usize,
    to: usize,
}

/// The most bytes that a socket holds for sending.
const OUT_BYTES_MAX: usize = 256 << 10;
/// A send buffer of up to this size is kept for the next socket.
const SPARE_BYTES_MAX: usize = 256 << 10;
/// How long a peer may accept nothing of what the engine wrote before it dropped its end.
const FAREWELL: Duration = Duration::from_secs(10);

impl Sockets {
    pub fn new(ring: &Ring) -> io::Result<Sockets> {
        let buffers = Buffers::new(ring)?;
        Ok(Sockets { slab: Slab::new(), buffers, spare: Vec::new(), touched: Vec::new() })
    }

    /// Adds a socket. The caller must then call `name`.
    pub fn insert(&mut self, stream: TcpStream) -> usize {
        let key = self.slab.insert(Socket {
            stream,
            conn: None,
            dropped: false,
            touched: false,
            news: Readiness::default(),
            receiving: Receiving::No,
            held: VecDeque::new(),
            received: VecDeque::new(),
            end: None,
            out: Vec::new(),
            sent: 0,
            sending: false,
            short: false,
            ending: Ending::Open,
            broken: false,
        });
        self.touch(key);
        key
    }

    /// Sets the id that the engine gave the socket.
    pub fn name(&mut self, key: usize, conn: ConnId) {
        self.slab[key].conn = Some(conn);
    }

    /// Takes the readiness to report to the engine, if there is any.
    pub fn news(&mut self, key: usize) -> Option<(ConnId, Readiness)> {
        let socket = &mut self.slab[key];
        let news = std::mem::take(&mut socket.news);
        let any = news.readable || news.writable || news.ended;
        if any && !socket.dropped { Some((socket.conn?, news)) } else { None }
    }

    /// Handles a completion of the receive: bytes, or its end.
    pub fn received(&mut self, key: usize, entry: &cqueue::Entry) {
        self.touch(key);
        let socket = &mut self.slab[key];
        let outcome = outcome(entry);
        if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
            match outcome {
                Ok(to @ 1..) if !socket.dropped => {
                    socket.received.push_back(Chunk { buffer, from: 0, to });
                }
                _ => self.buffers.give_back(buffer),
            }
        }
        match outcome.map_err(|error| error.raw_os_error().unwrap_or(0)) {
            Ok(0) => socket.end = Some(Ok(())),
            // It was cancelled, or a turn has used up all buffers. `settle` starts it again when possible.
            Ok(_) | Err(libc::ECANCELED | libc::ENOBUFS) => {}
            Err(errno) => socket.end = Some(Err(errno)),
        }
        if !cqueue::more(entry.flags()) {
            socket.receiving = Receiving::No;
        }
        socket.news.readable = true;
        socket.news.ended |= socket.end.is_some();
    }

    /// Handles the completion of a send, which may have sent only a part.
    pub fn sent(&mut self, key: usize, entry: &cqueue::Entry) {
        self.touch(key);
        let socket = &mut self.slab[key];
        socket.sending = false;
        match outcome(entry) {
            Ok(bytes) => socket.sent += bytes,
            Err(_) => {
                socket.broken = true;
                socket.news.ended = true;
                socket.sent = socket.out.len();
            }
        }
        if socket.sent == socket.out.len() {
            let mut out = std::mem::take(&mut socket.out);
            socket.sent = 0;
            out.clear();
            if out.capacity() <= SPARE_BYTES_MAX {
                self.spare.push(out);
            }
            socket.news.writable = std::mem::take(&mut socket.short);
        }
    }

    /// Starts and cancels operations according to the state in which this turn has left the sockets.
    pub fn settle(&mut self, ring: &mut Ring) -> io::Result<()> {
        for key in std::mem::take(&mut self.touched) {
            self.slab[key].touched = false;
            self.settle_one(key, ring)?;
        }
        Ok(())
    }

    fn settle_one(&mut self, key: usize, ring: &mut Ring) -> io::Result<()> {
        let socket = &mut self.slab[key];
        let fd = types::Fd(socket.stream.as_raw_fd());
        if !socket.sending && !socket.out.is_empty() {
            let rest = &socket.out[socket.sent..];
            let entry = opcode::Send::new(fd, rest.as_ptr(), rest.len() as u32).flags(libc::MSG_NOSIGNAL);
            // SAFETY: `out` is neither changed nor dropped while `sending`.
            unsafe { ring.push(Name::Send(key), entry.build())? };
            socket.sending = true;
        }
        if socket.out.is_empty() && socket.ending == Ending::Due {
            socket.broken |= socket.stream.shutdown(Shutdown::Write).is_err();
            socket.ending = Ending::Shut;
        }
        // All sockets share the buffers, so copy what a blocked connection leaves in them.
        for chunk in socket.received.drain(..) {
            socket.held.extend(&self.buffers.filled(chunk.buffer, chunk.to)[chunk.from..]);
            self.buffers.give_back(chunk.buffer);
        }
        let receive = !socket.dropped && socket.end.is_none() && socket.held.is_empty();
        match socket.receiving {
            Receiving::No if receive => {
                // SAFETY: the entry contains no pointers, and the buffers are never freed.
                unsafe { ring.push(Name::Receive(key), opcode::RecvMulti::new(fd, GROUP).build())? };
                socket.receiving = Receiving::Yes;
            }
            Receiving::Yes if !receive => {
                ring.cancel(Name::Receive(key))?;
                socket.receiving = Receiving::Cancelled;
            }
            Receiving::No if socket.dropped && socket.out.is_empty() => drop(self.slab.remove(key)),
            _ => {}
        }
        Ok(())
    }

    fn touch(&mut self, key: usize) {
        if !std::mem::replace(&mut self.slab[key].touched, true) {
            self.touched.push(key);
        }
    }

    fn read(&mut self, key: usize, room: &mut [u8]) -> io::Result<usize> {
        let socket = &mut self.slab[key];
        // Fill the room as far as possible: the engine takes a short read to mean that there is no more.
        let mut bytes = io::Read::read(&mut socket.held, room)?;
        while bytes < room.len() && !socket.held.is_empty() {
            bytes += io::Read::read(&mut socket.held, &mut room[bytes..])?;
        }
        while bytes < room.len()
            && let Some(chunk) = socket.received.front_mut()
        {
            let part = &self.buffers.filled(chunk.buffer, chunk.to)[chunk.from..];
            let part = &part[..part.len().min(room.len() - bytes)];
            room[bytes..][..part.len()].copy_from_slice(part);
            bytes += part.len();
            chunk.from += part.len();
            if chunk.from == chunk.to {
                self.buffers.give_back(chunk.buffer);
                socket.received.pop_front();
            }
        }
        let end = socket.end;
        self.touch(key);
        match end {
            _ if bytes > 0 => Ok(bytes),
            Some(Ok(())) => Ok(0),
            Some(Err(errno)) => Err(io::Error::from_raw_os_error(errno)),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, key: usize, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.touch(key);
        let socket = &mut self.slab[key];
        if socket.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut bytes = 0;
        if !socket.sending {
            if socket.out.capacity() == 0 {
                socket.out = self.spare.pop().unwrap_or_default();
            }
            for buffer in buffers {
                let part = &buffer[..buffer.len().min(OUT_BYTES_MAX - socket.out.len())];
                socket.out.extend_from_slice(part);
                bytes += part.len();
            }
        }
        socket.short = bytes < buffers.iter().map(|buffer| buffer.len()).sum();
        if bytes == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(bytes) }
    }

    fn shutdown_write(&mut self, key: usize) {
        self.touch(key);
        self.slab[key].ending = Ending::Due;
    }

    /// Drops the engine's end. Bytes already written are still sent, as after `close`.
    fn let_go(&mut self, key: usize) {
        self.touch(key);
        let socket = &mut self.slab[key];
        socket.dropped = true;
        for chunk in socket.received.drain(..) {
            self.buffers.give_back(chunk.buffer);
        }
        if !socket.out.is_empty() {
            let _ = SockRef::from(&socket.stream).set_tcp_user_timeout(Some(FAREWELL));
        }
    }
}

/// The engine's end of a socket.
pub struct Plug {
    pub sockets: Rc<RefCell<Sockets>>,
    pub key: usize,
}

impl Stream for Plug {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.sockets.borrow_mut().read(self.key, buffer)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.sockets.borrow_mut().write(self.key, &[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.sockets.borrow_mut().write(self.key, buffers)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.sockets.borrow_mut().shutdown_write(self.key);
        Ok(())
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.sockets.borrow_mut().let_go(self.key);
    }
}
