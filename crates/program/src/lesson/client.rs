//! The client side: just enough of HTTP requests and WebSockets over TCP to play a browser tab.
//!
//! It knows no mode. Its invariant: no wait for the server is longer than [`TIMEOUT`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The key of every handshake, taken from RFC 6455 §1.3. Any key does on the loopback interface.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// A fixed mask. Masks protect intermediaries (RFC 6455 §10.3), and there are none here.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// The maximum payload length that fits into a frame's second byte.
const PAYLOAD_MAX: usize = 125;

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content: String,
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn unexpected(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// Sends a request on a new connection, with an X-Id field if `id` is given, and reads the answer.
pub(super) fn request(addr: SocketAddr, method: &str, path: &str, id: Option<&str>) -> io::Result<Answer> {
    let mut stream = connect(addr)?;
    let field = id.map(|id| format!("X-Id: {id}\r\n")).unwrap_or_default();
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{length}{field}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, content) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| unexpected(format!("no complete answer to {method} {path}")))?;
    Ok(Answer { status: status(head)?, content: content.to_string() })
}

fn status(head: &str) -> io::Result<u16> {
    let number = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    number.ok_or_else(|| unexpected(format!("expected a status line, got: {head:.40}")))
}

/// A browser tab's WebSocket.
pub(super) struct Tab(BufReader<TcpStream>);

impl Tab {
    pub(super) fn open(addr: SocketAddr, path: &str) -> io::Result<Tab> {
        let mut stream = connect(addr)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(unexpected(format!("no answer to the WebSocket handshake on {path}")));
            }
        }
        if status(&head)? != 101 {
            return Err(unexpected(format!("the WebSocket handshake was refused: {head:.40}")));
        }
        Ok(Tab(reader))
    }

    /// Sends a text message of at most [`PAYLOAD_MAX`] bytes.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        self.frame(TEXT, text.as_bytes())
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        if payload.len() > PAYLOAD_MAX {
            return Err(unexpected(format!(
                "a message of {} bytes; at most {PAYLOAD_MAX} are supported",
                payload.len()
            )));
        }
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let header = [0x80 | opcode, 0x80 | payload.len() as u8];
        let frame: Vec<u8> = header.into_iter().chain(MASK).chain(masked).collect();
        self.0.get_mut().write_all(&frame)
    }

    /// Reads the next text message.
    pub(super) fn next(&mut self) -> io::Result<String> {
        match self.next_frame()? {
            (TEXT, payload) => String::from_utf8(payload).map_err(|error| unexpected(error.to_string())),
            (opcode, _) => {
                Err(unexpected(format!("expected a text message, got a frame of opcode {opcode}")))
            }
        }
    }

    fn next_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header)?;
        let length = usize::from(header[1]);
        if header[0] & 0xf0 != 0x80 || length > PAYLOAD_MAX {
            return Err(unexpected(format!(
                "expected a short, unfragmented frame, got the header {header:02x?}"
            )));
        }
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        Ok((header[0] & 0x0f, payload))
    }

    /// Closes the WebSocket and waits until the server has closed the connection.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.frame(CLOSE, &1000_u16.to_be_bytes())?;
        while self.next_frame()?.0 != CLOSE {}
        // The server shuts down its side after the Close frame.
        self.0.read_to_end(&mut Vec::new()).map(drop)
    }
}
