//! The model of a stream of HTTP/2: what a client sends on it, and what the server must answer.
//!
//! It knows the rules of the protocols and of the [`service`](super::service), and not how the server works. Payloads carry the
//! numbers of the client and of the exchange, so a byte of another connection or another stream is noticed.

use super::response::{BYTES, TEXT};
use super::service::{self, FILE_BYTES, SHARED_BYTES, STATIC_BYTES};
use fleeting_testkit::http2::frames::code;
use fleeting_testkit::random::Random;
use fleeting_testkit::ws::frames::{client_frame, server_frame};

/// A request and its answer.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub head: Vec<(String, String)>,
    /// `None` if the head ends the stream.
    pub content: Option<Vec<u8>>,
    /// They end the stream, if there are any.
    pub trailers: Vec<(&'static str, &'static str)>,
    pub answer: Answer,
    pub tally: Tally,
}

/// What the server answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 100 (Continue) comes first.
    pub asks: bool,
    pub status: &'static str,
    /// All but the status and the date, in the order of their names.
    pub fields: Vec<(&'static str, String)>,
    pub content: Vec<u8>,
    pub when: When,
}

/// When an answer is due.
#[derive(Clone, Debug, Default)]
pub enum When {
    /// When the head has arrived.
    Head,
    /// When the end of the stream has arrived.
    #[default]
    End,
    /// When so much content has arrived: its length was announced, so its end is known before the stream's.
    Length(usize),
    /// The head at once. Of the content, a number of bytes once a number of bytes have arrived, ascending. The end of the stream follows
    /// the peer's.
    Messages(Vec<(usize, usize)>),
    /// A reset with this code: at once, or when the end of the stream has arrived.
    Reset { code: u32, at_once: bool },
}

/// How much of a request has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub head: bool,
    pub content: usize,
    pub end: bool,
}

/// How much of an answer is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    pub asks: bool,
    pub head: bool,
    pub content: usize,
    pub end: bool,
    pub reset: Option<u32>,
}

/// What the server must count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    pub early: u64,
    pub websockets: u64,
    pub messages: u64,
    pub failed: u64,
    pub panics: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.requests += other.requests;
        self.early += other.early;
        self.websockets += other.websockets;
        self.messages += other.messages;
        self.failed += other.failed;
        self.panics += other.panics;
    }
}

const HANDLED: Tally = Tally { requests: 1, early: 0, websockets: 0, messages: 0, failed: 0, panics: 0 };

impl Answer {
    /// How much is due once this much of the request has arrived. No more may be sent then.
    pub fn due(&self, arrived: Arrived) -> Due {
        let mut due = Due { asks: self.asks && arrived.head, ..Due::default() };
        let is_whole = match &self.when {
            When::Head => arrived.head,
            When::End => arrived.end,
            When::Length(bytes) => arrived.head && arrived.content == *bytes,
            When::Messages(marks) => {
                let last = marks.iter().rev().find(|(sent, _)| *sent <= arrived.content);
                due.content = last.map_or(0, |(_, answered)| *answered);
                (due.head, due.end) = (arrived.head, arrived.end);
                return due;
            }
            When::Reset { code, at_once } => {
                due.reset = (arrived.end || *at_once && arrived.head).then_some(*code);
                return due;
            }
        };
        if is_whole {
            (due.head, due.content, due.end) = (true, self.content.len(), true);
        }
        due
    }
}

impl Exchange {
    /// Generates an exchange. `name` is different for each of a run.
    pub fn new(name: &str, random: &mut Random, sizes: usize) -> Exchange {
        match random.below(100) {
            0..22 => Exchange::tag(name, random),
            22..30 => Exchange::early(name, random),
            30..45 => Exchange::echo(name, random, sizes),
            45..60 => Exchange::large(name, random, sizes),
            60..64 => {
                let tally = Tally { panics: 1, ..HANDLED };
                let answer = answered("500", TEXT, b"The handler failed.");
                Exchange { tally, ..get("GET", "/panic", answer) }
            }
            64..72 => Exchange::later(name, random),
            72..79 => Exchange::source(name, random),
            79..86 => Exchange::sum(name, random, sizes),
            86..90 => Exchange::malformed(name, random),
            _ => Exchange::websocket(name, random),
        }
    }

    fn tag(name: &str, random: &mut Random) -> Exchange {
        let (path, mut answer) = (format!("/tag/{name}"), answered("200", TEXT, name.as_bytes()));
        let is_head = random.chance(200);
        if is_head {
            answer.content.clear();
        }
        let mut exchange = get(if is_head { "HEAD" } else { "GET" }, &path, answer);
        if random.chance(50) {
            exchange.head.push(("x-pad".into(), "x".repeat(random.within(1, 12_000))));
        }
        exchange
    }

