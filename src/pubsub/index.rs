//! A table from names to numbers that grows quickly.
//!
//! It knows no topic. Its invariant: a name is hashed only when it is looked up, added or removed. A table that hashes all
//! its names again when it grows keeps a worker busy for 20 ms at 57,344 of them.

use ahash::RandomState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::rc::Rc;

/// A number for each name. Two names with the same hash are possible but rare: the chance is one in ten billion for
/// 65,536 names.
#[derive(Debug, Default)]
pub(super) struct Index<S = RandomState> {
    hasher: S,
    by_hash: HashMap<u64, (Rc<str>, u32), BuildHasherDefault<Hashed>>,
    /// Names whose hash another name in `by_hash` has.
    others: Vec<(Rc<str>, u32)>,
}

impl<S: BuildHasher> Index<S> {
    /// Returns the number of a name.
    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<u32> {
        if self.by_hash.is_empty() {
            return None;
        }
        let (found, number) = self.by_hash.get(&self.hasher.hash_one(name))?;
        if **found == *name { Some(*number) } else { self.other(name).map(|at| self.others[at].1) }
    }

    /// Adds a name that the index does not have.
    pub(super) fn insert(&mut self, name: Rc<str>, number: u32) {
        match self.by_hash.entry(self.hasher.hash_one(&*name)) {
            Entry::Occupied(_) => self.others.push((name, number)),
            Entry::Vacant(entry) => _ = entry.insert((name, number)),
        }
    }

    /// Removes a name, which the index must have.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(at) = self.other(name) {
            self.others.swap_remove(at);
            return;
        }
        let hash = self.hasher.hash_one(name);
        match self.others.iter().position(|(other, _)| self.hasher.hash_one(&**other) == hash) {
            Some(at) => _ = self.by_hash.insert(hash, self.others.swap_remove(at)),
            None => _ = self.by_hash.remove(&hash),
        }
    }

    /// Returns where in `others` a name is.
    #[cold]
    fn other(&self, name: &str) -> Option<usize> {
        self.others.iter().position(|(other, _)| **other == *name)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_hash.is_empty() && self.others.is_empty()
    }
}

/// A hasher for keys that are hashes already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a hash is a u64");
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Hashes a name to its first byte, and counts how often.
    #[derive(Default)]
    struct FirstByte(Rc<Cell<usize>>);

    impl BuildHasher for FirstByte {
        type Hasher = First;

        fn build_hasher(&self) -> First {
            self.0.set(self.0.get() + 1);
            First(None)
        }
    }

    struct First(Option<u8>);

    impl Hasher for First {
        fn write(&mut self, bytes: &[u8]) {
            self.0 = self.0.or(bytes.first().copied());
        }

        fn finish(&self) -> u64 {
            self.0.map_or(0, u64::from)
        }
    }

    #[test]
    fn names_with_the_same_hash_are_told_apart() {
        let names = ["aa", "ab", "ac", "b"];
        for turn in 0..names.len() {
            let mut left = names.to_vec();
            let mut index = Index::<FirstByte>::default();
            names.iter().zip(0..).for_each(|(name, number)| index.insert((*name).into(), number));
            left.rotate_left(turn);
            while !left.is_empty() {
                for (name, number) in names.iter().zip(0..) {
                    assert_eq!(index.get(name), left.contains(name).then_some(number), "{name} of {left:?}");
                }
                assert_eq!([index.get("ad"), index.get("c")], [None, None]);
                index.remove(left.remove(0));
            }
            assert!(index.is_empty());
        }
    }

    /// Finding B9.
    #[test]
    fn growing_hashes_no_name_again() {
        let count = Rc::new(Cell::new(0));
        let mut index =
            Index { hasher: FirstByte(count.clone()), by_hash: HashMap::default(), others: Vec::new() };
        let names: Vec<_> = (0..255u8).map(|byte| char::from(byte).to_string()).collect();
        for name in &names {
            index.insert(name.as_str().into(), 0);
        }
        assert_eq!(count.get(), names.len());
    }
}
