//! How much a store holds, of what it may.
//!
//! All shards share it, so that the bounds hold for the store as a whole, to the entry and to the byte. Its
//! invariant: neither number is ever beyond its bound, not even for a moment.
//!
//! Each number is one atomic, and what is taken is taken by one step of compare and swap that looks at the bound:
//! of all orders in which threads can come, each is a sequence of such steps, and none passes the bound. Nothing
//! else is read or written by what is found here, so no order among other memory is needed, and `Relaxed` is
//! enough. A thread changes them only while it holds the lock of the shard whose entry it is for: it takes before
//! the entry is there, and gives back after it has gone. So at any time they are at least what all shards
//! together hold, and equal to it while no thread is between the two.
//!
//! Two numbers are not taken in one step: who finds room for the entry and none for its bytes gives the former
//! back. Another thread may meanwhile be refused the very last place. It has lost a race that it might have lost
//! by coming a moment later, and it looks for what has expired before it says so.

use super::StoreLimits;
use crate::StoreError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is held, and the bounds.
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

    /// Takes room for an entry of so many bytes.
    pub(super) fn take_entry(&self, bytes: usize) -> Result<(), StoreError> {
        take(&self.entries, 1, self.limits.entries)?;
        self.take_bytes(bytes).inspect_err(|_| give(&self.entries, 1))
    }

    /// Takes room for more bytes of an entry that is there.
    pub(super) fn take_bytes(&self, bytes: usize) -> Result<(), StoreError> {
        take(&self.bytes, bytes, self.limits.bytes)
    }

    pub(super) fn give_entry(&self, bytes: usize) {
        give(&self.entries, 1);
        self.give_bytes(bytes);
    }

    pub(super) fn give_bytes(&self, bytes: usize) {
        give(&self.bytes, bytes);
    }
}

fn take(held: &AtomicUsize, more: usize, most: usize) -> Result<(), StoreError> {
    let sum = |held: usize| held.checked_add(more).filter(|sum| *sum <= most);
    match held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum) {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::Full),
    }
}

fn give(held: &AtomicUsize, less: usize) {
    held.fetch_sub(less, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn bounds_hold_among_threads() {
        let usage = Usage::new(StoreLimits { entries: 10, bytes: 1000, ..StoreLimits::default() });
        thread::scope(|scope| {
            for bytes in [90, 100, 110, 400] {
                let usage = &usage;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if usage.take_entry(bytes).is_ok() {
                            assert!(usage.entries() <= 10 && usage.bytes() <= 1000);
                            usage.give_entry(bytes);
                        }
                    }
                });
            }
        });
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
        assert_eq!(usage.take_entry(1001), Err(StoreError::Full));
        assert_eq!(usage.take_entry(usize::MAX), Err(StoreError::Full));
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
    }
}
