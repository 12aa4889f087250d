//! Delivers a turn's publications to their subscribers.
//!
//! It knows no topic's name. Its invariants: after a delivery, every publication due to a subscriber has left, is
//! queued, or was counted as dropped; the rest of a partly written message is always queued.

use super::conn::{Conn, Protocol};
use super::context::Services;
use super::cork::Cork;
use super::counters::Counters;
use super::publisher::Recipient;
use super::table::Table;
use crate::app::ConnId;
use crate::buffer::{Outbox, Published};
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

/// Sends or queues what each subscriber is due.
#[inline(never)]
pub(super) fn deliver<S: Stream>(
    table: &mut Table<Conn<S>>,
    services: &mut Services,
    cork: &mut Cork,
    follow_ups: &mut FollowUps,
) {
    let Services { publisher, limits, counters, codec, .. } = services;
    publisher.relay(counters);
    publisher.topics.batch.complete(|encoding, opcode, payload, out| {
        codec.encode_published(encoding, opcode, payload, out);
    });
    let pending = publisher.topics.pending();
    for subscriber in &pending {
        while let Some((recipient, encoding, range)) = publisher.topics.take_pending(*subscriber) {
            let id = match recipient {
                Recipient::Conn(id) => id,
                Recipient::Listener(id) => {
                    publisher.notify(id, range, counters);
                    continue;
                }
            };
            let topics = &mut publisher.topics;
            let Some(conn) = table.find(id).filter(|conn| conn.takes_publications()) else {
                counters.dropped_closing += range.len();
                continue;
            };
            match &mut conn.protocol {
                Protocol::WebSocket(open) if encoding != Encoding::PLAIN => open.was_sent_foreign(),
                _ => {}
            }
            let batch = &mut topics.batch;
            let mut left = range;
            if conn.io.outbox.is_none() {
                let frames = batch.frames(encoding, range.from, range.to);
                let sent = conn.output(cork).write_now(frames);
                if sent == frames.len() {
                    counters.delivered += range.len();
                    continue;
                }
                if conn.io.broken {
                    counters.dropped_closing += range.len();
                    follow_ups.failed.push(id);
                    continue;
                }
                left = begin_outbox(conn.outbox(cork.memory()), batch, encoding, range, sent, counters);
                follow_ups.blocked.push(id);
            }
            if queue(conn.outbox(cork.memory()), batch, encoding, left, limits, counters) {
                follow_ups.too_slow.push(id);
                while let Some((_, _, range)) = topics.take_pending(*subscriber) {
                    counters.dropped_slow += range.len();
                }
            }
        }
    }
    publisher.topics.clear(pending);
}

/// Begins the outbox of a connection whose stream took only the first `sent` bytes of a range. Counts the messages that
/// have left, and queues the rest of a partly written one even if it exceeds the limit. Returns the range after it.
fn begin_outbox(
    outbox: &mut Outbox,
    batch: &mut Batch,
    encoding: Encoding,
    range: BatchRange,
    mut sent: usize,
    counters: &mut Counters,
) -> BatchRange {
    let mut at = range.from;
    while sent > 0 {
        let length = batch.frame_bytes(encoding, at);
        if sent < length {
            outbox.push_begun(published(batch, encoding, at, range), sent);
            sent = 0;
        } else {
            counters.delivered += 1;
            sent -= length;
        }
        at += 1;
    }
    BatchRange { from: at, ..range }
}

/// Queues a range as far as there is room. Returns whether its subscriber must be closed for being too slow.
fn queue(
    outbox: &mut Outbox,
    batch: &mut Batch,
    encoding: Encoding,
    range: BatchRange,
    limits: &Limits,
    counters: &mut Counters,
) -> bool {
    for at in range.from..range.to {
        let offered = outbox.offer(published(batch, encoding, at, range), limits.outbox_bytes);
        counters.dropped_oldest += offered.dropped_oldest;
        counters.conflated += offered.conflated;
        if offered.too_slow {
            counters.closed_slow += 1;
            counters.dropped_slow += outbox.drop_published() + u64::from(range.to - at);
            return true;
        }
        counters.dropped_newest += u64::from(!offered.queued);
    }
    false
}

fn published(batch: &mut Batch, encoding: Encoding, at: u32, range: BatchRange) -> Published {
    let (block, name_bytes) = batch.shared(encoding, at);
    Published::new(block, name_bytes, range.slow)
}
