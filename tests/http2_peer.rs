//! An HTTP/2 client over a stream in memory: what it sends and reads takes no time, and every write of the engine can be counted.
//!
//! It fails the test if the server breaks a rule, as [`Session`] does.

use crate::driver::{Driver, Peer, frame_at};
use fleeting::{App, Response};
use fleeting_testkit::client;
use fleeting_testkit::http2::Field;
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::event::Event;
use fleeting_testkit::http2::frames::Frame;
use fleeting_testkit::http2::session::Session;
use fleeting_testkit::server::Echo;
use std::cell::RefCell;
use std::collections::HashMap;

/// A client's side of one connection.
pub struct Http2Peer {
    pub peer: Peer,
    pub session: Session,
    responses: HashMap<u32, Got>,
    /// The last stream and the code of each GOAWAY.
    pub goaways: Vec<(u32, u32)>,
    /// All frames that have arrived.
    pub frames: Vec<Frame>,
}

/// What has arrived on a stream.
#[derive(Debug, Clone, Default)]
pub struct Got {
    /// 0 if no head has arrived.
    pub status: u16,
    pub fields: Vec<Field>,
    pub body: Vec<u8>,
    pub ended: bool,
    pub reset: Option<u32>,
}

/// Returns an application with one route per kind of response. `/later` is never answered.
pub fn app() -> App {
    let deferred = RefCell::new(Vec::new());
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/large", |_req| Ok(Response::bytes(vec![b'x'; 200_000])))
        .get("/later", move |_req| {
            let (response, responder) = Response::defer();
            deferred.borrow_mut().push(responder);
            Ok(response)
        })
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .ws("/ws", Echo)
}

/// Returns the head of a request that opens a WebSocket (RFC 8441 §5).
pub fn websocket_head(path: &str) -> Vec<(&str, &str)> {
    let mut head = head("CONNECT", path);
    head.extend_from_slice(&[(":protocol", "websocket"), ("sec-websocket-version", "13")]);
    head
}

/// Returns the frames of a WebSocket, of which none may be cut.
#[track_caller]
pub fn whole_frames(content: &[u8]) -> Vec<client::Frame> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some((opcode, payload)) = frame_at(content, at) {
        at = payload.end;
        frames.push(client::Frame { opcode, payload: content[payload].to_vec() });
    }
    assert_eq!(at, content.len(), "a frame is not complete");
    frames
}

impl Got {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the content is text")
    }
}

impl Http2Peer {
    /// Connects with these settings, and reads what the server sends first.
    pub fn connect(driver: &mut Driver, settings: &[(u16, u32)]) -> Http2Peer {
        let peer = driver.connect();
        let session = Session::client(settings);
        let mut client =
            Http2Peer { peer, session, responses: HashMap::new(), goaways: Vec::new(), frames: Vec::new() };
        client.exchange(driver);
        assert!(client.session.settings.is_some(), "the server has sent its SETTINGS");
        client
    }

    /// Sends and reads until neither side has anything left to send.
    #[track_caller]
    pub fn exchange(&mut self, driver: &mut Driver) {
        loop {
            let output = std::mem::take(&mut self.session.output);
            if !output.is_empty() {
                driver.arrive(&self.peer, &output);
            }
            self.read();
            if self.session.output.is_empty() {
                return;
            }
        }
    }

    /// Reads what has been written, and sends nothing.
    #[track_caller]
    pub fn read(&mut self) {
        let written = std::mem::take(&mut self.peer.pipe.borrow_mut().written);
        let mut rest = &written[..];
        while let Some((frame, bytes)) = Frame::parse(rest) {
            rest = &rest[bytes..];
            let event = self.session.receive(&frame).unwrap_or_else(|problem| panic!("{problem}"));
            self.frames.push(frame);
            match event {
                Event::Fields { stream, fields, end } => {
                    let got = self.responses.entry(stream).or_default();
                    let status = fields.iter().find(|(name, _)| name == b":status");
                    let status = status.and_then(|(_, status)| std::str::from_utf8(status).ok());
                    got.status = status.map_or(got.status, |status| status.parse().expect("a number"));
                    got.fields = fields;
                    got.ended |= end;
                }
                Event::Data { stream, data, end, .. } => {
                    let got = self.responses.entry(stream).or_default();
                    got.body.extend_from_slice(&data);
                    got.ended |= end;
                }
                Event::Reset { stream, code } => {
                    self.responses.entry(stream).or_default().reset = Some(code);
                }
                Event::GoAway { last_stream, code, .. } => self.goaways.push((last_stream, code)),
                _ => {}
            }
        }
        let rest = rest.to_vec();
        self.peer.pipe.borrow_mut().written.splice(..0, rest);
    }

    /// Sends the head of a request on a new stream, and returns the stream.
    #[track_caller]
    pub fn start(&mut self, driver: &mut Driver, head: &[(&str, &str)], end: bool) -> u32 {
        let stream = self.session.open(head, end);
        self.exchange(driver);
        stream
    }

    /// Sends content, as far as the windows allow. Returns the number of bytes.
    #[track_caller]
    pub fn data(&mut self, driver: &mut Driver, stream: u32, data: &[u8], end: bool) -> usize {
        let sent = self.session.data(stream, data, end);
        self.exchange(driver);
        sent
    }

    /// Opens the window of a stream, or of the connection if `stream` is 0.
    #[track_caller]
    pub fn grant(&mut self, driver: &mut Driver, stream: u32, bytes: u32) {
        self.session.grant(stream, bytes);
        self.exchange(driver);
    }

    /// Sends a frame without updating the session's state.
    #[track_caller]
    pub fn send(&mut self, driver: &mut Driver, frame: &Frame) {
        driver.arrive(&self.peer, &frame.to_bytes());
        self.exchange(driver);
    }

    /// Returns what has arrived on a stream so far.
    pub fn got(&self, stream: u32) -> Got {
        self.responses.get(&stream).cloned().unwrap_or_default()
    }

    /// Returns the content that has arrived since the last call.
    pub fn take_content(&mut self, stream: u32) -> Vec<u8> {
        self.responses.get_mut(&stream).map(|got| std::mem::take(&mut got.body)).unwrap_or_default()
    }
}
