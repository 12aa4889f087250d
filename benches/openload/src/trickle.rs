//! Clients that never finish: each sends one byte per second of a request head without an end.

use crate::connect::connect;
use crate::schedule::Schedule;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, Write};
use std::net::SocketAddr;

pub struct Trickle {
    server: SocketAddr,
    /// What every head begins with; it goes on for ever with more of the last field's value.
    head: Vec<u8>,
    /// Tokens of the clients begin here.
    first_token: usize,
    clients: Vec<Client>,
    /// The clients take turns, so that each has its byte once a second and no two at once.
    bytes: Schedule,
    /// Connections opened again because the server had ended them.
    pub reopened: u64,
}

struct Client {
    stream: TcpStream,
    sent: usize,
    ended: bool,
}

impl Trickle {
    /// Opens all of them.
    pub fn open(count: usize, path: &str, server: SocketAddr, first_token: usize, poll: &Registry) -> io::Result<Self> {
        let mut trickle = Trickle {
            server,
            head: format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nX-Slow: ").into_bytes(),
            first_token,
            clients: Vec::with_capacity(count),
            bytes: Schedule::new(count as f64),
            reopened: 0,
        };
        for number in 0..count {
            let mut stream = connect(server)?;
            poll.register(&mut stream, Token(first_token + number), Interest::READABLE)?;
            trickle.clients.push(Client::new(stream));
        }
        Ok(trickle)
    }

    /// Whatever comes back ends a client: a 408, a close, a reset. It is only marked here:
    /// a server may end a thousand in one moment, and that must not keep the generator busy.
    pub fn notice(&mut self, event: &Event) {
        self.clients[event.token().0 - self.first_token].ended = true;
    }

    /// Sends what is due at `now`, one byte at most.
    pub fn turn(&mut self, now: u64, poll: &Registry) -> io::Result<()> {
        if self.clients.is_empty() {
            return Ok(());
        }
        let Some(due) = self.bytes.take(now) else { return Ok(()) };
        let at = due.number as usize % self.clients.len();
        let client = &mut self.clients[at];
        if client.ended {
            let mut stream = TcpStream::connect(self.server)?;
            poll.register(&mut stream, Token(self.first_token + at), Interest::READABLE)?;
            *client = Client::new(stream);
            self.reopened += 1;
        }
        let byte = self.head.get(client.sent).copied().unwrap_or(b'a');
        match client.stream.write(&[byte]) {
            Ok(n) => client.sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {} // not connected yet
            Err(_) => client.ended = true,
        }
        Ok(())
    }
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Client {
            stream,
            sent: 0,
            ended: false,
        }
    }
}
