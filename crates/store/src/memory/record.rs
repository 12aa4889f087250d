//! The layout of a record, and what its address means.
//!
//! ```text
//!   52 header: the fields below | key | value | unused
//! ```
//!
//! It knows no segment. The links of a record are fields like others; the orders that use them give them their meaning.

/// Where a record is: the number of its segment, then its offset there in units of 8 bytes.
pub(super) type Address = u32;

/// No record.
pub(super) const NONE: Address = u32::MAX;

pub(super) const UNIT_BYTES: usize = 8;
/// The bits of an address that hold the offset.
pub(super) const OFFSET_BITS: u32 = 15;

/// Fields of 4 bytes; the value is the offset in the record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    /// Bytes of the record, a multiple of the unit.
    Size = 0,
    Hash = 4,
    /// The next record in the chain of its bucket.
    ChainNext = 8,
    /// The neighbors in the order of ages.
    Older = 12,
    Newer = 16,
    /// The neighbors in its list of deadlines.
    ListPrevious = 20,
    ListNext = 24,
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
    /// The list of deadlines that the record is in; [`DEAD`] if the record is dead.
    List = 48,
    KeyBytes = 50,
}

pub(super) const DEAD: u16 = u16::MAX;
/// The bytes before the key.
pub(super) const HEADER_BYTES: usize = 52;

/// Returns the size of a record whose value may grow to `room` bytes.
pub(super) const fn record_bytes(key_bytes: usize, room: usize) -> usize {
    (HEADER_BYTES + key_bytes + room).next_multiple_of(UNIT_BYTES)
}

#[inline]
pub(super) fn address(segment: usize, offset: usize) -> Address {
    (segment as u32) << OFFSET_BITS | (offset / UNIT_BYTES) as u32
}

#[inline]
pub(super) fn segment_of(at: Address) -> usize {
    (at >> OFFSET_BITS) as usize
}

#[inline]
pub(super) fn offset_of(at: Address) -> usize {
    (at & ((1 << OFFSET_BITS) - 1)) as usize * UNIT_BYTES
}
