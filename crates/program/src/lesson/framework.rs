//! What Fiber does around its handlers: reads requests into the buffer, and takes connection objects from the pool.
//!
//! It knows no socket, and not which of the three versions it is around. Its invariant: a handler gets nothing
//! of a request but what lies in the buffer.

use super::map::{Map, Seen};
use super::memory::{Buffer, Ctx};
use super::pool::{Pool, Slot};
use super::stage::{Application, Record};
use fleeting::ConnId;
use std::sync::Arc;

/// The handlers of the article's application.
pub(super) trait Handlers: Send + Sync {
    /// With this map as its global one.
    fn new(xpto: Map) -> Self;
    /// A client is stored under the X-Id it has sent.
    fn post(&self, c: &Ctx);
    /// A client's WebSocket has opened.
    fn open(&self, id: &str, conn: Slot);
    /// A client is taken out. Tells whether there was one.
    fn delete(&self, c: &Ctx) -> bool;
}

/// Handlers with Fiber around them.
pub(super) struct Framework<H> {
    buffer: Arc<Buffer>,
    pool: Pool,
    /// The handlers' map, to be looked at.
    xpto: Map,
    handlers: H,
}

impl<H: Handlers> Framework<H> {
    pub(super) fn new() -> Framework<H> {
        let buffer = Arc::new(Buffer::new());
        let xpto = Map::new(&buffer);
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
        let record = |Seen { key, value, conn, stored }| Record {
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
