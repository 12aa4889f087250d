//! The address at the other end of a connection.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// A peer's address, if the transport has addresses. It is small because every connection stores one. That of an IPv4 client
/// is an IPv4 address, whatever socket it was accepted from.
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
            // An IPv4 client of a socket for both versions (RFC 4291 §2.5.5.2).
            Some(SocketAddr::V6(addr)) => match addr.ip().to_ipv4_mapped() {
                Some(ip) => Peer::V4(SocketAddrV4::new(ip, addr.port())),
                None => Peer::V6(Box::new(addr)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_that_of_an_ipv4_client() {
        fn check(addr: &str, expected: &str) {
            let peer = Peer::from(Some(addr.parse().unwrap()));
            assert_eq!(peer.addr(), Some(expected.parse().unwrap()));
        }
        check("1.2.3.4:5", "1.2.3.4:5");
        check("[::ffff:1.2.3.4]:5", "1.2.3.4:5");
        check("[::1]:5", "[::1]:5");
        // Only compatible (RFC 4291 §2.5.5.1), not mapped.
        check("[::1.2.3.4]:5", "[::1.2.3.4]:5");
        assert_eq!(Peer::from(None).addr(), None);
    }
}
