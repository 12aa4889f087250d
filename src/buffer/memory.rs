//! How much memory the buffers of a server have together, and how much they may have.
//!
//! It knows no buffer. Its invariant: what buffers have taken is given back when they are dropped, and no more than the
//! maximum is ever granted.

use memmap2::MmapMut;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The memory that all buffers of a server share.
///
/// Buffers ask for it when they grow, which is rare; a request whose bytes pass through a worker's own buffers does not.
#[derive(Debug)]
pub struct Memory {
    bytes_max: usize,
    /// Less than `bytes_max` after an allocation has failed: what the system has is less.
    granted_max: AtomicUsize,
    used: AtomicUsize,
    refused: AtomicU64,
    /// Address space that is given up when the system has no more, so that small allocations succeed meanwhile.
    reserve: Mutex<Option<MmapMut>>,
    /// Whether the system has this many bytes.
    system_has: fn(usize) -> bool,
}

/// There is no memory for a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMemory;

/// The size of the reserve. It is never written to, so it takes no memory of the machine.
const RESERVE_BYTES: usize = 4 << 20;
/// What the system must have beyond the reserve, for allocations that cannot be refused: those of the application, and of
/// a turn.
const HEADROOM_BYTES: usize = 8 << 20;
/// The system is asked for its headroom whenever buffers have taken this much more.
const LOOK_AHEAD_BYTES: usize = 1 << 20;
/// What the system must have left, once the reserve is given up, for anything new to be begun.
const LAST_BYTES: usize = 4 << 20;
/// What is small to an allocator: it comes from the memory that is shared, not from the system.
const PIECE_BYTES: usize = 32 << 10;
/// What each pool of each worker may keep unused is one part of this many.
const KEPT_SHARE: usize = 256;
/// Memory that must be left before more is promised: the growth of one buffer.
const MARGIN_BYTES: usize = 64 << 10;

impl Memory {
    /// Makes the account of a server whose buffers may have `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Arc<Memory> {
        Arc::new(Memory {
            bytes_max,
            granted_max: AtomicUsize::new(bytes_max),
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            reserve: Mutex::new(reserve()),
            system_has,
        })
    }

    /// Returns the bytes that buffers have.
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the bytes that buffers may have.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Returns how many bytes of memory a pool may keep unused where `bytes` are enough: less if there is little.
    pub fn kept_max(&self, bytes: usize) -> usize {
        bytes.min(self.bytes_max / KEPT_SHARE)
    }

    /// Returns how often a buffer was refused memory.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether there is too little left for another buffer.
    pub fn is_short(&self) -> bool {
        let granted_max = self.granted_max.load(Ordering::Relaxed);
        self.used_bytes().saturating_add(MARGIN_BYTES) > granted_max && !self.recovers(granted_max)
    }

    /// Returns an account for a buffer, which has nothing yet.
    pub fn charge(self: &Arc<Memory>) -> Charge {
        Charge { memory: Some(self.clone()), bytes: 0 }
    }

    fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        let mut max = self.granted_max.load(Ordering::Relaxed);
        loop {
            let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
            match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
                Ok(before) => {
                    if before / LOOK_AHEAD_BYTES != (before + bytes) / LOOK_AHEAD_BYTES {
                        self.look_ahead();
                    }
                    return Ok(());
                }
                Err(_) if self.recovers(max) => max = self.bytes_max,
                Err(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(NoMemory);
                }
            }
        }
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes that the system has refused memory to a buffer.
    #[cold]
    fn run_out(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.tighten();
    }

    /// Asks the system whether it has enough left for what is not accounted for, and grants no more if not.
    #[cold]
    pub fn look_ahead(&self) {
        let has_tightened = self.granted_max.load(Ordering::Relaxed) < self.bytes_max;
        if !has_tightened && !(self.system_has)(HEADROOM_BYTES) {
            self.tighten();
        }
    }

    /// Whether so little is left that nothing new should be begun, because the next allocation that cannot be refused may
    /// fail. It asks the system, which only a process whose memory [is limited](Memory::is_limited) needs.
    #[cold]
    pub fn is_exhausted(&self) -> bool {
        self.look_ahead();
        let granted_max = self.granted_max.load(Ordering::Relaxed);
        granted_max < self.bytes_max && !has_small_pieces(LAST_BYTES) && !self.recovers(granted_max)
    }

    /// Whether the system may refuse memory to the process while the machine has some: `RLIMIT_AS` (setrlimit(2)), or strict
    /// accounting (`vm.overcommit_memory`, proc(5)).
    pub fn is_limited() -> bool {
        static IS_LIMITED: OnceLock<bool> = OnceLock::new();
        *IS_LIMITED.get_or_init(|| {
            let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
            let limits = text("/proc/self/limits");
            let space = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
            let limit = space.and_then(|limits| limits.split_whitespace().next());
            limit.is_some_and(|limit| limit != "unlimited")
                || text("/proc/sys/vm/overcommit_memory").trim() == "2"
        })
    }

    /// Grants no more than there is now, and gives up the reserve, until the system has both the reserve and the headroom.
    fn tighten(&self) {
        self.granted_max.fetch_min(self.used_bytes(), Ordering::Relaxed);
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether the system had no more memory when `granted_max` was set, and has some again.
    #[cold]
    fn recovers(&self, granted_max: usize) -> bool {
        let recovers = granted_max < self.bytes_max && (self.system_has)(RESERVE_BYTES + HEADROOM_BYTES);
        if recovers {
            *self.reserve.lock().unwrap_or_else(PoisonError::into_inner) = reserve();
            self.granted_max.store(self.bytes_max, Ordering::Relaxed);
        }
        recovers
    }
}

