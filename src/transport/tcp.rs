//! TCP, through mio.

use super::Stream;
use mio::net::{TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

impl Stream for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Write::write(self, buffer)
    }

    #[inline]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(self, buffers)
    }

    #[cfg(target_os = "linux")]
    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        use rustix::io::Errno;
        let mut at = offset;
        match rustix::fs::sendfile(&*self, file, Some(&mut at), bytes) {
            // The file system does not know how.
            Err(Errno::INVAL | Errno::NOSYS) => super::send_through_memory(self, file, offset, bytes),
            sent => Ok(sent?),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Makes a bound socket, as [`bind`](crate::server) leaves it, one that the loop can poll.
///
/// # Errors
/// Those of the system.
pub fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}

/// The next connection that waits, with Nagle's algorithm off: answers leave in one write anyway.
///
/// # Errors
/// `WouldBlock` if none waits; those of `accept(2)`.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    // It can fail only for a connection that is gone already: reading will tell.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer))
}
