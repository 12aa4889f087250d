//! Request content that is consumed as it arrives.
//!
//! It knows neither the framing nor the socket. Its invariant: a session that was opened ends exactly once, by
//! `finish` or by `abort`.

use super::{ConnId, Error, Request, Response, WakeConn, Waker};
use crate::http1::Fields;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Consumes the content of a route's requests piece by piece. Only one read's worth of it is in memory at a
/// time. Pass it to [`App::upload`](super::App::upload).
///
/// A [`Session`](Upload::Session) belongs to one request. It is `'static`, so it cannot hold a piece; it has
/// to copy what it keeps. A panic is answered with 500.
///
/// ```
/// use fleeting::http1::Fields;
/// use fleeting::{App, Error, Flow, Request, Response, Upload};
///
/// /// Answers with the length of the content.
/// struct Length;
///
/// impl Upload for Length {
///     type Session = u64;
///
///     fn open(&self, _req: &Request<'_>) -> Result<u64, Error> {
///         Ok(0)
///     }
///
///     fn piece(&self, length: &mut u64, piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
///         *length += piece.len() as u64;
///         Ok(())
///     }
///
///     fn finish(&self, length: u64, _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
///         Ok(Response::text(length.to_string()))
///     }
/// }
///
/// let app = App::new().upload("PUT", "/length", Length);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not receive uploads",
    label = "the trait `Upload` is not implemented for this",
    note = "implement `fleeting::Upload` for a type; it gets the content in pieces",
    note = "a closure gets content that fits into memory: add it with `App::post` and call `req.body()`"
)]
pub trait Upload: 'static {
    /// The state of one request's upload.
    type Session: 'static;

    /// Returns the limit of the content in bytes, in place of [`body_bytes`](crate::Limits::body_bytes).
    /// Longer content is answered with 413 (RFC 9110 §15.5.14). If its length is announced, none of it is
    /// read.
    fn limit(&self) -> u64 {
        u64::MAX
    }

    /// Called when the head of a request has arrived. Its [`body`](Request::body) is empty. If the client
    /// waits for `100 Continue` (RFC 9110 §10.1.1), the server sends it after this call.
    ///
    /// # Errors
    /// The [`Error`] becomes the answer. The content is not consumed.
    fn open(&self, req: &Request<'_>) -> Result<Self::Session, Error>;

    /// Called when more of the content has arrived. The boundaries between pieces have no meaning. The piece
    /// borrows the read buffer.
    ///
    /// # Errors
    /// The [`Error`] becomes the answer. The rest of the content is not consumed, and the session is
    /// [aborted](Upload::abort).
    fn piece(&self, session: &mut Self::Session, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error>;

    /// Called when all of the content has arrived. Returns the response, which may be
    /// [deferred](Response::defer). `trailers` are the trailer fields of chunked content (RFC 9112 §7.1.2); most
    /// requests have none.
    ///
    /// # Errors
    /// The [`Error`] becomes the answer.
    fn finish(&self, session: Self::Session, trailers: Fields<'_>) -> Result<Response<'static>, Error>;

    /// Called when the rest of the content will not arrive: the client has left, is too slow or broke the
    /// framing, the server is shutting down, or [`piece`](Upload::piece) failed.
    fn abort(&self, session: Self::Session) {
        drop(session);
    }
}

/// Controls when the next piece of an upload arrives. Passed to [`Upload::piece`].
///
/// ```
/// use fleeting::{Error, Flow, Resume};
/// use std::sync::mpsc::Sender;
///
/// type Writer = Sender<(Vec<u8>, Resume)>;
///
/// /// Hands a piece to another thread. No further piece arrives until that thread drops the `Resume`.
/// fn hand_over(writer: &Writer, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
///     let resume = flow.pause();
///     writer.send((piece.to_vec(), resume)).map_err(|_| Error::unavailable("The disk is full."))
/// }
/// ```
pub struct Flow<'a> {
    gate: &'a mut Option<Arc<PauseGate>>,
    conn: ConnId,
    wake: &'a Arc<dyn WakeConn>,
}

/// Stops a connection from reading while a [`Resume`] exists.
#[derive(Debug)]
pub(crate) struct PauseGate {
    waker: Waker,
    /// Number of [`Resume`]s that have not been dropped.
    holds: AtomicUsize,
}

/// Pauses an upload until it is dropped, on any thread. Made by [`Flow::pause`].
#[derive(Debug)]
#[must_use = "the upload resumes as soon as this is dropped"]
pub struct Resume {
    gate: Arc<PauseGate>,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(
        gate: &'a mut Option<Arc<PauseGate>>,
        conn: ConnId,
        wake: &'a Arc<dyn WakeConn>,
    ) -> Flow<'a> {
        Flow { gate, conn, wake }
    }

    /// Pauses the upload until the returned [`Resume`] is dropped. If it was paused several times, every
    /// `Resume` must be dropped. Meanwhile no piece arrives, nothing is read, TCP stops the client, and no
    /// timeout runs. Content that was read before waits in memory.
    pub fn pause(&mut self) -> Resume {
        let gate = self.gate.get_or_insert_with(|| {
            let waker = Waker::new(self.conn, self.wake.clone());
            Arc::new(PauseGate { waker, holds: AtomicUsize::new(0) })
        });
        gate.holds.fetch_add(1, Ordering::Relaxed);
        Resume { gate: gate.clone() }
    }

    /// Returns the connection that the request arrived on.
    pub fn conn_id(&self) -> ConnId {
        self.conn
    }
}

