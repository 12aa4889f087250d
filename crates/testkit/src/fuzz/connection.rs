//! Bytes through a whole engine: requests, an upgrade, frames.
//!
//! Two connections get the same stream, one in one piece, the other by a [`Script`]; what the one is
//! told is what the other is told. If the script is impatient the clock runs and peers fail, and then
//! what is promised is less: good beginnings, and that everything ends.

use super::peer::{Act, Script, Wire};
use super::replies;
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::time::Now;
use fleeting::ws::CloseCode;
use fleeting::{App, Body, Limits, Timeouts, WebSocket};
use fleeting::{ConnId, Error, Message, Request, Response, Socket};
use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

/// More than a response leaves in the cork.
const LARGE: &[u8] = &[b'x'; 17 << 10];

/// Panics when a handler does, when an answer is malformed, when it depends on the cuts, and when
/// something is left once all has ended.
pub fn connection(bytes: &[u8]) {
    let (script, stream) = Script::read(bytes);
    let sessions = Sessions::default();
    let mut play = Play::new(&sessions, &script);
    play.act(stream, &script);
    // The response to HEAD cannot be told from another.
    let headless = stream.windows(5).any(|five| five == b"HEAD ");
    let (cut, whole) = (play.cut.wire.sent(), play.whole.wire.sent());
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
            let told = counters.requests + counters.early_answers;
            // Of those refused, the ones with content that is thrown away are not answered.
            let refused: u64 = counters.refused().map(|(_, count)| count).sum();
            assert!((told..=told + refused).contains(&responses), "{responses} responses, {counters:?}");
        }
    }
}

/// How many sessions have begun and ended.
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
        .get("/large", |_req| Ok(Response::status(200).body(Body::Static(LARGE))))
        .post("/owned", |req| Ok(Response::bytes([LARGE, req.body()].concat())))
        .get("/last", |_req| Ok(Response::text("last").close()))
        .ws("/ws", sessions.clone())
}

/// Small, so that they are met.
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
    wire: Wire,
    id: ConnId,
}

struct Play {
    engine: Engine<Wire>,
    now: Now,
    cut: Peer,
    whole: Peer,
}

impl Play {
    fn new(sessions: &Sessions, script: &Script<'_>) -> Play {
        let app = app(sessions);
        assert_eq!(app.check(), Ok(()));
        let timeouts = if script.impatient { Timeouts::default() } else { never() };
        let settings = Settings { limits: limits(), timeouts, worker: 0 };
        let now = Now { ms: 1, unix_secs: 784_111_777 };
        let mut engine = Engine::new(app, settings, now);
        let mut peer = |room| {
            let wire = Wire::new(room);
            Peer { id: engine.accept(wire.clone(), None), wire }
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
            // So that every script comes to an end.
            self.act_once(Act::Deliver(24), stream, &mut at);
            if at >= stream.len() / 2
                && let Some(stream) = whole.take()
            {
                self.whole.wire.deliver(stream);
                self.end(true, script);
            }
        }
        if whole.is_some() {
            self.end(true, script);
        }
        if script.impatient {
            self.wait_for_the_end();
        } else {
            self.cut.wire.add_room(usize::MAX);
            self.event(self.cut.id, Readiness { writable: true, ..Readiness::default() });
            self.end(false, script);
        }
    }

    fn act_once(&mut self, act: Act, stream: &[u8], at: &mut usize) {
        let Peer { wire, id } = &self.cut;
        let mut readiness = Readiness::default();
        match act {
            Act::Deliver(bytes) => {
                let to = stream.len().min(*at + bytes);
                wire.deliver(&stream[*at..to]);
                *at = to;
                readiness.readable = true;
            }
            Act::Room(bytes) => {
                wire.add_room(bytes);
                readiness.writable = true;
            }
            Act::Wait(ms) => self.now.ms += ms,
            Act::Interrupt => wire.interrupt(),
            Act::Spurious => readiness = Readiness { readable: true, writable: true, ended: false },
            Act::Reset => {
                wire.reset();
                readiness.ended = true;
            }
            Act::End => {
                wire.end();
                readiness.ended = true;
            }
            Act::Shutdown => self.engine.shutdown(),
            Act::Abort => self.engine.abort(*id),
        }
        self.event(*id, readiness);
    }

    /// The peer's side ends, with the last bytes or after them.
    fn end(&mut self, whole: bool, script: &Script<'_>) {
        let Peer { wire, id } = if whole { &self.whole } else { &self.cut };
        let (wire, id) = (wire.clone(), *id);
        let readable = Readiness { readable: true, ..Readiness::default() };
        if !script.ends_at_once {
            self.event(id, readable);
        }
        wire.end();
        self.event(id, Readiness { ended: true, ..readable });
        if !script.impatient {
            assert!(self.engine.stream_mut(id).is_none(), "open after its end");
        }
    }

    /// One turn of the loop, and as many more as it asks for.
    fn event(&mut self, id: ConnId, readiness: Readiness) {
        self.engine.begin(self.now);
        self.engine.ready(id, readiness);
        for turn in 0.. {
            self.engine.run();
            if self.engine.next_ms() != Some(0) {
                break;
            }
            assert!(turn < 10_000, "it goes round and round");
            self.engine.begin(self.now);
        }
        assert!(self.engine.arena().reserved_bytes() <= 16 << 10);
    }

    /// Nobody does anything any more: timeouts see to the rest.
    fn wait_for_the_end(&mut self) {
        for _ in 0..40 {
            self.now.ms += 10_000;
            self.event(self.cut.id, Readiness::default());
            if self.engine.counters().connections == 0 {
                return;
            }
        }
        panic!("open for ever: {:?}", self.engine);
    }
}

fn never() -> Timeouts {
    let mut timeouts = Timeouts::default();
    for timeout in [
        &mut timeouts.head,
        &mut timeouts.idle,
        &mut timeouts.body_stall,
        &mut timeouts.write_stall,
        &mut timeouts.ping,
        &mut timeouts.ws_idle,
        &mut timeouts.close,
        &mut timeouts.linger,
    ] {
        *timeout = Duration::ZERO;
    }
    timeouts
}
