//! `/clients`: the article's global map, in a store. Who a client is, what it sent, when, from where, and its
//! connection.
//!
//! [`Registry`] is what is done with records, [`handlers`] and [`socket`] who asks for it. It knows a store by
//! its trait only, so that the same code serves one process and many. Its invariants: a record is changed only
//! from the state in which it was read (compare and set); and whoever ends takes nothing away but its own, which
//! the name of its connection says.

use super::holders::Holders;
use super::record::Record;
use crate::hub::{Delivery, RESERVED_TOPICS};
use fleeting::{Arena, ConnId, Handle, Message};
use fleeting_store::{Cursor, Store, StoreError};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the keys of records begin with; the rest is the id.
const KEYS: &str = "clients/";
/// Times that a record is read again because somebody else has changed it meanwhile.
const ATTEMPTS: usize = 16;
/// Records that are looked at together.
const PAGE_RECORDS: usize = 32;
/// Memory kept for looking at them.
pub(super) const PAGE_BYTES: usize = 64 << 10;

/// How long records are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordLifetimes {
    /// One that no live connection holds.
    pub(crate) unheld: Duration,
    /// One whose connection has ended; zero: it goes with it.
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
    /// What the names of this process's connections begin with: no other process has it, nor the next one.
    process_prefix: Box<str>,
    holders: Holders,
    scanned: Mutex<Option<RecordCounts>>,
}

/// How many records there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientCounts {
    /// Connections that hold one process_prefix.
    pub(crate) connected: u64,
    /// What [`Registry::count`] came to last.
    pub(crate) scanned: Option<RecordCounts>,
}

/// What a look at all records has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RecordCounts {
    pub(crate) records: u64,
    /// Without a connection, or with one of this process that has ended. Those of other processes count as
    /// live: their lease tells.
    pub(crate) orphaned: u64,
}

/// A record as it is now, and who has held it until now.
pub(super) type Changed<'a, T> = (&'a [u8], Option<T>);

/// Entries of the registry, as a piece of JSON.
pub(super) struct RecordPage {
    pub(super) json: Vec<u8>,
    pub(super) records: usize,
    pub(super) next: Option<Cursor>,
}

impl Registry {
    /// Records in `store`, for the node of this name.
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

    /// Stores what a client has sent; a connection that holds its record goes on holding it. Tells whether the
    /// record is new, and the record.
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

    /// The record, as JSON.
    pub(super) fn find<'a>(&self, id: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let found = self.store.get(key(id, arena), arena)?;
        Ok(found.filter(|value| Record::decode(value).is_some()))
    }

    /// Takes the record out. Whether there was one.
    pub(super) fn remove(&self, id: &str, arena: &Arena) -> Result<bool, StoreError> {
        let removed = self.store.delete(key(id, arena))?;
        if removed {
            self.publish(id, None);
        }
        Ok(removed)
    }

    /// The name that records know a connection under.
    fn connection_name(&self, conn: ConnId) -> Box<str> {
        format!("{}{conn}", self.process_prefix).into()
    }

    /// Has a connection hold the record, and tells what that is now; `None` if there is none. Tells also who has
    /// held it until now, if that is a connection of this process.
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

    /// A connection that has held the record has ended. Whoever has taken it over keeps it.
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

    /// Writes a record anew with another connection, if `fits` says so of the one that holds it. Tells the record,
    /// and who has held it; `None` if there was nothing to be written.
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

    /// Tells whoever has subscribed what the record is now; `None`: it is gone.
    fn publish(&self, id: &str, record: Option<&[u8]>) {
        let data = record.map_or(Ok(RawValue::NULL), serde_json::from_slice::<&RawValue>);
        let Ok(data) = data else { return };
        let topic = format!("{RESERVED_TOPICS}{id}");
        let text = Delivery { topic: &topic, data }.encode();
        // A limit may forbid the name, and a worker may have no room for it: the store is what counts.
        let _ = self.handle.publish(&topic, Message::Text(&text));
    }

    /// Some of the records, from `from` on, at limit `limit`, with a comma between two of them.
    pub(super) fn list(&self, from: Cursor, limit: usize, arena: &Arena) -> Result<RecordPage, StoreError> {
        let page = self.store.scan(KEYS, from, PAGE_RECORDS, arena)?;
        let mut records = RecordPage { json: Vec::new(), records: 0, next: page.next };
        let ours = page.entries.iter().filter(|(_, value)| Record::decode(value).is_some());
        for (key, value) in ours.take(limit) {
            if records.records > 0 {
                records.json.push(b',');
            }
            let id = serde_json::to_string(id_of(key)).expect("text is written as JSON");
            records.json.extend_from_slice(id.as_bytes());
            records.json.push(b':');
            records.json.extend_from_slice(value);
            records.records += 1;
        }
        Ok(records)
    }

    /// What is known of them without a look at the store.
    pub(crate) fn counts(&self) -> ClientCounts {
        let scanned = *self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        ClientCounts { connected: self.holders.len() as u64, scanned }
    }

    /// Looks at all records.
    pub(crate) fn count(&self) {
        let scanned = self.scan_counts().ok();
        *self.scanned.lock().unwrap_or_else(PoisonError::into_inner) = scanned;
    }

    fn scan_counts(&self) -> Result<RecordCounts, StoreError> {
        let (mut scanned, mut arena, mut from) =
            (RecordCounts::default(), Arena::new(PAGE_BYTES), Some(Cursor::START));
        while let Some(cursor) = from {
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
        Ok(scanned)
    }

    /// How often [`renew`](Registry::renew) is to be called.
    pub(crate) fn renewal(&self) -> Duration {
        self.lifetimes.unheld / 3
    }

    /// Gives a new lease to the records that connections of this process hold. Without one they go: nobody is
    /// there any more to take them out.
    pub(crate) fn renew(&self) {
        let mut arena = Arena::new(PAGE_BYTES);
        for id in self.holders.ids() {
            // What fails now is tried twice more before the lease is over.
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
    StoreError::Unavailable("others change the same record all the time".into())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
