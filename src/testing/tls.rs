//! TLS on connections in memory: the server's side.
//!
//! It knows no engine. Its invariant: what its streams have charged is given back when they are dropped.

use crate::buffer::Memory;
use crate::config::HttpVersions;
use crate::transport::{KnownPeer, Stream, Tls, TlsAcceptor, TlsStream};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Puts TLS on streams.
pub struct TlsLayer {
    acceptor: TlsAcceptor,
    tls: Tls,
    memory: Arc<Memory>,
}

impl TlsLayer {
    /// Makes a layer with the certificates of `tls`.
    pub fn new(tls: Tls) -> TlsLayer {
        let memory = Memory::new(usize::MAX);
        TlsLayer { acceptor: TlsAcceptor::new(memory.clone(), HttpVersions::Both), tls, memory }
    }

    /// Begins a turn, in which a few handshakes are answered.
    pub fn begin_turn(&self) {
        self.acceptor.begin_turn();
    }

    /// Puts TLS on top of a stream.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn accept<S: Stream>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let peer = Arc::new(KnownPeer::new(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))), true, None));
        self.acceptor.accept(stream, &self.tls, peer)
    }

    /// Returns the bytes that its streams have.
    pub fn memory_bytes(&self) -> usize {
        self.memory.used_bytes()
    }
}
