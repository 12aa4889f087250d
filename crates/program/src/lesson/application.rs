//! What each version of the application offers the routes.
//!
//! It knows no version and no request. Its invariant: a caller cannot tell the versions apart except by their records.

use fleeting::ConnId;

/// A version of the application, as the routes use it.
pub(super) trait Application: Send + Sync {
    /// Stores a client under its id.
    fn post(&self, id: &str);
    /// Takes a client's record out. Tells whether there was one.
    fn delete(&self, id: &str) -> bool;
    /// A client's WebSocket has opened: its record, if there is one, remembers the connection.
    fn open(&self, id: &str, conn: ConnId);
    /// It has closed.
    fn close(&self, conn: ConnId);
    /// Whether there is a record of this id.
    fn has(&self, id: &str) -> bool;
    /// Takes all records out.
    fn clear(&self);
    /// The whole map, as it is now.
    fn records(&self) -> Vec<Record>;
}

/// A record as it is now.
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: String,
    /// What the key was when it was stored.
    pub(super) stored_key: String,
    pub(super) stored_value: String,
    /// Whether a lookup of the key that was stored comes to a record.
    pub(super) found: bool,
    /// Where the record's connection leads to.
    pub(super) conn: Option<ConnId>,
}
