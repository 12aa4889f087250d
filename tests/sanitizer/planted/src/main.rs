//! A server whose application keeps a string from a request: a reference to the request's memory, or a copy.
//!
//! `planted escape SOURCE` does what Fiber does with strings: it keeps a reference whose lifetime was transmuted away.
//! It is unsound on purpose and only built with AddressSanitizer, which must abort it. `planted kept SOURCE` is its
//! counterpart, which calls `keep()` and prints the kept string. Before the string is read, another client sends its
//! own. The sources cover the memory that is reused: `header` and `message` lie in the read buffer, `content` in an
//! inbox, `parameter` in the request's arena. `arena` uses an arena without a server.

#![feature(cfg_sanitize)]

#[cfg(not(all(sanitize = "address", fleeting_paranoid)))]
compile_error!("this program is unsound on purpose; build it for AddressSanitizer with tests/sanitize");

use fleeting::{App, Arena, Error, Keep, Message, Request, Response, Server, Socket, WebSocket};
use std::error::Error as StdError;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const USAGE: &str = "usage: planted escape|kept header|parameter|content|message|arena";

/// A string that the application keeps.
enum Kept {
    Copy(Box<str>),
    Escaped(&'static str),
}

/// How the application keeps a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Escape,
    Keep,
}

/// Extends a string's lifetime without justification.
#[allow(unsafe_code)]
fn forever(text: &str) -> &'static str {
    // SAFETY: none. This is unsound on purpose: the memory of the string is reused, so a later read sees other bytes.
    // In this build the memory is freed instead, and AddressSanitizer aborts the program.
    unsafe { std::mem::transmute::<&str, &'static str>(text) }
}

fn keep(method: Method, text: &str) -> Kept {
    match method {
        Method::Escape => Kept::Escaped(forever(text)),
        Method::Keep => Kept::Copy(text.keep()),
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

/// The strings that the clients have sent, in order.
#[derive(Clone)]
struct Clients {
    method: Method,
    all: Arc<Mutex<Vec<Kept>>>,
}

impl Clients {
    fn add(&self, text: &str) {
        self.all.lock().expect("the lock is not poisoned").push(keep(self.method, text));
    }

    fn first(&self) -> String {
        self.all.lock().expect("the lock is not poisoned").first().map_or(String::new(), Kept::read)
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
            Ok(Response::new(204))
        })
        .post("/parameter/{id}", move |req| {
            parameter.add(req.param("id"));
            Ok(Response::new(204))
        })
        .post("/content", move |req| {
            content.add(std::str::from_utf8(req.body()).map_err(|_| Error::bad_request("no text"))?);
            Ok(Response::new(204))
        })
        .get("/first", move |_req| Ok(Response::text(first.first())))
        .ws("/message", clients.clone())
}

/// A client's connection.
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

    /// Reads until the last bytes received are `end`.
    fn until(&mut self, end: &str) -> Result<(), Box<dyn StdError>> {
        let (mut received, mut byte) = (Vec::new(), [0]);
        while !received.ends_with(end.as_bytes()) {
            self.0.read_exact(&mut byte)?;
            received.push(byte[0]);
        }
        Ok(())
    }

    /// Reads to the end of the connection and returns the answer's content.
    fn read_content(mut self) -> Result<String, Box<dyn StdError>> {
        let mut answer = String::new();
        self.0.read_to_string(&mut answer)?;
        Ok(answer.split_once("\r\n\r\n").ok_or("the answer is incomplete")?.1.to_string())
    }
}

/// Sends `text` to the server as `source` requires. When this returns, the application has kept it.
fn send_text(addr: SocketAddr, source: &str, text: &str) -> Result<(), Box<dyn StdError>> {
    let mut client = Client::connect(addr)?;
    let post = |path: &str, fields: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    match source {
        "header" => {
            client.send(post("/header", &format!("Content-Length: 0\r\nX-Id: {text}\r\n")))?;
            client.until("\r\n\r\n")
        }
        "parameter" => {
            // Percent-decoding writes the parameter into the arena.
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            client.send(post(&format!("/parameter/{encoded}"), "Content-Length: 0\r\n"))?;
            client.until("\r\n\r\n")
        }
        "content" => {
            // Send the head first: content that arrives later is collected in an inbox.
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
        _ => Err(format!("unknown source {source:?}; {USAGE}").into()),
    }
}

/// Runs a server, sends it two strings, and returns what the first one reads as afterwards.
fn serve(method: Method, source: &str) -> Result<String, Box<dyn StdError>> {
    let clients = Clients { method, all: Arc::default() };
    let server = Server::builder().bind("127.0.0.1:0").serve(move |_| app(&clients))?;
    let addr = server.local_addrs()[0];
    send_text(addr, source, "the first client")?;
    send_text(addr, source, "another one")?;
    let mut client = Client::connect(addr)?;
    client.send("GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let text = client.read_content()?;
    server.handle().shutdown();
    server.run()?;
    Ok(text)
}

/// Does the same with an arena and without a server.
fn reset(method: Method) -> String {
    let mut arena = Arena::new(4096);
    let kept = keep(method, arena.alloc_str("the first client"));
    arena.reset();
    arena.alloc_str("another one");
    kept.read()
}

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [method, source] = &arguments[..] else { return Err(USAGE.into()) };
    let method = match method.as_str() {
        "escape" => Method::Escape,
        "kept" => Method::Keep,
        _ => return Err(format!("unknown method {method:?}; {USAGE}").into()),
    };
    let text = if source == "arena" { reset(method) } else { serve(method, source)? };
    println!("{text}");
    Ok(())
}
