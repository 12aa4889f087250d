//! A WebSocket opens on a stream of HTTP/2 (RFC 8441), works as over HTTP/1.1, and ends with its stream.

use crate::driver::frame_at;
use crate::http2_peer::websocket_head;
use fleeting::ws::{CloseCode, Policy};
use fleeting::{App, ConnId, Error, Message, Request, Response, Socket, WebSocket};
use fleeting_testkit::client::{BINARY, CLOSE, Frame, PING, PONG, TEXT, frame};
use fleeting_testkit::http2::client::Client;
use fleeting_testkit::http2::frames::{code, kind};
use fleeting_testkit::http2::value;
use fleeting_testkit::server::{self, Echo, TestServer};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a session reports.
#[derive(Debug, PartialEq)]
enum Report {
    Opened(ConnId),
    Closed(Option<CloseCode>, String),
}

/// Reports its beginning and end, greets with its subprotocol, echoes, and closes on "goodbye".
struct Reporter(Sender<Report>);

impl WebSocket for Reporter {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        if req.query() == Some("refuse") {
            return Err(Error::forbidden("not you"));
        }
        self.0.send(Report::Opened(socket.conn_id())).expect("the test waits");
        socket.text(socket.protocol().unwrap_or("hello").to_string().as_str());
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        match message {
            Message::Text("goodbye") => socket.close(CloseCode::NORMAL, "goodbye"),
            Message::Text("panic") => panic!("planted"),
            message => drop(socket.send(message)),
        }
    }

    fn close(&self, _session: (), code: Option<CloseCode>, reason: &str) {
        self.0.send(Report::Closed(code, reason.into())).expect("the test waits");
    }
}

fn serve() -> (TestServer, Receiver<Report>) {
    let (reported, reports) = channel();
    let policy = Policy::new().origin("https://app.example").protocol("v2").protocol("v1");
    let app = move || {
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .ws_with("/ws", policy, Reporter(reported))
            .ws("/echo", Echo)
    };
    (server::run(move |_| app()), reports)
}

fn connect(server: &TestServer) -> Client {
    let mut client = Client::connect(server.addr);
    client.wait_for_settings();
    let settings = client.session.settings.clone().expect("they have arrived");
    assert!(settings.extended_connect, "RFC 8441 §3");
    client
}

/// A WebSocket on a stream, and what has arrived of its next frame.
struct Tunnel {
    stream: u32,
    bytes: Vec<u8>,
}

impl Tunnel {
    #[track_caller]
    fn open(client: &mut Client, path: &str) -> Tunnel {
        let stream = client.start(&websocket_head(path), false);
        let (status, fields) = client.response_head(stream);
        assert_eq!((status, value(&fields, "sec-websocket-accept")), (200, None), "{fields:?}");
        Tunnel { stream, bytes: Vec::new() }
    }

    #[track_caller]
    fn send(&self, client: &mut Client, opcode: u8, payload: impl AsRef<[u8]>) {
        client.data(self.stream, &frame(true, opcode, payload.as_ref()), false);
    }

    /// Returns the next frame.
    #[track_caller]
    fn next_frame(&mut self, client: &mut Client) -> Frame {
        loop {
            if let Some((opcode, payload)) = frame_at(&self.bytes, 0) {
                let end = payload.end;
                let frame = Frame { opcode, payload: self.bytes[payload].to_vec() };
                self.bytes.drain(..end);
                return frame;
            }
            let more = client.content(self.stream, 1);
            assert!(!more.is_empty(), "the stream has ended");
            self.bytes.extend_from_slice(&more);
        }
    }

    /// Expects the end of the stream, without a reset and with nothing before it.
    #[track_caller]
    fn ended(self, client: &mut Client) {
        assert_eq!((self.bytes, client.response(self.stream).body), (Vec::new(), Vec::new()));
        client.ping();
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[track_caller]
fn opened(reports: &Receiver<Report>) -> ConnId {
    match reports.recv() {
        Ok(Report::Opened(conn)) => conn,
        other => panic!("not opened: {other:?}"),
    }
}

#[track_caller]
fn closed(reports: &Receiver<Report>, code: Option<u16>, reason: &str) {
    match reports.recv() {
        Ok(Report::Closed(got, why)) => {
            assert_eq!((got.map(|code| code.get()), &*why), (code, reason));
        }
        other => panic!("not closed: {other:?}"),
    }
}

#[test]
fn messages_are_echoed_on_several_streams() {
    let (server, _reports) = serve();
    let mut client = connect(&server);
    let mut tunnels = [(); 20].map(|()| Tunnel::open(&mut client, "/echo"));
    let large = vec![b'x'; 200_000];
    for round in 0..3 {
        for tunnel in &tunnels {
            tunnel.send(&mut client, TEXT, format!("{} {round}", tunnel.stream));
            tunnel.send(&mut client, PING, "ping");
        }
        assert_eq!(client.get("/").text(), "hello");
        for tunnel in &mut tunnels {
            let text = tunnel.next_frame(&mut client);
            assert_eq!((text.opcode, text.text()), (TEXT, &*format!("{} {round}", tunnel.stream)));
            let pong = tunnel.next_frame(&mut client);
            assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &b"ping"[..]));
        }
        tunnels[round].send(&mut client, BINARY, &large);
        assert!(tunnels[round].next_frame(&mut client).payload == large);
    }
    let counters = server.wait(|counters| counters.messages == 63);
    assert_eq!((counters.connections, counters.websockets), (1, 20));
}

