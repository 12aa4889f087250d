//! The streams that connections run on.
//!
//! The engine is generic over [`Stream`]: TCP in production, a seeded imitation in the simulator.

mod accept;
mod connection;
mod peer;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
pub(crate) mod sigpipe;
mod stream;
mod submit;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use accept::{NotAccepted, accept, may_succeed_later, unregistered};
pub(crate) use connection::{Connection, Opener, Security};
pub(crate) use peer::Peer;
pub use stream::Stream;
pub use submit::{Submission, Submit};
pub(crate) use tcp::listen;
#[cfg(all(feature = "tls", feature = "testing"))]
pub(crate) use peer::SecuredPeer;
#[cfg(all(feature = "tls", feature = "testing"))]
pub(crate) use tls::{TlsAcceptor, TlsStream};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError, TlsOptions};

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
