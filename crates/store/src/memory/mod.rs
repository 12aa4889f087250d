//! The store that is there without any other program: the process's own memory.
//!
//! It is cut into shards, each behind a lock of its own, by the first bits of the keys' hashes; what a shard does is
//! the [`table`]'s. This file knows the locks, the clock and the hasher. Its invariants: no thread
//! holds two locks at once, none calls anything of the application's while it holds one, and nothing that was given
//! room is forgotten: when the last entry is gone, both numbers of [`Usage`] are 0.
//!
//! ```text
//!   hash of a key:  | shard, 6 bits | order within the shard, 32 bits | ... |
//!   a cursor:       |            the next to be looked at             |
//! ```
//!
//! A cursor is a place in the order of all hashes. Entries never move in it, however many come and go, so what is
//! there from the first page to the last is told, and told once.

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
use table::{Place, Table};
use usage::Usage;

/// Keeps entries in the memory of this process, for all its threads.
///
/// Its memory is the system's, asked for in large pieces and given back when entries go, whatever else the process
/// has allocated; an entry by itself is no allocation. What is full refuses: nothing is dropped to make room but what has had its life. Such entries are
/// found by nobody from that millisecond on. They are taken out by whoever comes by, a few at a time, by
/// [`expire`](Store::expire), and all of them before anything is refused.
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
/// assert_eq!(store.get("client:7", &arena)?, Some(&b"a tab"[..])); // a copy, in the arena
/// assert_eq!(store.stats().entries, Some(2));
/// # Ok::<(), fleeting_store::StoreError>(())
/// ```
pub struct Memory {
    shards: Box<[Mutex<Table>]>,
    hasher: RandomState,
    usage: Usage,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Which shard the next `expire` begins with.
    turn: AtomicUsize,
    refused: AtomicU64,
}

/// More than there are threads, mostly.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 6;
/// What an operation does for entries that have had their life, or move towards the end of it. Each has few such
/// steps in all, so that many operations that put something in keep up with what they put in.
const STEPS: usize = 8;
/// Entries, or places without one, that one call of a scan looks at for each that it may tell, and at least.
const LOOKS: usize = 16;
const LOOKS_LEAST: usize = 512;
/// Entries that a scan has room for at first.
const PAGE_AT_FIRST: usize = 64;

impl Memory {
    /// An empty store, with the machine's clock.
    pub fn new(limits: StoreLimits) -> Memory {
        let clock = Clock::new();
        Memory::with_clock(limits, move || clock.now_ms())
    }

