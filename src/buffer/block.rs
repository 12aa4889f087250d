//! Memory for an inbox, in one piece.
//!
//! It knows no inbox. Its invariants: all of it is initialised, and when it is dropped the system has it back. The
//! allocator would keep it for later, so that a flood of large heads would stay resident after it has ended.

use super::memory::NoMemory;
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Initialised memory. The default has none.
#[derive(Debug, Default)]
pub(super) enum Block {
    #[default]
    None,
    /// Mapped for it, and counted in [`MAPPED`].
    Mapped(MmapMut),
    Heap(Vec<u8>),
}

/// The granularity of its size.
pub(super) const PAGE_BYTES: usize = 4096;
/// The blocks of the process that are mapped.
static MAPPED: AtomicUsize = AtomicUsize::new(0);
/// The most of them: the system bounds the mappings of a process (`vm.max_map_count`, 65,530). More come from the heap.
const MAPPED_MAX: usize = 24 << 10;

impl Block {
    /// Returns a block of `bytes` zeros.
    ///
    /// # Errors
    /// The system has no memory.
    pub(super) fn new(bytes: usize) -> Result<Block, NoMemory> {
        // AddressSanitizer knows the heap only.
        if !cfg!(any(fuzzing, fleeting_paranoid)) && MAPPED.fetch_add(1, Ordering::Relaxed) < MAPPED_MAX {
            return match MmapMut::map_anon(bytes) {
                Ok(memory) => Ok(Block::Mapped(memory)),
                Err(_) => {
                    MAPPED.fetch_sub(1, Ordering::Relaxed);
                    Err(NoMemory)
                }
            };
        }
        if !cfg!(any(fuzzing, fleeting_paranoid)) {
            MAPPED.fetch_sub(1, Ordering::Relaxed);
        }
        let mut memory = Vec::new();
        memory.try_reserve_exact(bytes).map_err(|_| NoMemory)?;
        memory.resize(bytes, 0);
        Ok(Block::Heap(memory))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Block::Mapped(_) = self {
            MAPPED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Block::None => &[],
            Block::Mapped(memory) => memory,
            Block::Heap(memory) => memory,
        }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Block::None => &mut [],
            Block::Mapped(memory) => memory,
            Block::Heap(memory) => memory,
        }
    }
}
