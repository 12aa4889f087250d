//! What a client is answered when the registry could not do what it asked.
//!
//! It knows no route.

use fleeting::Error;
use fleeting::app::Full;
use fleeting_store::StoreError;

pub(super) fn no_client() -> Error {
    Error::not_found("There is no client of this id.")
}

/// Nobody has the time to ask the store.
pub(super) fn busy(_full: Full) -> Error {
    Error::unavailable("Too many are waiting for the store.")
}

/// What a client is answered when the store has not done it.
pub(super) fn refusal(error: StoreError) -> Error {
    match error {
        // RFC 4918 §11.5.
        StoreError::Full => Error::new(507, "The store is full."),
        StoreError::Unavailable(_) => Error::unavailable(error.to_string()),
        _ => Error::internal(error.to_string()),
    }
}
