//! A shutdown, or a response that closes, ends an HTTP/2 connection in order (RFC 9113 §6.8): what has begun, or is on its way, is
//! served.

use fleeting::{App, Body, Responder, Response, Server, Timeouts};
use fleeting_testkit::client::{CLOSE, frame};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::{Frame, code, flag, kind};
use fleeting_testkit::server::{self, Echo, TestServer};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const ALL_STREAMS: u32 = 0x7fff_ffff;

fn serve_with(grace: Duration) -> (TestServer, Receiver<Responder>) {
    let (later, responders) = channel();
    let app = move || {
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .get("/later", move |_req| {
                let (response, responder) = Response::defer();
                later.send(responder).expect("the test waits");
                Ok(response)
            })
            .get("/last", |_req| Ok(Response::text("goodbye").close()))
            .post("/echo", |req| Ok(Response::bytes(req.body())))
            .ws("/ws", Echo)
    };
    (server::run_with(|_, timeouts| timeouts.grace = grace, move |_| app()), responders)
}

fn serve() -> (TestServer, Receiver<Responder>) {
    serve_with(Duration::from_secs(30))
}

fn is_goaway(frame: &Frame) -> bool {
    frame.kind == kind::GOAWAY
}

/// Expects GOAWAY with this last stream and NO_ERROR.
#[track_caller]
fn goes_away(client: &mut Client, last_stream: u32) {
    let goaway = client.frame(is_goaway);
    assert_eq!((goaway.number(0), goaway.number(4)), (Some(last_stream), Some(code::NO_ERROR)));
}

#[test]
fn requests_on_their_way_are_served_and_open_streams_finish() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    client.wait_for_settings();
    let upload = client.start(&head("POST", "/echo"), false);
    client.data(upload, b"half", false);
    let later = client.start(&head("GET", "/later"), true);
    let responder = responders.recv().expect("it was called");
    // The client does not acknowledge the PING until it has sent another request.
    client.session.acknowledges = false;
    server.handle.shutdown();
    goes_away(&mut client, ALL_STREAMS);
    let ping = client.frame(|frame| frame.kind == kind::PING && !frame.has(flag::ACK));
    let crossing = client.start(&head("GET", "/"), true);
    assert_eq!(client.response(crossing).text(), "hello");
    client.send_frame(&Frame::ping_ack(ping.payload.clone().try_into().expect("8 bytes")));
    goes_away(&mut client, crossing);
    // What comes after that is ignored.
    client.start(&head("GET", "/"), true);
    client.data(upload, b"full", true);
    assert_eq!(client.response(upload).text(), "halffull");
    responder.send(Response::text("the last")).expect("the client waits");
    assert_eq!(client.response(later).text(), "the last");
    assert_eq!(client.ended(), Some((crossing, code::NO_ERROR)));
    drop(client);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts, counters.requests), (0, 0, 3));
}

#[test]
fn idle_connections_end() {
    let (server, _responders) = serve();
    let mut used = Client::connect(server.addr);
    assert_eq!(used.get("/").text(), "hello");
    let mut unused = Client::connect(server.addr);
    unused.wait_for_settings();
    unused.ping();
    server.handle.shutdown();
    assert_eq!(used.ended(), Some((1, code::NO_ERROR)));
    assert_eq!(unused.ended(), Some((0, code::NO_ERROR)));
    drop((used, unused));
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

#[test]
fn websockets_are_closed_with_1001() {
    let (server, _responders) = serve();
    let mut client = Client::connect(server.addr);
    client.wait_for_settings();
    let mut connect = head("CONNECT", "/ws");
    connect.extend_from_slice(&[(":protocol", "websocket"), ("sec-websocket-version", "13")]);
    let streams = [(); 3].map(|()| client.start(&connect, false));
    for stream in streams {
        assert_eq!(client.response_head(stream).0, 200);
    }
    server.handle.shutdown();
    for stream in streams {
        let close = client.content(stream, 4);
        assert_eq!(close[..4], *b"\x88\x0f\x03\xe9", "{}", close.escape_ascii());
        client.data(stream, &frame(true, CLOSE, b"\x03\xe9"), true);
        assert_eq!(client.response(stream).body, b"");
    }
    assert_eq!(client.ended().map(|(_, code)| code), Some(code::NO_ERROR));
    drop(client);
    let counters = server.finish();
    assert_eq!((counters.connections, counters.timeouts), (0, 0));
}

/// A large response is still read while the server waits for it.
#[test]
fn a_response_that_is_being_read_arrives_whole() {
    static LARGE: [u8; 4 << 20] = [b'x'; 4 << 20];
    let server = server::run(|_| App::new().get("/", |_req| Ok(Response::bytes(Body::Static(&LARGE)))));
    let mut client = Client::connect(server.addr);
    let streams = [(); 3].map(|()| client.start(&head("GET", "/"), true));
    client.response_head(streams[2]);
    server.handle.shutdown();
    for stream in streams {
        assert_eq!(client.response(stream).body.len(), LARGE.len());
    }
    assert_eq!(client.ended(), Some((streams[2], code::NO_ERROR)));
}

/// Each stream that was cut off is listed, and its connection is not listed again.
#[test]
fn stragglers_are_listed_once() {
    let (later, responders) = channel();
    let mut timeouts = Timeouts::default();
    timeouts.grace = Duration::from_millis(200);
    let builder = Server::builder().bind("127.0.0.1:0").timeouts(timeouts);
    let server = builder.serve(move |_| {
        let later = later.clone();
        App::new().get("/", |_req| Ok(Response::text("hello"))).get("/later", move |_req| {
            let (response, responder) = Response::defer();
            later.send(responder).expect("the test waits");
            Ok(response)
        })
    });
    let server = server.expect("the server starts");
    let mut client = Client::connect(server.local_addrs()[0]);
    client.start(&head("GET", "/later"), true);
    let _responder = responders.recv().expect("it was called");
    server.handle().shutdown();
    let report = server.run().expect("every worker has ended");
    assert_eq!(report.stragglers.len(), 1, "{report:?}");
}

/// There is no `Connection: close` (RFC 9113 §8.2.2): GOAWAY takes its place.
#[test]
fn a_handler_ends_the_connection() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    let later = client.start(&head("GET", "/later"), true);
    let responder = responders.recv().expect("it was called");
    let last = client.start(&head("GET", "/last"), true);
    let response = client.response(last);
    assert_eq!((response.text(), response.field("connection")), ("goodbye", None));
    goes_away(&mut client, ALL_STREAMS);
    goes_away(&mut client, last);
    responder.send(Response::text("in flight")).expect("the client waits");
    assert_eq!(client.response(later).text(), "in flight");
    assert_eq!(client.ended(), Some((last, code::NO_ERROR)));
    drop(client);
    server.wait(|counters| counters.connections == 0);
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/").text(), "hello");
}
