//! The operations on records, in a store.
//!
//! It knows no request and no WebSocket, and of the store only the trait, so the same code serves one process and many.
//! Its invariants: a record is changed only from the state in which it was read (compare and set), and a connection
//! that ends removes only the record that still names it.

use super::holders::Holders;
use super::record::Record;
use crate::hub::{Delivery, RESERVED_TOPICS};
use crate::listing::Page;
use fleeting::{Arena, ConnId, Handle, Message};
use fleeting_store::{Cursor, Store, StoreError};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The prefix of the keys of records. The id follows it.
const KEYS: &str = "clients/";
/// Attempts to change a record that is being changed elsewhere at the same time.
const ATTEMPTS: usize = 16;
/// Records read from the store at a time.
const PAGE_RECORDS: usize = 32;
/// Size of an arena for a page of records.
pub(super) const PAGE_BYTES: usize = 64 << 10;

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordLifetimes {
    /// While no live connection holds the record.
    pub(crate) unheld: Duration,
    /// After the connection that held the record has closed. Zero removes the record at once.
    pub(crate) after_close: Duration,
}

impl Default for RecordLifetimes {
    fn default() -> RecordLifetimes {
        RecordLifetimes { unheld: Duration::from_secs(600), after_close: Duration::ZERO }
    }
}

/// The records of clients.
pub(crate) struct Registry {
    store: Arc<dyn Store>,
    pub(super) handle: Handle,
    lifetimes: RecordLifetimes,
    /// The prefix of the names of this process's connections. No other process uses it, and none will after a restart.
    process_prefix: Box<str>,
    holders: Holders,
    /// The result of the last [`Registry::count`], `None` if it failed or was ended.
    scanned: Mutex<Option<RecordCounts>>,
}

/// Counts of clients, without another look at the store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientCounts {
    /// Connections of this process that hold a record.
    pub(crate) connected: u64,
    /// The result of the last [`Registry::count`].
    pub(crate) scanned: Option<RecordCounts>,
}

/// Counts of all records in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RecordCounts {
    pub(crate) records: u64,
    /// Records without a connection, or whose connection belonged to this process and has ended. Connections of other
    /// processes count as live: if they were not, the record's lease would run out.
    pub(crate) orphaned: u64,
}

/// A record after a change, and its previous holder.
pub(super) type Changed<'a, T> = (&'a [u8], Option<T>);

