//! Which entries have which hash: chains, in an order that neither growing nor shrinking changes.
//!
//! It knows hashes and indices, no keys. The first bits of a hash say which bucket it is in, so who goes
//! through the buckets goes through the hashes in their order, however many buckets there are by then. Its
//! invariant: each index below the number of entries is in one chain, that of its hash.

use super::table::{LEAST, trim};

const NONE: u32 = u32::MAX;

/// The chains of a table.
#[derive(Debug)]
pub(super) struct Buckets {
    /// First entry of each chain: an index, or `NONE`. There are a power of two of them, or none at all.
    heads: Vec<u32>,
    /// Of each entry.
    links: Vec<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    hash: u32,
    /// The next entry of its chain, or `NONE`.
    next: u32,
}

impl Buckets {
    pub(super) const fn new() -> Buckets {
        Buckets { heads: Vec::new(), links: Vec::new() }
    }

    /// The entry with this hash that `is` the one.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut at = *self.heads.get(self.bucket(hash))?;
        while at != NONE {
            let Link { hash: own, next } = self.links[at as usize];
            if own == hash && is(at as usize) {
                return Some(at as usize);
            }
            at = next;
        }
        None
    }

    /// Adds an entry; its index is how many there were.
    pub(super) fn push(&mut self, hash: u32) {
        if self.links.len() == self.heads.len() {
            self.rebuild((self.heads.len() * 2).max(LEAST));
        }
        let bucket = self.bucket(hash);
        let next = std::mem::replace(&mut self.heads[bucket], self.links.len() as u32);
        self.links.push(Link { hash, next });
    }

    /// Takes an entry out; the last one gets its index.
    pub(super) fn swap_remove(&mut self, index: usize) {
        let next = self.links[index].next;
        *self.pointer(index) = next;
        let last = self.links.len() - 1;
        if last != index {
            *self.pointer(last) = index as u32;
        }
        self.links.swap_remove(index);
        trim(&mut self.links);
        if self.heads.len() > LEAST && self.links.len() * 4 < self.heads.len() {
            self.rebuild(self.heads.len() / 2);
        }
    }

    /// The entries in the bucket of `from` whose hashes are not before it, and the first hash of the next
    /// bucket, if there is one.
    pub(super) fn bucket_from(&self, from: u32) -> (impl Iterator<Item = usize>, Option<u32>) {
        let bucket = self.bucket(from);
        let mut at = self.heads.get(bucket).copied().unwrap_or(NONE);
        let entries = std::iter::from_fn(move || {
            while at != NONE {
                let (index, link) = (at as usize, self.links[at as usize]);
                at = link.next;
                if link.hash >= from {
                    return Some(index);
                }
            }
            None
        });
        let next = bucket + 1;
        let is_there = next < self.heads.len();
        (entries, is_there.then(|| ((next as u64) << (32 - self.bits())) as u32))
    }

    /// Bits of a hash that say which bucket it is in.
    fn bits(&self) -> u32 {
        self.heads.len().trailing_zeros() % usize::BITS
    }

    #[inline]
    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) << self.bits()) >> 32) as usize
    }

    /// What holds the index of an entry: the head of its chain, or the link before it.
    fn pointer(&mut self, index: usize) -> &mut u32 {
        let bucket = self.bucket(self.links[index].hash);
        let mut at = self.heads[bucket];
        if at == index as u32 {
            return &mut self.heads[bucket];
        }
        while self.links[at as usize].next != index as u32 {
            at = self.links[at as usize].next;
        }
        &mut self.links[at as usize].next
    }

    fn rebuild(&mut self, buckets: usize) {
        self.heads = vec![NONE; buckets];
        for at in 0..self.links.len() {
            let bucket = self.bucket(self.links[at].hash);
            self.links[at].next = std::mem::replace(&mut self.heads[bucket], at as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All entries in the order of a scan: index and hash.
    fn all(buckets: &Buckets) -> Vec<usize> {
        let (mut found, mut from) = (Vec::new(), Some(0));
        while let Some(hash) = from {
            let (entries, next) = buckets.bucket_from(hash);
            found.extend(entries);
            from = next;
        }
        found
    }

    #[test]
    fn what_comes_and_goes_is_in_the_chain_of_its_hash() {
        let mut seed = 7u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 32) as u32
        };
        let (mut buckets, mut model) = (Buckets::new(), Vec::<u32>::new());
        assert_eq!(buckets.find(5, |_| true), None);
        for round in 0..20_000 {
            // Grows to hundreds and shrinks again; hashes are few, and lie at both ends.
            let grows = (round / 1000) % 2 == 0;
            if random() % 10 < (if grows { 8 } else { 2 }) || model.is_empty() {
                let hash = [random() % 50, u32::MAX - random() % 50, random()][random() as usize % 3];
                buckets.push(hash);
                model.push(hash);
            } else {
                let index = random() as usize % model.len();
                buckets.swap_remove(index);
                model.swap_remove(index);
            }
            let hash = if model.is_empty() { 3 } else { model[random() as usize % model.len()] };
            let mut found = Vec::new();
            assert_eq!(buckets.find(hash, |index| (found.push(index), false).1), None);
            found.sort_unstable();
            let expected: Vec<usize> = (0..model.len()).filter(|at| model[*at] == hash).collect();
            assert_eq!(found, expected);
            if round % 100 == 0 {
                let mut told = all(&buckets);
                told.sort_unstable();
                assert_eq!(told, (0..model.len()).collect::<Vec<_>>());
            }
        }
        while !model.is_empty() {
            buckets.swap_remove(0);
            model.pop();
        }
        assert!(buckets.heads.len() <= LEAST && buckets.links.capacity() <= LEAST);
    }

    #[test]
    fn a_bucket_tells_only_hashes_from_there_on() {
        let mut buckets = Buckets::new();
        for hash in [0, 1, 2, 1 << 29, u32::MAX] {
            buckets.push(hash);
        }
        let told = |from| {
            let (entries, next) = buckets.bucket_from(from);
            let mut told: Vec<usize> = entries.collect();
            told.sort_unstable();
            (told, next)
        };
        assert_eq!(told(0), (vec![0, 1, 2], Some(1 << 29)));
        assert_eq!(told(2), (vec![2], Some(1 << 29)));
        assert_eq!(told(1 << 29), (vec![3], Some(2 << 29)));
        assert_eq!(told(7 << 29), (vec![4], None));
    }
}
