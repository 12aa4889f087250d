//! Which records have which hash: chains, in an order that neither growing nor shrinking changes.
//!
//! It knows hashes and records, no keys. The first bits of a hash say which bucket it is in, so who goes through
//! the buckets goes through the hashes in their order, however many buckets there are by then. Its invariant: each
//! record that was linked is in one chain, that of its hash.

use super::log::Log;
use super::record::{At, NONE, Word};
use memmap2::MmapMut;

/// Buckets there are at least, once there are any.
const LEAST: usize = 8;
/// From so many on, their heads lie in pages of the system.
const MANY: usize = 512;

/// The chains of a table.
#[derive(Debug)]
pub(super) struct Buckets {
    /// There are a power of two of them, or none at all.
    heads: Heads,
    /// Records in all chains.
    count: usize,
}

impl Buckets {
    pub(super) const fn new() -> Buckets {
        Buckets { heads: Heads::Few(Vec::new()), count: 0 }
    }

    /// The record with this hash that `is` the one.
    #[inline]
    pub(super) fn find(&self, log: &Log, hash: u32, mut is: impl FnMut(At) -> bool) -> Option<At> {
        let mut at = self.heads.first(self.bucket(hash));
        while at != NONE {
            if log.word(at, Word::Hash) == hash && is(at) {
                return Some(at);
            }
            at = log.word(at, Word::Next);
        }
        None
    }

    /// Adds a record.
    pub(super) fn link(&mut self, log: &mut Log, at: At) {
        if self.count == self.heads.len() {
            self.rebuild(log, (self.heads.len() * 2).max(LEAST));
        }
        self.count += 1;
        self.put(log, at);
    }

    /// Takes a record out.
    pub(super) fn unlink(&mut self, log: &mut Log, at: At) {
        let next = log.word(at, Word::Next);
        self.point(log, log.word(at, Word::Hash), at, next);
        self.count -= 1;
        if self.heads.len() > LEAST && self.count * 4 < self.heads.len() {
            self.rebuild(log, self.heads.len() / 2);
        }
    }

    /// A record is elsewhere now.
    pub(super) fn moved(&mut self, log: &mut Log, from: At, to: At) {
        self.point(log, log.word(to, Word::Hash), from, to);
    }

    /// The records in the bucket of `from` whose hashes are not before it, and the first hash of the next bucket,
    /// if there is one.
    pub(super) fn bucket_from(&self, log: &Log, from: u32) -> (impl Iterator<Item = At>, Option<u32>) {
        let bucket = self.bucket(from);
        let mut at = self.heads.first(bucket);
        let records = std::iter::from_fn(move || {
            while at != NONE {
                let this = at;
                at = log.word(this, Word::Next);
                if log.word(this, Word::Hash) >= from {
                    return Some(this);
                }
            }
            None
        });
        let next = bucket + 1;
        let is_there = next < self.heads.len();
        (records, is_there.then(|| ((next as u64) << (32 - self.bits())) as u32))
    }

    /// Bits of a hash that say which bucket it is in.
    fn bits(&self) -> u32 {
        self.heads.len().trailing_zeros() % usize::BITS
    }

    #[inline]
    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) << self.bits()) >> 32) as usize
    }

    fn put(&mut self, log: &mut Log, at: At) {
        let bucket = self.bucket(log.word(at, Word::Hash));
        log.set_word(at, Word::Next, self.heads.first(bucket));
        self.heads.set(bucket, at);
    }

    /// Has what refers to `from`, in the chain of `hash`, refer to `to`.
    fn point(&mut self, log: &mut Log, hash: u32, from: At, to: At) {
        let bucket = self.bucket(hash);
        let mut at = self.heads.first(bucket);
        if at == from {
            return self.heads.set(bucket, to);
        }
        while log.word(at, Word::Next) != from {
            at = log.word(at, Word::Next);
        }
        log.set_word(at, Word::Next, to);
    }

    fn rebuild(&mut self, log: &mut Log, buckets: usize) {
        let before = std::mem::replace(&mut self.heads, Heads::new(buckets));
        for bucket in 0..before.len() {
            let mut at = before.first(bucket);
            while at != NONE {
                let this = at;
                at = log.word(this, Word::Next);
                self.put(log, this);
            }
        }
    }
}