    /// It is answered before its content has arrived.
    fn early(name: &str, random: &mut Random) -> Exchange {
        let (method, path, mut answer) = if random.chance(500) {
            ("POST", "/nothing", answered("404", TEXT, b"There is nothing at this path."))
        } else {
            ("DELETE", "/static", answered("405", TEXT, b"The method is not allowed here."))
        };
        if method == "DELETE" {
            answer.fields.insert(0, ("allow", "GET, HEAD, OPTIONS".into()));
        }
        let content = random.chance(700).then(|| payload(name, random.within(0, 3000)));
        let tally = Tally { early: 1, ..Tally::default() };
        Exchange { content, tally, ..get(method, path, answer) }
    }

    fn echo(name: &str, random: &mut Random, sizes: usize) -> Exchange {
        let content = payload_of_any_size(name, random, sizes);
        let exchange = get("POST", "/echo", answered("200", BYTES, &content));
        with_content(exchange, content, random)
    }

    fn sum(name: &str, random: &mut Random, sizes: usize) -> Exchange {
        let content = payload_of_any_size(name, random, sizes);
        let exchange = get("POST", "/sum", answered("200", TEXT, service::sum(&content).as_bytes()));
        with_content(exchange, content, random)
    }

    fn large(name: &str, random: &mut Random, sizes: usize) -> Exchange {
        let count = random.one_of(&[10, 1000, 2000, 4000]).min(sizes / name.len() + 1);
        let (path, content) = match random.below(if sizes < FILE_BYTES { 1 } else { 5 }) {
            1 => ("/static".into(), vec![b's'; STATIC_BYTES]),
            2 => ("/shared".into(), vec![b'h'; SHARED_BYTES]),
            3 => {
                let bytes = random.one_of(&[9, 30_000, FILE_BYTES]);
                (format!("/file/{bytes}"), service::file_content(bytes))
            }
            _ => (format!("/owned/{name}/{count}"), name.repeat(count).into_bytes()),
        };
        get("GET", &path, answered("200", BYTES, &content))
    }

    /// Answered later, or never, which is a 500.
    fn later(name: &str, random: &mut Random) -> Exchange {
        match random.chance(800) {
            true => get("GET", &format!("/later/{name}/yes"), answered("200", TEXT, name.as_bytes())),
            false => get(
                "GET",
                &format!("/later/{name}/no"),
                answered("500", TEXT, b"The request was not answered."),
            ),
        }
    }

    /// From a source, piece by piece.
    fn source(name: &str, random: &mut Random) -> Exchange {
        let (count, is_known) = (random.within(1, 40), random.chance(400));
        let mut answer = Answer { status: "200", content: name.repeat(count).into(), ..Answer::default() };
        answer.when = When::Head;
        if is_known {
            answer.fields.push(("content-length", answer.content.len().to_string()));
        }
        let is_head = random.chance(100);
        if is_head {
            answer.content.clear();
        }
        let known = if is_known { "yes" } else { "no" };
        get(if is_head { "HEAD" } else { "GET" }, &format!("/source/{name}/{count}/{known}"), answer)
    }

    /// It breaks a rule for requests (RFC 9113 §8.1.1): a stream error.
    fn malformed(name: &str, random: &mut Random) -> Exchange {
        let answer = Answer::default();
        let mut exchange = Exchange { tally: Tally::default(), ..get("POST", "/echo", answer) };
        let mut at_once = true;
        match random.below(4) {
            0 => exchange.head.push(("Upper".into(), "case".into())),
            1 => exchange.head.push(("connection".into(), "close".into())),
            2 => drop(exchange.head.remove(0)),
            // Shorter than was announced.
            _ => {
                exchange.head.push(("content-length".into(), "1000".into()));
                exchange.content = Some(payload(name, random.within(0, 999)));
                at_once = false;
            }
        }
        exchange.answer.when = When::Reset { code: code::PROTOCOL_ERROR, at_once };
        exchange
    }

    fn websocket(name: &str, random: &mut Random) -> Exchange {
        let mut talk = Talk { exchange: get("CONNECT", "/ws", Answer::default()), marks: Vec::new() };
        talk.exchange.head.push((":protocol".into(), "websocket".into()));
        talk.exchange.head.push(("sec-websocket-version".into(), "13".into()));
        // Pseudo-fields come first.
        talk.exchange.head.sort_by_key(|(name, _)| !name.starts_with(':'));
        talk.exchange.tally = Tally { websockets: 1, ..HANDLED };
        talk.exchange.answer.status = "200";
        let mut is_over = false;
        for number in 0..random.within(0, 8) {
            if is_over {
                break;
            }
            is_over = talk.message(&format!("{name}{number}"), random);
        }
        if !is_over && random.chance(600) {
            talk.say(&client_frame(0x88, b"\x03\xe8bye", mask(random)), &server_frame(0x88, b"\x03\xe8"));
        }
        talk.exchange.answer.when = When::Messages(talk.marks);
        talk.exchange
    }
}

