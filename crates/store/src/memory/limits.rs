//! The limits of a store in memory.

/// What a [`Memory`](super::Memory) may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Entries; at most 2³¹ − 1.
    pub entries: usize,
    /// Bytes of all keys and values, plus 60 to 67 bytes for each entry, which is the store's overhead. The resident
    /// memory may be half as much again while entries come and go.
    pub bytes: usize,
    /// Bytes of one value; less than 2 GiB.
    pub value_bytes: usize,
}

impl Default for StoreLimits {
    /// A million entries, 256 MiB in all, 1 MiB for one value.
    fn default() -> StoreLimits {
        StoreLimits { entries: 1_000_000, bytes: 256 << 20, value_bytes: 1 << 20 }
    }
}