/// A frame may arrive in any number of DATA frames.
#[test]
fn frames_are_read_however_they_are_cut() {
    let (server, _reports) = serve();
    let mut client = connect(&server);
    let mut tunnel = Tunnel::open(&mut client, "/echo");
    for byte in frame(true, TEXT, b"byte by byte") {
        client.data(tunnel.stream, &[byte], false);
    }
    assert_eq!(tunnel.next_frame(&mut client).text(), "byte by byte");
    let frames: Vec<u8> = (0..100).flat_map(|at: u8| frame(true, BINARY, &[at])).collect();
    client.data(tunnel.stream, &frames, false);
    for at in 0..100 {
        assert_eq!(tunnel.next_frame(&mut client).payload, [at]);
    }
}

#[test]
fn either_side_may_close() {
    let (server, reports) = serve();
    let mut client = connect(&server);
    // The client closes, with and without the end of its stream.
    for ends in [true, false] {
        let mut tunnel = Tunnel::open(&mut client, "/ws");
        opened(&reports);
        assert_eq!(tunnel.next_frame(&mut client).text(), "hello");
        let close = frame(true, CLOSE, b"\x03\xe9leaving");
        client.data(tunnel.stream, &close, ends);
        assert_eq!(tunnel.next_frame(&mut client).close_code(), 1001);
        closed(&reports, Some(1001), "leaving");
        if !ends {
            client.data(tunnel.stream, b"", true);
        }
        tunnel.ended(&mut client);
    }
    // The server closes.
    let mut tunnel = Tunnel::open(&mut client, "/ws");
    opened(&reports);
    assert_eq!(tunnel.next_frame(&mut client).text(), "hello");
    tunnel.send(&mut client, TEXT, "goodbye");
    let close = tunnel.next_frame(&mut client);
    assert_eq!(close.close_code(), 1000);
    client.data(tunnel.stream, &frame(true, CLOSE, &close.payload), true);
    tunnel.ended(&mut client);
    assert!(matches!(reports.recv(), Ok(Report::Closed(Some(CloseCode::NORMAL), _))));
    // Its frames break a rule.
    let mut tunnel = Tunnel::open(&mut client, "/ws");
    opened(&reports);
    assert_eq!(tunnel.next_frame(&mut client).text(), "hello");
    client.data(tunnel.stream, b"\x81\x01x", false);
    assert_eq!(tunnel.next_frame(&mut client).close_code(), 1002);
    client.data(tunnel.stream, b"", true);
    tunnel.ended(&mut client);
    assert!(matches!(reports.recv(), Ok(Report::Closed(..))));
    // A session panics.
    let mut tunnel = Tunnel::open(&mut client, "/ws");
    opened(&reports);
    assert_eq!(tunnel.next_frame(&mut client).text(), "hello");
    tunnel.send(&mut client, TEXT, "panic");
    assert_eq!(tunnel.next_frame(&mut client).close_code(), 1011);
    client.data(tunnel.stream, b"", true);
    tunnel.ended(&mut client);
}

#[test]
fn a_session_is_told_of_the_end_of_its_stream_and_of_a_reset() {
    let (server, reports) = serve();
    let mut client = connect(&server);
    let open = |client: &mut Client| {
        let mut tunnel = Tunnel::open(client, "/ws");
        opened(&reports);
        assert_eq!(tunnel.next_frame(client).text(), "hello");
        tunnel
    };
    let (reset, ended, stays) = (open(&mut client), open(&mut client), open(&mut client));
    client.reset(reset.stream, code::CANCEL);
    closed(&reports, None, "");
    // The end without a Close.
    client.data(ended.stream, b"", true);
    closed(&reports, None, "");
    ended.ended(&mut client);
    stays.send(&mut client, TEXT, "still there");
    let mut stays = stays;
    assert_eq!(stays.next_frame(&mut client).text(), "still there");
    // With its connection.
    drop(client);
    closed(&reports, None, "");
    server.wait(|counters| counters.connections == 0);
}

#[test]
fn a_handle_reaches_one_of_several_streams() {
    let (server, reports) = serve();
    let mut client = connect(&server);
    let mut tunnels: Vec<(Tunnel, ConnId)> = (0..3)
        .map(|_| {
            let mut tunnel = Tunnel::open(&mut client, "/ws");
            assert_eq!(tunnel.next_frame(&mut client).text(), "hello");
            (tunnel, opened(&reports))
        })
        .collect();
    for (tunnel, conn) in &mut tunnels {
        server.handle.send(*conn, Message::Text(&conn.to_string())).expect("there is room");
        assert_eq!(tunnel.next_frame(&mut client).text(), conn.to_string());
    }
    let (mut tunnel, conn) = tunnels.remove(1);
    server.handle.close(conn, CloseCode::AWAY, "enough").expect("there is room");
    let close = tunnel.next_frame(&mut client);
    assert_eq!(close.close_code(), 1001);
    client.data(tunnel.stream, &frame(true, CLOSE, &close.payload), true);
    tunnel.ended(&mut client);
    for (tunnel, _) in &mut tunnels {
        tunnel.send(&mut client, TEXT, "still there");
        assert_eq!(tunnel.next_frame(&mut client).text(), "still there");
    }
}

