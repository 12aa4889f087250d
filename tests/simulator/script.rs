//! What a client sends, and what it must be answered: the model.
//!
//! It knows the rules of the protocols and of the [`service`](super::service), and nothing of how the
//! server works. Every payload carries the client's number, so that a byte of another's is seen.

use super::service::{self, FILE_BYTES, SHARED_BYTES, STATIC_BYTES};
use fleeting_testkit::random::Random;

/// A client's part and the server's.
#[derive(Default)]
pub struct Script {
    /// Everything the client sends.
    pub sent: Vec<u8>,
    /// Everything the server is to answer. Dates are filled in when they come.
    pub says: Vec<u8>,
    /// Where in `says` a Date begins, ascending.
    pub dates: Vec<usize>,
    /// Where in `says` a response or a frame begins, ascending.
    pub bounds: Vec<usize>,
    /// One behind the other; together they are `sent`.
    pub items: Vec<Item>,
    /// The server ends the connection.
    pub over: bool,
    client: usize,
}

/// A piece of what the client sends, and what becomes of it.
#[derive(Clone)]
pub struct Item {
    /// Offsets in `sent`.
    pub start: usize,
    pub end: usize,
    /// Length of `says` once this has been answered.
    pub says_end: usize,
    pub phase: Phase,
    /// Nothing more is sent before the answer has come.
    pub gate: bool,
    /// Milliseconds: when its first byte arrived.
    pub began: u64,
    pub tally: Tally,
}

/// What an item is to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Http,
    /// Content of a request that is answered already.
    Discard,
    Frames,
    /// Frames after the server's Close.
    Closing,
    /// The server does not look at it any more.
    Ignored,
}

/// What is to be counted.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    pub requests: u64,
    pub early: u64,
    pub refused: u64,
    pub websockets: u64,
    pub messages: u64,
    pub failed: u64,
    pub panics: u64,
    /// Final responses, 101 included.
    pub responses: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.requests += other.requests;
        self.early += other.early;
        self.refused += other.refused;
        self.websockets += other.websockets;
        self.messages += other.messages;
        self.failed += other.failed;
        self.panics += other.panics;
        self.responses += other.responses;
    }
}

const HANDLED: Tally = Tally {
    requests: 1,
    early: 0,
    refused: 0,
    websockets: 0,
    messages: 0,
    failed: 0,
    panics: 0,
    responses: 1,
};
const NOTHING: Tally = Tally { requests: 0, responses: 0, ..HANDLED };
const EARLY: Tally = Tally { requests: 0, early: 1, ..HANDLED };
const REFUSED: Tally = Tally { requests: 0, refused: 1, ..HANDLED };
const MESSAGE: Tally = Tally { messages: 1, ..NOTHING };

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
pub const DATE: &str = "?????????????????????????????";
const NOT_FOUND: &str = "There is nothing at this path.";
const FAILED: &str = "The handler failed.";

