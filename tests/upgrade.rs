//! A request becomes a WebSocket, or is refused and stays HTTP. No data is lost in between.

use fleeting::ws::Policy;
use fleeting::{App, Error, Message, Request, Response, Socket, WebSocket};
use fleeting_testkit::client::{BINARY, Client, TEXT, frame, handshake};
use fleeting_testkit::server::{self, TestServer};

/// Sends a greeting with its parameter and protocol. With the query `refuse` it refuses the connection afterwards.
struct Greeter;

impl WebSocket for Greeter {
    type Session = String;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<String, Error> {
        let name = req.param("name").to_string();
        let protocol = socket.protocol().unwrap_or("no protocol").to_string();
        socket.text(&format!("hello {name}, {protocol}"));
        socket.binary(&[7; 70_000]);
        if req.query() == Some("refuse") {
            return Err(Error::forbidden("not you"));
        }
        Ok(name)
    }

    fn message(&self, session: &mut String, message: Message<'_>, socket: &mut Socket<'_>) {
        if let Message::Text(text) = message {
            socket.text(&format!("{session}: {text}"));
        }
    }
}

fn serve() -> TestServer {
    server::run(|_| {
        let policy = Policy::new().origin("https://app.example").protocol("v2").protocol("v1");
        App::new()
            .get("/", |_req| Ok(Response::text("still HTTP")))
            .post("/ws/{name}", |_req| Ok(Response::text("posted")))
            .ws_with("/ws/{name}", policy, Greeter)
    })
}

/// Expects what `open` has sent.
#[track_caller]
fn greeted(client: &mut Client, greeting: &str) {
    assert_eq!(client.next_frame().text(), greeting);
    let second = client.next_frame();
    assert_eq!((second.opcode, second.payload.len()), (BINARY, 70_000));
}

#[test]
fn what_open_sends_follows_the_101() {
    let server = serve();
    let mut client = Client::websocket(server.addr, "/ws/ann%20e");
    greeted(&mut client, "hello ann e, no protocol");
    client.frame(TEXT, "hi");
    assert_eq!(client.next_frame().text(), "ann e: hi");
}

#[test]
fn frames_in_the_same_segment_as_the_handshake_are_delivered() {
    let server = serve();
    let mut all = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_vec();
    all.extend(handshake("/ws/bea", "").as_bytes());
    for number in 0..100 {
        all.extend(frame(true, TEXT, format!("{number}").as_bytes()));
    }
    for cut in [all.len(), 10, 40, 200, 240, all.len() - 1] {
        let mut client = Client::connect(server.addr);
        client.send(&all[..cut]);
        client.send(&all[cut..]);
        assert_eq!(client.answer().text(), "still HTTP");
        assert_eq!(client.answer().status, 101);
        greeted(&mut client, "hello bea, no protocol");
        for number in 0..100 {
            assert_eq!(client.next_frame().text(), format!("bea: {number}"), "cut at {cut}");
        }
    }
}

#[test]
fn a_connection_refused_by_open_gets_its_response_and_stays_open() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    client.send(handshake("/ws/cleo?refuse", ""));
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (403, "not you"));
    assert_eq!((answer.field("upgrade"), answer.field("connection")), (None, None));
    assert_eq!(client.get("/").text(), "still HTTP");
    greeted(&mut client.upgraded("/ws/cleo"), "hello cleo, no protocol");
    let counters = server.wait(|counters| counters.websockets == 1);
    assert_eq!(counters.accepted, 1);
}

#[test]
fn the_servers_preferred_protocol_is_chosen() {
    let check = |offered: &str, chosen: Option<&str>| {
        let server = serve();
        let mut client = Client::connect(server.addr);
        client.send(handshake("/ws/dora", offered));
        let answer = client.answer();
        assert_eq!(answer.status, 101);
        assert_eq!(answer.field("sec-websocket-protocol"), chosen);
        greeted(&mut client, &format!("hello dora, {}", chosen.unwrap_or("no protocol")));
    };
    check("", None);
    check("Sec-WebSocket-Protocol: v1, v2\r\n", Some("v2"));
    check("Sec-WebSocket-Protocol: v0\r\nSec-WebSocket-Protocol: v1\r\n", Some("v1"));
    check("Sec-WebSocket-Protocol: v3\r\n", None);
}

#[test]
fn a_page_of_another_origin_is_refused_unless_listed() {
    let server = serve();
    let check = |origin: &str, status: u16| {
        let mut client = Client::connect(server.addr);
        client.send(handshake("/ws/eve", &format!("Origin: {origin}\r\n")));
        assert_eq!(client.answer().status, status, "{origin}");
    };
    check("http://test", 101);
    check("https://app.example", 101);
    check("https://app.example.evil", 403);
    check("http://app.example", 403);
    check("null", 403);
}

#[test]
fn a_request_that_is_not_a_handshake_is_refused() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let answer = client.get("/ws/fay");
    assert_eq!((answer.status, answer.field("upgrade")), (426, Some("websocket")));
    let right = handshake("/ws/fay", "");
    client.send(right.replace("GET", "POST"));
    assert_eq!(client.answer().text(), "posted");
    assert_eq!(client.upgraded("/ws/fay").next_frame().text(), "hello fay, no protocol");
    let rejected: Vec<_> = server.finish().rejected().filter(|(_, count)| *count > 0).collect();
    assert_eq!(rejected, [("not_an_upgrade", 1)]);
}

/// Finding E7. What follows the handshake may be frames, which must not be read as a request.
#[test]
fn a_rejected_handshake_is_the_last_request() {
    let server = serve();
    let right = handshake("/ws/fay", "");
    let check = |handshake: String, status: u16, fields: &[(&str, &str)]| {
        for behind in [frame(true, TEXT, b"hi"), b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_vec()] {
            let mut client = Client::connect(server.addr);
            client.send([handshake.as_bytes(), &behind].concat());
            let answer = client.answer();
            assert_eq!(answer.status, status, "{handshake}");
            for (name, value) in fields {
                assert_eq!(answer.field(name), Some(*value), "{handshake}");
            }
            client.ended();
        }
    };
    let version = ("sec-websocket-version", "13");
    let upgrade = [("connection", "Upgrade, close"), ("upgrade", "websocket"), version];
    check(right.replace("Version: 13", "Version: 8"), 426, &upgrade);
    check(right.replace("Version: 13", "Version: 12"), 426, &upgrade);
    check(right.replace("Sec-WebSocket-Version: 13\r\n", ""), 400, &[("connection", "close"), version]);
    check(right.replace("dGhl", ""), 400, &[("connection", "close")]);
    check(handshake("/ws/fay", "Origin: null\r\n"), 403, &[("connection", "close")]);
    check(handshake("/ws/fay", "Sec-WebSocket-Protocol: a b\r\n"), 400, &[("connection", "close")]);
    let rejected: Vec<_> = server.finish().rejected().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        rejected,
        [("version_missing", 2), ("version_unsupported", 4), ("key", 2), ("origin", 2), ("protocol", 2)]
    );
}

/// Finding E8.
#[test]
fn a_handshake_may_name_its_whole_uri() {
    let server = serve();
    for scheme in ["ws", "wss", "http", "https", "WS"] {
        let request = handshake("/ws/gus", "Origin: http://test\r\n");
        let mut client = Client::connect(server.addr);
        client.send(request.replace("GET /ws", &format!("GET {scheme}://test/ws")));
        assert_eq!(client.answer().status, 101, "{scheme}");
        greeted(&mut client, "hello gus, no protocol");
    }
}
