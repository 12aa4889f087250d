//! Checks that several routes make of a request: its content, its host and its origin.

pub(crate) mod content;
pub(crate) mod site;
