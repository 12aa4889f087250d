//! `arena`: the application written for this server.
//!
//! An id borrows from the request, so it enters a map only as a copy made with [`keep`](Keep::keep). The compiler
//! rejects a map that workers share without a lock. A connection is a [`ConnId`], which is never reused. The code
//! between the marks is what `fleeting lesson --explain` shows.

use super::application::{Application, Record};
use fleeting::{ConnId, Keep};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Arena {
    clients: Mutex<BTreeMap<Box<str>, Client>>,
}

struct Client {
    value: Box<str>,
    conn: Option<ConnId>,
    /// The value at the time it was stored. Only the lesson reads it.
    stored: Box<str>,
}

impl Client {
    fn new(value: Box<str>) -> Client {
        Client { stored: value.clone(), value, conn: None }
    }
}

impl Arena {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Application for Arena {
    // shown from here
    fn post(&self, id: &str) {
        let c = Client::new(id.keep());
        let mut map = self.lock();
        map.insert(id.keep(), c);
    }

    fn open(&self, id: &str, ws: ConnId) {
        let mut map = self.lock();
        if let Some(c) = map.get_mut(id) {
            c.conn = Some(ws);
        }
    }

    fn delete(&self, id: &str) -> bool {
        let mut map = self.lock();
        map.remove(id).is_some()
    }
    // to here

    fn close(&self, _conn: ConnId) {}

    fn has(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn records(&self) -> Vec<Record> {
        let clients = self.lock();
        let records = clients.iter().map(|(key, client)| Record {
            key: key.to_string(),
            value: client.value.to_string(),
            stored_key: client.stored.to_string(),
            stored_value: client.stored.to_string(),
            found: clients.contains_key(&client.stored),
            conn: client.conn,
        });
        records.collect()
    }
}
