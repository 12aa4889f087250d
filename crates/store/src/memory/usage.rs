//! How much of its limits a store uses.
//!
//! All shards share one `Usage`, so the limits hold exactly for the whole store. Invariant: neither counter ever
//! exceeds its limit, not even for a moment.
//!
//! Each counter is an atomic, and one compare-and-swap loop reserves from it and checks the limit. Whatever the
//! interleaving of the threads, the result is a sequence of such steps, and none exceeds the limit. No other memory
//! depends on the counters, so `Relaxed` is enough. A thread changes them only while it holds the lock of the entry's
//! shard: it reserves before it adds the entry and releases after it has removed it. So the counters are never less than
//! what all shards hold together, and they are equal while no thread is between the two steps.
//!
//! The two counters are not reserved in one step: if there is room for the entry but not for its bytes, the entry is
//! released again. In between, another thread may be refused the very last entry. It has lost a race that it could have
//! lost by arriving a moment later, and it looks for expired entries before it reports `Full`.

use super::StoreLimits;
use crate::StoreError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The used entries and bytes, and their limits.
#[derive(Debug)]
pub(super) struct Usage {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    limits: StoreLimits,
}

impl Usage {
    pub(super) const fn new(limits: StoreLimits) -> Usage {
        Usage { entries: AtomicUsize::new(0), bytes: AtomicUsize::new(0), limits }
    }

    pub(super) fn limits(&self) -> StoreLimits {
        self.limits
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Reserves room for a new entry of `bytes` bytes.
    pub(super) fn reserve_entry(&self, bytes: usize) -> Result<(), StoreError> {
        reserve(&self.entries, 1, self.limits.entries)?;
        self.reserve_bytes(bytes).inspect_err(|_| release(&self.entries, 1))
    }

    /// Reserves room for more bytes of an existing entry.
    pub(super) fn reserve_bytes(&self, bytes: usize) -> Result<(), StoreError> {
        reserve(&self.bytes, bytes, self.limits.bytes)
    }

    pub(super) fn release_entry(&self, bytes: usize) {
        release(&self.entries, 1);
        self.release_bytes(bytes);
    }

    pub(super) fn release_bytes(&self, bytes: usize) {
        release(&self.bytes, bytes);
    }
}

fn reserve(counter: &AtomicUsize, amount: usize, limit: usize) -> Result<(), StoreError> {
    let sum = |used: usize| used.checked_add(amount).filter(|sum| *sum <= limit);
    match counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum) {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::Full),
    }
}

fn release(counter: &AtomicUsize, amount: usize) {
    counter.fetch_sub(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn limits_hold_with_many_threads() {
        let usage = Usage::new(StoreLimits { entries: 10, bytes: 1000, ..StoreLimits::default() });
        thread::scope(|scope| {
            for bytes in [90, 100, 110, 400] {
                let usage = &usage;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if usage.reserve_entry(bytes).is_ok() {
                            assert!(usage.entries() <= 10 && usage.bytes() <= 1000);
                            usage.release_entry(bytes);
                        }
                    }
                });
            }
        });
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
        assert_eq!(usage.reserve_entry(1001), Err(StoreError::Full));
        assert_eq!(usage.reserve_entry(usize::MAX), Err(StoreError::Full));
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
    }
}
