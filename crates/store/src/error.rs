//! The errors of a store.

use super::KEY_BYTES_MAX;
use std::borrow::Cow;
use std::fmt;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is empty or longer than [`KEY_BYTES_MAX`].
    Key,
    /// The value exceeds the size that the store accepts.
    Value,
    /// The store has reached its limit of entries or bytes.
    Full,
    /// The value is not a decimal number, or the sum exceeds the range of `i64`.
    NotANumber,
    /// The store cannot be reached or did not answer in time. The text is the reason, as a clause that can follow
    /// "the store is unavailable: ". It may change in any release.
    Unavailable(Cow<'static, str>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Key => write!(f, "a key must have 1 to {KEY_BYTES_MAX} bytes"),
            StoreError::Value => f.write_str("the value is too large for the store"),
            StoreError::Full => f.write_str("the store is full"),
            StoreError::NotANumber => f.write_str(
                "the value is not a number, or the sum exceeds the range of a signed 64-bit number",
            ),
            StoreError::Unavailable(why) => write!(f, "the store is unavailable: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The response says nothing about the store. Its status is 503 with Retry-After if the store is unavailable, 507 (RFC 4918
/// §11.5) if it is full, 400 for an invalid key, 413 for a value that is too large, and 409 for one that is not a number.
impl From<StoreError> for fleeting::Error {
    fn from(error: StoreError) -> fleeting::Error {
        match error {
            StoreError::Key => fleeting::Error::bad_request("The key is empty or too long."),
            StoreError::Value => fleeting::Error::new(413, "The value is too large."),
            StoreError::Full => fleeting::Error::new(507, "There is no room for the value."),
            StoreError::NotANumber => {
                fleeting::Error::new(409, "The value is not a number that can be changed so.")
            }
            StoreError::Unavailable(_) => {
                let error = fleeting::Error::unavailable("The store is not available.");
                // A second: an attempt to connect again is due by then.
                error.header("retry-after", "1")
            }
        }
    }
}
