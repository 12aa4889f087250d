//! Opens connections to the server. Knows nothing about what is sent on them.

use mio::net::TcpStream;
use std::io;
use std::net::SocketAddr;

/// Connects in blocking mode, which takes microseconds on loopback, and returns a non-blocking stream.
pub fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}
