//! Go's map, as far as the lesson needs it: a key is hashed when it is put in, and compared when it is looked for.
//!
//! It knows no request. The hash says in which bucket an entry lies, and a lookup sees nothing but the bucket
//! of the name it looks for: here an entry keeps its hash, and is passed over if that is another one. What
//! is compared then is what the key reads as at that moment. So an entry whose key has changed is found by
//! nobody: the old name leads to it, but is not what it reads as; the new name leads elsewhere.
//!
//! As in Go it is a reference: a clone is the same map. Rust lets nobody share it without a lock, so each step
//! takes one; what orders the steps of one request among those of others is the application's.

use super::memory::{Buffer, Text};
use super::pool::Slot;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `map[string]Client`.
#[derive(Clone)]
pub(super) struct Map(Arc<Inner>);

struct Inner {
    buffer: Arc<Buffer>,
    hasher: RandomState,
    /// In the order in which they were put in.
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    /// Of what the key read as when it was put in; never made again.
    hash: u64,
    key: Text,
    value: Text,
    conn: Option<Slot>,
    /// What key and value read as when they were put in. For the lesson alone: no lookup sees it.
    stored: Stored,
}

/// What was put in, as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: Box<str>,
    pub(super) value: Box<str>,
}

/// What there is to see of an entry now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) conn: Option<Slot>,
    pub(super) stored: Stored,
}

impl Map {
    pub(super) fn new(buffer: &Arc<Buffer>) -> Map {
        let (hasher, entries) = (RandomState::new(), Mutex::default());
        Map(Arc::new(Inner { buffer: buffer.clone(), hasher, entries }))
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the entry is that a lookup of `name` comes to.
    fn position(&self, entries: &[Entry], name: &str) -> Option<usize> {
        let hash = self.0.hasher.hash_one(name);
        entries.iter().position(|entry| entry.hash == hash && entry.key.read(&self.0.buffer) == name)
    }

    /// `m[key] = Client{value: value}`
    pub(super) fn set(&self, key: Text, value: Text) {
        let name = key.read(&self.0.buffer);
        let stored = Stored { key: name.as_str().into(), value: value.read(&self.0.buffer).into_boxed_str() };
        let mut entries = self.entries();
        match self.position(&entries, &name) {
            Some(at) => {
                let entry = &mut entries[at];
                (entry.key, entry.value, entry.conn, entry.stored) = (key, value, None, stored);
            }
            None => {
                let hash = self.0.hasher.hash_one(name.as_str());
                entries.push(Entry { hash, key, value, conn: None, stored });
            }
        }
    }

    /// `c, ok := m[name]; if ok { c.conn = conn }`
    pub(super) fn attach(&self, name: &str, conn: Slot) {
        let mut entries = self.entries();
        if let Some(at) = self.position(&entries, name) {
            entries[at].conn = Some(conn);
        }
    }

    /// `_, ok := m[name]`
    pub(super) fn has(&self, name: &str) -> bool {
        self.position(&self.entries(), name).is_some()
    }

    /// `delete(m, key)`; tells whether there was anything.
    pub(super) fn remove(&self, key: Text) -> bool {
        let name = key.read(&self.0.buffer);
        let mut entries = self.entries();
        self.position(&entries, &name).map(|at| entries.remove(at)).is_some()
    }

    /// `clear(m)`, which needs no name.
    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    /// `for key, value := range m`, which needs none either.
    pub(super) fn range(&self) -> Vec<Seen> {
        let seen = |entry: &Entry| Seen {
            key: entry.key.read(&self.0.buffer),
            value: entry.value.read(&self.0.buffer),
            conn: entry.conn,
            stored: entry.stored.clone(),
        };
        self.entries().iter().map(seen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Ctx;
    use super::*;

    fn keys(map: &Map) -> Vec<String> {
        map.range().into_iter().map(|seen| seen.key).collect()
    }

    #[test]
    fn copies_are_found_replaced_and_removed() {
        let map = Map::new(&Arc::new(Buffer::new()));
        let text = |text: &str| Text::Copied(text.into());
        map.set(text("a"), text("1"));
        map.set(text("b"), text("2"));
        map.set(text("a"), text("3"));
        assert_eq!((keys(&map), &*map.range()[0].value), (vec!["a".into(), "b".into()], "3"));
        assert!(map.has("a") && map.has("b") && !map.has("c"));
        assert!(map.remove(text("a")) && !map.remove(text("a")) && !map.has("a"));
        assert!(map.clone().has("b"), "a clone is the same map");
        map.clear();
        assert_eq!(map.range(), []);
    }

    #[test]
    fn a_key_that_has_changed_is_found_by_no_name() {
        let buffer = Arc::new(Buffer::new());
        let map = Map::new(&buffer);
        let post = |id: &str| {
            let id = Ctx::with_field(&buffer, id).get("X-Id");
            map.set(id.clone(), id);
        };
        let delete = |id: &str| map.remove(Ctx::with_param(&buffer, id).params("id"));
        post("alice");
        assert!(map.has("alice"));
        post("bob");
        assert_eq!(keys(&map), ["bobce", "bob"]);
        for name in ["alice", "bobce"] {
            assert!(!map.has(name) && !delete(name), "{name}");
        }
        assert_eq!(&*map.range()[0].stored.key, "alice");
        assert!(delete("bob"));
        assert_eq!(keys(&map), ["bobce"], "it stays");
        // The old bytes at the old place: the same key again.
        post("alice");
        assert_eq!(keys(&map), ["alice"]);
        assert!(delete("alice"));
    }

    #[test]
    fn two_names_of_one_length_become_the_same_key_twice() {
        let buffer = Arc::new(Buffer::new());
        let map = Map::new(&buffer);
        for id in ["tab-1", "tab-2"] {
            let id = Ctx::with_field(&buffer, id).get("X-Id");
            map.set(id.clone(), id);
        }
        assert_eq!(keys(&map), ["tab-2", "tab-2"]);
        assert!(map.has("tab-2") && !map.has("tab-1"));
    }
}
