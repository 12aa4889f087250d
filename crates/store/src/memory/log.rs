//! The records of a table, one after the other, in segments of mapped memory.
//!
//! It knows the layout of a record, but not the orders that records are in. A freed record stays in place until its
//! segment has no live record or until too much is dead. Then the segment with the most dead bytes is compacted: its
//! live records move elsewhere, and the segment is unmapped. So the memory in use follows the live records, in whatever
//! order records come and go and whatever else the process allocates. An allocator would return many blocks of its own
//! only at the end of its heap.
//!
//! Invariants: only the caller of [`Log::begin_compaction`] moves live records; and dead records take at most half as
//! much as live ones plus [`SLACK_BYTES`], approximately.

use super::record::{
    Address, DEAD, HEADER_BYTES, Half, Long, NONE, OFFSET_BITS, UNIT_BYTES, Word, address, offset_of,
    record_bytes, segment_of,
};
use fleeting::keep;
use memmap2::MmapMut;

/// The usual size of a segment. A record of at least a quarter of it gets a segment of its own.
const SEGMENT_BYTES: usize = UNIT_BYTES << OFFSET_BITS;
const LARGE_BYTES: usize = SEGMENT_BYTES / 4;
/// The number of segments that an address can distinguish.
const SEGMENTS_MAX: usize = (NONE >> OFFSET_BITS) as usize;
/// Dead bytes that never cause a compaction.
const SLACK_BYTES: usize = 32 << 10;
/// An empty current segment is reused rather than unmapped if at most this much of it was filled.
const REUSED_BYTES: usize = 4096;

/// The records of a table.
#[derive(Debug, Default)]
pub(super) struct Log {
    segments: Vec<Option<Segment>>,
    /// The segment that takes new records: an index into `segments`, never that of a `None`.
    current: Option<usize>,
    /// Bytes of all records, and of the live ones.
    held_bytes: usize,
    live_bytes: usize,
}

#[derive(Debug)]
struct Segment {
    bytes: MmapMut,
    /// The offset of the next record: at most the length of `bytes`.
    filled: usize,
    /// Bytes of live records; at most `filled`.
    live: usize,
}

impl Log {
    pub(super) const fn new() -> Log {
        Log { segments: Vec::new(), current: None, held_bytes: 0, live_bytes: 0 }
    }

    /// Appends a record with copies of key and value. The caller sets its links and times. Returns `None` if the system
    /// has no memory.
    pub(super) fn append(&mut self, hash: u32, key: &[u8], value: &[u8], room: usize) -> Option<Address> {
        let size = record_bytes(key.len(), value.len().max(room));
        let at = self.reserve(size)?;
        self.set_word(at, Word::Size, size as u32);
        self.set_word(at, Word::Hash, hash);
        self.set_word(at, Word::ValueBytes, value.len() as u32);
        self.set_half(at, Half::List, 0);
        self.set_half(at, Half::KeyBytes, key.len() as u16);
        let content = &mut self.record_mut(at)[HEADER_BYTES..];
        content[..key.len()].copy_from_slice(key);
        content[key.len()..key.len() + value.len()].copy_from_slice(value);
        keep::count(key.len() + value.len());
        Some(at)
    }

    /// Overwrites the value, if the new one fits and leaves no more than three quarters of the record unused. Returns
    /// whether it did.
    pub(super) fn rewrite(&mut self, at: Address, value: &[u8]) -> bool {
        let key_bytes = usize::from(self.half(at, Half::KeyBytes));
        let (size, needed) = (self.size(at), record_bytes(key_bytes, value.len()));
        if needed > size || size > needed * 4 {
            return false;
        }
        self.set_word(at, Word::ValueBytes, value.len() as u32);
        self.record_mut(at)[HEADER_BYTES + key_bytes..][..value.len()].copy_from_slice(value);
        keep::count(value.len());
        true
    }

