//! When the memory that a worker's pool no longer needs goes back to the system.
//!
//! It knows no inbox. Its invariant: a pool that is large is looked at within two seconds, even if nothing else happens.

use super::driver::Engine;
use crate::transport::Stream;

/// Milliseconds between two looks at a large pool.
const PERIOD_MS: u64 = 1000;

impl<S: Stream> Engine<S> {
    /// Gives memory back to the system that was not needed for a while.
    #[inline]
    pub(super) fn shed_memory(&mut self) {
        if self.shed_at.is_some() || self.context.scratch.pool.is_large() {
            self.shed_now();
        }
    }

    #[inline(never)]
    fn shed_now(&mut self) {
        let pool = &self.context.scratch.pool;
        if self.shed_at.is_some_and(|at| self.schedule.has_come(at)) {
            pool.shed();
            self.shed_at = None;
        }
        if self.shed_at.is_none() && pool.is_large() {
            self.shed_at = Some(self.schedule.now_ms() + PERIOD_MS);
        }
    }
}
