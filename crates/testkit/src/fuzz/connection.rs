//! Runs bytes through a whole engine: requests, an upgrade, frames.
//!
//! Two connections receive the same stream, one in one piece and one as a [`Script`] says, and both must get the same
//! answers. With an impatient script the clock runs and peers fail. Then less is checked: each output must be a valid
//! prefix, and both connections must end.

use super::replies;
use super::script::{Act, Script};
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::testing::rest::run_to_rest;
use fleeting::testing::stream::{MemoryStream, Pipe};
use fleeting::time::Now;
use fleeting::ws::CloseCode;
use fleeting::{App, Body, HttpVersions, Limits, Timeouts, WebSocket};
use fleeting::{ConnId, Error, Message, Request, Response, Socket};
use std::cell::{Cell, RefCell, RefMut};
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

/// More than a response leaves in the cork.
const LARGE: &[u8] = &[b'x'; 17 << 10];

/// Panics if a handler panics, if a response is malformed or depends on the cuts, or if a connection or a session is
/// still open at the end.
pub fn connection(bytes: &[u8]) {
    let (script, stream) = Script::read(bytes);
    let sessions = Sessions::default();
    let mut play = Play::new(&sessions, &script);
    play.act(stream, &script);
    // The response to HEAD looks like any other response.
    let headless = stream.windows(5).any(|five| five == b"HEAD ");
    let (cut, whole) = (play.cut.pipe().written.clone(), play.whole.pipe().written.clone());
    let complete = !script.impatient;
    let found = [&cut, &whole].map(|sent| replies::check(sent, complete, headless));

    let counters = play.engine.counters();
    assert_eq!(counters.panics, 0);
    assert_eq!(counters.connections, 0);
    assert_eq!(counters.accepted, 2);
    assert_eq!(sessions.opened.get(), sessions.ended.get());
    assert_eq!(sessions.opened.get(), counters.websockets);
    if complete {
        assert!(cut == whole, "cut: {}\nin one piece: {}", cut.escape_ascii(), whole.escape_ascii());
        assert_eq!(play.engine.next_ms(), None);
        if !headless {
            let responses: u64 = found.iter().map(|found| found.responses).sum();
            let answered = counters.requests + counters.early_answers;
            // Refused requests whose content is discarded are not answered.
            let refused: u64 = counters.refused().map(|(_, count)| count).sum();
            assert!(
                (answered..=answered + refused).contains(&responses),
                "{responses} responses, {counters:?}"
            );
        }
    }
}

/// Counts the sessions that have begun and ended.
#[derive(Debug, Clone, Default)]
struct Sessions {
    opened: Rc<Cell<u64>>,
    ended: Rc<Cell<u64>>,
}

impl WebSocket for Sessions {
    type Session = u32;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<u32, Error> {
        match req.query() {
            Some("no") => {
                socket.text("never seen");
                return Err(Error::forbidden("Not today."));
            }
            Some(query) => _ = socket.text(query),
            None => {}
        }
        self.opened.set(self.opened.get() + 1);
        Ok(0)
    }

    fn message(&self, count: &mut u32, message: Message<'_>, socket: &mut Socket<'_>) {
        *count += 1;
        match message {
            Message::Text("bye") => socket.close(CloseCode::NORMAL, "bye"),
            Message::Text("count") => _ = socket.text(&count.to_string()),
            Message::Text("large") => _ = socket.binary(LARGE),
            message => _ = socket.send(message),
        }
    }

    fn close(&self, _count: u32, _code: Option<CloseCode>, _reason: &str) {
        self.ended.set(self.ended.get() + 1);
    }
}

fn app(sessions: &Sessions) -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
        .put("/files/{*path}", |req| {
            let text = req.arena().format(format_args!("{} {:?}", req.param("path"), req.query()));
            Ok(Response::text(text))
        })
        .post("/fields", |req| {
            let mut writer = req.arena().writer();
            for (name, value) in req.fields().into_iter().chain(req.trailers()) {
                _ = write!(writer, "{name}: {}; ", value.escape_ascii());
            }
            let echo = req.fields().get("x-id").unwrap_or_default();
            Response::text(writer.finish()).header("x-id", echo)
        })
        .get("/large", |_req| Ok(Response::new(200).body(Body::Static(LARGE))))
        .post("/owned", |req| Ok(Response::bytes([LARGE, req.body()].concat())))
        .get("/last", |_req| Ok(Response::text("last").close()))
        .ws("/ws", sessions.clone())
}

/// Small, so that the input reaches them.
fn limits() -> Limits {
    crate::limits! {
    headers: 16,
    head_bytes: 600,
    target_bytes: 120,
    body_bytes: 1000,
    message_bytes: 600,
    frame_bytes: 400,
    fragments: 5,
    outbox_bytes: 300,
    pipeline: 3,
    arena_bytes: 1024 }
}

/// One peer and its connection.
struct Peer {
    pipe: Rc<RefCell<Pipe>>,
    id: ConnId,
}

