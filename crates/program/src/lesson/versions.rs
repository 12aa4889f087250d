//! A version as the program serves it, and which client each WebSocket belongs to.
//!
//! This file knows no request and no room. Its invariant: a version has at most [`CLIENTS_MAX`] records,
//! or a few more if workers store at the same moment, and keeps nothing of a connection after its end.

use super::application::{Application, Record};
use super::arena::Arena;
use super::fiber::Fiber;
use super::fiber_copy::FiberCopy;
use super::fiber_mutex::FiberMutex;
use super::framework::Framework;
use super::mode::Mode;
use fleeting::ConnId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum number of records of a version. Further clients are refused until some are deleted.
pub(super) const CLIENTS_MAX: usize = 64;

/// A record as a client sees it, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordView {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) stored_key: String,
    pub(super) stored_value: String,
    /// Whether key and value still read as they were stored.
    pub(super) intact: bool,
    /// Whether a lookup of the stored key finds a record.
    pub(super) found: bool,
    /// The id of the client whose WebSocket the record's connection leads to now, or `None` if the record has no
    /// connection or a closed one.
    pub(super) connection: Option<String>,
}

/// One version and its open WebSockets.
pub(super) struct Version {
    pub(super) app: Box<dyn Application>,
    /// The client's id for each open WebSocket.
    clients: Mutex<HashMap<ConnId, Box<str>>>,
}

impl Version {
    pub(super) fn new(mode: Mode) -> Version {
        let app: Box<dyn Application> = match mode {
            Mode::Fiber => Box::new(Framework::<Fiber>::new()),
            Mode::FiberMutex => Box::new(Framework::<FiberMutex>::new()),
            Mode::FiberCopy => Box::new(Framework::<FiberCopy>::new()),
            Mode::Arena => Box::new(Arena::default()),
        };
        Version { app, clients: Mutex::default() }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ConnId, Box<str>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a client. Returns false if the version already has [`CLIENTS_MAX`] records.
    pub(super) fn post(&self, id: &str) -> bool {
        let has_room = self.app.records().len() < CLIENTS_MAX;
        if has_room {
            self.app.post(id);
        }
        has_room
    }

    pub(super) fn open(&self, id: &str, conn: ConnId) {
        self.clients().insert(conn, id.into());
        self.app.open(id, conn);
    }

    pub(super) fn close(&self, conn: ConnId) {
        self.app.close(conn);
        self.clients().remove(&conn);
    }

    /// Returns all records as clients see them.
    pub(super) fn records(&self) -> Vec<RecordView> {
        let records = self.app.records();
        let clients = self.clients();
        let view = |record: Record| RecordView {
            intact: record.key == record.stored_key && record.value == record.stored_value,
            connection: record.conn.and_then(|conn| clients.get(&conn)).map(|id| id.to_string()),
            key: record.key,
            value: record.value,
            stored_key: record.stored_key,
            stored_value: record.stored_value,
            found: record.found,
        };
        records.into_iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_refuses_clients_beyond_its_limit() {
        for mode in Mode::ALL {
            let version = Version::new(mode);
            let stored = (0..CLIENTS_MAX + 5).filter(|n| version.post(&format!("client-{n:02}"))).count();
            assert_eq!((stored, version.records().len()), (CLIENTS_MAX, CLIENTS_MAX), "{mode}");
            version.app.clear();
            assert_eq!(version.records(), [], "{mode}");
            assert!(version.post("again"), "{mode}");
        }
    }
}
