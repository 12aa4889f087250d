//! The registry's errors as responses.
//!
//! It knows no route.

use fleeting::Error;

pub(super) fn no_client() -> Error {
    Error::not_found("There is no client with this id.")
}