impl Peer {
    fn pipe(&self) -> RefMut<'_, Pipe> {
        self.pipe.borrow_mut()
    }
}

struct Play {
    engine: Engine<MemoryStream>,
    now: Now,
    cut: Peer,
    whole: Peer,
}

impl Play {
    fn new(sessions: &Sessions, script: &Script<'_>) -> Play {
        let app = app(sessions);
        assert_eq!(app.check(), Ok(()));
        let timeouts = if script.impatient { Timeouts::default() } else { never() };
        // The target `http2_connection` plays HTTP/2.
        let http = HttpVersions::Http1;
        let settings = Settings { limits: limits(), timeouts, http, ..Settings::default() };
        let now = Now { ms: 1, unix_secs: 784_111_777 };
        let mut engine = Engine::new(app, settings, now);
        let mut peer = |room| {
            let pipe = Rc::new(RefCell::new(Pipe::with_room(room)));
            Peer { id: engine.accept(MemoryStream::new(&pipe), None), pipe }
        };
        let (cut, whole) = (peer(if script.tight { 0 } else { usize::MAX }), peer(usize::MAX));
        Play { engine, now, cut, whole }
    }

    fn act(&mut self, stream: &[u8], script: &Script<'_>) {
        let mut at = 0;
        let mut whole = Some(stream);
        while at < stream.len() {
            for act in script.acts() {
                self.act_once(act, stream, &mut at);
            }
            // Every round delivers something, so that the stream ends whatever the script says.
            self.act_once(Act::Deliver(24), stream, &mut at);
            if at >= stream.len() / 2
                && let Some(stream) = whole.take()
            {
                self.whole.pipe().deliver(stream);
                self.end(true, script);
            }
        }
        if whole.is_some() {
            self.end(true, script);
        }
        if script.impatient {
            self.wait_for_the_end();
        } else {
            self.cut.pipe().add_room(usize::MAX);
            self.event(self.cut.id, Readiness { writable: true, ..Readiness::default() });
            self.end(false, script);
        }
    }

    fn act_once(&mut self, act: Act, stream: &[u8], at: &mut usize) {
        let (peer, id) = (&self.cut, self.cut.id);
        let mut readiness = Readiness::default();
        match act {
            Act::Deliver(bytes) => {
                let to = stream.len().min(*at + bytes);
                peer.pipe().deliver(&stream[*at..to]);
                *at = to;
                readiness.readable = true;
            }
            Act::Room(bytes) => {
                peer.pipe().add_room(bytes);
                readiness.writable = true;
            }
            Act::Wait(ms) => self.now.ms += ms,
            Act::Interrupt => peer.pipe().interrupted = true,
            Act::Spurious => readiness = Readiness { readable: true, writable: true, ..readiness },
            Act::Reset => {
                peer.pipe().reset = true;
                readiness.ended = true;
            }
            Act::End => {
                peer.pipe().ended = true;
                readiness.ended = true;
            }
            Act::Shutdown => self.engine.shutdown(),
            Act::Abort => self.engine.abort(id),
        }
        self.event(id, readiness);
    }

    /// Ends the peer's side, together with the last bytes or after them.
    fn end(&mut self, whole: bool, script: &Script<'_>) {
        let id = if whole { self.whole.id } else { self.cut.id };
        let readable = Readiness { readable: true, ..Readiness::default() };
        if !script.ends_at_once {
            self.event(id, readable);
        }
        let peer = if whole { &self.whole } else { &self.cut };
        peer.pipe().ended = true;
        self.event(id, Readiness { ended: true, ..readable });
        if !script.impatient {
            assert!(self.engine.stream_mut(id).is_none(), "the connection is open after its peer has ended");
        }
    }

    /// Runs one turn of the loop, and further ones as long as the engine asks for them.
    fn event(&mut self, id: ConnId, readiness: Readiness) {
        self.engine.begin(self.now);
        self.engine.ready(id, readiness);
        run_to_rest(&mut self.engine, self.now);
        assert!(self.engine.arena().reserved_bytes() <= 16 << 10);
    }

    /// Lets time pass without any events, so that timeouts end the connections.
    fn wait_for_the_end(&mut self) {
        for _ in 0..40 {
            self.now.ms += 10_000;
            self.event(self.cut.id, Readiness::default());
            if self.engine.counters().connections == 0 {
                return;
            }
        }
        panic!("never closed: {:?}", self.engine);
    }
}

/// No timeouts.
pub(super) fn never() -> Timeouts {
    let mut timeouts = Timeouts::default();
    for timeout in [
        &mut timeouts.first_byte,
        &mut timeouts.head,
        &mut timeouts.idle,
        &mut timeouts.body_stall,
        &mut timeouts.write_stall,
        &mut timeouts.ping,
        &mut timeouts.ws_idle,
        &mut timeouts.message_stall,
        &mut timeouts.close,
        &mut timeouts.linger,
    ] {
        *timeout = Duration::ZERO;
    }
    timeouts
}
