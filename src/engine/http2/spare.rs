//! Memory that a connection has only while streams are open, kept for the next that needs it.
//!
//! It knows no frame. Its invariants: what is taken is empty, and no more than [`BYTES_MAX`] is kept.

use super::record::Record;
use crate::buffer::{Charge, Memory, Pool};
use crate::http2::Stream;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// The unused memory of a worker.
pub(in crate::engine) struct Spare {
    /// For content that has arrived.
    pub(super) pool: Pool,
    /// For frames that wait for their connection's turn.
    frames: RefCell<Vec<Vec<u8>>>,
    /// For the open streams of a connection.
    streams: RefCell<Vec<Vec<Stream<Record>>>>,
    /// The memory of both, in bytes.
    bytes: Cell<usize>,
    /// The most that `bytes` has been.
    charge: RefCell<Charge>,
    memory: Arc<Memory>,
}

/// The most memory in bytes that is kept, besides the pool's.
const BYTES_MAX: usize = 4 << 20;

impl Spare {
    pub(in crate::engine) fn new(memory: &Arc<Memory>, pool: &Pool) -> Spare {
        Spare {
            pool: pool.clone(),
            frames: RefCell::default(),
            streams: RefCell::default(),
            bytes: Cell::new(0),
            charge: RefCell::new(memory.charge()),
            memory: memory.clone(),
        }
    }

    /// Returns the bytes of memory that are kept, at the most so far.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.charge.borrow().bytes()
    }

    /// Returns an account for a connection.
    pub(super) fn account(&self) -> Charge {
        self.memory.charge()
    }

    pub(super) fn take_frames(&self) -> Vec<u8> {
        self.take(&self.frames)
    }

    /// Takes back memory for frames, which are discarded.
    pub(super) fn give_frames(&self, frames: Vec<u8>) {
        self.give(&self.frames, frames);
    }

    pub(super) fn take_streams(&self) -> Vec<Stream<Record>> {
        self.take(&self.streams)
    }

    pub(super) fn give_streams(&self, streams: Vec<Stream<Record>>) {
        self.give(&self.streams, streams);
    }

    fn take<T>(&self, lists: &RefCell<Vec<Vec<T>>>) -> Vec<T> {
        let list = lists.borrow_mut().pop().unwrap_or_default();
        self.bytes.set(self.bytes.get() - bytes(&list));
        list
    }

    fn give<T>(&self, lists: &RefCell<Vec<Vec<T>>>, mut list: Vec<T>) {
        let sum = self.bytes.get() + bytes(&list);
        if cfg!(any(fuzzing, fleeting_paranoid))
            || list.capacity() == 0
            || sum > self.memory.kept_max(BYTES_MAX)
            || self.memory.is_short()
            || self.charge.borrow_mut().reach(sum).is_err()
        {
            return;
        }
        list.clear();
        self.bytes.set(sum);
        lists.borrow_mut().push(list);
    }
}

/// Returns the memory that a list has, and its place among the others. Without memory, it has none.
fn bytes<T>(list: &Vec<T>) -> usize {
    match list.capacity() {
        0 => 0,
        capacity => capacity * size_of::<T>() + size_of::<Vec<T>>(),
    }
}

#[cfg(test)]
#[cfg(not(any(fuzzing, fleeting_paranoid)))]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let memory = Memory::new(1 << 30);
        let spare = Spare::new(&memory, &Pool::new(&memory));
        let lists: Vec<Vec<u8>> = (0..8).map(|_| Vec::with_capacity(1 << 20)).collect();
        lists.into_iter().for_each(|list| spare.give_frames(list));
        assert_eq!((spare.frames.borrow().len(), memory.used_bytes()), (3, spare.bytes.get()));
        spare.give_frames(Vec::new());
        let taken: Vec<Vec<u8>> = (0..4).map(|_| spare.take_frames()).collect();
        assert_eq!(taken.iter().filter(|list| list.capacity() > 0).count(), 3);
        assert_eq!((spare.bytes.get(), spare.frames.borrow().len()), (0, 0));
    }

    #[test]
    fn little_is_kept_of_little_memory() {
        let memory = Memory::new(1 << 20);
        let spare = Spare::new(&memory, &Pool::new(&memory));
        spare.give_frames(Vec::with_capacity(4 << 10));
        assert_eq!((spare.bytes.get(), spare.take_frames().capacity()), (0, 0));
        spare.give_frames(b"frames".to_vec());
        let frames = spare.take_frames();
        assert!(frames.is_empty() && frames.capacity() > 0);
    }
}
