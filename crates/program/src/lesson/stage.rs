//! What is served of the lesson: the four versions, and who is connected to each.
//!
//! Shared by all workers. It knows no request. Its invariant: a version has [`CLIENTS_MAX`] records at most, or
//! a few more if workers store at the same moment, and remembers of a connection nothing beyond its end.

use super::Mode;
use super::arena::Arena;
use super::fiber::Fiber;
use super::fiber_copy::FiberCopy;
use super::fiber_mutex::FiberMutex;
use super::framework::Framework;
use fleeting::ConnId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Records that a version holds; who comes then is refused until some are gone.
pub(super) const CLIENTS_MAX: usize = 64;

/// A version of the application, as the routes use it.
pub(super) trait Application: Send + Sync {
    /// Stores a client under its id.
    fn post(&self, id: &str);
    /// Takes a client's record out. Tells whether there was one.
    fn delete(&self, id: &str) -> bool;
    /// A client's WebSocket has opened: its record, if there is one, remembers the connection.
    fn open(&self, id: &str, conn: ConnId);
    /// It has closed.
    fn close(&self, conn: ConnId);
    /// Whether there is a record of this id.
    fn has(&self, id: &str) -> bool;
    /// Takes all records out.
    fn clear(&self);
    /// The whole map, as it is now.
    fn records(&self) -> Vec<Record>;
}

/// A record as it is now.
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: String,
    /// What the key was when it was stored.
    pub(super) stored_key: String,
    pub(super) stored_value: String,
    /// Whether a lookup of the key that was stored comes to a record.
    pub(super) found: bool,
    /// Where the record's connection leads to.
    pub(super) conn: Option<ConnId>,
}

/// A record as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) stored_key: String,
    pub(super) stored_value: String,
    /// Whether key and value are what was stored.
    pub(super) intact: bool,
    pub(super) found: bool,
    /// Whose WebSocket the record's connection leads to; nobody's if it has none, or one that is closed.
    pub(super) connection: Option<String>,
}

/// The four versions. Shared by all workers.
pub(crate) struct Lesson {
    stages: [Stage; Mode::ALL.len()],
}

/// One of them, and who is connected to it.
pub(super) struct Stage {
    pub(super) app: Box<dyn Application>,
    live: Mutex<HashMap<ConnId, Box<str>>>,
}

impl Lesson {
    /// With nobody in it.
    pub(crate) fn new() -> Lesson {
        Lesson { stages: Mode::ALL.map(Stage::new) }
    }

    pub(super) fn stage(&self, mode: Mode) -> &Stage {
        &self.stages[mode as usize]
    }
}

impl Stage {
    fn new(mode: Mode) -> Stage {
        let app: Box<dyn Application> = match mode {
            Mode::Fiber => Box::new(Framework::<Fiber>::new()),
            Mode::FiberMutex => Box::new(Framework::<FiberMutex>::new()),
            Mode::FiberCopy => Box::new(Framework::<FiberCopy>::new()),
            Mode::Arena => Box::new(Arena::default()),
        };
        Stage { app, live: Mutex::default() }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<ConnId, Box<str>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a client, unless there is no room.
    pub(super) fn post(&self, id: &str) -> bool {
        let room = self.app.records().len() < CLIENTS_MAX;
        if room {
            self.app.post(id);
        }
        room
    }

    pub(super) fn open(&self, id: &str, conn: ConnId) {
        self.live().insert(conn, id.into());
        self.app.open(id, conn);
    }

    pub(super) fn close(&self, conn: ConnId) {
        self.app.close(conn);
        self.live().remove(&conn);
    }

    /// The whole map, as it is told.
    pub(super) fn told(&self) -> Vec<Told> {
        let records = self.app.records();
        let live = self.live();
        let told = |record: Record| Told {
            intact: record.key == record.stored_key && record.value == record.stored_value,
            connection: record.conn.and_then(|conn| live.get(&conn)).map(|id| id.to_string()),
            key: record.key,
            value: record.value,
            stored_key: record.stored_key,
            stored_value: record.stored_value,
            found: record.found,
        };
        records.into_iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_bounded() {
        let lesson = Lesson::new();
        for mode in Mode::ALL {
            let stage = lesson.stage(mode);
            let taken = (0..CLIENTS_MAX + 5).filter(|n| stage.post(&format!("client-{n:02}"))).count();
            assert_eq!((taken, stage.told().len()), (CLIENTS_MAX, CLIENTS_MAX), "{mode}");
            stage.app.clear();
            assert_eq!(stage.told(), [], "{mode}");
            assert!(stage.post("again"), "{mode}");
        }
    }
}
