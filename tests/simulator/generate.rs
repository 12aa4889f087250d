//! Generates the script of a client.
//!
//! It knows the rules of the protocols and of the [`service`](super::service), and not how the server works. Every
//! payload carries the client's number, so that a byte that belongs to another client is noticed.

use super::response::{BYTES, DATE, TEXT, response, server_close};
use super::script::{Phase, Script, Tally};
use super::service::{self, FILE_BYTES, SHARED_BYTES, STATIC_BYTES};
use fleeting_testkit::random::Random;
use fleeting_testkit::ws::frames::{client_frame, server_frame};

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

const NOT_FOUND: &str = "There is nothing at this path.";
const FAILED: &str = "The handler failed.";

/// Heads that are refused: bytes, status, sentence.
const MALFORMED: &[(&str, &str, &str)] = &[
    ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request", "A line ends in LF without CR."),
    ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "The Host field is missing."),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400 Bad Request", "The Host field is malformed or empty."),
    (
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "505 HTTP Version Not Supported",
        "The only supported major version is HTTP/1.",
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
        "A trailer contains a field that frames or routes the request.",
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
    /// Generates the script of a client.
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
                self.answer(&response("200 OK", TEXT, fields, tag.as_bytes(), head));
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
                self.answer(&response("200 OK", BYTES, fields, &body, false));
                let head =
                    format!("POST /echo HTTP/1.1\r\n{host}Content-Length: {}\r\n{asks}\r\n", body.len());
                self.item(Phase::Http, &[head.as_bytes(), &body].concat(), HANDLED);
            }
            46..60 => {
                let body = self.payload_of_any_size(random);
                self.answer(&response("200 OK", BYTES, fields, &body, false));
                let head = format!("POST /echo HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n{asks}\r\n");
                self.item(Phase::Http, &[head.as_bytes(), &chunked(random, &body)].concat(), HANDLED);
            }
            60..66 => {
                let body = self.payload(random.within(1, 3000));
                self.answer(b"HTTP/1.1 100 Continue\r\n\r\n");
                let expect = "Expect: 100-continue\r\n";
                let head = format!(
                    "POST /echo HTTP/1.1\r\n{host}{expect}Content-Length: {}\r\n{asks}\r\n",
                    body.len()
                );
                self.item(Phase::Http, head.as_bytes(), NOTHING);
                if random.chance(700) {
                    self.gate();
                }
                self.answer(&response("200 OK", BYTES, fields, &body, false));
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
                self.answer(&response("200 OK", BYTES, fields, &body, false));
                self.item(
                    Phase::Http,
                    format!("GET {path} HTTP/1.1\r\n{host}{asks}\r\n").as_bytes(),
                    HANDLED,
                );
            }
            72..77 => {
                let status = "500 Internal Server Error";
                self.answer(&response(status, TEXT, fields, FAILED.as_bytes(), false));
                let tally = Tally { panics: 1, ..HANDLED };
                self.item(Phase::Http, format!("GET /panic HTTP/1.1\r\n{host}{asks}\r\n").as_bytes(), tally);
            }
            77..80 => {
                self.answer(&response("200 OK", TEXT, "Connection: close\r\n", b"bye", false));
                self.item(Phase::Http, format!("GET /bye HTTP/1.1\r\n{host}\r\n").as_bytes(), HANDLED);
                self.over = true;
            }
            80..84 => {
                let (bytes, status, text) = random.one_of(MALFORMED);
                let head = bytes.starts_with("HEAD");
                self.answer(&response(status, TEXT, "Connection: close\r\n", text.as_bytes(), head));
                self.item(Phase::Http, bytes.as_bytes(), REFUSED);
                self.over = true;
            }
            84..87 => {
                let fields = if close { fields } else { "Connection: keep-alive\r\n" };
                let asks = if close { "" } else { "Connection: keep-alive\r\n" };
                self.answer(&response("200 OK", TEXT, fields, tag.as_bytes(), false));
                self.item(Phase::Http, format!("GET /tag/{tag} HTTP/1.0\r\n{asks}\r\n").as_bytes(), HANDLED);
            }
            // Answered later, or never, which is a 500.
            87..90 => {
                let answered = random.chance(800);
                let (status, text) = match answered {
                    true => ("200 OK", tag.as_str()),
                    false => ("500 Internal Server Error", "The request was not answered."),
                };
                self.answer(&response(status, TEXT, fields, text.as_bytes(), false));
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
                self.answer(
                    format!("HTTP/1.1 200 OK\r\nDate: {DATE}\r\n{framing}{fields}\r\n{body}").as_bytes(),
                );
                let (method, word) = (if head { "HEAD" } else { "GET" }, if known { "yes" } else { "no" });
                let lines = format!("{method} /source/{tag}/{count}/{word} HTTP/1.1\r\n{host}{asks}\r\n");
                self.item(Phase::Http, lines.as_bytes(), HANDLED);
            }
            // Processed as it arrives.
            93..96 => {
                let body = self.payload_of_any_size(random);
                self.answer(&response("200 OK", TEXT, fields, service::sum(&body).as_bytes(), false));
                let (framing, content) = if random.chance(500) {
                    ("Transfer-Encoding: chunked".into(), chunked(random, &body))
                } else {
                    (format!("Content-Length: {}", body.len()), body)
                };
                let head = format!("POST /sum HTTP/1.1\r\n{host}{framing}\r\n{asks}\r\n");
                self.item(Phase::Http, &[head.as_bytes(), &content].concat(), HANDLED);
            }
            // A pipeline that is longer than the budget of a turn.
            _ => {
                for _ in 0..random.within(2, 40) {
                    let tag = self.tag();
                    self.answer(&response("200 OK", TEXT, "", tag.as_bytes(), false));
                    let lines = format!("GET /tag/{tag} HTTP/1.1\r\n{host}\r\n");
                    self.item(Phase::Http, lines.as_bytes(), HANDLED);
                }
                return;
            }
        }
        self.over |= close;
    }

    /// Adds a request that is answered before its content has arrived. The content is then discarded.
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
            // The announced length alone is too much.
            let text = String::from_utf8_lossy(answer);
            let at = text.find("Content-Length").expect("a response has a length");
            let end = at + text[at..].find("\r\n").expect("a line has an end") + 2;
            self.answer(format!("{}Connection: close\r\n{}", &text[..end], &text[end..]).as_bytes());
        } else {
            self.answer(answer);
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
        self.answer(
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
            self.answer(&server_frame(0x88, code));
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
                self.answer(&server_frame(0x80 | opcode, &payload));
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
                self.answer(&server_frame(0x80 | opcode, &payload));
                self.item(Phase::Frames, &client_frame(0x80, b"", mask), MESSAGE);
            }
            60..72 => self.ping(mask),
            72..76 => self.item(Phase::Frames, &client_frame(0x8a, b"unsolicited", mask), NOTHING),
            76..86 => {
                let (tag, count) = (self.tag(), random.within(1, 40));
                let bytes = random.one_of(&[1, 100, 1500, 20_000]);
                let count = if bytes > 10_000 { count / 4 } else { count };
                for at in 1..=count {
                    self.answer(&server_frame(0x81, service::flood(&tag, at, bytes).as_bytes()));
                }
                let order = format!("flood {tag} {count} {bytes}");
                self.item(Phase::Frames, &client_frame(0x81, order.as_bytes(), mask), MESSAGE);
                // What follows must not be answered in between.
                self.gate();
            }
            86..92 => {
                let (order, code, reason) = random.one_of(&[("close", 1000, "bye"), ("panic", 1011, "")]);
                self.answer(&server_close(code, reason));
                let tally = Tally { panics: u64::from(order == "panic"), ..MESSAGE };
                self.item(Phase::Frames, &client_frame(0x81, order.as_bytes(), mask), tally);
                for _ in 0..random.below(3) {
                    self.item(Phase::Closing, &client_frame(0x81, &self.payload(20), mask), NOTHING);
                }
                if random.chance(700) {
                    let code = u16::to_be_bytes(code);
                    self.item(Phase::Closing, &client_frame(0x88, &code, mask), NOTHING);
                } else {
                    // The closing handshake must time out.
                    self.item(Phase::Closing, &client_frame(0x89, b"still here", mask), NOTHING);
                }
                self.over = true;
            }
            _ => {
                let (bytes, code, reason) = random.one_of(MISFRAMED);
                self.answer(&server_close(code, reason));
                self.item(Phase::Frames, bytes, Tally { failed: 1, ..NOTHING });
                self.over = true;
            }
        }
    }

    fn ping(&mut self, mask: [u8; 4]) {
        let payload = self.tag();
        self.answer(&server_frame(0x8a, payload.as_bytes()));
        self.item(Phase::Frames, &client_frame(0x89, payload.as_bytes(), mask), NOTHING);
    }
}

fn mask(random: &mut Random) -> [u8; 4] {
    (random.bits() as u32).to_be_bytes()
}

/// Returns `body` in chunks of random sizes.
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
