//! An HTTP/2 client for tests, on one thread. It sends what a test wants, and fails the test if the server breaks a rule.
//!
//! Frames are read only when a method waits for something. Windows are opened, and SETTINGS and PING acknowledged, as the
//! [`Session`] says. `PATIENCE` bounds every wait.

use super::event::Event;
use super::frames::{Frame, flag, kind};
use super::session::Session;
use super::{Field, value};
use crate::client::PATIENCE;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A client's side of one connection.
pub struct Client {
    stream: TcpStream,
    /// The state of the connection. A test may change its encoder and its windows.
    pub session: Session,
    responses: HashMap<u32, Partial>,
    /// The last stream and the code of the server's last GOAWAY.
    goaway: Option<(u32, u32)>,
}

/// A whole response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The fields without `:status`.
    pub fields: Vec<Field>,
    pub body: Vec<u8>,
    pub trailers: Vec<Field>,
    /// The interim responses in front of it: status and fields.
    pub interim: Vec<(u16, Vec<Field>)>,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server has reset the stream with this code.
    Reset(u32),
    /// GOAWAY says that the server has not processed the stream.
    GoAway(u32),
    /// The connection has ended.
    Ended,
}

#[derive(Debug, Default)]
struct Partial {
    response: Response,
    /// Bytes of content that a test has taken out of the response.
    taken: usize,
    /// A HEAD request, whose response has no content.
    is_head: bool,
    has_ended: bool,
    reset: Option<u32>,
}

/// Returns the head of a request, to which a test adds its fields.
pub fn head<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

impl Response {
    /// Returns the value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        value(&self.fields, name).map(|value| std::str::from_utf8(value).expect("the field is text"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the content is text")
    }
}

impl Client {
    /// Connects, and sends the preface and empty SETTINGS.
    pub fn connect(addr: SocketAddr) -> Client {
        Client::connect_with(addr, &[])
    }

    /// The same with these settings.
    pub fn connect_with(addr: SocketAddr, settings: &[(u16, u32)]) -> Client {
        let mut client = Client::silent(addr, Session::client(settings));
        client.flush();
        client
    }

    /// Connects and sends nothing: the output of `session` is sent with the first frame.
    pub fn silent(addr: SocketAddr, session: Session) -> Client {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Client { stream, session, responses: HashMap::new(), goaway: None }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends these bytes, whatever they mean.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.flush();
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Sends this frame, of which the session learns nothing.
    pub fn send_frame(&mut self, frame: &Frame) {
        self.send(frame.to_bytes());
    }

    /// Changes the client's settings.
    pub fn set(&mut self, settings: &[(u16, u32)]) {
        self.session.set(settings);
        self.flush();
    }

    fn flush(&mut self) {
        let output = std::mem::take(&mut self.session.output);
        self.stream.write_all(&output).expect("the server reads");
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.request(&head("GET", path), b"")
    }

    /// Sends a request and returns its response.
    #[track_caller]
    pub fn request(&mut self, head: &[(&str, &str)], body: &[u8]) -> Response {
        let stream = self.start(head, body.is_empty());
        if !body.is_empty() {
            self.data(stream, body, true);
        }
        self.response(stream)
    }

    /// Sends the head of a request on a new stream, and returns the stream. `end` says that there is no content.
    pub fn start(&mut self, head: &[(&str, &str)], end: bool) -> u32 {
        let stream = self.session.open(head, end);
        let is_head = head.contains(&(":method", "HEAD"));
        self.responses.insert(stream, Partial { is_head, ..Partial::default() });
        self.flush();
        stream
    }

    /// Sends content. It waits for the windows, and gives up if the server has reset the stream.
    #[track_caller]
    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        let mut rest = data;
        while self.session.is_writable(stream) {
            let sent = self.session.data(stream, rest, end);
            rest = &rest[sent..];
            self.flush();
            if rest.is_empty() {
                break;
            }
            self.next_frame();
        }
    }

