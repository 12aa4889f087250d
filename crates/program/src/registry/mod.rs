//! `/clients`: the article's global map, in a store. Who a client is, what it sent, when, from where, and its
//! connection.
//!
//! [`Registry`] is what is done with records, [`handlers`] and [`socket`] who asks for it. It knows a store by
//! its trait only, so that the same code serves one process and many. Its invariants: a record is changed only
//! from the state in which it was read (compare and set); and whoever ends takes nothing away but its own, which
//! the name of its connection says.

mod handlers;
mod listing;
mod record;
mod socket;
mod ties;
#[cfg(test)]
mod waiting;

pub(super) use handlers::routes;

use super::delivery::Delivery;
use fleeting::{Arena, ConnId, Handle, Message};
use fleeting_store::{Cursor, Store, StoreError};
use record::Record;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ties::Ties;

/// What the topics of records begin with; the rest is the id.
pub(super) const TOPICS: &str = "clients.";
/// Why nobody else publishes there.
pub(super) const RESERVED: &str = "What is published under `clients.` is the registry's own.";
/// What their keys begin with, likewise.
const KEYS: &str = "clients/";
/// Times that a record is read again because somebody else has changed it meanwhile.
const ATTEMPTS: usize = 16;
/// Records that are looked at together.
const PAGE_RECORDS: usize = 32;
/// Memory kept for looking at them.
const PAGE_BYTES: usize = 64 << 10;

/// How long records are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lives {
    /// One that no live connection holds.
    pub(super) life: Duration,
    /// One whose connection has ended; zero: it goes with it.
    pub(super) on_close: Duration,
}

impl Default for Lives {
    fn default() -> Lives {
        Lives { life: Duration::from_secs(600), on_close: Duration::ZERO }
    }
}

/// The records of clients.
pub(super) struct Registry {
    store: Arc<dyn Store>,
    handle: Handle,
    lives: Lives,
    /// What the names of this process's connections begin with: no other process has it, nor the next one.
    here: Box<str>,
    ties: Ties,
    seen: Mutex<Option<Seen>>,
}

/// How many records there are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Census {
    /// Connections that hold one here.
    pub(super) connected: u64,
    /// What [`Registry::count`] came to last.
    pub(super) seen: Option<Seen>,
}

/// What a look at all records has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) records: u64,
    /// Without a connection, or with one of this process that has ended. Those of other processes count as
    /// live: their lease tells.
    pub(super) orphaned: u64,
}

/// A record as it is now, and who has held it until now.
type Changed<'a, T> = (&'a [u8], Option<T>);

/// Entries of the registry, as a piece of JSON.
struct Listed {
    json: Vec<u8>,
    records: usize,
    next: Option<Cursor>,
}