    /// An empty store with a clock that tells milliseconds since some fixed point, and does not go back.
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
    /// assert!(!store.delete("a")?, "it has had its life");
    /// # Ok::<(), fleeting_store::StoreError>(())
    /// ```
    pub fn with_clock(limits: StoreLimits, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Memory {
        // A log counts in 32 bits.
        let most = i32::MAX as usize;
        let limits = StoreLimits {
            entries: limits.entries.min(most),
            value_bytes: limits.value_bytes.min(most),
            ..limits
        };
        Memory {
            shards: (0..SHARDS).map(|_| Mutex::new(Table::new())).collect(),
            hasher: RandomState::new(),
            usage: Usage::new(limits),
            clock: Box::new(clock),
            turn: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn table(&self, shard: usize) -> MutexGuard<'_, Table> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the entry of a key, in the table it belongs to.
    #[inline]
    fn at<T>(&self, key: &str, work: impl FnOnce(&mut Table, Place<'_>) -> T) -> Result<T, StoreError> {
        let (shard, hash) = self.order_of(key)?;
        let now_ms = (self.clock)();
        let mut table = self.table(shard);
        table.advance(now_ms, STEPS, &self.usage);
        Ok(work(&mut table, Place { hash, key }))
    }

    /// As [`at`](Memory::at), for what may need room. If there is none, what has had its life makes some.
    fn put<T>(
        &self,
        key: &str,
        work: impl Fn(&mut Table, Place<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            let done = self.at(key, &work)?;
            if !matches!(done, Err(StoreError::Full)) {
                return done;
            }
            // Each further round has taken something out, and what others put in meanwhile is live: there are not
            // more rounds than entries that expire.
            if self.make_room() == 0 {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return done;
            }
        }
    }

    /// Takes out entries that have had their life, of the first shard that has any. Tells how many.
    fn make_room(&self) -> usize {
        let now_ms = (self.clock)();
        let shards = (0..SHARDS).map(|shard| {
            let mut table = self.table(shard);
            table.advance(now_ms, 0, &self.usage);
            table.expire(usize::MAX, usize::MAX, &self.usage)
        });
        shards.into_iter().find(|count| *count > 0).unwrap_or(0)
    }

    /// Which shard a key belongs to, and where in its order.
    #[inline]
    fn order_of(&self, key: &str) -> Result<(usize, u32), StoreError> {
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
        self.at(key, |table, place| table.value(place, &self.usage).map(|value| arena.alloc_bytes(value)))
    }

    fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), StoreError> {
        self.check_value(value)?;
        self.put(key, |table, place| table.set(place, value, life.map(life_ms), &self.usage))
    }

    fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.at(key, |table, place| table.delete(place, &self.usage))
    }

    fn renew(&self, key: &str, life: Option<Duration>) -> Result<bool, StoreError> {
        self.at(key, |table, place| table.renew(place, life.map(life_ms), &self.usage))
    }

    fn scan<'a>(
        &self,
        prefix: &str,
        from: Cursor,
        limit: usize,
        arena: &'a Arena,
    ) -> Result<Page<'a>, StoreError> {
        let limit = limit.max(1);
        let mut looks = limit.saturating_mul(LOOKS).max(LOOKS_LEAST);
        let mut found = arena.list(limit.min(PAGE_AT_FIRST));
        let now_ms = (self.clock)();
        let (mut shard, mut hash) = ((from.0 >> u32::BITS) as usize, from.0 as u32);
        while shard < SHARDS {
            let mut table = self.table(shard);
            table.advance(now_ms, STEPS, &self.usage);
            loop {
                if found.len() >= limit || looks == 0 {
                    let next = Some(Cursor((shard as u64) << u32::BITS | u64::from(hash)));
                    return Ok(Page { entries: found.finish(), next });
                }
                let (seen, next) = table.scan(hash, prefix, arena, &mut found);
                looks = looks.saturating_sub(seen + 1);
                let Some(next) = next else { break };
                hash = next;
            }
            (shard, hash) = (shard + 1, 0);
        }
        Ok(Page { entries: found.finish(), next: None })
    }

    fn increment(&self, key: &str, by: i64, life: Option<Duration>) -> Result<i64, StoreError> {
        self.put(key, |table, place| table.increment(place, by, life.map(life_ms), &self.usage))
    }

    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.check_value(value)?;
        self.put(key, |table, place| {
            table.compare_and_set(place, expected, value, life.map(life_ms), &self.usage)
        })
    }

    fn waits(&self) -> bool {
        false
    }

    fn expire(&self, most: usize) -> usize {
        let (now_ms, first) = ((self.clock)(), self.turn.fetch_add(1, Ordering::Relaxed));
        let mut count = 0;
        for shard in 0..SHARDS {
            if count == most {
                break;
            }
            let mut table = self.table((first + shard) % SHARDS);
            table.advance(now_ms, 0, &self.usage);
            count += table.expire(most - count, usize::MAX, &self.usage);
        }
        count
    }

    fn stats(&self) -> StoreStats {
        let now_ms = (self.clock)();
        let (mut oldest_ms, mut expired) = (None, 0);
        for shard in 0..SHARDS {
            let mut table = self.table(shard);
            table.advance(now_ms, STEPS, &self.usage);
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

/// In milliseconds, rounded up: nothing goes before its time.
fn life_ms(life: Duration) -> u64 {
    u64::try_from(life.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Default for Memory {
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
