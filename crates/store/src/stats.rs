//! What a store knows of itself.

use std::time::Duration;

/// How much there is in a store, and what has become of the rest: what to look at now and then, for what is
/// never taken out. What a store does not know is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Entries that are there. One whose life is over counts until it has been taken out.
    pub entries: Option<u64>,
    /// Entries there may be.
    pub entries_max: Option<u64>,
    /// Bytes that they take, what the store needs for each included.
    pub bytes: Option<u64>,
    /// Bytes they may take.
    pub bytes_max: Option<u64>,
    /// For how long the entry that was left alone longest has been neither written nor renewed; `None` also if
    /// there is none.
    pub oldest: Option<Duration>,
    /// Entries taken out because their life was over, since the store began.
    pub expired: Option<u64>,
    /// Operations refused because the store was full, since it began.
    pub refused: Option<u64>,
}
