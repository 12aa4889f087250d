//! The byte stream that a connection reads and writes.
//!
//! A stream knows nothing of what it carries. Its invariant: no call blocks.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;

/// The number of bytes of a file that pass through memory at a time.
const COPY_BYTES: usize = 64 << 10;

/// A connection's two directions, without blocking: a call that would block fails with `WouldBlock`.
///
/// The engine is generic over it. Implement it to serve something other than TCP:
///
/// ```
/// use fleeting::transport::Stream;
/// use std::io::{self, IoSlice, Read};
///
/// /// A client whose requests are known beforehand and whose answers are collected.
/// struct Recorded {
///     requests: io::Cursor<Vec<u8>>,
///     answers: Vec<u8>,
/// }
///
/// impl Stream for Recorded {
///     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
///         self.requests.read(buffer)
///     }
///
///     fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
///         self.answers.extend_from_slice(buffer);
///         Ok(buffer.len())
///     }
///
///     fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
///         buffers.iter().map(|buffer| self.write(buffer)).sum()
///     }
///
///     fn shutdown_write(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let mut stream = Recorded { requests: io::Cursor::new(b"GET".to_vec()), answers: Vec::new() };
/// let mut buffer = [0; 16];
/// assert_eq!(stream.read(&mut buffer)?, 3);
/// assert_eq!(stream.read(&mut buffer)?, 0); // the client sends nothing more
/// # io::Result::Ok(())
/// ```
pub trait Stream {
    /// Reads into `buffer` and returns the number of bytes; 0 means that the peer sends nothing more.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; `OutOfMemory` if the call should be repeated soon, because memory is short for
    /// now; any other error ends the connection.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether a read that has returned `bytes` bytes, with room for `room`, has taken all there was, so that the next byte, or
    /// the end, makes an event of its own.
    ///
    /// The default implementation returns whether room was left.
    fn is_drained_by(&self, bytes: usize, room: usize) -> bool {
        bytes < room
    }

    /// Writes as much of `buffer` as fits and returns the number of bytes. A stream is also offered bytes when no event has
    /// reported room: before it is given up because it takes nothing.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits; `OutOfMemory` if the call should be repeated soon; any other error ends the
    /// connection.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize>;

    /// Writes as much of several buffers as fits, in order, and returns the number of bytes.
    ///
    /// # Errors
    /// Those of [`write`](Stream::write).
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes up to `bytes` bytes of `file` from `offset` on, as much as fits. Returns the number of bytes; 0
    /// means that the file ends at `offset`.
    ///
    /// The default implementation copies through memory.
    ///
    /// # Errors
    /// Those of [`write`](Stream::write), and those of reading the file.
    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        send_through_memory(self, file, offset, bytes)
    }

    /// Whether the stream has something of its own to write, which it does when it is read.
    ///
    /// The default implementation returns false.
    fn wants_write(&self) -> bool {
        false
    }

    /// Returns the socket that the stream writes to, if a [`Submit`](super::Submit) may write to it in place of
    /// [`write`](Stream::write).
    ///
    /// The default implementation returns `None`.
    fn socket(&self) -> Option<RawFd> {
        None
    }

    /// Bounds the bytes that the stream takes before it has sent them; 0 for the system's default. Beyond that, writes fail
    /// with `WouldBlock`. Called when the connection becomes a subscriber that conflates, or a stream of
    /// [`Response::events`](crate::Response::events), so that messages wait where newer ones can still replace them.
    ///
    /// The default implementation does nothing.
    ///
    /// # Errors
    /// Those of the system. The connection goes on without the bound.
    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        let _ = bytes;
        Ok(())
    }

    /// Whether it is one of several streams that share a connection, and carries a single request: one of HTTP/2.
    ///
    /// The default implementation returns false.
    fn is_multiplexed(&self) -> bool {
        false
    }

    /// Whether the peer may go on sending after the end of the sending direction, until it has seen that end: reading goes on then,
    /// so that nothing is lost to a reset (RFC 9112 §9.6).
    ///
    /// The default implementation returns true.
    fn lingers(&self) -> bool {
        true
    }

    /// Returns the protocol that the peers have agreed upon for this stream (RFC 7301), if they have.
    ///
    /// The default implementation returns `None`.
    fn application_protocol(&self) -> Option<&[u8]> {
        None
    }

    /// Called before the stream is dropped, if all that was to be sent has been written: it may announce its end.
    ///
    /// The default implementation does nothing.
    fn announce_end(&mut self) {}

    /// Ends the sending direction, so that the peer reads an end of stream. Reading goes on.
    ///
    /// # Errors
    /// Any error ends the connection.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

pub(super) fn send_through_memory<S: Stream + ?Sized>(
    stream: &mut S,
    file: &File,
    offset: u64,
    bytes: usize,
) -> io::Result<usize> {
    let mut buffer = vec![0; bytes.min(COPY_BYTES)];
    let read = file.read_at(&mut buffer, offset)?;
    if read == 0 { Ok(0) } else { stream.write(&buffer[..read]) }
}
