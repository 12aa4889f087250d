//! TCP sockets.
//!
//! It knows no worker. Its invariant: a socket that listens shares its port with sockets of this server only.

use crate::server::{ServeError, TcpOptions};
use crate::transport::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Binds `addr` once for each worker: the system spreads connections over sockets that share a port (SO_REUSEPORT).
/// Port 0 becomes a free port. `only_v6` keeps a socket for `[::]` from taking IPv4 clients too.
///
/// # Errors
/// [`ServeError::TcpOption`] if an option is refused, which no other address would change; [`ServeError::Io`] if the
/// address cannot be listened on.
pub(super) fn listen(
    addr: SocketAddr,
    only_v6: bool,
    workers: usize,
    options: &TcpOptions,
) -> Result<Vec<Listener>, ServeError> {
    // SO_REUSEPORT would also share the port with another process of the same user. Only binding a socket without it
    // shows whether the port is taken.
    let first = bind(addr, only_v6, false, options)?;
    let addr = first.local_addr()?.as_socket().ok_or(io::Error::from(io::ErrorKind::Unsupported))?;
    if workers == 1 {
        first.listen(options.backlog())?;
        return Ok(vec![Listener::tcp(first.into())?]);
    }
    drop(first);
    let listeners = (0..workers).map(|_| {
        let socket = bind(addr, only_v6, true, options)?;
        socket.listen(options.backlog())?;
        Ok(Listener::tcp(socket.into())?)
    });
    listeners.collect()
}

fn bind(addr: SocketAddr, only_v6: bool, shared: bool, options: &TcpOptions) -> Result<Socket, ServeError> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait until the system has forgotten the last run's connections.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    options.apply(&socket)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::KeepAlive;
    use socket2::SockRef;
    use std::net::TcpStream;
    use std::time::Duration;

    const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    /// Listens with `options` and lets `check` see a socket that was accepted, beside one with the default options.
    #[track_caller]
    fn check(options: TcpOptions, check: impl Fn(SockRef<'_>, SockRef<'_>)) {
        for workers in [1, 2] {
            let accepted = |options: &TcpOptions| {
                let listeners = listen(LOOPBACK.into(), false, workers, options).unwrap();
                let client = TcpStream::connect(listeners[0].addr().tcp().unwrap()).unwrap();
                // The system has chosen one of the sockets.
                let accepted = listeners.iter().find_map(|listener| listener.accept().ok());
                (client, accepted.expect("the connection is complete").0)
            };
            let ((_client, set), (_other, default)) = (accepted(&options), accepted(&TcpOptions::default()));
            check(SockRef::from(&set), SockRef::from(&default));
        }
    }

    #[test]
    fn accepted_sockets_have_the_options_of_their_listening_socket() {
        let options = TcpOptions { nodelay: false, ..TcpOptions::default() };
        check(options, |socket, default| {
            assert!(!socket.tcp_nodelay().unwrap() && default.tcp_nodelay().unwrap());
        });
        let (idle, interval) = (Duration::from_secs(33), Duration::from_millis(6500));
        let keepalive = Some(KeepAlive { idle, interval, count: 4 });
        check(TcpOptions { keepalive, ..TcpOptions::default() }, |socket, default| {
            assert!(socket.keepalive().unwrap() && !default.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), idle);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        });
        let user_timeout = Some(Duration::from_millis(12_345));
        check(TcpOptions { user_timeout, ..TcpOptions::default() }, |socket, default| {
            assert_eq!(socket.tcp_user_timeout().unwrap(), user_timeout);
            assert_eq!(default.tcp_user_timeout().unwrap(), None);
        });
        let bytes = 24 << 10;
        let options = TcpOptions {
            send_buffer_bytes: Some(bytes),
            receive_buffer_bytes: Some(bytes),
            unsent_bytes: Some(16 << 10),
            ..TcpOptions::default()
        };
        check(options, |socket, default| {
            // Linux doubles them.
            assert_eq!(socket.send_buffer_size().unwrap(), 2 * bytes);
            assert_eq!(socket.recv_buffer_size().unwrap(), 2 * bytes);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16 << 10);
            assert_ne!(default.send_buffer_size().unwrap(), 2 * bytes);
            assert_ne!(default.recv_buffer_size().unwrap(), 2 * bytes);
            assert_ne!(default.tcp_notsent_lowat().unwrap(), 16 << 10);
        });
    }

    #[test]
    fn busy_polling_is_inherited_if_the_system_allows_it() {
        let plain = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let allowed = plain.set_busy_poll(50);
        let options = TcpOptions { busy_poll: Some(Duration::from_micros(50)), ..TcpOptions::default() };
        match (allowed, listen(LOOPBACK.into(), false, 1, &options)) {
            (Ok(()), Ok(_)) => check(options, |socket, default| {
                assert_eq!((socket.busy_poll().unwrap(), default.busy_poll().unwrap()), (50, 0));
            }),
            (Err(error), Err(ServeError::TcpOption(name, refused))) => {
                assert_eq!((&*name, refused.kind()), ("busy_poll = 50µs", error.kind()));
            }
            (allowed, listening) => panic!("{allowed:?}, {listening:?}"),
        }
    }

    #[test]
    fn a_taken_port_is_an_error_with_any_number_of_workers() {
        let options = TcpOptions::default();
        let held = listen(LOOPBACK.into(), false, 2, &options).unwrap();
        assert_eq!(held.len(), 2);
        let addr = held[0].addr().tcp().unwrap();
        for workers in [1, 2] {
            let error = listen(addr, false, workers, &options).unwrap_err();
            assert!(matches!(error, ServeError::Io(error) if error.kind() == io::ErrorKind::AddrInUse));
        }
    }
}
