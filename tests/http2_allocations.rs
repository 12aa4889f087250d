//! Over HTTP/2 too, the engine's thread allocates nothing in the steady state, whether streams get records or not.
//!
//! Allocations are counted as in `allocations`. Where it matters how requests are cut into reads, streams in memory are used.

use crate::allocations::{CONTENT, LARGE, Meter, allocations_at, app, messages, reported, requests};
use crate::driver::Driver;
use crate::http2_peer::Http2Peer;
use allocation_counter::AllocationInfo;
use fleeting::engine::Settings;
use fleeting::{App, Body, Handle, Message, Response};
use fleeting_testkit::client::{BINARY, frame};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::{Frame, flag, kind, setting};
use fleeting_testkit::http2::session::Session;
use fleeting_testkit::server::Hub;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

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

/// What a client sends in one round, in pieces that are read one by one.
type Round = Vec<Vec<u8>>;

/// Rounds before those that are counted, and the number of these.
const WARM_UP: usize = 30;
const ROUNDS: usize = 100;
/// What a client may be sent on a stream before it makes more room.
const WINDOW: u32 = 65_535;
/// What a connection has at rest: a table of HPACK with a few entries.
const TABLE_BYTES: usize = 1024;

/// Lets a client send rounds, each after all of the previous one was answered. Each brings `responses` responses with `content`
/// bytes together. Returns what is allocated in [`ROUNDS`] rounds after [`WARM_UP`] others. In between, the connection must have no
/// memory for streams.
fn rounds(
    app: App,
    round: impl Fn(&mut Session) -> Round,
    responses: usize,
    content: usize,
) -> AllocationInfo {
    let mut driver = Driver::new(app, Settings::default());
    let before = driver.engine.figures().memory_bytes;
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
    client.grant(&mut driver, 0, 1 << 30);
    let Http2Peer { peer, session, .. } = &mut client;
    let all: Vec<Round> = (0..WARM_UP + ROUNDS).map(|_| round(session)).collect();
    let mut send = |rounds: &[Round]| {
        for round in rounds {
            for piece in round {
                driver.arrive(peer, piece);
            }
            let mut pipe = peer.pipe.borrow_mut();
            assert_eq!(brought(&pipe.written), (responses, content));
            pipe.written.clear();
            let figures = driver.engine.figures();
            let kept = figures.pooled_inbox_bytes + figures.spare_bytes;
            assert!(figures.memory_bytes <= before + kept + TABLE_BYTES, "{figures:?}");
        }
    };
    let (first, counted) = all.split_at(WARM_UP);
    send(first);
    allocation_counter::measure(|| send(counted))
}

/// Returns the number of streams that have ended in `frames`, and the bytes of their content.
fn brought(frames: &[u8]) -> (usize, usize) {
    let (mut ended, mut content, mut rest) = (0, 0, frames);
    while let Some(([a, b, c, kind, flags], _)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        assert!([kind::DATA, kind::HEADERS, kind::WINDOW_UPDATE].contains(kind), "{}", rest.escape_ascii());
        if *kind != kind::WINDOW_UPDATE {
            ended += usize::from(flags & flag::END_STREAM != 0);
            content += if *kind == kind::DATA { length } else { 0 };
        }
        rest = &rest[9 + length..];
    }
    (ended, content)
}

/// GETs of a path, all in one read.
fn gets(path: &str, count: usize) -> impl Fn(&mut Session) -> Round {
    move |session| {
        (0..count).for_each(|_| _ = session.open(&head("GET", path), true));
        vec![std::mem::take(&mut session.output)]
    }
}

