//! A response's content from another thread, through a bounded queue of bytes.
//!
//! It knows no more of a connection than its waker. Its invariant: at most `capacity_bytes` are queued. The
//! queue's memory is reused as long as the response lasts.

use super::task::wake_task;
use super::{Error, Gone, Progress, Response, Room, Source, Waker};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};

/// An empty comment, which goes between two events (WHATWG HTML §9.2.6).
pub(crate) const COMMENT: &[u8] = b":\n\n";

/// Sends a response's content from any thread. Made by [`Response::channel`].
///
/// A thread calls [`send`](BodySender::send), which blocks while the queue is full; a task in an async executor awaits
/// [`send_async`](BodySender::send_async) or [`ready`](BodySender::ready).
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
    /// The task that waits for room, or for the reader to be gone.
    waiting: Option<Waiting>,
}

struct Waiting {
    task: task::Waker,
    /// How many bytes the task wants to fit.
    bytes: usize,
}

/// More bytes than ever fit: the task waits only for the reader to be gone.
const NEVER_FIT: usize = usize::MAX;

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

    /// Wakes the task that waits for room, and the thread that does. Call it after bytes have left the queue.
    fn room_made(&self, mut state: MutexGuard<'_, State>) {
        let room = self.capacity_bytes - state.queue.len();
        let waiting = state.waiting.take_if(|waiting| waiting.bytes <= room);
        drop(state);
        self.room_made.notify_all();
        wake_task(waiting.map(|waiting| waiting.task));
    }

    /// Takes note that nothing reads the queue any more, and wakes what waits.
    fn reader_gone(&self, mut state: MutexGuard<'_, State>) {
        state.has_reader = false;
        let waiting = state.waiting.take();
        drop(state);
        self.room_made.notify_all();
        wake_task(waiting.map(|waiting| waiting.task));
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
        let state = State {
            queue: VecDeque::new(),
            writer: Writer::Open,
            has_reader: true,
            waker: None,
            waiting: None,
        };
        // Nothing would ever pass through a queue without room.
        let capacity_bytes = capacity_bytes.max(1);
        let channel =
            Arc::new(Channel { capacity_bytes, state: Mutex::new(state), room_made: Condvar::new() });
        let reader = ChannelReader {
            channel: channel.clone(),
            events,
            beginning: events,
            ending: false,
            quiet: false,
        };
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
            let state = state.unwrap_or_else(PoisonError::into_inner);
            rest = &rest[self.push(state, rest)?..];
        }
        Ok(())
    }

    /// Queues as much of `bytes` as fits. Returns how much that was.
    pub(super) fn try_push(&mut self, bytes: &[u8]) -> Result<usize, Gone> {
        self.push(self.channel.state(), bytes)
    }

    fn push(&self, mut state: MutexGuard<'_, State>, bytes: &[u8]) -> Result<usize, Gone> {
        if !state.has_reader {
            return Err(Gone);
        }
        let fits = bytes.len().min(self.channel.capacity_bytes - state.queue.len());
        state.queue.extend(&bytes[..fits]);
        wake(state);
        Ok(fits)
    }

    /// Queues `bytes`, of any length, from a task in any async executor. The task is suspended while the queue is full,
    /// so a client that reads slowly suspends it.
    ///
    /// If the future is dropped, none of `bytes` is queued, provided that the channel's capacity is at least their length. Of
    /// more bytes than that, a part may be queued.
    ///
    /// ```
    /// use fleeting::{BodySender, Gone};
    ///
    /// async fn lines(mut body: BodySender) -> Result<(), Gone> {
    ///     for number in 0..1_000_000 {
    ///         body.send_async(format!("{number}\n").as_bytes()).await?;
    ///     }
    ///     body.finish();
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Gone`] if the response is over. Bytes queued before that may not reach the client either.
    pub async fn send_async(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut queued = 0;
        poll_fn(|cx| self.poll_push(cx, bytes, &mut queued)).await
    }

    /// Queues `bytes` from `queued` on, which counts what is queued. A rest that fits into the capacity is queued as a
    /// whole.
    pub(super) fn poll_push(
        &mut self,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
        queued: &mut usize,
    ) -> Poll<Result<(), Gone>> {
        while *queued < bytes.len() {
            let rest = &bytes[*queued..];
            // Half of the queue: the connection takes the other half meanwhile.
            let enough = if rest.len() > self.channel.capacity_bytes {
                self.channel.capacity_bytes / 2
            } else {
                rest.len()
            };
            std::task::ready!(self.poll_ready(cx, enough.max(1)))?;
            *queued += self.try_push(rest)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until `bytes` bytes fit into the queue, or until it is empty if they never fit, in any async executor.
    /// [`try_send`](BodySender::try_send) then takes them. So the next piece need not be made before there is room for it.
    ///
    /// ```
    /// use fleeting::{BodySender, Gone, Pushed};
    ///
    /// async fn pieces(mut body: BodySender, mut next: impl FnMut() -> Option<[u8; 512]>) -> Result<(), Gone> {
    ///     loop {
    ///         body.ready(512).await?;
    ///         let Some(piece) = next() else { break };
    ///         assert_eq!(body.try_send(&piece), Pushed::Sent);
    ///     }
    ///     body.finish();
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Gone`] if the response is over.
    pub async fn ready(&mut self, bytes: usize) -> Result<(), Gone> {
        poll_fn(|cx| self.poll_ready(cx, bytes)).await
    }

    /// The same as [`ready`](BodySender::ready), for a hand-written future. Only the task that polled last is woken.
    ///
    /// # Errors
    /// [`Gone`] if the response is over.
    pub fn poll_ready(&mut self, cx: &mut task::Context<'_>, bytes: usize) -> Poll<Result<(), Gone>> {
        self.poll_room(cx, bytes.min(self.channel.capacity_bytes))
    }

    /// Waits until the response is over, in any async executor: the client has left, or the server is shutting down.
    ///
    /// A reset of the connection is noticed at once. A client that closes it in an orderly way may still be reading (RFC
    /// 9112 §9.6), so that it has left is noticed only when something is sent to it.
    pub async fn gone(&mut self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// The same as [`gone`](BodySender::gone), for a hand-written future. Only the task that polled last is woken.
    pub fn poll_gone(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        self.poll_room(cx, NEVER_FIT).map(drop)
    }

    fn poll_room(&mut self, cx: &mut task::Context<'_>, bytes: usize) -> Poll<Result<(), Gone>> {
        let task = cx.waker().clone();
        let mut state = self.channel.state();
        if !state.has_reader {
            return Poll::Ready(Err(Gone));
        }
        if bytes <= self.channel.capacity_bytes - state.queue.len() {
            return Poll::Ready(Ok(()));
        }
        // A task that polls for room and for the end in turn is woken for the room, too.
        let bytes = state.waiting.as_ref().map_or(bytes, |waiting| waiting.bytes.min(bytes));
        let before = state.waiting.replace(Waiting { task, bytes });
        drop(state);
        drop(before);
        Poll::Pending
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
            // The sender's owner no longer waits.
            let waiting = state.waiting.take();
            wake(state);
            drop(waiting);
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

/// The connection's end.
struct ChannelReader {
    channel: Arc<Channel>,
    /// The content is a stream of events. Such a stream has no end of its own: a shutdown completes it. A
    /// comment is sent when nothing else was sent for a while.
    events: bool,
    /// The server is shutting down.
    ending: bool,
    /// The next read begins the stream, with a comment.
    beginning: bool,
    /// The next read sends a comment if there is nothing else to send.
    quiet: bool,
}

impl Source for ChannelReader {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        if std::mem::take(&mut self.beginning) {
            room.push(COMMENT);
        }
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
        if taken > 0 {
            self.channel.room_made(state);
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
            self.channel.reader_gone(self.channel.state());
        }
    }
}

impl Drop for ChannelReader {
    fn drop(&mut self) {
        let mut state = self.channel.state();
        state.waker = None;
        state.queue = VecDeque::new();
        self.channel.reader_gone(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Body;
    use crate::app::body::Awaited;
    use crate::app::task::tests::Wakes;
    use crate::app::waker::tests::{CONN, Counting};
    use std::pin::pin;

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

    /// A channel whose reader is at hand, and a task that counts how often it is woken.
    struct Case {
        reader: Box<dyn Source>,
        wakes: Arc<Wakes>,
    }

    impl Case {
        fn new(capacity_bytes: usize) -> (Case, BodySender) {
            let (response, sender) = Response::channel(capacity_bytes);
            let Body::Pending(pending) = response.body else { panic!("the response is not pending") };
            let Some(Awaited::Source(streamed)) = pending.into_awaited() else {
                panic!("there is no source")
            };
            (Case { reader: streamed.source, wakes: Arc::default() }, sender)
        }

        fn poll<T>(&self, poll: impl FnOnce(&mut task::Context<'_>) -> Poll<T>) -> Poll<T> {
            poll(&mut task::Context::from_waker(&self.wakes.clone().into()))
        }

        /// Lets the connection take at most `bytes`. Returns how many it took.
        fn take(&mut self, bytes: usize) -> usize {
            let waker = Waker::new(CONN, Arc::new(Counting::default()));
            let mut bytes = vec![0; bytes];
            let mut room = Room::new(&mut bytes, &waker);
            assert!(self.reader.read(&mut room).is_ok());
            room.used()
        }
    }

    #[test]
    fn a_task_is_suspended_until_there_is_room() {
        let (mut case, mut sender) = Case::new(8);
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 8)), Poll::Ready(Ok(())));
        assert_eq!(sender.try_send(&[0; 6]), Pushed::Sent);
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 2)), Poll::Ready(Ok(())));
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 5)), Poll::Pending);
        assert_eq!((case.take(2), case.wakes.count()), (2, 0), "four bytes fit");
        assert_eq!((case.take(1), case.wakes.count()), (1, 1));
        assert_eq!((case.take(1), case.wakes.count()), (1, 1), "a task is woken once");
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 5)), Poll::Ready(Ok(())));
        // What never fits waits for an empty queue.
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 100)), Poll::Pending);
        assert_eq!((case.take(8), case.wakes.count()), (2, 2));
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 100)), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_task_learns_that_the_reader_is_gone() {
        let (case, mut sender) = Case::new(8);
        assert_eq!(sender.try_send(&[0; 8]), Pushed::Sent);
        assert_eq!(case.poll(|cx| sender.poll_ready(cx, 1)), Poll::Pending);
        let Case { reader, wakes } = case;
        drop(reader);
        assert_eq!(wakes.count(), 1);
        let cx = &mut task::Context::from_waker(task::Waker::noop());
        assert_eq!(sender.poll_ready(cx, 1), Poll::Ready(Err(Gone)));
        assert_eq!(sender.poll_gone(cx), Poll::Ready(()));
    }

    #[test]
    fn a_task_may_poll_for_room_and_for_the_end_in_any_order() {
        for ready_first in [true, false] {
            let (mut case, mut sender) = Case::new(8);
            assert_eq!(sender.try_send(&[0; 8]), Pushed::Sent);
            for ready in [ready_first, !ready_first] {
                let polled = case.poll(|cx| match ready {
                    true => sender.poll_ready(cx, 4).map(drop),
                    false => sender.poll_gone(cx),
                });
                assert_eq!(polled, Poll::Pending);
            }
            assert_eq!((case.take(4), case.wakes.count()), (4, 1), "{ready_first}");
            assert_eq!(case.poll(|cx| sender.poll_gone(cx)), Poll::Pending);
            assert_eq!((case.take(4), case.wakes.count()), (4, 1), "room is not what it waits for");
        }
    }

    #[test]
    fn what_fits_into_the_queue_is_queued_whole_or_not_at_all() {
        let (mut case, mut sender) = Case::new(8);
        assert_eq!(sender.try_send(&[0; 3]), Pushed::Sent);
        {
            let mut future = pin!(sender.send_async(&[1; 6]));
            assert_eq!(case.poll(|cx| future.as_mut().poll(cx)), Poll::Pending);
        }
        assert_eq!(case.take(100), 3);
        // More than fits goes in pieces.
        let mut future = pin!(sender.send_async(&[2; 20]));
        let mut taken = 0;
        while case.poll(|cx| future.as_mut().poll(cx)).is_pending() {
            taken += case.take(100);
        }
        assert_eq!(taken + case.take(100), 20);
    }
}