/// Whether the system has too little memory for allocations that cannot be refused.
#[cold]
pub fn system_is_short() -> bool {
    !system_has(HEADROOM_BYTES)
}

/// Whether the system has this many bytes. Nothing is written to them, so it costs two system calls and no memory.
fn system_has(bytes: usize) -> bool {
    MmapMut::map_anon(bytes).is_ok()
}

/// Whether there are this many bytes in small pieces, which the allocator may have even if the system has no more.
fn has_small_pieces(bytes: usize) -> bool {
    let piece = |_| {
        let mut piece = Vec::<u8>::new();
        piece.try_reserve_exact(PIECE_BYTES).map(|()| piece)
    };
    let mut pieces = Vec::new();
    let count = bytes / PIECE_BYTES;
    pieces.try_reserve_exact(count).is_ok() && {
        pieces.extend((0..count).map_while(|at| piece(at).ok()));
        pieces.len() == count
    }
}

fn reserve() -> Option<MmapMut> {
    if cfg!(any(test, fuzzing, fleeting_paranoid)) { None } else { MmapMut::map_anon(RESERVE_BYTES).ok() }
}

/// What one buffer has taken of a server's memory. Dropping it gives that back. The default belongs to no server, and is
/// not bounded.
#[derive(Debug, Default)]
pub struct Charge {
    memory: Option<Arc<Memory>>,
    bytes: usize,
}

