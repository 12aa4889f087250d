//! A session learns of its end exactly once, however it ends, with the code of the first Close frame.

use fleeting::ws::CloseCode;
use fleeting::{App, ConnId, Error, Message, Request, Socket, WebSocket};
use fleeting_testkit::client::{CLOSE, Client, TEXT};
use fleeting_testkit::server::{self, TestServer};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

type End = (ConnId, Option<u16>, String);

/// Reports when it opens and how it ends.
struct Told(Sender<ConnId>, Sender<End>);

impl WebSocket for Told {
    type Session = ConnId;

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<ConnId, Error> {
        self.0.send(socket.conn_id()).expect("the test waits");
        Ok(socket.conn_id())
    }

    fn message(&self, _session: &mut ConnId, message: Message<'_>, socket: &mut Socket<'_>) {
        socket.close(CloseCode::new(4001).expect("a private code"), "goodbye");
        // Nothing may follow a Close.
        assert_eq!(socket.send(message), fleeting::Sent::Dropped);
        socket.close(CloseCode::NORMAL, "again");
    }

    fn close(&self, session: ConnId, code: Option<CloseCode>, reason: &str) {
        let end = (session, code.map(CloseCode::get), reason.to_string());
        // At the end of a test the receiver may be gone.
        let _ = self.1.send(end);
    }
}

/// Ends a WebSocket with `end` and compares the code and reason that its session receives.
#[track_caller]
fn check(end: impl FnOnce(&TestServer, Client, ConnId), code: Option<u16>, reason: &str) {
    let (opened, opens): (_, Receiver<ConnId>) = mpsc::channel();
    let (ended, ends): (_, Receiver<End>) = mpsc::channel();
    let server = server::run_with(
        |_, timeouts| (timeouts.ws_idle, timeouts.close) = (Duration::ZERO, Duration::from_millis(100)),
        move |_| App::new().ws("/ws", Told(opened, ended)),
    );
    let client = Client::websocket(server.addr, "/ws");
    let conn = opens.recv().expect("the session opens");
    end(&server, client, conn);
    server.wait(|counters| counters.connections == 0);
    drop(server);
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(conn, code, reason.to_string())]);
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

#[test]
fn a_close_by_the_peer_is_reported() {
    let closes = |payload: Vec<u8>| {
        move |_: &TestServer, mut client: Client, _| {
            client.frame(CLOSE, &payload);
            let answer = client.next_frame();
            // RFC 6455 §5.5.1: the code is echoed.
            assert_eq!(answer.payload, payload[..payload.len().min(2)]);
            client.ended();
        }
    };
    check(closes(close(1000, "")), Some(1000), "");
    check(closes(close(4999, "adieu")), Some(4999), "adieu");
    check(closes(Vec::new()), None, "");
}

#[test]
fn a_close_by_the_session_is_reported() {
    check(
        |_, mut client, _| {
            client.frame(TEXT, "hello");
            let sent = client.next_frame();
            assert_eq!((sent.close_code(), &sent.payload[2..]), (4001, &b"goodbye"[..]));
            client.frame(CLOSE, close(4001, "not ours"));
            client.ended();
        },
        Some(4001),
        "goodbye",
    );
}

#[test]
fn a_close_by_the_session_that_the_peer_never_answers_is_reported() {
    check(
        |_, mut client, _| {
            client.frame(TEXT, "hello");
            assert_eq!(client.next_frame().close_code(), 4001);
            client.ended();
        },
        Some(4001),
        "goodbye",
    );
}

#[test]
fn a_close_by_a_handle_is_reported() {
    check(
        |server, mut client, conn| {
            let code = CloseCode::new(4002).expect("a private code");
            server.handle.close(conn, code, "by order").expect("the worker is alive");
            server.handle.close(conn, CloseCode::NORMAL, "again").expect("the worker is alive");
            server.handle.send(conn, Message::Text("too late")).expect("the worker is alive");
            assert_eq!(client.next_frame().close_code(), 4002);
            client.frame(CLOSE, close(4002, ""));
            client.ended();
        },
        Some(4002),
        "by order",
    );
}

#[test]
fn a_protocol_violation_by_the_peer_is_reported() {
    check(
        |_, mut client, _| {
            client.send(b"\x81\x00");
            assert_eq!(client.next_frame().close_code(), 1002);
            client.ended();
        },
        Some(1002),
        "a client's frames must be masked",
    );
}

#[test]
fn a_peer_that_is_gone_is_reported_without_a_code() {
    check(|_, client, _| drop(client), None, "");
    check(
        |_, mut client, _| {
            client.end();
            client.ended();
        },
        None,
        "",
    );
}

#[test]
fn a_shutdown_is_reported() {
    check(
        |server, mut client, _| {
            server.handle.shutdown();
            assert_eq!(client.next_frame().close_code(), 1001);
            client.frame(CLOSE, close(1001, ""));
            client.ended();
        },
        Some(1001),
        "shutting down",
    );
}
