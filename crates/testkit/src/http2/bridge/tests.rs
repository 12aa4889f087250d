//! Tests of the bridge, with a client of HTTP/1.1 before it and a small HTTP/2 server behind it.

use super::Bridge;
use crate::client::{Answer, Client, TEXT, handshake};
use crate::http2::event::Event;
use crate::http2::fake::{Fake, Peer};
use crate::http2::frames::code;
use crate::http2::value;

/// Runs `test` with a client, a bridge, and a server that runs `script`.
fn with(script: impl Fn(&mut Peer) + Send + 'static, test: impl FnOnce(&mut Client)) {
    let server = Fake::start(1, script);
    let bridge = Bridge::start(server.addr);
    test(&mut Client::connect(bridge.addr));
    drop(bridge);
    drop(server);
}

fn head(client: &mut Client, method: &str, path: &str) -> Answer {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client.answer_to_head()
}

#[test]
fn responses_have_the_framing_of_http1() {
    with(Peer::serve, |client| {
        assert_eq!(client.get("/hello").text(), "hello");
        let answer = head(client, "HEAD", "/hello");
        assert_eq!((answer.status, answer.field("content-length")), (200, Some("5")));
        assert_eq!(client.get("/empty").field("content-length"), Some("0"));
        let answer = head(client, "GET", "/nothing");
        assert_eq!((answer.status, answer.field("content-length")), (204, None));
        assert_eq!(head(client, "GET", "/early").status, 103);
        assert_eq!(client.answer().status, 200);
        assert_eq!(head(client, "GET", "/trailers").field("transfer-encoding"), Some("chunked"));
        let end = b"3\r\nabc\r\n0\r\nsum: 3\r\n\r\n";
        assert_eq!(client.bytes(end.len()), end);
        client.send("GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().field("connection"), Some("close"));
        client.ended();
    });
}

#[test]
fn http_1_0_ends_content_without_a_length() {
    with(Peer::serve, |client| {
        client.send("GET /trailers HTTP/1.0\r\n\r\n");
        let all = client.until_cut_off();
        assert!(all.ends_with(b"\r\nconnection: close\r\n\r\nabc"), "{}", all.escape_ascii());
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    with(Peer::serve, |client| {
        client.send("GET /hello HTTP/1.1\r\n\r\nPOST /empty HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /early HTTP/1.1\r\n\r\n");
        assert_eq!(client.answer().text(), "hello");
        assert_eq!(client.answer().text(), "");
        assert_eq!(client.answer_to_head().status, 103);
    });
}

#[test]
fn content_is_passed_on_as_it_arrives() {
    with(Peer::serve, |client| {
        client.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        assert_eq!(client.answer_to_head().status, 200);
        assert_eq!(client.chunk(), b"abc");
        client.send("4;x=y\r\ndefg\r\n");
        assert_eq!(client.chunk(), b"defg");
        client.send("0\r\nSum: 7\r\n\r\n");
        let end = b"0\r\nsum: 7\r\n\r\n";
        assert_eq!(client.bytes(end.len()), end);
        client.send("POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
        assert_eq!(client.answer_to_head().status, 200);
        assert_eq!(client.chunk(), b"ab");
        client.send("cd");
        assert_eq!(client.chunk(), b"cd");
        assert_eq!(client.chunk(), b"");
    });
}

#[test]
fn content_larger_than_the_windows_passes() {
    with(Peer::serve, |client| {
        let content = vec![b'x'; 1 << 20];
        client.send(format!("POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n", content.len()));
        let mut twin = client.clone_for_thread();
        let sent = content.clone();
        let sending = std::thread::spawn(move || twin.send(sent));
        assert!(client.answer_in_chunks().body == content);
        sending.join().unwrap();
    });
}

#[test]
fn a_reset_stream_ends_the_connection() {
    with(Peer::serve, |client| {
        let answer = client.get("/reset");
        assert_eq!((answer.status, answer.text()), (502, "bridge: the stream was reset with code 7\n"));
        client.ended();
    });
    with(Peer::serve, |client| {
        assert_eq!(head(client, "GET", "/cut").status, 200);
        assert_eq!(client.until_cut_off(), b"abc");
    });
}

#[test]
fn goaway_ends_the_connection_after_the_response() {
    with(Peer::serve, |client| {
        assert_eq!(client.get("/goaway").status, 200);
        client.ended();
    });
    // And one that is idle.
    let idle = |peer: &mut Peer| {
        peer.put(&crate::http2::frames::Frame::goaway(0, code::NO_ERROR));
        peer.wait_for_end();
    };
    with(idle, Client::ended);
}

#[test]
fn the_end_of_a_client_cancels_what_waits() {
    let script = |peer: &mut Peer| {
        let (stream, _, end) = peer.fields();
        assert!(end);
        assert_eq!(peer.next(), Some(Event::Reset { stream, code: code::CANCEL }));
    };
    with(script, |client| {
        client.send("GET / HTTP/1.1\r\n\r\n");
        client.end();
        client.ended();
    });
    // Content that does not come.
    let script = |peer: &mut Peer| {
        let (stream, _, end) = peer.fields();
        assert!(!end);
        assert_eq!(peer.next(), Some(Event::Reset { stream, code: code::CANCEL }));
    };
    with(script, |client| {
        client.send("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
        client.end();
        client.cut_off();
    });
}

#[test]
fn a_client_that_ends_its_side_is_answered() {
    with(Peer::serve, |client| {
        client.send("GET /hello HTTP/1.1\r\n\r\n");
        client.end();
        assert_eq!(client.answer().text(), "hello");
        client.ended();
    });
}

#[test]
fn an_early_refusal_ends_the_upload() {
    with(Peer::serve, |client| {
        client.send("POST /refuse HTTP/1.1\r\nContent-Length: 50\r\n\r\nabc");
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("connection")), (403, Some("close")));
        client.ended();
    });
}

#[test]
fn websockets_are_tunnels() {
    with(Peer::serve, |client| {
        client.send(handshake("/refuse", ""));
        assert_eq!(client.answer().status, 403);
        client.send(handshake("/ws", ""));
        let answer = client.answer_to_head();
        assert_eq!((answer.status, answer.field("upgrade")), (101, Some("websocket")));
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        client.send(b"\x81\x02hi");
        let frame = client.next_frame();
        assert_eq!((frame.opcode, frame.text()), (TEXT, "hi"));
        client.end();
        client.ended();
    });
}

#[test]
fn a_handshake_is_an_extended_connect() {
    let script = |peer: &mut Peer| {
        let (stream, fields, end) = peer.fields();
        assert_eq!(value(&fields, ":method"), Some(&b"CONNECT"[..]));
        assert_eq!(value(&fields, ":protocol"), Some(&b"websocket"[..]));
        assert_eq!(value(&fields, "sec-websocket-version"), Some(&b"13"[..]));
        assert_eq!((value(&fields, "sec-websocket-key"), end), (None, false));
        peer.head(stream, &[(":status", "200")], false);
        assert!(matches!(peer.next(), Some(Event::Data { end: true, .. })));
        peer.put(&crate::http2::frames::Frame::rst_stream(stream, code::INTERNAL_ERROR));
        peer.wait_for_end();
    };
    with(script, |client| {
        client.send(handshake("/", ""));
        assert_eq!(client.answer_to_head().status, 101);
        client.end();
        assert_eq!(client.until_cut_off(), b"");
    });
    // A client that resets its connection resets the stream.
    let script = |peer: &mut Peer| {
        let (stream, ..) = peer.fields();
        peer.head(stream, &[(":status", "200")], false);
        assert_eq!(peer.next(), Some(Event::Reset { stream, code: code::CANCEL }));
    };
    let server = Fake::start(1, script);
    let bridge = Bridge::start(server.addr);
    let mut client = Client::connect(bridge.addr);
    client.send(handshake("/", ""));
    assert_eq!(client.answer_to_head().status, 101);
    client.reset();
    drop(server);
}

#[test]
fn connections_share_one_if_they_shall() {
    let server = Fake::start(1, Peer::serve);
    let bridge = Bridge::start_shared(server.addr);
    let mut clients = [(); 5].map(|()| Client::connect(bridge.addr));
    for client in &mut clients {
        client.send(handshake("/ws", ""));
        assert_eq!(client.answer_to_head().status, 101);
    }
    for client in &mut clients {
        client.send("\u{1}\u{2}hi");
        assert_eq!(client.bytes(4), b"\x01\x02hi");
    }
    drop(bridge);
    clients.iter_mut().for_each(Client::cut_off);
}