    /// Sends trailers, which end the request.
    pub fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.session.fields(stream, fields, true);
        self.flush();
    }

    /// Resets a stream.
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.session.reset(stream, code);
        self.flush();
    }

    /// Opens the window of a stream, or of the connection if `stream` is 0.
    pub fn grant(&mut self, stream: u32, bytes: u32) {
        self.session.grant(stream, bytes);
        self.flush();
    }

    /// Waits for the response on a stream.
    #[track_caller]
    pub fn response(&mut self, stream: u32) -> Response {
        self.outcome(stream).unwrap_or_else(|failure| panic!("stream {stream}: {failure:?}"))
    }

    /// Waits for the response on a stream, or until there will be none.
    ///
    /// # Errors
    /// Why there is no response.
    #[track_caller]
    pub fn outcome(&mut self, stream: u32) -> Result<Response, Failure> {
        loop {
            let partial = self.responses.get(&stream).expect("the stream was started");
            if partial.has_ended {
                assert!(partial.has_its_length(), "Content-Length is wrong: {partial:?}");
                return Ok(self.responses.remove(&stream).unwrap_or_default().response);
            }
            if let Some(code) = partial.reset {
                return Err(Failure::Reset(code));
            }
            if let Some((last_stream, code)) = self.goaway
                && last_stream < stream
            {
                return Err(Failure::GoAway(code));
            }
            if self.frame_or_end().is_none() {
                return Err(Failure::Ended);
            }
        }
    }

    /// Waits for the head of a response that is not interim. Returns its status and fields.
    #[track_caller]
    pub fn response_head(&mut self, stream: u32) -> (u16, Vec<Field>) {
        loop {
            let partial = self.responses.get(&stream).expect("the stream was started");
            assert_eq!(partial.reset, None, "the stream was reset");
            if partial.response.status != 0 {
                return (partial.response.status, partial.response.fields.clone());
            }
            self.next_frame();
        }
    }

    /// Waits for at least `bytes` bytes of a response's content, or for its end. Returns all that has arrived, and removes it.
    #[track_caller]
    pub fn content(&mut self, stream: u32, bytes: usize) -> Vec<u8> {
        loop {
            let partial = self.responses.get_mut(&stream).expect("the stream was started");
            if partial.response.body.len() >= bytes || partial.has_ended || partial.reset.is_some() {
                partial.taken += partial.response.body.len();
                return std::mem::take(&mut partial.response.body);
            }
            self.next_frame();
        }
    }

    /// Returns the next frame, after it has had its effect on the session and the responses.
    #[track_caller]
    pub fn next_frame(&mut self) -> Frame {
        self.frame_or_end().expect("the connection goes on")
    }

    /// Returns the next frame of which `is_wanted` is true. Those before it have their effect.
    #[track_caller]
    pub fn frame(&mut self, is_wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next_frame();
            if is_wanted(&frame) {
                return frame;
            }
        }
    }

    /// Returns the next frame, or `None` at the end of the connection, orderly or not.
    #[track_caller]
    pub fn frame_or_end(&mut self) -> Option<Frame> {
        let frame = match Frame::read(&mut self.stream) {
            Ok(frame) => frame?,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no frame: {error}"),
        };
        let event = self.session.receive(&frame).unwrap_or_else(|problem| panic!("{problem}"));
        self.take(event);
        let output = std::mem::take(&mut self.session.output);
        // A server that closes the connection may not read any more; its last frames are still to be read.
        if let Err(error) = self.stream.write_all(&output) {
            let is_closed = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
            assert!(is_closed, "{error}");
        }
        Some(frame)
    }

    /// Sends PING and waits for its acknowledgment: the server has read all that was sent before.
    #[track_caller]
    pub fn ping(&mut self) {
        let payload = *b"fleeting";
        self.send_frame(&Frame::ping(payload));
        self.frame(|frame| frame.kind == kind::PING && frame.has(flag::ACK) && frame.payload == payload);
    }

    /// Waits for the server's first SETTINGS.
    #[track_caller]
    pub fn wait_for_settings(&mut self) {
        while self.session.settings.is_none() {
            self.next_frame();
        }
    }

    /// Waits for the end of the connection. Returns the last stream and the code of the last GOAWAY, if there was one.
    #[track_caller]
    pub fn ended(&mut self) -> Option<(u32, u32)> {
        while self.frame_or_end().is_some() {}
        self.goaway
    }

    /// Waits for the end of the connection, and expects GOAWAY with this code before it.
    #[track_caller]
    pub fn ended_with(&mut self, code: u32) {
        let goaway = self.ended();
        assert_eq!(goaway.map(|(_, code)| code), Some(code), "{goaway:?}");
    }

    /// Reads the bytes that have arrived, whatever they mean, until `bytes` is full.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(bytes)
    }

    #[track_caller]
    fn take(&mut self, event: Event) {
        match event {
            Event::Fields { stream, fields, end } => {
                if let Some(partial) = self.responses.get_mut(&stream) {
                    let taken = partial.take_fields(fields, end);
                    taken.unwrap_or_else(|problem| panic!("stream {stream}: {problem}: {partial:?}"));
                }
            }
            Event::Data { stream, data, end, .. } => {
                if let Some(partial) = self.responses.get_mut(&stream) {
                    partial.response.body.extend_from_slice(&data);
                    partial.has_ended = end;
                }
            }
            Event::Reset { stream, code } => {
                if let Some(partial) = self.responses.get_mut(&stream) {
                    partial.reset = Some(code);
                }
            }
            Event::GoAway { last_stream, code, .. } => self.goaway = Some((last_stream, code)),
            _ => {}
        }
    }
}

