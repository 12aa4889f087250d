//! A store in the memory of the process.
//!
//! It is divided into shards, each behind its own lock; the first bits of a key's hash select the shard. [`table`] does
//! the work of one shard. This file knows the locks, the clock and the hasher. Invariants: no thread holds two locks at
//! once; no thread calls the application's code while it holds one; and every reservation is released, so both counters
//! of [`Usage`] are 0 when the last entry is gone.
//!
//! ```text
//!   hash of a key:  | shard, 6 bits | order within the shard, 32 bits | ... |
//!   a cursor:       |            the next hash to look at             |
//! ```
//!
//! A cursor is a position in the order of all hashes. Entries never move in that order, however many come and go, so a
//! scan returns an entry that exists from its first page to its last exactly once.

mod ages;
mod buckets;
mod deadlines;
mod limits;
mod log;
mod record;
mod table;
mod usage;

pub use limits::StoreLimits;

use crate::{Cursor, Page, Store, StoreError, StoreStats, key};
use ahash::RandomState;
use fleeting::Arena;
use fleeting::time::Clock;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::{HashedKey, Table};
use usage::Usage;

/// A store in the memory of the process, shared by all its threads.
///
/// Operations never block on anything but a short lock, so they may run on a worker thread of the server.
///
/// A full store refuses new data with [`StoreError::Full`]; it never evicts entries that have not expired. No operation
/// finds an entry from the millisecond in which it expires. Its memory is freed a little later: every operation removes a
/// few expired entries, [`expire`](Store::expire) removes up to a given number, and before an operation is
/// refused all of them are removed.
///
/// Memory comes from the operating system in large pieces and goes back when entries go, whatever else the process has
/// allocated. Entries are not allocated one by one.
///
/// ```
/// use fleeting_store::{Memory, Store, StoreLimits};
/// use std::time::Duration;
///
/// let store = Memory::new(StoreLimits { entries: 1000, ..StoreLimits::default() });
/// store.set("client:7", b"a tab", Some(Duration::from_secs(60)))?;
/// assert_eq!(store.increment("visits", 1, None)?, 1);
///
/// let arena = fleeting::Arena::new(4096);
/// assert_eq!(store.get("client:7", &arena)?, Some(&b"a tab"[..])); // a copy in the arena
/// assert_eq!(store.stats().entries, Some(2));
/// # Ok::<(), fleeting_store::StoreError>(())
/// ```
pub struct Memory {
    shards: Box<[Mutex<Table>]>,
    hasher: RandomState,
    usage: Usage,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The shard with which the next `expire` begins, modulo `SHARDS`.
    next_shard: AtomicUsize,
    refused: AtomicU64,
}

/// Usually more than there are threads.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 6;
/// The steps that each operation spends on expired entries and on moving others towards their deadline. An entry needs
/// few steps in its whole life, so operations that add entries keep up with what they add.
const EXPIRY_STEPS: usize = 8;
/// How many records and empty buckets one call of `scan` looks at for each entry that it may return, and at least.
const SCAN_FACTOR: usize = 16;
const SCAN_MIN: usize = 512;
/// The entries for which a scan reserves room at first.
const PAGE_CAPACITY: usize = 64;

impl Memory {
    /// Creates an empty store that uses the machine's monotonic clock.
    pub fn new(limits: StoreLimits) -> Memory {
        let clock = Clock::new();
        Memory::with_clock(limits, move || clock.now_ms())
    }

