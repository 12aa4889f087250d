//! The address at the other end of a connection.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
#[cfg(feature = "tls")]
use std::sync::{Arc, OnceLock};

/// A peer's address, if the transport has addresses. It is small because every connection stores one. That of an IPv4 client
/// is an IPv4 address, whatever socket it was accepted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    None,
    /// The client of a Unix socket.
    Unix,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
    /// With TLS.
    #[cfg(feature = "tls")]
    Secured(Arc<SecuredPeer>),
}

/// The other end of a connection with TLS.
#[cfg(feature = "tls")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SecuredPeer {
    /// `None` for the client of a Unix socket.
    addr: Option<SocketAddr>,
    /// Set when the handshake is complete, if the client has shown certificates.
    certificates: OnceLock<Vec<Box<[u8]>>>,
}

#[cfg(feature = "tls")]
impl SecuredPeer {
    pub(crate) fn new(addr: Option<SocketAddr>) -> Arc<SecuredPeer> {
        let addr = Peer::from(addr).addr();
        Arc::new(SecuredPeer { addr, certificates: OnceLock::new() })
    }

    /// Notes the certificates that the client has shown, its own first, in DER.
    pub(super) fn show<'a>(&self, certificates: impl Iterator<Item = &'a [u8]>) {
        let certificates: Vec<_> = certificates.map(Box::from).collect();
        if !certificates.is_empty() {
            let _ = self.certificates.set(certificates);
        }
    }
}

impl Peer {
    /// Returns the address, if there is one.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        match self {
            Peer::None | Peer::Unix => None,
            Peer::V4(addr) => Some((*addr).into()),
            Peer::V6(addr) => Some((**addr).into()),
            #[cfg(feature = "tls")]
            Peer::Secured(peer) => peer.addr,
        }
    }

    /// Whether the peer may be a browser on this machine: one with an address of the loopback, or on a transport that knows no
    /// addresses. A browser opens no Unix sockets.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.addr() {
            Some(addr) => addr.ip().is_loopback(),
            None => matches!(self, Peer::None),
        }
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return matches!(self, Peer::Secured(_));
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// Returns the certificates that the peer has shown, its own first, in DER.
    #[cfg(feature = "tls")]
    pub(crate) fn certificates(&self) -> &[Box<[u8]>] {
        match self {
            Peer::Secured(peer) => peer.certificates.get().map_or(&[], |certificates| certificates),
            _ => &[],
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

    #[test]
    fn the_client_of_a_unix_socket_has_no_address_and_is_not_on_the_loopback() {
        assert_eq!((Peer::Unix.addr(), Peer::Unix.is_loopback()), (None, false));
        #[cfg(feature = "tls")]
        {
            let secured = Peer::Secured(SecuredPeer::new(None));
            assert_eq!((secured.addr(), secured.is_loopback()), (None, false));
        }
        assert!(Peer::None.is_loopback(), "a transport without addresses");
        for (addr, expected) in [("127.0.0.9:1", true), ("[::1]:1", true), ("10.0.0.7:1", false)] {
            assert_eq!(Peer::from(addr.parse().ok()).is_loopback(), expected, "{addr}");
        }
    }
}
