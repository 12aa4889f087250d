//! A store in a Redis, and the broker over its channels.
//!
//! [`Redis`] makes commands of the store's operations; it knows no socket. The rooms behind it: where a Redis is
//! ([`url`]), one connection ([`link`]), the connections of a store ([`pool`]), and the [`broker`] with its two
//! threads. Invariant: each operation is one command, or one script, or reads only.

mod backoff;
mod broker;
mod counters;
mod envelope;
mod failure;
mod link;
mod node;
mod options;
mod peers;
mod pool;
mod publishing;
mod script;
mod shared;
mod subscribing;
mod url;

pub use broker::RedisBroker;
pub use counters::BrokerCounters;
#[doc(hidden)]
pub use envelope::{Content, Envelope};
pub use node::{NodeError, check_node};
pub use options::RedisOptions;
pub use peers::Gap;
pub use url::{RedisUrl, RedisUrlError};

use crate::{Cursor, Page, Store, StoreError, StoreStats, key};
use failure::{number_error, store_error};
use fleeting::Arena;
use link::Link;
use pool::Pool;
use redis::{Cmd, RedisResult, cmd};
use script::Script;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A store in a Redis, 6.2 or later, or a Valkey: it outlives the process, and processes can share it.
///
/// Every operation waits for the network, for the `timeout` at most: [`waits`](Store::waits) is true. While Redis
/// cannot be reached, operations fail at once with [`StoreError::Unavailable`], and a thread tries to reach it, every
/// second at the latest. A connection on which anything has gone wrong is closed, so that an answer that comes too
/// late is nobody's.
///
/// A key is one of Redis's, behind the namespace, and a value a string of Redis's: other programs can read both.
/// [`scan`](Store::scan) walks through the keys of the whole database, whoever's
/// they are. A Redis cluster, which redirects, is not understood.
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
    /// Gives an entry another life, or none, and tells whether it is there.
    persist: Script,
    /// Adds to a number, which has a life if it begins with that.
    begin_number: Script,
    /// Puts a value in the place of another one.
    replace: Script,
    /// Operations refused because it was full.
    refused: AtomicU64,
}

/// `PERSIST` alone does not tell an entry without a life from none.
const PERSIST: &str = "redis.call('PERSIST', KEYS[1]) return redis.call('EXISTS', KEYS[1])";

/// The sum is told as text: a number of Lua's has 53 bits.
const BEGIN_NUMBER: &str = "local begins = redis.call('EXISTS', KEYS[1]) == 0 \
    redis.call('INCRBY', KEYS[1], ARGV[1]) \
    local sum = redis.call('GET', KEYS[1]) \
    if begins then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
    return sum";

const REPLACE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
    if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], ARGV[3], ARGV[4]) \
    else redis.call('SET', KEYS[1], ARGV[2]) end \
    return 1";

/// Bytes of the longest string of Redis's.
const VALUE_BYTES_MAX: usize = 512 << 20;
/// The longest life in milliseconds; a longer one is as good as for ever, and Redis would not count it.
const LIFE_MS_MAX: u128 = 1 << 52;
/// Keys that Redis looks at in one step of a scan, during which nobody else is served.
const SCAN_STEP_MAX: usize = 1000;

impl Redis {
    /// A store in the Redis at `url`. It need not be there yet: operations wait for the first attempt to reach it, and
    /// fail from then on until one succeeds.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn connect(url: RedisUrl, options: RedisOptions) -> io::Result<Redis> {
        Ok(Redis {
            pool: Pool::new(url.clone(), options.clone())?,
            url,
            options,
            persist: Script::new(PERSIST),
            begin_number: Script::new(BEGIN_NUMBER),
            replace: Script::new(REPLACE),
            refused: AtomicU64::new(0),
        })
    }

    /// The key as Redis has it.
    fn key(&self, key: &str) -> Result<String, StoreError> {
        if !key::is_valid(key) {
            return Err(StoreError::Key);
        }
        Ok(format!("{}{key}", self.options.namespace))
    }

    /// Lets `ask` speak to Redis.
    fn ask<T>(
        &self,
        to_error: fn(&redis::RedisError, Duration) -> StoreError,
        ask: impl FnOnce(&mut Link) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.options.timeout;
        let mut lent = self.pool.lend(deadline)?;
        let link = lent.link();
        link.set_deadline(deadline);
        let outcome = ask(link);
        link.see(&outcome);
        lent.give_back(outcome.as_ref().err());
        outcome.map_err(|error| {
            let error = to_error(&error, self.options.timeout);
            if error == StoreError::Full {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            error
        })
    }

    fn query<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.ask(store_error, |link| link.query(command))
    }
}

