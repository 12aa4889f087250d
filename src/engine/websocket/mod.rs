//! WebSockets on a connection: frames to sessions, messages to the cork.
//!
//! It knows no connection record. Its invariant: the socket owns its session and tells it the end once.

pub(super) mod compression;
pub(super) mod sender;
pub(super) mod socket;
