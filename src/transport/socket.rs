//! The socket of a client that was accepted, of TCP or Unix, through mio.
//!
//! It knows no listening socket and no protocol. Its invariant: on Linux, no write raises SIGPIPE in a process that would die
//! of it.

use super::accept::is_short_of_memory;
#[cfg(target_os = "linux")]
use super::sigpipe;
use super::stream::Stream;
#[cfg(target_os = "linux")]
use super::stream::send_through_memory;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The socket of an accepted client. A stream socket is read and written by the same calls whatever its family, so one type
/// holds both: a `TcpStream` is nothing but the descriptor. A connection at rest costs no byte for it, and a call no branch.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Socket {
        Socket(socket)
    }
}

impl From<UnixStream> for Socket {
    fn from(socket: UnixStream) -> Socket {
        Socket(OwnedFd::from(socket).into())
    }
}

impl Socket {
    /// Returns a socket that could not be registered as one that was never tried: mio remembers the attempt.
    pub fn unregistered(self) -> Socket {
        Socket(OwnedFd::from(self.0).into())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Stream for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(shortage)
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // The standard library sends with MSG_NOSIGNAL.
        self.0.write(buffer).map_err(shortage)
    }

    /// `writev` would raise SIGPIPE.
    #[cfg(target_os = "linux")]
    #[inline]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
        let sent = sendmsg(&*self, buffers, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL);
        sent.map_err(|error| shortage(error.into()))
    }

    #[cfg(not(target_os = "linux"))]
    #[inline]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers).map_err(shortage)
    }

    #[cfg(target_os = "linux")]
    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        use rustix::io::Errno;
        // It has no flag against the signal.
        if !sigpipe::is_handled() {
            return send_through_memory(self, file, offset, bytes);
        }
        let mut at = offset;
        match rustix::fs::sendfile(&*self, file, Some(&mut at), bytes) {
            // The file system does not support sendfile.
            Err(Errno::INVAL | Errno::NOSYS) => send_through_memory(self, file, offset, bytes),
            sent => sent.map_err(|error| shortage(error.into())),
        }
    }

    fn socket(&self) -> Option<RawFd> {
        Some(self.0.as_raw_fd())
    }

    /// It fails for a Unix socket, whose peer is on this machine.
    #[cfg(target_os = "linux")]
    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        socket2::SockRef::from(&*self).set_tcp_notsent_lowat(bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.deregister(registry)
    }
}

/// Returns a shortage of the system's memory as `OutOfMemory`, which [`Stream`] means by it.
#[cold]
fn shortage(error: io::Error) -> io::Error {
    if is_short_of_memory(&error) { io::ErrorKind::OutOfMemory.into() } else { error }
}
