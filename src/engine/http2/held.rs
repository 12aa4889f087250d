//! A request that is held back for the rest of its connection's turn, because its content may arrive in it.
//!
//! It knows no connection. Its invariant: it has a record, or its answer, when the turn is over.

use crate::buffer::Inbox;

/// A request without its content.
pub(in crate::engine) struct Held {
    pub(super) stream: u32,
    /// Its head, as text in the form of HTTP/1.1.
    pub(super) text: Box<Inbox>,
}
