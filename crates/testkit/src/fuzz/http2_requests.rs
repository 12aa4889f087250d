//! The requests of [`http2_connection`](super::http2_connection()), the application that answers them, and what each response must be.
//!
//! It knows streams and content, and no engine.

use crate::http2::{Field, session::Session, value};
use fleeting::ws::CloseCode;
use fleeting::{App, Body, Error, Flow, Message, Request, Response, Socket, Upload, WebSocket};
use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;

/// More than the windows of most clients.
static LARGE: [u8; 80_000] = [b'x'; 80_000];
/// More than a response leaves in the cork, and more than a frame.
static OWNED: [u8; 17 << 10] = [b'y'; 17 << 10];

/// The limit of a request's content that a handler gets as a whole.
pub(super) const CONTENT_MAX: usize = 30_000;

/// The client's Close frame, and the server's.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";
const CLOSED: &[u8] = b"\x88\x02\x03\xe8";

/// Returns a client's WebSocket message, in a frame.
pub(super) fn message(size: usize) -> Vec<u8> {
    let length = [0, 2, 125][size % 3];
    [&[0x81, 0x80 | length, 0, 0, 0, 0], &vec![b'm'; length.into()][..]].concat()
}

/// Counts the sessions that have begun and ended.
#[derive(Debug, Clone)]
struct Sessions {
    opened: Rc<Cell<u64>>,
    ended: Rc<Cell<u64>>,
}

impl Sessions {
    fn open(&self) {
        self.opened.set(self.opened.get() + 1);
    }

    fn end(&self) {
        self.ended.set(self.ended.get() + 1);
    }
}

impl WebSocket for Sessions {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Sessions::open(self);
        Ok(())
    }

    fn message(&self, _: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        _ = socket.send(message);
    }

    fn close(&self, _: (), _code: Option<CloseCode>, _reason: &str) {
        self.end();
    }
}

impl Upload for Sessions {
    type Session = usize;

    fn open(&self, _req: &Request<'_>) -> Result<usize, Error> {
        Sessions::open(self);
        Ok(0)
    }

    fn piece(&self, count: &mut usize, piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        *count += piece.len();
        Ok(())
    }

    fn finish(
        &self,
        count: usize,
        trailers: fleeting::http1::Fields<'_>,
    ) -> Result<Response<'static>, Error> {
        self.end();
        Ok(Response::bytes(format!("{count} bytes, {} trailers", trailers.len()).into_bytes()))
    }

    fn abort(&self, _count: usize) {
        self.end();
    }
}

pub(super) fn app(opened: &Rc<Cell<u64>>, ended: &Rc<Cell<u64>>) -> App {
    let sessions = Sessions { opened: opened.clone(), ended: ended.clone() };
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
        .get("/large", |_req| Ok(Response::new(200).body(Body::Static(&LARGE))))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .post("/owned", |req| Ok(Response::bytes([&OWNED[..], req.body()].concat())))
        .post("/fields", |req| {
            let mut writer = req.arena().writer();
            for (name, value) in req.fields().into_iter().chain(req.trailers()) {
                _ = write!(writer, "{name}: {}; ", value.escape_ascii());
            }
            Ok(Response::text(writer.finish()))
        })
        .upload("PUT", "/upload", sessions.clone())
        .ws("/ws", sessions)
}

/// What a response must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// This content.
    Text(&'static [u8]),
    /// The head of such content.
    Nothing,
    /// The content of the request, behind this.
    Echo(&'static [u8]),
    /// The fields and trailers of the request.
    Fields,
    Counted,
    /// The messages that were sent.
    Socket,
    /// An error of the client, with some content.
    Status(u16),
    /// The request is malformed: RFC 9113 §8.1.1.
    Malformed,
}

/// A request and what has come of it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) stream: u32,
    answer: Answer,
    /// What Content-Length announces.
    announced: Option<usize>,
    sent: Vec<u8>,
    has_trailers: bool,
    has_ended: bool,
    /// The content is not what was announced, or the client has reset the stream.
    pub(super) is_cut: bool,
    status: Option<u16>,
    received: Vec<u8>,
    is_complete: bool,
    pub(super) reset: Option<u32>,
}

