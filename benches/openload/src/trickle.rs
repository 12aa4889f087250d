//! Clients that never finish: each sends one byte per second of a request head that never ends.

use crate::connect::connect;
use crate::schedule::Schedule;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, Write};
use std::net::SocketAddr;

pub struct Trickle {
    server: SocketAddr,
    /// The beginning of every head; the value of its last field continues for ever.
    head: Vec<u8>,
    /// The token of the first client; the others follow.
    first_token: usize,
    clients: Vec<Client>,
    /// The clients take turns, so that each sends a byte once a second and no two send at once.
    bytes: Schedule,
    /// The number of connections reopened because the server had ended them.
    pub reopened: u64,
}

struct Client {
    stream: TcpStream,
    sent: usize,
    ended: bool,
}

impl Trickle {
    /// Opens `count` connections.
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

    /// Marks a client as ended: anything from the server ends it, be it a 408, a close or a reset. `turn` reopens
    /// it later, because a server may end a thousand at once, and that must not keep the generator busy.
    pub fn notice(&mut self, event: &Event) {
        self.clients[event.token().0 - self.first_token].ended = true;
    }

    /// Sends the byte that is due at `now`, if any.
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