/// First record of each chain.
#[derive(Debug)]
enum Heads {
    /// Each a record, or `NONE`.
    Few(Vec<At>),
    /// Each the complement of that, in four bytes: what has not been written is zero, and means `NONE`.
    Many(MmapMut),
}

impl Heads {
    fn new(count: usize) -> Heads {
        let mapped = if count < MANY { None } else { MmapMut::map_anon(count * size_of::<At>()).ok() };
        mapped.map_or_else(|| Heads::Few(vec![NONE; count]), Heads::Many)
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Heads::Few(heads) => heads.len(),
            Heads::Many(heads) => heads.len() / size_of::<At>(),
        }
    }

    /// `NONE` if there is none, or no such bucket.
    #[inline]
    fn first(&self, bucket: usize) -> At {
        match self {
            Heads::Few(heads) => heads.get(bucket).copied().unwrap_or(NONE),
            Heads::Many(heads) => {
                let head = heads.get(bucket * size_of::<At>()..).and_then(<[u8]>::first_chunk);
                head.map_or(NONE, |head| !At::from_ne_bytes(*head))
            }
        }
    }

    #[inline]
    fn set(&mut self, bucket: usize, at: At) {
        match self {
            Heads::Few(heads) => heads[bucket] = at,
            Heads::Many(heads) => {
                let from = bucket * size_of::<At>();
                heads[from..from + size_of::<At>()].copy_from_slice(&(!at).to_ne_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::log::tests::{record, seeded};

    /// All records in the order of a scan.
    fn all(buckets: &Buckets, log: &Log) -> Vec<At> {
        let (mut found, mut from) = (Vec::new(), Some(0));
        while let Some(hash) = from {
            let (records, next) = buckets.bucket_from(log, hash);
            found.extend(records);
            from = next;
        }
        found
    }

    #[test]
    fn what_comes_and_goes_is_in_the_chain_of_its_hash() {
        let mut random = seeded(7);
        let (mut log, mut buckets, mut model) = (Log::new(), Buckets::new(), Vec::<(At, u32)>::new());
        assert_eq!(buckets.find(&log, 5, |_| true), None);
        for round in 0..40_000 {
            // Grows to thousands and shrinks again; hashes are few, and lie at both ends.
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
            let mut expected: Vec<At> =
                model.iter().filter(|(_, own)| *own == hash).map(|(at, _)| *at).collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
            if round % 500 == 0 {
                let told: Vec<u32> = all(&buckets, &log).iter().map(|at| log.word(*at, Word::Hash)).collect();
                assert_eq!(told.len(), model.len());
                let bucket = |hash: u32| buckets.bucket(hash);
                assert!(told.is_sorted_by_key(|hash| bucket(*hash)));
            }
        }
        assert!(matches!(buckets.heads, Heads::Many(_)), "there are many");
        while let Some((at, _)) = model.pop() {
            buckets.unlink(&mut log, at);
            log.free(at);
        }
        assert!(buckets.heads.len() <= LEAST);
    }

    #[test]
    fn a_bucket_tells_only_hashes_from_there_on() {
        let (mut log, mut buckets) = (Log::new(), Buckets::new());
        for hash in [0, 1, 2, 1 << 29, u32::MAX] {
            let at = record(&mut log, hash);
            buckets.link(&mut log, at);
        }
        let told = |from| {
            let (records, next) = buckets.bucket_from(&log, from);
            let mut told: Vec<u32> = records.map(|at| log.word(at, Word::Hash)).collect();
            told.sort_unstable();
            (told, next)
        };
        assert_eq!(told(0), (vec![0, 1, 2], Some(1 << 29)));
        assert_eq!(told(2), (vec![2], Some(1 << 29)));
        assert_eq!(told(1 << 29), (vec![1 << 29], Some(2 << 29)));
        assert_eq!(told(7 << 29), (vec![u32::MAX], None));
    }
}
