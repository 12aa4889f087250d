//! One shard of the store in memory: records and the three orders they are in.
//!
//! It knows no lock, no clock and no hasher: its caller passes in hashes and the time. Invariants: all three orders
//! contain exactly the live records of the log; and no operation finds an expired entry.

use super::ages::Ages;
use super::buckets::Buckets;
use super::deadlines::{Deadlines, NEVER};
use super::log::Log;
use super::record::{Address, Long, record_bytes};
use super::usage::Usage;
use crate::StoreError;
use fleeting::arena::{Arena, ArenaList};
use std::io::Write as _;

/// The share of a record in the memory of the buckets.
const BUCKET_BYTES: usize = 8;
/// The length of the longest number: a sign and 19 digits.
const NUMBER_BYTES: usize = 20;

/// The entries of one shard.
#[derive(Debug)]
pub(super) struct Table {
    log: Log,
    buckets: Buckets,
    ages: Ages,
    deadlines: Deadlines,
    /// The time that was passed in last; it never goes back.
    now_ms: u64,
    expired: u64,
}

/// A key and its hash within the shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashedKey<'k> {
    pub(super) hash: u32,
    pub(super) text: &'k str,
}

impl Table {
    pub(super) const fn new() -> Table {
        Table {
            log: Log::new(),
            buckets: Buckets::new(),
            ages: Ages::new(),
            deadlines: Deadlines::new(),
            now_ms: 0,
            expired: 0,
        }
    }

    /// Sets the time and removes expired entries, in at most `steps` steps.
    #[inline]
    pub(super) fn advance(&mut self, now_ms: u64, steps: usize, usage: &Usage) {
        self.now_ms = self.now_ms.max(now_ms);
        self.expire(usize::MAX, steps, usage);
    }

    /// Removes at most `max` expired entries, in at most `steps` steps. Returns their number.
    #[inline]
    pub(super) fn expire(&mut self, max: usize, mut steps: usize, usage: &Usage) -> usize {
        let mut count = 0;
        while count < max
            && let Some(at) = self.deadlines.due(&mut self.log, self.now_ms, &mut steps)
        {
            self.remove(at, usage);
            self.expired += 1;
            count += 1;
        }
        count
    }

    /// Returns the value of an entry.
    pub(super) fn value(&mut self, key: HashedKey<'_>, usage: &Usage) -> Option<&[u8]> {
        self.find(key, usage).map(|at| self.log.value(at))
    }

    /// Stores a copy of a value.
    pub(super) fn set(
        &mut self,
        key: HashedKey<'_>,
        value: &[u8],
        ttl_ms: Option<u64>,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let found = self.find(key, usage);
        self.put(found, key, value, 0, self.deadline_ms(ttl_ms), usage)
    }

    /// Removes an entry. Returns whether there was one.
    pub(super) fn delete(&mut self, key: HashedKey<'_>, usage: &Usage) -> bool {
        let found = self.find(key, usage);
        found.inspect(|at| self.remove(*at, usage)).is_some()
    }

    /// Replaces the deadline of an entry. Returns whether there was one.
    pub(super) fn renew(&mut self, key: HashedKey<'_>, ttl_ms: Option<u64>, usage: &Usage) -> bool {
        let Some(at) = self.find(key, usage) else { return false };
        self.set_deadline(at, self.deadline_ms(ttl_ms), usage);
        true
    }

    /// Adds to a number. Returns the sum.
    pub(super) fn increment(
        &mut self,
        key: HashedKey<'_>,
        by: i64,
        ttl_ms: Option<u64>,
        usage: &Usage,
    ) -> Result<i64, StoreError> {
        let found = self.find(key, usage);
        let (number, deadline_ms) = match found {
            Some(at) => (parse_number(self.log.value(at))?, self.log.long(at, Long::DeadlineMs)),
            None => (0, self.deadline_ms(ttl_ms)),
        };
        let sum = number.checked_add(by).ok_or(StoreError::NotANumber)?;
        let (text, length) = format_number(sum);
        self.put(found, key, &text[..length], NUMBER_BYTES, deadline_ms, usage)?;
        Ok(sum)
    }

    /// Stores a copy of a value if the current value is as expected. Returns whether it was.
    pub(super) fn compare_and_set(
        &mut self,
        key: HashedKey<'_>,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
        usage: &Usage,
    ) -> Result<bool, StoreError> {
        let found = self.find(key, usage);
        if found.map(|at| self.log.value(at)) != expected {
            return Ok(false);
        }
        self.put(found, key, value, 0, self.deadline_ms(ttl_ms), usage)?;
        Ok(true)
    }

