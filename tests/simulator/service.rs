//! The application that the simulator serves, and a log of the calls that it receives.

use fleeting::http1::Fields;
use fleeting::ws::CloseCode;
use fleeting::{
    App, Body, ConnId, Error, FilePart, Flow, Message, Progress, Request, Responder, Response, Resume, Room,
    Sent, Socket, Source, Upload, Waker, WebSocket,
};
use fleeting_testkit::random::Random;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};

pub const STATIC_BYTES: usize = 100 << 10;
pub const SHARED_BYTES: usize = 40 << 10;
/// The content of `/static`.
pub static STATIC: [u8; STATIC_BYTES] = [b's'; STATIC_BYTES];

pub const FILE_BYTES: usize = 100 << 10;
/// An unlinked file, which disappears with the process.
static FILE: LazyLock<Arc<File>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulator-{}", std::process::id()));
    fs::write(&path, file_content(FILE_BYTES)).expect("a file");
    let file = File::open(&path).expect("just written");
    fs::remove_file(&path).expect("just written");
    Arc::new(file)
});

/// Returns the last `bytes` bytes of the file.
pub fn file_content(bytes: usize) -> Vec<u8> {
    (FILE_BYTES - bytes..FILE_BYTES).map(|at| b'a' + (at / 7 % 26) as u8).collect()
}

/// The calls that the application has received, for comparisons.
#[derive(Default)]
pub struct Log {
    /// A line for each call, kept only if requested.
    pub lines: RefCell<Option<Vec<String>>>,
    pub opened: Cell<u64>,
    pub closed: Cell<u64>,
    /// Requests that are over, and those of them whose response has left.
    pub completed: Cell<u64>,
    pub sent: Cell<u64>,
    /// The bytes of the responses that each connection has taken.
    pub bytes_out: RefCell<HashMap<ConnId, u64>>,
    /// Responses still to be given, each with its text. One without a text is dropped.
    responders: RefCell<Vec<(Option<String>, Responder)>>,
    /// Wakers of sources that are waiting.
    wakers: Arc<Mutex<Vec<Waker>>>,
    /// Uploads that are paused.
    resumes: RefCell<Vec<Resume>>,
}

/// A source waits to be woken after this many pieces.
const SLEEP_EVERY: usize = 3;

/// Produces a text repeatedly, each time as a piece of its own.
struct Repeats {
    text: String,
    left: usize,
    wakers: Arc<Mutex<Vec<Waker>>>,
}

impl Source for Repeats {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        if self.left == 0 {
            return Ok(Progress::End);
        }
        room.push(self.text.as_bytes());
        self.left -= 1;
        if self.left % SLEEP_EVERY != 0 {
            return Ok(Progress::More);
        }
        self.wakers.lock().expect("the lock is not poisoned").push(room.waker().clone());
        Ok(Progress::Later)
    }
}

/// Adds up its content, and pauses now and then.
struct Sum {
    log: Rc<Log>,
}

/// Returns the answer of [`Sum`].
pub fn sum(content: &[u8]) -> String {
    let sum = content.iter().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    format!("{} bytes, {sum}", content.len())
}

impl Upload for Sum {
    type Session = Vec<u8>;

    fn open(&self, req: &Request<'_>) -> Result<Vec<u8>, Error> {
        self.log.request(req);
        Ok(Vec::new())
    }

    fn piece(&self, content: &mut Vec<u8>, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
        content.extend_from_slice(piece);
        if content.len() % 3 == 0 {
            self.log.resumes.borrow_mut().push(flow.pause());
        }
        Ok(())
    }

    fn finish(&self, content: Vec<u8>, _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text(sum(&content)))
    }
}

impl Log {
    /// Continues some of what is waiting, or all of it. Returns whether it did anything.
    pub fn continue_some(&self, random: &mut Random, all: bool) -> bool {
        let mut done = false;
        let mut now = || {
            let now = all || random.chance(300);
            done |= now;
            now
        };
        let responders = self.responders.take();
        for (text, responder) in responders {
            if !now() {
                self.responders.borrow_mut().push((text, responder));
            } else if let Some(text) = text {
                // The client may be gone.
                let _ = responder.send(Response::text(text));
            }
        }
        let wakers = std::mem::take(&mut *self.wakers.lock().expect("the lock is not poisoned"));
        for waker in wakers {
            if now() {
                waker.wake();
            } else {
                self.wakers.lock().expect("the lock is not poisoned").push(waker);
            }
        }
        let resumes = self.resumes.take();
        for resume in resumes {
            if now() { resume.resume() } else { self.resumes.borrow_mut().push(resume) }
        }
        done
    }

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
        // Not `panic!`, which would call the hook, and that writes.
        .get("/panic", |_req| resume_unwind(Box::new("planned")))
        .get("/bye", |_req| Ok(Response::text("bye").close()))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .get("/later/{tag}/{answered}", {
            let log = log.clone();
            move |req| {
                let (response, responder) = Response::defer();
                let text = (req.param("answered") == "yes").then(|| req.param("tag").to_string());
                log.responders.borrow_mut().push((text, responder));
                Ok(response)
            }
        })
        .get("/source/{tag}/{count}/{known}", {
            let log = log.clone();
            move |req| {
                let left = req.param("count").parse().map_err(|_| Error::bad_request("no count"))?;
                let text = req.param("tag").to_string();
                let length = (req.param("known") == "yes").then_some((text.len() * left) as u64);
                Ok(Response::source(length, Repeats { text, left, wakers: log.wakers.clone() }))
            }
        })
        .layer({
            let log = log.clone();
            move |req, handler| {
                log.request(req);
                handler.call(req)
            }
        })
        .on_complete({
            let log = log.clone();
            move |done| {
                log.completed.set(log.completed.get() + 1);
                log.sent.set(log.sent.get() + u64::from(done.is_sent()));
                *log.bytes_out.borrow_mut().entry(done.conn_id()).or_default() += done.bytes_out();
            }
        })
        .upload("POST", "/sum", Sum { log: log.clone() })
        .ws("/ws", Parrot { log: log.clone() })
}

/// Echoes messages; some of them are orders.
struct Parrot {
    log: Rc<Log>,
}

/// The part of a flood that is still to be sent.
#[derive(Default)]
pub struct Flood {
    tag: String,
    next: usize,
    count: usize,
    bytes: usize,
}

/// Returns message number `at` of a flood.
pub fn flood(tag: &str, at: usize, bytes: usize) -> String {
    format!("{at}{}", tag.repeat(bytes / tag.len() + 1))
}

impl Flood {
    fn send_more(&mut self, socket: &mut Socket<'_>) {
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
                session.send_more(socket);
            }
            ["close"] => socket.close(CloseCode::NORMAL, "bye"),
            ["panic"] => resume_unwind(Box::new("planned")),
            _ => {
                socket.text(text);
            }
        }
    }

    fn drain(&self, session: &mut Flood, socket: &mut Socket<'_>) {
        session.send_more(socket);
    }

    fn close(&self, _session: Flood, code: Option<CloseCode>, reason: &str) {
        self.log.note(|| format!("close {code:?} {reason}"));
        self.log.closed.set(self.log.closed.get() + 1);
    }
}
