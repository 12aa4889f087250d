//! One shard of the memory store: records, and the three orders they are in.
//!
//! It knows no lock, no clock and no hasher: hashes and the time are passed in. Its invariants: all three orders have
//! the same records, those of the log that are not dead; and an entry whose life is over is found by nobody.

use super::ages::Ages;
use super::buckets::Buckets;
use super::deadlines::{Deadlines, NEVER};
use super::log::Log;
use super::record::{At, Long, record_bytes};
use super::usage::Usage;
use crate::StoreError;
use fleeting::arena::{Arena, ArenaList};
use std::io::Write as _;

/// What a bucket costs, for each record.
const BUCKET_BYTES: usize = 8;
/// The longest number: a sign and 19 digits.
const NUMBER_BYTES: usize = 20;

/// Some entries of the store.
#[derive(Debug)]
pub(super) struct Table {
    log: Log,
    buckets: Buckets,
    ages: Ages,
    deadlines: Deadlines,
    /// The time as it was last told; never goes back.
    now_ms: u64,
    expired: u64,
}

/// What an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'k> {
    pub(super) hash: u32,
    pub(super) key: &'k str,
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

    /// Tells the time, and takes out a few of those whose life is over by then, in at most so many steps.
    #[inline]
    pub(super) fn advance(&mut self, now_ms: u64, steps: usize, usage: &Usage) {
        self.now_ms = self.now_ms.max(now_ms);
        self.expire(usize::MAX, steps, usage);
    }

    /// Takes out at most `most` of those whose life is over, in at most so many steps.
    #[inline]
    pub(super) fn expire(&mut self, most: usize, mut steps: usize, usage: &Usage) -> usize {
        let mut count = 0;
        while count < most
            && let Some(at) = self.deadlines.due(&mut self.log, self.now_ms, &mut steps)
        {
            self.remove(at, usage);
            self.expired += 1;
            count += 1;
        }
        count
    }

    /// The value.
    pub(super) fn value(&mut self, place: Place<'_>, usage: &Usage) -> Option<&[u8]> {
        self.find(place, usage).map(|at| self.log.value(at))
    }

    /// Puts a copy of a value in.
    pub(super) fn set(
        &mut self,
        place: Place<'_>,
        value: &[u8],
        life_ms: Option<u64>,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let found = self.find(place, usage);
        self.put(found, place, value, 0, self.deadline(life_ms), usage)
    }

    /// Takes an entry out.
    pub(super) fn delete(&mut self, place: Place<'_>, usage: &Usage) -> bool {
        let found = self.find(place, usage);
        found.inspect(|at| self.remove(*at, usage)).is_some()
    }

    /// Gives an entry another life.
    pub(super) fn renew(&mut self, place: Place<'_>, life_ms: Option<u64>, usage: &Usage) -> bool {
        let Some(at) = self.find(place, usage) else { return false };
        self.live(at, self.deadline(life_ms), usage);
        true
    }

    /// Adds to a number.
    pub(super) fn increment(
        &mut self,
        place: Place<'_>,
        by: i64,
        life_ms: Option<u64>,
        usage: &Usage,
    ) -> Result<i64, StoreError> {
        let found = self.find(place, usage);
        let (number, deadline_ms) = match found {
            Some(at) => (number(self.log.value(at))?, self.log.long(at, Long::DeadlineMs)),
            None => (0, self.deadline(life_ms)),
        };
        let sum = number.checked_add(by).ok_or(StoreError::NotANumber)?;
        let (text, length) = text(sum);
        self.put(found, place, &text[..length], NUMBER_BYTES, deadline_ms, usage)?;
        Ok(sum)
    }

    /// Puts a copy of a value in if what is there is as expected.
    pub(super) fn compare_and_set(
        &mut self,
        place: Place<'_>,
        expected: Option<&[u8]>,
        value: &[u8],
        life_ms: Option<u64>,
        usage: &Usage,
    ) -> Result<bool, StoreError> {
        let found = self.find(place, usage);
        if found.map(|at| self.log.value(at)) != expected {
            return Ok(false);
        }
        self.put(found, place, value, 0, self.deadline(life_ms), usage)?;
        Ok(true)
    }

    /// Copies the entries of one bucket, that of the hash `from`, whose keys begin with `prefix`. Tells how many it
    /// has looked at, and the first hash of the next bucket, if there is one.
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
                let key = std::str::from_utf8(key).expect("it was copied from text");
                found.push((arena.alloc_str(key), arena.alloc_bytes(self.log.value(at))));
            }
        }
        (seen, next)
    }

    /// How long the entry that was left alone longest has been so, in milliseconds.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.ages.oldest_ms(&self.log).map(|touched_ms| self.now_ms.saturating_sub(touched_ms))
    }

    /// How many entries were taken out because their life was over.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// The entry, if its life is not over; if it is, it goes now.
    #[inline]
    fn find(&mut self, place: Place<'_>, usage: &Usage) -> Option<At> {
        let Place { hash, key } = place;
        let at = self.buckets.find(&self.log, hash, |at| self.log.key(at) == key.as_bytes())?;
        if self.log.long(at, Long::DeadlineMs) > self.now_ms {
            return Some(at);
        }
        self.remove(at, usage);
        self.expired += 1;
        None
    }

    fn deadline(&self, life_ms: Option<u64>) -> u64 {
        // One millisecond less than never is never as well, to whoever waits for it.
        life_ms.map_or(NEVER, |life_ms| self.now_ms.saturating_add(life_ms).min(NEVER - 1))
    }

    /// Puts a copy of a value into the entry that was found, or into a new one with room for `room` bytes. If that
    /// cannot be, nothing has changed.
    fn put(
        &mut self,
        found: Option<At>,
        place: Place<'_>,
        value: &[u8],
        room: usize,
        deadline_ms: u64,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        if let Some(at) = found
            && (deadline_ms <= self.now_ms || self.log.rewrite(at, value))
        {
            self.live(at, deadline_ms, usage);
            return Ok(());
        }
        if deadline_ms <= self.now_ms {
            return Ok(());
        }
        let key = place.key.as_bytes();
        let after = record_bytes(key.len(), value.len().max(room));
        let before = found.map_or(0, |at| self.log.size(at));
        match found {
            None => usage.take_entry(after + BUCKET_BYTES)?,
            Some(_) => usage.take_bytes(after.saturating_sub(before))?,
        }
        let Some(new) = self.log.append(place.hash, key, value, room) else {
            match found {
                None => usage.give_entry(after + BUCKET_BYTES),
                Some(_) => usage.give_bytes(after.saturating_sub(before)),
            }
            return Err(StoreError::Full);
        };
        if let Some(at) = found {
            self.unlink(at);
            usage.give_bytes(before.saturating_sub(after));
        }
        self.buckets.link(&mut self.log, new);
        self.ages.link(&mut self.log, new, self.now_ms);
        self.deadlines.link(&mut self.log, new, deadline_ms);
        self.compact();
        Ok(())
    }

    /// Gives an entry a deadline, at which it may have arrived.
    fn live(&mut self, at: At, deadline_ms: u64, usage: &Usage) {
        if deadline_ms <= self.now_ms {
            return self.remove(at, usage);
        }
        self.ages.touch(&mut self.log, at, self.now_ms);
        self.deadlines.set(&mut self.log, at, deadline_ms);
    }

    fn remove(&mut self, at: At, usage: &Usage) {
        let bytes = self.log.size(at) + BUCKET_BYTES;
        self.unlink(at);
        usage.give_entry(bytes);
        self.compact();
    }

    /// Takes a record out of all orders, and out of the log.
    fn unlink(&mut self, at: At) {
        self.buckets.unlink(&mut self.log, at);
        self.ages.unlink(&mut self.log, at);
        self.deadlines.unlink(&mut self.log, at);
        self.log.free(at);
    }

    /// Empties a segment if too much is dead.
    #[inline]
    fn compact(&mut self) {
        if let Some(mut residents) = self.log.crowded() {
            while let Some(from) = self.log.next_of(&mut residents) {
                let Some(to) = self.log.relocate(from) else { return };
                self.buckets.moved(&mut self.log, from, to);
                self.ages.moved(&mut self.log, to);
                self.deadlines.moved(&mut self.log, to);
                self.log.free(from);
            }
        }
    }
}

