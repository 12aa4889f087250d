//! The name of a connection, never given twice.

use std::fmt;

/// Names one connection for as long as the server runs.
///
/// The record of a closed connection is used again, its `ConnId` is not: a stale one finds nothing.
/// It is `Copy` and borrows nothing, so a session, a map or another thread may hold it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) worker: u16,
    /// Index of the record in the worker's table.
    pub(crate) index: u32,
    /// Tells apart the connections that have used the record, one after the other.
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
