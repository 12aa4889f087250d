//! The trait that every store implements.

use super::{Cursor, Page, StoreError, StoreStats};
use fleeting::Arena;
use std::time::Duration;

/// Values under keys, each for as long as it is told to live.
///
/// Each operation is one atomic step, also among threads and, if several processes share the store, among
/// those. Keys are text of 1 to [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX) bytes; values are bytes, empty ones as well. A `life` is the
/// time from now on after which the entry is gone, in milliseconds, rounded up; `None` is for ever, and one of
/// zero is over at once. An entry whose life is over is found by no operation.
///
/// A number is decimal text as `i64` is written: without a plus, white space or zeros in front.
///
/// An operation that fails with an error other than [`StoreError::Unavailable`] has changed nothing. After
/// `Unavailable` it may have been done or not: nobody knows.
pub trait Store: Send + Sync {
    /// A copy of the value, in the arena.
    ///
    /// # Errors
    /// [`StoreError`], as for all operations.
    fn get<'a>(&self, key: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError>;

    /// Puts a copy of `value` in, whatever was there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Full`] if there is no room for it, [`StoreError::Value`] if there never is.
    fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), StoreError>;

    /// Takes the entry out. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn delete(&self, key: &str) -> Result<bool, StoreError>;

    /// Gives the entry another life, from now on. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn renew(&self, key: &str, life: Option<Duration>) -> Result<bool, StoreError>;

    /// Copies of entries whose keys begin with `prefix`, up to about `limit` of them. The first call is with
    /// [`Cursor::START`], each other one with what the one before it returned, until that is `None`; a page on
    /// the way may be empty.
    ///
    /// What is there from the first call to the last is told at least once; what comes or goes meanwhile may be
    /// told or not. The order is the store's own.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scan<'a>(
        &self,
        prefix: &str,
        from: Cursor,
        limit: usize,
        arena: &'a Arena,
    ) -> Result<Page<'a>, StoreError>;

    /// Adds to the number that is there, 0 if there is nothing, and returns the sum. `life` is
    /// for an entry that begins with it; one that was there keeps its own.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::NotANumber`] if the value is no number, or the sum is beyond an `i64`.
    fn increment(&self, key: &str, by: i64, life: Option<Duration>) -> Result<i64, StoreError>;

    /// Puts a copy of `value` in if what is there is `expected` (`None`: if there is nothing). Whether it was.
    ///
    /// # Errors
    /// As [`set`](Store::set).
    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<bool, StoreError>;

    /// Whether an operation may wait, for a network: then it is not for a thread that serves.
    fn waits(&self) -> bool;

    /// Takes out up to `most` entries whose life is over, and tells how many those were: if it is fewer, none is
    /// left. Called a few times a second it gives memory back of entries that nobody asks for. A store that
    /// does so by itself has nothing to do.
    fn expire(&self, most: usize) -> usize {
        let _ = most;
        0
    }

    /// What it knows of itself, without waiting.
    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
}
