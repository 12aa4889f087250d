//! What a worker counts, and the figures that it reports.
//!
//! It knows no connection. Its invariant: no count falls, except that of open connections.

use super::bounds::Bound;
use crate::http1::Refusal;
use crate::ws::{Failure, Rejected};

/// The counts of one worker since it began. All but `connections` only grow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that are open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// How often accepting was postponed because descriptors, or something else that it needs, had run out.
    pub accept_backoffs: u64,
    /// Connections closed to make room for new ones, idle or after their last response, because there were as many as the limit `connections` allows.
    pub evicted: u64,
    /// Connections accepted here and passed to another worker, because that one had fewer.
    pub handed_over: u64,
    /// Requests answered by a handler, and WebSocket handshakes.
    pub requests: u64,
    /// Requests answered by the router, without a handler: 404, 405, 501, OPTIONS, and 400 for a bad path parameter.
    pub early_answers: u64,
    /// WebSockets opened.
    pub websockets: u64,
    /// WebSocket messages delivered to a session.
    pub messages: u64,
    /// Messages that were not sent because the peer reads too slowly or the connection is closing.
    pub dropped: u64,
    /// Messages published: by sessions here, by other workers, through a [`Handle`](crate::Handle).
    pub published: u64,
    /// Announcements made on this worker.
    pub announced: u64,
    /// Publications and announcements, each counted once per subscriber on this worker. Each is `delivered`, counted in one
    /// of the five fields after it, or still queued.
    pub matched: u64,
    /// Of those matched: accepted by the kernel completely, or taken by a listener.
    pub delivered: u64,
    /// Of those matched: dropped because there was no room, in the subscriber's outbox or in this worker's mailbox.
    pub dropped_newest: u64,
    /// Of those matched: dropped to make room for newer ones.
    pub dropped_oldest: u64,
    /// Of those matched: replaced by a newer one of their topic.
    pub conflated: u64,
    /// Of those matched: dropped because their subscriber was closed for being too slow, including the one that found
    /// no room.
    pub dropped_slow: u64,
    /// Of those matched: dropped because their subscriber was closing, or ended before it had taken them.
    pub dropped_closing: u64,
    /// Subscribers closed with 1013 for being too slow.
    pub closed_slow: u64,
    /// System calls that wrote to several subscribers together: see [`Builder::io`](crate::Builder::io).
    pub submissions: u64,
    /// Publications made here that did not fit into another worker's mailbox. Its subscribers get a gap notice.
    pub publications_lost: u64,
    /// Panics of the application's code.
    pub panics: u64,
    /// Timeouts that passed. Each ended a connection, except that a deferred answer that took too long was replaced by
    /// a 504.
    pub timeouts: u64,
    /// Messages for connections that were gone.
    pub stale_ids: u64,
    /// Polls without waiting that found nothing, because the worker spins: see [`Builder::spin`](crate::Builder::spin).
    pub empty_polls: u64,
    refused: [u64; Refusal::ALL.len()],
    failed: [u64; Failure::ALL.len()],
    rejected: [u64; Rejected::ALL.len()],
    bounded: [u64; Bound::COUNT],
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            connections: 0,
            accepted: 0,
            accept_backoffs: 0,
            evicted: 0,
            handed_over: 0,
            requests: 0,
            early_answers: 0,
            websockets: 0,
            messages: 0,
            dropped: 0,
            published: 0,
            announced: 0,
            matched: 0,
            delivered: 0,
            dropped_newest: 0,
            dropped_oldest: 0,
            conflated: 0,
            dropped_slow: 0,
            dropped_closing: 0,
            closed_slow: 0,
            submissions: 0,
            publications_lost: 0,
            panics: 0,
            timeouts: 0,
            stale_ids: 0,
            empty_polls: 0,
            refused: [0; Refusal::ALL.len()],
            failed: [0; Failure::ALL.len()],
            rejected: [0; Rejected::ALL.len()],
            bounded: [0; Bound::COUNT],
        }
    }
}

impl Counters {
    /// Returns the requests refused, by the reason's label.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().map(|refusal| (refusal.label(), self.refused[refusal.index()]))
    }

    /// Returns the WebSockets failed, by the reason's label.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Failure::ALL.iter().map(|failure| (failure.label(), self.failed[failure.index()]))
    }

    /// Returns the handshakes rejected, by the reason's label.
    pub fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Rejected::ALL.iter().map(|reason| (reason.label(), self.rejected[reason.index()]))
    }

    /// Returns the turns that have put something off, by the label of the [`Bound`] that they reached.
    pub fn bounded_turns(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Bound::ALL.iter().map(|bound| (bound.label(), self.bounded[bound.index()]))
    }

    pub(super) fn count_bounded(&mut self, bound: Bound) {
        self.bounded[bound.index()] += 1;
    }

    pub(super) fn count_refused(&mut self, refusal: Refusal) {
        self.refused[refusal.index()] += 1;
    }

    pub(super) fn count_failed(&mut self, failure: Failure) {
        self.failed[failure.index()] += 1;
    }

    pub(super) fn count_rejected(&mut self, reason: Rejected) {
        self.rejected[reason.index()] += 1;
    }
}

/// The figures of one worker: its counters, and its use of what the limits bound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerFigures {
    /// The worker's number, from 0.
    pub worker: u16,
    /// What it has counted since it began.
    pub counters: Counters,
    /// How many connections it may have open: the limit `connections`, or less if the process has too few descriptors.
    pub connections_max: usize,
    /// Topics and filters that have subscribers on this worker.
    pub topics: usize,
    /// How many topics and filters it may have: the limit `topics`.
    pub topics_max: usize,
    /// Bytes that its largest request so far took in the arena.
    pub arena_high_water_bytes: usize,
    /// Bytes that the arena has reserved.
    pub arena_reserved_bytes: usize,
    /// Bytes copied out of requests with [`Keep::keep`](crate::Keep::keep) on its thread.
    pub kept_bytes: u64,
    /// Bytes of unused inboxes, kept for the next connection that needs one.
    pub pooled_inbox_bytes: usize,
    /// Bytes of other memory that is kept for the next connection: that of outboxes, and the most so far that was kept of
    /// streams of HTTP/2.
    pub spare_bytes: usize,
    /// Bytes that the buffers of all workers of the server have.
    pub memory_bytes: usize,
    /// How many they may have: the limit `memory`.
    pub memory_max: usize,
    /// Whether it writes what is published through io_uring.
    pub uring: bool,
    /// How often a buffer of the server was refused memory.
    pub memory_refused: u64,
}
