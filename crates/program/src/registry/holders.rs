//! The connections of this process that hold a record.
//!
//! It knows no store. Its invariant: a connection is listed before its record names it and until the connection ends.

use fleeting::ConnId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The holding connections, by the name that their record has for them.
#[derive(Debug, Default)]
pub(super) struct Holders(Mutex<HashMap<Box<str>, Holder>>);

#[derive(Debug)]
struct Holder {
    conn: ConnId,
    /// The id of the record.
    id: Box<str>,
}

impl Holders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, name: &str, conn: ConnId, id: &str) {
        self.lock().insert(name.into(), Holder { conn, id: id.into() });
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Returns the live connection of this process with this name.
    pub(super) fn find(&self, name: &str) -> Option<ConnId> {
        self.lock().get(name).map(|holder| holder.conn)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns the ids of the held records.
    pub(super) fn ids(&self) -> HashSet<Box<str>> {
        self.lock().values().map(|holder| holder.id.clone()).collect()
    }
}