    /// Marks a record as dead. Nothing may refer to it any more.
    pub(super) fn free(&mut self, at: Address) {
        self.set_half(at, Half::List, DEAD);
        let (size, index) = (self.size(at), segment_of(at));
        self.live_bytes -= size;
        let Some(segment) = &mut self.segments[index] else { return };
        segment.live -= size;
        if segment.live > 0 {
            return;
        }
        self.held_bytes -= segment.filled;
        if self.current == Some(index) && segment.filled <= REUSED_BYTES {
            segment.filled = 0;
            return;
        }
        self.current = self.current.filter(|current| *current != index);
        self.segments[index] = None;
        while let Some(None) = self.segments.last() {
            self.segments.pop();
        }
        if self.segments.is_empty() {
            self.segments = Vec::new();
        }
    }

    /// Chooses a segment to compact, if too much is dead. The caller then moves every live record out of it.
    pub(super) fn begin_compaction(&mut self) -> Option<Compaction> {
        if self.held_bytes - self.live_bytes <= self.live_bytes / 2 + SLACK_BYTES {
            return None;
        }
        let dead =
            |segment: &Option<Segment>| segment.as_ref().map_or(0, |segment| segment.filled - segment.live);
        let (index, _) = self.segments.iter().enumerate().max_by_key(|(_, segment)| dead(segment))?;
        // Records must not move into the segment that is being emptied.
        self.current = self.current.filter(|current| *current != index);
        Some(Compaction { segment: index, offset: 0 })
    }

    /// Returns the next live record of a compaction. The segment is gone once its last live record is freed.
    pub(super) fn next_live(&self, compaction: &mut Compaction) -> Option<Address> {
        loop {
            let segment = self.segments.get(compaction.segment)?.as_ref()?;
            if compaction.offset >= segment.filled {
                return None;
            }
            let at = address(compaction.segment, compaction.offset);
            compaction.offset += self.size(at);
            if self.half(at, Half::List) != DEAD {
                return Some(at);
            }
        }
    }

    /// Copies a record out of the segment that is being compacted. The caller redirects all links to the copy and then
    /// [frees](Log::free) the original. Returns `None` if the system has no memory.
    pub(super) fn relocate(&mut self, at: Address) -> Option<Address> {
        let size = self.size(at);
        let copy = self.reserve(size)?;
        let (from, to) = (offset_of(at), offset_of(copy));
        if let Ok([Some(source), Some(target)]) =
            self.segments.get_disjoint_mut([segment_of(at), segment_of(copy)])
        {
            target.bytes[to..to + size].copy_from_slice(&source.bytes[from..from + size]);
        } else if let Some(segment) = &mut self.segments[segment_of(at)] {
            segment.bytes.copy_within(from..from + size, to);
        }
        Some(copy)
    }

    pub(super) fn size(&self, at: Address) -> usize {
        self.word(at, Word::Size) as usize
    }

    #[inline]
    pub(super) fn key(&self, at: Address) -> &[u8] {
        &self.record(at)[HEADER_BYTES..][..usize::from(self.half(at, Half::KeyBytes))]
    }

    #[inline]
    pub(super) fn value(&self, at: Address) -> &[u8] {
        let key_bytes = usize::from(self.half(at, Half::KeyBytes));
        &self.record(at)[HEADER_BYTES + key_bytes..][..self.word(at, Word::ValueBytes) as usize]
    }

    #[inline]
    pub(super) fn word(&self, at: Address, field: Word) -> u32 {
        u32::from_ne_bytes(*self.field(at, field as usize))
    }

    #[inline]
    pub(super) fn set_word(&mut self, at: Address, field: Word, value: u32) {
        *self.field_mut(at, field as usize) = value.to_ne_bytes();
    }

    #[inline]
    pub(super) fn long(&self, at: Address, field: Long) -> u64 {
        u64::from_ne_bytes(*self.field(at, field as usize))
    }

    #[inline]
    pub(super) fn set_long(&mut self, at: Address, field: Long, value: u64) {
        *self.field_mut(at, field as usize) = value.to_ne_bytes();
    }

    #[inline]
    pub(super) fn half(&self, at: Address, field: Half) -> u16 {
        u16::from_ne_bytes(*self.field(at, field as usize))
    }

