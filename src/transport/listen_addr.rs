//! The address of a listening socket.
//!
//! It knows no socket. Its invariant: its text is an address that [`Builder::bind`](crate::Builder::bind) takes.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address that a server listens on. Its text, such as `127.0.0.1:8080` or `unix:/run/fleeting.sock`, is what
/// [`Builder::bind`](crate::Builder::bind) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddr {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The name of a Unix socket in Linux's abstract namespace (unix(7)), without the NUL before it.
    Abstract(Box<[u8]>),
}

impl ListenAddr {
    /// Returns the IP address and the port, if it is one of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddr::Tcp(addr) => Some(*addr),
            ListenAddr::Unix(_) | ListenAddr::Abstract(_) => None,
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(addr) => fmt::Display::fmt(addr, f),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
            ListenAddr::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}