impl fmt::Debug for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl PauseGate {
    /// Whether reading is stopped.
    pub(crate) fn is_on(&self) -> bool {
        // The wake-up is taken first, so that a later resume wakes the connection again.
        self.waker.take_wake();
        self.holds.load(Ordering::Acquire) > 0
    }
}

impl Resume {
    /// Resumes the upload. The same as dropping this.
    pub fn resume(self) {
        drop(self);
    }
}

impl Drop for Resume {
    fn drop(&mut self) {
        if self.gate.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.waker.wake();
        }
    }
}

/// An upload route whose session type is erased.
pub(crate) trait Uploads {
    fn limit(&self) -> u64;
    fn open(&self, req: &Request<'_>) -> Result<Box<dyn LiveUpload>, Error>;
}

/// A session and the [`Upload`] that serves it. After `finish` or `abort`, further calls are ignored.
pub(crate) trait LiveUpload {
    fn piece(&mut self, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error>;
    fn finish(&mut self, trailers: Fields<'_>) -> Result<Response<'static>, Error>;
    fn abort(&mut self);
}

/// The [`Upload`] of a route.
pub(super) struct UploadRoute<U>(pub(super) Rc<U>);

struct LiveSession<U: Upload> {
    server: Rc<U>,
    /// `None` after `finish` or `abort`.
    session: Option<U::Session>,
}

impl<U: Upload> Uploads for UploadRoute<U> {
    fn limit(&self) -> u64 {
        self.0.limit()
    }

    fn open(&self, req: &Request<'_>) -> Result<Box<dyn LiveUpload>, Error> {
        let session = Some(self.0.open(req)?);
        Ok(Box::new(LiveSession { server: self.0.clone(), session }))
    }
}

impl<U: Upload> LiveUpload for LiveSession<U> {
    fn piece(&mut self, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
        self.session.as_mut().map_or(Ok(()), |session| self.server.piece(session, piece, flow))
    }

    fn finish(&mut self, trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        match self.session.take() {
            Some(session) => self.server.finish(session, trailers),
            None => Err(Error::internal("The upload has ended already.")),
        }
    }

    fn abort(&mut self) {
        if let Some(session) = self.session.take() {
            self.server.abort(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::waker::tests::{CONN, Counting};

    #[test]
    fn only_the_last_resume_wakes_the_connection() {
        let counting = Arc::new(Counting::default());
        let wake: Arc<dyn WakeConn> = counting.clone();
        let mut gate = None;
        let mut flow = Flow::new(&mut gate, CONN, &wake);
        let (first, second) = (flow.pause(), flow.pause());
        let gate = gate.expect("`pause` made one");
        assert!(gate.is_on());
        first.resume();
        assert!(gate.is_on());
        assert_eq!(counting.0.load(Ordering::Relaxed), 0);
        std::thread::spawn(|| drop(second)).join().unwrap();
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
        assert!(!gate.is_on());
    }
}
