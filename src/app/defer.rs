//! Responses whose answer another thread sends later.
//!
//! [`Response::defer`] makes a [slot](super::slot) before its connection is known. The [`Responder`] puts the
//! answer in; the connection takes it out. The invariant: a request whose handler returned the response gets
//! exactly one answer, because a `Responder` that is dropped sends 500.

use super::body::{Answer, Awaited, Promise};
use super::slot::{Sender, slot};
use super::{Body, Error, Gone, Response};
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Answers a request from any thread. Made by [`Response::defer`].
///
/// Dropping it without an answer sends 500, so a thread that panics leaves no client waiting.
#[derive(Debug)]
pub struct Responder {
    sender: Sender<Answer>,
}

impl Response<'_> {
    /// Makes a response whose answer follows later. Return the response from the handler, and send the
    /// answer through the [`Responder`] from any thread. The client gets 504 if no answer arrives within the
    /// [`answer`](crate::Timeouts::answer) timeout.
    ///
    /// The connection reads nothing until the answer is there, so answers stay in order and memory stays
    /// bounded.
    ///
    /// The handler and its layers may set fields of the returned response. They are sent before those of the answer,
    /// except for a Content-Type if the answer has one too. [`close`](Response::close) on either response closes the
    /// connection. The status of the returned response is ignored. If its body is replaced, it is sent instead of the
    /// answer.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/slow", |_req| {
    ///     let (response, responder) = Response::defer();
    ///     std::thread::spawn(move || {
    ///         // An error means that the client has left.
    ///         let _ = responder.send(Response::text("done"));
    ///     });
    ///     Ok(response)
    /// });
    /// ```
    pub fn defer() -> (Response<'static>, Responder) {
        let (sender, promise) = slot();
        (Response::new(200).body(Body::pending(Awaited::Answer(promise))), Responder { sender })
    }
}

impl Responder {
    /// Sends the answer: a response, an [`Error`], a `Result` of both, a [`source`](Response::source), or a response that
    /// is deferred again. The layers have returned by then, so an error is rendered by the application's
    /// [`error_page`](crate::App::error_page).
    ///
    /// # Errors
    /// [`Gone`] if nothing waits for the answer any more. The answer is dropped.
    pub fn send(self, answer: impl Into<Answer>) -> Result<(), Gone> {
        self.sender.send(answer.into())
    }

    /// Whether an answer would be dropped: nothing waits for it any more.
    ///
    /// It becomes true when the client closes the connection, or only its sending side, unless
    /// [`Builder::half_close`](crate::Builder::half_close) allows that. A thread that works for long may ask now and
    /// then.
    pub fn is_gone(&self) -> bool {
        self.sender.is_gone()
    }

    /// Waits until an answer would be dropped, in any async executor: the client has left, as
    /// [`is_gone`](Responder::is_gone) explains, the [`answer`](crate::Timeouts::answer) timeout has passed, or the handler
    /// returned another response.
    ///
    /// Use it to give up work that nothing waits for any more:
    ///
    /// ```
    /// use fleeting::{Responder, Response};
    /// use std::future::{Future, poll_fn};
    /// use std::pin::pin;
    /// use std::task::Poll;
    ///
    /// /// Answers with what `work` returns. Drops `work` when the client has left.
    /// async fn answer(mut responder: Responder, work: impl Future<Output = String>) {
    ///     let mut work = pin!(work);
    ///     let text = poll_fn(|cx| match responder.poll_gone(cx) {
    ///         Poll::Ready(()) => Poll::Ready(None),
    ///         Poll::Pending => work.as_mut().poll(cx).map(Some),
    ///     });
    ///     if let Some(text) = text.await {
    ///         let _ = responder.send(Response::text(text));
    ///     }
    /// }
    /// ```
    ///
    /// With tokio, that is `tokio::select! { () = responder.gone() => {} text = work => { .. } }`.
    pub async fn gone(&mut self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// The same as [`gone`](Responder::gone), for a hand-written future. Only the task that polled last is woken.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sender.poll_gone(cx)
    }
}

/// Makes an answer that is there already.
pub(crate) fn answered(error: Error) -> Promise {
    let (sender, promise) = slot();
    sender.send(error.into()).expect("the slot is empty");
    promise
}

impl Drop for Responder {
    fn drop(&mut self) {
        // This fails, as it should, after `send` and when the connection is gone.
        let _ = self.sender.send(Error::internal("The request was not answered.").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Waker;
    use crate::app::task::tests::Wakes;
    use crate::app::waker::tests::{CONN, Counting};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::task;

    fn promise<'a>(response: &'a Response<'static>) -> &'a Promise {
        let Body::Pending(pending) = &response.body else { panic!("the response is not deferred") };
        let Some(Awaited::Answer(promise)) = pending.awaited() else { panic!("no answer is awaited") };
        promise
    }

    /// The status of the answer, if it is there.
    fn take_status(response: &Response<'static>) -> Option<u16> {
        promise(response)
            .take()
            .map(|answer| answer.into_result().map_or_else(|error| error.status(), |answer| answer.status))
    }

    #[test]
    fn an_answer_sent_before_the_connection_is_known_is_found() {
        let (response, responder) = Response::defer();
        responder.send(Response::new(201)).unwrap();
        let wake = Arc::new(Counting::default());
        promise(&response).bind(Waker::new(CONN, wake.clone()));
        assert_eq!(take_status(&response), Some(201));
        assert_eq!(take_status(&response), None, "once");
        assert_eq!(wake.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_answer_wakes_the_connection() {
        let (response, responder) = Response::defer();
        let wake = Arc::new(Counting::default());
        promise(&response).bind(Waker::new(CONN, wake.clone()));
        assert!(take_status(&response).is_none() && !responder.is_gone());
        std::thread::spawn(move || responder.send(Error::not_found("no"))).join().unwrap().unwrap();
        assert_eq!(wake.0.load(Ordering::Relaxed), 1);
        assert_eq!(take_status(&response), Some(404));
    }

    #[test]
    fn a_dropped_responder_answers_500() {
        let (response, responder) = Response::defer();
        drop(responder);
        assert_eq!(take_status(&response), Some(500));
    }

    #[test]
    fn the_task_that_polled_last_learns_that_the_response_is_gone() {
        let (response, mut responder) = Response::defer();
        let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
        for wakes in &wakes {
            let waker = wakes.clone().into();
            assert!(responder.poll_gone(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(response);
        assert_eq!(wakes.each_ref().map(|wakes| wakes.count()), [0, 1]);
        assert!(pin!(responder.gone()).poll(&mut Context::from_waker(task::Waker::noop())).is_ready());

        // An answer that was sent wakes the connection, not the task.
        let (_response, mut responder) = Response::defer();
        let waker = wakes[0].clone().into();
        assert!(responder.poll_gone(&mut Context::from_waker(&waker)).is_pending());
        responder.send(Response::new(200)).unwrap();
        assert_eq!((wakes[0].count(), Arc::strong_count(&wakes[0])), (0, 2), "only the test holds the waker");
    }

    #[test]
    fn sending_to_a_dropped_response_is_an_error() {
        let (response, responder) = Response::defer();
        drop(response.body("something else"));
        assert!(responder.is_gone());
        assert_eq!(responder.send(Response::new(200)), Err(Gone));
        // Dropping an answer that holds the receiver of another slot closes that slot too.
        let (response, responder) = Response::defer();
        let (inner, innermost) = Response::defer();
        responder.send(inner).unwrap();
        drop(response);
        assert!(innermost.is_gone());
    }
}
