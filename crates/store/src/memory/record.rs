//! The layout of a record, and its address.

/// Where a record is: the number of its segment, and its place there in units of 8 bytes.
pub(super) type At = u32;

/// No record.
pub(super) const NONE: At = u32::MAX;

pub(super) const UNIT_BYTES: usize = 8;
pub(super) const PLACE_BITS: u32 = 15;
/// Fields of 4 bytes, by where they are in the record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    /// Bytes of the record, a multiple of the unit.
    Size = 0,
    Hash = 4,
    /// The next record with the same bucket.
    Next = 8,
    /// The records beside it in the order of ages.
    Older = 12,
    Newer = 16,
    /// The records beside it in its list of deadlines.
    Before = 20,
    Behind = 24,
    ValueBytes = 28,
}

/// Fields of 8 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Long {
    TouchedMs = 32,
    DeadlineMs = 40,
}

/// Fields of 2 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Half {
    /// The list of deadlines it is in; [`DEAD`] if the record is dead.
    List = 48,
    KeyBytes = 50,
}

pub(super) const DEAD: u16 = u16::MAX;
/// What is before the key. The value is behind the key, and what is not used behind that.
pub(super) const HEADER_BYTES: usize = 52;

/// What a record takes whose value may get as long as `room`.
pub(super) const fn record_bytes(key_bytes: usize, room: usize) -> usize {
    (HEADER_BYTES + key_bytes + room).next_multiple_of(UNIT_BYTES)
}

#[inline]
pub(super) fn place(segment: usize, offset: usize) -> At {
    (segment as u32) << PLACE_BITS | (offset / UNIT_BYTES) as u32
}

#[inline]
pub(super) fn segment_of(at: At) -> usize {
    (at >> PLACE_BITS) as usize
}

#[inline]
pub(super) fn offset_of(at: At) -> usize {
    (at & ((1 << PLACE_BITS) - 1)) as usize * UNIT_BYTES
}