impl Partial {
    fn take_fields(&mut self, mut fields: Vec<Field>, end: bool) -> Result<(), &'static str> {
        check_fields(&fields)?;
        self.has_ended = end;
        if self.response.status != 0 {
            self.response.trailers = fields;
            let is_field = |(name, _): &Field| !name.starts_with(b":");
            return match end && self.response.trailers.iter().all(is_field) {
                true => Ok(()),
                false => Err("trailers with a pseudo-header field, or that do not end the stream"),
            };
        }
        // RFC 9113 §8.3.2: `:status` and no other pseudo-header field.
        if fields.is_empty() || fields[0].0 != b":status" {
            return Err("a head without :status");
        }
        let (_, status) = fields.remove(0);
        let status = std::str::from_utf8(&status).ok().filter(|status| status.len() == 3);
        let status: u16 = status.and_then(|status| status.parse().ok()).ok_or(":status is no number")?;
        if fields.iter().any(|(name, _)| name.starts_with(b":")) {
            return Err("a pseudo-header field that is not :status");
        }
        match status {
            101 => return Err("101 does not exist in HTTP/2"), // RFC 9113 §8.6
            100..200 if end => return Err("an interim response ends the stream"), // §8.1
            100..200 => self.response.interim.push((status, fields)),
            _ => (self.response.status, self.response.fields) = (status, fields),
        }
        Ok(())
    }

    /// Checks content against Content-Length (RFC 9113 §8.1.1), which a response to HEAD and 304 have without content.
    fn has_its_length(&self) -> bool {
        let length = self.response.field("content-length").and_then(|length| length.parse().ok());
        let has_none = self.is_head || self.response.status == 304;
        match has_none {
            true => self.response.body.is_empty(),
            false => length.is_none_or(|length: usize| length == self.taken + self.response.body.len()),
        }
    }
}

