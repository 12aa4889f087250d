//! The stream of a client that a listening socket has accepted.
//!
//! It knows no listening socket. Its invariant: it is registered with the poll as the socket at its bottom.

use super::peer::{KnownPeer, Peer};
use super::proxy::ProxiedStream;
use super::socket::Socket;
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::{Tls, TlsAcceptor, TlsStream};
use crate::buffer::Memory;
use crate::config::{HttpVersions, Proxies};
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

/// The stream of an accepted client.
pub enum Connection {
    Plain(Socket),
    /// That of a proxy, which begins with a header.
    Proxied(Box<ProxiedStream<Socket>>),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<ProxiedStream<Socket>>>),
}

/// What is put on top of the sockets that a listening socket accepts.
#[derive(Clone, Default)]
pub enum Security {
    #[default]
    None,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

/// Makes connections of the sockets that a worker has accepted.
pub struct Opener {
    proxies: Arc<Proxies>,
    memory: Arc<Memory>,
    #[cfg(feature = "tls")]
    tls: TlsAcceptor,
}

impl Opener {
    /// `memory` is what connections are charged to; `http` are the versions that TLS offers.
    pub fn new(memory: &Arc<Memory>, proxies: Arc<Proxies>, http: HttpVersions) -> Opener {
        #[cfg(not(feature = "tls"))]
        let _ = http;
        Opener {
            proxies,
            memory: memory.clone(),
            #[cfg(feature = "tls")]
            tls: TlsAcceptor::new(memory.clone(), http),
        }
    }

    /// Begins a turn, which bounds what opening connections may cost.
    #[inline]
    pub fn begin_turn(&self) {
        #[cfg(feature = "tls")]
        self.tls.begin_turn();
    }

    /// Returns how many connections a turn may open: with TLS, no more than it can soon answer.
    pub fn accepts_a_turn(&self, security: &Security) -> usize {
        match security {
            Security::None => usize::MAX,
            #[cfg(feature = "tls")]
            Security::Tls(_) => TlsAcceptor::ACCEPTS_A_TURN,
        }
    }

    /// Makes a connection of a socket that was accepted from `addr`, if that is an IP address.
    ///
    /// # Errors
    /// Its security cannot be set up.
    pub fn open(
        &self,
        socket: Socket,
        addr: Option<SocketAddr>,
        security: &Security,
    ) -> io::Result<(Connection, Peer)> {
        let ip = addr.map(|addr| addr.ip());
        let (is_announced, is_trusted) = (self.proxies.announces(ip), self.proxies.trusts(ip));
        let is_secured = !matches!(security, Security::None);
        if !(is_announced || is_trusted || is_secured) {
            let peer = if addr.is_some() { addr.into() } else { Peer::Unix };
            return Ok((Connection::Plain(socket), peer));
        }
        let proxies = (is_announced || is_trusted).then(|| self.proxies.clone());
        let peer = Arc::new(KnownPeer::new(addr, is_secured, proxies));
        let proxied = |socket| {
            let announced = is_announced.then(|| peer.clone());
            ProxiedStream::new(socket, announced, &self.memory)
        };
        let connection = match security {
            Security::None if is_announced => Connection::Proxied(Box::new(proxied(socket))),
            Security::None => Connection::Plain(socket),
            #[cfg(feature = "tls")]
            Security::Tls(tls) => {
                Connection::Tls(Box::new(self.tls.accept(proxied(socket), tls, peer.clone())?))
            }
        };
        Ok((connection, Peer::Known(peer)))
    }
}

/// Calls a method of the stream, whichever it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self {
            Connection::Plain($stream) => $call,
            Connection::Proxied($stream) => $call,
            #[cfg(feature = "tls")]
            Connection::Tls($stream) => $call,
        }
    };
}

impl Connection {
    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Connection::Plain(socket) => socket,
            Connection::Proxied(stream) => stream.inner_mut(),
            #[cfg(feature = "tls")]
            Connection::Tls(stream) => stream.inner_mut().inner_mut(),
        }
    }
}

impl Stream for Connection {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, stream => stream.read(buffer))
    }

    #[inline]
    fn is_drained_by(&self, bytes: usize, room: usize) -> bool {
        each!(self, stream => stream.is_drained_by(bytes, room))
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.write(buffer))
    }

    #[inline]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, stream => stream.write_vectored(buffers))
    }

    #[inline]
    fn wants_write(&self) -> bool {
        each!(self, stream => stream.wants_write())
    }

    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        each!(self, stream => stream.send_file(file, offset, bytes))
    }

    fn socket(&self) -> Option<RawFd> {
        each!(self, stream => stream.socket())
    }

    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        each!(self, stream => stream.limit_unsent(bytes))
    }

    fn application_protocol(&self) -> Option<&[u8]> {
        each!(self, stream => stream.application_protocol())
    }

    fn announce_end(&mut self) {
        each!(self, stream => stream.announce_end());
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        each!(self, stream => stream.shutdown_write())
    }
}

impl Source for Connection {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket_mut().deregister(registry)
    }
}
