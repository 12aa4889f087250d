//! A hash table of records: chains in an order that neither growing nor shrinking changes.
//!
//! It knows hashes and records, but no keys. The first bits of a hash select its bucket, so the order of the buckets is
//! the order of the hashes, however many buckets there are. Invariant: each linked record is in exactly one chain, that
//! of its hash.

use super::log::Log;
use super::record::{Address, NONE, Word};
use memmap2::MmapMut;

/// The smallest number of buckets, once there are any.
const BUCKETS_MIN: usize = 8;
/// The number of buckets from which their heads lie in mapped pages.
const MAPPED_MIN: usize = 512;

/// The chains of a table.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Their number is 0 or a power of two.
    heads: Heads,
    /// The records in all chains.
    count: usize,
}

impl Buckets {
    pub(super) const fn new() -> Buckets {
        Buckets { heads: Heads::Allocated(Vec::new()), count: 0 }
    }

    /// Returns the record with this hash for which `matches` is true.
    #[inline]
    pub(super) fn find(
        &self,
        log: &Log,
        hash: u32,
        mut matches: impl FnMut(Address) -> bool,
    ) -> Option<Address> {
        let mut at = self.heads.first(self.bucket(hash));
        while at != NONE {
            if log.word(at, Word::Hash) == hash && matches(at) {
                return Some(at);
            }
            at = log.word(at, Word::ChainNext);
        }
        None
    }

    /// Adds a record.
    pub(super) fn link(&mut self, log: &mut Log, at: Address) {
        if self.count == self.heads.len() {
            self.rebuild(log, (self.heads.len() * 2).max(BUCKETS_MIN));
        }
        self.count += 1;
        self.push(log, at);
    }

    /// Removes a record.
    pub(super) fn unlink(&mut self, log: &mut Log, at: Address) {
        let next = log.word(at, Word::ChainNext);
        self.redirect(log, log.word(at, Word::Hash), at, next);
        self.count -= 1;
        if self.heads.len() > BUCKETS_MIN && self.count * 4 < self.heads.len() {
            self.rebuild(log, self.heads.len() / 2);
        }
    }

    /// Updates the link to a record that has moved.
    pub(super) fn moved(&mut self, log: &mut Log, from: Address, to: Address) {
        self.redirect(log, log.word(to, Word::Hash), from, to);
    }

    /// Returns the records in the bucket of `from` whose hashes are `from` or greater, and the first hash of the next
    /// bucket, if there is one.
    pub(super) fn bucket_from(&self, log: &Log, from: u32) -> (impl Iterator<Item = Address>, Option<u32>) {
        let bucket = self.bucket(from);
        let mut at = self.heads.first(bucket);
        let records = std::iter::from_fn(move || {
            while at != NONE {
                let this = at;
                at = log.word(this, Word::ChainNext);
                if log.word(this, Word::Hash) >= from {
                    return Some(this);
                }
            }
            None
        });
        let next = bucket + 1;
        let exists = next < self.heads.len();
        (records, exists.then(|| ((next as u64) << (32 - self.bits())) as u32))
    }

    /// Returns the number of bits of a hash that select its bucket.
    fn bits(&self) -> u32 {
        self.heads.len().trailing_zeros() % usize::BITS
    }

    #[inline]
    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) << self.bits()) >> 32) as usize
    }

    /// Adds a record at the head of its chain.
    fn push(&mut self, log: &mut Log, at: Address) {
        let bucket = self.bucket(log.word(at, Word::Hash));
        log.set_word(at, Word::ChainNext, self.heads.first(bucket));
        self.heads.set(bucket, at);
    }

    /// Makes the link to `from`, in the chain of `hash`, refer to `to`.
    fn redirect(&mut self, log: &mut Log, hash: u32, from: Address, to: Address) {
        let bucket = self.bucket(hash);
        let mut at = self.heads.first(bucket);
        if at == from {
            return self.heads.set(bucket, to);
        }
        while log.word(at, Word::ChainNext) != from {
            at = log.word(at, Word::ChainNext);
        }
        log.set_word(at, Word::ChainNext, to);
    }

    fn rebuild(&mut self, log: &mut Log, buckets: usize) {
        let before = std::mem::replace(&mut self.heads, Heads::new(buckets));
        for bucket in 0..before.len() {
            let mut at = before.first(bucket);
            while at != NONE {
                let this = at;
                at = log.word(this, Word::ChainNext);
                self.push(log, this);
            }
        }
    }
}

/// The first record of each chain.
#[derive(Debug)]
enum Heads {
    /// Each is a record or `NONE`.
    Allocated(Vec<Address>),
    /// Each is the complement of a record or of `NONE`, in four bytes. So a fresh page, which is all zero, means `NONE`.
    Mapped(MmapMut),
}

