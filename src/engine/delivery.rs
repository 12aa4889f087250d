//! Delivers a turn's publications to their subscribers.
//!
//! It knows no topic's name. Its invariants: after a delivery, every publication due to a subscriber has left, is
//! queued, was counted as dropped, or is still due; the rest of a partly written message is always queued; a subscriber
//! that takes all that it is due costs one write, however its topics alternate.

use super::bounds::Bounds;
use super::conn::{Conn, Protocol};
use super::context::Services;
use super::cork::Cork;
use super::counters::Counters;
use super::http::subscribed::encode_published as encode_event;
use super::publisher::Recipient;
use super::table::Table;
use super::together::Together;
use crate::app::ConnId;
use crate::buffer::{Outbox, Published, SlowConsumer};
use crate::config::Limits;
use crate::pubsub::{Batch, BatchRange, Encoding};
use crate::transport::{Stream, Submit};
use std::io;

/// Connections that need attention after a delivery.
#[derive(Default)]
pub(super) struct FollowUps {
    /// Their streams have failed.
    pub(super) failed: Vec<ConnId>,
    /// They have a new outbox, and so a new deadline.
    pub(super) blocked: Vec<ConnId>,
    /// They must be closed for being too slow.
    pub(super) too_slow: Vec<ConnId>,
}

/// Frames that lie apart in the batch, put together so that they leave in one write.
///
/// Subscribers of the same topics are due the same ranges, so one copy serves all of them that follow one another.
#[derive(Default)]
pub(super) struct Gathered {
    /// The ranges of the subscriber that is being served.
    due: Vec<BatchRange>,
    /// The ranges whose frames `bytes` holds; none if it holds nothing of this batch.
    ranges: Vec<BatchRange>,
    encoding: Encoding,
    bytes: Vec<u8>,
    /// A write that waits is of these bytes.
    in_use: bool,
}

/// Memory of gathered frames that is kept from one batch to the next.
const GATHERED_BYTES_KEPT: usize = 1 << 20;

impl Gathered {
    /// Whether it holds the frames of the ranges that are due.
    fn is_ready(&self, encoding: Encoding) -> bool {
        self.encoding == encoding && self.ranges == self.due
    }

    /// Puts the frames of the ranges that are due together.
    fn gather(&mut self, batch: &Batch, encoding: Encoding) {
        self.encoding = encoding;
        self.ranges.clone_from(&self.due);
        self.bytes.clear();
        for range in &self.due {
            self.bytes.extend_from_slice(batch.frames(encoding, range.from, range.to));
        }
    }

    /// Forgets the frames: the batch is empty.
    fn clear(&mut self) {
        self.ranges.clear();
        if self.bytes.capacity() > GATHERED_BYTES_KEPT {
            self.bytes = Vec::new();
        }
    }
}

/// What a subscriber is due.
#[derive(Clone, Copy)]
enum Owed {
    One(BatchRange),
    /// The ranges of [`Gathered`].
    Several,
}

/// A write that waits to be carried out together with others.
struct Waiting {
    id: ConnId,
    encoding: Encoding,
    owed: Owed,
}

/// What a delivery keeps from one turn to the next, most of it for its memory.
pub(super) struct DeliveryScratch {
    pub(super) follow_ups: FollowUps,
    gathered: Gathered,
    together: Together<Waiting>,
}

impl DeliveryScratch {
    pub(super) fn new(bounds: &Bounds) -> DeliveryScratch {
        let (follow_ups, gathered) = (FollowUps::default(), Gathered::default());
        DeliveryScratch { follow_ups, gathered, together: Together::new(bounds.writes) }
    }

    /// Writes through `submit` from now on.
    pub(super) fn submit_through(&mut self, submit: Box<dyn Submit>) {
        self.together.turn_on(submit);
    }

    /// Whether several connections are written to together.
    pub(super) fn writes_together(&self) -> bool {
        self.together.is_on()
    }
}

/// Writing this many bytes takes about as long as a small write.
const WRITE_BYTES: usize = 4 << 10;

/// Sends or queues what each subscriber is due, until `budget` is spent. A write takes one of it, and one more for each
/// [`WRITE_BYTES`]; so does each message that is queued, or passed to a listener. A subscriber that is not served is still
/// owed its publications. Publications for other workers and the broker are sent in any case.
#[inline(never)]
pub(super) fn deliver<S: Stream>(
    table: &mut Table<Conn<S>>,
    services: &mut Services,
    cork: &mut Cork,
    scratch: &mut DeliveryScratch,
    budget: &mut usize,
) {
    let Services { publisher, counters, codec, .. } = services;
    publisher.relay(counters);
    publisher.topics.batch.complete(|encoding, entry, out| {
        if encoding.is_events() {
            encode_event(encoding, entry, out);
        } else {
            codec.encode_published(encoding, entry.message.opcode(), entry.message.bytes(), out);
        }
    });
    let mut delivery = Delivery { table, services, cork, scratch, budget };
    delivery.serve_all();
    delivery.submit();
}