impl Store for Redis {
    fn get<'a>(&self, key: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let value: Option<Vec<u8>> = self.query(cmd("GET").arg(self.key(key)?))?;
        Ok(value.map(|value| arena.alloc_bytes(&value)))
    }

    fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), StoreError> {
        let key = self.key(key)?;
        check_value(value)?;
        self.query(cmd("SET").arg(key).arg(value).arg(expiry(life)))
    }

    fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.query(cmd("DEL").arg(self.key(key)?))
    }

    fn renew(&self, key: &str, life: Option<Duration>) -> Result<bool, StoreError> {
        let key = self.key(key)?;
        match life {
            Some(life) => self.query(cmd("PEXPIRE").arg(key).arg(milliseconds(life))),
            None => self.ask(store_error, |link| self.persist.call(link, &key, None::<u64>)),
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
        let pattern = escaped(&format!("{namespace}{prefix}")) + "*";
        // Others may have many keys and we few: what is found in half the time is a page, too.
        let enough = Instant::now() + self.options.timeout / 2;
        let (next, found) = self.ask(store_error, |link| {
            let (mut cursor, mut keys) = (from.0, Vec::<Vec<u8>>::new());
            let mut step = limit.clamp(1, SCAN_STEP_MAX);
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(step);
                let (next, some): (u64, Vec<Vec<u8>>) = link.query(&scan)?;
                cursor = next;
                if some.is_empty() {
                    step = (2 * step).min(SCAN_STEP_MAX);
                }
                keys.extend(some.into_iter().filter(|key| is_ours(key, namespace)));
                if cursor == 0 || keys.len() >= limit || Instant::now() >= enough {
                    break;
                }
            }
            let values: Vec<Option<Vec<u8>>> =
                if keys.is_empty() { Vec::new() } else { link.query(cmd("MGET").arg(&keys))? };
            Ok((cursor, keys.into_iter().zip(values).collect::<Vec<_>>()))
        })?;
        let mut entries = arena.list(found.len());
        for (key, value) in &found {
            // Those that have gone meanwhile, and what is no string, have none.
            let key = std::str::from_utf8(&key[namespace.len()..]);
            if let (Ok(key), Some(value)) = (key, value) {
                entries.push((arena.alloc_str(key), arena.alloc_bytes(value)));
            }
        }
        Ok(Page { entries: entries.finish(), next: (next != 0).then_some(Cursor(next)) })
    }

    fn increment(&self, key: &str, by: i64, life: Option<Duration>) -> Result<i64, StoreError> {
        let key = self.key(key)?;
        self.ask(number_error, |link| match life {
            Some(life) => self.begin_number.call(link, &key, (by, milliseconds(life))),
            None => link.query(cmd("INCRBY").arg(key).arg(by)),
        })
    }

    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<bool, StoreError> {
        let key = self.key(key)?;
        check_value(value)?;
        let Some(expected) = expected else {
            return self.query(cmd("SET").arg(key).arg(value).arg("NX").arg(expiry(life)));
        };
        self.ask(store_error, |link| self.replace.call(link, &key, (expected, value, expiry(life))))
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

/// A life as SET has it.
fn expiry(life: Option<Duration>) -> Option<(&'static str, u64)> {
    life.map(|life| match milliseconds(life) {
        // No life at all is none that SET takes; one that was over long ago is.
        0 => ("PXAT", 1),
        ms => ("PX", ms),
    })
}

/// A life in milliseconds, not shorter than it is.
fn milliseconds(life: Duration) -> u64 {
    life.as_nanos().div_ceil(1_000_000).min(LIFE_MS_MAX) as u64
}

/// A pattern that only `text` matches.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Whether a key that has our namespace is one that we can have made.
fn is_ours(key: &[u8], namespace: &str) -> bool {
    let rest = key.strip_prefix(namespace.as_bytes());
    rest.and_then(|rest| std::str::from_utf8(rest).ok()).is_some_and(key::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KEY_BYTES_MAX;

    #[test]
    fn lives_are_whole_milliseconds_and_not_shorter() {
        fn check(life: Duration, expected: (&'static str, u64)) {
            assert_eq!(expiry(Some(life)), Some(expected), "{life:?}");
        }
        assert_eq!(expiry(None), None);
        check(Duration::ZERO, ("PXAT", 1));
        check(Duration::from_nanos(1), ("PX", 1));
        check(Duration::from_micros(1001), ("PX", 2));
        check(Duration::from_secs(60), ("PX", 60_000));
        check(Duration::MAX, ("PX", 1 << 52));
    }

    #[test]
    fn a_pattern_means_itself() {
        assert_eq!(escaped("fleeting:a*b?[c]\\^-é"), "fleeting:a\\*b\\?\\[c\\]\\\\^-é");
    }

    #[test]
    fn keys_of_others_are_not_ours() {
        fn check(key: &[u8], expected: bool) {
            assert_eq!(is_ours(key, "n:"), expected, "{:?}", String::from_utf8_lossy(key));
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
