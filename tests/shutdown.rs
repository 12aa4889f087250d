//! A shutdown ends each connection without losing data, and completes.

use fleeting::{App, Message, PublishError, Response, Server};
use fleeting_testkit::client::{self, CLOSE, Client};
use fleeting_testkit::http2::client::{Client as Http2Client, head};
use fleeting_testkit::http2::frames::kind;
use fleeting_testkit::server::{self, Echo};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

static LARGE: [u8; 32 << 20] = [0; 32 << 20];

fn app() -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .ws("/ws", Echo)
}

/// A client that has sent its request's head, which the server has read, and half of the content.
fn in_flight(addr: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(addr);
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer_to_head().status, 100);
    client.send("half");
    client
}

#[test]
fn each_kind_of_connection_ends_properly() {
    let server = server::run(|_| app());
    let mut idle = Client::connect(server.addr);
    assert_eq!(idle.get("/").text(), "hello");
    let mut silent = Client::connect(server.addr);
    let mut busy = in_flight(server.addr);
    let mut websocket = Client::websocket(server.addr, "/ws");
    server.wait(|counters| counters.connections == 4);

    server.handle.shutdown();
    idle.ended();
    silent.ended();
    let refused = TcpStream::connect(server.addr).expect_err("the listener must be closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // What has begun is finished: the content arrives, and the closing handshake completes.
    busy.send("full");
    let answer = busy.answer();
    assert_eq!((answer.status, answer.text()), (200, "halffull"));
    assert_eq!(answer.field("connection"), Some("close"));
    busy.ended();
    drop(busy);
    let close = websocket.next_frame();
    assert_eq!(close.close_code(), 1001);
    websocket.frame(CLOSE, &close.payload);
    websocket.ended();
    drop(websocket);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

/// RFC 9113 §6.8: the first GOAWAY serves whatever is on the way, the second names the last stream that was served.
#[test]
fn streams_that_have_begun_end_between_two_goaways() {
    let server = server::run(|_| app());
    let mut idle = Http2Client::connect(server.addr);
    assert_eq!(idle.get("/").text(), "hello");
    let mut busy = Http2Client::connect(server.addr);
    let stream = busy.start(&head("POST", "/echo"), false);
    busy.data(stream, b"half", false);
    busy.ping();

    server.handle.shutdown();
    assert_eq!(idle.ended(), Some((1, 0)));
    drop(idle);
    let goaway = busy.frame(|frame| frame.kind == kind::GOAWAY);
    assert_eq!(goaway.payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    busy.data(stream, b"full", true);
    let response = busy.response(stream);
    assert_eq!((response.status, response.text()), (200, "halffull"));
    assert_eq!(busy.ended(), Some((stream, 0)));
    drop(busy);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

#[test]
fn pipelined_requests_that_have_arrived_are_answered() {
    let server = server::run_with(
        |limits, _| limits.pipeline = 4,
        |context| {
            let handle = context.handle.clone();
            App::new().get("/down", move |_req| {
                handle.shutdown();
                Ok(Response::text("going down"))
            })
        },
    );
    let mut client = Client::connect(server.addr);
    client.send("GET /down HTTP/1.1\r\nHost: test\r\n\r\n".repeat(4));
    client.answer();
    // The last response, at the latest, says that it is the last.
    let answers = (1..4).map(|_| client.answer()).filter(|answer| answer.field("connection").is_some());
    assert!(answers.count() <= 1);
    client.ended();
    drop(client);
    server.wait_for_end();
}

#[test]
fn a_stuck_client_is_cut_off_after_the_grace_period() {
    let server = server::run_with(|_, timeouts| timeouts.grace = Duration::from_millis(200), |_| app());
    let mut stuck = in_flight(server.addr);
    let mut websocket = Client::websocket(server.addr, "/ws");
    server.handle.shutdown();
    assert_eq!(websocket.next_frame().close_code(), 1001);
    // Neither client sends anything more.
    stuck.cut_off();
    websocket.cut_off();
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 2));
}

/// Finding C11.
#[test]
fn a_client_that_has_its_whole_answer_and_stays_is_not_cut_off() {
    let server = server::run_with(|_, timeouts| timeouts.grace = Duration::from_millis(200), |_| app());
    let mut client = Client::connect(server.addr);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    client.ended();
    // The client keeps its socket open beyond the grace period.
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

#[test]
fn a_client_that_does_not_read_is_cut_off_after_the_grace_period() {
    let server = server::run_with(
        |_, timeouts| timeouts.grace = Duration::from_millis(200),
        |_| App::new().get("/", |_req| Ok(Response::bytes(fleeting::Body::Static(&LARGE)))),
    );
    let mut client = Client::connect_with_small_buffer(server.addr);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait(|counters| counters.requests == 1);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 1));
}

/// It reads what was queued for it, and the shutdown waits no longer than that.
#[test]
fn a_shutdown_waits_for_a_slow_reader_and_no_longer() {
    let server =
        server::run(|_| App::new().get("/", |_req| Ok(Response::bytes(fleeting::Body::Static(&LARGE)))));
    let mut idle = Client::connect(server.addr);
    let mut slow = Client::connect_with_small_buffer(server.addr);
    slow.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    server.wait(|counters| counters.requests == 1 && counters.connections == 2);
    server.handle.shutdown();
    idle.ended();
    assert_eq!(slow.answer().body.len(), LARGE.len());
    slow.ended();
    drop(slow);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

/// The request was answered and its unwanted content is still arriving; the connection was to stay open.
#[test]
fn a_shutdown_waits_for_discarded_content_and_no_longer() {
    let server = server::run(|_| app());
    let mut idle = Client::connect(server.addr);
    let mut client = Client::connect(server.addr);
    client.send("POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (404, None));
    server.wait(|counters| counters.connections == 2);
    server.handle.shutdown();
    idle.ended();
    client.send("full");
    client.ended();
    drop(client);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

#[test]
fn every_worker_shuts_down() {
    let server =
        Server::builder().bind("127.0.0.1:0").workers(2).serve(|_| app()).expect("the server starts");
    let addr = server.local_addrs()[0];
    let mut idle: Vec<_> = (0..32).map(|_| Client::connect(addr)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut websockets: Vec<_> = (0..32).map(|_| Client::websocket(addr, "/ws")).collect();
    server.handle().shutdown();
    server.handle().shutdown();
    idle.iter_mut().for_each(Client::ended);
    for websocket in &mut websockets {
        let close = websocket.next_frame();
        assert_eq!(close.close_code(), 1001);
        websocket.send(client::frame(true, CLOSE, &close.payload));
        websocket.ended();
    }
    drop(websockets);
    server.run().expect("every worker has ended");
    let refused = TcpStream::connect(addr).expect_err("the listener must be closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_server_without_connections_shuts_down_at_once() {
    let server =
        Server::builder().bind("127.0.0.1:0").workers(2).serve(|_| app()).expect("the server starts");
    server.handle().shutdown();
    server.run().expect("every worker has ended");
}

/// Finding A12.
#[test]
fn a_server_that_is_dropped_stops() {
    for workers in [1, 2] {
        let server = Server::builder().bind("127.0.0.1:0").workers(workers).serve(|_| app()).unwrap();
        let (handle, mut client) = (server.handle(), Client::connect(server.local_addrs()[0]));
        assert_eq!(client.get("/").text(), "hello");
        drop(server);
        client.ended();
        // Each worker ends in its own time.
        while handle.publish("a", Message::Text("b")) != Err(PublishError::Gone) {
            std::thread::yield_now();
        }
    }
}
