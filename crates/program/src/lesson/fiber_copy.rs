//! `fiber+copy`: with the lock, and with `utils.CopyString` at the one place where a string is kept.
//!
//! What is kept of a connection is a pointer to an object that is used again. That is no string, and there is
//! nothing to copy.

use super::framework::Handlers;
use super::map::Map;
use super::memory::Ctx;
use super::pool::Slot;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct FiberCopy {
    xpto: Mutex<Map>,
}

impl FiberCopy {
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.xpto.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handlers for FiberCopy {
    fn new(xpto: Map) -> FiberCopy {
        FiberCopy { xpto: Mutex::new(xpto) }
    }

    // shown from here
    fn post(&self, c: &Ctx) {
        let id = c.get("X-Id");
        let id = c.copy_string(id);
        let xpto = self.lock();
        xpto.set(id.clone(), id);
    }

    fn open(&self, id: &str, conn: Slot) {
        let xpto = self.lock();
        xpto.attach(id, conn);
    }

    fn delete(&self, c: &Ctx) -> bool {
        let id = c.params("id");
        let xpto = self.lock();
        xpto.remove(id)
    }
    // to here
}
