//! Delivers a turn's publications to their subscribers.
//!
//! It knows no topic's name. Its invariants: after a delivery, every publication due to a subscriber has left, is
//! queued, was counted as dropped, or is still due; the rest of a partly written message is always queued; a subscriber
//! that takes all that it is due costs one write, however its topics alternate.

use super::conn::{Conn, Protocol};
use super::context::Services;
use super::cork::Cork;
use super::counters::Counters;
use super::http::subscribed::encode_published as encode_event;
use super::publisher::Recipient;
use super::table::Table;
use crate::app::ConnId;
use crate::buffer::{Outbox, Published, SlowConsumer};
use crate::config::Limits;
use crate::pubsub::{Batch, BatchRange, Encoding};
use crate::transport::Stream;

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
}

/// Memory of gathered frames that is kept from one batch to the next.
const GATHERED_BYTES_KEPT: usize = 1 << 20;

impl Gathered {
    /// Returns the frames of the ranges that are due.
    fn frames(&mut self, batch: &Batch, encoding: Encoding) -> &[u8] {
        if self.encoding != encoding || self.ranges != self.due {
            self.encoding = encoding;
            self.ranges.clone_from(&self.due);
            self.bytes.clear();
            for range in &self.due {
                self.bytes.extend_from_slice(batch.frames(encoding, range.from, range.to));
            }
        }
        &self.bytes
    }

    /// Forgets the frames: the batch is empty.
    fn clear(&mut self) {
        self.ranges.clear();
        if self.bytes.capacity() > GATHERED_BYTES_KEPT {
            self.bytes = Vec::new();
        }
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
    gathered: &mut Gathered,
    follow_ups: &mut FollowUps,
    budget: &mut usize,
) {
    let Services { publisher, limits, counters, codec, completions, .. } = services;
    publisher.relay(counters);
    publisher.topics.batch.complete(|encoding, entry, out| {
        if encoding.is_events() {
            encode_event(encoding, entry, out);
        } else {
            codec.encode_published(encoding, entry.message.opcode(), entry.message.bytes(), out);
        }
    });
    // If the last subscriber has spent the budget, nothing is put off.
    while *budget > 0 || publisher.topics.are_all_served() {
        let Some(subscriber) = publisher.topics.next_pending() else {
            gathered.clear();
            return;
        };
        gathered.due.clear();
        let Some((recipient, encoding, last)) = publisher.topics.take_pending(subscriber, &mut gathered.due)
        else {
            continue;
        };
        let id = match recipient {
            Recipient::Conn(id) => id,
            Recipient::Listener(id) => {
                for range in gathered.due.iter().chain([&last]) {
                    *budget = budget.saturating_sub(range.len() as usize);
                    publisher.notify(id, *range, counters);
                }
                continue;
            }
        };
        let batch = &mut publisher.topics.batch;
        let several = !gathered.due.is_empty();
        if several {
            gathered.due.push(last);
        }
        let count = if several { gathered.due.iter().map(|range| range.len()).sum() } else { last.len() };
        let Some(conn) = table.find(id).filter(|conn| conn.takes_publications()) else {
            counters.dropped_closing += count;
            continue;
        };
        match &mut conn.protocol {
            Protocol::WebSocket(open, _) if encoding != Encoding::PLAIN => open.was_sent_foreign(),
            _ => {}
        }
        let mut sent = None;
        let queued = conn.queued_bytes();
        // Events are part of a response, whose bytes the completion hook reports.
        let mut note = |sent, conn: &Conn<S>| {
            if encoding.is_events() && completions.is_on() {
                completions.published(id, sent, queued, conn.queued_bytes());
            }
        };
        if conn.io.outbox.is_none() {
            let frames = match several {
                false => batch.frames(encoding, last.from, last.to),
                true => gathered.frames(batch, encoding),
            };
            let taken = conn.output(cork).write_now(frames);
            *budget = budget.saturating_sub(1 + taken / WRITE_BYTES);
            if taken == frames.len() {
                counters.delivered += count;
                note(taken, conn);
                continue;
            }
            if conn.io.broken {
                counters.dropped_closing += count;
                follow_ups.failed.push(id);
                continue;
            }
            sent = Some(taken);
        }
        let ranges = if several { &gathered.due[..] } else { std::slice::from_ref(&last) };
        let mut left =
            ranges.iter().flat_map(|range| (range.from..range.to).map(|at| Due { at, slow: range.slow }));
        if let Some(sent) = sent {
            begin_outbox(conn.outbox(cork.memory()), batch, encoding, &mut left, sent, counters);
            follow_ups.blocked.push(id);
        }
        *budget = budget.saturating_sub(count as usize);
        if queue(conn.outbox(cork.memory()), batch, encoding, left, limits, counters) {
            follow_ups.too_slow.push(id);
        }
        note(sent.unwrap_or(0), conn);
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
