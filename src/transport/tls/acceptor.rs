//! Where the TLS connections of a worker begin.
//!
//! It knows no listening socket. Its invariant: a connection keeps the configuration that it began with.

use super::config::Tls;
use super::session::Session;
use super::shared::{HANDSHAKES_A_TURN, Shared};
use super::stream::TlsStream;
use crate::buffer::Memory;
use crate::config::HttpVersions;
use crate::transport::Stream;
use crate::transport::peer::KnownPeer;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Begins TLS on the connections of one worker.
pub struct TlsAcceptor {
    shared: Rc<Shared>,
    http: HttpVersions,
}

impl TlsAcceptor {
    /// Connections that a turn begins. More of them would wait here instead of in the backlog, with memory of their own, and
    /// beginning them would keep the others waiting.
    pub const ACCEPTS_A_TURN: usize = 2 * HANDSHAKES_A_TURN as usize;

    /// `memory` is what connections are charged to; `http` are the versions that clients may choose from.
    pub fn new(memory: Arc<Memory>, http: HttpVersions) -> TlsAcceptor {
        TlsAcceptor { shared: Rc::new(Shared::new(memory)), http }
    }

    /// Begins a turn, which bounds how many handshakes are answered.
    #[inline]
    pub fn begin_turn(&self) {
        self.shared.begin_turn();
    }

    /// Puts TLS on top of a stream that was accepted. Its certificates are noted in `peer`.
    ///
    /// # Errors
    /// The configuration cannot be used, or there is no memory.
    pub fn accept<S: Stream>(&self, stream: S, tls: &Tls, peer: Arc<KnownPeer>) -> io::Result<TlsStream<S>> {
        let session = Session::new(tls.current(self.http)).map_err(io::Error::other)?;
        TlsStream::new(stream, session, peer, self.shared.clone())
    }
}
