//! Connections in memory: the engine holds one end, a test holds the other.
//!
//! [`Pipe`] keeps the promises of a non-blocking socket: a read takes what has arrived, a write takes what fits, and
//! neither waits. [`MemoryStream`] is the engine's end of it. A [`Link`] adds behavior: partial reads and writes,
//! counts, times. Nothing here knows an engine, a clock or what the bytes mean.
//!
//! Invariant: a call that no correct engine makes is reported through [`Link::violation`], never ignored.

use crate::transport::Stream;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::RawFd;
use std::rc::Rc;

/// Both directions of a connection, seen from the engine.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Bytes that have arrived and were not read yet.
    unread: Vec<u8>,
    /// Number of bytes that have been read.
    pub read: usize,
    /// The peer has ended its side, behind what has arrived.
    pub ended: bool,
    /// The engine has read the end.
    pub end_read: bool,
    /// The peer is gone: every call fails.
    pub reset: bool,
    /// The reset was reported to the engine.
    failed: bool,
    /// The next read or write is interrupted.
    pub interrupted: bool,
    /// Bytes that fit now; `usize::MAX` means unlimited room.
    pub room: usize,
    /// What the engine has written and the test has not removed.
    pub written: Vec<u8>,
    /// A write came up short: the engine waits for room.
    pub short: bool,
    /// The engine has ended its side.
    pub shut: bool,
    /// The engine has dropped its end.
    pub dropped: bool,
    /// Number of reads and writes, failed ones included.
    pub calls: u64,
    /// The bound on what is taken before it is sent, if the engine has set one. Nothing is ever unsent here.
    pub unsent_limit: Option<u32>,
}

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
}

/// A [`Pipe`] and how it behaves. The defaults are those of a socket on which nothing unusual happens.
pub trait Link {
    fn pipe(&mut self) -> &mut Pipe;

    /// Called before each read and write. An error is returned to the engine.
    ///
    /// # Errors
    /// Any error that the link injects.
    fn before(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Returns how many of `possible` bytes, of which there is at least one, are moved by this call.
    fn share(&mut self, _direction: Direction, possible: usize) -> usize {
        possible
    }

    /// Called after `bytes` of the `wanted` bytes were moved. For a read the two are equal. A write may move nothing.
    fn moved(&mut self, _direction: Direction, _bytes: usize, _wanted: usize) {}

    /// Returns a number by which [`Stream::socket`] names it, if it may be written to with [`write_to`].
    fn socket(&self) -> Option<RawFd> {
        None
    }

    /// Called when the engine ends its side.
    fn shut(&mut self) {}

    /// Called when the engine drops its end.
    fn dropped(&mut self) {}

    /// Called with the rule that the engine has broken.
    ///
    /// # Panics
    /// Unless the link records it.
    fn violation(&mut self, rule: &str) {
        panic!("{rule}");
    }
}

impl Pipe {
    pub fn with_room(room: usize) -> Pipe {
        Pipe { room, ..Pipe::default() }
    }

    /// Delivers `bytes` to the engine.
    pub fn deliver(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Makes room for `bytes` more. Returns whether the engine waited for it.
    pub fn add_room(&mut self, bytes: usize) -> bool {
        self.room = self.room.saturating_add(bytes);
        self.room > 0 && std::mem::take(&mut self.short)
    }

    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }
}

impl Link for Pipe {
    fn pipe(&mut self) -> &mut Pipe {
        self
    }
}

/// The engine's end of a connection.
#[derive(Debug)]
pub struct MemoryStream<L: Link = Pipe>(Rc<RefCell<L>>);

impl<L: Link> MemoryStream<L> {
    pub fn new(link: &Rc<RefCell<L>>) -> MemoryStream<L> {
        MemoryStream(link.clone())
    }
}

impl<L: Link> Stream for MemoryStream<L> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let link = &mut *self.0.borrow_mut();
        let end_read = link.pipe().end_read;
        forbid(link, end_read, "the stream was read after its end");
        forbid(link, buffer.is_empty(), "the stream was read into an empty buffer");
        enter(link)?;
        let pipe = link.pipe();
        let possible = pipe.unread.len().min(buffer.len());
        if possible == 0 {
            pipe.end_read = pipe.ended;
            return if pipe.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let bytes = link.share(Direction::Read, possible);
        let pipe = link.pipe();
        buffer[..bytes].copy_from_slice(&pipe.unread[..bytes]);
        pipe.unread.drain(..bytes);
        pipe.read += bytes;
        link.moved(Direction::Read, bytes, bytes);
        Ok(bytes)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        write_to(&mut *self.0.borrow_mut(), buffers)
    }

    fn socket(&self) -> Option<RawFd> {
        self.0.borrow().socket()
    }

    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        self.0.borrow_mut().pipe().unsent_limit = Some(bytes);
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let link = &mut *self.0.borrow_mut();
        let shut = link.pipe().shut;
        forbid(link, shut, "the stream was ended twice");
        let pipe = link.pipe();
        if pipe.reset {
            pipe.failed = true;
            return Err(ErrorKind::NotConnected.into());
        }
        pipe.shut = true;
        link.shut();
        Ok(())
    }
}

