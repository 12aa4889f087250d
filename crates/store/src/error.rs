//! Why a store has not done what it was asked to.

use super::KEY_BYTES_MAX;
use std::borrow::Cow;
use std::fmt;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is empty or has more than [`KEY_BYTES_MAX`] bytes.
    Key,
    /// The value has more bytes than the store takes.
    Value,
    /// The store holds as many entries or bytes as it may.
    Full,
    /// What is there is no number in decimal, or the sum is beyond an `i64`.
    NotANumber,
    /// The store cannot be reached, or did not answer in time; the sentence says which.
    Unavailable(Cow<'static, str>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Key => write!(f, "a key has 1 to {} bytes", KEY_BYTES_MAX),
            StoreError::Value => f.write_str("the value is too large for the store"),
            StoreError::Full => f.write_str("the store is full"),
            StoreError::NotANumber => f.write_str("the value is no number, or the sum is too large for one"),
            StoreError::Unavailable(why) => write!(f, "the store is not available: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
