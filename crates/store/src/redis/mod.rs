//! A store in Redis, and a broker over its channels.
//!
//! [`Redis`] turns the operations of a store into commands; it knows no socket. Behind it are the address of a server
//! ([`url`]) and the way there ([`route`], [`sentinel`]), one connection ([`link`], on [`wire`] and [`tls`]), the connections of
//! a store ([`pool`]), and the [`broker`] with its two threads.
//! Invariant: each operation is one command, or one script, or only reads.

mod alarm;
mod backoff;
mod bounds;
mod broker;
mod counters;
mod envelope;
mod failure;
mod link;
mod node;
mod options;
mod peers;
mod pool;
mod primary;
mod publishing;
mod route;
mod script;
mod sentinel;
mod shared;
mod subscribing;
mod tls;
mod url;
mod watching;
mod wire;

pub use broker::RedisBroker;
pub use counters::BrokerCounters;
#[doc(hidden)]
pub use envelope::{Content, Envelope};
pub use node::{NodeError, check_node};
pub use options::RedisOptions;
pub use peers::Gap;
pub use url::{RedisUrl, RedisUrlError};

use crate::{Cursor, Page, Store, StoreError, StoreStats, key};
use bounds::REPLY_VALUES_MAX;
use failure::{number_error, store_error};
use fleeting::Arena;
use link::Link;
use pool::Pool;
use redis::{Cmd, RedisResult, cmd};
use route::Route;
use script::Script;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A store in Redis 6.2 or later, or in Valkey. It outlives the process, and several processes can share it.
///
/// Every operation waits for the network, at most for the `timeout`, so [`waits`](Store::waits) returns true. While Redis
/// is unavailable, operations fail at once with [`StoreError::Unavailable`], and a thread tries to reconnect at least
/// once a second. A connection on which anything went wrong is closed, so a late reply cannot be taken for the reply to
/// another operation.
///
/// The address must lead to a primary: a replica returns old values. The store leaves a server that has become a replica,
/// or that the address no longer leads to, within a [heartbeat](RedisOptions::heartbeat). A primary confirms a write before
/// its replicas have it, so a failover may lose the last writes.
///
/// An entry is a string in Redis; its key is the namespace followed by the store's key. Other programs can read both.
/// [`scan`](Store::scan) walks through the keys of the whole database, including those of other applications. Redis
/// Cluster is not supported.
///
/// ```no_run
/// use fleeting::Arena;
/// use fleeting_store::{Redis, RedisOptions, Store};
///
/// let store = Redis::connect("redis://127.0.0.1:6379".parse()?, RedisOptions::new())?;
/// store.set("greeting", b"hello", None)?;
/// let arena = Arena::new(4096);
/// assert_eq!(store.get("greeting", &arena)?, Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Redis {
    pool: Pool,
    url: RedisUrl,
    options: RedisOptions,
    persist: Script,
    increment: Script,
    replace: Script,
    /// Operations refused because Redis was full.
    refused: AtomicU64,
}

/// Removes the time to live of an entry, and returns whether the entry exists. The reply of `PERSIST` alone is the same
/// for an entry without a time to live and for a missing one.
const PERSIST: &str = "redis.call('PERSIST', KEYS[1]) return redis.call('EXISTS', KEYS[1])";

/// Adds to a number, and sets the time to live if the entry is new. The sum is returned as text, because a number in Lua
/// has 53 bits.
const INCREMENT: &str = "local begins = redis.call('EXISTS', KEYS[1]) == 0 \
    redis.call('INCRBY', KEYS[1], ARGV[1]) \
    local sum = redis.call('GET', KEYS[1]) \
    if begins then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
    return sum";

/// Replaces a value if it is as expected.
const REPLACE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
    if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], ARGV[3], ARGV[4]) \
    else redis.call('SET', KEYS[1], ARGV[2]) end \
    return 1";

