//! `fiber`: the application without protection, as docs/lesson.md first shows it: `Xpto[id] = id`.
//!
//! It copies no string and takes no lock. The code between the marks is what `fleeting lesson --explain` shows. Its
//! lines are short because two versions are shown side by side.

use super::buffer::Ctx;
use super::framework::Handlers;
use super::go_map::GoMap;
use super::pool::Slot;

pub(super) struct Fiber {
    xpto: GoMap,
}

impl Handlers for Fiber {
    fn new(xpto: GoMap) -> Fiber {
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
