//! A client that sends exactly the bytes a test gives it. It waits for responses, never for time to pass.
//!
//! It reads with the readers of `fleeting::testing`, which share no code with the server. `PATIENCE` only bounds how long
//! a broken server can hold up the suite: an operation that takes longer fails the test.

use fleeting::testing::wire::{Head, Reader, chunk, client_frame};
use fleeting::testing::{self, wire};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than any operation takes while the server works.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The key of RFC 6455 §1.3 and the accept value that belongs to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The client's side of one connection.
pub struct Client {
    /// Of TCP, or a Unix socket, which is used in the same way.
    stream: TcpStream,
    /// Bytes that have arrived and were not returned yet.
    rest: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    pub fields: Head,
}

/// A frame sent by the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Answer {
    fn new(head: Head, body: Vec<u8>) -> Answer {
        let text = String::from_utf8(head.bytes().to_vec()).expect("ASCII");
        Answer { status: head.status(), head: text, body, fields: head }
    }

    /// The interim responses before it are left out.
    fn of(answer: testing::Answer) -> Answer {
        let (head, body) = answer.into_parts();
        Answer::new(head, body)
    }

    /// Returns the value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let value = self.fields.values(name).next();
        value.map(|value| std::str::from_utf8(value).expect("the field is text"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the content is text")
    }
}

impl Frame {
    pub fn text(&self) -> &str {
        assert_eq!(self.opcode, TEXT, "{self:?}");
        std::str::from_utf8(&self.payload).expect("a text message is text")
    }

