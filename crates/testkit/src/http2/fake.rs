//! A small HTTP/2 server on a thread, for the tests of the client and the bridge. A test gives it a script for its connections.

use super::event::Event;
use super::frames::{Frame, PREFACE, code, flag, kind, setting};
use super::session::Session;
use super::{Field, value};
use crate::client::PATIENCE;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// Dropping it waits for the end of the script, and fails the test if that has panicked.
pub struct Fake {
    pub addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

/// The server's side of one connection.
pub struct Peer {
    pub stream: TcpStream,
    pub session: Session,
    /// Content that waits for the windows, and whether the end of its stream follows.
    queue: BTreeMap<u32, (Vec<u8>, bool)>,
}

impl Fake {
    /// Accepts so many connections, one after the other, and runs `script` on each.
    pub fn start(connections: usize, script: impl Fn(&mut Peer) + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = listener.local_addr().expect("it listens");
        let thread = thread::spawn(move || {
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().expect("a connection");
                stream.set_nodelay(true).expect("a TCP stream");
                stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
                let mut preface = [0; PREFACE.len()];
                stream.read_exact(&mut preface).expect("the preface");
                assert_eq!(preface, PREFACE);
                let session = Session::server(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)]);
                script(&mut Peer { stream, session, queue: BTreeMap::new() });
            }
        });
        Fake { addr, thread: Some(thread) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the server has panicked");
    }
}

impl Peer {
    pub fn flush(&mut self) {
        for (stream, (rest, end)) in &mut self.queue {
            let sent = self.session.data(*stream, rest, *end);
            rest.drain(..sent);
        }
        let session = &self.session;
        self.queue.retain(|stream, (rest, _)| !rest.is_empty() && session.is_writable(*stream));
        let output = std::mem::take(&mut self.session.output);
        let _ = self.stream.write_all(&output);
    }

    pub fn put(&mut self, frame: &Frame) {
        self.session.put(frame);
        self.flush();
    }

    /// Returns the next event that means something, or `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            self.flush();
            let frame = Frame::read(&mut self.stream).ok()??;
            match self.session.receive(&frame).unwrap_or_else(|problem| panic!("{problem}")) {
                Event::Nothing | Event::Settings | Event::Window | Event::Pong(_) => {}
                event => return Some(event),
            }
        }
    }

    /// Waits for a field section. Returns its stream, its fields, and whether it ends the stream.
    #[track_caller]
    pub fn fields(&mut self) -> (u32, Vec<Field>, bool) {
        match self.next() {
            Some(Event::Fields { stream, fields, end }) => (stream, fields, end),
            other => panic!("not fields: {other:?}"),
        }
    }

    pub fn head(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        self.session.fields(stream, fields, end);
        self.flush();
    }

    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        let (rest, ends) = self.queue.entry(stream).or_default();
        rest.extend_from_slice(data);
        *ends = end;
        self.flush();
    }

    /// Waits for the end of the connection, whatever comes before it.
    pub fn wait_for_end(&mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// Answers requests until the connection ends, each as its path says.
    pub fn serve(&mut self) {
        let mut echoes = Vec::new();
        while let Some(event) = self.next() {
            match event {
                Event::Fields { stream, fields, end } => match value(&fields, ":path") {
                    None => self.session.fields(stream, &fields, true), // trailers
                    Some(b"/echo" | b"/ws") => {
                        echoes.push(stream);
                        self.head(stream, &[(":status", "200")], false);
                        self.data(stream, b"", end);
                    }
                    Some(b"/refuse") => {
                        self.head(stream, &[(":status", "403"), ("content-length", "2")], false);
                        self.data(stream, b"no", true);
                    }
                    Some(b"/hello") => {
                        let is_head = value(&fields, ":method") == Some(b"HEAD");
                        self.head(stream, &[(":status", "200"), ("content-length", "5")], is_head);
                        if !is_head {
                            self.data(stream, b"hello", true);
                        }
                    }
                    Some(b"/empty") => self.head(stream, &[(":status", "200")], true),
                    Some(b"/nothing") => self.head(stream, &[(":status", "204")], true),
                    Some(b"/early") => {
                        self.head(stream, &[(":status", "103"), ("link", "</a>")], false);
                        self.head(stream, &[(":status", "200"), ("content-length", "0")], true);
                    }
                    Some(b"/trailers") => {
                        self.head(stream, &[(":status", "200")], false);
                        self.data(stream, b"abc", false);
                        self.head(stream, &[("sum", "3")], true);
                    }
                    Some(b"/reset") => self.put(&Frame::rst_stream(stream, code::REFUSED_STREAM)),
                    Some(b"/cut") => {
                        self.head(stream, &[(":status", "200"), ("content-length", "9")], false);
                        self.data(stream, b"abc", false);
                        self.put(&Frame::rst_stream(stream, code::INTERNAL_ERROR));
                    }
                    Some(b"/goaway") => {
                        self.put(&Frame::goaway(stream, code::NO_ERROR));
                        self.head(stream, &[(":status", "200"), ("content-length", "0")], true);
                    }
                    other => panic!("{other:?}"),
                },
                Event::Data { stream, data, end, .. } if echoes.contains(&stream) => {
                    self.data(stream, &data, end);
                }
                _ => {}
            }
        }
    }
}

/// Returns whether a frame is an acknowledgment of SETTINGS.
pub fn is_settings_ack(frame: &Frame) -> bool {
    frame.kind == kind::SETTINGS && frame.has(flag::ACK)
}
