//! WebSockets on a connection: frames to sessions, messages to the cork.
//!
//! It knows no connection record. Its invariant: the session belongs to the socket, which tells it the end once.

pub(super) mod compression;
pub(super) mod socket;
