//! What a broker counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`RedisBroker`](super::RedisBroker) has counted since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BrokerCounters {
    /// Publications made here.
    pub published: u64,
    /// Of these, those that Redis has taken.
    pub sent: u64,
    /// Of these, those that were dropped because Redis was away, or went before it said that it had them.
    pub dropped_away: u64,
    /// Of these, those that were dropped because the queue was full.
    pub dropped_full: u64,
    /// Publications of others that were new here.
    pub received: u64,
    /// Of these, those that a worker had no room for.
    pub overflowed: u64,
    /// Publications of others that came after one that was made later.
    pub late: u64,
    /// Messages on the channel that are nothing of ours.
    pub malformed: u64,
    /// Gaps that were announced.
    pub gaps: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) published: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) dropped_away: AtomicU64,
    pub(super) dropped_full: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) gaps: AtomicU64,
}

/// Counts some more.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
