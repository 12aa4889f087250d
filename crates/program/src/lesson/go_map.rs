//! A model of Go's map: a key is hashed when it is inserted, and compared when it is looked up.
//!
//! It knows no request. In Go the hash selects a bucket, and a lookup searches only the bucket of the name it looks
//! for. Here each entry keeps its hash, and a lookup skips entries with another hash. It then compares the name with
//! what the key reads as at that moment. So no lookup finds an entry whose key has changed: the old name has its hash
//! but differs from the key, and the new name has another hash.
//!
//! As in Go, the map is a reference: a clone is the same map. Rust requires a lock to share it, so each single step
//! takes one. Ordering whole requests is up to the application.

use super::buffer::{Buffer, GoString};
use super::pool::Slot;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `map[string]Client`.
#[derive(Clone)]
pub(super) struct GoMap(Arc<Inner>);

struct Inner {
    buffer: Arc<Buffer>,
    hasher: RandomState,
    /// In insertion order.
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    /// The hash of the key at insertion. It is never recomputed.
    hash: u64,
    key: GoString,
    value: GoString,
    conn: Option<Slot>,
    /// Key and value as they read at insertion. Only the lesson reads them; lookups do not.
    stored: Stored,
}

/// A key and a value as they read at insertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: Box<str>,
    pub(super) value: Box<str>,
}

/// An entry as it reads now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryView {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) conn: Option<Slot>,
    pub(super) stored: Stored,
}

impl GoMap {
    pub(super) fn new(buffer: &Arc<Buffer>) -> GoMap {
        let (hasher, entries) = (RandomState::new(), Mutex::default());
        GoMap(Arc::new(Inner { buffer: buffer.clone(), hasher, entries }))
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the index of the entry that a lookup of `name` finds.
    fn position(&self, entries: &[Entry], name: &str) -> Option<usize> {
        let hash = self.0.hasher.hash_one(name);
        entries.iter().position(|entry| entry.hash == hash && entry.key.read(&self.0.buffer) == name)
    }

    /// `m[key] = Client{value: value}`
    pub(super) fn set(&self, key: GoString, value: GoString) {
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

    /// `delete(m, key)`. Returns whether there was an entry.
    pub(super) fn remove(&self, key: GoString) -> bool {
        let name = key.read(&self.0.buffer);
        let mut entries = self.entries();
        self.position(&entries, &name).map(|at| entries.remove(at)).is_some()
    }

    /// `clear(m)`, which looks up no key.
    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    /// `for key, value := range m`, which looks up no key either.
    pub(super) fn range(&self) -> Vec<EntryView> {
        let view = |entry: &Entry| EntryView {
            key: entry.key.read(&self.0.buffer),
            value: entry.value.read(&self.0.buffer),
            conn: entry.conn,
            stored: entry.stored.clone(),
        };
        self.entries().iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::buffer::Ctx;
    use super::*;

    fn keys(map: &GoMap) -> Vec<String> {
        map.range().into_iter().map(|entry| entry.key).collect()
    }

    #[test]
    fn copies_are_found_replaced_and_removed() {
        let map = GoMap::new(&Arc::new(Buffer::new()));
        let text = |text: &str| GoString::Copied(text.into());
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
    fn no_lookup_finds_a_changed_key() {
        let buffer = Arc::new(Buffer::new());
        let map = GoMap::new(&buffer);
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
        assert_eq!(keys(&map), ["bobce"], "the entry cannot be deleted");
        // The old bytes are back at the old offset, so the key reads as before.
        post("alice");
        assert_eq!(keys(&map), ["alice"]);
        assert!(delete("alice"));
    }

    #[test]
    fn two_names_of_equal_length_become_duplicate_keys() {
        let buffer = Arc::new(Buffer::new());
        let map = GoMap::new(&buffer);
        for id in ["tab-1", "tab-2"] {
            let id = Ctx::with_field(&buffer, id).get("X-Id");
            map.set(id.clone(), id);
        }
        assert_eq!(keys(&map), ["tab-2", "tab-2"]);
        assert!(map.has("tab-2") && !map.has("tab-1"));
    }
}