impl Registry {
    /// Creates the registry of `node` in `store`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        handle: Handle,
        node: &str,
        lifetimes: RecordLifetimes,
    ) -> Registry {
        let process_prefix = format!("{node}.{:x}/", now_ms()).into();
        Registry {
            store,
            handle,
            lifetimes,
            process_prefix,
            holders: Holders::default(),
            scanned: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Stores what a client has sent. A connection that holds the record keeps it. Returns whether the record is new,
    /// and the record.
    pub(super) fn put<'a>(
        &self,
        id: &str,
        sent: &RawValue,
        from: Option<&str>,
        arena: &'a Arena,
    ) -> Result<(bool, &'a [u8]), StoreError> {
        let key = key(id, arena);
        for _ in 0..ATTEMPTS {
            let before = self.store.get(key, arena)?;
            let connection = before.and_then(Record::decode).and_then(|record| record.connection);
            let (id, from) = (id.into(), from.map(Into::into));
            let after = Record { id, sent, at_ms: now_ms(), from, connection }.encode();
            if self.store.compare_and_set(key, before, &after, Some(self.lifetimes.unheld))? {
                let after = arena.alloc_bytes(&after);
                self.publish(id_of(key), Some(after));
                return Ok((before.is_none(), after));
            }
        }
        Err(contended())
    }

    /// Returns the record, as JSON.
    pub(super) fn find<'a>(&self, id: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let found = self.store.get(key(id, arena), arena)?;
        Ok(found.filter(|value| Record::decode(value).is_some()))
    }

    /// Removes the record. Returns whether there was one.
    pub(super) fn remove(&self, id: &str, arena: &Arena) -> Result<bool, StoreError> {
        let removed = self.store.delete(key(id, arena))?;
        if removed {
            self.publish(id, None);
        }
        Ok(removed)
    }

    /// Returns the name that records have for a connection.
    fn connection_name(&self, conn: ConnId) -> Box<str> {
        format!("{}{conn}", self.process_prefix).into()
    }

    /// Makes a connection hold the record. Returns the record, and its previous holder if that is a live connection of
    /// this process; `None` if there is no such record.
    pub(super) fn attach<'a>(
        &self,
        id: &str,
        conn: ConnId,
        arena: &'a Arena,
    ) -> Result<Option<Changed<'a, ConnId>>, StoreError> {
        let name = self.connection_name(conn);
        self.holders.add(&name, conn, id);
        let attached = self.update(id, Some(&name), Some(self.lifetimes.unheld), arena, |_| true);
        if !matches!(attached, Ok(Some(_))) {
            self.holders.remove(&name);
        }
        let Some((record, before)) = attached? else { return Ok(None) };
        self.publish(id, Some(record));
        Ok(Some((record, before.and_then(|before| self.holders.find(&before)))))
    }

    /// Releases the record of a connection that has ended. If another connection has taken the record over, nothing
    /// changes.
    pub(super) fn detach(&self, id: &str, conn: ConnId, arena: &Arena) -> Result<(), StoreError> {
        let name = self.connection_name(conn);
        self.holders.remove(&name);
        let stays = !self.lifetimes.after_close.is_zero();
        let detached =
            self.update(id, None, Some(self.lifetimes.after_close), arena, |held| held == Some(&*name))?;
        if let Some((record, _)) = detached {
            self.publish(id, stays.then_some(record));
        }
        Ok(())
    }

    /// Replaces the connection in a record if `fits` accepts the current one. Returns the record and its previous
    /// holder; `None` if nothing was written.
    fn update<'a>(
        &self,
        id: &str,
        connection: Option<&str>,
        life: Option<Duration>,
        arena: &'a Arena,
        fits: impl Fn(Option<&str>) -> bool,
    ) -> Result<Option<Changed<'a, Box<str>>>, StoreError> {
        let key = key(id, arena);
        for _ in 0..ATTEMPTS {
            let Some(before) = self.store.get(key, arena)? else { return Ok(None) };
            let Some(mut record) = Record::decode(before) else { return Ok(None) };
            if !fits(record.connection.as_deref()) {
                return Ok(None);
            }
            let held = record.connection.take();
            record.connection = connection.map(Into::into);
            let after = record.encode();
            if self.store.compare_and_set(key, Some(before), &after, life)? {
                return Ok(Some((arena.alloc_bytes(&after), held.map(|held| held.as_ref().into()))));
            }
        }
        Err(contended())
    }

    /// Publishes the record to its subscribers, or `null` if it was removed.
    fn publish(&self, id: &str, record: Option<&[u8]>) {
        let data = record.map_or(Ok(RawValue::NULL), serde_json::from_slice::<&RawValue>);
        let Ok(data) = data else { return };
        let topic = format!("{RESERVED_TOPICS}{id}");
        let text = Delivery { topic: &topic, data }.encode();
        // The topic's name may be too long, or a mailbox full. The store is the truth, so the change stands.
        let _ = self.handle.publish(&topic, Message::Text(&text));
    }

    /// Returns at most `limit` records from `from` on, separated by commas.
    pub(super) fn list(&self, from: Cursor, limit: usize, arena: &Arena) -> Result<Page<Cursor>, StoreError> {
        let page = self.store.scan(KEYS, from, PAGE_RECORDS, arena)?;
        let mut listed = Page { json: Vec::new(), entries: 0, next: page.next };
        let records = page.entries.iter().filter(|(_, value)| Record::decode(value).is_some());
        for (key, value) in records.take(limit) {
            if listed.entries > 0 {
                listed.json.push(b',');
            }
            let id = serde_json::to_string(id_of(key)).expect("text is written as JSON");
            listed.json.extend_from_slice(id.as_bytes());
            listed.json.push(b':');
            listed.json.extend_from_slice(value);
            listed.entries += 1;
        }
        Ok(listed)
    }

    /// Returns the counts that are known without asking the store.
    pub(crate) fn counts(&self) -> ClientCounts {
        let scanned = *self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        ClientCounts { connected: self.holders.len() as u64, scanned }
    }

    /// Counts all records in the store. If the store fails, or `go_on` returns false between two pages, the counts are
    /// unknown.
    pub(crate) fn count(&self, go_on: impl Fn() -> bool) {
        let scanned = self.scan_counts(go_on).ok().flatten();
        *self.scanned.lock().unwrap_or_else(PoisonError::into_inner) = scanned;
    }

    fn scan_counts(&self, go_on: impl Fn() -> bool) -> Result<Option<RecordCounts>, StoreError> {
        let (mut scanned, mut arena, mut from) =
            (RecordCounts::default(), Arena::new(PAGE_BYTES), Some(Cursor::START));
        while let Some(cursor) = from {
            // A store may return pages without end.
            if !go_on() {
                return Ok(None);
            }
            let page = self.store.scan(KEYS, cursor, PAGE_RECORDS, &arena)?;
            for record in page.entries.iter().filter_map(|(_, value)| Record::decode(value)) {
                scanned.records += 1;
                let live = record.connection.is_some_and(|name| {
                    !name.starts_with(&*self.process_prefix) || self.holders.find(&name).is_some()
                });
                scanned.orphaned += u64::from(!live);
            }
            from = page.next;
            arena.reset();
        }
        Ok(Some(scanned))
    }

    /// Returns how often to call [`renew`](Registry::renew).
    pub(crate) fn renewal(&self) -> Duration {
        self.lifetimes.unheld / 3
    }

    /// Renews the lease of the records that connections of this process hold, until `go_on` returns false. If the process
    /// dies, nothing removes its records, and their lease runs out.
    pub(crate) fn renew(&self, go_on: impl Fn() -> bool) {
        let mut arena = Arena::new(PAGE_BYTES);
        for id in self.holders.ids() {
            if !go_on() {
                return;
            }
            // A failure is retried twice before the lease runs out.
            let _ = self.store.renew(key(&id, &arena), Some(self.lifetimes.unheld));
            arena.reset();
        }
    }
}

fn key<'a>(id: &str, arena: &'a Arena) -> &'a str {
    arena.format(format_args!("{KEYS}{id}"))
}

fn id_of(key: &str) -> &str {
    key.strip_prefix(KEYS).unwrap_or(key)
}

fn contended() -> StoreError {
    StoreError::Unavailable("too many changes to the same record at the same time".into())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
