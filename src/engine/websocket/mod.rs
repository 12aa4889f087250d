//! WebSockets on a connection: frames to sessions, messages to the cork.
//!
//! It knows no connection record. Its invariant: a socket owns its session, and reports the end to it once.

pub(super) mod compression;
pub(super) mod sender;
pub(super) mod socket;