/// A final response as it goes on the wire, its date left open.
pub fn response(status: &str, kind: &str, fields: &str, body: &[u8], head_only: bool) -> Vec<u8> {
    let length = body.len();
    // What is said of the connection comes last, whoever asked for it.
    let (connection, fields): (Vec<&str>, Vec<&str>) =
        fields.split_inclusive('\n').partition(|line| line.starts_with("Connection:"));
    let (connection, fields) = (connection.concat(), fields.concat());
    let head = format!(
        "HTTP/1.1 {status}\r\nDate: {DATE}\r\nContent-Type: {kind}\r\n{fields}Content-Length: {length}\r\n\
         {connection}\r\n"
    );
    let mut bytes = head.into_bytes();
    if !head_only {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// Where in a response the Date begins, if it has one.
pub fn date_in(response: &[u8]) -> Option<usize> {
    let head = &response[..response.len().min(200)];
    head.windows(DATE.len()).position(|window| window == DATE.as_bytes())
}

/// A frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

/// A frame as a client sends it.
pub fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0x80);
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn header(first: u8, length: usize, masked: u8) -> Vec<u8> {
    match length {
        0..126 => vec![first, length as u8 | masked],
        126..65_536 => [&[first, 126 | masked][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127 | masked][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// A Close frame as a server sends it.
pub fn server_close(code: u16, reason: &str) -> Vec<u8> {
    server_frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Heads that are refused: bytes, status, sentence.
const MALFORMED: &[(&str, &str, &str)] = &[
    ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request", "A line ends in LF without CR."),
    ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "The Host field is missing."),
    (
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "505 HTTP Version Not Supported",
        "Only HTTP/1.1 and HTTP/1.0 are supported.",
    ),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request", "The method is not a token."),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        "400 Bad Request",
        "The request contains a control character.",
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "501 Not Implemented",
        "The only supported transfer coding is chunked.",
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "400 Bad Request",
        "Content-Length and Transfer-Encoding must not occur together.",
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: much\r\n\r\n",
        "417 Expectation Failed",
        "The only supported expectation is 100-continue.",
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        "413 Content Too Large",
        "The content is too large.",
    ),
    (
        "HEAD /bye HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        "413 Content Too Large",
        "The content is too large.",
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd",
        "400 Bad Request",
        "Chunk data is not followed by CRLF.",
    ),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nHost: b\r\n\r\n",
        "400 Bad Request",
        "A trailer contains a field that is allowed only in a head.",
    ),
];

/// Frames that fail a connection: first bytes of the frame, code, sentence.
const MISFRAMED: &[(&[u8], u16, &str)] = &[
    (b"\x83\x80mask", 1002, "the opcode is reserved"),
    (b"\xc1\x80mask", 1002, "a reserved bit is set that no negotiated extension defines here"),
    (b"\x80\x80mask", 1002, "there is no message to continue"),
    (b"\x88\x81mask\0", 1002, "the close frame has one byte of payload, too short for a code"),
    (b"\x81\x81\0\0\0\0\xff", 1007, "the text is not UTF-8"),
];

impl Script {
    /// The script of a client, as chance will have it.
    pub fn new(client: usize, random: &mut Random) -> Script {
        let mut script = Script { client, ..Script::default() };
        let requests = random.within(1, 8);
        let socket = random.chance(350);
        for _ in 0..requests {
            if script.over {
                break;
            }
            script.request(random);
            if random.chance(300) {
                script.gate();
            }
        }
        if socket && !script.over {
            script.websocket(random);
        }
        if script.over && !script.still_here() && random.chance(300) {
            let rest = script.payload(random.within(1, 300));
            script.item(Phase::Ignored, &rest, NOTHING);
        }
        script
    }

    fn item(&mut self, phase: Phase, sent: &[u8], tally: Tally) {
        let start = self.sent.len();
        self.sent.extend_from_slice(sent);
        let (end, says_end) = (self.sent.len(), self.says.len());
        self.items.push(Item { start, end, says_end, phase, gate: false, began: u64::MAX, tally });
    }

    /// The server says `bytes` in answer to the next item.
    fn say(&mut self, bytes: &[u8]) {
        self.bounds.push(self.says.len());
        self.dates.extend(date_in(bytes).map(|at| self.says.len() + at));
        self.says.extend_from_slice(bytes);
    }

    fn gate(&mut self) {
        if let Some(item) = self.items.last_mut() {
            item.gate = true;
        }
    }

    fn tag(&self) -> String {
        format!("<c{:04}.i{:03}>", self.client, self.items.len())
    }

    fn payload(&self, bytes: usize) -> Vec<u8> {
        let tag = self.tag();
        let mut payload = tag.repeat(bytes / tag.len() + 1).into_bytes();
        payload.truncate(bytes);
        payload
    }

    fn request(&mut self, random: &mut Random) {
        let close = random.chance(40);
        let (asks, fields) =
            if close { ("Connection: close\r\n", "Connection: close\r\n") } else { ("", "") };
        let tag = self.tag();
        let host = "Host: sim.example\r\n";
        match random.below(100) {
            0..22 => {
                let head = random.chance(200);
                let method = if head { "HEAD" } else { "GET" };
                self.say(&response("200 OK", TEXT, fields, tag.as_bytes(), head));
                let padding =
                    if random.chance(30) { "x".repeat(random.within(1, 12_000)) } else { String::new() };
                let lines = format!("{method} /tag/{tag} HTTP/1.1\r\n{host}X-Pad: {padding}\r\n{asks}\r\n");
                self.item(Phase::Http, lines.as_bytes(), HANDLED);
            }
            22..30 => {
                let body = self.payload_of_any_size(random);
                let allowed = random.chance(500);
                let (line, status, allow, text) = if allowed {
                    ("POST /nothing", "404 Not Found", "", NOT_FOUND)
                } else {
                    let allow = "allow: GET, HEAD, OPTIONS\r\n";
                    ("DELETE /bye", "405 Method Not Allowed", allow, "The method is not allowed here.")
                };
                self.discarded(
                    random,
                    line,
                    &response(status, TEXT, &format!("{fields}{allow}"), text.as_bytes(), false),
                    asks,
                    &body,
                );
            }
            30..46 => {
                let body = self.payload_of_any_size(random);
                self.say(&response("200 OK", BYTES, fields, &body, false));
                let head =
                    format!("POST /echo HTTP/1.1\r\n{host}Content-Length: {}\r\n{asks}\r\n", body.len());
                self.item(Phase::Http, &[head.as_bytes(), &body].concat(), HANDLED);
            }
            46..60 => {
                let body = self.payload_of_any_size(random);
                self.say(&response("200 OK", BYTES, fields, &body, false));
                let head = format!("POST /echo HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n{asks}\r\n");
                self.item(Phase::Http, &[head.as_bytes(), &chunked(random, &body)].concat(), HANDLED);
            }
            60..66 => {
                let body = self.payload(random.within(1, 3000));
                self.say(b"HTTP/1.1 100 Continue\r\n\r\n");
                let expect = "Expect: 100-continue\r\n";
                let head = format!(
                    "POST /echo HTTP/1.1\r\n{host}{expect}Content-Length: {}\r\n{asks}\r\n",
                    body.len()
                );
                self.item(Phase::Http, head.as_bytes(), NOTHING);
                if random.chance(700) {
                    self.gate();
                }
                self.say(&response("200 OK", BYTES, fields, &body, false));
                self.item(Phase::Http, &body, HANDLED);
            }
            66..72 => {
                let (path, body) = match random.below(4) {
                    0 => ("/static".into(), vec![b's'; STATIC_BYTES]),
                    1 => ("/shared".into(), vec![b'h'; SHARED_BYTES]),
                    2 => {
                        // Read into the cork, sent at once, sent in two turns.
                        let bytes = random.one_of(&[9, 30_000, FILE_BYTES]);
                        (format!("/file/{bytes}"), service::file_content(bytes))
                    }
                    _ => {
                        let count = random.one_of(&[10, 1000, 2000]);
                        (format!("/owned/{tag}/{count}"), tag.repeat(count).into_bytes())
                    }
                };
                self.say(&response("200 OK", BYTES, fields, &body, false));
                self.item(
                    Phase::Http,
                    format!("GET {path} HTTP/1.1\r\n{host}{asks}\r\n").as_bytes(),
                    HANDLED,
                );
            }
            72..77 => {
                let status = "500 Internal Server Error";
                self.say(&response(status, TEXT, fields, FAILED.as_bytes(), false));
                let tally = Tally { panics: 1, ..HANDLED };
                self.item(Phase::Http, format!("GET /panic HTTP/1.1\r\n{host}{asks}\r\n").as_bytes(), tally);
            }
            77..80 => {
                self.say(&response("200 OK", TEXT, "Connection: close\r\n", b"bye", false));
                self.item(Phase::Http, format!("GET /bye HTTP/1.1\r\n{host}\r\n").as_bytes(), HANDLED);
                self.over = true;
            }
            80..84 => {
                let (bytes, status, text) = random.one_of(MALFORMED);
                let head = bytes.starts_with("HEAD");
                self.say(&response(status, TEXT, "Connection: close\r\n", text.as_bytes(), head));
                self.item(Phase::Http, bytes.as_bytes(), REFUSED);
                self.over = true;
            }
            84..87 => {
                let fields = if close { fields } else { "Connection: keep-alive\r\n" };
                let asks = if close { "" } else { "Connection: keep-alive\r\n" };
                self.say(&response("200 OK", TEXT, fields, tag.as_bytes(), false));
                self.item(Phase::Http, format!("GET /tag/{tag} HTTP/1.0\r\n{asks}\r\n").as_bytes(), HANDLED);
            }
            // Answered later, or never: that is 500.
            87..90 => {
                let answered = random.chance(800);
                let (status, text) = match answered {
                    true => ("200 OK", tag.as_str()),
                    false => ("500 Internal Server Error", "The request was not answered."),
                };
                self.say(&response(status, TEXT, fields, text.as_bytes(), false));
                let word = if answered { "yes" } else { "no" };
                let lines = format!("GET /later/{tag}/{word} HTTP/1.1\r\n{host}{asks}\r\n");
                self.item(Phase::Http, lines.as_bytes(), HANDLED);
            }
            // From a source, piece by piece.
            90..93 => {
                let (count, known) = (random.within(1, 12), random.chance(400));
                let (framing, body) = if known {
                    (format!("Content-Length: {}\r\n", tag.len() * count), tag.repeat(count))
                } else {
                    let pieces = format!("{:x}\r\n{tag}\r\n", tag.len()).repeat(count);
                    ("Transfer-Encoding: chunked\r\n".into(), pieces + "0\r\n\r\n")
                };
                let head = random.chance(100);
                let body = if head { "" } else { &body };
                self.say(
                    format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\n{framing}{fields}\r\n{body}").as_bytes(),
                );
                let (method, word) = (if head { "HEAD" } else { "GET" }, if known { "yes" } else { "no" });
                let lines = format!("{method} /source/{tag}/{count}/{word} HTTP/1.1\r\n{host}{asks}\r\n");
                self.item(Phase::Http, lines.as_bytes(), HANDLED);
            }
            // Taken as it arrives.
            93..96 => {
                let body = self.payload_of_any_size(random);
                self.say(&response("200 OK", TEXT, fields, service::sum(&body).as_bytes(), false));
                let (framing, content) = if random.chance(500) {
                    ("Transfer-Encoding: chunked".into(), chunked(random, &body))
                } else {
                    (format!("Content-Length: {}", body.len()), body)
                };
                let head = format!("POST /sum HTTP/1.1\r\n{host}{framing}\r\n{asks}\r\n");
                self.item(Phase::Http, &[head.as_bytes(), &content].concat(), HANDLED);
            }
            // A pipeline, longer than the budget of a turn.
            _ => {
                for _ in 0..random.within(2, 40) {
                    let tag = self.tag();
                    self.say(&response("200 OK", TEXT, "", tag.as_bytes(), false));
                    let lines = format!("GET /tag/{tag} HTTP/1.1\r\n{host}\r\n");
                    self.item(Phase::Http, lines.as_bytes(), HANDLED);
                }
                return;
            }
        }
        self.over |= close;
    }

    /// A request that is answered before its content has come, which is then thrown away.
    fn discarded(&mut self, random: &mut Random, line: &str, answer: &[u8], asks: &str, body: &[u8]) {
        let chunks = random.chance(500);
        let (framing, content) = if chunks {
            ("Transfer-Encoding: chunked".into(), chunked(random, body))
        } else {
            (format!("Content-Length: {}", body.len()), body.to_vec())
        };
        let head = format!("{line} HTTP/1.1\r\nHost: sim.example\r\n{framing}\r\n{asks}\r\n");
        let too_long = !chunks && content.len() > 256 << 10;
        let broken = chunks && content.len() > 256 << 10;
        if too_long && asks.is_empty() {
            // The length alone says that it is too much.
            let text = String::from_utf8_lossy(answer);
            let at = text.find("Content-Length").expect("a response has a length");
            let end = at + text[at..].find("\r\n").expect("a line has an end") + 2;
            self.say(format!("{}Connection: close\r\n{}", &text[..end], &text[end..]).as_bytes());
        } else {
            self.say(answer);
        }
        self.item(Phase::Http, head.as_bytes(), EARLY);
        self.over |= too_long || broken;
        let closes = too_long || !asks.is_empty();
        let phase = if closes { Phase::Ignored } else { Phase::Discard };
        let tally = if broken && !closes { Tally { refused: 1, ..NOTHING } } else { NOTHING };
        self.item(phase, &content, tally);
    }

    fn payload_of_any_size(&self, random: &mut Random) -> Vec<u8> {
        let bytes = match random.below(100) {
            0..70 => random.within(1, 200),
            70..95 => random.within(1, 5000),
            95..99 => random.within(1, 40_000),
            _ => random.within(1, 300 << 10),
        };
        self.payload(bytes)
    }

    fn websocket(&mut self, random: &mut Random) {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        // RFC 6455 §1.3.
        self.say(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nDate: {DATE}\r\n\r\n"
            )
            .as_bytes(),
        );
        let lines = format!(
            "GET /ws HTTP/1.1\r\nHost: sim.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        self.item(Phase::Http, lines.as_bytes(), Tally { websockets: 1, ..HANDLED });
        if random.chance(600) {
            self.gate();
        }
        for _ in 0..random.within(0, 10) {
            if self.over {
                return;
            }
            self.message(random);
            if random.chance(200) {
                self.gate();
            }
        }
        if !self.over && random.chance(600) {
            let mask = mask(random);
            let (sent, code) = random.one_of(&[(&b"\x03\xe8bye"[..], &b"\x03\xe8"[..]), (b"", b"")]);
            self.say(&server_frame(0x88, code));
            self.item(Phase::Frames, &client_frame(0x88, sent, mask), NOTHING);
            self.over = true;
        }
    }

    fn message(&mut self, random: &mut Random) {
        let mask = mask(random);
        match random.below(100) {
            0..35 => {
                let payload = self.payload_of_any_size(random);
                let opcode = random.one_of(&[1, 2]);
                self.say(&server_frame(0x80 | opcode, &payload));
                self.item(Phase::Frames, &client_frame(0x80 | opcode, &payload, mask), MESSAGE);
            }
            35..60 => {
                let payload = self.payload_of_any_size(random);
                let opcode = random.one_of(&[1, 2]);
                let pieces = random.within(2, 5);
                for (at, piece) in payload.chunks(payload.len() / pieces + 1).enumerate() {
                    let first = if at == 0 { opcode } else { 0 };
                    self.item(Phase::Frames, &client_frame(first, piece, mask), NOTHING);
                    if random.chance(300) {
                        self.ping(mask);
                    }
                }
                self.say(&server_frame(0x80 | opcode, &payload));
                self.item(Phase::Frames, &client_frame(0x80, b"", mask), MESSAGE);
            }
            60..72 => self.ping(mask),
            72..76 => self.item(Phase::Frames, &client_frame(0x8a, b"nobody asked", mask), NOTHING),
            76..86 => {
                let (tag, count) = (self.tag(), random.within(1, 40));
                let bytes = random.one_of(&[1, 100, 1500, 20_000]);
                let count = if bytes > 10_000 { count / 4 } else { count };
                for at in 1..=count {
                    self.say(&server_frame(0x81, service::flood(&tag, at, bytes).as_bytes()));
                }
                let order = format!("flood {tag} {count} {bytes}");
                self.item(Phase::Frames, &client_frame(0x81, order.as_bytes(), mask), MESSAGE);
                // What comes next must not be answered in between.
                self.gate();
            }
            86..92 => {
                let (order, code, reason) = random.one_of(&[("close", 1000, "bye"), ("panic", 1011, "")]);
                self.say(&server_close(code, reason));
                let tally = Tally { panics: u64::from(order == "panic"), ..MESSAGE };
                self.item(Phase::Frames, &client_frame(0x81, order.as_bytes(), mask), tally);
                for _ in 0..random.below(3) {
                    self.item(Phase::Closing, &client_frame(0x81, &self.payload(20), mask), NOTHING);
                }
                if random.chance(700) {
                    let code = u16::to_be_bytes(code);
                    self.item(Phase::Closing, &client_frame(0x88, &code, mask), NOTHING);
                } else {
                    // The close handshake must time out.
                    self.item(Phase::Closing, &client_frame(0x89, b"still here", mask), NOTHING);
                }
                self.over = true;
            }
            _ => {
                let (bytes, code, reason) = random.one_of(MISFRAMED);
                self.say(&server_close(code, reason));
                self.item(Phase::Frames, bytes, Tally { failed: 1, ..NOTHING });
                self.over = true;
            }
        }
    }

    fn ping(&mut self, mask: [u8; 4]) {
        let payload = self.tag();
        self.say(&server_frame(0x8a, payload.as_bytes()));
        self.item(Phase::Frames, &client_frame(0x89, payload.as_bytes(), mask), NOTHING);
    }

    /// Whether the client does not answer the server's Close.
    pub fn still_here(&self) -> bool {
        self.items
            .iter()
            .rev()
            .find(|item| item.phase == Phase::Closing)
            .is_some_and(|item| self.sent[item.start] == 0x89)
    }

    /// The item that the byte at `offset` of `sent` belongs to; the last one at the end.
    pub fn item_at(&self, offset: usize) -> &Item {
        let at = self.items.partition_point(|item| item.end <= offset);
        &self.items[at.min(self.items.len() - 1)]
    }

    /// What the server must have said once it knows `bytes` of what is sent.
    pub fn due(&self, bytes: usize) -> usize {
        let whole = self.items.partition_point(|item| item.end <= bytes);
        whole.checked_sub(1).map_or(0, |last| self.items[last].says_end).min(self.says.len())
    }

    /// What the server may have said by then.
    pub fn allowed(&self, bytes: usize) -> usize {
        let begun = self.items.partition_point(|item| item.start < bytes);
        begun.checked_sub(1).map_or(0, |last| self.items[last].says_end).min(self.says.len())
    }

    /// The server says `bytes` at the bound `at`, and then `rest` of what was expected there.
    pub fn insert(&mut self, at: usize, bytes: &[u8], known: usize) {
        self.says.splice(at..at, bytes.iter().copied());
        for place in self.bounds.iter_mut().chain(&mut self.dates).filter(|place| **place >= at) {
            *place += bytes.len();
        }
        self.bounds.push(at);
        self.bounds.sort_unstable();
        for item in self.items.iter_mut().filter(|item| item.says_end > at || item.end > known) {
            item.says_end += bytes.len();
        }
    }

    /// The server says `bytes` at the bound `at`, and nothing more.
    pub fn end_with(&mut self, at: usize, bytes: &[u8]) {
        self.says.truncate(at);
        self.bounds.retain(|place| *place < at);
        self.dates.retain(|place| *place < at);
        self.say(bytes);
        for item in &mut self.items {
            item.says_end = if item.says_end <= at { item.says_end } else { self.says.len() };
        }
        self.over = true;
    }
}

fn mask(random: &mut Random) -> [u8; 4] {
    (random.bits() as u32).to_be_bytes()
}

/// `body` in chunks, as chance will have it.
fn chunked(random: &mut Random, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 100);
    let mut rest = body;
    while !rest.is_empty() {
        let size = random.within(1, rest.len()).max(rest.len().min(body.len() / 20));
        let extension = if random.chance(100) { ";a=\"b;\"" } else { "" };
        bytes.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        bytes.extend_from_slice(&rest[..size]);
        bytes.extend_from_slice(b"\r\n");
        rest = &rest[size..];
    }
    let trailer = if random.chance(100) { "X-Sum: 1\r\n" } else { "" };
    bytes.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    bytes
}