impl Registry {
    /// Records in `store`, for the node of this name.
    pub(super) fn new(store: Arc<dyn Store>, handle: Handle, node: &str, lives: Lives) -> Registry {
        let here = format!("{node}.{:x}/", now_ms()).into();
        Registry { store, handle, lives, here, ties: Ties::default(), seen: Mutex::default() }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Stores what a client has sent; a connection that holds its record goes on holding it. Tells whether the
    /// record is new, and the record.
    fn put<'a>(
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
            if self.store.compare_and_set(key, before, &after, Some(self.lives.life))? {
                let after = arena.alloc_bytes(&after);
                self.publish(id_of(key), Some(after));
                return Ok((before.is_none(), after));
            }
        }
        Err(contended())
    }

    /// The record, as JSON.
    fn find<'a>(&self, id: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let found = self.store.get(key(id, arena), arena)?;
        Ok(found.filter(|value| Record::decode(value).is_some()))
    }

    /// Takes the record out. Whether there was one.
    fn remove(&self, id: &str, arena: &Arena) -> Result<bool, StoreError> {
        let removed = self.store.delete(key(id, arena))?;
        if removed {
            self.publish(id, None);
        }
        Ok(removed)
    }

    /// The name that records know a connection under.
    fn name_of(&self, conn: ConnId) -> Box<str> {
        format!("{}{conn}", self.here).into()
    }

    /// Has a connection hold the record, and tells what that is now; `None` if there is none. Tells also who has
    /// held it until now, if that is a connection of this process.
    fn tie<'a>(
        &self,
        id: &str,
        conn: ConnId,
        arena: &'a Arena,
    ) -> Result<Option<Changed<'a, ConnId>>, StoreError> {
        let name = self.name_of(conn);
        self.ties.add(&name, conn, id);
        let tied = self.change(id, Some(&name), Some(self.lives.life), arena, |_| true);
        if !matches!(tied, Ok(Some(_))) {
            self.ties.remove(&name);
        }
        let Some((record, before)) = tied? else { return Ok(None) };
        self.publish(id, Some(record));
        Ok(Some((record, before.and_then(|before| self.ties.find(&before)))))
    }

    /// A connection that has held the record has ended. Whoever has taken it over keeps it.
    fn untie(&self, id: &str, conn: ConnId, arena: &Arena) -> Result<(), StoreError> {
        let name = self.name_of(conn);
        self.ties.remove(&name);
        let stays = !self.lives.on_close.is_zero();
        let untied = self.change(id, None, Some(self.lives.on_close), arena, |held| held == Some(&*name))?;
        if let Some((record, _)) = untied {
            self.publish(id, stays.then_some(record));
        }
        Ok(())
    }

    /// Writes a record anew with another connection, if `fits` says so of the one that holds it. Tells the record,
    /// and who has held it; `None` if there was nothing to be written.
    fn change<'a>(
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
        let topic = format!("{TOPICS}{id}");
        let text = Delivery { topic: &topic, data }.encode();
        // A limit may forbid the name, and a worker may have no room for it: the store is what counts.
        let _ = self.handle.publish(&topic, Message::Text(&text));
    }

    /// Some of the records, from `from` on, at most `most`, with a comma between two of them.
    fn list(&self, from: Cursor, most: usize, arena: &Arena) -> Result<Listed, StoreError> {
        let page = self.store.scan(KEYS, from, PAGE_RECORDS, arena)?;
        let mut listed = Listed { json: Vec::new(), records: 0, next: page.next };
        let ours = page.entries.iter().filter(|(_, value)| Record::decode(value).is_some());
        for (key, value) in ours.take(most) {
            if listed.records > 0 {
                listed.json.push(b',');
            }
            let id = serde_json::to_string(id_of(key)).expect("text is written as JSON");
            listed.json.extend_from_slice(id.as_bytes());
            listed.json.push(b':');
            listed.json.extend_from_slice(value);
            listed.records += 1;
        }
        Ok(listed)
    }

    /// What is known of them without a look at the store.
    pub(super) fn census(&self) -> Census {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Census { connected: self.ties.len() as u64, seen }
    }

    /// Looks at all records.
    pub(super) fn count(&self) {
        let seen = self.counted().ok();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn counted(&self) -> Result<Seen, StoreError> {
        let (mut seen, mut arena, mut from) = (Seen::default(), Arena::new(PAGE_BYTES), Some(Cursor::START));
        while let Some(cursor) = from {
            let page = self.store.scan(KEYS, cursor, PAGE_RECORDS, &arena)?;
            for record in page.entries.iter().filter_map(|(_, value)| Record::decode(value)) {
                seen.records += 1;
                let live = record
                    .connection
                    .is_some_and(|name| !name.starts_with(&*self.here) || self.ties.find(&name).is_some());
                seen.orphaned += u64::from(!live);
            }
            from = page.next;
            arena.reset();
        }
        Ok(seen)
    }

    /// How often [`renew`](Registry::renew) is to be called.
    pub(super) fn renewal(&self) -> Duration {
        self.lives.life / 3
    }

    /// Gives a new lease to the records that connections of this process hold. Without one they go: nobody is
    /// there any more to take them out.
    pub(super) fn renew(&self) {
        let mut arena = Arena::new(PAGE_BYTES);
        for id in self.ties.ids() {
            // What fails now is tried twice more before the lease is over.
            let _ = self.store.renew(key(&id, &arena), Some(self.lives.life));
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