    /// Creates an empty store with a clock of your own, for tests. `clock` returns the milliseconds since some fixed
    /// point and must not go back.
    ///
    /// ```
    /// use fleeting_store::{Memory, Store, StoreLimits};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::time::Duration;
    ///
    /// let now = Arc::new(AtomicU64::new(0));
    /// let clock = now.clone();
    /// let store = Memory::with_clock(StoreLimits::default(), move || clock.load(Ordering::Relaxed));
    /// store.set("a", b"1", Some(Duration::from_secs(1)))?;
    /// now.store(1000, Ordering::Relaxed);
    /// assert!(!store.delete("a")?, "the entry has expired");
    /// # Ok::<(), fleeting_store::StoreError>(())
    /// ```
    pub fn with_clock(limits: StoreLimits, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Memory {
        // The sizes and links of records have 32 bits.
        let max = i32::MAX as usize;
        let limits = StoreLimits {
            entries: limits.entries.min(max),
            value_bytes: limits.value_bytes.min(max),
            ..limits
        };
        Memory {
            shards: (0..SHARDS).map(|_| Mutex::new(Table::new())).collect(),
            hasher: RandomState::new(),
            usage: Usage::new(limits),
            clock: Box::new(clock),
            next_shard: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn table(&self, shard: usize) -> MutexGuard<'_, Table> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `operation` on the table that the key belongs to.
    #[inline]
    fn on_table<T>(
        &self,
        key: &str,
        operation: impl FnOnce(&mut Table, HashedKey<'_>) -> T,
    ) -> Result<T, StoreError> {
        let (shard, hash) = self.locate(key)?;
        let now_ms = (self.clock)();
        let mut table = self.table(shard);
        table.advance(now_ms, EXPIRY_STEPS, &self.usage);
        Ok(operation(&mut table, HashedKey { hash, text: key }))
    }

    /// Like [`on_table`](Memory::on_table), for an operation that may need room. If there is none, expired entries are
    /// removed and the operation is tried again.
    fn on_table_with_room<T>(
        &self,
        key: &str,
        operation: impl Fn(&mut Table, HashedKey<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            let outcome = self.on_table(key, &operation)?;
            if !matches!(outcome, Err(StoreError::Full)) {
                return outcome;
            }
            // Each further round has removed an expired entry, and entries that other threads add meanwhile are not
            // expired. So there are at most as many rounds as entries that expire.
            if self.make_room() == 0 {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return outcome;
            }
        }
    }

    /// Removes all expired entries of the first shard that has any. Returns their number.
    fn make_room(&self) -> usize {
        let now_ms = (self.clock)();
        let shards = (0..SHARDS).map(|shard| {
            let mut table = self.table(shard);
            table.advance(now_ms, 0, &self.usage);
            table.expire(usize::MAX, usize::MAX, &self.usage)
        });
        shards.into_iter().find(|count| *count > 0).unwrap_or(0)
    }

    /// Returns the shard that a key belongs to, and the key's hash within the shard.
    #[inline]
    fn locate(&self, key: &str) -> Result<(usize, u32), StoreError> {
        if !key::is_valid(key) {
            return Err(StoreError::Key);
        }
        let hash = self.hasher.hash_one(key.as_bytes());
        let shard = hash >> (u64::BITS - SHARD_BITS);
        Ok((shard as usize, (hash >> (u32::BITS - SHARD_BITS)) as u32))
    }

    fn check_value(&self, value: &[u8]) -> Result<(), StoreError> {
        if value.len() <= self.usage.limits().value_bytes { Ok(()) } else { Err(StoreError::Value) }
    }
}

impl Store for Memory {
    fn get<'a>(&self, key: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        self.on_table(key, |table, key| table.value(key, &self.usage).map(|value| arena.alloc_bytes(value)))
    }

    fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), StoreError> {
        self.check_value(value)?;
        self.on_table_with_room(key, |table, key| table.set(key, value, ttl.map(ttl_ms), &self.usage))
    }

    fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.on_table(key, |table, key| table.delete(key, &self.usage))
    }

    fn renew(&self, key: &str, ttl: Option<Duration>) -> Result<bool, StoreError> {
        self.on_table(key, |table, key| table.renew(key, ttl.map(ttl_ms), &self.usage))
    }

    fn scan<'a>(
        &self,
        prefix: &str,
        from: Cursor,
        limit: usize,
        arena: &'a Arena,
    ) -> Result<Page<'a>, StoreError> {
        let limit = limit.max(1);
        let mut budget = limit.saturating_mul(SCAN_FACTOR).max(SCAN_MIN);
        let mut found = arena.list(limit.min(PAGE_CAPACITY));
        let now_ms = (self.clock)();
        let (mut shard, mut hash) = ((from.0 >> u32::BITS) as usize, from.0 as u32);
        while shard < SHARDS {
            let mut table = self.table(shard);
            table.advance(now_ms, EXPIRY_STEPS, &self.usage);
            loop {
                if found.len() >= limit || budget == 0 {
                    let next = Some(Cursor((shard as u64) << u32::BITS | u64::from(hash)));
                    return Ok(Page { entries: found.finish(), next });
                }
                let (seen, next) = table.scan(hash, prefix, arena, &mut found);
                budget = budget.saturating_sub(seen + 1);
                let Some(next) = next else { break };
                hash = next;
            }
            (shard, hash) = (shard + 1, 0);
        }
        Ok(Page { entries: found.finish(), next: None })
    }

    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, StoreError> {
        self.on_table_with_room(key, |table, key| table.increment(key, by, ttl.map(ttl_ms), &self.usage))
    }

    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.check_value(value)?;
        self.on_table_with_room(key, |table, key| {
            table.compare_and_set(key, expected, value, ttl.map(ttl_ms), &self.usage)
        })
    }

    fn waits(&self) -> bool {
        false
    }

    fn expire(&self, max: usize) -> usize {
        let (now_ms, first) = ((self.clock)(), self.next_shard.fetch_add(1, Ordering::Relaxed));
        let mut count = 0;
        for shard in 0..SHARDS {
            if count == max {
                break;
            }
            let mut table = self.table((first + shard) % SHARDS);
            table.advance(now_ms, 0, &self.usage);
            count += table.expire(max - count, usize::MAX, &self.usage);
        }
        count
    }

    fn stats(&self) -> StoreStats {
        let now_ms = (self.clock)();
        let (mut oldest_ms, mut expired) = (None, 0);
        for shard in 0..SHARDS {
            let mut table = self.table(shard);
            table.advance(now_ms, EXPIRY_STEPS, &self.usage);
            oldest_ms = oldest_ms.max(table.oldest_ms());
            expired += table.expired();
        }
        let limits = self.usage.limits();
        StoreStats {
            entries: Some(self.usage.entries() as u64),
            entries_max: Some(limits.entries as u64),
            bytes: Some(self.usage.bytes() as u64),
            bytes_max: Some(limits.bytes as u64),
            oldest: oldest_ms.map(Duration::from_millis),
            expired: Some(expired),
            refused: Some(self.refused.load(Ordering::Relaxed)),
        }
    }
}

/// Converts to milliseconds, rounded up: no entry expires early.
fn ttl_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Default for Memory {
    /// A store with the default [`StoreLimits`].
    fn default() -> Memory {
        Memory::new(StoreLimits::default())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("entries", &self.usage.entries())
            .field("bytes", &self.usage.bytes())
            .field("limits", &self.usage.limits())
            .finish_non_exhaustive()
    }
}
