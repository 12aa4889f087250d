//! What an application learns about a request that is over.
//!
//! It knows no connection: the engine fills it in.

use super::ConnId;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A request that is over, for [`App::on_complete`](super::App::on_complete): its last byte has left, or its connection
/// has failed. See there for an example.
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) duration: Duration,
    pub(crate) peer: Option<SocketAddr>,
    /// What a trusted proxy says of its client.
    pub(crate) forwarded: Option<&'a IpAddr>,
    pub(crate) conn: ConnId,
    pub(crate) sent: bool,
}

impl<'a> Completion<'a> {
    /// Returns the method (RFC 9110 §9); empty if the head could not be read.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// Returns the target's path as it was sent; empty if the head could not be read.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// Returns the target's query as it was sent: the text behind the first `?`, if there is one.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Returns the path of the route as it was added, as [`Request::route`](super::Request::route) does.
    pub fn route(&self) -> Option<&'a str> {
        (!self.route.is_empty()).then_some(self.route)
    }

    /// Returns the status of the response. Returns `None` if the connection failed before there was one.
    pub fn status(&self) -> Option<u16> {
        (self.status != 0).then_some(self.status)
    }

    /// Returns the bytes of the request that were consumed: its head, and its content with its framing. It is 0 if the
    /// head could not be read.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Returns the bytes of the response, head and framing included, that the kernel has taken.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Returns the time from when the request was complete (for an upload: its head) until the kernel took the last byte
    /// of the response, or the connection failed.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns the peer's address, if the transport has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Returns the client's address, as [`Request::client_ip`](super::Request::client_ip) does; the peer's, if the head could not
    /// be read.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.forwarded.copied().or_else(|| self.peer.map(|peer| peer.ip()))
    }

    /// Returns the connection that the request arrived on.
    pub fn conn_id(&self) -> ConnId {
        self.conn
    }

    /// Whether the kernel took the whole response. If not, the connection failed, or was closed, before that.
    pub fn is_sent(&self) -> bool {
        self.sent
    }
}