impl<L: Link> Drop for MemoryStream<L> {
    fn drop(&mut self) {
        let mut link = self.0.borrow_mut();
        link.pipe().dropped = true;
        link.dropped();
    }
}

/// Writes to a link in the place of its engine's end.
///
/// # Errors
/// Those of [`Stream::write_vectored`].
pub fn write_to<L: Link>(link: &mut L, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    let shut = link.pipe().shut;
    forbid(link, shut, "the stream was written to after its end");
    forbid(link, wanted == 0, "an empty buffer was written");
    enter(link)?;
    let possible = wanted.min(link.pipe().room);
    let bytes = if possible == 0 { 0 } else { link.share(Direction::Write, possible) };
    let pipe = link.pipe();
    let mut left = bytes;
    for buffer in buffers {
        let part = &buffer[..left.min(buffer.len())];
        pipe.written.extend_from_slice(part);
        left -= part.len();
    }
    if pipe.room != usize::MAX {
        pipe.room -= bytes;
    }
    pipe.short |= bytes < wanted;
    link.moved(Direction::Write, bytes, wanted);
    if bytes == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(bytes) }
}

/// The checks that every read and write begins with.
fn enter<L: Link>(link: &mut L) -> io::Result<()> {
    let pipe = link.pipe();
    pipe.calls += 1;
    let failed = pipe.failed;
    forbid(link, failed, "the stream was used after it had failed");
    let pipe = link.pipe();
    if pipe.reset {
        pipe.failed = true;
        return Err(ErrorKind::ConnectionReset.into());
    }
    if std::mem::take(&mut pipe.interrupted) {
        return Err(ErrorKind::Interrupted.into());
    }
    link.before()
}

fn forbid<L: Link>(link: &mut L, violated: bool, rule: &str) {
    if violated {
        link.violation(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(room: usize) -> (MemoryStream, Rc<RefCell<Pipe>>) {
        let pipe = Rc::new(RefCell::new(Pipe::with_room(room)));
        (MemoryStream::new(&pipe), pipe)
    }

    fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
        result.expect_err("the call fails").kind()
    }

    #[test]
    fn a_read_takes_what_has_arrived_then_blocks_then_sees_the_end() {
        let (mut stream, pipe) = pair(0);
        let mut buffer = [0; 4];
        assert_eq!(kind(stream.read(&mut buffer)), ErrorKind::WouldBlock);
        pipe.borrow_mut().deliver(b"hello");
        assert_eq!(stream.read(&mut buffer).ok(), Some(4));
        assert_eq!(&buffer, b"hell");
        assert_eq!(stream.read(&mut buffer).ok(), Some(1));
        pipe.borrow_mut().ended = true;
        assert_eq!(stream.read(&mut buffer).ok(), Some(0));
        assert_eq!((pipe.borrow().read, pipe.borrow().calls), (5, 4));
    }

    #[test]
    fn a_write_takes_what_fits_across_its_buffers() {
        let (mut stream, pipe) = pair(3);
        let buffers = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        assert_eq!(stream.write_vectored(&buffers).ok(), Some(3));
        assert!(pipe.borrow().short);
        assert_eq!(kind(stream.write(b"d")), ErrorKind::WouldBlock);
        assert!(pipe.borrow_mut().add_room(9));
        assert_eq!(stream.write(b"d").ok(), Some(1));
        assert_eq!(pipe.borrow().written, b"abcd");
        assert!(!pipe.borrow().short);
    }

    #[test]
    fn an_interruption_passes_and_a_reset_does_not() {
        let (mut stream, pipe) = pair(9);
        pipe.borrow_mut().interrupted = true;
        assert_eq!(kind(stream.write(b"a")), ErrorKind::Interrupted);
        assert_eq!(stream.write(b"a").ok(), Some(1));
        pipe.borrow_mut().reset = true;
        assert_eq!(kind(stream.write(b"a")), ErrorKind::ConnectionReset);
        assert_eq!(kind(stream.shutdown_write()), ErrorKind::NotConnected);
    }

    #[test]
    fn calls_that_no_engine_may_make_are_violations() {
        fn violates(call: fn(&mut MemoryStream)) -> bool {
            let (mut stream, pipe) = pair(9);
            pipe.borrow_mut().ended = true;
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&mut stream))).is_err()
        }
        assert!(violates(|stream| drop(stream.write(b""))));
        assert!(violates(|stream| drop(stream.read(&mut []))));
        assert!(violates(|stream| drop([stream.read(&mut [0]), stream.read(&mut [0])])));
        assert!(violates(|stream| drop([stream.shutdown_write(), stream.shutdown_write()])));
        assert!(violates(|stream| drop((stream.shutdown_write(), stream.write(b"a")))));
        assert!(!violates(|stream| drop((
            stream.read(&mut [0]),
            stream.write(b"a"),
            stream.shutdown_write()
        ))));
    }

    #[test]
    fn dropping_the_engine_end_is_seen() {
        let (stream, pipe) = pair(9);
        drop(stream);
        assert!(pipe.borrow().dropped);
    }
}
