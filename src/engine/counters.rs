//! What a worker has counted since it began.

use crate::http1::Refusal;
use crate::ws::{Failure, Rejected};

/// Counts of one worker. All but `connections` only grow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Times accepting was put off: descriptors or connections were used up.
    pub accept_backoffs: u64,
    /// Requests answered by a handler, and handshakes.
    pub requests: u64,
    /// Requests that the protocol or the router answered: 4xx and 5xx without a handler, OPTIONS.
    pub early_answers: u64,
    /// WebSockets opened.
    pub websockets: u64,
    /// WebSocket messages delivered.
    pub messages: u64,
    /// Messages that were not sent, because the peer reads too slowly or the connection is closing.
    pub dropped: u64,
    /// Messages published: by sessions here, by other workers, through a [`Handle`](crate::Handle).
    pub published: u64,
    /// Announcements made here.
    pub announced: u64,
    /// Publications and announcements times subscribers here: `delivered`, or one of the five behind it, or
    /// still queued.
    pub matched: u64,
    /// Of these, those that the system has taken, all of each.
    pub delivered: u64,
    /// Of these, those that were dropped because there was no room.
    pub dropped_newest: u64,
    /// Of these, those that were dropped to make room for newer ones.
    pub dropped_oldest: u64,
    /// Of these, those that a newer one of their topic has taken the place of.
    pub conflated: u64,
    /// Of these, those that waited when their subscriber was closed for being too slow, and the one more.
    pub dropped_slow: u64,
    /// Of these, those whose subscriber was closing, or ended before it had taken them.
    pub dropped_closing: u64,
    /// Subscribers closed with 1013 for being too slow.
    pub closed_slow: u64,
    /// Publications that another worker's mailbox had no room for.
    pub publications_lost: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Connections that a timeout ended.
    pub timeouts: u64,
    /// Messages for connections that are gone.
    pub stale_ids: u64,
    refused: [u64; Refusal::ALL.len()],
    failed: [u64; Failure::ALL.len()],
    rejected: [u64; Rejected::ALL.len()],
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            connections: 0,
            accepted: 0,
            accept_backoffs: 0,
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
            publications_lost: 0,
            panics: 0,
            timeouts: 0,
            stale_ids: 0,
            refused: [0; Refusal::ALL.len()],
            failed: [0; Failure::ALL.len()],
            rejected: [0; Rejected::ALL.len()],
        }
    }
}

impl Counters {
    /// Requests refused, by the reason's label.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().map(|refusal| (refusal.label(), self.refused[refusal.index()]))
    }

    /// WebSockets failed, by the reason's label.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Failure::ALL.iter().map(|failure| (failure.label(), self.failed[failure.index()]))
    }

    /// Returns the handshakes rejected, by the reason's label.
    pub fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Rejected::ALL.iter().map(|reason| (reason.label(), self.rejected[reason.index()]))
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

/// What one worker knows of itself: what it has counted, and how much it has of what is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerFigures {
    /// The worker's number, from 0.
    pub worker: u16,
    /// What it has counted since it began.
    pub counters: Counters,
    /// Connections that it may have open; fewer than the limit `connections` if there are too few descriptors.
    pub connections_max: usize,
    /// Topics and filters that its connections have subscribed to.
    pub topics: usize,
    /// Those that it may have: the limit `topics`.
    pub topics_max: usize,
    /// Bytes that its largest request so far has taken in the arena.
    pub arena_high_water_bytes: usize,
    /// Bytes that the arena has reserved.
    pub arena_reserved_bytes: usize,
    /// Bytes that were copied out of requests with [`Keep::keep`](crate::Keep::keep) on its thread.
    pub kept_bytes: u64,
    /// Bytes of inboxes that wait for their next connection.
    pub pooled_inbox_bytes: usize,
}
