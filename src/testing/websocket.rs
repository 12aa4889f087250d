//! A WebSocket client.
//!
//! It knows no frame. Its invariant: what the server sends is received in order, each message once.

use super::answer::Answer;
use super::client::Client;
use super::messages::{BINARY, CLOSE, Messages, PING, PONG, Received, TEXT, masked};
use super::request::RequestBuilder;
use crate::app::ConnId;
use std::fmt;

/// A handshake to be sent: see [`TestServer::ws`](super::TestServer::ws).
#[derive(Debug)]
#[must_use = "a handshake does nothing until it is sent"]
pub struct WebSocketRequest {
    request: RequestBuilder,
    target: String,
    is_silent: bool,
}

/// The key of RFC 6455 §1.3, and the accept value that belongs to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl WebSocketRequest {
    #[track_caller]
    pub(super) fn new(request: RequestBuilder, target: &str) -> WebSocketRequest {
        let request = request
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", KEY);
        WebSocketRequest { request, target: target.into(), is_silent: false }
    }

    /// Adds a field: a cookie, an Origin, subprotocols. This client does not inflate, so do not offer compression.
    ///
    /// # Panics
    /// If the name or the value would not be one line.
    #[track_caller]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> WebSocketRequest {
        WebSocketRequest { request: self.request.header(name, value), ..self }
    }

    /// Makes a client that does not answer pings and Closes by itself, as if it had vanished.
    pub fn silent(self) -> WebSocketRequest {
        WebSocketRequest { is_silent: true, ..self }
    }

    /// Opens the WebSocket.
    ///
    /// # Panics
    /// If the server does not open it; the message shows its answer.
    #[track_caller]
    pub fn open(self) -> WebSocketClient {
        let target = self.target.clone();
        match self.try_open() {
            Ok(client) => client,
            Err(answer) => panic!("the server has not opened a WebSocket at {target}: {answer:?}"),
        }
    }

    /// Opens the WebSocket.
    ///
    /// # Errors
    /// The server's answer, if it is not 101 (RFC 6455 §4.2.2).
    ///
    /// # Panics
    /// If there is no answer, or a 101 that does not belong to this handshake.
    #[track_caller]
    pub fn try_open(self) -> Result<WebSocketClient, Answer> {
        let (connection, answer) = self.request.exchange();
        if answer.status() != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT), "{}: {answer:?}", self.target);
        let client = connection.into_client().expect("the request's connection is its own");
        client.act(|line| line.messages = Some(Messages::new(self.is_silent)));
        Ok(WebSocketClient { client, answer, target: self.target })
    }
}

/// The client's end of an open WebSocket. Like a browser it answers pings and Closes by itself, unless it is
/// [silent](WebSocketRequest::silent).
///
/// When this is dropped, the client vanishes: the session ends without a close code.
///
/// ```
/// use fleeting::testing::{self, Received};
/// use fleeting::{App, Error, Message, Request, Socket, WebSocket};
///
/// struct Chat;
///
/// impl WebSocket for Chat {
///     type Session = ();
///
///     fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
///         Ok(socket.subscribe("room").map(drop)?)
///     }
///
///     fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
///         socket.publish("room", message).unwrap();
///     }
/// }
///
/// let app = testing::serve(App::new().ws("/chat", Chat));
/// let (ann, bob) = (app.ws("/chat").open(), app.ws("/chat").open());
/// ann.text("hello");
/// assert_eq!(bob.receive_text(), "hello");
/// assert_eq!(ann.receive_text(), "hello");
/// ann.ping(b"1");
/// assert_eq!(ann.try_receive(), Some(Received::Pong(b"1".to_vec())));
/// ann.close(1000, "bye");
/// assert_eq!(ann.close_code(), Some(1000));
/// ```
pub struct WebSocketClient {
    client: Client,
    answer: Answer,
    target: String,
}

impl WebSocketClient {
    /// Returns the server's answer to the handshake, for its fields.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Returns the connection's name, which [`Handle::send`](crate::Handle::send) takes.
    pub fn conn_id(&self) -> ConnId {
        self.client.line().id.expect("a connection that was answered was accepted")
    }

    /// Sends a text message.
    #[track_caller]
    pub fn text(&self, text: &str) {
        self.client.send(&masked(TEXT, text.as_bytes()));
    }