/// The number that a value is: decimal, as it is written here.
fn number(value: &[u8]) -> Result<i64, StoreError> {
    let number = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    let number = number.ok_or(StoreError::NotANumber)?;
    let (text, length) = text(number);
    if text[..length] == *value { Ok(number) } else { Err(StoreError::NotANumber) }
}

/// A number in decimal, and its length.
fn text(number: i64) -> ([u8; NUMBER_BYTES], usize) {
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

    const PLACES: [Place<'static>; 6] = [
        // Hashes that are the same, and that differ in the last bit.
        Place { hash: 0, key: "a" },
        Place { hash: 0, key: "b" },
        Place { hash: 0, key: "" },
        Place { hash: 1, key: "a" },
        Place { hash: u32::MAX, key: "a" },
        Place { hash: u32::MAX, key: "aa" },
    ];

    fn usage() -> Usage {
        Usage::new(StoreLimits::default())
    }

    #[test]
    fn hashes_that_are_the_same_are_told_apart_by_the_key() {
        let (mut table, usage) = (Table::new(), usage());
        for (number, place) in PLACES.into_iter().enumerate() {
            table.set(place, number.to_string().as_bytes(), None, &usage).unwrap();
        }
        for (gone, goes) in PLACES.into_iter().enumerate() {
            for (number, place) in PLACES.into_iter().enumerate() {
                let expected = (number >= gone).then(|| number.to_string());
                assert_eq!(table.value(place, &usage), expected.as_deref().map(str::as_bytes));
            }
            assert!(table.delete(goes, &usage));
        }
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
    }

    #[test]
    fn what_is_left_lies_close_together() {
        let (mut table, usage) = (Table::new(), usage());
        let keys: Vec<String> = (0..5000).map(|number| format!("key:{number}")).collect();
        let place =
            |number: usize| Place { hash: (number as u32).wrapping_mul(0x9e37_79b9), key: &keys[number] };
        for number in 0..keys.len() {
            let value = vec![number as u8; 100 + number % 400];
            table.set(place(number), &value, Some(1000 + number as u64 % 10 * 1000), &usage).unwrap();
        }
        // Every tenth stays, wherever it lies, and is what it was.
        table.advance(9999, usize::MAX, &usage);
        assert_eq!(usage.entries(), keys.len() / 10);
        assert!(table.log.crowded().is_none());
        for number in 0..keys.len() {
            let expected = (number % 10 == 9).then(|| vec![number as u8; 100 + number % 400]);
            assert_eq!(table.value(place(number), &usage), expected.as_deref());
        }
        assert_eq!(table.oldest_ms(), Some(9999));
        table.advance(10_000, usize::MAX, &usage);
        assert_eq!((usage.entries(), usage.bytes()), (0, 0));
    }

    #[test]
    fn time_does_not_go_back() {
        let (mut table, usage) = (Table::new(), usage());
        table.advance(1000, 8, &usage);
        table.set(PLACES[0], b"v", Some(100), &usage).unwrap();
        table.advance(500, 8, &usage);
        table.set(PLACES[1], b"v", Some(100), &usage).unwrap();
        table.advance(1099, 8, &usage);
        assert!(table.value(PLACES[0], &usage).is_some() && table.value(PLACES[1], &usage).is_some());
        table.advance(1100, 0, &usage);
        assert!(table.value(PLACES[0], &usage).is_none() && table.value(PLACES[1], &usage).is_none());
        assert_eq!((table.expired(), usage.entries()), (2, 0));
    }

    #[test]
    fn ages_are_since_the_last_word() {
        let (mut table, usage) = (Table::new(), usage());
        assert_eq!(table.oldest_ms(), None);
        table.advance(10, 8, &usage);
        table.set(PLACES[0], b"1", None, &usage).unwrap();
        table.advance(20, 8, &usage);
        table.set(PLACES[1], b"1", None, &usage).unwrap();
        table.advance(30, 8, &usage);
        assert!(table.value(PLACES[0], &usage).is_some());
        assert_eq!(table.oldest_ms(), Some(20), "reading is no word");
        assert!(table.renew(PLACES[0], None, &usage));
        assert_eq!(table.oldest_ms(), Some(10));
        table.increment(PLACES[1], 1, None, &usage).unwrap();
        table.advance(31, 8, &usage);
        assert_eq!(table.oldest_ms(), Some(1));
    }

    #[test]
    fn numbers_are_as_they_are_written() {
        for number in [0, 1, -1, 10, -10, i64::MAX, i64::MIN] {
            let (text, length) = text(number);
            assert_eq!(std::str::from_utf8(&text[..length]).unwrap(), number.to_string());
            assert_eq!(super::number(&text[..length]), Ok(number));
        }
    }
}
