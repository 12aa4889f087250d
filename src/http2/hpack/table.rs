//! The dynamic table (RFC 7541 §2.3.2, §4).
//!
//! The names and values of all entries lie one behind the other in one block of memory, from the oldest to the newest, so an
//! entry is read as one slice. The block grows with the entries and is small while they are. When there is no room behind
//! the newest entry, the entries move to the front, where evicted ones have left room.
//!
//! It knows no fields. Its invariant: the entries' size is at most `size_max`, and that is at most the setting.

use super::error::HpackError;
use crate::http2::field::FieldKind;

/// What an entry counts beyond its name and its value, in octets (RFC 7541 §4.1).
const ENTRY_OCTETS: usize = 32;

/// The block grows by multiples of this.
const STEP_BYTES: usize = 64;

/// The list of entries grows by this many.
const STEP_ENTRIES: usize = 8;

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    at: u16,
    name_len: u16,
    value_len: u16,
    /// What the field is.
    pub(super) kind: FieldKind,
}

impl Entry {
    /// Returns the length of the name.
    #[inline]
    pub(super) fn name_len(self) -> usize {
        self.name_len as usize
    }

    /// Returns the length of the name and the value.
    #[inline]
    pub(super) fn len(self) -> usize {
        self.name_len as usize + self.value_len as usize
    }
}

/// A dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// From the oldest to the newest, behind some that were evicted.
    entries: Vec<Entry>,
    /// The oldest entry.
    oldest: usize,
    /// The size of the entries as RFC 7541 §4.1 counts it.
    size: usize,
    size_max: u16,
    /// What the setting allows.
    setting: u16,
}

impl Table {
    pub(super) const fn new(setting: u16) -> Table {
        Table { bytes: Vec::new(), entries: Vec::new(), oldest: 0, size: 0, size_max: setting, setting }
    }

    /// Returns the number of bytes that are allocated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Returns the name and the value of an entry as one slice, and the length of the name. Entry 0 is the newest.
    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<(&[u8], usize)> {
        let (both, entries) = self.run(index, 1)?;
        Some((both, entries[0].name_len()))
    }

    /// Returns `count` entries, at least one: the one at `index` and those that were added next. Their names and values are
    /// one slice.
    #[inline]
    pub(super) fn run(&self, index: usize, count: usize) -> Option<(&[u8], &[Entry])> {
        let from = self.entries.len().checked_sub(index + 1).filter(|from| *from >= self.oldest)?;
        let entries = self.entries.get(from..from + count)?;
        let (first, last) = (entries.first()?, entries.last()?);
        Some((self.bytes.get(first.at as usize..last.at as usize + last.len())?, entries))
    }

    /// Changes the largest size (RFC 7541 §4.3). A peer that gives the table up has its memory freed.
    pub(super) fn resize(&mut self, size_max: usize) -> Result<(), HpackError> {
        match u16::try_from(size_max) {
            Ok(size_max) if size_max <= self.setting => self.size_max = size_max,
            _ => return Err(HpackError::SizeUpdate),
        }
        self.evict(size_max);
        if size_max == 0 {
            self.bytes = Vec::new();
            self.entries = Vec::new();
            self.oldest = 0;
        }
        Ok(())
    }

    /// Adds an entry (RFC 7541 §4.4): a name of `name_len` bytes and a value. An entry that is larger than the table empties
    /// it, which is not an error.
    #[inline]
    pub(super) fn insert(&mut self, both: &[u8], name_len: usize, kind: FieldKind) -> Result<(), HpackError> {
        let (size, size_max) = (both.len() + ENTRY_OCTETS, self.size_max as usize);
        if size > size_max {
            self.evict(0);
            return Ok(());
        }
        if self.size + size > size_max {
            self.evict(size_max - size);
        }
        if self.bytes.capacity() - self.bytes.len() < both.len() {
            self.make_room(both.len())?;
        }
        if self.entries.len() == self.entries.capacity() {
            self.make_room_for_entry()?;
        }
        // All of these are at most `size_max`.
        let (at, value_len) = (self.bytes.len() as u16, (both.len() - name_len) as u16);
        self.entries.push(Entry { at, name_len: name_len as u16, value_len, kind });
        self.bytes.extend_from_slice(both);
        self.size += size;
        Ok(())
    }

    /// Removes the oldest entries until the others have at most `octets`.
    #[inline]
    fn evict(&mut self, octets: usize) {
        while self.size > octets {
            let Some(oldest) = self.entries.get(self.oldest) else { break };
            self.size -= oldest.len() + ENTRY_OCTETS;
            self.oldest += 1;
        }
        if self.oldest == self.entries.len() {
            self.bytes.clear();
            self.entries.clear();
            self.oldest = 0;
        }
    }

