//! A shutdown ends each connection in the way that loses nothing, and ends.

use fleeting::{App, Response, Server};
use fleeting_testkit::client::{self, CLOSE, Client};
use fleeting_testkit::rig::{self, Echo};
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

/// A client whose request's head the server has seen, and whose content is still to come.
fn in_flight(addr: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(addr);
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer_to_head().status, 100);
    client.send("half");
    client
}

#[test]
fn each_connection_ends_in_its_way() {
    let rig = rig::run(|_| app());
    let mut idle = Client::connect(rig.addr);
    assert_eq!(idle.get("/").text(), "hello");
    let mut silent = Client::connect(rig.addr);
    let mut busy = in_flight(rig.addr);
    let mut websocket = Client::websocket(rig.addr, "/ws");
    rig.wait(|counters| counters.connections == 4);

    rig.handle.shutdown();
    idle.ended();
    silent.ended();
    let refused = TcpStream::connect(rig.addr).expect_err("nobody listens any more");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // What began before is finished: the content arrives, the closing handshake is completed.
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
    let counters = rig.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

#[test]
fn pipelined_requests_that_have_arrived_are_answered() {
    let rig = rig::run_with(
        |limits, _| limits.pipeline = 4,
        |context| {
            let handle = context.handle.clone();
            App::new().get("/down", move |_req| {
                handle.shutdown();
                Ok(Response::text("going down"))
            })
        },
    );
    let mut client = Client::connect(rig.addr);
    client.send("GET /down HTTP/1.1\r\nHost: test\r\n\r\n".repeat(4));
    client.answer();
    // At the latest the last one says that it is the last.
    let answers = (1..4).map(|_| client.answer()).filter(|answer| answer.field("connection").is_some());
    assert!(answers.count() <= 1);
    client.ended();
    drop(client);
    rig.over();
}

#[test]
fn who_is_stuck_is_cut_off_when_the_grace_is_over() {
    let rig = rig::run_with(|_, timeouts| timeouts.grace = Duration::from_millis(200), |_| app());
    let mut stuck = in_flight(rig.addr);
    let mut websocket = Client::websocket(rig.addr, "/ws");
    rig.handle.shutdown();
    assert_eq!(websocket.next_frame().close_code(), 1001);
    // Neither says anything more.
    stuck.cut_off();
    websocket.cut_off();
    let counters = rig.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 2));
}

#[test]
fn who_does_not_read_is_cut_off_when_the_grace_is_over() {
    let rig = rig::run_with(
        |_, timeouts| timeouts.grace = Duration::from_millis(200),
        |_| App::new().get("/", |_req| Ok(Response::bytes(fleeting::Body::Static(&LARGE)))),
    );
    let mut client = Client::connect_narrow(rig.addr);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.wait(|counters| counters.requests == 1);
    let counters = rig.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 1));
}

/// It reads what was queued for it, and is not waited for any longer than that.
#[test]
fn who_reads_slowly_is_waited_for_and_no_longer() {
    let rig = rig::run(|_| App::new().get("/", |_req| Ok(Response::bytes(fleeting::Body::Static(&LARGE)))));
    let mut idle = Client::connect(rig.addr);
    let mut slow = Client::connect_narrow(rig.addr);
    slow.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.wait(|counters| counters.requests == 1 && counters.connections == 2);
    rig.handle.shutdown();
    idle.ended();
    assert_eq!(slow.answer().body.len(), LARGE.len());
    slow.ended();
    drop(slow);
    let counters = rig.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

/// Content that is not wanted is still to come: its request was answered, the connection was to stay.
#[test]
fn who_sends_what_is_not_wanted_is_waited_for_and_no_longer() {
    let rig = rig::run(|_| app());
    let mut idle = Client::connect(rig.addr);
    let mut client = Client::connect(rig.addr);
    client.send("POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (404, None));
    rig.wait(|counters| counters.connections == 2);
    rig.handle.shutdown();
    idle.ended();
    client.send("full");
    client.ended();
    drop(client);
    let counters = rig.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

#[test]
fn every_worker_shuts_down() {
    let server = Server::builder().bind("127.0.0.1:0").workers(2).serve(|_| app()).expect("it starts");
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
    let refused = TcpStream::connect(addr).expect_err("nobody listens any more");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_server_without_connections_is_over_at_once() {
    let server = Server::builder().bind("127.0.0.1:0").workers(2).serve(|_| app()).expect("it starts");
    server.handle().shutdown();
    server.run().expect("every worker has ended");
}