    /// Copies the entries whose keys start with `prefix` from one bucket, that of the hash `from`. Returns how many
    /// records it has looked at, and the first hash of the next bucket, if there is one.
    pub(super) fn scan<'a>(
        &self,
        from: u32,
        prefix: &str,
        arena: &'a Arena,
        found: &mut ArenaList<'a, (&'a str, &'a [u8])>,
    ) -> (usize, Option<u32>) {
        let (records, next) = self.buckets.bucket_from(&self.log, from);
        let mut seen = 0;
        for at in records {
            seen += 1;
            let key = self.log.key(at);
            if key.starts_with(prefix.as_bytes()) && self.log.long(at, Long::DeadlineMs) > self.now_ms {
                let key = std::str::from_utf8(key).expect("a key is copied from text");
                found.push((arena.alloc_str(key), arena.alloc_bytes(self.log.value(at))));
            }
        }
        (seen, next)
    }

    /// Returns the milliseconds since the longest untouched entry was written or renewed.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.ages.oldest_ms(&self.log).map(|touched_ms| self.now_ms.saturating_sub(touched_ms))
    }

    /// Returns the number of entries removed because they had expired.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// Finds an entry. If it has expired, it is removed instead.
    #[inline]
    fn find(&mut self, key: HashedKey<'_>, usage: &Usage) -> Option<Address> {
        let HashedKey { hash, text } = key;
        let at = self.buckets.find(&self.log, hash, |at| self.log.key(at) == text.as_bytes())?;
        if self.log.long(at, Long::DeadlineMs) > self.now_ms {
            return Some(at);
        }
        self.remove(at, usage);
        self.expired += 1;
        None
    }

    fn deadline_ms(&self, ttl_ms: Option<u64>) -> u64 {
        // `NEVER` itself stays reserved for entries without a deadline.
        ttl_ms.map_or(NEVER, |ttl_ms| self.now_ms.saturating_add(ttl_ms).min(NEVER - 1))
    }

    /// Stores a copy of a value in the entry that was found, or in a new one whose value may grow to `room` bytes. If
    /// that fails, nothing has changed.
    fn put(
        &mut self,
        found: Option<Address>,
        key: HashedKey<'_>,
        value: &[u8],
        room: usize,
        deadline_ms: u64,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        if let Some(at) = found
            && (deadline_ms <= self.now_ms || self.log.rewrite(at, value))
        {
            self.set_deadline(at, deadline_ms, usage);
            return Ok(());
        }
        if deadline_ms <= self.now_ms {
            return Ok(());
        }
        let text = key.text.as_bytes();
        let after = record_bytes(text.len(), value.len().max(room));
        let before = found.map_or(0, |at| self.log.size(at));
        match found {
            None => usage.reserve_entry(after + BUCKET_BYTES)?,
            Some(_) => usage.reserve_bytes(after.saturating_sub(before))?,
        }
        let Some(new) = self.log.append(key.hash, text, value, room) else {
            match found {
                None => usage.release_entry(after + BUCKET_BYTES),
                Some(_) => usage.release_bytes(after.saturating_sub(before)),
            }
            return Err(StoreError::Full);
        };
        if let Some(at) = found {
            self.unlink(at);
            usage.release_bytes(before.saturating_sub(after));
        }
        self.buckets.link(&mut self.log, new);
        self.ages.link(&mut self.log, new, self.now_ms);
        self.deadlines.link(&mut self.log, new, deadline_ms);
        self.compact();
        Ok(())
    }

    /// Replaces the deadline of an entry, which is removed if the deadline has passed.
    fn set_deadline(&mut self, at: Address, deadline_ms: u64, usage: &Usage) {
        if deadline_ms <= self.now_ms {
            return self.remove(at, usage);
        }
        self.ages.touch(&mut self.log, at, self.now_ms);
        self.deadlines.set(&mut self.log, at, deadline_ms);
    }

    fn remove(&mut self, at: Address, usage: &Usage) {
        let bytes = self.log.size(at) + BUCKET_BYTES;
        self.unlink(at);
        usage.release_entry(bytes);
        self.compact();
    }

    /// Removes a record from all orders and frees it.
    fn unlink(&mut self, at: Address) {
        self.buckets.unlink(&mut self.log, at);
        self.ages.unlink(&mut self.log, at);
        self.deadlines.unlink(&mut self.log, at);
        self.log.free(at);
    }

    /// Empties a segment if too much is dead.
    #[inline]
    fn compact(&mut self) {
        if let Some(mut compaction) = self.log.begin_compaction() {
            while let Some(from) = self.log.next_live(&mut compaction) {
                let Some(to) = self.log.relocate(from) else { return };
                self.buckets.moved(&mut self.log, from, to);
                self.ages.moved(&mut self.log, to);
                self.deadlines.moved(&mut self.log, to);
                self.log.free(from);
            }
        }
    }
}

/// Reads a number that is formatted exactly as `format_number` does it.
fn parse_number(value: &[u8]) -> Result<i64, StoreError> {
    let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    let number = number.ok_or(StoreError::NotANumber)?;
    let (text, length) = format_number(number);
    if text[..length] == *value { Ok(number) } else { Err(StoreError::NotANumber) }
}