impl Charge {
    /// Changes what the buffer has to `bytes`.
    ///
    /// # Errors
    /// There is no room for a growth; nothing is changed.
    pub fn set(&mut self, bytes: usize) -> Result<(), NoMemory> {
        if let Some(memory) = &self.memory {
            match bytes.checked_sub(self.bytes) {
                Some(0) => return Ok(()),
                Some(more) => memory.take(more)?,
                None => memory.give(self.bytes - bytes),
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Changes what the buffer has to `bytes`, if it has less.
    ///
    /// # Errors
    /// There is no room for a growth; nothing is changed.
    #[inline]
    pub fn reach(&mut self, bytes: usize) -> Result<(), NoMemory> {
        if bytes > self.bytes { self.set(bytes) } else { Ok(()) }
    }

    /// Returns what the buffer has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it belongs to a server.
    pub fn is_bounded(&self) -> bool {
        self.memory.is_some()
    }

    /// Gives back what the buffer has beyond `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if self.bytes > bytes {
            // Less is always granted.
            let _ = self.set(bytes);
        }
    }

    /// Notes that the system had no memory for the buffer.
    pub fn run_out(&self) {
        if let Some(memory) = &self.memory {
            memory.run_out();
        }
    }

    /// Whether there is too little left for another buffer.
    pub fn is_short(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.is_short())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.as_ref().filter(|_| self.bytes > 0) {
            memory.give(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finding C7.
    #[test]
    fn no_more_than_the_maximum_is_granted_and_all_of_it_comes_back() {
        let memory = Memory::new(1000);
        let (mut one, mut other) = (memory.charge(), memory.charge());
        assert_eq!((one.set(600), other.set(401), other.set(400)), (Ok(()), Err(NoMemory), Ok(())));
        assert_eq!((one.set(601), one.set(100), other.set(900)), (Err(NoMemory), Ok(()), Ok(())));
        assert_eq!((memory.used_bytes(), memory.refused()), (1000, 2));
        drop(one);
        drop(other);
        assert_eq!(memory.used_bytes(), 0);
        assert_eq!(Charge::default().set(usize::MAX), Ok(()));
    }

    /// Finding C7.
    #[test]
    fn after_the_system_has_run_out_no_more_is_granted_until_it_has_some_again() {
        static FREE_BYTES: AtomicUsize = AtomicUsize::new(usize::MAX);
        let mut memory = Memory::new(1 << 30);
        Arc::get_mut(&mut memory).unwrap().system_has = |bytes| bytes <= FREE_BYTES.load(Ordering::Relaxed);
        let (mut one, mut other) = (memory.charge(), memory.charge());
        assert_eq!((one.set(600_000), other.set(400_000)), (Ok(()), Ok(())));
        // The system has refused a buffer, though it has the headroom.
        FREE_BYTES.store(HEADROOM_BYTES, Ordering::Relaxed);
        other.run_out();
        assert!(memory.is_short());
        assert_eq!(other.set(400_001), Err(NoMemory));
        assert_eq!(
            (one.set(200_000), other.set(800_000), other.set(800_001)),
            (Ok(()), Ok(()), Err(NoMemory))
        );
        assert_eq!(memory.refused(), 3);
        // It has enough, if the reserve is taken back.
        FREE_BYTES.store(HEADROOM_BYTES + RESERVE_BYTES, Ordering::Relaxed);
        assert!(!memory.is_short());
        assert_eq!(other.set(900_000), Ok(()));
    }

    /// Finding C7.
    #[test]
    fn buffers_stop_growing_while_the_system_still_has_memory_for_the_rest() {
        static FREE_BYTES: AtomicUsize = AtomicUsize::new(usize::MAX);
        let mut memory = Memory::new(1 << 30);
        Arc::get_mut(&mut memory).unwrap().system_has = |bytes| bytes <= FREE_BYTES.load(Ordering::Relaxed);
        let mut charge = memory.charge();
        FREE_BYTES.store(HEADROOM_BYTES - 1, Ordering::Relaxed);
        // It is asked once a MiB.
        assert_eq!(charge.set(LOOK_AHEAD_BYTES - 1), Ok(()));
        assert_eq!((charge.set(LOOK_AHEAD_BYTES), charge.set(LOOK_AHEAD_BYTES + 1)), (Ok(()), Err(NoMemory)));
        assert_eq!((memory.is_short(), memory.refused()), (true, 1));
        FREE_BYTES.store(usize::MAX, Ordering::Relaxed);
        assert_eq!(charge.set(LOOK_AHEAD_BYTES + 1), Ok(()));
    }
}