#[test]
fn what_is_no_handshake_is_refused_and_others_go_on() {
    let (server, reports) = serve();
    let mut client = connect(&server);
    type Head = Vec<(&'static str, &'static str)>;
    let mut check = |change: &dyn Fn(&mut Head), status: u16| {
        let mut head = websocket_head("/ws");
        change(&mut head);
        let stream = client.start(&head, false);
        let response = client.response(stream);
        assert_eq!(response.status, status, "{head:?}: {}", response.text());
        assert_eq!(response.field("upgrade"), None, "{head:?}");
        let reset = client.frame(|frame| frame.kind == kind::RST_STREAM);
        assert_eq!((reset.stream, reset.number(0)), (stream, Some(code::NO_ERROR)), "{head:?}");
        response
    };
    let place =
        |head: &[(&str, &str)], name: &str| head.iter().position(|(known, _)| *known == name).unwrap();
    let set = |name: &'static str, value: &'static str| {
        move |head: &mut Head| {
            let at = place(head, name);
            head[at].1 = value;
        }
    };
    let version = check(&set("sec-websocket-version", "8"), 426);
    assert_eq!(version.field("sec-websocket-version"), Some("13"));
    check(&|head| head.truncate(head.len() - 1), 400);
    check(&|head| head.push(("origin", "http://evil.example")), 403);
    check(&set(":path", "/nowhere"), 404);
    check(&set(":path", "/ws?refuse"), 403);
    check(&set(":protocol", "other"), 501);
    // A request for the resource that is no CONNECT.
    let response = client.get("/ws");
    assert!((400..500).contains(&response.status), "{}", response.status);
    // A path without a WebSocket: 200 would open a tunnel.
    let stream = client.start(&websocket_head("/"), false);
    assert_eq!(client.response(stream).status, 501);
    assert!(reports.try_recv().is_err(), "a session was opened");
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn origins_and_protocols_are_as_over_http1() {
    let (server, _reports) = serve();
    let mut client = connect(&server);
    let mut check = |field: (&'static str, &'static str), chosen: Option<&str>| {
        let mut head = websocket_head("/ws");
        head.push(field);
        let stream = client.start(&head, false);
        let (status, fields) = client.response_head(stream);
        let protocol = value(&fields, "sec-websocket-protocol");
        assert_eq!((status, protocol), (200, chosen.map(str::as_bytes)), "{field:?}");
        let mut tunnel = Tunnel { stream, bytes: Vec::new() };
        assert_eq!(tunnel.next_frame(&mut client).text(), chosen.unwrap_or("hello"), "{field:?}");
        client.reset(stream, code::CANCEL);
    };
    check(("origin", "http://test"), None);
    check(("origin", "https://app.example"), None);
    check(("sec-fetch-site", "same-origin"), None);
    check(("sec-websocket-protocol", "v1, v2"), Some("v2"));
    check(("sec-websocket-protocol", "v3"), None);
}

/// RFC 7692
#[cfg(feature = "deflate")]
#[test]
fn compression_is_negotiated() {
    use fleeting::ws::{Compression, Deflater, Inflated, Inflater};
    const RSV1: u8 = 0x40;
    let policy = Policy::new().compression(Compression::dedicated());
    let server = server::run(move |_| App::new().ws_with("/ws", policy, Echo));
    let mut client = connect(&server);
    let mut head = websocket_head("/ws");
    head.push(("sec-websocket-extensions", "permessage-deflate"));
    let stream = client.start(&head, false);
    let (status, fields) = client.response_head(stream);
    let agreed = value(&fields, "sec-websocket-extensions").expect("it was agreed on");
    assert!(status == 200 && agreed.starts_with(b"permessage-deflate"), "{}", agreed.escape_ascii());
    let mut tunnel = Tunnel { stream, bytes: Vec::new() };
    let (mut deflater, mut inflater) = (Deflater::new(15, 6), Inflater::new());
    let message = b"again and again and ".repeat(20);
    for _ in 0..3 {
        let mut compressed = Vec::new();
        deflater.message(&message, true, &mut compressed);
        tunnel.send(&mut client, TEXT | RSV1, &compressed);
        let frame = tunnel.next_frame(&mut client);
        assert_eq!(frame.opcode, TEXT | RSV1);
        let mut inflated = Inflated::new();
        let found = inflater.message(&frame.payload, true, &mut inflated, 1 << 20);
        assert!(found.expect("it inflates") == message);
    }
}
