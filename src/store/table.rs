//! One shard of the memory store: entries, and the three orders they are in.
//!
//! It knows no lock, no clock and no hasher: hashes and the time are passed in. Entries lie one behind the other,
//! without gaps, so their memory follows their number; when one goes, the last takes its place, here and in
//! each of the orders. Its invariants: all four have the same entries under the same indices, and an entry whose
//! life is over is found by nobody.

use super::StoreError;
use super::ages::Ages;
use super::buckets::Buckets;
use super::deadlines::{Deadlines, NEVER};
use super::usage::Usage;
use crate::arena::{Arena, ArenaList};
use crate::keep;
use std::io::Write as _;

/// What a table needs for an entry beside its block, and what the allocator needs for that, about.
pub(super) const ENTRY_BYTES: usize = 96;
/// Entries for which memory is kept when there are fewer.
pub(super) const LEAST: usize = 8;
/// The longest number: a sign and 19 digits.
const NUMBER_BYTES: usize = 20;
/// A block of this size is not changed for being larger than it need be.
const SMALL_BYTES: usize = 64;

/// Gives memory back that is of no use for a while.
pub(super) fn trim<T>(items: &mut Vec<T>) {
    if items.capacity() > LEAST && items.len() * 4 < items.capacity() {
        items.shrink_to((items.len() * 2).max(LEAST));
    }
}

/// Some entries of the store.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
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

/// A key and its value, in one block.
#[derive(Debug)]
struct Entry {
    /// The key, behind it the value, behind that what is not used.
    block: Box<[u8]>,
    value_bytes: u32,
    key_bytes: u16,
}

impl Entry {
    /// Copies both, with room for a value of `room` bytes.
    fn new(key: &[u8], value: &[u8], room: usize) -> Entry {
        let mut block = Vec::with_capacity(block_bytes(key, value, room));
        block.extend_from_slice(key);
        block.extend_from_slice(value);
        block.resize(block.capacity(), 0);
        keep::count(key.len() + value.len());
        Entry { block: block.into(), value_bytes: value.len() as u32, key_bytes: key.len() as u16 }
    }

    #[inline]
    fn key(&self) -> &[u8] {
        &self.block[..usize::from(self.key_bytes)]
    }

    #[inline]
    fn value(&self) -> &[u8] {
        &self.block[usize::from(self.key_bytes)..][..self.value_bytes as usize]
    }

    /// Puts a copy of another value in, if it fits and does not leave most of the block unused.
    fn rewrite(&mut self, value: &[u8]) -> bool {
        let end = usize::from(self.key_bytes) + value.len();
        if end > self.block.len() || self.block.len() > (end * 4).max(SMALL_BYTES) {
            return false;
        }
        self.block[usize::from(self.key_bytes)..end].copy_from_slice(value);
        self.value_bytes = value.len() as u32;
        keep::count(value.len());
        true
    }
}

fn block_bytes(key: &[u8], value: &[u8], room: usize) -> usize {
    key.len() + value.len().max(room)
}

