//! What other threads hold of a running server, and how they reach its workers.
//!
//! It knows no connection record. Its invariant: another thread can only post commands to a worker's mailbox.

pub(super) mod handle;
pub(super) mod lobby;
pub(super) mod losses;
pub(super) mod mailbox;
pub(super) mod question;
pub(super) mod subscription;