/// POSTs whose content arrives in parts: each read brings one of each request, the first with the heads. `sized`: the heads
/// announce the length.
fn posts_in(
    parts: &[&'static [u8]],
    path: &str,
    count: usize,
    sized: bool,
) -> impl Fn(&mut Session) -> Round {
    move |session| {
        let length = parts.iter().map(|part| part.len()).sum::<usize>().to_string();
        let mut fields = head("POST", path);
        if sized {
            fields.push(("content-length", &length));
        }
        let streams: Vec<u32> = (0..count).map(|_| session.open(&fields, false)).collect();
        let pieces = parts.iter().enumerate().map(|(at, part)| {
            for stream in &streams {
                session.put(&Frame::data(*stream, *part, at + 1 == parts.len()));
            }
            std::mem::take(&mut session.output)
        });
        pieces.collect()
    }
}

/// GETs whose responses are longer than the window of their streams, which is made larger afterwards.
fn gets_that_wait(path: &str, count: usize) -> impl Fn(&mut Session) -> Round {
    move |session| {
        let streams: Vec<u32> = (0..count).map(|_| session.open(&head("GET", path), true)).collect();
        let gets = std::mem::take(&mut session.output);
        let more = WINDOW.to_be_bytes();
        streams.iter().for_each(|stream| session.put(&Frame::new(kind::WINDOW_UPDATE, 0, *stream, more)));
        vec![gets, std::mem::take(&mut session.output)]
    }
}

/// Content of 100 KiB.
static LONG: [u8; 100 << 10] = [b'z'; 100 << 10];

/// The application of the other tests, and responses that are longer than a window.
fn long() -> App {
    app().get("/long", |_req| Ok(Response::bytes(Body::Static(&LONG)))).get("/long/arena", |req| {
        let mut writer = req.arena().writer();
        writer.write_all(&LONG).expect("writing to memory cannot fail");
        Ok(Response::bytes(writer.finish()))
    })
}

const WHOLE: [&[u8]; 1] = [&[b'x'; 256]];
const HALVES: [&[u8]; 2] = [&[b'x'; 128]; 2];
/// As much as a frame holds.
const QUARTERS: [&[u8]; 4] = [&[b'y'; 16 << 10]; 4];

/// Each row is a test: rounds cause no allocation.
macro_rules! rounds_free_of_allocations {
    ($($name:ident: $app:expr, $round:expr, $responses:expr, $content:expr;)*) => {$(
        #[test]
        fn $name() {
            let counted = rounds($app, $round, $responses, $content);
            assert_eq!(counted.count_total, 0, "{counted:?}");
        }
    )*};
}

/// All heads, and then all content: no request gets a record.
mod nothing_is_allocated_for_requests_at_once {
    use super::*;

    rounds_free_of_allocations! {
        posts_in_one_read: app(), posts_in(&WHOLE, "/echo", 100, true), 100, 100 * 256;
        posts_of_unknown_length_in_one_read: app(), posts_in(&WHOLE, "/echo", 100, false), 100, 100 * 256;
    }
}

mod nothing_is_allocated_for_a_record_of {
    use super::*;

    rounds_free_of_allocations! {
        an_unknown_path: app(), gets("/nowhere", 1), 1, NOT_FOUND;
        unknown_paths_at_once: app(), gets("/nowhere", 100), 100, 100 * NOT_FOUND;
        reported_unknown_paths: reported(), gets("/nowhere", 100), 100, 100 * NOT_FOUND;
        a_split_post: app(), posts_in(&HALVES, "/echo", 1, true), 1, 256;
        split_posts_at_once: app(), posts_in(&HALVES, "/echo", 100, true), 100, 100 * 256;
        reported_split_posts: reported(), posts_in(&HALVES, "/echo", 100, true), 100, 100 * 256;
        split_posts_of_unknown_length: app(), posts_in(&HALVES, "/echo", 100, false), 100, 100 * 256;
        large_content: app(), posts_in(&QUARTERS, "/length", 1, true), 1, 5;
        large_content_of_unknown_length: app(), posts_in(&QUARTERS, "/length", 1, false), 1, 5;
        large_content_at_once: app(), posts_in(&QUARTERS, "/length", 4, true), 4, 4 * 5;
        large_content_that_comes_back: app(), posts_in(&QUARTERS[..3], "/echo", 1, true), 1, 48 << 10;
        a_response_that_waits: long(), gets_that_wait("/long", 1), 1, 100 << 10;
        a_response_from_the_arena_that_waits: long(), gets_that_wait("/long/arena", 1), 1, 100 << 10;
        responses_that_wait: long(), gets_that_wait("/long/arena", 4), 4, 400 << 10;
    }
}

/// The content of the response to an unknown path.
const NOT_FOUND: usize = 30;

/// What an application makes allocates: responders, senders, sessions.
fn allocating() -> App {
    App::new()
        .get("/deferred", |_req| {
            let (response, responder) = Response::defer();
            responder.send(Response::text("now")).expect("the client waits");
            Ok(response)
        })
        .get("/source", |_req| {
            let (response, mut sender) = Response::channel(100);
            sender.send(b"now").expect("there is room");
            sender.finish();
            Ok(response)
        })
        .upload("POST", "/upload", Meter(Arc::default()))
}

/// Requests of which each allocates cause no more allocations than over HTTP/1.1.
#[test]
fn what_allocates_does_so_as_often_as_over_http_1() {
    let check = |round: &dyn Fn(&mut Session) -> Round, text: &str, content: usize| {
        let counted = rounds(allocating(), round, 1, content);
        let mut driver = Driver::new(allocating(), Settings::default());
        let peer = driver.connect();
        let mut send = |times: usize| {
            for _ in 0..times {
                driver.arrive(&peer, text.as_bytes());
                assert!(peer.pipe.borrow().written.starts_with(b"HTTP/1.1 200 OK\r\n"));
                peer.pipe.borrow_mut().written.clear();
            }
        };
        send(WARM_UP);
        let over_http1 = allocation_counter::measure(|| send(ROUNDS));
        assert_eq!((counted.count_total, counted.count_current), (over_http1.count_total, 0), "{text}");
    };
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: test\r\n");
    check(&gets("/deferred", 1), &(head("GET /deferred") + "\r\n"), 3);
    check(&gets("/source", 1), &(head("GET /source") + "\r\n"), 3);
    let content = "x".repeat(256);
    let upload = format!("{}Content-Length: 256\r\n\r\n{content}", head("POST /upload"));
    check(&posts_in(&WHOLE, "/upload", 1, true), &upload, 5);
    check(&posts_in(&HALVES, "/upload", 1, true), &upload, 5);
}

/// A message is kept until its stream's record reads it.
#[test]
fn messages_of_a_websocket_allocate_nothing() {
    let counted = allocations_at(app(), messages, 2_000, echoes);
    assert_eq!(counted.count_total, 0, "{counted:?}");
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
