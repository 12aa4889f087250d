//! Content of a response that is made while it is sent.
//!
//! It knows neither the framing nor the peer: a [`Source`] is asked for more when what it gave before has
//! left, so what is in memory of it is one [`Room`].

use super::response::Awaited;
use super::{Body, Error, Response, Waker};
use std::fmt;
use std::io;

/// Makes the content of a response, piece by piece.
///
/// It is dropped when the content is complete or the client gone, whichever is first.
///
/// ```
/// use fleeting::{App, Error, Progress, Response, Room, Source};
/// use std::fs::File;
/// use std::io::Read;
///
/// struct Contents(File);
///
/// impl Source for Contents {
///     fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
///         let bytes = self.0.read(room.spare()).map_err(|error| Error::internal(error.to_string()))?;
///         room.filled(bytes);
///         Ok(if bytes == 0 { Progress::End } else { Progress::More })
///     }
/// }
///
/// let app = App::new().get("/log", |_req| {
///     let file = File::open("/var/log/syslog").map_err(|_| Error::not_found("There is no log."))?;
///     Ok(Response::source(None, Contents(file)))
/// });
/// ```
pub trait Source: Send + 'static {
    /// Puts what there is into `room`, or nothing, and tells how it goes on. It is called on the worker's
    /// thread, which serves others too: it must not wait.
    ///
    /// # Errors
    /// The content cannot be completed. It is too late to tell the client so: the connection is closed in
    /// the middle of it (RFC 9112 §8). So it is if this panics, or puts in more or less than was announced.
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error>;

    /// The server is shutting down. [`read`](Source::read) is called once more after this; what is not
    /// complete when the `grace` timeout is over is cut off.
    fn ending(&mut self) {}
}

/// How a [`Source`] goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more, now.
    More,
    /// There will be more when [`Room::waker`] is woken, not before.
    Later,
    /// This was all.
    End,
}

/// Where a [`Source`] puts its next piece; also an [`io::Write`].
pub struct Room<'a> {
    bytes: &'a mut [u8],
    /// At most the length of `bytes`.
    used: usize,
    waker: &'a Waker,
}

impl<'a> Room<'a> {
    pub(crate) fn new(bytes: &'a mut [u8], waker: &'a Waker) -> Room<'a> {
        Room { bytes, used: 0, waker }
    }

    /// How much of it is filled.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes that still fit.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Adds as much of `bytes` as fits, and tells how much that is.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let fits = bytes.len().min(self.left());
        self.bytes[self.used..self.used + fits].copy_from_slice(&bytes[..fits]);
        self.used += fits;
        fits
    }

    /// What is not filled, to be read into; then say [`filled`](Room::filled). Its contents mean nothing.
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    /// The first `bytes` bytes of [`spare`](Room::spare) are content now.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.left(), "{bytes} bytes do not fit into {}", self.left());
        self.used += bytes;
    }

    /// Wakes the source after [`Progress::Later`], from any thread; it stays the same from call to call.
    pub fn waker(&self) -> &Waker {
        self.waker
    }
}

impl io::Write for Room<'_> {
    /// Fills what is left; 0 once that is nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.push(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("used", &self.used).field("left", &self.left()).finish_non_exhaustive()
    }
}

/// A source, and how much it has announced.
pub(crate) struct Streamed {
    pub(crate) length: Option<u64>,
    pub(crate) source: Box<dyn Source>,
}

impl Response<'_> {
    /// 200 with content from `source`, of `length` bytes if that is known. If not, it goes out in chunks
    /// (RFC 9112 §7.1), to a client of HTTP/1.0 up to the end of the connection.
    ///
    /// The source is asked for more only when what it gave before has left, never for HEAD nor with 204 or
    /// 304. Until it has ended nothing further of the connection is read.
    pub fn source(length: Option<u64>, source: impl Source) -> Response<'static> {
        Response::streamed(length, Box::new(source))
    }

    pub(super) fn streamed(length: Option<u64>, source: Box<dyn Source>) -> Response<'static> {
        Response::status(200).body(Body::pending(Awaited::Source(Streamed { length, source })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::waker::tests::{CONN, Counting};
    use std::io::Write as _;
    use std::sync::Arc;

    #[test]
    fn a_room_takes_what_fits() {
        let waker = Waker::new(CONN, Arc::new(Counting::default()));
        let mut bytes = [0; 10];
        let mut room = Room::new(&mut bytes, &waker);
        assert_eq!((room.push(b"abcd"), room.left()), (4, 6));
        room.spare()[..2].copy_from_slice(b"ef");
        room.filled(2);
        write!(room, "gh").unwrap();
        assert_eq!(room.push(b"ijkl"), 2);
        assert_eq!((room.used(), room.left(), room.push(b"m")), (10, 0, 0));
        assert!(write!(room, "m").is_err());
        assert_eq!(&bytes, b"abcdefghij");
    }
}
