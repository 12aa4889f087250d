//! `fiber+mutex`: the same with a lock around the map, which a handler holds while it uses the map.
//!
//! Reading the next request into the buffer does not take the lock.

use super::buffer::Ctx;
use super::framework::Handlers;
use super::go_map::GoMap;
use super::pool::Slot;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct FiberMutex {
    xpto: Mutex<GoMap>,
}

impl FiberMutex {
    fn lock(&self) -> MutexGuard<'_, GoMap> {
        self.xpto.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handlers for FiberMutex {
    fn new(xpto: GoMap) -> FiberMutex {
        FiberMutex { xpto: Mutex::new(xpto) }
    }

    // shown from here
    fn post(&self, c: &Ctx) {
        let id = c.get("X-Id");
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
