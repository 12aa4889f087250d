//! The tabs' side: requests and a WebSocket over TCP, as much of them as the lesson needs.
//!
//! It knows no mode. Its invariant: it waits for what is to come, and no longer than [`PATIENCE`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// More than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Key of the handshakes, that of RFC 6455 §1.3: any would do among ourselves.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// A mask is to keep others from being deceived (RFC 6455 §10.3), and here are none.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// A frame without a longer length than fits into its second byte.
const PAYLOAD_MAX: usize = 125;

/// What a request was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content: String,
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn unexpected(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Asks on a connection of its own, with an X-Id if there is one.
pub(super) fn ask(addr: SocketAddr, method: &str, path: &str, id: Option<&str>) -> io::Result<Answer> {
    let mut stream = connect(addr)?;
    let field = id.map(|id| format!("X-Id: {id}\r\n")).unwrap_or_default();
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{length}{field}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, content) =
        answer.split_once("\r\n\r\n").ok_or_else(|| unexpected(format!("no answer to {method} {path}")))?;
    Ok(Answer { status: status(head)?, content: content.to_string() })
}

fn status(head: &str) -> io::Result<u16> {
    let number = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    number.ok_or_else(|| unexpected(format!("no status line: {head:.40}")))
}

/// A tab's WebSocket.
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
                return Err(unexpected(format!("no answer to the handshake of {path}")));
            }
        }
        if status(&head)? != 101 {
            return Err(unexpected(format!("no WebSocket: {:.40}", head)));
        }
        Ok(Tab(reader))
    }

    /// Sends a short message.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        self.frame(TEXT, text.as_bytes())
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        if payload.len() > PAYLOAD_MAX {
            return Err(unexpected("the lesson sends short messages only"));
        }
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let header = [0x80 | opcode, 0x80 | payload.len() as u8];
        let frame: Vec<u8> = header.into_iter().chain(MASK).chain(masked).collect();
        self.0.get_mut().write_all(&frame)
    }

    /// The next message.
    pub(super) fn next(&mut self) -> io::Result<String> {
        match self.next_frame()? {
            (TEXT, payload) => String::from_utf8(payload).map_err(|error| unexpected(error.to_string())),
            (opcode, _) => Err(unexpected(format!("a frame of opcode {opcode} where a text should be"))),
        }
    }

    fn next_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header)?;
        let length = usize::from(header[1]);
        if header[0] & 0xf0 != 0x80 || length > PAYLOAD_MAX {
            return Err(unexpected("a frame that is not short and whole"));
        }
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        Ok((header[0] & 0x0f, payload))
    }

    /// Closes, and waits until the server has heard of it.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.frame(CLOSE, &1000_u16.to_be_bytes())?;
        while self.next_frame()?.0 != CLOSE {}
        // The server shuts its side down then.
        self.0.read_to_end(&mut Vec::new()).map(drop)
    }
}