/// The largest string in Redis, in bytes.
const VALUE_BYTES_MAX: usize = 512 << 20;
/// The longest time to live in milliseconds: Redis rejects much longer ones, and this is more than 100,000 years.
const TTL_MS_MAX: u128 = 1 << 52;
/// The most keys that Redis looks at in one step of a scan, during which it serves no other client.
const SCAN_STEP_MAX: usize = 1000;
/// The most keys of a page. The last step may exceed it. Together they stay below the values that a reply may have.
const PAGE_KEYS_MAX: usize = REPLY_VALUES_MAX / 2;

impl Redis {
    /// Creates a store in the Redis at `url`, which need not be available yet: operations wait for the first attempt to
    /// connect, and fail from then on until an attempt succeeds.
    ///
    /// # Errors
    /// If the thread that connects cannot be started, or, of the kind `InvalidData`, if a file for TLS cannot be used.
    pub fn connect(url: RedisUrl, options: RedisOptions) -> io::Result<Redis> {
        let route = Route::new(url.clone());
        route.check()?;
        Ok(Redis {
            pool: Pool::new(route, options.clone())?,
            url,
            options,
            persist: Script::new(PERSIST),
            increment: Script::new(INCREMENT),
            replace: Script::new(REPLACE),
            refused: AtomicU64::new(0),
        })
    }

    /// Returns the key as Redis stores it.
    fn key(&self, key: &str) -> Result<String, StoreError> {
        if !key::is_valid(key) {
            return Err(StoreError::Key);
        }
        Ok(format!("{}{key}", self.options.namespace))
    }

    /// Runs `operation` on a connection.
    fn run<T>(
        &self,
        to_error: fn(&redis::RedisError, Duration) -> StoreError,
        operation: impl FnOnce(&mut Link) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.options.timeout;
        let mut lease = self.pool.acquire(deadline)?;
        let link = lease.link();
        link.set_deadline(deadline);
        let outcome = operation(link);
        link.record(&outcome);
        lease.release(outcome.as_ref().err());
        outcome.map_err(|error| {
            let error = to_error(&error, self.options.timeout);
            if error == StoreError::Full {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            error
        })
    }

    fn query<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.run(store_error, |link| link.query(command))
    }
}

