//! `fiber+copy`: with the lock, and with `utils.CopyString` at the one place where a string is stored.
//!
//! The record of a connection is a pointer to an object that Fiber reuses. It is not a string, so there is nothing to
//! copy.

use super::buffer::Ctx;
use super::framework::Handlers;
use super::go_map::GoMap;
use super::pool::Slot;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct FiberCopy {
    xpto: Mutex<GoMap>,
}

impl FiberCopy {
    fn lock(&self) -> MutexGuard<'_, GoMap> {
        self.xpto.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handlers for FiberCopy {
    fn new(xpto: GoMap) -> FiberCopy {
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