/// A delivery that is under way.
struct Delivery<'a, S> {
    table: &'a mut Table<Conn<S>>,
    services: &'a mut Services,
    cork: &'a mut Cork,
    scratch: &'a mut DeliveryScratch,
    budget: &'a mut usize,
}

impl<S: Stream> Delivery<'_, S> {
    fn serve_all(&mut self) {
        loop {
            let topics = &mut self.services.publisher.topics;
            if topics.are_all_served() {
                // The batch is emptied next, and what waits to be written is in it.
                self.submit();
            } else if *self.budget == 0 {
                return;
            }
            let topics = &mut self.services.publisher.topics;
            let Some(subscriber) = topics.next_pending() else {
                self.scratch.gathered.clear();
                return;
            };
            let due = &mut self.scratch.gathered.due;
            due.clear();
            let Some((recipient, encoding, last)) = topics.take_pending(subscriber, due) else { continue };
            match recipient {
                Recipient::Conn(id) if due.is_empty() => self.serve(id, encoding, Owed::One(last)),
                Recipient::Conn(id) => {
                    due.push(last);
                    self.serve(id, encoding, Owed::Several);
                }
                Recipient::Listener(id) => {
                    let Services { publisher, counters, .. } = &mut *self.services;
                    for range in due.iter().chain([&last]) {
                        *self.budget = self.budget.saturating_sub(range.len() as usize);
                        publisher.notify(id, *range, counters);
                    }
                }
            }
        }
    }

    /// Writes what a connection is due, now or together with what others are due, or queues it.
    #[inline]
    fn serve(&mut self, id: ConnId, encoding: Encoding, owed: Owed) {
        let Delivery { table, services, cork, scratch, budget } = &mut *self;
        let Some(conn) = table.find(id).filter(|conn| conn.takes_publications()) else {
            services.counters.dropped_closing += count(owed.ranges(&scratch.gathered.due));
            return;
        };
        match &mut conn.protocol {
            Protocol::WebSocket(open, _) if encoding != Encoding::PLAIN => open.was_sent_foreign(),
            _ => {}
        }
        if conn.io.outbox.is_some() {
            let due = Ranges { id, encoding, ranges: owed.ranges(&scratch.gathered.due) };
            return due.queue(conn, services, cork, &mut scratch.follow_ups, budget, None);
        }
        let socket = conn.io.stream.socket();
        if matches!(owed, Owed::Several) && !scratch.gathered.is_ready(encoding) {
            if scratch.gathered.in_use {
                self.submit();
            }
            self.scratch.gathered.gather(&self.services.publisher.topics.batch, encoding);
        }
        let frames = owed.frames(encoding, &self.services.publisher.topics.batch, &self.scratch.gathered);
        *self.budget = self.budget.saturating_sub(1 + frames.len() / WRITE_BYTES);
        match socket {
            Some(socket) if self.scratch.together.is_on() => {
                self.scratch.gathered.in_use |= matches!(owed, Owed::Several);
                self.scratch.together.push(socket, Waiting { id, encoding, owed });
                if self.scratch.together.is_full() {
                    self.submit();
                }
            }
            _ => self.write(id, encoding, owed, None),
        }
    }

    /// Writes what a connection without an outbox is due, and queues what its stream does not take. `written` is the result
    /// of the write, if it was made already.
    #[inline]
    fn write(&mut self, id: ConnId, encoding: Encoding, owed: Owed, written: Option<io::Result<usize>>) {
        let Delivery { table, services, cork, scratch, budget } = &mut *self;
        let DeliveryScratch { gathered, follow_ups, .. } = &mut **scratch;
        let Some(conn) = table.find(id) else { return };
        let frames = owed.frames(encoding, &services.publisher.topics.batch, gathered);
        let taken = conn.output(cork).write_now(frames, written);
        let due = Ranges { id, encoding, ranges: owed.ranges(&gathered.ranges) };
        if taken == frames.len() {
            services.counters.delivered += count(due.ranges);
            due.note(services, taken, 0, 0);
        } else if conn.io.broken {
            services.counters.dropped_closing += count(due.ranges);
            follow_ups.failed.push(id);
        } else {
            follow_ups.blocked.push(id);
            due.queue(conn, services, cork, follow_ups, budget, Some(taken));
        }
    }

    /// Carries out the writes that wait for one another.
    #[inline]
    fn submit(&mut self) {
        if !self.scratch.together.is_empty() {
            self.submit_some();
        }
    }

    #[inline(never)]
    fn submit_some(&mut self) {
        let DeliveryScratch { together, gathered, .. } = &mut *self.scratch;
        let batch = &self.services.publisher.topics.batch;
        if together.submit(|waiting| waiting.owed.frames(waiting.encoding, batch, gathered)) {
            self.services.counters.submissions += 1;
        }
        let (mut writes, mut results) = self.scratch.together.take();
        let mut written = results.drain(..);
        for (_, Waiting { id, encoding, owed }) in writes.drain(..) {
            self.write(id, encoding, owed, written.next());
        }
        drop(written);
        self.scratch.together.give_back(writes, results);
        self.scratch.gathered.in_use = false;
    }
}

