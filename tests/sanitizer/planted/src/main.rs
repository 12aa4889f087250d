//! A server whose application keeps what it was sent: a piece of the request itself, or a copy of it.
//!
//! `planted escape PLACE` is what Fiber's strings amount to: a reference whose lifetime was transmuted away. It is
//! unsound on purpose, and built for AddressSanitizer only, which has to stop it. `planted kept PLACE` is its twin,
//! which calls `keep()`, and prints what it has kept. Another client comes before what was kept is read. The
//! places are those that are used again: `header` and `message` lie in the read buffer, `content` in an inbox,
//! `parameter` in the request's arena; `arena` is one without a server.

#![feature(cfg_sanitize)]

#[cfg(not(all(sanitize = "address", fleeting_paranoid)))]
compile_error!("this is unsound, and for AddressSanitizer alone: tests/sanitize builds it");

use fleeting::{App, Arena, Error, Keep, Message, Request, Response, Server, Socket, WebSocket};
use std::error::Error as Failure;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the application remembers.
enum Kept {
    Copy(Box<str>),
    Escaped(&'static str),
}

/// Whether what is kept is to escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Escape,
    Keep,
}

/// Gives a text a lifetime that it has not.
#[allow(unsafe_code)]
fn forever(text: &str) -> &'static str {
    // SAFETY: none. This is unsound on purpose: the text lies in memory that is used again, and whoever reads it
    // then reads something else. In this build that memory is freed, and AddressSanitizer ends the program.
    unsafe { std::mem::transmute::<&str, &'static str>(text) }
}

fn keep(way: Way, text: &str) -> Kept {
    match way {
        Way::Escape => Kept::Escaped(forever(text)),
        Way::Keep => Kept::Copy(text.keep()),
    }
}

impl Kept {
    fn read(&self) -> String {
        match self {
            Kept::Copy(text) => text.to_string(),
            Kept::Escaped(text) => (*text).to_string(),
        }
    }
}

/// What the clients have sent, in its order.
#[derive(Clone)]
struct Clients {
    way: Way,
    all: Arc<Mutex<Vec<Kept>>>,
}

impl Clients {
    fn add(&self, text: &str) {
        self.all.lock().expect("nobody panics with it").push(keep(self.way, text));
    }

    fn first(&self) -> String {
        self.all.lock().expect("nobody panics with it").first().map_or(String::new(), Kept::read)
    }
}

impl WebSocket for Clients {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        if let Message::Text(text) = message {
            self.add(text);
        }
        socket.text("added");
    }
}

fn app(clients: &Clients) -> App {
    let [header, parameter, content, first] = [(); 4].map(|()| clients.clone());
    App::new()
        .post("/header", move |req| {
            header.add(req.header("x-id").ok_or(Error::bad_request("no X-Id"))?);
            Ok(Response::empty(204))
        })
        .post("/parameter/{id}", move |req| {
            parameter.add(req.param("id"));
            Ok(Response::empty(204))
        })
        .post("/content", move |req| {
            content.add(std::str::from_utf8(req.body()).map_err(|_| Error::bad_request("no text"))?);
            Ok(Response::empty(204))
        })
        .get("/first", move |_req| Ok(Response::text(first.first())))
        .ws("/message", clients.clone())
}

/// A connection, and what is said on it.
struct Client(TcpStream);

impl Client {
    fn connect(addr: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Client(stream))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Reads until `end` has come.
    fn until(&mut self, end: &str) -> Result<(), Box<dyn Failure>> {
        let (mut heard, mut byte) = (Vec::new(), [0]);
        while !heard.ends_with(end.as_bytes()) {
            self.0.read_exact(&mut byte)?;
            heard.push(byte[0]);
        }
        Ok(())
    }

    /// The content of the answer, up to the end of the connection.
    fn rest(mut self) -> Result<String, Box<dyn Failure>> {
        let mut heard = String::new();
        self.0.read_to_string(&mut heard)?;
        Ok(heard.split_once("\r\n\r\n").ok_or("no answer")?.1.to_string())
    }
}

/// Sends `text` to be kept, in the manner of the place. It has been when this returns.
fn say(addr: SocketAddr, place: &str, text: &str) -> Result<(), Box<dyn Failure>> {
    let mut client = Client::connect(addr)?;
    let post = |path: &str, fields: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    match place {
        "header" => {
            client.send(post("/header", &format!("Content-Length: 0\r\nX-Id: {text}\r\n")))?;
            client.until("\r\n\r\n")
        }
        "parameter" => {
            // What is decoded is written anew, into the arena.
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            client.send(post(&format!("/parameter/{encoded}"), "Content-Length: 0\r\n"))?;
            client.until("\r\n\r\n")
        }
        "content" => {
            // The head comes alone, so what comes later gathers in an inbox.
            let length = text.len();
            client
                .send(post("/content", &format!("Content-Length: {length}\r\nExpect: 100-continue\r\n")))?;
            client.until("\r\n\r\n")?;
            client.send(text)?;
            client.until("\r\n\r\n")
        }
        "message" => {
            client.send(
                "GET /message HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )?;
            client.until("\r\n\r\n")?;
            let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
            frame.extend_from_slice(text.as_bytes());
            client.send(frame)?;
            client.until("added")
        }
        _ => Err(format!("no place {place}").into()),
    }
}

/// What is read of the first text that was kept, once another one has come.
fn serve(way: Way, place: &str) -> Result<String, Box<dyn Failure>> {
    let clients = Clients { way, all: Arc::default() };
    let server = Server::builder().bind("127.0.0.1:0").serve(move |_| app(&clients))?;
    let addr = server.local_addrs()[0];
    say(addr, place, "the first client")?;
    say(addr, place, "another one")?;
    let mut client = Client::connect(addr)?;
    client.send("GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let read = client.rest()?;
    server.handle().shutdown();
    server.run()?;
    Ok(read)
}

/// The same with an arena alone.
fn reset(way: Way) -> String {
    let mut arena = Arena::new(4096);
    let kept = keep(way, arena.alloc_str("the first client"));
    arena.reset();
    arena.alloc_str("another one");
    kept.read()
}

fn main() -> Result<(), Box<dyn Failure>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, place] = &arguments[..] else { return Err("usage: planted escape|kept PLACE".into()) };
    let way = match way.as_str() {
        "escape" => Way::Escape,
        "kept" => Way::Keep,
        _ => return Err(format!("no way {way}").into()),
    };
    let read = if place == "arena" { reset(way) } else { serve(way, place)? };
    println!("{read}");
    Ok(())
}
