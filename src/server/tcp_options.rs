//! Options of TCP sockets.
//!
//! They are set on listening sockets, from which the system hands them to each connection that is accepted: a connection
//! costs no system call for them. The invariant: an option that the system refuses is an error at start.

use super::ServeError;
use crate::config::PUSHED_UNSENT_BYTES;
use socket2::{Socket, TcpKeepalive};
use std::fmt::Debug;
use std::io;
use std::time::Duration;

/// The options of the server's TCP sockets, set by [`Builder::tcp`](super::Builder::tcp). Options that are `None` keep
/// the system's default.
///
/// ```
/// use fleeting::{App, KeepAlive, Response, Server, TcpOptions};
/// use std::time::Duration;
///
/// let mut tcp = TcpOptions::default();
/// let (idle, interval) = (Duration::from_secs(60), Duration::from_secs(10));
/// tcp.keepalive = Some(KeepAlive { idle, interval, count: 5 });
/// tcp.user_timeout = Some(Duration::from_secs(30));
/// let server = Server::builder()
///     .bind("127.0.0.1:0")
///     .tcp(tcp)
///     .serve(|_worker| App::new().get("/", |_req| Ok(Response::text("hello"))))?;
/// # server.handle().shutdown();
/// # server.run()?;
/// # Ok::<(), fleeting::ServeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// Turns off Nagle's algorithm (RFC 9293 §3.7.4), so that a small response never waits for an acknowledgement
    /// (`TCP_NODELAY`). The default is true: what a turn sends leaves in one write anyway.
    pub nodelay: bool,
    /// Probes connections on which nothing is sent, to notice peers that have vanished (RFC 9293 §3.8.4).
    /// The default is `None`, because the [`Timeouts`](crate::Timeouts) end such connections too; probes also keep
    /// the entries of firewalls and address translators between them alive.
    pub keepalive: Option<KeepAlive>,
    /// Time for which sent bytes may stay unacknowledged before the system ends the connection (`TCP_USER_TIMEOUT`,
    /// RFC 5482), in milliseconds. It also replaces [`KeepAlive::count`].
    pub user_timeout: Option<Duration>,
    /// Bytes of the system's buffer for what is sent (`SO_SNDBUF`). A number fixes the size that Linux would otherwise
    /// adapt to the connection. Linux doubles it for its own use, and bounds it by `net.core.wmem_max` without an error.
    pub send_buffer_bytes: Option<usize>,
    /// Bytes of the system's buffer for what is received (`SO_RCVBUF`), which bounds the window that a peer is offered.
    /// It is fixed, doubled and bounded (by `net.core.rmem_max`) as `send_buffer_bytes`.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that the system holds before it has sent them for the first time (`TCP_NOTSENT_LOWAT`); beyond that a
    /// socket takes no more. It applies to each connection, until the next option does.
    pub unsent_bytes: Option<u32>,
    /// The same for a connection once it has a subscription that [conflates](crate::SlowConsumer::Conflate), and for a
    /// stream of [`Response::events`](crate::Response::events). The default is 16 KiB on Linux, and `None` elsewhere, which
    /// leaves [`unsent_bytes`](TcpOptions::unsent_bytes) as it is.
    ///
    /// Without it, Linux takes up to 4 MiB (`net.ipv4.tcp_wmem`) for a client that does not read. Those messages are older
    /// than what waits in the server's own queue, where newer ones replace them: a client that reads again would have to
    /// read all of them first. With 16 KiB it is at most 64 KiB, the segment that is being filled, beside what the client's
    /// own system has received. Under the other policies nothing is replaced, so the system takes what it can: it holds a
    /// burst for a client that reads. A connection of HTTP/2 is bounded as soon as one of its streams is, and stays so; it
    /// holds at most 64 KiB of frames besides.
    pub pushed_unsent_bytes: Option<u32>,
    /// Time that the kernel polls the network card's queue before a wait for this socket sleeps (`SO_BUSY_POLL`), in
    /// microseconds. It is independent of [`Builder::spin`](super::Builder::spin), for which the worker polls without a wait, and
    /// of programs that spin in a loop of their own, but useful with both. Drivers without a queue of their own, such as the loopback's, ignore
    /// it. More than `net.core.busy_read` needs the capability `CAP_NET_ADMIN`.
    pub busy_poll: Option<Duration>,
    /// Connections that the system queues for each listening socket until they are accepted. The default is 4096. Linux
    /// bounds it by `net.core.somaxconn` without an error.
    pub backlog: u32,
}