/// Formats a number in decimal. Returns the text and its length.
fn format_number(number: i64) -> ([u8; NUMBER_BYTES], usize) {
    let mut text = [0; NUMBER_BYTES];
    let mut rest = &mut text[..];
    write!(rest, "{number}").expect("the longest number fits");
    let length = NUMBER_BYTES - rest.len();
    (text, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreLimits;

    const KEYS: [HashedKey<'static>; 6] = [
        // Hashes that are equal, and that differ in the last bit.
        HashedKey { hash: 0, text: "a" },
        HashedKey { hash: 0, text: "b" },
        HashedKey { hash: 0, text: "" },
        HashedKey { hash: 1, text: "a" },
        HashedKey { hash: u32::MAX, text: "a" },
        HashedKey { hash: u32::MAX, text: "aa" },
    ];

    fn usage() -> Usage {
        Usage::new(StoreLimits::default())
    }

    #[test]
    fn keys_with_equal_hashes_are_distinct() {
        let (mut table, usage) = (Table::new(), usage());
        for (number, key) in KEYS.into_iter().enumerate() {
            table.set(key, number.to_string().as_bytes(), None, &usage).unwrap();
        }
        for (removed, victim) in KEYS.into_iter().enumerate() {
            for (number, key) in KEYS.into_iter().enumerate() {
                let expected = (number >= removed).then(|| number.to_string());
                assert_eq!(table.value(key, &usage), expected.as_deref().map(str::as_bytes));
            }
            assert!(table.delete(victim, &usage));
        }
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
    }

    #[test]
    fn remaining_entries_are_compacted() {
        let (mut table, usage) = (Table::new(), usage());
        let texts: Vec<String> = (0..5000).map(|number| format!("key:{number}")).collect();
        let key = |number: usize| HashedKey {
            hash: (number as u32).wrapping_mul(0x9e37_79b9),
            text: &texts[number],
        };
        for number in 0..texts.len() {
            let value = vec![number as u8; 100 + number % 400];
            table.set(key(number), &value, Some(1000 + number as u64 % 10 * 1000), &usage).unwrap();
        }
        // Every tenth entry stays, wherever it lies, and keeps its value.
        table.advance(9999, usize::MAX, &usage);
        assert_eq!(usage.entries(), texts.len() / 10);
        assert!(table.log.begin_compaction().is_none());
        for number in 0..texts.len() {
            let expected = (number % 10 == 9).then(|| vec![number as u8; 100 + number % 400]);
            assert_eq!(table.value(key(number), &usage), expected.as_deref());
        }
        assert_eq!(table.oldest_ms(), Some(9999));
        table.advance(10_000, usize::MAX, &usage);
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
    }

    #[test]
    fn time_does_not_go_back() {
        let (mut table, usage) = (Table::new(), usage());
        table.advance(1000, 8, &usage);
        table.set(KEYS[0], b"v", Some(100), &usage).unwrap();
        table.advance(500, 8, &usage);
        table.set(KEYS[1], b"v", Some(100), &usage).unwrap();
        table.advance(1099, 8, &usage);
        assert!(table.value(KEYS[0], &usage).is_some() && table.value(KEYS[1], &usage).is_some());
        table.advance(1100, 0, &usage);
        assert!(table.value(KEYS[0], &usage).is_none() && table.value(KEYS[1], &usage).is_none());
        assert_eq!((table.expired(), usage.entries()), (2, 0));
    }

    #[test]
    fn ages_count_from_the_last_write_or_renewal() {
        let (mut table, usage) = (Table::new(), usage());
        assert_eq!(table.oldest_ms(), None);
        table.advance(10, 8, &usage);
        table.set(KEYS[0], b"1", None, &usage).unwrap();
        table.advance(20, 8, &usage);
        table.set(KEYS[1], b"1", None, &usage).unwrap();
        table.advance(30, 8, &usage);
        assert!(table.value(KEYS[0], &usage).is_some());
        assert_eq!(table.oldest_ms(), Some(20), "reading does not count");
        assert!(table.renew(KEYS[0], None, &usage));
        assert_eq!(table.oldest_ms(), Some(10));
        table.increment(KEYS[1], 1, None, &usage).unwrap();
        table.advance(31, 8, &usage);
        assert_eq!(table.oldest_ms(), Some(1));
    }

    #[test]
    fn numbers_are_read_as_they_are_formatted() {
        for number in [0, 1, -1, 10, -10, i64::MAX, i64::MIN] {
            let (text, length) = format_number(number);
            assert_eq!(std::str::from_utf8(&text[..length]).unwrap(), number.to_string());
            assert_eq!(super::parse_number(&text[..length]), Ok(number));
        }
    }
}
