//! A handler that panics costs one response. The connection, the worker and all other clients are unaffected.

use fleeting::ws::CloseCode;
use fleeting::{App, Error, Limits, Message, Request, Response, Socket, Timeouts, WebSocket};
use fleeting_testkit::client::{CLOSE, Client, TEXT, handshake};
use fleeting_testkit::server::{self, TestServer};

/// Panics in the place that the client names.
struct Fragile;

impl WebSocket for Fragile {
    type Session = String;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<String, Error> {
        let place = req.query().unwrap_or_default();
        socket.text("hello");
        assert_ne!(place, "open", "planted");
        Ok(place.to_string())
    }

    fn message(&self, _session: &mut String, message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
        assert_ne!(message, Message::Text("panic"), "planted");
    }

    fn close(&self, session: String, _code: Option<CloseCode>, _reason: &str) {
        assert_ne!(session, "close", "planted");
    }
}

/// A panic payload that panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("planted");
    }
}

fn serve() -> TestServer {
    server::run(|_| {
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .get("/panic", |_req| panic!("planted"))
            .get("/bomb", |_req| std::panic::panic_any(Bomb))
            .get("/no-such-parameter", |req| Ok(Response::text(req.param("name"))))
            .get("/no-such-status", |_req| Ok(Response::new(99)))
            .ws("/ws", Fragile)
    })
}

#[test]
fn a_request_whose_handler_panics_is_answered_with_500() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    for path in ["/panic", "/no-such-parameter", "/no-such-status"] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.field("connection")), (500, None), "{path}");
        assert!(!answer.text().contains("planted"), "the response reveals the panic message");
        assert_eq!(client.get("/").text(), "hello");
    }
    let counters = server.wait(|counters| counters.requests == 6);
    assert_eq!((counters.panics, counters.connections, counters.accepted), (3, 1, 1));
}

/// Finding A9.
#[test]
fn a_panic_payload_that_panics_when_dropped_costs_one_response() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    for panics in 1..=2 {
        assert_eq!(client.get("/bomb").status, 500);
        assert_eq!(client.get("/").text(), "hello");
        assert_eq!(server.wait(|counters| counters.requests == 2 * panics).panics, panics);
    }
}

/// Finding A8. The worker cannot answer while it runs the handler that asks, so it is the one that calls back.
#[test]
fn callbacks_of_a_handle_that_panic_end_no_worker() {
    let server = server::run(|worker| {
        let handle = worker.handle.clone();
        App::new().get("/", |_req| Ok(Response::text("hello"))).get("/ask", move |_req| {
            for _ in 0..3 {
                handle.figures(|_| panic!("planted"));
                handle.count_topics(None, |_| panic!("planted"));
            }
            Ok(Response::text("asked"))
        })
    });
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/ask").text(), "asked");
    server.wait(|counters| counters.panics == 6);
    assert_eq!(client.get("/").text(), "hello");
}

/// Finding A8, its sibling: a listener is dropped when a limit does not allow its subscription.
#[test]
fn a_refused_listener_that_panics_when_dropped_ends_no_worker() {
    let no_topics = |limits: &mut Limits, _: &mut Timeouts| limits.topics = 0;
    let server = server::run_with(no_topics, |_| App::new().get("/", |_req| Ok(Response::text("hello"))));
    let bomb = Bomb;
    let _subscription = server
        .handle
        .subscribe("a", move |_, _| {
            let _owned = &bomb;
            true
        })
        .unwrap();
    server.wait(|counters| counters.panics == 1);
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
}

#[test]
fn requests_pipelined_behind_a_panic_are_answered() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let both = "GET /panic HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n";
    client.send(both.repeat(10));
    for _ in 0..10 {
        assert_eq!((client.answer().status, client.answer().status), (500, 200));
    }
}

#[test]
fn a_message_whose_handler_panics_closes_with_1011() {
    let server = serve();
    let mut other = Client::websocket(server.addr, "/ws");
    assert_eq!(other.next_frame().text(), "hello");
    let mut client = Client::websocket(server.addr, "/ws");
    assert_eq!(client.next_frame().text(), "hello");
    client.frame(TEXT, "panic");
    client.frame(TEXT, "this one is not delivered");
    // What was sent before the panic has been sent.
    assert_eq!(client.next_frame().text(), "panic");
    let close = client.next_frame();
    assert_eq!(close.close_code(), 1011);
    client.frame(CLOSE, &close.payload);
    client.ended();
    drop(client);
    let counters = server.wait(|counters| counters.connections == 1);
    assert_eq!((counters.panics, counters.messages), (1, 1));
    other.frame(TEXT, "still there");
    assert_eq!(other.next_frame().text(), "still there");
}

#[test]
fn a_handshake_whose_handler_panics_is_answered_with_500() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    client.send(handshake("/ws?open", ""));
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("upgrade")), (500, None));
    assert_eq!(client.get("/").text(), "hello");
    let mut client = client.upgraded("/ws");
    assert_eq!(client.next_frame().text(), "hello");
    let counters = server.wait(|counters| counters.websockets == 1);
    assert_eq!((counters.panics, counters.connections), (1, 1));
}

#[test]
fn a_panic_in_close_affects_no_other_connection() {
    let server = serve();
    let mut client = Client::websocket(server.addr, "/ws?close");
    assert_eq!(client.next_frame().text(), "hello");
    client.frame(CLOSE, 1000u16.to_be_bytes());
    assert_eq!(client.next_frame().close_code(), 1000);
    client.ended();
    drop(client);
    let mut gone = Client::websocket(server.addr, "/ws?close");
    assert_eq!(gone.next_frame().text(), "hello");
    drop(gone);
    server.wait(|counters| counters.panics == 2 && counters.connections == 0);
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
}
