//! Over HTTP/2 too, the engine's thread allocates nothing in the steady state, except for streams that get a record.
//!
//! Allocations are counted as in `allocations`.

use crate::allocations::{CONTENT, LARGE, allocations_at, app, messages, reported, requests};
use crate::driver::Driver;
use crate::http2_peer::Http2Peer;
use allocation_counter::AllocationInfo;
use fleeting::engine::Settings;
use fleeting::{App, Handle, Message};
use fleeting_testkit::client::{BINARY, frame};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::{flag, kind, setting};
use fleeting_testkit::server::Hub;
use std::net::SocketAddr;

/// Requests of one connection at the same time.
const AT_ONCE: u64 = 100;

/// What is sent: a method, a path, content and what comes back.
type Exchange = (&'static str, &'static str, &'static [u8], &'static [u8]);

/// Sends requests, `at_once` at the same time, each batch after the responses to the previous one.
fn asks(exchange: Exchange, at_once: u64, status: u16) -> impl FnOnce(SocketAddr, u64) + Send {
    let (method, path, content, expected) = exchange;
    move |addr, times| {
        let mut client = Client::connect_with(addr, &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
        client.grant(0, 1 << 30);
        let length = content.len().to_string();
        let mut head = head(method, path);
        if !content.is_empty() {
            head.push(("content-length", &length));
        }
        let mut left = times;
        while left > 0 {
            let now = left.min(at_once);
            left -= now;
            let streams: Vec<u32> = (0..now)
                .map(|_| {
                    let stream = client.start(&head, content.is_empty());
                    if !content.is_empty() {
                        client.data(stream, content, true);
                    }
                    stream
                })
                .collect();
            for stream in streams {
                let response = client.response(stream);
                assert!(response.status == status, "{response:?}");
                assert!(status != 200 || response.body == expected, "{response:?}");
            }
        }
    }
}

/// Sends a message repeatedly on a WebSocket. Each time it comes back.
fn echoes(addr: SocketAddr, times: u64) {
    let mut client = Client::connect_with(addr, &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let mut head = head("CONNECT", "/ws");
    head.extend_from_slice(&[(":protocol", "websocket"), ("sec-websocket-version", "13")]);
    let stream = client.start(&head, false);
    assert_eq!(client.response_head(stream).0, 200);
    let message = frame(true, BINARY, &CONTENT);
    for _ in 0..times {
        client.data(stream, &message, false);
        let mut bytes = 0;
        while bytes < CONTENT.len() + 4 {
            bytes += client.content(stream, 1).len();
        }
        assert_eq!(bytes, CONTENT.len() + 4);
    }
}

/// Sends POSTs whose content arrives with their heads, `at_once` at the same time.
fn posts(at_once: u64) -> impl FnOnce(SocketAddr, u64) + Send {
    move |addr, times| {
        let mut client = Client::connect(addr);
        let mut left = times;
        while left > 0 {
            let now = left.min(at_once);
            left -= now;
            let streams: Vec<u32> = (0..now)
                .map(|_| {
                    let stream = client.session.open(&head("POST", "/echo"), false);
                    assert_eq!(client.session.data(stream, &CONTENT[..256], true), 256);
                    stream
                })
                .collect();
            client.send("");
            for stream in streams {
                let data = client.frame(|frame| frame.kind == kind::DATA);
                assert!(
                    data.stream == stream && data.has(flag::END_STREAM) && data.payload == CONTENT[..256]
                );
            }
        }
    }
}

/// Each row is a test: `times` requests cause no allocation.
macro_rules! allocation_free {
    ($($name:ident: $times:literal $counter:ident, $app:expr, $client:expr;)*) => {$(
        #[test]
        fn $name() {
            let counted = allocations_at($app, $counter, $times, $client);
            assert_eq!(counted.count_total, 0, "{counted:?}");
        }
    )*};
}

mod nothing_is_allocated_for {
    use super::*;

    allocation_free! {
        a_get: 5_000 requests, app(), asks(("GET", "/", b"", b"hello"), 1, 200);
        gets_at_once: 10_000 requests, app(), asks(("GET", "/", b"", b"hello"), AT_ONCE, 200);
        reported_gets: 10_000 requests, reported(), asks(("GET", "/", b"", b"hello"), AT_ONCE, 200);
        parameters: 5_000 requests, app(), asks(("GET", "/users/ann%20e/posts/7?a=b", b"", b"ann e wrote 7"), AT_ONCE, 200);
        an_error_answer: 5_000 requests, app(), asks(("GET", "/error", b"", b""), AT_ONCE, 404);
        a_large_answer: 1_000 requests, app(), asks(("GET", "/large", b"", &LARGE), 1, 200);
        large_answers_at_once: 1_000 requests, app(), asks(("GET", "/large", b"", &LARGE), 16, 200);
        a_large_answer_from_the_arena: 1_000 requests, app(), asks(("GET", "/large/arena", b"", &LARGE), 1, 200);
        content: 5_000 requests, app(), posts(1);
    }
}

/// The connection keeps a message until its stream's record reads it, in memory that is given back then.
#[test]
fn a_message_of_a_websocket_allocates_at_most_once() {
    const TIMES: u64 = 2_000;
    let counted = allocations_at(app(), messages, TIMES, echoes);
    assert!(counted.count_total <= TIMES, "{counted:?}");
    assert_eq!(counted.count_current, 0, "memory is kept: {counted:?}");
}

/// A publication costs each stream a frame in the memory of its connection.
#[test]
fn publications_allocate_nothing() {
    for path in ["/events", "/ws"] {
        let counted = broadcast(path);
        assert_eq!(counted.count_total, 0, "{path}: {counted:?}");
    }
}

/// Publishes to 20 streams of each of two connections.
fn broadcast(path: &str) -> AllocationInfo {
    let handle = Handle::unattended(1);
    let events = handle.clone();
    let app = App::new().get("/events", move |_req| Ok(events.events("*")?)).ws("/ws", Hub);
    let mut driver = Driver::with_handle(app, Settings::default(), &handle);
    let clients = [(); 2].map(|()| {
        let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]);
        client.grant(&mut driver, 0, 1 << 30);
        let is_websocket = path == "/ws";
        let mut head = head(if is_websocket { "CONNECT" } else { "GET" }, path);
        if is_websocket {
            head.extend_from_slice(&[(":protocol", "websocket"), ("sec-websocket-version", "13")]);
        }
        for _ in 0..20 {
            let stream = client.start(&mut driver, &head, !is_websocket);
            assert_eq!(client.got(stream).status, 200);
        }
        client
    });
    let expected: &[u8] = if path == "/ws" { b"\x81\x03one" } else { b"data: one\n\n" };
    let mut publish = |times: u64| {
        for _ in 0..times {
            driver.engine.publish("a", Message::Text("one")).expect("it is valid");
            driver.turn();
            for client in &clients {
                let mut pipe = client.peer.pipe.borrow_mut();
                assert_eq!(pipe.written.len(), 20 * (9 + expected.len()));
                assert!(pipe.written.ends_with(expected), "{}", pipe.written.escape_ascii());
                pipe.written.clear();
            }
        }
    };
    publish(512);
    allocation_counter::measure(|| publish(2000))
}
