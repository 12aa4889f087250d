//! The streams that connections run on.
//!
//! The engine is generic over [`Stream`]: sockets in production, a seeded imitation in the simulator.

mod accept;
mod connection;
mod inherited;
mod listen_addr;
mod listener;
mod peer;
mod proxy;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
pub(crate) mod sigpipe;
mod socket;
mod socket_file;
mod stream;
mod submit;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use accept::{NotAccepted, may_succeed_later};
pub(crate) use connection::{Connection, Opener, Security};
pub(crate) use inherited::duplicate;
pub use listen_addr::ListenAddr;
pub(crate) use listener::Listener;
#[cfg(all(feature = "tls", feature = "testing"))]
pub(crate) use peer::KnownPeer;
pub(crate) use peer::Peer;
pub use proxy::ProxyHeader;
pub(crate) use socket::Socket;
pub(crate) use socket_file::SocketFile;
pub use stream::Stream;
pub use submit::{Submission, Submit};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError, TlsOptions};
#[cfg(all(feature = "tls", feature = "testing"))]
pub(crate) use tls::{TlsAcceptor, TlsStream};

/// Makes a ring of io_uring, which writes to many sockets in one system call. Only the calling thread may use it.
///
/// # Errors
/// The system has no io_uring, or does not allow it.
pub(crate) fn ring() -> std::io::Result<Box<dyn Submit>> {
    #[cfg(target_os = "linux")]
    return Ok(Box::new(ring::Ring::new()?));
    #[cfg(not(target_os = "linux"))]
    return Err(std::io::ErrorKind::Unsupported.into());
}
