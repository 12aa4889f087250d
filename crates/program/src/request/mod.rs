//! What several routes ask of a request.

pub(crate) mod content;
pub(crate) mod origin;
