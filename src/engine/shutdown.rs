//! The outcome of a shutdown.
//!
//! Of a protocol it knows only the kind. Its invariant: a connection is listed if and only if something was cut off.

use super::conn::{Conn, Protocol};
use std::fmt;
use std::net::SocketAddr;

/// How many WebSockets were open when a shutdown began, and which connections were cut off at the end of the grace
/// period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// WebSockets that were closed with 1001 (RFC 6455 §7.4.1).
    pub websockets: u64,
    /// Connections with something under way at the end of the `grace` timeout. One that had its whole answer, and was only
    /// slow to close, is not listed.
    pub stragglers: Vec<Straggler>,
}

/// A connection that was cut off at the end of the grace period.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Straggler {
    /// The peer's address, where the transport has one.
    pub peer: Option<SocketAddr>,
    /// What it was doing.
    pub business: Business,
    /// Bytes in memory that the peer had not taken.
    pub queued_bytes: usize,
}

/// What a connection was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Business {
    /// A request that had not arrived completely, or an answer that was not taken.
    Request,
    /// Streamed content, or a deferred answer.
    Transfer,
    /// A WebSocket whose peer did not answer the Close.
    WebSocket,
}

impl ShutdownReport {
    /// Adds what another worker reports.
    pub(crate) fn add(&mut self, other: ShutdownReport) {
        self.websockets += other.websockets;
        self.stragglers.extend(other.stragglers);
    }
}

impl Straggler {
    pub(super) fn new<S>(conn: &Conn<S>) -> Straggler {
        let business = match conn.protocol {
            Protocol::Opening(_) | Protocol::Http(_) | Protocol::Http2(_) => Business::Request,
            Protocol::Transfer(_) => Business::Transfer,
            Protocol::WebSocket(..) => Business::WebSocket,
        };
        Straggler { peer: conn.peer.addr(), business, queued_bytes: conn.queued_bytes() }
    }
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(f, "{peer}: ")?,
            None => f.write_str("a peer without an address: ")?,
        }
        f.write_str(match self.business {
            Business::Request => "a request",
            Business::Transfer => "a transfer",
            Business::WebSocket => "a WebSocket",
        })?;
        write!(f, ", {} bytes not taken", self.queued_bytes)
    }
}
