//! The address at the other end of a connection.

use super::proxy::ProxyHeader;
use crate::config::Proxies;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
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
    /// One with TLS, or a proxy.
    Known(Arc<KnownPeer>),
}

/// A peer of which more may become known than its address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KnownPeer {
    /// `None` for the client of a Unix socket.
    addr: Option<SocketAddr>,
    is_secured: bool,
    /// Set when the handshake is complete, if the client has shown certificates.
    #[cfg(feature = "tls")]
    certificates: OnceLock<Vec<Box<[u8]>>>,
    /// Set when the PROXY header is complete.
    header: OnceLock<Box<ProxyHeader>>,
    /// If it is a proxy: those that are believed.
    proxies: Option<Arc<Proxies>>,
}

impl KnownPeer {
    /// `is_secured`: there is TLS. `proxies`: those that are believed, if it is one.
    pub(crate) fn new(
        addr: Option<SocketAddr>,
        is_secured: bool,
        proxies: Option<Arc<Proxies>>,
    ) -> KnownPeer {
        KnownPeer {
            addr: addr.map(canonical),
            is_secured,
            #[cfg(feature = "tls")]
            certificates: OnceLock::new(),
            header: OnceLock::new(),
            proxies,
        }
    }

    /// Notes the certificates that the client has shown, its own first, in DER.
    #[cfg(feature = "tls")]
    pub(super) fn show<'a>(&self, certificates: impl Iterator<Item = &'a [u8]>) {
        let certificates: Vec<_> = certificates.map(Box::from).collect();
        if !certificates.is_empty() {
            let _ = self.certificates.set(certificates);
        }
    }

    /// Notes what the proxy says about its client.
    pub(super) fn announce(&self, header: ProxyHeader) {
        let _ = self.header.set(Box::new(header));
    }

    #[cold]
    fn addr(&self) -> Option<SocketAddr> {
        match self.header.get().filter(|header| header.has_client()) {
            Some(header) => header.source().map(canonical),
            None => self.addr,
        }
    }
}

/// Returns the address of an IPv4 client as such (RFC 4291 §2.5.5.2).
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, addr.port()).into(),
        // With its scope.
        IpAddr::V6(_) => addr,
    }
}

impl Peer {
    /// Returns the address, if there is one.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        match self {
            Peer::None | Peer::Unix => None,
            Peer::V4(addr) => Some((*addr).into()),
            Peer::V6(addr) => Some((**addr).into()),
            Peer::Known(peer) => peer.addr(),
        }
    }

    /// Returns the IP address, if there is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.addr().map(|addr| addr.ip())
    }

    /// Returns the peer of a connection that was accepted from `addr`, and has no TLS and no PROXY header.
    pub(crate) fn new(addr: Option<SocketAddr>, proxies: &Arc<Proxies>) -> Peer {
        if addr.is_some_and(|addr| proxies.trusts(Some(addr.ip()))) {
            return Peer::Known(Arc::new(KnownPeer::new(addr, false, Some(proxies.clone()))));
        }
        addr.into()
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
        matches!(self, Peer::Known(peer) if peer.is_secured)
    }

    /// Whether the client's connection is encrypted: this one, or that to the proxy, if it has said so at the beginning of
    /// this one.
    pub(crate) fn client_is_secured(&self) -> bool {
        self.is_secured() || self.proxy_header().is_some_and(ProxyHeader::is_secure)
    }

    /// Returns what a proxy has said about its client at the beginning of the connection.
    pub(crate) fn proxy_header(&self) -> Option<&ProxyHeader> {
        match self {
            Peer::Known(peer) => peer.header.get().map(|header| &**header),
            _ => None,
        }
    }

    /// Returns the server's proxies, if this is one whose fields are believed.
    #[inline]
    pub(crate) fn trusted(&self) -> Option<&Proxies> {
        let Peer::Known(peer) = self else { return None };
        let proxies = peer.proxies.as_deref()?;
        let is_trusted = match peer.header.get() {
            // A header without an address may be about a client of the proxy.
            Some(header) => header.source().is_some_and(|source| proxies.trusts(Some(source.ip()))),
            None => proxies.trusts(peer.addr.map(|addr| addr.ip())),
        };
        is_trusted.then_some(proxies)
    }

    /// Returns the certificates that the peer has shown, its own first, in DER.
    #[cfg(feature = "tls")]
    pub(crate) fn certificates(&self) -> &[Box<[u8]>] {
        match self {
            Peer::Known(peer) => peer.certificates.get().map_or(&[], |certificates| certificates),
            _ => &[],
        }
    }
}

impl From<Option<SocketAddr>> for Peer {
    fn from(addr: Option<SocketAddr>) -> Peer {
        match addr.map(canonical) {
            None => Peer::None,
            Some(SocketAddr::V4(addr)) => Peer::V4(addr),
            Some(SocketAddr::V6(addr)) => Peer::V6(Box::new(addr)),
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
        for is_secured in [false, true] {
            let known = Peer::Known(Arc::new(KnownPeer::new(None, is_secured, None)));
            assert_eq!((known.addr(), known.is_loopback(), known.is_secured()), (None, false, is_secured));
        }
        assert!(Peer::None.is_loopback(), "a transport without addresses");
        for (addr, expected) in [("127.0.0.9:1", true), ("[::1]:1", true), ("10.0.0.7:1", false)] {
            assert_eq!(Peer::from(addr.parse().ok()).is_loopback(), expected, "{addr}");
        }
    }
}
