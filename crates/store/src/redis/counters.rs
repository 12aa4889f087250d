//! What a broker counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`RedisBroker`](super::RedisBroker) has counted since it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BrokerCounters {
    /// Publications made on this server.
    pub published: u64,
    /// Of these, those that Redis has accepted.
    pub sent: u64,
    /// Of these, those dropped because Redis was unavailable, refused them, or went away before it confirmed them.
    pub dropped_away: u64,
    /// Of these, those dropped because the queue was full.
    pub dropped_full: u64,
    /// Publications of other servers that were new here.
    pub received: u64,
    /// Of these, those that a worker had no room for.
    pub overflowed: u64,
    /// Publications of other servers that arrived after a later one of the same server. They are ignored.
    pub late: u64,
    /// Messages on the channel that are not in the broker's format. They are ignored.
    pub malformed: u64,
    /// Gaps found; see [`Gap`](super::Gap).
    pub gaps: u64,
    /// Times that connections were dropped because they or the address led to a replica, or to another server than
    /// before. A server that has restarted is another one.
    pub failovers: u64,
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
    pub(super) failovers: AtomicU64,
}

impl Counts {
    pub(super) fn snapshot(&self) -> BrokerCounters {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BrokerCounters {
            published: value(&self.published),
            sent: value(&self.sent),
            dropped_away: value(&self.dropped_away),
            dropped_full: value(&self.dropped_full),
            received: value(&self.received),
            overflowed: value(&self.overflowed),
            late: value(&self.late),
            malformed: value(&self.malformed),
            gaps: value(&self.gaps),
            failovers: value(&self.failovers),
        }
    }
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
