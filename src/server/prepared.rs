//! A worker before its thread has it: what can be sent to that thread.
//!
//! Its invariant: a worker that never starts takes no connections, and refuses what is posted to it.

use super::ServeError;
use super::context::WorkerContext;
use crate::app::App;
use crate::engine::{Handle, Settings, Worker, WorkerParts};
use crate::transport::{ListenAddr, Listener, Security};
use std::fmt;
use std::net::SocketAddr;

/// A worker that is yet to be made, on the thread that will run it; from [`Builder::prepare`](super::Builder::prepare).
///
/// A [`Worker`] cannot change its thread, because its [`App`] need not be `Send`; this can. Its sockets listen already, so
/// clients wait until it has started. Dropping it closes them.
pub struct PreparedWorker {
    /// `None` once it has started.
    pub(super) parts: Option<WorkerParts>,
    pub(super) listeners: Vec<(Listener, Security)>,
    pub(super) settings: Settings,
    pub(super) context: WorkerContext,
}

impl PreparedWorker {
    /// Returns the worker's number, from 0.
    pub fn index(&self) -> usize {
        self.context.index
    }

    /// Returns a handle that reaches all workers of the server, also those that have not started.
    pub fn handle(&self) -> Handle {
        self.context.handle.clone()
    }

    /// Returns the TCP addresses it listens on, which are those of all workers of the server.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.context.addrs.iter().filter_map(ListenAddr::tcp).collect()
    }

    /// Returns all addresses it listens on, Unix sockets among them.
    pub fn listen_addrs(&self) -> &[ListenAddr] {
        &self.context.addrs
    }

    /// Makes the worker on the calling thread, which then runs it: see [`Worker`].
    ///
    /// # Errors
    /// [`ServeError::Route`] if a route is wrong, and [`ServeError::Io`]. The other workers go on.
    pub fn start(mut self, make: impl FnOnce(&WorkerContext) -> App) -> Result<Worker, ServeError> {
        let app = make(&self.context);
        let parts = self.parts.take().expect("it starts once");
        let mailbox = parts.mailbox.clone();
        let listeners = std::mem::take(&mut self.listeners);
        let worker = Worker::new(parts, &self.context.handle, listeners, app, self.settings.clone());
        Ok(worker.inspect_err(|_| mailbox.close())?)
    }
}

impl Drop for PreparedWorker {
    fn drop(&mut self) {
        if let Some(parts) = &self.parts {
            parts.mailbox.close();
        }
    }
}

impl fmt::Debug for PreparedWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedWorker").field("index", &self.context.index).finish_non_exhaustive()
    }
}
