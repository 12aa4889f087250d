//! A response's content from another thread, through a queue of bytes with a bound.
//!
//! It knows no connection but its waker. Its invariant: at most `capacity_bytes` are queued, in memory that
//! both ends use again and again.

use super::{Error, Gone, Progress, Response, Room, Source, Waker};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Sends a response's content from any thread. If it is dropped before [`finish`](BodySender::finish), the
/// connection is closed in the middle of the content, so that the client sees that it is not all.
pub struct BodySender {
    channel: Arc<Channel>,
}

/// What became of bytes that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what was not sent is the caller's still"]
pub enum Pushed {
    /// They are queued, all of them.
    Sent,
    /// They do not fit now: none is queued.
    Full,
    /// Nobody is there to have them.
    Gone,
}

struct Channel {
    capacity_bytes: usize,
    state: Mutex<State>,
    /// Something has left the queue, or nobody is there any more.
    moved: Condvar,
}

struct State {
    queue: VecDeque<u8>,
    writer: Writer,
    /// The connection is there, or may come.
    is_read: bool,
    /// The connection's, while it waits for bytes.
    waker: Option<Waker>,
}

/// The sending end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Open,
    Finished,
    /// Dropped without having finished.
    Lost,
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Response<'_> {
    /// 200 with content that is sent by other threads, of which at most `capacity_bytes`, or one, are queued: a
    /// client that reads slowly holds up who sends. It goes out as that of a [`source`](Response::source) of
    /// unknown length.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/count", |_req| {
    ///     let (response, mut body) = Response::channel(64 << 10);
    ///     std::thread::spawn(move || {
    ///         for number in 0..1_000_000 {
    ///             body.send(format!("{number}\n").as_bytes())?;
    ///         }
    ///         body.finish();
    ///         Ok::<(), fleeting::Gone>(())
    ///     });
    ///     Ok(response)
    /// });
    /// ```
    pub fn channel(capacity_bytes: usize) -> (Response<'static>, BodySender) {
        Response::channel_of(capacity_bytes, false)
    }

    pub(super) fn channel_of(capacity_bytes: usize, events: bool) -> (Response<'static>, BodySender) {
        let state = State { queue: VecDeque::new(), writer: Writer::Open, is_read: true, waker: None };
        // Through a queue without any room nothing would ever pass.
        let capacity_bytes = capacity_bytes.max(1);
        let channel = Arc::new(Channel { capacity_bytes, state: Mutex::new(state), moved: Condvar::new() });
        let outlet = Outlet { channel: channel.clone(), events, ending: false, quiet: false };
        (Response::source(None, outlet), BodySender { channel })
    }
}

impl BodySender {
    /// Queues `bytes`, all or none. More than the channel's capacity never fits.
    pub fn try_send(&mut self, bytes: &[u8]) -> Pushed {
        let mut state = self.channel.state();
        if !state.is_read {
            return Pushed::Gone;
        }
        if bytes.len() > self.channel.capacity_bytes - state.queue.len() {
            return Pushed::Full;
        }
        state.queue.extend(bytes);
        wake(state);
        Pushed::Sent
    }

    /// Queues `bytes`, of any length, and waits as long as they do not fit. Not for handlers: what makes
    /// room is their own thread.
    ///
    /// # Errors
    /// [`Gone`]: nobody is there to have the rest.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let state = self.channel.state();
            let full = |state: &mut State| state.is_read && state.queue.len() >= self.channel.capacity_bytes;
            let state = self.channel.moved.wait_while(state, full);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            if !state.is_read {
                return Err(Gone);
            }
            let fits = rest.len().min(self.channel.capacity_bytes - state.queue.len());
            state.queue.extend(&rest[..fits]);
            rest = &rest[fits..];
            wake(state);
        }
        Ok(())
    }

    /// The content is complete with what was sent.
    pub fn finish(self) {
        self.close();
    }

    /// As [`finish`](BodySender::finish), for who cannot give it away.
    pub(super) fn close(&self) {
        self.end(Writer::Finished);
    }

    /// Whether nobody is there any more.
    pub fn is_gone(&self) -> bool {
        !self.channel.state().is_read
    }

    fn end(&self, writer: Writer) {
        let mut state = self.channel.state();
        if state.writer == Writer::Open {
            state.writer = writer;
            wake(state);
        }
    }
}

/// Wakes the connection if it waits, with the queue unlocked.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.end(Writer::Lost);
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queued = self.channel.state().queue.len();
        f.debug_struct("BodySender").field("queued_bytes", &queued).finish_non_exhaustive()
    }
}

/// A comment in a stream of events, between two of them (WHATWG HTML §9.2.6).
const COMMENT: &[u8] = b":\n\n";

/// The connection's end.
struct Outlet {
    channel: Arc<Channel>,
    /// The content is a stream of events: it goes on for ever, a shutdown completes it, and a comment fills
    /// the quiet.
    events: bool,
    ending: bool,
    quiet: bool,
}

impl Source for Outlet {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        let mut state = self.channel.state();
        let (front, back) = state.queue.as_slices();
        let taken = room.push(front) + room.push(back);
        state.queue.drain(..taken);
        if std::mem::take(&mut self.quiet) && room.used() == 0 {
            room.push(COMMENT);
        }
        let progress = match state.writer {
            _ if !state.queue.is_empty() => Progress::More,
            _ if self.ending => Progress::End,
            Writer::Finished => Progress::End,
            Writer::Lost => return Err(Error::internal("The sender was dropped.")),
            Writer::Open => {
                state.waker = Some(room.waker().clone());
                Progress::Later
            }
        };
        drop(state);
        if taken > 0 {
            self.channel.moved.notify_all();
        }
        Ok(progress)
    }

    fn is_endless(&self) -> bool {
        self.events
    }

    fn quiet(&mut self) {
        self.quiet = self.events;
    }

    fn ending(&mut self) {
        if self.events {
            self.ending = true;
            self.channel.state().is_read = false;
            self.channel.moved.notify_all();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.channel.state();
        state.is_read = false;
        state.waker = None;
        state.queue = VecDeque::new();
        drop(state);
        self.channel.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none_of_what_is_sent_fits() {
        for (capacity_bytes, fits) in [(0, 1), (1, 1), (5, 5)] {
            let (response, mut sender) = Response::channel(capacity_bytes);
            assert_eq!(sender.try_send(&[0; 6][..fits + 1]), Pushed::Full, "{capacity_bytes}");
            assert_eq!(sender.try_send(&[0; 6][..fits]), Pushed::Sent, "{capacity_bytes}");
            assert_eq!(sender.try_send(&[0]), Pushed::Full, "{capacity_bytes}");
            drop(response);
            assert_eq!(sender.try_send(&[0]), Pushed::Gone);
            assert!(sender.is_gone() && sender.send(&[0]).is_err());
        }
    }
}