impl Asked {
    /// Sends the head of a request.
    pub(super) fn open(client: &mut Session, argument: u8) -> Asked {
        let length = [0, 3, 1000, 40_000][usize::from(argument >> 4 & 3)];
        let text = length.to_string();
        let announced = (argument & 0x40 != 0).then_some(length);
        let (method, path, answer, mut ends) = match argument & 15 {
            0 | 1 => ("GET", "/", Answer::Text(b"hello"), true),
            2 => ("HEAD", "/", Answer::Nothing, true),
            3 => ("GET", "/hello/abc", Answer::Text(b"abc"), true),
            4 => ("GET", "/large", Answer::Text(&LARGE), true),
            5 => ("GET", "/nowhere", Answer::Status(404), argument & 0x80 != 0),
            6 | 7 => ("POST", "/echo", Answer::Echo(b""), false),
            8 => ("POST", "/owned", Answer::Echo(&OWNED), false),
            9 | 10 => ("PUT", "/upload", Answer::Counted, false),
            11 => ("POST", "/fields", Answer::Fields, false),
            12 => ("CONNECT", "/ws", Answer::Socket, false),
            13 => ("GET", "/", Answer::Malformed, true),
            14 => ("GET", "/", Answer::Status(431), true),
            _ => ("GET", "/", Answer::Text(b"hello"), false),
        };
        let is_socket = answer == Answer::Socket;
        let long = "v".repeat(if answer == Answer::Status(431) { 700 } else { 1 });
        let mut fields =
            vec![(":method", method), (":scheme", "http"), (":authority", "host"), (":path", path)];
        if is_socket {
            fields.extend([(":protocol", "websocket"), ("sec-websocket-version", "13")]);
        }
        fields.push((if answer == Answer::Malformed { "X-A" } else { "x-a" }, &long));
        let announced = announced.filter(|_| !is_socket && !ends);
        if announced.is_some() {
            fields.push(("content-length", &text));
        }
        ends &= announced.is_none();
        let stream = client.open(&fields, ends);
        Asked {
            stream,
            answer,
            announced,
            sent: Vec::new(),
            has_trailers: false,
            has_ended: ends,
            is_cut: false,
            status: None,
            received: Vec::new(),
            is_complete: false,
            reset: None,
        }
    }

    pub(super) fn is_socket(&self) -> bool {
        self.answer == Answer::Socket
    }

    /// Sends content as far as the windows allow, or a message if they do.
    pub(super) fn send(&mut self, client: &mut Session, content: &[u8]) {
        let now = client.sendable(self.stream, content.len());
        if self.is_socket() && now < content.len() {
            return;
        }
        self.is_cut |= self.announced.is_some_and(|announced| self.sent.len() + now > announced);
        self.sent.extend_from_slice(&content[..now]);
        client.data(self.stream, &content[..now], false);
    }

    /// Sends what is missing of the announced content. Returns whether all of it is sent.
    pub(super) fn send_rest(&mut self, client: &mut Session) -> bool {
        let rest = self.announced.map_or(0, |announced| announced.saturating_sub(self.sent.len()));
        self.send(client, &vec![b'r'; rest]);
        self.announced.is_none_or(|announced| self.sent.len() >= announced)
    }

    /// Ends the client's side.
    pub(super) fn end(&mut self, client: &mut Session) {
        if self.is_socket() {
            if client.sendable(self.stream, CLOSE.len()) < CLOSE.len() {
                return;
            }
            client.data(self.stream, CLOSE, false);
        }
        self.is_cut |= self.announced.is_some_and(|announced| self.sent.len() != announced);
        self.has_ended = true;
        client.data(self.stream, b"", true);
    }

    pub(super) fn end_by_trailers(&mut self, client: &mut Session) {
        if self.is_socket() {
            return;
        }
        self.is_cut |= self.announced.is_some_and(|announced| self.sent.len() != announced);
        (self.has_ended, self.has_trailers) = (true, true);
        client.fields(self.stream, &[("x-trailer", "t")], true);
    }

