//! A response's content from another thread, through a bounded queue of bytes.
//!
//! It knows no more of a connection than its waker. Its invariant: at most `capacity_bytes` are queued. The
//! queue's memory is reused as long as the response lasts.

use super::{Error, Gone, Progress, Response, Room, Source, Waker};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Sends a response's content from any thread. Made by [`Response::channel`].
///
/// Call [`finish`](BodySender::finish) when the content is complete. If the sender is dropped before that, the
/// connection is closed in the middle of the content, which shows the client that it is incomplete (RFC 9112
/// §8).
pub struct BodySender {
    channel: Arc<Channel>,
}

/// The result of [`BodySender::try_send`], [`EventSender::try_send`](super::EventSender::try_send) and
/// [`EventSender::comment`](super::EventSender::comment), which queue all of the bytes or none.
///
/// ```
/// use fleeting::{Pushed, Response};
///
/// let (response, mut body) = Response::channel(4); // queues at most 4 bytes
/// assert_eq!(body.try_send(b"hello"), Pushed::Full);
/// assert_eq!(body.try_send(b"hell"), Pushed::Sent);
/// drop(response); // what happens when the client leaves
/// assert_eq!(body.try_send(b"o"), Pushed::Gone);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "bytes that were not queued are not sent later"]
pub enum Pushed {
    /// All bytes are queued.
    Sent,
    /// The bytes do not fit into the queue now. None of them is queued.
    Full,
    /// The response is over: the client has left, or the content is complete. None of the bytes is queued.
    Gone,
}

struct Channel {
    capacity_bytes: usize,
    state: Mutex<State>,
    /// Signalled when bytes have left the queue, or the reader is gone.
    room_made: Condvar,
}

struct State {
    queue: VecDeque<u8>,
    writer: Writer,
    /// The response exists: a connection reads the queue, or may do so later.
    has_reader: bool,
    /// The connection's waker, while it waits for bytes.
    waker: Option<Waker>,
}

/// The state of the sending end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Open,
    Finished,
    /// Dropped before it finished.
    Abandoned,
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Response<'_> {
    /// Makes a 200 whose content other threads send. At most `capacity_bytes` bytes are queued (0 counts as
    /// 1), so a client that reads slowly blocks the sender. The content is framed like a
    /// [`source`](Response::source) of unknown length.
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

    /// Makes a channel for plain content, or for a stream of events.
    pub(super) fn channel_of(capacity_bytes: usize, events: bool) -> (Response<'static>, BodySender) {
        let state = State { queue: VecDeque::new(), writer: Writer::Open, has_reader: true, waker: None };
        // Nothing would ever pass through a queue without room.
        let capacity_bytes = capacity_bytes.max(1);
        let channel =
            Arc::new(Channel { capacity_bytes, state: Mutex::new(state), room_made: Condvar::new() });
        let reader = ChannelReader { channel: channel.clone(), events, ending: false, quiet: false };
        (Response::source(None, reader), BodySender { channel })
    }
}

impl BodySender {
    /// Queues all of `bytes`, or none. More bytes than the channel's capacity never fit.
    pub fn try_send(&mut self, bytes: &[u8]) -> Pushed {
        let mut state = self.channel.state();
        if !state.has_reader {
            return Pushed::Gone;
        }
        if bytes.len() > self.channel.capacity_bytes - state.queue.len() {
            return Pushed::Full;
        }
        state.queue.extend(bytes);
        wake(state);
        Pushed::Sent
    }

    /// Queues `bytes`, of any length, and blocks until all of them were queued. Do not call it in a handler:
    /// it may wait for the connection to take bytes, and the handler's own thread serves the connection.
    ///
    /// # Errors
    /// [`Gone`] if the response is over. Bytes queued before that may not reach the client either.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let state = self.channel.state();
            let is_full =
                |state: &mut State| state.has_reader && state.queue.len() >= self.channel.capacity_bytes;
            let state = self.channel.room_made.wait_while(state, is_full);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            if !state.has_reader {
                return Err(Gone);
            }
            let fits = rest.len().min(self.channel.capacity_bytes - state.queue.len());
            state.queue.extend(&rest[..fits]);
            rest = &rest[fits..];
            wake(state);
        }
        Ok(())
    }

    /// Completes the content: what was sent so far is all of it.
    pub fn finish(self) {
        self.close();
    }

    /// The same as [`finish`](BodySender::finish), for an owner that cannot move it.
    pub(super) fn close(&self) {
        self.end(Writer::Finished);
    }

    /// Whether the response is over: the client has left, or the content is complete.
    pub fn is_gone(&self) -> bool {
        !self.channel.state().has_reader
    }

    fn end(&self, writer: Writer) {
        let mut state = self.channel.state();
        if state.writer == Writer::Open {
            state.writer = writer;
            wake(state);
        }
    }
}

/// Unlocks the queue, then wakes the connection if it waits.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.end(Writer::Abandoned);
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queued = self.channel.state().queue.len();
        f.debug_struct("BodySender").field("queued_bytes", &queued).finish_non_exhaustive()
    }
}

/// An empty comment in a stream of events, which goes between two events (WHATWG HTML §9.2.6).
const COMMENT: &[u8] = b":\n\n";

/// The connection's end.
struct ChannelReader {
    channel: Arc<Channel>,
    /// The content is a stream of events. Such a stream has no end of its own: a shutdown completes it. A
    /// comment is sent when nothing else was sent for a while.
    events: bool,
    /// The server is shutting down.
    ending: bool,
    /// The next read sends a comment if there is nothing else to send.
    quiet: bool,
}

impl Source for ChannelReader {
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
            Writer::Abandoned => {
                return Err(Error::internal("The sender was dropped before it had finished."));
            }
            Writer::Open => {
                state.waker = Some(room.waker().clone());
                Progress::Later
            }
        };
        drop(state);
        if taken > 0 {
            self.channel.room_made.notify_all();
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
            self.channel.state().has_reader = false;
            self.channel.room_made.notify_all();
        }
    }
}

impl Drop for ChannelReader {
    fn drop(&mut self) {
        let mut state = self.channel.state();
        state.has_reader = false;
        state.waker = None;
        state.queue = VecDeque::new();
        drop(state);
        self.channel.room_made.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_queues_all_of_the_bytes_or_none() {
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
