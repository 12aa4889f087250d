//! Checks that several routes make of a request: its content and its origin.

pub(crate) mod content;
pub(crate) mod origin;
