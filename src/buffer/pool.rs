//! Empty inboxes, kept for the next connections that need one.
//!
//! It knows no connection and no clock. Its invariant: an inbox that is taken holds nothing, and beyond
//! [`KEPT_BYTES`] the pool keeps only what was needed since the last [`shed`](Pool::shed).

use super::inbox::Inbox;
use super::memory::Memory;
use std::sync::Arc;

/// The unused inboxes of a worker.
#[derive(Debug, Default)]
pub struct Pool {
    // Boxed, because a connection holds one behind a pointer.
    #[expect(clippy::vec_box, reason = "taking and giving back move the box")]
    spare: Vec<Box<Inbox>>,
    /// The sum of the memory of all in `spare`, in bytes.
    bytes: usize,
    /// The least that `bytes` has been since the last call of `shed`: so much was not needed.
    bytes_least: usize,
    /// What all inboxes are charged to; `None` if there is no bound.
    memory: Option<Arc<Memory>>,
}

/// The most inboxes that are kept.
const SPARE_MAX: usize = 256;
/// The most memory in bytes that they have together. Large inboxes are worth keeping, because memory that is new to the
/// process costs a page fault every 4 KiB: for messages of 1 MiB that is a quarter of the work.
const SPARE_BYTES_MAX: usize = 64 << 20;
/// Memory in bytes that is kept even if it is not needed for long.
const KEPT_BYTES: usize = 8 << 20;

impl Pool {
    /// Makes an empty pool, whose inboxes are charged to `memory`.
    pub fn new(memory: &Arc<Memory>) -> Pool {
        Pool { memory: Some(memory.clone()), ..Pool::default() }
    }

    /// Gives the memory of the inboxes that are kept back to the system. Returns whether there was any.
    pub fn clear(&mut self) -> bool {
        self.spare.clear();
        self.bytes_least = 0;
        std::mem::take(&mut self.bytes) > 0
    }

    /// Returns the bytes of memory that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so much is kept that [`shed`](Pool::shed) should be called before long.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.bytes > KEPT_BYTES
    }

    /// Gives memory back to the system that was not needed since the last call, down to [`KEPT_BYTES`].
    pub fn shed(&mut self) {
        let target = (self.bytes - self.bytes_least).max(KEPT_BYTES);
        // Those at the front have been there for longest.
        let mut count = 0;
        while self.bytes > target && count < self.spare.len() {
            self.bytes -= self.spare[count].memory_bytes();
            count += 1;
        }
        self.spare.drain(..count);
        self.bytes_least = self.bytes;
    }

    /// Returns an empty inbox.
    pub fn take(&mut self) -> Box<Inbox> {
        let Some(inbox) = self.spare.pop() else {
            let charge = self.memory.as_ref().map(Memory::charge).unwrap_or_default();
            return Box::new(Inbox::new(charge));
        };
        self.bytes -= inbox.memory_bytes();
        self.bytes_least = self.bytes_least.min(self.bytes);
        inbox
    }

    /// Takes back an inbox. Its content is discarded.
    pub fn give(&mut self, mut inbox: Box<Inbox>) {
        let bytes = self.bytes + inbox.memory_bytes();
        // Other workers may need the memory.
        let is_short = || self.memory.as_ref().is_some_and(|memory| memory.is_short());
        if cfg!(any(fuzzing, fleeting_paranoid))
            || self.spare.len() == SPARE_MAX
            || bytes > SPARE_BYTES_MAX
            || bytes > KEPT_BYTES && is_short()
        {
            return;
        }
        inbox.clear();
        self.bytes = bytes;
        self.spare.push(inbox);
    }
}

#[cfg(test)]
#[cfg(not(any(fuzzing, fleeting_paranoid)))]
mod tests {
    use super::*;

    fn inbox(bytes: usize) -> Box<Inbox> {
        let mut inbox = Box::<Inbox>::default();
        inbox.push(&vec![1; bytes], 0).unwrap();
        inbox
    }

    #[test]
    fn the_pool_discards_content_and_keeps_no_huge_inboxes() {
        let mut pool = Pool::default();
        pool.give(inbox(6));
        let mut again = pool.take();
        assert!(again.is_empty() && again.bytes_mut().is_empty());
        pool.give(inbox(SPARE_BYTES_MAX + 1));
        assert!(pool.spare.is_empty());
        for _ in 0..SPARE_MAX {
            pool.give(inbox(SPARE_BYTES_MAX / 4));
        }
        assert_eq!(pool.spare.len(), 4);
        pool.take();
        assert_eq!(pool.bytes, 3 * SPARE_BYTES_MAX / 4);
    }

    #[test]
    fn what_is_not_needed_is_given_back_down_to_what_is_always_kept() {
        let mut pool = Pool::default();
        for _ in 0..16 {
            pool.give(inbox(1 << 20));
        }
        pool.shed();
        // Nothing is known of the time before the first call.
        assert_eq!(pool.bytes, 16 << 20);
        for _ in 0..3 {
            let taken: Vec<_> = (0..6).map(|_| pool.take()).collect();
            taken.into_iter().for_each(|inbox| pool.give(inbox));
        }
        pool.shed();
        assert_eq!((pool.bytes, pool.is_large()), (8 << 20, false), "6 MiB were needed, 8 are always kept");
        let taken: Vec<_> = (0..12).map(|_| pool.take()).collect();
        drop(taken);
        for _ in 0..12 {
            pool.give(inbox(1 << 20));
        }
        pool.shed();
        assert_eq!((pool.bytes, pool.is_large()), (12 << 20, true), "all 12 were needed");
        pool.shed();
        assert_eq!(pool.bytes, 8 << 20);
    }

    /// Finding C7.
    #[test]
    fn a_pool_leaves_memory_to_others() {
        let memory = Memory::new(20 << 20);
        let mut pool = Pool::new(&memory);
        let mut taken: Vec<_> = (0..16).map(|_| pool.take()).collect();
        for inbox in &mut taken {
            inbox.push(&[1; 1 << 20], 0).unwrap();
        }
        let mut other = memory.charge();
        other.set(4 << 20).unwrap();
        assert!(memory.is_short());
        taken.into_iter().for_each(|inbox| pool.give(inbox));
        assert!(!memory.is_short());
    }
}