    #[inline]
    pub(super) fn set_half(&mut self, at: Address, field: Half, value: u16) {
        *self.field_mut(at, field as usize) = value.to_ne_bytes();
    }

    #[inline]
    fn field<const N: usize>(&self, at: Address, field: usize) -> &[u8; N] {
        self.record(at)[field..].first_chunk().expect("a record has all its fields")
    }

    #[inline]
    fn field_mut<const N: usize>(&mut self, at: Address, field: usize) -> &mut [u8; N] {
        self.record_mut(at)[field..].first_chunk_mut().expect("a record has all its fields")
    }

    /// Returns the segment's bytes from the start of the record.
    #[inline]
    fn record(&self, at: Address) -> &[u8] {
        let segment = self.segments[segment_of(at)].as_ref().expect("a record keeps its segment");
        &segment.bytes[offset_of(at)..]
    }

    #[inline]
    fn record_mut(&mut self, at: Address) -> &mut [u8] {
        let segment = self.segments[segment_of(at)].as_mut().expect("a record keeps its segment");
        &mut segment.bytes[offset_of(at)..]
    }

    /// Reserves room for a record.
    fn reserve(&mut self, size: usize) -> Option<Address> {
        let fits = |segment: &Segment| segment.bytes.len() - segment.filled >= size;
        let index = match self.current {
            _ if size >= LARGE_BYTES => self.open(size)?,
            Some(current) if self.segments[current].as_ref().is_some_and(fits) => current,
            _ => {
                let index = self.open(SEGMENT_BYTES)?;
                self.make_current(index);
                index
            }
        };
        let segment = self.segments[index].as_mut()?;
        let at = address(index, segment.filled);
        segment.filled += size;
        segment.live += size;
        self.held_bytes += size;
        self.live_bytes += size;
        Some(at)
    }

    /// Makes a segment the one for new records. Unmaps the previous one if it has no live record.
    fn make_current(&mut self, index: usize) {
        if let Some(before) = self.current.replace(index)
            && self.segments[before].as_ref().is_some_and(|segment| segment.live == 0)
        {
            self.segments[before] = None;
        }
    }

    /// Maps a new segment. Returns its index.
    fn open(&mut self, size: usize) -> Option<usize> {
        let index = self.segments.iter().position(Option::is_none).unwrap_or(self.segments.len());
        if index >= SEGMENTS_MAX {
            return None;
        }
        let bytes = MmapMut::map_anon(size).ok()?;
        if index == self.segments.len() {
            self.segments.push(None);
        }
        self.segments[index] = Some(Segment { bytes, filled: 0, live: 0 });
        Some(index)
    }
}

