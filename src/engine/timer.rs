//! What a connection is waiting for, and until when: the record.
//!
//! It knows no connection and no timeout; `deadlines` decides. Its invariant: a deadline is only a number. The wheel
//! holds an entry that fires at or before it, and arms it again if the deadline has moved on, so activity costs a
//! store, not an operation on the wheel.

use crate::time::Tick;

/// What must happen before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Waiting {
    /// The first byte of a request, or of the connection.
    #[default]
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a request's content.
    Content,
    /// The rest of content that is thrown away.
    Discard,
    /// An answer that another thread makes.
    Answer,
    /// The application, which may take as long as it likes.
    Application,
    /// The streams of an HTTP/2 connection, each of which has a deadline of its own.
    Streams,
    /// Something to send from an endless source.
    Quiet,
    /// The peer taking what is queued for it.
    Write,
    /// The peer's end, after our last answer.
    Linger,
    /// A frame.
    Frame,
    /// The peer's Close.
    Close,
}

/// A connection's deadline.
#[derive(Debug, Default)]
pub(super) struct Timer {
    pub(super) waiting: Waiting,
    /// Milliseconds: when the wait began, or when there was last activity that renews it.
    pub(super) since: u64,
    /// The first wait, for the first byte, is over.
    pub(super) has_begun: bool,
    /// Milliseconds; `u64::MAX` for none.
    pub(super) deadline: u64,
    /// The tick of the first wheel entry that will look at this connection; 0 for none.
    pub(super) armed: Tick,
    /// Milliseconds: when a WebSocket's peer last gave a sign of life. Accepting our data does not count: the peer's
    /// kernel may do that by itself.
    pub(super) heard: u64,
    /// The peer has given a sign of life since `heard` was last set.
    pub(super) is_heard: bool,
    /// A ping with the payload of [`ping_payload`](Timer::ping_payload) has been sent, and neither its answer nor any
    /// other frame has arrived since.
    pub(super) pinged: bool,
}

impl Timer {
    /// Returns the payload of a ping: the time at which the peer was last heard, which differs from ping to ping.
    pub(super) fn ping_payload(&self) -> [u8; 8] {
        self.heard.to_be_bytes()
    }

    /// Notes a sign of life of the peer.
    #[inline]
    pub(super) fn hear(&mut self) {
        self.is_heard = true;
    }

    /// Returns the payload of a ping that has not been answered. Without one, an unsolicited pong is a sign of life too
    /// (RFC 6455 §5.5.3).
    #[inline]
    pub(super) fn unanswered_ping(&self) -> Option<[u8; 8]> {
        self.pinged.then(|| self.ping_payload())
    }
}