impl Heads {
    fn new(count: usize) -> Heads {
        let mapped =
            if count < MAPPED_MIN { None } else { MmapMut::map_anon(count * size_of::<Address>()).ok() };
        mapped.map_or_else(|| Heads::Allocated(vec![NONE; count]), Heads::Mapped)
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Heads::Allocated(heads) => heads.len(),
            Heads::Mapped(heads) => heads.len() / size_of::<Address>(),
        }
    }

    /// Returns `NONE` if the chain is empty or the bucket does not exist.
    #[inline]
    fn first(&self, bucket: usize) -> Address {
        match self {
            Heads::Allocated(heads) => heads.get(bucket).copied().unwrap_or(NONE),
            Heads::Mapped(heads) => {
                let head = heads.get(bucket * size_of::<Address>()..).and_then(<[u8]>::first_chunk);
                head.map_or(NONE, |head| !Address::from_ne_bytes(*head))
            }
        }
    }

    #[inline]
    fn set(&mut self, bucket: usize, at: Address) {
        match self {
            Heads::Allocated(heads) => heads[bucket] = at,
            Heads::Mapped(heads) => {
                let from = bucket * size_of::<Address>();
                heads[from..from + size_of::<Address>()].copy_from_slice(&(!at).to_ne_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::log::tests::{record, seeded};

    /// Returns all records in the order of a scan.
    fn all(buckets: &Buckets, log: &Log) -> Vec<Address> {
        let (mut found, mut from) = (Vec::new(), Some(0));
        while let Some(hash) = from {
            let (records, next) = buckets.bucket_from(log, hash);
            found.extend(records);
            from = next;
        }
        found
    }

    #[test]
    fn every_record_is_in_the_chain_of_its_hash() {
        let mut random = seeded(7);
        let (mut log, mut buckets, mut model) = (Log::new(), Buckets::new(), Vec::<(Address, u32)>::new());
        assert_eq!(buckets.find(&log, 5, |_| true), None);
        for round in 0..40_000 {
            // Grows to thousands of records and shrinks again; most hashes are few and lie at both ends.
            let grows = (round / 6000) % 2 == 0;
            if random(10) < (if grows { 8 } else { 2 }) || model.is_empty() {
                let (low, any) = (random(50) as u32, random(1 << 32) as u32);
                let hash = [low, u32::MAX - low, any][random(3) as usize];
                let at = record(&mut log, hash);
                buckets.link(&mut log, at);
                model.push((at, hash));
            } else {
                let (at, hash) = model.swap_remove(random(model.len() as u64) as usize);
                if random(2) == 0 {
                    let to = log.relocate(at).unwrap();
                    buckets.moved(&mut log, at, to);
                    log.free(at);
                    model.push((to, hash));
                } else {
                    buckets.unlink(&mut log, at);
                    log.free(at);
                }
            }
            let hash = if model.is_empty() { 3 } else { model[random(model.len() as u64) as usize].1 };
            if round % 10 > 0 {
                continue;
            }
            let mut found = Vec::new();
            assert_eq!(buckets.find(&log, hash, |at| (found.push(at), false).1), None);
            found.sort_unstable();
            let mut expected: Vec<Address> =
                model.iter().filter(|(_, own)| *own == hash).map(|(at, _)| *at).collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
            if round % 500 == 0 {
                let hashes: Vec<u32> =
                    all(&buckets, &log).iter().map(|at| log.word(*at, Word::Hash)).collect();
                assert_eq!(hashes.len(), model.len());
                let bucket = |hash: u32| buckets.bucket(hash);
                assert!(hashes.is_sorted_by_key(|hash| bucket(*hash)));
            }
        }
        assert!(matches!(buckets.heads, Heads::Mapped(_)), "there are many buckets");
        while let Some((at, _)) = model.pop() {
            buckets.unlink(&mut log, at);
            log.free(at);
        }
        assert!(buckets.heads.len() <= BUCKETS_MIN);
    }

    #[test]
    fn a_bucket_returns_only_hashes_from_the_given_one_on() {
        let (mut log, mut buckets) = (Log::new(), Buckets::new());
        for hash in [0, 1, 2, 1 << 29, u32::MAX] {
            let at = record(&mut log, hash);
            buckets.link(&mut log, at);
        }
        let bucket_from = |from| {
            let (records, next) = buckets.bucket_from(&log, from);
            let mut hashes: Vec<u32> = records.map(|at| log.word(at, Word::Hash)).collect();
            hashes.sort_unstable();
            (hashes, next)
        };
        assert_eq!(bucket_from(0), (vec![0, 1, 2], Some(1 << 29)));
        assert_eq!(bucket_from(2), (vec![2], Some(1 << 29)));
        assert_eq!(bucket_from(1 << 29), (vec![1 << 29], Some(2 << 29)));
        assert_eq!(bucket_from(7 << 29), (vec![u32::MAX], None));
    }
}
