//! A buffer for bytes that have arrived but are not complete yet.
//!
//! It knows no protocol. Its invariant: the bytes held are contiguous, and memory grows in proportion to the bytes
//! that have arrived, within what the server may have.

use super::block::{Block, PAGE_BYTES};
use super::memory::{Charge, NoMemory};

/// The bytes left over from a turn: a partial head, content or frame.
///
/// They are contiguous, so that a parser can work on them in place.
#[derive(Debug, Default)]
pub struct Inbox {
    memory: Block,
    charge: Charge,
    /// Index into `memory`; `start <= end`.
    start: usize,
    /// Index into `memory`; `end <= memory.len()`.
    end: usize,
}

/// The least free room for a read.
const ROOM_BYTES: usize = 16 << 10;
/// Bytes of room made in advance for each byte that has arrived.
const CREDIT: usize = 8;

/// Returns how much room to make in advance once `arrived` bytes have arrived of `whole_bytes`: for all that is missing and
/// one byte more, so that a read that takes all of it is a short one. But no more than [`CREDIT`] allows, because announcing
/// a large size costs the peer nothing.
fn ahead_bytes(arrived: usize, whole_bytes: usize) -> usize {
    match whole_bytes.saturating_sub(arrived) {
        0 => 0,
        missing => (missing + 1).min(arrived.saturating_mul(CREDIT)),
    }
}

impl Inbox {
    /// Makes an empty inbox without memory, which will be charged to `charge`.
    pub(super) fn new(charge: Charge) -> Inbox {
        Inbox { charge, ..Inbox::default() }
    }

