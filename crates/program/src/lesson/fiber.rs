//! `fiber`: the article's application as it was, `Xpto[id] = id`.
//!
//! Nothing orders what is done with the map, and nothing is copied. What is between the marks is what
//! `fleeting lesson --explain` shows; its lines are short because it shows two versions side by side.

use super::framework::Handlers;
use super::map::Map;
use super::memory::Ctx;
use super::pool::Slot;

pub(super) struct Fiber {
    xpto: Map,
}

impl Handlers for Fiber {
    fn new(xpto: Map) -> Fiber {
        Fiber { xpto }
    }

    // shown from here
    fn post(&self, c: &Ctx) {
        let id = c.get("X-Id");
        self.xpto.set(id.clone(), id);
    }

    fn open(&self, id: &str, conn: Slot) {
        self.xpto.attach(id, conn);
    }

    fn delete(&self, c: &Ctx) -> bool {
        let id = c.params("id");
        self.xpto.remove(id)
    }
    // to here
}
