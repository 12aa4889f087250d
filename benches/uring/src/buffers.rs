//! A ring of buffers that the kernel fills: a receive takes one when bytes arrive.

use crate::ring::Ring;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

pub struct Buffers {
    /// `COUNT` entries; the first also holds the tail.
    entries: *mut BufRingEntry,
    /// `COUNT` buffers of `BUFFER_BYTES`.
    memory: *mut u8,
    tail: u16,
}

/// The buffer group that receive operations name.
pub const GROUP: u16 = 0;
/// A power of two.
const COUNT: u16 = 1024;
/// Not a multiple of a page, so that the beginnings of buffers do not share one set of the cache.
const BUFFER_BYTES: usize = (16 << 10) + 64;

impl Buffers {
    pub fn new(ring: &Ring) -> io::Result<Buffers> {
        let entries_bytes = usize::from(COUNT) * size_of::<BufRingEntry>();
        let bytes = entries_bytes + usize::from(COUNT) * BUFFER_BYTES;
        let layout = Layout::from_size_align(bytes, 4096).expect("4096 is a valid alignment");
        // SAFETY: the size is not 0. The memory is never freed: the kernel may write while the ring exists.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: the buffers follow the entries in the same allocation.
        let memory = unsafe { base.add(entries_bytes) };
        let mut buffers = Buffers { entries: base.cast(), memory, tail: 0 };
        // SAFETY: there are COUNT entries, aligned to a page and zeroed, and they are never freed.
        unsafe { ring.0.submitter().register_buf_ring_with_flags(base as u64, COUNT, GROUP, 0)? };
        (0..COUNT).for_each(|id| buffers.give_back(id));
        Ok(buffers)
    }

    /// Returns the first `bytes` of a buffer that a completion has named.
    pub fn filled(&self, id: u16, bytes: usize) -> &[u8] {
        assert!(id < COUNT && bytes <= BUFFER_BYTES);
        // SAFETY: within the allocation. The kernel does not write to the buffer until it is given back, which needs
        // this borrow to have ended.
        unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(id) * BUFFER_BYTES), bytes) }
    }

    /// Gives a buffer back to the kernel to fill.
    pub fn give_back(&mut self, id: u16) {
        assert!(id < COUNT);
        // SAFETY: indices below COUNT lie within the allocation. The kernel reads no entry at or after the tail, and
        // writes none. The tail, which lies in a reserved part of the first entry, is ours to write.
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
