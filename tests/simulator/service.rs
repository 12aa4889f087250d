//! The application that is served, and a log of what it was told.

use fleeting::ws::CloseCode;
use fleeting::{App, Body, Error, FilePart, Message, Request, Response, Sent, Socket, WebSocket};
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

pub const STATIC_BYTES: usize = 100 << 10;
pub const SHARED_BYTES: usize = 40 << 10;
/// What lies there for everyone.
pub static STATIC: [u8; STATIC_BYTES] = [b's'; STATIC_BYTES];

pub const FILE_BYTES: usize = 100 << 10;
/// A file without a name: it goes with the process.
static FILE: LazyLock<Arc<File>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulator-{}", std::process::id()));
    fs::write(&path, file_content(FILE_BYTES)).expect("a file");
    let file = File::open(&path).expect("just written");
    fs::remove_file(&path).expect("just written");
    Arc::new(file)
});

/// The last `bytes` bytes of the file.
pub fn file_content(bytes: usize) -> Vec<u8> {
    (FILE_BYTES - bytes..FILE_BYTES).map(|at| b'a' + (at / 7 % 26) as u8).collect()
}

/// What the application was told, for who compares it.
#[derive(Default)]
pub struct Log {
    /// A line for each call; kept only if it is wanted.
    pub lines: RefCell<Option<Vec<String>>>,
    pub opened: Cell<u64>,
    pub closed: Cell<u64>,
}

impl Log {
    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut *self.lines.borrow_mut() {
            lines.push(line());
        }
    }

    fn request(&self, req: &Request<'_>) {
        self.note(|| {
            let (method, body) = (req.method(), req.body().escape_ascii());
            format!("{method} {} {:?} {:?} {body}", req.path(), req.query(), req.trailers())
        });
    }
}

pub fn app(log: &Rc<Log>) -> App {
    let shared: Arc<[u8]> = vec![b'h'; SHARED_BYTES].into();
    App::new()
        .get("/tag/{tag}", |req| Ok(Response::text(req.param("tag"))))
        .get("/static", |_req| Ok(Response::bytes(Body::Static(&STATIC))))
        .get("/shared", move |_req| Ok(Response::bytes(shared.clone())))
        .get("/file/{bytes}", |req| {
            let bytes = req.param("bytes").parse().map_err(|_| Error::bad_request("no number"))?;
            Ok(Response::bytes(FilePart::new(FILE.clone(), FILE_BYTES as u64 - bytes, bytes)))
        })
        .get("/owned/{tag}/{count}", |req| {
            let count = req.param("count").parse().map_err(|_| Error::bad_request("no count"))?;
            Ok(Response::bytes(req.param("tag").repeat(count)))
        })
        // Not `panic!`: that would call the hook, which writes.
        .get("/panic", |_req| resume_unwind(Box::new("planned")))
        .get("/bye", |_req| Ok(Response::text("bye").close()))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .wrap({
            let log = log.clone();
            move |req, handler| {
                log.request(req);
                handler.call(req)
            }
        })
        .ws("/ws", Parrot { log: log.clone() })
}

/// Echoes messages; some of them are orders.
struct Parrot {
    log: Rc<Log>,
}

/// What is still to be sent of a flood.
#[derive(Default)]
pub struct Flood {
    tag: String,
    next: usize,
    count: usize,
    bytes: usize,
}

/// Message number `at` of a flood.
pub fn flood(tag: &str, at: usize, bytes: usize) -> String {
    format!("{at}{}", tag.repeat(bytes / tag.len() + 1))
}

impl Flood {
    fn go_on(&mut self, socket: &mut Socket<'_>) {
        while self.next < self.count {
            self.next += 1;
            if socket.text(&flood(&self.tag, self.next, self.bytes)) != Sent::Sent {
                break;
            }
        }
    }
}

impl WebSocket for Parrot {
    type Session = Flood;

    fn open(&self, req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<Flood, Error> {
        self.log.request(req);
        self.log.opened.set(self.log.opened.get() + 1);
        Ok(Flood::default())
    }

    fn message(&self, session: &mut Flood, message: Message<'_>, socket: &mut Socket<'_>) {
        self.log.note(|| format!("message {}", message.bytes().escape_ascii()));
        let Message::Text(text) = message else {
            socket.send(message);
            return;
        };
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["flood", tag, count, bytes] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                *session = Flood { tag: tag.into(), next: 0, count: number(count), bytes: number(bytes) };
                session.go_on(socket);
            }
            ["close"] => socket.close(CloseCode::NORMAL, "bye"),
            ["panic"] => resume_unwind(Box::new("planned")),
            _ => {
                socket.text(text);
            }
        }
    }

    fn drain(&self, session: &mut Flood, socket: &mut Socket<'_>) {
        session.go_on(socket);
    }

    fn close(&self, _session: Flood, code: Option<CloseCode>, reason: &str) {
        self.log.note(|| format!("close {code:?} {reason}"));
        self.log.closed.set(self.log.closed.get() + 1);
    }
}
