//! Each way of being slow has its own timeout. The client gets a 408 or a Close where that helps.

use fleeting::ws::CloseCode;
use fleeting::{App, Body, Error, Message, Request, Response, Socket, Timeouts, WebSocket};
use fleeting_testkit::client::{CLOSE, Client, PING, PONG, TEXT};
use fleeting_testkit::server::{self, Echo, TestServer};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);
static LARGE: [u8; 32 << 20] = [0; 32 << 20];

/// Closes with "goodbye" on any message.
struct Goodbye;

impl WebSocket for Goodbye {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, socket: &mut Socket<'_>) {
        socket.close(CloseCode::NORMAL, "goodbye");
    }
}

/// A server without timeouts, except those that `set` sets.
fn serve(set: impl FnOnce(&mut Timeouts)) -> TestServer {
    let app = || {
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .get("/large", |_req| Ok(Response::bytes(Body::Static(&LARGE))))
            .get("/last", |_req| Ok(Response::text("goodbye").close()))
            .post("/echo", |req| Ok(Response::bytes(req.body())))
            .ws("/ws", Echo)
            .ws("/goodbye", Goodbye)
    };
    let none = |timeouts: &mut Timeouts| {
        for name in Timeouts::NAMES {
            timeouts.set(name, "0s").expect("a name and a time");
        }
        timeouts.grace = SHORT;
        set(timeouts);
    };
    server::run_with(|_, timeouts| none(timeouts), move |_| app())
}

/// Expects the response to a request that did not arrive in time.
fn late(mut client: Client, server: &TestServer) {
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
    client.ended();
    drop(client);
    let counters = server.wait(|counters| counters.connections == 0);
    assert_eq!((counters.timeouts, counters.requests), (1, 0));
}

#[test]
fn half_a_head_is_408() {
    let server = serve(|timeouts| timeouts.head = SHORT);
    let mut client = Client::connect(server.addr);
    client.send("GET / HTTP/1.1\r\nHo");
    late(client, &server);
}

#[test]
fn a_head_sent_byte_by_byte_is_408_all_the_same() {
    let server = serve(|timeouts| timeouts.head = SHORT);
    let mut client = Client::connect(server.addr);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n");
    let mut slow = client.clone_for_thread();
    // Each byte is sent after the server has had a turn: it has answered another client meanwhile.
    let mut other = Client::connect(server.addr);
    other.get("/");
    while server.wait(|_| true).timeouts == 0 {
        slow.send("x");
        other.get("/");
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
}

#[test]
fn content_that_never_arrives_is_408() {
    let server = serve(|timeouts| timeouts.body_stall = SHORT);
    for head in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let before = server.wait(|counters| counters.connections == 0).timeouts;
        let mut client = Client::connect(server.addr);
        client.send(format!("POST /echo HTTP/1.1\r\nHost: test\r\n{head}"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
        client.ended();
        drop(client);
        server.wait(|counters| counters.timeouts == before + 1 && counters.connections == 0);
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_response() {
    let server = serve(|timeouts| timeouts.idle = SHORT);
    let unused = Client::connect(server.addr);
    let mut used = Client::connect(server.addr);
    assert_eq!(used.get("/").status, 200);
    used.ended();
    assert_eq!(server.wait(|counters| counters.connections == 1).timeouts, 1);
    drop(unused);
}

/// Finding C4.
#[test]
fn a_connection_without_its_first_byte_is_closed_without_a_response() {
    let server = serve(|timeouts| timeouts.first_byte = SHORT);
    let mut used = Client::connect(server.addr);
    assert_eq!(used.get("/").status, 200);
    let mut begun = Client::connect(server.addr);
    begun.send("G");
    let mut unused = Client::connect(server.addr);
    unused.ended();
    assert_eq!(server.wait(|counters| counters.connections == 2).timeouts, 1);
    begun.send("ET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((begun.answer().status, used.get("/").status), (200, 200));
}

#[test]
fn a_pong_keeps_a_websocket_open() {
    let server = serve(|timeouts| (timeouts.ping, timeouts.ws_idle) = (SHORT, SHORT * 10));
    let mut client = Client::websocket(server.addr, "/ws");
    // More pings than fit into its idle timeout.
    for _ in 0..11 {
        let ping = client.next_frame();
        assert_eq!(ping.opcode, PING);
        client.frame(PONG, &ping.payload);
    }
    client.frame(TEXT, "still there");
    assert_eq!(client.next_frame().text(), "still there");
    assert_eq!(server.wait(|counters| counters.messages == 1).timeouts, 0);
}

#[test]
fn a_websocket_that_does_not_answer_a_ping_is_closed_with_1001() {
    // A worker that has no processor until both are due sends no ping.
    let server = serve(|timeouts| (timeouts.ping, timeouts.ws_idle) = (SHORT, SHORT * 30));
    let mut client = Client::websocket(server.addr, "/ws");
    assert_eq!(client.next_frame().opcode, PING);
    let close = client.next_frame();
    assert_eq!(close.close_code(), 1001);
    client.frame(CLOSE, &close.payload);
    client.ended();
}

#[test]
fn an_idle_websocket_is_closed_with_1001() {
    let server = serve(|timeouts| timeouts.ws_idle = SHORT);
    let mut client = Client::websocket(server.addr, "/ws");
    let close = client.next_frame();
    assert_eq!(close.close_code(), 1001);
    client.frame(CLOSE, &close.payload);
    client.ended();
    drop(client);
    assert_eq!(server.wait(|counters| counters.connections == 0).timeouts, 1);
}

#[test]
fn a_close_that_is_never_answered_ends_the_connection() {
    let server = serve(|timeouts| timeouts.close = SHORT);
    let mut client = Client::websocket(server.addr, "/goodbye");
    client.frame(TEXT, "hello");
    assert_eq!(client.next_frame().close_code(), 1000);
    client.ended();
    assert_eq!(server.wait(|counters| counters.connections == 0).timeouts, 1);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let server = serve(|timeouts| timeouts.write_stall = SHORT);
    let mut client = Client::connect_with_small_buffer(server.addr);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    let counters = server.wait(|counters| counters.requests == 1 && counters.connections == 0);
    assert_eq!(counters.timeouts, 1);
    client.cut_off();
}

#[test]
fn a_client_that_stays_after_the_last_response_is_cut_off() {
    let server = serve(|timeouts| timeouts.linger = SHORT);
    let mut client = Client::connect(server.addr);
    let answer = client.get("/last");
    assert_eq!(answer.field("connection"), Some("close"));
    client.ended();
    assert_eq!(server.wait(|counters| counters.connections == 0).timeouts, 1);
}

#[test]
fn a_client_that_closes_after_the_last_response_is_not_a_timeout() {
    let server = serve(|_| {});
    let mut client = Client::connect(server.addr);
    client.get("/last");
    client.ended();
    drop(client);
    assert_eq!(server.wait(|counters| counters.connections == 0).timeouts, 0);
}
