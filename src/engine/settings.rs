//! The settings of an engine.
//!
//! It knows no engine. Its invariant: the defaults are those of a server without any setting, except that streams are
//! given no bound on what they hold unsent.

use super::bounds::Bounds;
use crate::config::{HttpVersions, Io, Limits, Proxies, Timeouts};
use std::sync::Arc;
use std::time::Duration;

/// The settings of an engine.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How much a peer may send, and how much the worker may hold.
    pub limits: Limits,
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// A client may end its sending side while it waits for an answer: see
    /// [`Builder::half_close`](crate::Builder::half_close).
    pub half_close: bool,
    /// Bytes that a stream may hold unsent: see [`TcpOptions::unsent_bytes`](crate::TcpOptions::unsent_bytes).
    pub unsent_bytes: Option<u32>,
    /// The same while it carries messages: see
    /// [`TcpOptions::pushed_unsent_bytes`](crate::TcpOptions::pushed_unsent_bytes).
    pub pushed_unsent_bytes: Option<u32>,
    /// Which versions of HTTP connections may speak: see [`Builder::http`](crate::Builder::http).
    pub http: HttpVersions,
    /// How a [`Worker`](crate::Worker) writes what is published. An engine by itself writes through what
    /// [`submit_through`](crate::engine::Engine::submit_through) gives it.
    pub io: Io,
    /// How long a worker polls without waiting: see [`Builder::spin`](crate::Builder::spin).
    pub spin: Duration,
    /// Which peers are proxies: see [`Builder::proxies`](crate::Builder::proxies).
    pub proxies: Arc<Proxies>,
    #[doc(hidden)]
    pub bounds: Bounds,
    /// The worker's number, the first part of each of its connections' names ([`ConnId`](crate::ConnId)).
    pub worker: u16,
}