    /// Forgets evicted entries, and allocates memory for more if there is still little room.
    #[cold]
    fn make_room_for_entry(&mut self) -> Result<(), HpackError> {
        let has_evicted = self.oldest > 0;
        self.entries.drain(..self.oldest);
        self.oldest = 0;
        let (live, capacity) = (self.entries.len(), self.entries.capacity());
        // Entries come and go from here on: some room makes moves rare.
        let more = if has_evicted { live / 2 } else { 0 };
        if capacity - live <= more / 2 {
            self.entries.try_reserve_exact(more + STEP_ENTRIES).map_err(|_| HpackError::NoMemory)?;
        }
        Ok(())
    }

    /// Moves the entries to the front, and allocates memory if there is still no room for `more` bytes, or little.
    #[cold]
    fn make_room(&mut self, more: usize) -> Result<(), HpackError> {
        let start = self.entries.get(self.oldest).map_or(self.bytes.len(), |oldest| oldest.at as usize);
        if start > 0 {
            self.bytes.copy_within(start.., 0);
            self.bytes.truncate(self.bytes.len() - start);
            for entry in &mut self.entries[self.oldest..] {
                entry.at -= start as u16;
            }
        }
        let (used, capacity) = (self.bytes.len() + more, self.bytes.capacity());
        // Entries come and go from here on, so the whole table is worth its memory: moves become rare.
        let wanted = if start > 0 { self.size_max as usize } else { used.next_multiple_of(STEP_BYTES) };
        if used > capacity || (start > 0 && used > capacity / 4 * 3 && wanted > capacity) {
            let more = wanted.max(used) - self.bytes.len();
            self.bytes.try_reserve_exact(more).map_err(|_| HpackError::NoMemory)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FieldKind::Ordinary;
    use std::collections::VecDeque;

    #[test]
    fn nothing_is_allocated_until_the_first_entry() {
        let mut table = Table::new(4096);
        assert_eq!((table.bytes(), table.entry(0)), (0, None));
        table.insert(b"ab", 1, Ordinary).unwrap();
        assert_eq!(table.entry(0), Some((&b"ab"[..], 1)));
        assert!(table.bytes() <= 256, "{}", table.bytes());
        table.resize(0).unwrap();
        assert_eq!((table.bytes(), table.entry(0)), (0, None));
    }

    #[test]
    fn the_head_of_a_browser_takes_little_more_than_its_bytes() {
        let mut table = Table::new(4096);
        for _ in 0..18 {
            table.insert(&[b'x'; 57], 15, Ordinary).unwrap();
        }
        assert!(table.bytes() <= 1300, "{} bytes for {}", table.bytes(), 18 * 57);
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut table = Table::new(100);
        table.insert(b"name", 4, Ordinary).unwrap();
        table.insert(&[b'x'; 69], 4, Ordinary).unwrap();
        assert_eq!(table.entry(0), None);
        table.insert(&[b'x'; 68], 4, Ordinary).unwrap();
        assert_eq!(table.entry(0), Some((&[b'x'; 68][..], 4)));
    }

    #[test]
    fn the_size_is_at_most_the_setting() {
        let mut table = Table::new(100);
        assert_eq!(table.resize(101), Err(HpackError::SizeUpdate));
        assert_eq!(table.resize(1 << 20), Err(HpackError::SizeUpdate));
        assert_eq!(table.resize(100), Ok(()));
    }

    #[test]
    fn it_holds_what_a_plain_list_holds() {
        let (mut table, mut plain) = (Table::new(4096), VecDeque::<(Vec<u8>, usize)>::new());
        let (mut state, mut size_max) = (7u32, 4096);
        for round in 0..20_000 {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            let random = (state >> 8) as usize;
            if random % 500 == 0 {
                size_max = random / 500 % 4097;
                table.resize(size_max).unwrap();
            } else {
                let len = random / 500 % if round % 50 == 0 { 5000 } else { 120 };
                let both = vec![round as u8; len];
                table.insert(&both, len / 3, Ordinary).unwrap();
                plain.push_front((both, len / 3));
            }
            while plain.iter().map(|(both, _)| both.len() + 32).sum::<usize>() > size_max {
                plain.pop_back();
            }
            for (index, (both, name_len)) in plain.iter().enumerate() {
                assert_eq!(table.entry(index), Some((&both[..], *name_len)));
            }
            assert_eq!(table.entry(plain.len()), None);
            let from = random % plain.len().max(1);
            let run: Vec<u8> = plain.iter().take(from + 1).rev().flat_map(|(both, _)| both.clone()).collect();
            let found = table.run(from, from + 1).map(|(bytes, entries)| (bytes.to_vec(), entries.len()));
            assert_eq!(found, (!plain.is_empty()).then_some((run, from + 1)));
            assert!(table.bytes() <= 4096 + 200 * 8, "{}", table.bytes());
        }
    }
}
