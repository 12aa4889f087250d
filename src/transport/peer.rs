//! The address at the other end of a connection.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// A peer's address, if the transport has addresses. It is small because every connection stores one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    None,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Peer {
    /// Returns the address, if there is one.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        match self {
            Peer::None => None,
            Peer::V4(addr) => Some((*addr).into()),
            Peer::V6(addr) => Some((**addr).into()),
        }
    }
}

impl From<Option<SocketAddr>> for Peer {
    fn from(addr: Option<SocketAddr>) -> Peer {
        match addr {
            None => Peer::None,
            Some(SocketAddr::V4(addr)) => Peer::V4(addr),
            Some(SocketAddr::V6(addr)) => Peer::V6(Box::new(addr)),
        }
    }
}
