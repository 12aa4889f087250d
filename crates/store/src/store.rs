//! The trait that every store implements.

use super::{Cursor, Page, StoreError, StoreStats};
use fleeting::Arena;
use std::time::Duration;

/// A key-value store whose entries can expire.
///
/// # Contract
///
/// *Keys* are text of 1 to [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX) bytes. *Values* are bytes and may be empty. The
/// store copies both before a method returns.
///
/// *Atomicity.* Each operation on one key is a single atomic step: among threads and, if several processes share the
/// store, among those processes. A [`scan`](Store::scan) is not a snapshot.
///
/// *Expiry.* A `ttl` (time to live) counts from the moment of the call, in milliseconds, rounded up. `None` means that
/// the entry never expires; a `ttl` of zero means that it has expired at once. No operation finds an expired entry.
///
/// *Numbers.* [`increment`](Store::increment) reads and writes decimal text exactly as `i64` is formatted: no plus sign,
/// no white space, no leading zeros.
///
/// *Errors.* An operation that fails with any error but [`StoreError::Unavailable`] has changed nothing. After
/// `Unavailable` it is unknown whether the operation took effect.
///
/// # Example
///
/// ```
/// use fleeting::Arena;
/// use fleeting_store::{Memory, Store, StoreError};
/// use std::time::Duration;
///
/// /// Returns whether the client may go on: it may send 100 requests in each minute.
/// fn within_rate(store: &dyn Store, client: &str) -> Result<bool, StoreError> {
///     Ok(store.increment(client, 1, Some(Duration::from_secs(60)))? <= 100)
/// }
///
/// let store = Memory::default();
/// assert!(within_rate(&store, "rate:192.0.2.7")?);
/// assert_eq!(store.get("rate:192.0.2.7", &Arena::new(64))?, Some(&b"1"[..]));
/// # Ok::<(), StoreError>(())
/// ```
pub trait Store: Send + Sync {
    /// Returns a copy of the value, allocated in `arena`; `None` if there is no entry.
    ///
    /// # Errors
    /// [`StoreError::Key`] and [`StoreError::Unavailable`], like every operation that takes a key.
    fn get<'a>(&self, key: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError>;

    /// Stores a copy of `value`. An existing entry is replaced, its `ttl` included.
    ///
    /// # Errors
    /// Those of [`get`](Store::get); [`StoreError::Full`] if the store has no room for the entry;
    /// [`StoreError::Value`] if the value exceeds the size that the store accepts.
    fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), StoreError>;

    /// Removes the entry. Returns whether there was one.
    ///
    /// # Errors
    /// Those of [`get`](Store::get).
    fn delete(&self, key: &str) -> Result<bool, StoreError>;

    /// Replaces the `ttl` of an entry and leaves its value. Returns whether there was an entry.
    ///
    /// # Errors
    /// Those of [`get`](Store::get).
    fn renew(&self, key: &str, ttl: Option<Duration>) -> Result<bool, StoreError>;

    /// Returns copies of entries whose keys start with `prefix`, about `limit` of them at most, allocated in `arena`.
    ///
    /// The first call passes [`Cursor::START`]. Each further call passes [`Page::next`] of the previous page, until that
    /// is `None`. A page before the last may be empty.
    ///
    /// An entry that exists from the first call to the last is returned at least once. An entry that is added or removed
    /// in between may be returned or not. The order of the entries is unspecified.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn scan<'a>(
        &self,
        prefix: &str,
        from: Cursor,
        limit: usize,
        arena: &'a Arena,
    ) -> Result<Page<'a>, StoreError>;

    /// Adds `by` to the number under `key` and returns the sum. A missing entry counts as 0.
    ///
    /// `ttl` applies to an entry that this call creates; an existing entry keeps its own.
    ///
    /// # Errors
    /// Those of [`get`](Store::get); [`StoreError::Full`] if the store has no room for the entry;
    /// [`StoreError::NotANumber`] if the value is not a number or the sum exceeds the range of `i64`.
    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, StoreError>;

    /// Stores a copy of `value` with `ttl` if the current value equals `expected`, where `None` stands for a missing
    /// entry. Returns whether it did.
    ///
    /// # Errors
    /// Those of [`set`](Store::set).
    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, StoreError>;

    /// Returns whether operations may block, for instance on a network. If they may, do not call them on a worker
    /// thread of the server; use [`Offload`](fleeting::Offload) there.
    fn waits(&self) -> bool;

    /// Removes up to `max` expired entries and returns how many it removed. A result below `max` means that none is
    /// left.
    ///
    /// Call this a few times a second to free the memory of expired entries that no operation touches. The default does
    /// nothing and returns 0, which suits a store that removes expired entries by itself.
    fn expire(&self, max: usize) -> usize {
        let _ = max;
        0
    }

    /// Returns what the store knows about itself, without blocking. The default knows nothing.
    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}
