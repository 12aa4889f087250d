//! What a store reports about itself.

use std::time::Duration;

/// The size of a store and what has happened to its entries, for monitoring. A field is `None` if the store does not
/// know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Entries in the store. An expired entry counts until it is removed.
    pub entries: Option<u64>,
    /// The limit of `entries`.
    pub entries_max: Option<u64>,
    /// Bytes that the entries use, including the store's overhead for each.
    pub bytes: Option<u64>,
    /// The limit of `bytes`.
    pub bytes_max: Option<u64>,
    /// The longest time for which an entry has been neither written nor renewed. Also `None` if there is no entry.
    pub oldest: Option<Duration>,
    /// Entries removed because they had expired, since the store was created.
    pub expired: Option<u64>,
    /// Operations refused because the store was full, since it was created.
    pub refused: Option<u64>,
}
