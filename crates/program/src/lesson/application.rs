//! The interface between the routes and a version of the application.
//!
//! It knows no version and no request. Its invariant: the routes can tell two versions apart only by their records.

use fleeting::ConnId;

/// A version of the application, as the routes use it.
pub(super) trait Application: Send + Sync {
    /// Stores a client under its id.
    fn post(&self, id: &str);
    /// Removes a client's record. Returns whether there was one.
    fn delete(&self, id: &str) -> bool;
    /// Handles a client's new WebSocket: the client's record, if there is one, remembers the connection.
    fn open(&self, id: &str, conn: ConnId);
    /// Handles the end of a WebSocket.
    fn close(&self, conn: ConnId);
    /// Returns whether a lookup of this id finds a record.
    fn has(&self, id: &str) -> bool;
    /// Removes all records.
    fn clear(&self);
    /// Returns all records as they are now.
    fn records(&self) -> Vec<Record>;
}

/// A record as it is now.
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: String,
    /// The key at the time it was stored.
    pub(super) stored_key: String,
    /// The value at the time it was stored.
    pub(super) stored_value: String,
    /// Whether a lookup of the stored key finds a record.
    pub(super) found: bool,
    /// The connection that the record leads to now.
    pub(super) conn: Option<ConnId>,
}
