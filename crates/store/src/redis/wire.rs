//! What the bytes of a link travel on: a socket, with TLS on top of it if the address asks for that.
//!
//! It knows no command and no reply. Invariant: every wait has an end, whatever the peer sends.

use super::tls::Session;
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// A connected socket.
pub(super) struct Wire {
    socket: Socket,
    tls: Option<Box<Session>>,
}

/// The shortest timeout to set on a socket: zero would mean none.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A peer that is gone is an error and not the signal SIGPIPE, which may end the process. Elsewhere than on Linux,
/// [`Socket::new`] turns the signal off.
#[cfg(target_os = "linux")]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const SEND_FLAGS: SendFlags = SendFlags::empty();

impl Wire {
    /// Connects to the first of `addrs` that is available.
    pub(super) fn connect(addrs: &[SockAddr], deadline: Instant) -> io::Result<Wire> {
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for (at, addr) in addrs.iter().enumerate() {
            // Each address gets its share of the time, so that a silent one leaves some for the others.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addrs.len() - at) as u32;
            outcome = connect(addr, now + share);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(Wire::new)
    }

    pub(super) fn new(socket: Socket) -> Wire {
        Wire { socket, tls: None }
    }

    /// Returns another descriptor of the socket, which can shut it down.
    pub(super) fn twin(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    /// Lets everything from now on travel in records of `session`.
    pub(super) fn secure(&mut self, mut session: Session, until: Instant) -> io::Result<()> {
        let mut raw = Raw { socket: &self.socket, until };
        let outcome = handshake(&mut session, &mut raw);
        self.tls = Some(Box::new(session));
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => io::Error::new(
                error.kind(),
                "it has not answered the TLS handshake (does this port speak TLS?)",
            ),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                let text =
                    "it has closed the connection during the TLS handshake (does this port speak TLS?)";
                io::Error::new(error.kind(), text)
            }
            _ => error,
        })
    }

    /// Sends all bytes.
    pub(super) fn send(&mut self, bytes: &[u8], until: Instant) -> io::Result<()> {
        let mut raw = Raw { socket: &self.socket, until };
        let Some(tls) = &mut self.tls else { return raw.write_all(bytes) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = tls.write(rest)?;
            rest = &rest[taken..];
            flush(tls, &mut raw)?;
        }
        Ok(())
    }

    /// Receives bytes, at least one unless the stream has ended. Waits for them until `until`.
    pub(super) fn receive(&mut self, into: &mut [u8], until: Instant) -> io::Result<usize> {
        let mut raw = Raw { socket: &self.socket, until };
        let Some(tls) = &mut self.tls else { return raw.read(into) };
        loop {
            if let Some(read) = tls.read(into)? {
                return Ok(read);
            }
            exchange(tls, &mut raw)?;
        }
    }

    /// Returns whether nothing has arrived, and the stream has not ended. If it is not quiet, bytes may be lost.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let read = self.socket.set_nonblocking(true).and_then(|()| self.socket.read(&mut byte));
        let is_blocked = matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        let is_decrypted = self.tls.as_mut().is_some_and(|tls| !matches!(tls.read(&mut byte), Ok(None)));
        is_blocked && !is_decrypted && self.socket.set_nonblocking(false).is_ok()
    }
}

fn handshake(session: &mut Session, raw: &mut Raw<'_>) -> io::Result<()> {
    flush(session, raw)?;
    while session.is_handshaking() {
        if exchange(session, raw)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Reads once, and sends what the protocol answers. Returns how many bytes were read.
fn exchange(session: &mut Session, raw: &mut Raw<'_>) -> io::Result<usize> {
    let read = session.read_records(raw);
    // If the peer is not to be trusted, this tells it why; the first error is the one that matters.
    let sent = flush(session, raw);
    read.and_then(|read| sent.map(|()| read))
}

/// Sends the records that wait.
fn flush(session: &mut Session, raw: &mut Raw<'_>) -> io::Result<()> {
    raw.write_all(&session.take_records()).map_err(|error| match error.kind() {
        // A peer that has closed the connection may have said why.
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            let reason = session.read_records(raw).err();
            reason.filter(|reason| reason.kind() == io::ErrorKind::InvalidData).unwrap_or(error)
        }
        _ => error,
    })
}

/// The socket, for reads and writes that end in time.
struct Raw<'a> {
    socket: &'a Socket,
    until: Instant,
}

impl Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(time_left(self.until)?))?;
            match Read::read(&mut self.socket, into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                outcome => return outcome,
            }
        }
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.socket.set_write_timeout(Some(time_left(self.until)?))?;
            match rustix::net::send(self.socket, bytes, SEND_FLAGS) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                outcome => return Ok(outcome?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the time until the deadline, or an error if it has passed.
fn time_left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left.max(WAIT_MIN)),
    }
}

fn connect(addr: &SockAddr, deadline: Instant) -> io::Result<Socket> {
    let left = time_left(deadline)?;
    let socket = Socket::new(addr.domain(), Type::STREAM, None)?;
    if addr.is_unix() {
        // On a Unix socket, connect(2) waits while the listener's queue is full, for the write timeout at most.
        socket.set_write_timeout(Some(left))?;
        socket.connect(addr)?;
    } else {
        socket.connect_timeout(addr, left)?;
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}
