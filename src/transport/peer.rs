//! Who is at the other end.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// A peer's address, where the transport has one: kept small, because every connection has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    None,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Peer {
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