/// How far a segment has been compacted.
#[derive(Debug)]
pub(super) struct Compaction {
    segment: usize,
    offset: usize,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a generator of numbers below its argument, the same for each seed.
    pub(crate) fn seeded(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 16) % below
        }
    }

    /// Appends a record of which only the hash matters.
    pub(crate) fn record(log: &mut Log, hash: u32) -> Address {
        log.append(hash, b"key", b"value", 0).unwrap()
    }

    fn segments(log: &Log) -> usize {
        log.segments.iter().flatten().count()
    }

    #[test]
    fn a_record_and_its_copy_keep_all_fields() {
        let mut log = Log::new();
        for (key, value, room) in [(&b"k"[..], &b""[..], 0), (b"key", b"value", 20), (b"", b"v", 0)] {
            let at = log.append(7, key, value, room).unwrap();
            assert_eq!((log.key(at), log.value(at), log.word(at, Word::Hash)), (key, value, 7));
            for (number, field) in
                [Word::ChainNext, Word::Older, Word::Newer, Word::ListPrevious, Word::ListNext]
                    .into_iter()
                    .enumerate()
            {
                log.set_word(at, field, number as u32);
            }
            log.set_long(at, Long::TouchedMs, u64::MAX);
            log.set_long(at, Long::DeadlineMs, 5);
            log.set_half(at, Half::List, 500);
            let copy = log.relocate(at).unwrap();
            log.free(at);
            assert_eq!((log.key(copy), log.value(copy)), (key, value));
            assert_eq!((log.word(copy, Word::ChainNext), log.word(copy, Word::ListNext)), (0, 4));
            assert_eq!((log.long(copy, Long::TouchedMs), log.long(copy, Long::DeadlineMs)), (u64::MAX, 5));
            assert_eq!(log.half(copy, Half::List), 500);
        }
    }

    #[test]
    fn a_record_is_rewritten_unless_most_of_it_would_be_wasted() {
        fn check(before: usize, after: usize, same: bool) {
            let mut log = Log::new();
            let at = log.append(0, b"k", &vec![1; before], 0).unwrap();
            assert_eq!(log.rewrite(at, &vec![2; after]), same, "{before} to {after}");
            let expected = if same { vec![2; after] } else { vec![1; before] };
            assert_eq!((log.key(at), log.value(at)), (&b"k"[..], &expected[..]));
        }
        check(10, 10, true);
        check(10, 0, true);
        check(10, 11, true); // the size is rounded up to the unit
        check(10, 12, false);
        check(150, 1, true);
        check(1000, 1000, true);
        check(1000, 211, true);
        check(1000, 200, false);
    }

    #[test]
    fn a_large_record_gets_a_segment_of_its_own() {
        let mut log = Log::new();
        let small = record(&mut log, 0);
        let large = log.append(0, b"k", &vec![7; 1 << 20], 0).unwrap();
        assert_eq!(segments(&log), 2);
        assert_eq!(log.value(large), vec![7; 1 << 20]);
        log.free(large);
        assert_eq!((segments(&log), log.value(small)), (1, &b"value"[..]));
    }

    #[test]
    fn a_lone_record_that_comes_and_goes_reuses_its_segment() {
        let mut log = Log::new();
        let first = record(&mut log, 0);
        log.free(first);
        for _ in 0..1000 {
            let at = record(&mut log, 0);
            assert_eq!(at, first);
            log.free(at);
        }
        assert_eq!((segments(&log), log.held_bytes, log.live_bytes), (1, 0, 0));
    }

    /// Compacts segments, as a table does.
    fn compact(log: &mut Log, model: &mut [(Address, u32)]) {
        let Some(mut compaction) = log.begin_compaction() else { return };
        while let Some(at) = log.next_live(&mut compaction) {
            let copy = log.relocate(at).unwrap();
            model.iter_mut().find(|(known, _)| *known == at).unwrap().0 = copy;
            log.free(at);
        }
    }

    #[test]
    fn memory_in_use_follows_the_live_records() {
        let mut random = seeded(11);
        let (mut log, mut model) = (Log::new(), Vec::<(Address, u32)>::new());
        for round in 0..20_000u32 {
            let grows = (round / 4000) % 2 == 0;
            if random(10) < (if grows { 7 } else { 2 }) || model.is_empty() {
                let value = vec![round as u8; random(700) as usize];
                model.push((log.append(round, &round.to_ne_bytes(), &value, 0).unwrap(), round));
            } else {
                let (at, number) = model.swap_remove(random(model.len() as u64) as usize);
                assert_eq!((log.key(at), log.word(at, Word::Hash)), (&number.to_ne_bytes()[..], number));
                assert!(log.value(at).iter().all(|byte| *byte == number as u8));
                log.free(at);
                compact(&mut log, &mut model);
            }
            if round % 20 > 0 {
                continue;
            }
            let live: usize = model.iter().map(|(at, _)| log.size(*at)).sum();
            assert_eq!(log.live_bytes, live);
            let filled: usize = log.segments.iter().flatten().map(|segment| segment.filled).sum();
            assert_eq!(log.held_bytes, filled);
            assert!(filled <= live + live / 2 + SLACK_BYTES + LARGE_BYTES, "{filled} bytes for {live}");
        }
        while let Some((at, _)) = model.pop() {
            log.free(at);
            compact(&mut log, &mut model);
        }
        assert_eq!((log.held_bytes, log.live_bytes), (0, 0));
        assert!(segments(&log) <= 1);
    }
}
