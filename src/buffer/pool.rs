//! Empty inboxes, kept for the next connections that need one.
//!
//! It knows no connection and no clock. Its invariant: an inbox that is taken holds nothing, and beyond
//! [`KEPT_BYTES`] the pool keeps only what was needed since the last [`shed`](Pool::shed).

use super::inbox::Inbox;
use super::memory::Memory;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// The unused inboxes of a worker. Its clones are the same pool.
#[derive(Debug, Clone, Default)]
pub struct Pool(Rc<Spare>);

#[derive(Debug, Default)]
struct Spare {
    // Boxed, because a connection holds one behind a pointer.
    #[expect(clippy::vec_box, reason = "taking and giving back move the box")]
    inboxes: RefCell<Vec<Box<Inbox>>>,
    /// The sum of the memory of all of them, in bytes.
    bytes: Cell<usize>,
    /// The least that `bytes` has been since the last call of `shed`: so much was not needed.
    bytes_least: Cell<usize>,
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
        Pool(Rc::new(Spare { memory: Some(memory.clone()), ..Spare::default() }))
    }

    /// Gives the memory of the inboxes that are kept back to the system. Returns whether there was any.
    pub fn clear(&self) -> bool {
        self.0.inboxes.borrow_mut().clear();
        self.0.bytes_least.set(0);
        self.0.bytes.take() > 0
    }

    /// Returns the bytes of memory that are kept.
    pub fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    /// Whether so much is kept that [`shed`](Pool::shed) should be called before long.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.bytes() > KEPT_BYTES
    }

    /// Gives memory back to the system that was not needed since the last call, down to [`KEPT_BYTES`].
    pub fn shed(&self) {
        let Spare { inboxes, bytes, bytes_least, .. } = &*self.0;
        let mut inboxes = inboxes.borrow_mut();
        let target = (bytes.get() - bytes_least.get()).max(KEPT_BYTES);
        // Those at the front have been there for longest.
        let (mut left, mut count) = (bytes.get(), 0);
        while left > target && count < inboxes.len() {
            left -= inboxes[count].memory_bytes();
            count += 1;
        }
        inboxes.drain(..count);
        bytes.set(left);
        bytes_least.set(left);
    }

    /// Returns an empty inbox.
    pub fn take(&self) -> Box<Inbox> {
        let Spare { inboxes, bytes, bytes_least, memory } = &*self.0;
        let Some(inbox) = inboxes.borrow_mut().pop() else {
            let charge = memory.as_ref().map(Memory::charge).unwrap_or_default();
            return Box::new(Inbox::new(charge));
        };
        bytes.set(bytes.get() - inbox.memory_bytes());
        bytes_least.set(bytes_least.get().min(bytes.get()));
        inbox
    }

    /// Takes back an inbox. Its content is discarded.
    pub fn give(&self, mut inbox: Box<Inbox>) {
        let Spare { inboxes, bytes, memory, .. } = &*self.0;
        let mut inboxes = inboxes.borrow_mut();
        let sum = bytes.get() + inbox.memory_bytes();
        // Other workers may need the memory.
        let is_short = || memory.as_ref().is_some_and(|memory| memory.is_short());
        if cfg!(any(fuzzing, fleeting_paranoid))
            || inboxes.len() == SPARE_MAX
            || sum > SPARE_BYTES_MAX
            || sum > KEPT_BYTES && is_short()
        {
            return;
        }
        inbox.clear();
        bytes.set(sum);
        inboxes.push(inbox);
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
        let pool = Pool::default();
        pool.give(inbox(6));
        let mut again = pool.take();
        assert!(again.is_empty() && again.bytes_mut().is_empty());
        pool.give(inbox(SPARE_BYTES_MAX + 1));
        assert!(pool.0.inboxes.borrow().is_empty());
        for _ in 0..SPARE_MAX {
            pool.give(inbox(SPARE_BYTES_MAX / 4));
        }
        assert_eq!(pool.0.inboxes.borrow().len(), 4);
        pool.take();
        assert_eq!(pool.bytes(), 3 * SPARE_BYTES_MAX / 4);
    }

    #[test]
    fn what_is_not_needed_is_given_back_down_to_what_is_always_kept() {
        let pool = Pool::default();
        for _ in 0..16 {
            pool.give(inbox(1 << 20));
        }
        pool.shed();
        // Nothing is known of the time before the first call.
        assert_eq!(pool.bytes(), 16 << 20);
        for _ in 0..3 {
            let taken: Vec<_> = (0..6).map(|_| pool.take()).collect();
            taken.into_iter().for_each(|inbox| pool.give(inbox));
        }
        pool.shed();
        assert_eq!((pool.bytes(), pool.is_large()), (8 << 20, false), "6 MiB were needed, 8 are always kept");
        let taken: Vec<_> = (0..12).map(|_| pool.take()).collect();
        drop(taken);
        for _ in 0..12 {
            pool.give(inbox(1 << 20));
        }
        pool.shed();
        assert_eq!((pool.bytes(), pool.is_large()), (12 << 20, true), "all 12 were needed");
        pool.shed();
        assert_eq!(pool.bytes(), 8 << 20);
    }

    /// Finding C7.
    #[test]
    fn a_pool_leaves_memory_to_others() {
        let memory = Memory::new(20 << 20);
        let pool = Pool::new(&memory);
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