impl Store for Redis {
    fn get<'a>(&self, key: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let value: Option<Vec<u8>> = self.query(cmd("GET").arg(self.key(key)?))?;
        Ok(value.map(|value| arena.alloc_bytes(&value)))
    }

    fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), StoreError> {
        let key = self.key(key)?;
        check_value(value)?;
        self.query(cmd("SET").arg(key).arg(value).arg(expiry(ttl)))
    }

    fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.query(cmd("DEL").arg(self.key(key)?))
    }

    fn renew(&self, key: &str, ttl: Option<Duration>) -> Result<bool, StoreError> {
        let key = self.key(key)?;
        match ttl {
            Some(ttl) => self.query(cmd("PEXPIRE").arg(key).arg(ttl_ms(ttl))),
            None => self.run(store_error, |link| self.persist.call(link, &key, None::<u64>)),
        }
    }

    fn scan<'a>(
        &self,
        prefix: &str,
        from: Cursor,
        limit: usize,
        arena: &'a Arena,
    ) -> Result<Page<'a>, StoreError> {
        let namespace = &*self.options.namespace;
        let limit = limit.min(PAGE_KEYS_MAX);
        let pattern = escape_pattern(&format!("{namespace}{prefix}")) + "*";
        // If other applications have many keys and this one few, a page ends after half the time.
        let page_end = Instant::now() + self.options.timeout / 2;
        let (next, found) = self.run(store_error, |link| {
            let (mut cursor, mut keys) = (from.0, Vec::<Vec<u8>>::new());
            let mut step = limit.clamp(1, SCAN_STEP_MAX);
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(step);
                let (next, matches): (u64, Vec<Vec<u8>>) = link.query(&scan)?;
                cursor = next;
                if matches.is_empty() {
                    step = (2 * step).min(SCAN_STEP_MAX);
                }
                keys.extend(matches.into_iter().filter(|key| is_own_key(key, namespace)));
                if cursor == 0 || keys.len() >= limit || Instant::now() >= page_end {
                    break;
                }
            }
            let values: Vec<Option<Vec<u8>>> =
                if keys.is_empty() { Vec::new() } else { link.query(cmd("MGET").arg(&keys))? };
            Ok((cursor, keys.into_iter().zip(values).collect::<Vec<_>>()))
        })?;
        let mut entries = arena.list(found.len());
        for (key, value) in &found {
            // A key that was removed meanwhile, or that is not a string, has no value.
            let key = std::str::from_utf8(&key[namespace.len()..]);
            if let (Ok(key), Some(value)) = (key, value) {
                entries.push((arena.alloc_str(key), arena.alloc_bytes(value)));
            }
        }
        Ok(Page { entries: entries.finish(), next: (next != 0).then_some(Cursor(next)) })
    }

    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, StoreError> {
        let key = self.key(key)?;
        self.run(number_error, |link| match ttl {
            Some(ttl) => self.increment.call(link, &key, (by, ttl_ms(ttl))),
            None => link.query(cmd("INCRBY").arg(key).arg(by)),
        })
    }

    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let key = self.key(key)?;
        check_value(value)?;
        let Some(expected) = expected else {
            return self.query(cmd("SET").arg(key).arg(value).arg("NX").arg(expiry(ttl)));
        };
        self.run(store_error, |link| self.replace.call(link, &key, (expected, value, expiry(ttl))))
    }

    fn waits(&self) -> bool {
        true
    }

    fn stats(&self) -> StoreStats {
        StoreStats { refused: Some(self.refused.load(Ordering::Relaxed)), ..StoreStats::default() }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("url", &self.url)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn check_value(value: &[u8]) -> Result<(), StoreError> {
    if value.len() > VALUE_BYTES_MAX { Err(StoreError::Value) } else { Ok(()) }
}

/// Returns the arguments of `SET` for a time to live.
fn expiry(ttl: Option<Duration>) -> Option<(&'static str, u64)> {
    ttl.map(|ttl| match ttl_ms(ttl) {
        // SET rejects a time to live of zero, but accepts a time in the past.
        0 => ("PXAT", 1),
        ms => ("PX", ms),
    })
}

/// Converts to milliseconds, rounded up: no entry expires early.
fn ttl_ms(ttl: Duration) -> u64 {
    ttl.as_nanos().div_ceil(1_000_000).min(TTL_MS_MAX) as u64
}

/// Returns a pattern that matches only `text`.
fn escape_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Returns whether this store can have made a key that matches its namespace.
fn is_own_key(key: &[u8], namespace: &str) -> bool {
    let rest = key.strip_prefix(namespace.as_bytes());
    rest.and_then(|rest| std::str::from_utf8(rest).ok()).is_some_and(key::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KEY_BYTES_MAX;

    #[test]
    fn a_time_to_live_is_rounded_up_to_milliseconds() {
        fn check(ttl: Duration, expected: (&'static str, u64)) {
            assert_eq!(expiry(Some(ttl)), Some(expected), "{ttl:?}");
        }
        assert_eq!(expiry(None), None);
        check(Duration::ZERO, ("PXAT", 1));
        check(Duration::from_nanos(1), ("PX", 1));
        check(Duration::from_micros(1001), ("PX", 2));
        check(Duration::from_secs(60), ("PX", 60_000));
        check(Duration::MAX, ("PX", 1 << 52));
    }

    #[test]
    fn an_escaped_pattern_matches_only_itself() {
        assert_eq!(escape_pattern("fleeting:a*b?[c]\\^-é"), "fleeting:a\\*b\\?\\[c\\]\\\\^-é");
    }

    #[test]
    fn keys_of_other_applications_are_skipped() {
        fn check(key: &[u8], expected: bool) {
            assert_eq!(is_own_key(key, "n:"), expected, "{:?}", String::from_utf8_lossy(key));
        }
        check(b"n:a", true);
        check(b"n:", false);
        check(b"m:a", false);
        check(b"n", false);
        check(b"n:\xff", false);
        check("n:é".as_bytes(), true);
        check(&[b"n:", &[b'x'; KEY_BYTES_MAX][..]].concat(), true);
        check(&[b"n:", &[b'x'; KEY_BYTES_MAX + 1][..]].concat(), false);
    }
}
