//! Whole turns of the engine, over an in-memory stream. The router is not public; the differences between these
//! cases show its share.

use super::{BROWSER, Case, PLAIN, frame, post};
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::time::Now;
use fleeting::transport::Stream;
use fleeting::{App, ConnId, Error, Handle, Handler, Message, Request, Response, Socket, WebSocket};
use std::io::{self, IoSlice};

pub(super) const NOW: Now = Now { ms: 1, unix_secs: 784_111_777 };

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The fields that `/fields` looks up: nine that a browser sends, and one that it does not.
const LOOKED_UP: [&str; 10] = [
    "Host",
    "Connection",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Accept",
    "Referer",
    "Accept-Encoding",
    "Accept-Language",
    "Cookie",
    "X-Request-Id",
];

/// Requests per turn; the engine answers at most 32.
pub(super) const PIPELINED: u64 = 16;

/// A peer that sends the same bytes in every turn and accepts every answer.
///
/// The test kit's stream in memory would add its own instructions (a buffer, counts, checks) to what is measured here.
struct Wire {
    sends: Vec<u8>,
    /// The bytes of the answer, while they are being recorded.
    answer: Option<Vec<u8>>,
}

impl Stream for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer[..self.sends.len()].copy_from_slice(&self.sends);
        Ok(self.sends.len())
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if let Some(answer) = &mut self.answer {
            answer.extend_from_slice(buffer);
        }
        Ok(buffer.len())
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        buffers.iter().map(|buffer| self.write(buffer)).sum()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Also subscribes to [`TOPIC`], which costs nothing while nothing is published.
struct Echo;

const TOPIC: &str = "prices.eur";

impl WebSocket for Echo {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(socket.subscribe(TOPIC).map(drop)?)
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

pub(super) fn app() -> App {
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
        .get("/shops/{shop}/orders/{order}/items/{item}", |req| {
            let length = ["shop", "order", "item"].map(|name| req.param(name).len()).iter().sum::<usize>();
            Ok(Response::text(if length == 9 { "three" } else { "wrong" }))
        })
        .get("/fields", |req| {
            let found = LOOKED_UP.iter().filter(|name| req.header(name).is_some()).count();
            Ok(Response::text(if found == 9 { "nine" } else { "wrong" }))
        })
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .ws("/ws", Echo);
    #[cfg(feature = "json")]
    let app = app.post("/orders", json::order);
    app
}

#[cfg(feature = "json")]
mod json {
    use fleeting::{Error, Request, Response};

    pub const SENT: &str = r#"{ "item": "pear", "count": 6 }"#;
    pub const ANSWERED: &str = r#"{"item":"pear","count":7}"#;

    #[derive(serde::Deserialize, serde::Serialize)]
    struct Order<'r> {
        item: &'r str,
        count: u32,
    }

    pub fn order<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
        let order: Order<'_> = req.json()?;
        Response::json(req, &Order { count: order.count + 1, ..order })
    }
}

/// Runs a turn of an engine in which a connection can be read.
pub(super) fn run_turn<S: Stream>(engine: &mut Engine<S>, id: ConnId) {
    engine.begin(NOW);
    engine.ready(id, Readiness { readable: true, ..Readiness::default() });
    engine.run();
}

/// An engine with one connection.
struct Rig {
    engine: Engine<Wire>,
    id: ConnId,
}

impl Rig {
    fn new(app: App) -> Rig {
        let mut engine = Engine::new(app, Settings::default(), NOW);
        let id = engine.accept(Wire { sends: Vec::new(), answer: None }, None);
        Rig { engine, id }
    }

    fn turn(&mut self) {
        run_turn(&mut self.engine, self.id);
    }

    /// Runs a turn in which the peer sends `sends`, as it will in all later turns. Returns the answer.
    fn exchange(&mut self, sends: Vec<u8>) -> Vec<u8> {
        self.wire().sends = sends;
        self.wire().answer = Some(Vec::new());
        self.turn();
        self.wire().answer.take().expect("set at the start of this function")
    }

    fn wire(&mut self) -> &mut Wire {
        self.engine.stream_mut(self.id).expect("the connection is open")
    }
}

/// A case of `requests` requests per turn. Checks first that each is answered with `content`.
fn answers(
    name: impl Into<String>,
    requests: u64,
    app: impl FnOnce() -> App + 'static,
    sends: String,
    content: &str,
) -> Case {
    let content = content.to_string();
    Case::new(name, requests, move || {
        let mut rig = Rig::new(app());
        let answer = String::from_utf8(rig.exchange(sends.into_bytes())).expect("the answer is text");
        let (head, end) = ("HTTP/1.1 200 OK\r\n", format!("\r\n\r\n{content}"));
        let complete = [head, &end].iter().all(|part| answer.matches(*part).count() as u64 == requests);
        assert!(complete, "expected {requests} answers of {content:?}, got: {answer}");
        move || rig.turn()
    })
}

pub fn requests() -> Vec<Case> {
    let case = |name, requests: u64, request: &str, content| {
        answers(format!("engine/{name}"), requests, app, request.repeat(requests as usize), content)
    };
    let kib = "x".repeat(1024);
    let parameters = "GET /shops/bit/orders/417/items/tie HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
    vec![
        case("GET", 1, PLAIN, "hello"),
        case("GET 16 pipelined", PIPELINED, PLAIN, "hello"),
        case("GET 431 B 16 pipelined", PIPELINED, BROWSER, "world"),
        case("POST 1 KiB", 1, &post("/echo", "text/plain", &kib), &kib),
        #[cfg(feature = "json")]
        case("JSON", 1, &post("/orders", "application/json", json::SENT), json::ANSWERED),
        case("3 parameters", 1, parameters, "three"),
        case("10 fields looked up", 1, &BROWSER.replace("/hello/world", "/fields"), "nine"),
    ]
}

