//! The streams of a connection that are open, and what may be sent on them.
//!
//! It knows no frame. Its invariant: they are in the order of their identifiers.

use super::frame::ErrorCode;

/// An open stream. `R` is what the caller keeps for it.
#[derive(Debug)]
pub struct Stream<R> {
    pub(super) id: u32,
    /// What may be sent on it; below 0 after the peer has made its window smaller (RFC 9113 §6.9.2).
    pub(super) send_window: i64,
    /// What the peer may send on it.
    pub(super) receive_window: i64,
    /// Content that was taken, and for which the peer has no new room yet.
    pub(super) uncredited: u32,
    /// Content that is still to come, if Content-Length says so.
    pub(super) content_left: Option<u64>,
    /// The peer has sent END_STREAM.
    pub(super) remote_ended: bool,
    /// END_STREAM was sent.
    pub(super) local_ended: bool,
    /// What the caller keeps.
    pub record: R,
}

impl<R> Stream<R> {
    /// Returns the identifier.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns how much content may be sent, whatever the window of the connection is.
    pub fn send_window(&self) -> usize {
        usize::try_from(self.send_window).unwrap_or(0)
    }

    /// Whether the peer has ended its side.
    pub fn remote_ended(&self) -> bool {
        self.remote_ended
    }

    /// Notes that `bytes` bytes of content have arrived, and checks them against Content-Length (RFC 9113 §8.1.1).
    pub(super) fn receive(&mut self, bytes: usize, ends: bool) -> Result<(), ErrorCode> {
        if let Some(left) = &mut self.content_left {
            *left = left.checked_sub(bytes as u64).ok_or(ErrorCode::PROTOCOL_ERROR)?;
            if ends && *left > 0 {
                return Err(ErrorCode::PROTOCOL_ERROR);
            }
        }
        self.remote_ended |= ends;
        Ok(())
    }
}

/// The open streams of a connection.
#[derive(Debug)]
pub struct Streams<R> {
    open: Vec<Stream<R>>,
}

impl<R> Streams<R> {
    pub(super) const fn new() -> Streams<R> {
        Streams { open: Vec::new() }
    }

    /// Returns how many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the stream with this identifier, if it is open.
    #[inline]
    pub fn find(&mut self, id: u32) -> Option<&mut Stream<R>> {
        let at = self.position(id)?;
        Some(&mut self.open[at])
    }

    /// Whether at least `limit` are open. One that both sides have ended is closed (RFC 9113 §5.1.2), though its record is still
    /// here.
    #[inline]
    pub(super) fn are_as_many_as(&self, limit: usize) -> bool {
        self.open.len() >= limit && self.count_open() >= limit
    }

    #[cold]
    fn count_open(&self) -> usize {
        self.open.iter().filter(|stream| !(stream.local_ended && stream.remote_ended)).count()
    }

    #[inline]
    fn position(&self, id: u32) -> Option<usize> {
        // Most frames are for the stream that was opened last.
        match self.open.last() {
            Some(last) if last.id == id => Some(self.open.len() - 1),
            Some(last) if last.id > id => self.open.binary_search_by_key(&id, |stream| stream.id).ok(),
            _ => None,
        }
    }

    /// Adds a stream, whose identifier is larger than those of all others.
    pub(super) fn add(&mut self, stream: Stream<R>) {
        debug_assert!(self.open.last().is_none_or(|last| last.id < stream.id));
        self.open.push(stream);
    }

    /// Removes a stream.
    pub(super) fn remove(&mut self, id: u32) -> Option<Stream<R>> {
        let at = self.position(id)?;
        Some(self.open.remove(at))
    }

    /// Lends memory for streams, if there is none yet. It is empty.
    pub fn lend(&mut self, memory: impl FnOnce() -> Vec<Stream<R>>) {
        if self.open.capacity() == 0 {
            self.open = memory();
        }
    }

    /// Returns the memory for streams, if none is open.
    pub fn take_memory(&mut self) -> Option<Vec<Stream<R>>> {
        self.open.is_empty().then(|| std::mem::take(&mut self.open))
    }

    /// Returns the streams.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Stream<R>> {
        self.open.iter_mut()
    }

    /// Returns the streams, beginning with the first whose identifier is larger than `after`: a round trip.
    pub fn round_from(&mut self, after: u32) -> impl Iterator<Item = &mut Stream<R>> {
        let at = self.open.partition_point(|stream| stream.id <= after);
        let (first, last) = self.open.split_at_mut(at);
        last.iter_mut().chain(first.iter_mut())
    }

    /// Removes the streams for which `is_over` is true, and returns what was kept for them.
    pub fn take_if(&mut self, is_over: impl Fn(&Stream<R>) -> bool) -> Vec<R> {
        let (over, rest): (Vec<_>, _) = std::mem::take(&mut self.open).into_iter().partition(is_over);
        self.open = rest;
        over.into_iter().map(|stream| stream.record).collect()
    }

    /// Removes all streams.
    pub(super) fn take(&mut self) -> Vec<Stream<R>> {
        std::mem::take(&mut self.open)
    }

    /// Returns the bytes that the list takes.
    pub(super) fn bytes(&self) -> usize {
        self.open.capacity() * size_of::<Stream<R>>()
    }
}
