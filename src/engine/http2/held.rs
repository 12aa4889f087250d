//! A request that is held back for the rest of its connection's turn, because its content may arrive in it.
//!
//! It knows no connection. Its invariant: it has a record, or its answer, when the turn is over.

use super::begun::{Begun, Work};
use crate::buffer::Inbox;
use crate::transport::Peer;

/// A request without its content.
pub(in crate::engine) struct Held {
    pub(super) stream: u32,
    /// Its head, as text in the form of HTTP/1.1.
    pub(super) text: Box<Inbox>,
}

impl Held {
    /// Lets the request have a record.
    pub(super) fn begun(self, peer: &Peer) -> Begun {
        let Held { stream, text } = self;
        Begun { stream, peer: peer.clone(), work: Work::Request(text), completion: None }
    }
}