    /// Returns the code of a Close frame.
    pub fn close_code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        u16::from_be_bytes(self.payload[..2].try_into().expect("a code"))
    }
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        Client::of(TcpStream::connect(addr).expect("the server listens"))
    }

    /// Connects from another of this machine's addresses, such as `127.0.0.2`.
    pub fn connect_from(ip: IpAddr, addr: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(ip, 0).into()).expect("it is an address of this machine");
        socket.connect(&addr.into()).expect("the server listens");
        Client::of(socket.into())
    }

    /// Connects with a small receive buffer.
    pub fn connect_with_small_buffer(addr: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer is allowed");
        socket.connect(&addr.into()).expect("the server listens");
        Client::of(socket.into())
    }

    /// Connects to a Unix socket.
    pub fn connect_unix(path: impl AsRef<Path>) -> Client {
        Client::of_unix(UnixStream::connect(path).expect("the server listens"))
    }

    pub fn of_unix(stream: UnixStream) -> Client {
        Client::with_patience(OwnedFd::from(stream).into())
    }

    fn of(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("a TCP stream");
        Client::with_patience(stream)
    }

    fn with_patience(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Client { stream, rest: Vec::new() }
    }

    /// Connects and completes a WebSocket handshake.
    pub fn websocket(addr: SocketAddr, path: &str) -> Client {
        Client::connect(addr).upgraded(path)
    }

    pub fn upgraded(mut self, path: &str) -> Client {
        self.send(handshake(path, ""));
        let answer = self.answer();
        assert_eq!(answer.status, 101, "{}", answer.head);
        assert_eq!(answer.field("sec-websocket-accept"), Some(ACCEPT));
        self
    }

    /// Returns a second client for the same connection, for another thread.
    pub fn clone_for_thread(&self) -> Client {
        assert!(self.rest.is_empty(), "unread bytes would be lost to one of the clients");
        Client { stream: self.stream.try_clone().expect("a descriptor"), rest: Vec::new() }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Ends the client's sending side.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Resets the connection.
    pub fn reset(self) {
        let at_once = Some(Duration::ZERO);
        SockRef::from(&self.stream).set_linger(at_once).expect("the connection is open");
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }

    /// Returns the next response. Its content ends where its head says.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let answer = self.whole_answer();
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        Answer::of(answer)
    }

    /// Returns the next response, whose content is chunked.
    #[track_caller]
    pub fn answer_in_chunks(&mut self) -> Answer {
        let answer = self.whole_answer();
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{answer:?}");
        Answer::of(answer)
    }

    #[track_caller]
    fn whole_answer(&mut self) -> testing::Answer {
        let mut reader = Reader::new(false);
        loop {
            let consumed = reader.read(&self.rest, false).unwrap_or_else(|error| panic!("{error}"));
            self.rest.drain(..consumed);
            if reader.is_done() {
                return reader.finish().expect("the response is complete");
            }
            self.fill(self.rest.len() + 1);
        }
    }

    /// Returns the data of the next chunk, empty for the last one.
    #[track_caller]
    pub fn chunk(&mut self) -> Vec<u8> {
        loop {
            if let Some(chunk) = chunk(&self.rest).unwrap_or_else(|error| panic!("{error}")) {
                let data = self.rest[chunk.data].to_vec();
                self.rest.drain(..chunk.end);
                if data.is_empty() {
                    assert_eq!(self.bytes(2), b"\r\n", "trailers");
                }
                return data;
            }
            self.fill(self.rest.len() + 1);
        }
    }

    /// Returns the text of the next chunks, until there are at least `bytes` bytes of it.
    #[track_caller]
    pub fn text_in_chunks(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            text.push_str(std::str::from_utf8(&self.chunk()).expect("text"));
        }
        text
    }

    /// Returns the head of the next response, for example to a HEAD request.
    pub fn answer_to_head(&mut self) -> Answer {
        loop {
            if let Some(head) = Head::read(&self.rest).unwrap_or_else(|error| panic!("{error}")) {
                self.rest.drain(..head.bytes().len());
                return Answer::new(head, Vec::new());
            }
            self.fill(self.rest.len() + 1);
        }
    }

    /// Returns the next `count` bytes, whatever they mean.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.fill(count);
        self.take(count)
    }

    /// Expects an orderly end of the connection, and nothing before it.
    #[track_caller]
    pub fn ended(&mut self) {
        let mut bytes = [0; 256];
        match self.read(&mut bytes) {
            Ok(0) => assert!(self.rest.is_empty(), "{:?}", String::from_utf8_lossy(&self.rest)),
            Ok(n) => panic!("not the end: {:?}", String::from_utf8_lossy(&bytes[..n])),
            Err(error) => panic!("not the end: {error}"),
        }
    }

    /// Expects the end of the connection, orderly or not, whatever comes before it.
    #[track_caller]
    pub fn cut_off(&mut self) {
        self.until_cut_off();
    }

    /// Returns what comes before the end of the connection, orderly or not.
    #[track_caller]
    pub fn until_cut_off(&mut self) -> Vec<u8> {
        let mut before = std::mem::take(&mut self.rest);
        let mut bytes = [0; 64 << 10];
        loop {
            match self.read(&mut bytes) {
                Ok(0) => return before,
                Ok(read) => before.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return before,
                Err(error) => panic!("not the end: {error}"),
            }
        }
    }

    pub fn frame(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send(frame(true, opcode, payload.as_ref()));
    }

    /// Returns the next frame.
    pub fn next_frame(&mut self) -> Frame {
        loop {
            if let Some(found) = wire::frame(&self.rest).unwrap_or_else(|error| panic!("{error}")) {
                assert_eq!(found.first & 0x70, 0, "a reserved bit is set");
                let payload = self.rest[found.payload.clone()].to_vec();
                self.rest.drain(..found.payload.end);
                return Frame { opcode: found.first & 0x0f, payload };
            }
            self.fill(self.rest.len() + 1);
        }
    }

    /// Removes `length` of the bytes that have arrived.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.rest.split_off(length);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Reads once, and again if a signal interrupts the wait of a stream that has a read timeout (signal(7)).
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Reads until `length` bytes are in `rest`.
    #[track_caller]
    fn fill(&mut self, length: usize) {
        let mut bytes = [0; 16 << 10];
        while self.rest.len() < length {
            match self.read(&mut bytes) {
                Ok(0) => panic!("the connection has ended after {:?}", String::from_utf8_lossy(&self.rest)),
                Ok(n) => self.rest.extend_from_slice(&bytes[..n]),
                Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&self.rest)),
            }
        }
    }
}

/// Returns the opening handshake for `path`, with further fields, each including its CRLF.
pub fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

/// Returns a frame as a client sends it.
pub fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    client_frame(u8::from(fin) << 7 | opcode, payload, MASK)
}
