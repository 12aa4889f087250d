//! Response content that is made while it is sent.
//!
//! It knows neither the framing nor the peer. Its invariant: a [`Source`] is asked for more only when its
//! last piece has left, so at most one [`Room`] of its content is in memory.

use super::{Error, Waker};
use std::fmt;
use std::io;

/// Makes the content of a response, piece by piece. See [`Response::source`](super::Response::source).
///
/// It is dropped when the content is complete or the client has left, whichever comes first.
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
    /// Puts the next piece, or nothing, into `room`. Returns whether there is more. It runs on the worker's
    /// thread, which serves other connections too, so it must not wait. Once the announced length has been sent, it is not
    /// called again.
    ///
    /// # Errors
    /// An error means that the content cannot be completed. The head has been sent already, so the client
    /// does not learn the reason: the connection is closed in the middle of the content (RFC 9112 §8). The
    /// same happens if this method panics, if it returns more than is left of the announced length, or if it ends before that.
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error>;

    /// Called when the server begins to shut down. [`read`](Source::read) is called once more afterwards.
    /// Content that is not complete at the end of the [`grace`](crate::Timeouts::grace) timeout is cut off.
    fn ending(&mut self) {}

    /// Whether the content has no end of its own, like a stream of events. The connection then closes when
    /// the client ends its sending side, unless [`Builder::half_close`](crate::Builder::half_close) allows that.
    /// Content with an end is still sent, because a client may half-close and still read (RFC 9112 §9.6).
    fn is_endless(&self) -> bool {
        false
    }

    /// Called on an [endless](Source::is_endless) source when nothing was sent for the duration of the
    /// [`ping`](crate::Timeouts::ping) timeout. [`read`](Source::read) is called once more afterwards, and
    /// should send something that the client ignores. This keeps proxies from closing the connection, and
    /// reveals a client that vanished.
    fn quiet(&mut self) {}
}

/// Whether a [`Source`] has more content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more now.
    More,
    /// There is nothing until [`Room::waker`] is woken.
    Later,
    /// The content is complete.
    End,
}

/// The buffer that a [`Source`] puts its next piece into; also an [`io::Write`].
///
/// ```
/// use fleeting::{Error, Progress, Room, Source};
///
/// struct Countdown(u32);
///
/// impl Source for Countdown {
///     fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
///         let line = format!("{}\n", self.0);
///         if line.len() > room.left() {
///             return Ok(Progress::More); // there is room again when this piece has left
///         }
///         room.push(line.as_bytes());
///         match self.0.checked_sub(1) {
///             Some(next) => self.0 = next,
///             None => return Ok(Progress::End),
///         }
///         Ok(Progress::More)
///     }
/// }
/// ```
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

    /// Returns the number of bytes filled so far.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Returns the number of bytes that still fit.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Appends as much of `bytes` as fits, and returns how much that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let fits = bytes.len().min(self.left());
        self.bytes[self.used..self.used + fits].copy_from_slice(&bytes[..fits]);
        self.used += fits;
        fits
    }

    /// Returns the unfilled part, to read into; call [`filled`](Room::filled) afterwards. Its contents are
    /// unspecified.
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    /// Counts the first `bytes` bytes of [`spare`](Room::spare) as content.
    ///
    /// # Panics
    /// If `bytes` exceeds [`left`](Room::left).
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.left(), "{bytes} bytes do not fit into {}", self.left());
        self.used += bytes;
    }

    /// Returns the waker for this source, to be woken from any thread after [`Progress::Later`]. It is the
    /// same in every call.
    pub fn waker(&self) -> &Waker {
        self.waker
    }
}

impl io::Write for Room<'_> {
    /// Fills the room; returns 0 once it is full.
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

/// A source and its announced length in bytes.
pub(crate) struct Streamed {
    pub(crate) length: Option<u64>,
    pub(crate) source: Box<dyn Source>,
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