    /// Returns the bytes of memory that it has.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.len()
    }

    /// Removes all bytes.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if cfg!(debug_assertions) {
            self.memory.fill(crate::arena::OVERWRITTEN);
        }
    }

    /// Returns the number of bytes held.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns the bytes held, oldest first.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Returns the bytes held, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    /// Keeps bytes `from..to` of those held and removes the others.
    pub fn keep(&mut self, from: usize, to: usize) {
        debug_assert!(from <= to && to <= self.len());
        self.end = self.start + to;
        self.start += from;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Adds a copy of `bytes`, with room behind it for what is missing of the head, content or frame under way.
    ///
    /// `whole_bytes` is the size of that; 0 if it is not known.
    ///
    /// # Errors
    /// There is no memory for it; nothing is added.
    pub fn push(&mut self, bytes: &[u8], whole_bytes: usize) -> Result<(), NoMemory> {
        let ahead_bytes = ahead_bytes(self.len() + bytes.len(), whole_bytes);
        self.reserve(bytes.len(), bytes.len() + ahead_bytes)?;
        self.memory[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        Ok(())
    }

    /// Adds copies of `parts`, one behind the other.
    ///
    /// # Errors
    /// There is no memory for them; nothing is added.
    pub fn push_parts(&mut self, parts: &[&[u8]]) -> Result<(), NoMemory> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.reserve(bytes, bytes)?;
        for part in parts {
            self.memory[self.end..self.end + part.len()].copy_from_slice(part);
            self.end += part.len();
        }
        Ok(())
    }

    /// Makes room for a read behind the bytes held: at least [`ROOM_BYTES`], or what is missing if that is less and the last
    /// read has left room.
    ///
    /// `whole_bytes` is the size of the head, content or frame under way; 0 if it is not known. If the memory has to grow,
    /// it gets room for what is missing, so that the bytes need not be moved again.
    ///
    /// # Errors
    /// There is no memory for it; the bytes are kept.
    pub fn make_room(&mut self, whole_bytes: usize) -> Result<(), NoMemory> {
        match whole_bytes.saturating_sub(self.len()) {
            0 => self.reserve(ROOM_BYTES, (self.memory.len() * 2).saturating_sub(self.len()).max(ROOM_BYTES)),
            missing => {
                // A read that has filled the room may have left more behind than what is missing.
                let is_full = self.end == self.memory.len();
                let needed = if is_full { ROOM_BYTES } else { (missing + 1).min(ROOM_BYTES) };
                self.reserve(needed, ahead_bytes(self.len(), whole_bytes).max(ROOM_BYTES))
            }
        }
    }

    /// Returns the room behind the bytes held. The caller reports with [`filled`](Inbox::filled) how much of it was used.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// Adds the first `bytes` bytes of [`room`](Inbox::room) to the bytes held.
    pub fn filled(&mut self, bytes: usize) {
        self.end += bytes;
        debug_assert!(self.end <= self.memory.len());
    }

    /// Makes room for `needed` bytes behind those held. If the memory has to grow, it grows to have room for `wanted`.
    fn reserve(&mut self, needed: usize, wanted: usize) -> Result<(), NoMemory> {
        if self.memory.len() - self.end >= needed {
            return Ok(());
        }
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.memory.len() - self.end < needed {
            self.grow((self.end + wanted.max(needed)).next_multiple_of(PAGE_BYTES))?;
        }
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let before = self.memory.len();
        self.charge.set(bytes)?;
        match Block::new(bytes) {
            Ok(mut memory) => {
                memory[..self.end].copy_from_slice(&self.memory[..self.end]);
                self.memory = memory;
                Ok(())
            }
            Err(NoMemory) => {
                // Less than before is always granted.
                let _ = self.charge.set(before);
                self.charge.run_out();
                Err(NoMemory)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::pool::Pool;
    use super::*;

    #[test]
    fn bytes_are_kept_in_order() {
        let mut inbox = Inbox::default();
        inbox.push(b"hello", 0).unwrap();
        inbox.make_room(0).unwrap();
        let room = inbox.room();
        assert!(room.len() >= ROOM_BYTES);
        room[..6].copy_from_slice(b" world");
        inbox.filled(6);
        assert_eq!(inbox.bytes_mut(), b"hello world");
        inbox.keep(6, 9);
        assert_eq!(inbox.bytes_mut(), b"wor");
        inbox.push(&[b'x'; 100_000], 0).unwrap();
        assert_eq!(inbox.len(), 100_003);
        assert_eq!(&inbox.bytes_mut()[..4], b"worx");
        inbox.keep(100_003, 100_003);
        assert!(inbox.is_empty());
    }

    #[test]
    fn memory_grows_in_proportion_to_the_bytes_that_arrived() {
        let mut inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.make_room(0).unwrap();
            inbox.room()[..1000].fill(1);
            inbox.filled(1000);
        }
        assert!(inbox.memory.len() <= 2 * (1_000_000 + ROOM_BYTES), "{}", inbox.memory.len());
    }

    #[test]
    fn room_for_an_announced_size_is_bounded_by_the_bytes_that_arrived() {
        let mut inbox = Inbox::default();
        let room = |inbox: &mut Inbox, whole_bytes| {
            inbox.make_room(whole_bytes).unwrap();
            inbox.room().len()
        };
        inbox.push(&[1; 100], 0).unwrap();
        assert!(room(&mut inbox, 1 << 20) <= ROOM_BYTES + 4096, "100 bytes earn little room");
        inbox.push(&[1; 100_000], 0).unwrap();
        let missing = room(&mut inbox, 300_000);
        assert!((199_900..210_000).contains(&missing), "exactly the missing bytes: {missing}");
        assert!(room(&mut inbox, 50 << 20) < 9 * 100_100);
    }

    /// Finding C2.
    #[test]
    fn content_of_a_known_size_grows_rarely_and_never_beyond_it() {
        let whole_bytes = 1_000_000;
        let mut inbox = Inbox::default();
        inbox.push(&[1; 20 << 10], whole_bytes).unwrap();
        let mut sizes = vec![inbox.memory.len()];
        while inbox.len() < whole_bytes {
            inbox.make_room(whole_bytes).unwrap();
            let bytes = inbox.room().len().min(whole_bytes - inbox.len()).min(100);
            inbox.filled(bytes);
            if inbox.memory.len() != sizes[sizes.len() - 1] {
                sizes.push(inbox.memory.len());
            }
        }
        let first: usize = (20 << 10) * (1 + CREDIT);
        assert_eq!(sizes, [first, (whole_bytes + 1).next_multiple_of(PAGE_BYTES)]);
        assert!(!inbox.room().is_empty(), "a read that takes all that is missing is a short one");
    }

    #[test]
    fn a_read_that_has_filled_the_room_is_followed_by_a_large_one() {
        let mut inbox = Inbox::default();
        inbox.push(&[1; 10], 22).unwrap();
        for turn in 0..3 {
            inbox.make_room(22).unwrap();
            let room = inbox.room().len();
            assert!(room >= if turn == 0 { 12 } else { ROOM_BYTES }, "{room} in turn {turn}");
            inbox.filled(room);
            // Frames of 22 bytes, the last one not complete.
            inbox.keep(inbox.len() - 7, inbox.len());
        }
    }

    /// Finding C7.
    #[test]
    fn inboxes_have_no_more_memory_than_the_server_and_give_it_back() {
        let memory = Memory::new(100 << 10);
        let pool = Pool::new(&memory);
        let mut inboxes: Vec<_> = (0..3).map(|_| pool.take()).collect();
        inboxes[0].push(&[1; 50 << 10], 0).unwrap();
        inboxes[1].push(&[2; 40 << 10], 0).unwrap();
        assert_eq!(memory.used_bytes(), 92 << 10);
        assert_eq!(inboxes[1].make_room(0), Err(NoMemory));
        assert_eq!(inboxes[2].push(&[3; 20 << 10], 0), Err(NoMemory));
        assert!(inboxes[1].bytes().iter().all(|byte| *byte == 2) && inboxes[1].len() == 40 << 10);
        pool.give(inboxes.remove(0));
        if cfg!(not(any(fuzzing, fleeting_paranoid))) {
            assert_eq!(memory.used_bytes(), 92 << 10, "the pool keeps it");
            assert!(pool.clear() && !pool.clear());
        }
        assert_eq!(memory.used_bytes(), 40 << 10);
        inboxes[1].push(&[3; 20 << 10], 0).unwrap();
        drop(inboxes);
        assert_eq!(memory.used_bytes(), 0);
    }
}
