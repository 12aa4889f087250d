//! What an application may know of the worker that it is made for.

use crate::engine::Handle;
use crate::transport::ListenAddr;
use std::sync::Arc;

/// The worker that an application is made for: the argument of the function that makes it.
#[derive(Debug, Clone)]
pub struct WorkerContext {
    /// The worker's number, from 0.
    pub index: usize,
    /// Reaches all workers of the server.
    pub handle: Handle,
    /// What the server listens on, in the order of [`Builder::bind`](crate::Builder::bind).
    pub addrs: Arc<[ListenAddr]>,
}
