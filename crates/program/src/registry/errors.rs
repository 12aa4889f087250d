//! The registry's errors as responses.
//!
//! It knows no route.

use fleeting::Error;
use fleeting::Full;
use fleeting_store::StoreError;

pub(super) fn no_client() -> Error {
    Error::not_found("There is no client with this id.")
}

/// Every thread that asks the store is busy, and their queue is full.
pub(super) fn busy(_full: Full) -> Error {
    Error::unavailable("Too many requests are waiting for the store.")
}

/// Returns the response to a client whose request the store refused.
pub(super) fn store_error(error: StoreError) -> Error {
    match error {
        // RFC 4918 §11.5.
        StoreError::Full => Error::new(507, "The store is full."),
        StoreError::Unavailable(_) => Error::unavailable(error.to_string()),
        _ => Error::internal(error.to_string()),
    }
}