    /// Sends a binary message.
    #[track_caller]
    pub fn binary(&self, bytes: impl AsRef<[u8]>) {
        self.client.send(&masked(BINARY, bytes.as_ref()));
    }

    /// Sends a ping.
    #[track_caller]
    pub fn ping(&self, payload: impl AsRef<[u8]>) {
        self.client.send(&masked(PING, payload.as_ref()));
    }

    /// Sends a pong, asked for or not.
    #[track_caller]
    pub fn pong(&self, payload: impl AsRef<[u8]>) {
        self.client.send(&masked(PONG, payload.as_ref()));
    }

    /// Sends a Close with this code and reason. The server's Close comes through [`receive`](WebSocketClient::receive).
    #[track_caller]
    pub fn close(&self, code: u16, reason: &str) {
        let frame = masked(CLOSE, &[&code.to_be_bytes()[..], reason.as_bytes()].concat());
        self.client.act(|line| {
            line.send(&frame);
            if let Some(messages) = &mut line.messages {
                messages.sent_close = true;
            }
        });
    }

    /// Sends bytes as they are: frames, parts of frames, or anything else.
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) {
        self.client.send(bytes.as_ref());
    }

    /// Lets the client read only `bytes` more bytes, until this is called again: see
    /// [`Connection::read_only`](super::Connection::read_only).
    #[track_caller]
    pub fn read_only(&self, bytes: usize) {
        self.client.act(|line| line.set_room(bytes));
    }

    /// Waits for the next message, pong or Close. No time passes for the server; if other threads must do something,
    /// this waits for them.
    ///
    /// # Panics
    /// If nothing comes, or something malformed; the message says why.
    #[track_caller]
    pub fn receive(&self) -> Received {
        match self.client.wait(|| self.next()) {
            Ok(Ok(received)) => received,
            Ok(Err(reason)) => panic!("the WebSocket {}: {reason}", self.target),
            Err(stuck) => panic!("the WebSocket {}: nothing was received: {stuck}", self.target),
        }
    }

    /// Returns the next message, pong or Close, if it is there.
    ///
    /// # Panics
    /// If something malformed has come.
    #[track_caller]
    pub fn try_receive(&self) -> Option<Received> {
        // Other threads may have posted something.
        self.client.act(|_| {});
        match self.next()? {
            Ok(received) => Some(received),
            Err(reason) => panic!("the WebSocket {}: {reason}", self.target),
        }
    }

    /// Waits for the next message, which must be text.
    ///
    /// # Panics
    /// If it is something else, or nothing comes.
    #[track_caller]
    pub fn receive_text(&self) -> String {
        match self.receive() {
            Received::Text(text) => text,
            other => panic!("the WebSocket {}: not text: {other:?}", self.target),
        }
    }

    /// Waits for the next message, which must be binary.
    ///
    /// # Panics
    /// If it is something else, or nothing comes.
    #[track_caller]
    pub fn receive_binary(&self) -> Vec<u8> {
        match self.receive() {
            Received::Binary(bytes) => bytes,
            other => panic!("the WebSocket {}: not a binary message: {other:?}", self.target),
        }
    }

    /// Waits for the server's Close, and returns its code. Messages and pongs before it are skipped.
    ///
    /// # Panics
    /// If the connection ends without a Close, or none comes.
    #[track_caller]
    pub fn close_code(&self) -> Option<u16> {
        loop {
            match self.receive() {
                Received::Close(code, _) => return code,
                Received::End => {
                    panic!("the WebSocket {}: the connection has ended without a Close", self.target)
                }
                _ => {}
            }
        }
    }

    /// Whether the server has ended its side of the connection, or all of it.
    pub fn is_closed(&self) -> bool {
        self.client.line().has_ended()
    }

    fn next(&self) -> Option<Result<Received, String>> {
        let mut line = self.client.line();
        let has_ended = line.has_ended();
        let is_cut_short = has_ended && !line.pipe().written.is_empty();
        let messages = line.messages.as_mut()?;
        if let Some(received) = messages.pop() {
            return Some(Ok(received));
        }
        if let Some(reason) = &messages.malformed {
            return Some(Err(format!("the server has sent something malformed: {reason}")));
        }
        if is_cut_short {
            return Some(Err("the server has ended the connection in the middle of a frame".into()));
        }
        has_ended.then_some(Ok(Received::End))
    }
}

impl fmt::Debug for WebSocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketClient").field("target", &self.target).finish_non_exhaustive()
    }
}