/// Checks names and values of fields (RFC 9113 §8.2).
fn check_fields(fields: &[Field]) -> Result<(), &'static str> {
    const OF_CONNECTIONS: [&[u8]; 5] =
        [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];
    for (name, value) in fields {
        let is_name = |octet: &u8| matches!(octet, 0x21..=0x7e) && !octet.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(is_name) || name[1..].contains(&b':') {
            return Err("a field's name is wrong");
        }
        let is_space = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
        if value.iter().any(|octet| b"\0\r\n".contains(octet))
            || is_space(value.first())
            || is_space(value.last())
        {
            return Err("a field's value is wrong");
        }
        if OF_CONNECTIONS.contains(&&name[..]) {
            return Err("a field of connections");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::fake::{Fake, Peer, is_settings_ack};
    use crate::http2::frames::{code, setting};
    use crate::http2::session::Windows;

    #[test]
    fn requests_are_answered() {
        let server = Fake::start(1, Peer::serve);
        let mut client = Client::connect(server.addr);
        client.session.encoder.huffman = true;
        let hello = client.get("/hello");
        assert_eq!((hello.status, hello.text(), hello.field("content-length")), (200, "hello", Some("5")));
        let empty = client.request(&head("HEAD", "/hello"), b"");
        assert_eq!((empty.status, empty.text(), empty.field("content-length")), (200, "", Some("5")));
        let early = client.get("/early");
        assert_eq!((early.status, early.interim[0].0), (200, 103));
        assert_eq!(client.get("/trailers").trailers, [(b"sum".to_vec(), b"3".to_vec())]);
        client.ping();
    }

    #[test]
    fn several_requests_are_in_flight() {
        let server = Fake::start(1, |peer| {
            let streams = [peer.fields().0, peer.fields().0, peer.fields().0];
            for stream in streams.into_iter().rev() {
                peer.head(stream, &[(":status", "200")], false);
                peer.data(stream, stream.to_string().as_bytes(), true);
            }
            peer.wait_for_end();
        });
        let mut client = Client::connect(server.addr);
        let streams = [(); 3].map(|()| client.start(&head("GET", "/"), true));
        assert_eq!(streams, [1, 3, 5]);
        for stream in streams {
            assert_eq!(client.response(stream).text(), stream.to_string());
        }
    }

    #[test]
    fn content_larger_than_the_windows_passes() {
        let server = Fake::start(1, Peer::serve);
        let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 1000)]);
        let content = vec![b'x'; 300_000];
        assert!(client.request(&head("POST", "/echo"), &content).body == content);
        client.set(&[(setting::INITIAL_WINDOW_SIZE, 100_000)]);
        client.frame(is_settings_ack);
        assert!(client.request(&head("POST", "/echo"), &content).body == content);
    }

    #[test]
    fn windows_can_be_left_closed() {
        let server = Fake::start(1, Peer::serve);
        let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 3)]);
        client.session.windows = Windows::Closed;
        let stream = client.start(&head("GET", "/hello"), true);
        assert_eq!(client.response_head(stream).0, 200);
        assert_eq!(client.content(stream, 3), b"hel");
        client.ping();
        assert_eq!(client.session.receive_window(stream), 0);
        client.grant(stream, 2);
        assert_eq!(client.content(stream, 2), b"lo");
    }

    #[test]
    fn long_heads_continue() {
        let server = Fake::start(1, |peer| {
            let (stream, fields, _) = peer.fields();
            let length = fields.last().map_or(0, |(_, value)| value.len()).to_string();
            peer.head(stream, &[(":status", "200"), ("length", &length)], true);
            peer.wait_for_end();
        });
        let long = "x".repeat(40_000);
        let mut request = head("GET", "/");
        request.push(("long", &long));
        assert_eq!(Client::connect(server.addr).request(&request, b"").field("length"), Some("40000"));
    }

    #[test]
    fn a_failure_has_a_reason() {
        let server = Fake::start(1, |peer| {
            let (reset, refused) = (peer.fields().0, peer.fields().0);
            peer.put(&Frame::rst_stream(reset, code::ENHANCE_YOUR_CALM));
            peer.put(&Frame::goaway(reset, code::NO_ERROR));
            assert_eq!(refused, 3);
        });
        let mut client = Client::connect(server.addr);
        let (reset, refused) = (client.start(&head("GET", "/"), true), client.start(&head("GET", "/"), true));
        assert_eq!(client.outcome(reset), Err(Failure::Reset(code::ENHANCE_YOUR_CALM)));
        assert_eq!(client.outcome(refused), Err(Failure::GoAway(code::NO_ERROR)));
        client.ended_with(code::NO_ERROR);
    }

    #[test]
    fn wrong_responses_are_refused() {
        #[track_caller]
        fn check(fields: &[(&str, &str)], end: bool) {
            let owned = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
            assert!(Partial::default().take_fields(owned, end).is_err(), "{fields:?}");
        }
        check(&[], true);
        check(&[("a", "b"), (":status", "200")], true);
        check(&[(":status", "200"), (":path", "/")], true);
        check(&[(":status", "20x")], true);
        check(&[(":status", "101")], false);
        check(&[(":status", "100")], true);
        check(&[(":status", "200"), ("Upper", "b")], true);
        check(&[(":status", "200"), ("connection", "close")], true);
        check(&[(":status", "200"), ("a", " b")], true);
        check(&[(":status", "200"), ("a", "b\n")], true);
        check(&[(":status", "200"), ("", "b")], true);
    }
}
