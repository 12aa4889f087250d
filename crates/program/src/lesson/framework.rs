//! What Fiber does around its handlers: it reads requests into the buffer and takes connection objects from the pool.
//!
//! It knows no socket, and not which of the three versions it runs. Its invariant: a handler of an HTTP request sees
//! only what lies in the buffer.

use super::application::{Application, Record};
use super::buffer::{Buffer, Ctx};
use super::go_map::{EntryView, GoMap};
use super::pool::{Pool, Slot};
use fleeting::ConnId;
use std::sync::Arc;

/// The handlers of the application.
pub(super) trait Handlers: Send + Sync {
    /// Creates the handlers, with `xpto` as their global map.
    fn new(xpto: GoMap) -> Self;
    /// Stores a client under the X-Id it has sent.
    fn post(&self, c: &Ctx);
    /// Handles a client's new WebSocket.
    fn open(&self, id: &str, conn: Slot);
    /// Removes a client. Returns whether there was one.
    fn delete(&self, c: &Ctx) -> bool;
}

/// Handlers inside the model of Fiber.
pub(super) struct Framework<H> {
    buffer: Arc<Buffer>,
    pool: Pool,
    /// The handlers' map, to report its records.
    xpto: GoMap,
    handlers: H,
}

impl<H: Handlers> Framework<H> {
    pub(super) fn new() -> Framework<H> {
        let buffer = Arc::new(Buffer::new());
        let xpto = GoMap::new(&buffer);
        Framework { buffer, pool: Pool::default(), handlers: H::new(xpto.clone()), xpto }
    }
}

impl<H: Handlers> Application for Framework<H> {
    fn post(&self, id: &str) {
        self.handlers.post(&Ctx::with_field(&self.buffer, id));
    }

    fn delete(&self, id: &str) -> bool {
        self.handlers.delete(&Ctx::with_param(&self.buffer, id))
    }

    fn open(&self, id: &str, conn: ConnId) {
        self.handlers.open(id, self.pool.acquire(conn));
    }

    fn close(&self, conn: ConnId) {
        self.pool.release(conn);
    }

    fn has(&self, id: &str) -> bool {
        self.xpto.has(id)
    }

    fn clear(&self) {
        self.xpto.clear();
    }

    fn records(&self) -> Vec<Record> {
        let record = |EntryView { key, value, conn, stored }| Record {
            key,
            value,
            found: self.xpto.has(&stored.key),
            stored_key: stored.key.into(),
            stored_value: stored.value.into(),
            conn: conn.and_then(|slot| self.pool.conn(slot)),
        };
        self.xpto.range().into_iter().map(record).collect()
    }
}
