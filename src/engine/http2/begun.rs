//! A stream that gets a record of its own, before it has one.
//!
//! It knows no connection. Its invariant: it becomes a record in the turn in which it began.

use super::held::Held;
use crate::buffer::{Inbox, Outbox};
use crate::engine::completions::Detached;
use crate::engine::http::transfer::{Stage, Transfer};
use crate::transport::Peer;

/// A stream that gets a record.
pub(in crate::engine) struct Begun {
    pub(in crate::engine) stream: u32,
    pub(in crate::engine) peer: Peer,
    pub(in crate::engine) work: Work,
    /// What was noted about its request for the completion hook.
    pub(in crate::engine) completion: Option<Detached>,
}

impl Begun {
    /// Lets a request have a record.
    pub(super) fn request(held: Held, peer: &Peer) -> Begun {
        let Held { stream, text } = held;
        Begun { stream, peer: peer.clone(), work: Work::Request(text), completion: None }
    }
}

/// What the record of a stream begins with.
pub(in crate::engine) enum Work {
    /// A request, as text in the form of HTTP/1.1.
    Request(Box<Inbox>),
    /// A response that waits for its client, with its head.
    Response(Box<Outbox>),
    /// A response that is not complete. The outbox has its head, if it is known.
    Transfer(Box<Transfer>, Option<Box<Outbox>>),
}

impl Work {
    /// Whether another thread makes the response: its status is not known.
    pub(super) fn is_deferred(&self) -> bool {
        matches!(self, Work::Transfer(transfer, _) if matches!(transfer.stage(), Stage::Deferred(_)))
    }
}
