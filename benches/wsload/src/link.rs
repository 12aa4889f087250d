//! One connection to the server, with or without TLS. Knows no HTTP.

use crate::args::Args;
use crate::die::die;
use crate::net;
use rustls::ClientConnection;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The longest record (RFC 8446 §5.2), with its header.
const RECORD_BYTES_MAX: usize = 5 + 16384 + 256;

/// A connection. It blocks until [`set_nonblocking`](Link::set_nonblocking).
pub struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// The first byte of the next write has already been taken.
    has_first_byte: bool,
}

impl Link {
    /// Connects. A TLS handshake begins with the first write, and later reads and writes continue it.
    pub fn connect(a: &Args) -> Link {
        let ip: IpAddr = a.host.parse().unwrap_or_else(|_| die("--host must be an IP address"));
        if !ip.is_loopback() {
            die("--host must be a loopback address");
        }
        let tls = a.tls.as_ref().map(|config| {
            let tls = ClientConnection::new(config.clone(), ip.into());
            Box::new(tls.unwrap_or_else(|e| die(&format!("TLS: {e}"))))
        });
        for attempt in 0.. {
            match TcpStream::connect((ip, a.port)) {
                Ok(socket) => {
                    let _ = socket.set_nodelay(true);
                    let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
                    return Link {
                        socket,
                        tls,
                        has_first_byte: false,
                    };
                }
                Err(_) if attempt < 50 => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => die(&format!("connect: {e}")),
            }
        }
        unreachable!()
    }

    pub fn set_nonblocking(&self) {
        let _ = self.socket.set_nonblocking(true);
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Reads into `buf`, which must have room for several records. Nothing that has been received from the socket waits in
    /// the link afterwards, except the beginning of a record.
    #[inline]
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, i32> {
        match self.tls {
            None => net::read(self.fd(), buf),
            Some(_) => self.read_tls(buf),
        }
    }

    fn read_tls(&mut self, buf: &mut [u8]) -> Result<usize, i32> {
        // The plaintext of a record may be complete only now, so there is room for one more than is received.
        let (plain, records) = buf.split_at_mut((buf.len() + RECORD_BYTES_MAX) / 2);
        let fd = self.fd();
        let tls = self.tls.as_mut().expect("called with TLS only");
        loop {
            let n = net::read(fd, records)?;
            let (mut rest, mut got, mut ended) = (&records[..n], 0, n == 0);
            while !rest.is_empty() && !ended {
                tls.read_tls(&mut rest).unwrap_or_else(|e| die(&format!("TLS: {e}")));
                let state = tls.process_new_packets().unwrap_or_else(|e| die(&format!("TLS: {e}")));
                let end = got + state.plaintext_bytes_to_read();
                tls.reader()
                    .read_exact(&mut plain[got..end])
                    .expect("as many bytes are there");
                got = end;
                ended = state.peer_has_closed();
            }
            flush(tls, fd)?;
            if got > 0 || ended {
                return Ok(got);
            }
        }
    }

    /// Writes. If the socket does not take all records, one byte less than was encrypted is reported, so that the caller
    /// waits until it can write, and writes again.
    pub fn write(&mut self, buf: &[u8]) -> Result<usize, i32> {
        let fd = self.fd();
        let Some(tls) = &mut self.tls else {
            return net::write(fd, buf);
        };
        flush(tls, fd)?;
        if tls.wants_write() {
            return Err(libc::EAGAIN);
        }
        let taken = usize::from(std::mem::take(&mut self.has_first_byte));
        let n = taken + tls.writer().write(&buf[taken..]).expect("it writes to memory");
        flush(tls, fd)?;
        self.has_first_byte = tls.wants_write();
        match n - usize::from(self.has_first_byte) {
            0 => Err(libc::EAGAIN),
            n => Ok(n),
        }
    }

    /// Writes everything, and waits when the socket is full.
    pub fn write_all(&mut self, mut buf: &[u8]) {
        while !buf.is_empty() {
            match self.write(buf) {
                Ok(n) => buf = &buf[n..],
                Err(libc::EAGAIN) => net::wait_writable(self.fd()),
                Err(e) => die(&format!("write: {}", io::Error::from_raw_os_error(e))),
            }
        }
    }
}

/// Sends the records that wait, as far as the socket takes them.
fn flush(tls: &mut ClientConnection, fd: RawFd) -> Result<(), i32> {
    while tls.wants_write() {
        match tls.write_tls(&mut Socket(fd)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e.raw_os_error().unwrap_or(0)),
        }
    }
    Ok(())
}

/// What rustls writes records to.
struct Socket(RawFd);

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        net::write(self.0, buf).map_err(io::Error::from_raw_os_error)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        net::write_vectored(self.0, bufs).map_err(io::Error::from_raw_os_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
