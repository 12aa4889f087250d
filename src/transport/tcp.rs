//! TCP through mio: the stream of a connection, and its listener.
//!
//! It knows sockets and no protocol. Its invariant: on Linux, no write raises SIGPIPE in a process that would die of it.

use super::accept::is_short_of_memory;
#[cfg(target_os = "linux")]
use super::sigpipe;
use super::stream::Stream;
#[cfg(target_os = "linux")]
use super::stream::send_through_memory;
use mio::net::{TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};

impl Stream for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer).map_err(shortage)
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // The standard library sends with MSG_NOSIGNAL.
        Write::write(self, buffer).map_err(shortage)
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
        Write::write_vectored(self, buffers).map_err(shortage)
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
        Some(self.as_raw_fd())
    }

    #[cfg(target_os = "linux")]
    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        socket2::SockRef::from(&*self).set_tcp_notsent_lowat(bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Returns a shortage of the system's memory as `OutOfMemory`, which [`Stream`] means by it.
#[cold]
fn shortage(error: io::Error) -> io::Error {
    if is_short_of_memory(&error) { io::ErrorKind::OutOfMemory.into() } else { error }
}

/// Converts a listening socket into one that the event loop can poll.
///
/// # Errors
/// Returns the system's error.
pub fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}
