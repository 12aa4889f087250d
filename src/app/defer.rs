//! An answer that another thread gives.
//!
//! [`Response::defer`] makes a slot with two ends, before anybody knows which connection it is for: the
//! [`Responder`] puts the answer in, the connection, once it is bound, takes it out. Neither end knows the
//! other's thread. The invariant: an answer is put in at most once, and after the connection's end is gone
//! none is.

use super::response::Awaited;
use super::{Body, Error, Response, Waker};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Answers a request from any thread. If it is dropped without an answer, the client gets 500.
#[derive(Debug)]
pub struct Responder {
    slot: Arc<Slot>,
}

/// Nobody waits for it any more: the client is gone, was answered with 504 because it took too long, or
/// the handler returned something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody waits for it any more")
    }
}

impl std::error::Error for Gone {}

#[derive(Debug)]
struct Slot {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// There is no answer yet. The waker is the connection's, once that is known.
    Open(Option<Waker>),
    Answered(Response<'static>),
    /// The connection's end is gone, or has taken the answer.
    Gone,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, response: Response<'static>) -> Result<(), Gone> {
        let mut state = self.state();
        let State::Open(waker) = &mut *state else { return Err(Gone) };
        let waker = waker.take();
        *state = State::Answered(response);
        drop(state);
        // Without one, the answer is found when the connection is bound.
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl Response<'_> {
    /// A response that is made later: return this one from the handler, and send the answer through the
    /// [`Responder`], from any thread, now or within the `answer` timeout; then the client gets 504.
    ///
    /// Until it is there, nothing further of the connection is read, so answers stay in order and memory
    /// bounded. Fields set on the response that is returned, by handlers that wrap this one, go in front of
    /// those of the answer; of Content-Type, the answer's counts. A [`close`](Response::close) on either
    /// closes. Its status does not count, and if its body is set, that is the answer.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/slow", |_req| {
    ///     let (response, responder) = Response::defer();
    ///     std::thread::spawn(move || {
    ///         // An error says that the client has gone meanwhile.
    ///         let _ = responder.send(Response::text("done"));
    ///     });
    ///     Ok(response)
    /// });
    /// ```
    pub fn defer() -> (Response<'static>, Responder) {
        let slot = Arc::new(Slot { state: Mutex::new(State::Open(None)) });
        let promise = Promise { slot: slot.clone() };
        (Response::status(200).body(Body::pending(Awaited::Answer(promise))), Responder { slot })
    }
}

impl Responder {
    /// Answers. It may be an error, a source of content, or deferred once more.
    ///
    /// # Errors
    /// [`Gone`]: the answer is dropped.
    pub fn send(self, response: impl Into<Response<'static>>) -> Result<(), Gone> {
        self.slot.answer(response.into())
    }

    /// Whether an answer is of no use any more.
    pub fn is_gone(&self) -> bool {
        matches!(*self.slot.state(), State::Gone)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Nothing to be done if there is an answer already, or nobody to have one.
        let _ = self.slot.answer(Error::internal("The request was not answered.").into());
    }
}

/// The connection's end of the slot.
#[derive(Debug)]
pub(crate) struct Promise {
    slot: Arc<Slot>,
}

impl Promise {
    /// Tells who is to be woken by the answer. One that is there already wakes nobody.
    pub(crate) fn bind(&self, waker: Waker) {
        if let State::Open(bound) = &mut *self.slot.state() {
            *bound = Some(waker);
        }
    }

    /// The answer, if it is there.
    pub(crate) fn take(&self) -> Option<Response<'static>> {
        let mut state = self.slot.state();
        if !matches!(*state, State::Answered(_)) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Gone) {
            State::Answered(response) => Some(response),
            State::Open(_) | State::Gone => None,
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.slot.state(), State::Gone);
        // An answer may hold the end of another slot: it is dropped with this one unlocked.
        drop(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::waker::tests::{CONN, Counting};
    use std::sync::atomic::Ordering;

    fn promise<'a>(response: &'a Response<'static>) -> &'a Promise {
        let Body::Pending(pending) = &response.body else { panic!("it is deferred") };
        let Awaited::Answer(promise) = pending.awaited() else { panic!("an answer is awaited") };
        promise
    }

    #[test]
    fn an_answer_before_the_connection_is_known_is_found() {
        let (response, responder) = Response::defer();
        responder.send(Response::status(201)).unwrap();
        let wake = Arc::new(Counting::default());
        promise(&response).bind(Waker::new(CONN, wake.clone()));
        assert_eq!(promise(&response).take().unwrap().status, 201);
        assert!(promise(&response).take().is_none(), "once");
        assert_eq!(wake.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_answer_wakes_the_connection() {
        let (response, responder) = Response::defer();
        let wake = Arc::new(Counting::default());
        promise(&response).bind(Waker::new(CONN, wake.clone()));
        assert!(promise(&response).take().is_none() && !responder.is_gone());
        std::thread::spawn(move || responder.send(Error::not_found("no"))).join().unwrap().unwrap();
        assert_eq!(wake.0.load(Ordering::Relaxed), 1);
        assert_eq!(promise(&response).take().unwrap().status, 404);
    }

    #[test]
    fn no_answer_is_500() {
        let (response, responder) = Response::defer();
        drop(responder);
        assert_eq!(promise(&response).take().unwrap().status, 500);
    }

    #[test]
    fn who_answers_is_told_that_nobody_waits() {
        let (response, responder) = Response::defer();
        drop(response.body("something else"));
        assert!(responder.is_gone());
        assert_eq!(responder.send(Response::status(200)), Err(Gone));
        // An answer that holds another slot's end lets go of it.
        let (response, responder) = Response::defer();
        let (inner, innermost) = Response::defer();
        responder.send(inner).unwrap();
        drop(response);
        assert!(innermost.is_gone());
    }
}
