//! Listening sockets: an address as text, and what listens there.
//!
//! Only `address` knows how an address is written. The other files, one for each kind, make a listener for each worker.

mod address;
mod inherited;
mod shared;
mod tcp;
mod unix;

pub use address::check_address;

use super::{ServeError, TcpOptions};
use crate::transport::Listener;
use address::Address;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// An address whose host name has been looked up.
enum Found<'a> {
    Tcp(Vec<SocketAddr>),
    Other(Address<'a>),
}

/// Listens at the addresses `texts`. Returns for each of them what listens there, which may be several sockets if they are
/// inherited.
///
/// # Errors
/// [`ServeError`] names the address, or the option that the system refuses.
pub(super) fn listen_at(
    texts: &[&str],
    workers: usize,
    options: &TcpOptions,
) -> Result<Vec<Vec<Vec<Listener>>>, ServeError> {
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        all.push(match Address::parse(text)? {
            Address::Tcp(host_and_port) => {
                let found = host_and_port.to_socket_addrs();
                Found::Tcp(found.map_err(|error| ServeError::Bind((*text).into(), error))?.collect())
            }
            other => Found::Other(other),
        });
    }
    // A socket for `[::]` takes IPv4 clients too, unless another socket is to have them.
    let has_ipv4_twin = |addr: &SocketAddr| {
        let is_twin = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
        let tcp =
            all.iter().filter_map(|found| if let Found::Tcp(addrs) = found { Some(addrs) } else { None });
        addr.is_ipv6() && addr.ip().is_unspecified() && addr.port() != 0 && tcp.flatten().any(is_twin)
    };
    let listen = |found: &Found<'_>| match found {
        Found::Tcp(candidates) => {
            first_available(candidates, |addr| tcp::listen(addr, has_ipv4_twin(&addr), workers, options))
        }
        Found::Other(Address::Unix(name, mode)) => {
            Ok(vec![unix::listen(name, *mode, workers, options.backlog())?])
        }
        Found::Other(Address::Inherited(number)) => Ok(vec![inherited::listen(*number, workers, options)?]),
        Found::Other(Address::Activated(name)) => {
            let passed = inherited::activated(*name)?.into_iter();
            passed.map(|number| inherited::listen(number, workers, options)).collect()
        }
        Found::Other(Address::Tcp(_)) => unreachable!("it was looked up"),
    };
    let named = |(found, text): (&Found<'_>, &&str)| {
        listen(found).map_err(|error| match error {
            ServeError::Io(error) => ServeError::Bind((*text).into(), error),
            other => other,
        })
    };
    all.iter().zip(texts).map(named).collect()
}

/// A name may have several addresses: the first that is available is used.
fn first_available(
    candidates: &[SocketAddr],
    listen: impl Fn(SocketAddr) -> Result<Vec<Listener>, ServeError>,
) -> Result<Vec<Vec<Listener>>, ServeError> {
    let mut outcome = Err(ServeError::Io(io::ErrorKind::NotFound.into()));
    for addr in candidates {
        outcome = listen(*addr);
        if !matches!(outcome, Err(ServeError::Io(_))) {
            break;
        }
    }
    Ok(vec![outcome?])
}
