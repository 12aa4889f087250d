//! Keeps a thread on one processor.
//!
//! It knows no worker. Its invariant: a thread is only kept on a processor that the process may use.

use std::io;

/// The processors that the calling thread may use.
#[derive(Debug, Clone)]
pub(super) struct Processors(Vec<usize>);

#[cfg(target_os = "linux")]
impl Processors {
    pub(super) fn usable() -> io::Result<Processors> {
        use rustix::thread::{CpuSet, sched_getaffinity};
        let set = sched_getaffinity(None)?;
        Ok(Processors((0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect()))
    }

    /// Keeps the calling thread on one of them, which `index` chooses in turn.
    pub(super) fn pin(&self, index: usize) -> io::Result<()> {
        use rustix::thread::{CpuSet, sched_setaffinity};
        let mut set = CpuSet::new();
        // There is at least the processor that this runs on.
        set.set(self.0[index % self.0.len()]);
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
impl Processors {
    pub(super) fn usable() -> io::Result<Processors> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn pin(&self, _index: usize) -> io::Result<()> {
        debug_assert!(self.0.is_empty());
        Err(io::ErrorKind::Unsupported.into())
    }
}
