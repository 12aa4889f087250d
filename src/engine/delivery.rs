//! Publications of a turn, out to their subscribers.
//!
//! It knows no topic's name. Its invariant: what was due to a subscriber has left, is queued, or was
//! counted as dropped, when it is through; and a message that has begun to leave is queued to its end.

use super::conn::{Conn, Protocol, Writing};
use super::context::Desk;
use super::counters::Counters;
use super::publisher::Target;
use super::table::Table;
use crate::app::ConnId;
use crate::buffer::{Outbox, Published};
use crate::config::Limits;
use crate::pubsub::{Batch, BatchRange, Encoding};
use crate::transport::Stream;
use std::io;

/// Who has to be looked after when all was delivered.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Their streams have failed.
    pub(super) failed: Vec<ConnId>,
    /// They have an outbox now.
    pub(super) blocked: Vec<ConnId>,
    /// They are to be closed for being too slow.
    pub(super) too_slow: Vec<ConnId>,
}

/// Sends, or queues, what is due to everybody.
#[inline(never)]
pub(super) fn deliver<S: Stream>(table: &mut Table<Conn<S>>, desk: &mut Desk, aftermath: &mut Aftermath) {
    let Desk { exchange, limits, counters, codec, .. } = desk;
    exchange.tell_others(counters);
    exchange.topics.batch.complete(|encoding, opcode, payload, out| {
        codec.encode_published(encoding, opcode, payload, out);
    });
    let pending = exchange.topics.pending();
    for who in &pending {
        while let Some((target, encoding, run)) = exchange.topics.take_pending(*who) {
            let id = match target {
                Target::Conn(id) => id,
                Target::Listener(id) => {
                    exchange.tell(id, run, counters);
                    continue;
                }
            };
            let topics = &mut exchange.topics;
            let Some(conn) = table.find(id).filter(|conn| may_send(conn)) else {
                counters.dropped_closing += run.len();
                continue;
            };
            if encoding != Encoding::PLAIN
                && let Protocol::WebSocket(open) = &mut conn.protocol
            {
                open.was_sent_foreign();
            }
            let batch = &mut topics.batch;
            let mut left = run;
            if conn.io.outbox.is_none() {
                let frames = batch.frames(encoding, run.from, run.to);
                let sent = write(conn, frames);
                if sent == frames.len() {
                    counters.delivered += run.len();
                    continue;
                }
                if conn.io.broken {
                    counters.dropped_closing += run.len();
                    aftermath.failed.push(id);
                    continue;
                }
                left = begin_outbox(conn, batch, encoding, run, sent, counters);
                aftermath.blocked.push(id);
            }
            let outbox = conn.io.outbox.as_mut().expect("it was there, or was begun");
            if queue(outbox, batch, encoding, left, limits, counters) {
                aftermath.too_slow.push(id);
                while let Some((_, _, run)) = topics.take_pending(*who) {
                    counters.dropped_slow += run.len();
                }
            }
        }
    }
    exchange.topics.clear(pending);
}

fn may_send<S>(conn: &Conn<S>) -> bool {
    let open = matches!(&conn.protocol, Protocol::WebSocket(socket) if socket.is_open());
    open && conn.writing == Writing::Open && !conn.io.broken
}

/// Writes once; tells how much the stream took.
#[inline]
fn write<S: Stream>(conn: &mut Conn<S>, frames: &[u8]) -> usize {
    loop {
        match conn.io.stream.write(frames) {
            Ok(0) => conn.io.broken = true,
            Ok(taken) => return taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => conn.io.broken = true,
        }
        return 0;
    }
}

/// The stream took `sent` bytes of the run, and no more: queues the rest of a message that has begun to
/// leave, whatever room there is for it. Tells what is left behind it.
fn begin_outbox<S>(
    conn: &mut Conn<S>,
    batch: &mut Batch,
    encoding: Encoding,
    run: BatchRange,
    mut sent: usize,
    counters: &mut Counters,
) -> BatchRange {
    let outbox = conn.io.outbox.insert(Box::default());
    let mut at = run.from;
    while sent > 0 {
        let length = batch.frame_bytes(encoding, at);
        if sent < length {
            outbox.push_begun(published(batch, encoding, at, run), sent);
            sent = 0;
        } else {
            counters.delivered += 1;
            sent -= length;
        }
        at += 1;
    }
    BatchRange { from: at, ..run }
}

/// Queues a run as far as there is room; tells whether its subscriber is to be closed for being too slow.
fn queue(
    outbox: &mut Outbox,
    batch: &mut Batch,
    encoding: Encoding,
    run: BatchRange,
    limits: &Limits,
    counters: &mut Counters,
) -> bool {
    for at in run.from..run.to {
        let offered = outbox.offer(published(batch, encoding, at, run), limits.outbox_bytes);
        counters.dropped_oldest += offered.dropped_oldest;
        counters.conflated += offered.conflated;
        if offered.too_slow {
            counters.closed_slow += 1;
            counters.dropped_slow += outbox.drop_published() + u64::from(run.to - at);
            return true;
        }
        counters.dropped_newest += u64::from(!offered.queued);
    }
    false
}

fn published(batch: &mut Batch, encoding: Encoding, at: u32, run: BatchRange) -> Published {
    let (block, name_bytes) = batch.shared(encoding, at);
    Published::new(block, name_bytes, run.slow)
}