    pub(super) fn take_fields(&mut self, fields: &[Field], end: bool) {
        assert_eq!(self.status, None, "a second head: {fields:?}");
        let status =
            value(fields, ":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status: {fields:?}"));
        assert_eq!(fields[0].0, b":status", "{fields:?}");
        for (name, value) in &fields[1..] {
            let is_name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
            assert!(name.iter().all(is_name), "{}", name.escape_ascii());
            assert!(!value.contains(&b'\n'), "{}", value.escape_ascii());
            let of_connection = [&b"connection"[..], b"transfer-encoding", b"keep-alive", b"upgrade"];
            assert!(!of_connection.contains(&&name[..]), "{fields:?}");
        }
        if status == 100 {
            assert!(!end, "{fields:?}");
            return;
        }
        assert_eq!(fields.iter().filter(|(name, _)| name == b"date").count(), 1, "{fields:?}");
        self.status = Some(status);
        self.is_complete = end;
    }

    pub(super) fn take_data(&mut self, data: &[u8], end: bool) {
        assert!(self.status.is_some(), "content before the head");
        self.received.extend_from_slice(data);
        self.is_complete |= end;
    }

    /// Checks what has come of it. `many`: more requests than are served at once.
    pub(super) fn check(&self, many: bool) {
        if self.is_cut {
            return;
        }
        let short = |bytes: &[u8]| bytes[..bytes.len().min(80)].escape_ascii().to_string();
        match (self.reset, self.status) {
            (Some(7), None) if many => return,
            (Some(1), None) if self.answer == Answer::Malformed => return,
            // The rest of the request was not needed (RFC 9113 §8.1).
            (None | Some(0), Some(_)) if self.is_complete => {}
            _ => panic!("no response: {:?} {:?}", self.without_content(), short(&self.received)),
        }
        let expected = match self.answer {
            Answer::Text(text) => text.to_vec(),
            Answer::Nothing => Vec::new(),
            Answer::Echo(before) => [before, &self.sent].concat(),
            Answer::Fields => {
                let length =
                    self.announced.map_or(String::new(), |length| format!("content-length: {length}; "));
                let trailer = if self.shows_trailers() { "x-trailer: t; " } else { "" };
                format!("host: host; x-a: v; {length}{trailer}").into_bytes()
            }
            Answer::Counted => {
                format!("{} bytes, {} trailers", self.sent.len(), u8::from(self.shows_trailers()))
                    .into_bytes()
            }
            Answer::Socket => [&echoes(&self.sent), CLOSED].concat(),
            Answer::Status(status) => {
                assert_eq!(self.status, Some(status), "{:?}", self.without_content());
                return;
            }
            Answer::Malformed => panic!("a malformed request is answered"),
        };
        let is_too_large = self.sent.len().max(self.announced.unwrap_or(0)) > CONTENT_MAX;
        if self.status == Some(413) && self.answer != Answer::Counted && is_too_large {
            return;
        }
        let is_right = self.status == Some(200) && self.received == expected;
        assert!(
            is_right,
            "{:?} {:?}, not {:?}",
            self.without_content(),
            short(&self.received),
            short(&expected)
        );
    }

    /// Behind content of a known length, trailers are dropped (RFC 9110 §6.5.1).
    fn shows_trailers(&self) -> bool {
        self.has_trailers && self.announced.is_none()
    }

    fn without_content(&self) -> String {
        let Asked { stream, announced, status, reset, has_ended, .. } = self;
        let lengths = (self.sent.len(), self.received.len());
        format!("{stream} {announced:?} {status:?} {reset:?} {has_ended} {lengths:?} {}", self.is_complete)
    }
}

/// Returns the frames of a server that sends each message back.
fn echoes(mut sent: &[u8]) -> Vec<u8> {
    let mut echoes = Vec::new();
    while let [first, length, _, _, _, _, rest @ ..] = sent {
        let payload;
        (payload, sent) = rest.split_at(usize::from(length & 0x7f));
        echoes.extend_from_slice(&[*first, length & 0x7f]);
        echoes.extend_from_slice(payload);
    }
    echoes
}