/// What is said on a WebSocket.
struct Talk {
    exchange: Exchange,
    marks: Vec<(usize, usize)>,
}

impl Talk {
    fn say(&mut self, sent: &[u8], answered: &[u8]) {
        let content = self.exchange.content.get_or_insert_default();
        content.extend_from_slice(sent);
        self.exchange.answer.content.extend_from_slice(answered);
        self.marks.push((content.len(), self.exchange.answer.content.len()));
    }

    /// Adds a message. Returns whether it is the last.
    fn message(&mut self, name: &str, random: &mut Random) -> bool {
        let mask = mask(random);
        let messages = &mut self.exchange.tally.messages;
        match random.below(100) {
            0..50 => {
                *messages += 1;
                let (bytes, opcode) = (random.within(1, 3000), random.one_of(&[0x81, 0x82]));
                let payload = payload(name, bytes);
                if random.chance(700) {
                    self.say(&client_frame(opcode, &payload, mask), &server_frame(opcode, &payload));
                } else {
                    let (first, rest) = payload.split_at(bytes / 2);
                    self.say(&client_frame(opcode & 0x0f, first, mask), b"");
                    self.say(&client_frame(0x80, rest, mask), &server_frame(opcode, &payload));
                }
            }
            50..65 => {
                let payload = name.as_bytes();
                self.say(&client_frame(0x89, payload, mask), &server_frame(0x8a, payload));
            }
            65..85 => {
                *messages += 1;
                let (count, bytes) = (random.within(1, 20), random.one_of(&[1, 100, 3000]));
                let frames =
                    (1..=count).flat_map(|at| server_frame(0x81, service::flood(name, at, bytes).as_bytes()));
                let answered: Vec<u8> = frames.collect();
                let order = format!("flood {name} {count} {bytes}");
                self.say(&client_frame(0x81, order.as_bytes(), mask), &answered);
                // What follows would be answered in between.
                return true;
            }
            85..93 => {
                *messages += 1;
                self.say(&client_frame(0x81, b"close", mask), &server_frame(0x88, b"\x03\xe8bye"));
                self.say(&client_frame(0x88, b"\x03\xe8", mask), b"");
                return true;
            }
            _ => {
                self.exchange.tally.failed += 1;
                let sentence = b"\x03\xeathere is no message to continue";
                self.say(b"\x80\x80mask", &server_frame(0x88, sentence));
                return true;
            }
        }
        false
    }
}

/// Returns an exchange without content, which a handler answers.
fn get(method: &str, path: &str, answer: Answer) -> Exchange {
    let field = |name: &str, value: &str| (name.to_string(), value.to_string());
    let head = [(":method", method), (":scheme", "http"), (":authority", "sim.example"), (":path", path)];
    let head = head.map(|(name, value)| field(name, value)).to_vec();
    Exchange { head, answer, tally: HANDLED, ..Exchange::default() }
}

/// Returns an answer that is due when its request's head has arrived.
fn answered(status: &'static str, kind: &str, content: &[u8]) -> Answer {
    Answer {
        asks: false,
        status,
        fields: vec![("content-length", content.len().to_string()), ("content-type", kind.into())],
        content: content.to_vec(),
        when: When::Head,
    }
}

/// Adds content that is answered when it is complete, with or without its length, a question before it, or trailers.
fn with_content(mut exchange: Exchange, content: Vec<u8>, random: &mut Random) -> Exchange {
    exchange.answer.when = When::End;
    if random.chance(500) {
        exchange.head.push(("content-length".into(), content.len().to_string()));
        exchange.answer.when = When::Length(content.len());
    } else if random.chance(200) {
        exchange.trailers.push(("x-sum", "1"));
    }
    if random.chance(100) {
        exchange.head.push(("expect".into(), "100-continue".into()));
        exchange.answer.asks = true;
    }
    exchange.content = Some(content);
    exchange
}

fn payload(name: &str, bytes: usize) -> Vec<u8> {
    let mut payload = name.repeat(bytes / name.len() + 1).into_bytes();
    payload.truncate(bytes);
    payload
}

fn payload_of_any_size(name: &str, random: &mut Random, sizes: usize) -> Vec<u8> {
    let bytes = match random.below(100) {
        0..60 => random.within(1, 200),
        60..85 => random.within(1, 5000),
        85..97 => random.within(1, 70_000),
        _ => random.within(1, 300 << 10),
    };
    payload(name, bytes.min(sizes))
}

fn mask(random: &mut Random) -> [u8; 4] {
    (random.bits() as u32).to_be_bytes()
}
