//! Streams do not count as connections. An HTTP/2 connection without streams gives way to a new client, and is sent GOAWAY.

use crate::driver::Driver;
use crate::http2_peer::{Http2Peer, app, websocket_head};
use fleeting::Limits;
use fleeting::engine::Settings;
use fleeting_testkit::client::{Client as Http1Client, TEXT, frame};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::{Frame, PREFACE, code};
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::server;

/// Returns a worker with this limit on connections.
fn driver(connections: usize) -> Driver {
    let mut limits = Limits::default();
    limits.connections = connections;
    Driver::new(app(), Settings { limits, ..Settings::default() })
}

#[track_caller]
fn hello(client: &mut Http2Peer, driver: &mut Driver) -> u32 {
    let stream = client.start(driver, &head("GET", "/"), true);
    assert_eq!(client.got(stream).text(), "hello");
    stream
}

/// Expects exactly one GOAWAY, and nothing after it.
#[track_caller]
fn gave_way(client: &mut Http2Peer, last_stream: u32) {
    client.read();
    assert!(client.peer.is_gone());
    // RFC 9113 §6.8: the last stream says which requests were served.
    assert_eq!(client.goaways, [(last_stream, code::NO_ERROR)]);
    assert_eq!(client.peer.untaken_bytes(), 0);
}

#[test]
fn the_connection_that_has_been_idle_for_longest_gives_way() {
    let mut driver = driver(3);
    let mut clients = [(); 3].map(|()| Http2Peer::connect(&mut driver, &[]));
    let mut last = [0; 3];
    for at in [2, 0, 1, 0] {
        driver.advance(10);
        last[at] = hello(&mut clients[at], &mut driver);
    }
    assert!(!driver.engine.make_room(), "all were busy a moment ago");
    driver.advance(1000);
    for at in [2, 1, 0] {
        assert!(!clients[at].peer.is_gone());
        assert!(driver.engine.make_room() && driver.engine.has_room());
        gave_way(&mut clients[at], last[at]);
        driver.connect();
    }
    assert_eq!((driver.counters().evicted, driver.counters().timeouts), (3, 0));
}

/// A connection that has sent nothing but its preface, or a part of it.
#[test]
fn a_connection_without_a_request_gives_way() {
    let mut driver = driver(1);
    let mut client = Http2Peer::connect(&mut driver, &[]);
    driver.advance(1000);
    assert!(driver.engine.make_room());
    gave_way(&mut client, 0);
    // Part of a preface may still become an HTTP/1.1 request, which is then under way.
    let peer = driver.raw(&PREFACE[..10]);
    driver.advance(1000);
    assert!(!driver.engine.make_room() && !peer.is_gone());
}

#[test]
fn a_connection_with_something_under_way_does_not_give_way() {
    type Begin = fn(&mut Http2Peer, &mut Driver);
    let begins: [(&str, Begin); 6] = [
        ("a deferred response", |client, driver| {
            client.start(driver, &head("GET", "/later"), true);
        }),
        ("content", |client, driver| {
            client.start(driver, &head("POST", "/echo"), false);
        }),
        ("a WebSocket", |client, driver| {
            client.start(driver, &websocket_head("/ws"), false);
        }),
        ("a response that is not taken", |client, driver| {
            client.session.windows = Windows::Closed;
            client.start(driver, &head("GET", "/large"), true);
        }),
        ("a part of a frame", |client, driver| {
            driver.arrive(&client.peer, &Frame::headers(1, [0x82], true).to_bytes()[..5]);
        }),
        ("a request whose event is not reported", |client, _driver| {
            client.session.open(&head("GET", "/"), true);
            client.peer.deliver(&std::mem::take(&mut client.session.output));
        }),
    ];
    for (what, begin) in begins {
        let mut driver = driver(1);
        let mut client = Http2Peer::connect(&mut driver, &[]);
        driver.advance(1000);
        begin(&mut client, &mut driver);
        let is_late = what.starts_with("a request whose");
        if !is_late {
            driver.advance(1000);
        }
        assert!(!driver.engine.make_room(), "{what}");
        client.read();
        assert!(!client.peer.is_gone() && client.goaways.is_empty(), "{what}");
        assert_eq!(driver.counters().evicted, 0);
    }
}

/// A connection is idle once its last stream has ended.
#[test]
fn a_connection_whose_last_stream_has_ended_gives_way() {
    let mut driver = driver(1);
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let sockets = [(); 2].map(|()| client.start(&mut driver, &websocket_head("/ws"), false));
    driver.advance(1000);
    client.session.reset(sockets[0], code::CANCEL);
    client.exchange(&mut driver);
    driver.advance(1000);
    assert!(!driver.engine.make_room());
    client.session.reset(sockets[1], code::CANCEL);
    client.exchange(&mut driver);
    assert!(!driver.engine.make_room(), "it was busy a moment ago");
    driver.advance(1000);
    assert!(driver.engine.make_room());
    gave_way(&mut client, sockets[1]);
}

#[test]
fn streams_take_no_places() {
    let mut driver = driver(2);
    let mut clients = [(); 2].map(|()| Http2Peer::connect(&mut driver, &[]));
    for client in &mut clients {
        let sockets = [(); 50].map(|()| client.start(&mut driver, &websocket_head("/ws"), false));
        for stream in sockets {
            client.data(&mut driver, stream, &frame(true, TEXT, b"hello"), false);
            assert_eq!(client.take_content(stream), b"\x81\x05hello");
        }
    }
    assert!(!driver.engine.has_room());
    assert_eq!((driver.counters().connections, driver.counters().websockets), (2, 100));
    let [one, _other] = &mut clients;
    one.peer.pipe.borrow_mut().ended = true;
    driver.arrive(&one.peer, b"");
    assert!(driver.engine.has_room());
    assert_eq!(driver.counters().connections, 1);
}

/// The same over sockets: clients of both versions give way to each other.
#[test]
fn an_idle_client_gives_way_to_a_new_one() {
    let server = server::run_with(|limits, _| limits.connections = 2, |_| app());
    let mut busy = Client::connect(server.addr);
    busy.wait_for_settings();
    let socket = busy.start(&websocket_head("/ws"), false);
    assert_eq!(busy.response_head(socket).0, 200);
    let mut idle = Client::connect(server.addr);
    assert_eq!(idle.get("/").text(), "hello");
    for _ in 0..3 {
        let mut new = Http1Client::connect(server.addr);
        assert_eq!(new.get("/").text(), "hello");
        assert_eq!(idle.ended(), Some((1, code::NO_ERROR)));
        idle = Client::connect(server.addr);
        assert_eq!(idle.get("/").text(), "hello");
        new.ended();
    }
    assert_eq!(server.wait(|counters| counters.evicted == 6).connections, 2);
    busy.data(socket, &frame(true, TEXT, b"still here"), false);
    assert_eq!(busy.content(socket, 12), b"\x81\x0astill here");
}
