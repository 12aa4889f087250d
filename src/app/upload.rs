//! Content of a request that is taken as it arrives.
//!
//! It knows neither the framing nor the socket. Its invariant: a session that was opened is told of the end
//! exactly once, by `finish` or by `abort`.

use super::{ConnId, Error, Request, Response, WakeConn, Waker};
use crate::http1::Fields;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Takes the content of a route's requests piece by piece: what is in memory of it is one read.
///
/// A [`Session`](Upload::Session) belongs to one request. It is `'static`, so it cannot hold a piece: what
/// it keeps, it copies. A panic is answered with 500.
///
/// ```
/// use fleeting::http1::Fields;
/// use fleeting::{App, Error, Flow, Request, Response, Upload};
///
/// /// Tells how long what it is sent is.
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
pub trait Upload: 'static {
    /// What the server remembers of one request.
    type Session: 'static;

    /// Bytes of content that are taken at most, in place of `body_bytes`; more is 413, before anything is
    /// read if the length is announced.
    fn limit(&self) -> u64 {
        u64::MAX
    }

    /// A request has begun: its head is there, its [`body`](Request::body) is not. If the client waits for
    /// `100 Continue`, it is sent after this.
    ///
    /// # Errors
    /// The request is answered so, without its content.
    fn open(&self, req: &Request<'_>) -> Result<Self::Session, Error>;

    /// Some of the content has arrived; how it is cut means nothing. It borrows the read buffer.
    ///
    /// # Errors
    /// The request is answered so, without the rest of its content, and the session
    /// [aborted](Upload::abort).
    fn piece(&self, session: &mut Self::Session, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error>;

    /// All content has arrived: makes the response, which may be [deferred](Response::defer). The trailer
    /// fields are those of chunked content (RFC 9112 §7.1.2); mostly none.
    ///
    /// # Errors
    /// An [`Error`] is answered with its status and message.
    fn finish(&self, session: Self::Session, trailers: Fields<'_>) -> Result<Response<'static>, Error>;

    /// The rest of the content will not come: the client is gone, too slow or breaks the framing, the server
    /// ends, or a piece was refused.
    fn abort(&self, session: Self::Session) {
        drop(session);
    }
}

/// What a session can say of the content that is still to come, for the time of one call.
pub struct Flow<'a> {
    gate: &'a mut Option<Arc<PauseGate>>,
    conn: ConnId,
    wake: &'a Arc<dyn WakeConn>,
}

/// What stops a connection's reading.
#[derive(Debug)]
pub(crate) struct PauseGate {
    waker: Waker,
    /// How many [`Resume`]s are out.
    holds: AtomicUsize,
}

/// Lets the content go on when it is dropped, on any thread.
#[derive(Debug)]
#[must_use = "the content goes on as soon as this is dropped"]
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

    /// No further piece after this one, until what is returned is dropped: nothing is read meanwhile, and
    /// the client is held up by TCP. What has been read already waits in memory. No timeout runs.
    pub fn pause(&mut self) -> Resume {
        let gate = self.gate.get_or_insert_with(|| {
            let waker = Waker::new(self.conn, self.wake.clone());
            Arc::new(PauseGate { waker, holds: AtomicUsize::new(0) })
        });
        gate.holds.fetch_add(1, Ordering::Relaxed);
        Resume { gate: gate.clone() }
    }

    /// The connection's name.
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
    /// Looks whether it is on.
    pub(crate) fn is_on(&self) -> bool {
        // Heard first: a resume from here on rings again.
        self.waker.heard();
        self.holds.load(Ordering::Acquire) > 0
    }
}

impl Resume {
    /// Lets the content go on: the same as dropping it.
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

/// A route's upload, its session's type forgotten.
pub(crate) trait Uploads {
    fn limit(&self) -> u64;
    fn open(&self, req: &Request<'_>) -> Result<Box<dyn LiveUpload>, Error>;
}

/// A session and what serves it. Once it has been told of the end, all that it is told is nothing to it.
pub(crate) trait LiveUpload {
    fn piece(&mut self, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error>;
    fn finish(&mut self, trailers: Fields<'_>) -> Result<Response<'static>, Error>;
    fn abort(&mut self);
}

/// An upload on its route.
pub(super) struct UploadRoute<U>(pub(super) Rc<U>);

struct LiveSession<U: Upload> {
    server: Rc<U>,
    /// `None` once it has been told of the end.
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
            None => Err(Error::internal("The upload is over.")),
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
    fn the_last_resume_rings() {
        let counting = Arc::new(Counting::default());
        let wake: Arc<dyn WakeConn> = counting.clone();
        let mut gate = None;
        let mut flow = Flow::new(&mut gate, CONN, &wake);
        let (first, second) = (flow.pause(), flow.pause());
        let gate = gate.expect("just made");
        assert!(gate.is_on());
        first.resume();
        assert!(gate.is_on());
        assert_eq!(counting.0.load(Ordering::Relaxed), 0);
        std::thread::spawn(|| drop(second)).join().unwrap();
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
        assert!(!gate.is_on());
    }
}
