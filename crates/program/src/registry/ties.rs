//! Which connections of this process hold which record.
//!
//! It knows no store. Its invariant: a name is here from before its record says so until its connection has ended.

use fleeting::ConnId;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections by the names that records know them under.
#[derive(Debug, Default)]
pub(super) struct Ties(Mutex<HashMap<Box<str>, Tied>>);

#[derive(Debug)]
struct Tied {
    conn: ConnId,
    /// The record's.
    id: Box<str>,
}

impl Ties {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Tied>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, name: &str, conn: ConnId, id: &str) {
        self.lock().insert(name.into(), Tied { conn, id: id.into() });
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// The connection of this name, if it is one of this process that lives.
    pub(super) fn find(&self, name: &str) -> Option<ConnId> {
        self.lock().get(name).map(|tied| tied.conn)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The records that are held.
    pub(super) fn ids(&self) -> HashSet<Box<str>> {
        self.lock().values().map(|tied| tied.id.clone()).collect()
    }
}