/// What goes around a request; the difference to `GET 16 pipelined` is its price.
pub fn surroundings() -> Vec<Case> {
    let sends =
        |target: &str| PLAIN.replacen("GET /", &format!("GET /{target}"), 1).repeat(PIPELINED as usize);
    let layered = |layers: usize| {
        (0..layers).fold(app(), |app, _| app.layer(|req: &Request<'_>, next: &dyn Handler| next.call(req)))
    };
    let nested = || App::new().nest("/inner", app());
    let watched = || app().on_complete(|done| assert!(done.is_sent()));
    vec![
        answers("engine/GET 16 pipelined with a layer", PIPELINED, move || layered(1), sends(""), "hello"),
        answers("engine/GET 16 pipelined with 2 layers", PIPELINED, move || layered(2), sends(""), "hello"),
        answers("engine/GET 16 pipelined nested", PIPELINED, nested, sends("inner"), "hello"),
        answers("engine/GET 16 pipelined with a hook", PIPELINED, watched, sends(""), "hello"),
    ]
}

/// The requests are spread over the routes, because the position of one route in the hash table is chance.
pub fn routes() -> Vec<Case> {
    let mut cases = Vec::new();
    for routes in [1, 100, 10_000] {
        for (kind, target) in [("fixed", "plain"), ("parameter", "hello/world")] {
            let app = move || {
                (0..routes).fold(App::new(), |app, route| {
                    app.get(&format!("/{route:05}/plain"), |_req| Ok(Response::text("world")))
                        .get(&format!("/{route:05}/hello/{{name}}"), |req| {
                            Ok(Response::text(req.param("name")))
                        })
                })
            };
            let request = |n| {
                let route = n * routes / PIPELINED;
                format!("GET /{route:05}/{target} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
            };
            let sends = (0..PIPELINED).map(request).collect();
            cases.push(answers(format!("routes/{kind} of {routes}"), PIPELINED, app, sends, "world"));
        }
    }
    cases
}

pub fn messages() -> Vec<Case> {
    let echo = |name, messages: u64, opcode, bytes| {
        Case::new(name, messages, move || {
            let mut rig = Rig::new(app());
            let accepted = rig.exchange(HANDSHAKE.into());
            assert!(accepted.starts_with(b"HTTP/1.1 101 "), "{}", accepted.escape_ascii());
            let sent = frame(opcode, bytes).repeat(messages as usize);
            // Frames from a server have no mask.
            let unmasked = sent.len() - 4 * messages as usize;
            assert_eq!(rig.exchange(sent).len(), unmasked, "each message comes back");
            move || rig.turn()
        })
    };
    vec![
        echo("engine/ws echo text 16 B", 1, 1, 16),
        echo("engine/ws echo text 16 B 32 at once", 32, 1, 16),
        echo("engine/ws echo 16 B 32 at once", 32, 2, 16),
        echo("engine/ws echo 1 KiB", 1, 2, 1 << 10),
        echo("engine/ws echo 1 KiB 32 at once", 32, 2, 1 << 10),
        echo("engine/ws echo 64 KiB", 1, 2, 64 << 10),
    ]
}

/// What the loop that runs a worker publishes between two turns: queued, and then delivered in the turn.
pub fn publications() -> Vec<Case> {
    let case = |name, topic, delivered: u64| {
        Case::new(name, PIPELINED, move || {
            let mut rig = Rig::new(app());
            rig.exchange(HANDSHAKE.into());
            let mut turn = move || {
                for _ in 0..PIPELINED {
                    rig.engine.publish(topic, Message::Binary(&[7; 64])).expect("it is valid");
                }
                rig.engine.begin(NOW);
                rig.engine.run();
                rig.engine.counters().delivered
            };
            assert_eq!(turn(), delivered);
            move || {
                turn();
            }
        })
    };
    vec![
        case("engine/publish 64 B to nobody 16 in a turn", "prices.usd", 0),
        case("engine/publish 64 B to one 16 in a turn", TOPIC, PIPELINED),
        to_another_worker("engine/publish 64 B to another worker", 1),
        to_another_worker("engine/publish 64 B to another worker 16 in a turn", PIPELINED),
    ]
}

/// Publications that go through the mailbox of another worker, which has no subscriber: a turn of both workers.
fn to_another_worker(name: &str, publications: u64) -> Case {
    Case::new(name, publications, move || {
        let handle = Handle::unattended(2);
        let [mut from, mut to] = [0, 1].map(|worker| {
            let settings = Settings { worker, ..Settings::default() };
            Engine::<Wire>::with_handle(app(), settings, NOW, &handle)
        });
        let mut turn = move || {
            for _ in 0..publications {
                from.publish(TOPIC, Message::Binary(&[7; 64])).expect("it is valid");
            }
            for engine in [&mut from, &mut to] {
                engine.begin(NOW);
                engine.run();
            }
            to.counters().published
        };
        assert_eq!(turn(), publications);
        move || {
            turn();
        }
    })
}
