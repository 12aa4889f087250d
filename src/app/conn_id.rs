//! The identifier of a connection, which is never reused.

use std::fmt;

/// Identifies one connection for as long as the server runs.
///
/// The record of a closed connection is reused, but its `ConnId` is not, so a stale one finds nothing. A
/// `ConnId` is `Copy` and borrows nothing, so a session, a map or another thread may hold it. It displays as
/// `worker-index-generation`, for example `0-17-3`.
///
/// ```no_run
/// use fleeting::ws::CloseCode;
/// use fleeting::{ConnId, Handle, Message};
///
/// /// Sends a goodbye to a WebSocket, from any thread.
/// fn dismiss(handle: &Handle, conn: ConnId) {
///     // The message and the close are ignored if the connection is gone. An error means that its worker has
///     // ended, or that the worker's mailbox is full.
///     let _ = handle.send(conn, Message::Text("goodbye"));
///     let _ = handle.close(conn, CloseCode::NORMAL, "");
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) worker: u16,
    /// Index of the record in the worker's table.
    pub(crate) index: u32,
    /// Distinguishes the connections that used the same record, one after the other.
    pub(crate) generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.worker, self.index, self.generation)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({self})")
    }
}
