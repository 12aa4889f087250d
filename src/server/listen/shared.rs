//! One socket for several workers.
//!
//! It knows no address. Its invariant: each worker has a descriptor of its own.

use crate::transport::Listener;
use socket2::Socket;
use std::io;

/// Makes a listener for each worker of one socket. A client that connects wakes all that wait, and one of them accepts it;
/// from there on clients are spread as those of other sockets are.
pub(super) fn share(
    socket: &Socket,
    workers: usize,
    listener: impl Fn(Socket) -> io::Result<Listener>,
) -> io::Result<Vec<Listener>> {
    (0..workers).map(|_| listener(socket.try_clone()?)).collect()
}
