//! `arena`: the application as it is written here.
//!
//! An id is a piece of the request, and no map takes it without [`keep`](Keep::keep). A map that two workers
//! share has a lock, or it is not shared. A connection is a [`ConnId`], which is never given twice.

use super::stage::{Application, Record};
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
    /// What the value was when it was stored; the lesson alone looks at it.
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

    fn open(&self, id: &str, of: ConnId) {
        let mut map = self.lock();
        if let Some(c) = map.get_mut(id) {
            c.conn = Some(of);
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
