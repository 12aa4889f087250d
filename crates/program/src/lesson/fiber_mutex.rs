//! `fiber+mutex`: the same with a lock around the map, held for as long as a handler needs the map.
//!
//! Whoever reads the next request into the buffer does not take it.

use super::framework::Handlers;
use super::map::Map;
use super::memory::Ctx;
use super::pool::Slot;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct FiberMutex {
    xpto: Mutex<Map>,
}

impl FiberMutex {
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.xpto.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handlers for FiberMutex {
    fn new(xpto: Map) -> FiberMutex {
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