impl Owed {
    /// Returns the ranges: `several`, unless there is only one.
    #[inline]
    fn ranges<'a>(&'a self, several: &'a [BatchRange]) -> &'a [BatchRange] {
        match self {
            Owed::One(range) => std::slice::from_ref(range),
            Owed::Several => several,
        }
    }

    /// Returns the frames, which lie in the batch or are gathered.
    #[inline]
    fn frames<'a>(&self, encoding: Encoding, batch: &'a Batch, gathered: &'a Gathered) -> &'a [u8] {
        match self {
            Owed::One(range) => batch.frames(encoding, range.from, range.to),
            Owed::Several => &gathered.bytes,
        }
    }
}

/// Returns the number of publications in these ranges.
#[inline]
fn count(ranges: &[BatchRange]) -> u64 {
    ranges.iter().map(|range| range.len()).sum()
}

/// The publications that a connection is due.
struct Ranges<'a> {
    id: ConnId,
    encoding: Encoding,
    ranges: &'a [BatchRange],
}

impl Ranges<'_> {
    /// Notes for the completion hook what was sent, and the bytes in the outbox before and after. Events are part of a
    /// response.
    #[inline]
    fn note(&self, services: &mut Services, sent: usize, before: usize, after: usize) {
        if self.encoding.is_events() && services.completions.is_on() {
            services.completions.published(self.id, sent, before, after);
        }
    }

    /// Queues them. `sent` is how many of their bytes have left, if the outbox is new.
    #[inline(never)]
    fn queue<S: Stream>(
        &self,
        conn: &mut Conn<S>,
        services: &mut Services,
        cork: &mut Cork,
        follow_ups: &mut FollowUps,
        budget: &mut usize,
        sent: Option<usize>,
    ) {
        let Services { publisher, limits, counters, .. } = &mut *services;
        let (batch, encoding) = (&mut publisher.topics.batch, self.encoding);
        let before = conn.queued_bytes();
        let due = |range: &BatchRange| {
            let slow = range.slow;
            (range.from..range.to).map(move |at| Due { at, slow })
        };
        let mut left = self.ranges.iter().flat_map(due);
        if let Some(sent) = sent {
            begin_outbox(conn.outbox(cork), batch, encoding, &mut left, sent, counters);
        }
        *budget = budget.saturating_sub(count(self.ranges) as usize);
        if queue(conn.outbox(cork), batch, encoding, left, limits, counters) {
            follow_ups.too_slow.push(self.id);
        }
        self.note(services, sent.unwrap_or(0), before, conn.queued_bytes());
    }
}

/// A publication that is due.
struct Due {
    /// Its number in the batch.
    at: u32,
    slow: SlowConsumer,
}

impl Due {
    fn published(&self, batch: &mut Batch, encoding: Encoding) -> Published {
        let (block, name_bytes) = batch.shared(encoding, self.at);
        Published::new(block, name_bytes, self.slow)
    }
}

/// Begins the outbox of a connection whose stream took only the first `sent` bytes of what is due. Counts the messages that
/// have left, and queues the rest of a partly written one even if it exceeds the limit. What follows stays in `due`.
fn begin_outbox(
    outbox: &mut Outbox,
    batch: &mut Batch,
    encoding: Encoding,
    due: &mut impl Iterator<Item = Due>,
    mut sent: usize,
    counters: &mut Counters,
) {
    while sent > 0 {
        let first = due.next().expect("fewer bytes were sent than are due");
        let length = batch.frame_bytes(encoding, first.at);
        if sent < length {
            outbox.push_begun(first.published(batch, encoding), sent);
            return;
        }
        counters.delivered += 1;
        sent -= length;
    }
}

/// Queues what is due as far as there is room. Returns whether the subscriber must be closed for being too slow.
fn queue(
    outbox: &mut Outbox,
    batch: &mut Batch,
    encoding: Encoding,
    mut due: impl Iterator<Item = Due>,
    limits: &Limits,
    counters: &mut Counters,
) -> bool {
    while let Some(next) = due.next() {
        let offered = outbox.offer(next.published(batch, encoding), limits.outbox_bytes);
        counters.dropped_oldest += offered.dropped_oldest;
        counters.conflated += offered.conflated;
        if offered.too_slow {
            counters.closed_slow += 1;
            let unsent = 1 + due.count() as u64;
            outbox.lose(unsent);
            counters.dropped_slow += outbox.drop_published() + unsent;
            return true;
        }
        counters.dropped_newest += u64::from(!offered.queued);
    }
    false
}
