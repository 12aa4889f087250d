//! What a connection record reads and writes: a stream of the system, or a stream of an HTTP/2 connection.
//!
//! It knows neither. Its invariant: it behaves as the one it is.

use super::pipe::Pipe;
use crate::transport::Stream;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;

/// The stream of a connection record.
pub(in crate::engine) enum Link<S> {
    Direct(S),
    Piped(Pipe),
}

impl<S> Link<S> {
    /// Whether it is a stream of an HTTP/2 connection.
    #[inline]
    pub(in crate::engine) fn is_piped(&self) -> bool {
        matches!(self, Link::Piped(_))
    }

    /// Notes that the record is dropped because of its client, which is no failure of the server.
    pub(in crate::engine) fn give_up(&mut self) {
        if let Link::Piped(pipe) = self {
            pipe.give_up();
        }
    }
}

impl<S: Stream> Stream for Link<S> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Direct(stream) => stream.read(buffer),
            Link::Piped(pipe) => pipe.read(buffer),
        }
    }

    #[inline]
    fn is_drained_by(&self, bytes: usize, room: usize) -> bool {
        match self {
            Link::Direct(stream) => stream.is_drained_by(bytes, room),
            Link::Piped(pipe) => pipe.is_drained(),
        }
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Link::Direct(stream) => stream.write(buffer),
            Link::Piped(pipe) => pipe.write(buffer),
        }
    }

    #[inline]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Link::Direct(stream) => stream.write_vectored(buffers),
            Link::Piped(pipe) => pipe.write_vectored(buffers),
        }
    }

    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        match self {
            Link::Direct(stream) => stream.send_file(file, offset, bytes),
            Link::Piped(pipe) => pipe.send_file(file, offset, bytes),
        }
    }

    #[inline]
    fn wants_write(&self) -> bool {
        match self {
            Link::Direct(stream) => stream.wants_write(),
            Link::Piped(_) => false,
        }
    }

    #[inline]
    fn socket(&self) -> Option<RawFd> {
        match self {
            Link::Direct(stream) => stream.socket(),
            Link::Piped(_) => None,
        }
    }

    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        match self {
            Link::Direct(stream) => stream.limit_unsent(bytes),
            Link::Piped(pipe) => {
                pipe.limit_unsent(bytes);
                Ok(())
            }
        }
    }

    #[inline]
    fn is_multiplexed(&self) -> bool {
        self.is_piped()
    }

    fn lingers(&self) -> bool {
        match self {
            Link::Direct(stream) => stream.lingers(),
            Link::Piped(pipe) => pipe.is_tunnel(),
        }
    }

    fn application_protocol(&self) -> Option<&[u8]> {
        match self {
            Link::Direct(stream) => stream.application_protocol(),
            Link::Piped(_) => None,
        }
    }

    fn announce_end(&mut self) {
        if let Link::Direct(stream) = self {
            stream.announce_end();
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Link::Direct(stream) => stream.shutdown_write(),
            Link::Piped(pipe) => pipe.shutdown_write(),
        }
    }
}
