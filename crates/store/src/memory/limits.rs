//! How much a store in memory may hold.

/// What a [`Memory`](super::Memory) may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of all keys and values, and 60 to 67 for each entry: what the store needs to find it. What is
    /// resident may be half as much again while entries come and go.
    pub bytes: usize,
    /// Bytes of one value; at most 2 GiB.
    pub value_bytes: usize,
}

impl Default for StoreLimits {
    /// A million entries, 256 MiB, a MiB each.
    fn default() -> StoreLimits {
        StoreLimits { entries: 1_000_000, bytes: 256 << 20, value_bytes: 1 << 20 }
    }
}
