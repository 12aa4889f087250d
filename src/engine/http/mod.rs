//! HTTP on a connection: requests that are answered in one pass, and those that are not.
//!
//! It knows no connection record. Its invariant: each protocol owns its state and returns what the connection becomes.

pub(super) mod answer;
pub(super) mod receiving;
pub(super) mod requests;
pub(super) mod sending;
pub(super) mod subscribed;
pub(super) mod transfer;
pub(super) mod upgrade;
