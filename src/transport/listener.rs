//! The listening sockets, of one family or another.
//!
//! It knows nothing of what connections are for. Its invariant: the file of a Unix socket is removed while the socket still
//! listens, so that no server takes the socket for one that was left behind.

use super::accept::{NotAccepted, reason};
use super::listen_addr::ListenAddr;
use super::socket::Socket;
use super::socket_file::SocketFile;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A listening socket. Several may be one socket of the system, each with a descriptor of its own.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixSide),
}

/// A listening Unix socket.
#[derive(Debug)]
pub struct UnixSide {
    /// Shared by all that listen on the same socket; `None` if the file belongs to somebody else. Dropped before `socket`.
    _file: Option<Arc<SocketFile>>,
    socket: UnixListener,
    addr: ListenAddr,
}

impl Listener {
    /// Takes over a TCP socket that listens.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn tcp(socket: std::net::TcpListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        Ok(Listener::Tcp(TcpListener::from_std(socket), addr))
    }

    /// Takes over a Unix socket that listens at `addr`. The file is removed with the last listener that has it.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn unix(
        socket: std::os::unix::net::UnixListener,
        addr: ListenAddr,
        file: Option<Arc<SocketFile>>,
    ) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Ok(Listener::Unix(UnixSide { _file: file, socket: UnixListener::from_std(socket), addr }))
    }

    /// Accepts the next connection. It has the options of the listening socket. A client of a Unix socket has no address.
    ///
    /// # Errors
    /// [`NotAccepted`] if there is none, or none can be accepted.
    pub fn accept(&self) -> Result<(Socket, Option<SocketAddr>), NotAccepted> {
        let accepted = match self {
            Listener::Tcp(socket, _) => {
                socket.accept().map(|(socket, peer)| (Socket::from(socket), Some(peer)))
            }
            Listener::Unix(unix) => unix.socket.accept().map(|(socket, _)| (Socket::from(socket), None)),
        };
        accepted.map_err(|error| reason(&error))
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> ListenAddr {
        match self {
            Listener::Tcp(_, addr) => ListenAddr::Tcp(*addr),
            Listener::Unix(unix) => unix.addr.clone(),
        }
    }
}

impl Source for Listener {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Listener::Tcp(socket, _) => socket.register(registry, token, interests),
            Listener::Unix(unix) => unix.socket.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Listener::Tcp(socket, _) => socket.reregister(registry, token, interests),
            Listener::Unix(unix) => unix.socket.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listener::Tcp(socket, _) => socket.deregister(registry),
            Listener::Unix(unix) => unix.socket.deregister(registry),
        }
    }
}