impl Table {
    pub(super) const fn new() -> Table {
        Table {
            entries: Vec::new(),
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
            && let Some(index) = self.deadlines.due(self.now_ms, &mut steps)
        {
            self.remove(index, usage);
            self.expired += 1;
            count += 1;
        }
        count
    }

    /// The value.
    pub(super) fn value(&mut self, place: Place<'_>, usage: &Usage) -> Option<&[u8]> {
        self.find(place, usage).map(|index| self.entries[index].value())
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
        found.inspect(|index| self.remove(*index, usage)).is_some()
    }

    /// Gives an entry another life.
    pub(super) fn renew(&mut self, place: Place<'_>, life_ms: Option<u64>, usage: &Usage) -> bool {
        let Some(index) = self.find(place, usage) else { return false };
        self.live(index, self.deadline(life_ms), usage);
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
            Some(index) => (number(self.entries[index].value())?, self.deadlines.of(index)),
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
        if found.map(|index| self.entries[index].value()) != expected {
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
        let (entries, next) = self.buckets.bucket_from(from);
        let mut seen = 0;
        for index in entries {
            seen += 1;
            let entry = &self.entries[index];
            if entry.key().starts_with(prefix.as_bytes()) && self.deadlines.of(index) > self.now_ms {
                let key = std::str::from_utf8(entry.key()).expect("it was copied from text");
                found.push((arena.alloc_str(key), arena.alloc_bytes(entry.value())));
            }
        }
        (seen, next)
    }

    /// How long the entry that was left alone longest has been so, in milliseconds.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.ages.oldest_ms().map(|touched_ms| self.now_ms.saturating_sub(touched_ms))
    }

    /// How many entries were taken out because their life was over.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// The entry, if its life is not over; if it is, it goes now.
    #[inline]
    fn find(&mut self, place: Place<'_>, usage: &Usage) -> Option<usize> {
        let Place { hash, key } = place;
        let index = self.buckets.find(hash, |index| self.entries[index].key() == key.as_bytes())?;
        if self.deadlines.of(index) > self.now_ms {
            return Some(index);
        }
        self.remove(index, usage);
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
        found: Option<usize>,
        place: Place<'_>,
        value: &[u8],
        room: usize,
        deadline_ms: u64,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        let key = place.key.as_bytes();
        let Some(index) = found else {
            if deadline_ms <= self.now_ms {
                return Ok(());
            }
            let bytes = block_bytes(key, value, room);
            usage.take_entry(ENTRY_BYTES + bytes)?;
            self.entries.push(Entry::new(key, value, room));
            self.buckets.push(place.hash);
            self.ages.push(self.now_ms);
            self.deadlines.push(deadline_ms);
            return Ok(());
        };
        if deadline_ms > self.now_ms && !self.entries[index].rewrite(value) {
            let (before, after) = (self.entries[index].block.len(), block_bytes(key, value, room));
            if after > before {
                usage.take_bytes(after - before)?;
            }
            self.entries[index] = Entry::new(key, value, room);
            if before > after {
                usage.give_bytes(before - after);
            }
        }
        self.live(index, deadline_ms, usage);
        Ok(())
    }

    /// Gives an entry a deadline, at which it may have arrived.
    fn live(&mut self, index: usize, deadline_ms: u64, usage: &Usage) {
        if deadline_ms <= self.now_ms {
            return self.remove(index, usage);
        }
        self.ages.touch(index, self.now_ms);
        self.deadlines.set(index, deadline_ms);
    }

    fn remove(&mut self, index: usize, usage: &Usage) {
        let entry = self.entries.swap_remove(index);
        trim(&mut self.entries);
        self.buckets.swap_remove(index);
        self.ages.swap_remove(index);
        self.deadlines.swap_remove(index);
        let bytes = ENTRY_BYTES + entry.block.len();
        drop(entry);
        usage.give_entry(bytes);
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
    use crate::store::StoreLimits;

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
        for gone in 0..PLACES.len() {
            for (number, place) in PLACES.into_iter().enumerate() {
                let expected = (number >= gone).then(|| number.to_string());
                assert_eq!(table.value(place, &usage), expected.as_deref().map(str::as_bytes));
            }
            assert!(table.delete(PLACES[gone], &usage));
        }
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
    fn a_block_is_used_again_unless_most_of_it_would_be_wasted() {
        fn check(before: usize, after: usize, same: bool) {
            let (mut table, usage) = (Table::new(), usage());
            table.set(PLACES[0], &vec![1; before], None, &usage).unwrap();
            let block = table.entries[0].block.as_ptr();
            table.set(PLACES[0], &vec![2; after], None, &usage).unwrap();
            let entry = &table.entries[0];
            assert_eq!((entry.key(), entry.value()), (&b"a"[..], &vec![2; after][..]));
            assert_eq!(entry.block.len() == 1 + before, same, "{before} to {after}");
            assert_eq!(entry.block.as_ptr() == block, same, "{before} to {after}");
            assert_eq!(usage.bytes(), ENTRY_BYTES + entry.block.len());
        }
        check(10, 10, true);
        check(10, 0, true);
        check(10, 11, false);
        check(63, 1, true);
        check(1000, 1000, true);
        check(1000, 300, true);
        check(1000, 200, false);
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
