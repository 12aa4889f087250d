//! Buffers that the kernel fills: a ring of them, from which each receive takes one when bytes are there.

use crate::ring::Ring;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

pub struct Buffers {
    /// `COUNT` entries, of which the first holds the tail as well.
    entries: *mut BufRingEntry,
    /// `COUNT` buffers of `BUFFER_BYTES`.
    memory: *mut u8,
    tail: u16,
}

/// The group that receives name.
pub const GROUP: u16 = 0;
/// A power of two.
const COUNT: u16 = 1024;
/// Not a multiple of a page, so that the beginnings of buffers do not meet in one set of the cache.
const BUFFER_BYTES: usize = (16 << 10) + 64;

impl Buffers {
    pub fn new(ring: &Ring) -> io::Result<Buffers> {
        let entries_bytes = usize::from(COUNT) * size_of::<BufRingEntry>();
        let bytes = entries_bytes + usize::from(COUNT) * BUFFER_BYTES;
        let layout = Layout::from_size_align(bytes, 4096).expect("a page's alignment");
        // SAFETY: the size is not 0. It is never freed: the kernel may write as long as the ring is there.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: the buffers lie behind the entries in the one allocation.
        let memory = unsafe { base.add(entries_bytes) };
        let mut buffers = Buffers { entries: base.cast(), memory, tail: 0 };
        // SAFETY: the entries are aligned to a page, zeroed, as many as said, and live for ever.
        unsafe { ring.0.submitter().register_buf_ring_with_flags(base as u64, COUNT, GROUP, 0)? };
        (0..COUNT).for_each(|id| buffers.give_back(id));
        Ok(buffers)
    }

    /// The first `bytes` of a buffer that a completion has named.
    pub fn filled(&self, id: u16, bytes: usize) -> &[u8] {
        assert!(id < COUNT && bytes <= BUFFER_BYTES);
        // SAFETY: within the allocation, and the kernel leaves it alone until it is given back, for which
        // this borrow must have ended.
        unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(id) * BUFFER_BYTES), bytes) }
    }

    /// Lets the kernel fill a buffer again.
    pub fn give_back(&mut self, id: u16) {
        assert!(id < COUNT);
        // SAFETY: indices below COUNT lie within the allocation. The kernel reads no entry from the tail on,
        // and writes none; the tail, which lies in a reserved part of the first entry, is ours to write.
        let tail = unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail % COUNT));
            entry.set_addr(self.memory.add(usize::from(id) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
            AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut())
        };
        self.tail = self.tail.wrapping_add(1);
        tail.store(self.tail, Ordering::Release);
    }
}