/// When an idle connection is probed, and when it is given up: [`TcpOptions::keepalive`].
///
/// Linux counts in seconds, from 1 to 32,767; a fraction is rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Time without traffic before the first probe (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// Time between two probes (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// Probes without an answer, from 1 to 127, after which the connection has failed (`TCP_KEEPCNT`).
    pub count: u32,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            unsent_bytes: None,
            pushed_unsent_bytes: cfg!(target_os = "linux").then_some(PUSHED_UNSENT_BYTES),
            busy_poll: None,
            backlog: 4096,
        }
    }
}

impl TcpOptions {
    /// Sets the options on a socket that does not listen yet: the buffers decide which window the handshake offers.
    pub(super) fn apply(&self, socket: &Socket) -> Result<(), ServeError> {
        set("nodelay", self.nodelay, |nodelay| socket.set_tcp_nodelay(nodelay))?;
        if let Some(KeepAlive { idle, interval, count }) = self.keepalive {
            let set_keepalive = |parameter: TcpKeepalive| socket.set_tcp_keepalive(&parameter);
            let parameter = TcpKeepalive::new;
            set("keepalive.idle", idle, |idle| set_keepalive(parameter().with_time(whole_seconds(idle))))?;
            set("keepalive.interval", interval, |interval| {
                set_keepalive(parameter().with_interval(whole_seconds(interval)))
            })?;
            set("keepalive.count", count, |count| set_keepalive(parameter().with_retries(count)))?;
        }
        if let Some(timeout) = self.user_timeout {
            set("user_timeout", timeout, |timeout| set_user_timeout(socket, timeout))?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            set("send_buffer_bytes", bytes, |bytes| socket.set_send_buffer_size(in_range(bytes)?))?;
        }
        if let Some(bytes) = self.receive_buffer_bytes {
            set("receive_buffer_bytes", bytes, |bytes| socket.set_recv_buffer_size(in_range(bytes)?))?;
        }
        if let Some(bytes) = self.pushed_unsent_bytes {
            // Tried only: a connection gets it when it begins to send messages.
            set("pushed_unsent_bytes", bytes, |bytes| set_unsent_bytes(socket, bytes))?;
            set("unsent_bytes", self.unsent_bytes.unwrap_or(0), |bytes| set_unsent_bytes(socket, bytes))?;
        } else if let Some(bytes) = self.unsent_bytes {
            set("unsent_bytes", bytes, |bytes| set_unsent_bytes(socket, bytes))?;
        }
        if let Some(time) = self.busy_poll {
            set("busy_poll", time, |time| set_busy_poll(socket, time))?;
        }
        Ok(())
    }

    /// Returns the backlog as the system counts it.
    pub(super) fn backlog(&self) -> i32 {
        self.backlog.try_into().unwrap_or(i32::MAX)
    }
}

fn set<T: Copy + Debug>(
    name: &'static str,
    value: T,
    set: impl FnOnce(T) -> io::Result<()>,
) -> Result<(), ServeError> {
    set(value).map_err(|error| ServeError::TcpOption(format!("{name} = {value:?}"), error))
}

#[cfg(target_os = "linux")]
fn set_user_timeout(socket: &Socket, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(target_os = "linux")]
fn set_unsent_bytes(socket: &Socket, bytes: u32) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(bytes)
}

#[cfg(target_os = "linux")]
fn set_busy_poll(socket: &Socket, time: Duration) -> io::Result<()> {
    match u32::try_from(time.as_micros()) {
        // The kernel reads it as signed.
        Ok(micros) if micros <= i32::MAX as u32 => socket.set_busy_poll(micros),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn set_busy_poll(_socket: &Socket, _time: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn set_user_timeout(_socket: &Socket, _timeout: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn set_unsent_bytes(_socket: &Socket, _bytes: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system counts bytes in an `int`.
fn in_range(bytes: usize) -> io::Result<usize> {
    match i32::try_from(bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// Rounds up, so that a fraction of a second does not become zero.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}
