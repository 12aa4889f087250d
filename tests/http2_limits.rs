//! Limits and timeouts hold over HTTP/2, each for the stream or the connection that it concerns.

use crate::driver::Driver;
use crate::http2_peer::{Got, Http2Peer, app, websocket_head};
use fleeting::engine::{Counters, Readiness, Settings};
use fleeting::{Body, Limits, Response, Timeouts};
use fleeting_testkit::client::{CLOSE, frame};
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::frames::{Frame, code, setting};
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::http2::value;

/// Queueing this content takes no memory.
static STATIC: [u8; 1000] = [b'x'; 1000];

fn driver(set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Driver {
    let mut settings = Settings::default();
    for name in Timeouts::NAMES {
        settings.timeouts.set(name, "0s").expect("a name and a time");
    }
    set(&mut settings.limits, &mut settings.timeouts);
    let app = app()
        .get("/static", |_req| Ok(Response::bytes(Body::Static(&STATIC))))
        .post("/conn", |req| Ok(Response::text(format!("{:?}", req.conn_id()))));
    Driver::new(app, settings)
}

fn get(client: &mut Http2Peer, driver: &mut Driver, path: &str) -> Got {
    let stream = client.start(driver, &head("GET", path), true);
    client.got(stream)
}

#[track_caller]
fn hello(client: &mut Http2Peer, driver: &mut Driver) {
    assert_eq!(get(client, driver, "/").text(), "hello");
}

fn refused(counters: &Counters, label: &str) -> u64 {
    counters.refused().find(|(known, _)| *known == label).expect("a label").1
}

/// RFC 9113 §5.1.2, §8.7: the client may send a refused request again.
#[test]
fn more_streams_than_the_limit_are_refused() {
    let mut driver = driver(|limits, _| limits.streams = 3);
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let settings = client.session.settings.clone().expect("they have arrived");
    assert_eq!(settings.streams_max, Some(3));
    let open = [(); 3].map(|()| client.start(&mut driver, &head("POST", "/echo"), false));
    let refused = client.start(&mut driver, &head("GET", "/"), true);
    assert_eq!(client.got(refused).reset, Some(code::REFUSED_STREAM));
    client.data(&mut driver, open[1], b"content", true);
    assert_eq!(client.got(open[1]).text(), "content");
    hello(&mut client, &mut driver);
    assert_eq!(driver.counters().requests, 2);
}

/// RFC 9113 §5.1.2: a stream that both sides have ended is closed. Here the client ends it together with the next request.
#[test]
fn a_stream_that_has_ended_takes_no_place() {
    let mut driver = driver(|limits, _| limits.streams = 1);
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let tunnel = client.start(&mut driver, &websocket_head("/ws"), false);
    client.data(&mut driver, tunnel, &frame(true, CLOSE, b"\x03\xe8"), false);
    assert!(client.got(tunnel).ended);
    client.session.data(tunnel, b"", true);
    hello(&mut client, &mut driver);
}

/// A turn begins as many requests as may be open at once, and also completes those whose content has arrived. These need no
/// records, so they have the connection's name.
#[test]
fn a_turn_takes_the_content_of_all_requests_that_it_has_begun() {
    let mut driver = driver(|limits, _| (limits.streams, limits.pipeline) = (100, 32));
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let posts = [(); 100].map(|()| client.session.open(&head("POST", "/conn"), false));
    for stream in posts {
        assert_eq!(client.session.data(stream, b"content", true), 7);
    }
    let beyond = client.session.open(&head("GET", "/"), true);
    client.peer.pipe.borrow_mut().deliver(&std::mem::take(&mut client.session.output));
    driver.engine.begin(driver.now);
    driver.engine.ready(client.peer.id, Readiness { readable: true, ..Readiness::default() });
    client.read();
    let name = format!("{:?}", client.peer.id);
    for stream in posts {
        assert_eq!(client.got(stream).text(), name);
    }
    assert_eq!(client.got(beyond).status, 0);
    driver.turn();
    client.read();
    assert_eq!(client.got(beyond).text(), "hello");
    // Content that arrives later needs a record.
    let late = client.start(&mut driver, &head("POST", "/conn"), false);
    client.data(&mut driver, late, b"content", true);
    assert_ne!(client.got(late).text(), name);
}

#[test]
fn requests_beyond_the_budget_of_a_turn_are_answered_in_the_next() {
    let mut driver = driver(|limits, _| (limits.streams, limits.pipeline) = (1, 1));
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let streams = [(); 3].map(|()| client.session.open(&head("GET", "/"), true));
    client.exchange(&mut driver);
    assert_eq!(streams.map(|stream| client.got(stream).body), [(); 3].map(|()| b"hello"));
}

#[test]
fn a_request_beyond_a_limit_is_refused_on_its_stream() {
    #[track_caller]
    fn check(path: &str, fields: &[(&str, &str)], content: &[u8], status: u16, label: &str) {
        let mut driver = driver(|limits, _| {
            (limits.headers, limits.head_bytes, limits.target_bytes, limits.body_bytes) = (6, 700, 100, 10);
        });
        let mut client = Http2Peer::connect(&mut driver, &[]);
        let other = client.start(&mut driver, &head("POST", "/echo"), false);
        let mut head = head("POST", path);
        head.extend_from_slice(fields);
        let stream = client.start(&mut driver, &head, content.is_empty());
        if !content.is_empty() {
            client.data(&mut driver, stream, content, true);
        }
        let got = client.got(stream);
        assert_eq!(got.status, status, "{label}: {}", got.text());
        if status == 200 {
            assert_eq!(got.text(), "0123456789");
        } else {
            assert_eq!(refused(&driver.counters(), label), 1, "{label}");
        }
        client.data(&mut driver, other, b"goes on", true);
        assert_eq!(client.got(other).text(), "goes on", "{label}");
    }
    let (long, longer) = ("y".repeat(500), format!("/{}", "x".repeat(100)));
    check("/echo", &[("content-length", "10")], b"0123456789", 200, "");
    check("/echo", &[], b"0123456789", 200, "");
    check("/echo", &[("content-length", "11")], b"0", 413, "content_too_large");
    check("/echo", &[], b"0123456789x", 413, "content_too_large");
    check("/echo", &[("x", "y"); 7], b"", 431, "too_many_fields");
    check("/echo", &[("x", &long)], b"", 431, "head_too_large");
    check(&longer, &[], b"", 414, "target_too_long");
}

/// When the server is short of memory, the request that needs more is refused and the others go on.
#[test]
fn content_that_needs_more_memory_than_there_is_is_refused() {
    let mut driver = driver(|limits, _| {
        (limits.arena_bytes, limits.memory) = (4 << 10, Some((4 << 10) + (128 << 10) + (600 << 10)));
    });
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let mut streams = Vec::new();
    let refused = loop {
        assert!(streams.len() < 100, "none is refused");
        let stream = client.start(&mut driver, &head("POST", "/echo"), false);
        client.data(&mut driver, stream, &[b'x'; 40_000], false);
        let got = client.got(stream);
        if got.status != 0 || got.reset.is_some() {
            break got;
        }
        streams.push(stream);
    };
    assert!(streams.len() > 3, "{}", streams.len());
    // RFC 9113 §8.7: REFUSED_STREAM would say that the request was not begun.
    let is_refused = matches!(refused.reset, Some(code::REFUSED_STREAM | code::INTERNAL_ERROR));
    assert!(refused.status == 503 || is_refused, "{refused:?}");
    hello(&mut client, &mut driver);
    for stream in streams.drain(..) {
        client.data(&mut driver, stream, b"x", true);
        let got = client.got(stream);
        assert!(got.body.len() == 40_001 || got.status == 503 || got.reset.is_some(), "{}", got.body.len());
    }
    let again = client.start(&mut driver, &head("POST", "/echo"), false);
    client.data(&mut driver, again, &[b'x'; 40_000], true);
    assert_eq!(client.got(again).body.len(), 40_000);
}

/// The client has opened no window, so each response must be queued, until there is no memory left for a head. Content must not
/// be sent without its head.
#[test]
fn a_response_that_cannot_be_queued_is_not_begun() {
    let mut driver = driver(|limits, _| {
        limits.streams = 10_000;
        (limits.arena_bytes, limits.memory) = (4 << 10, Some((4 << 10) + (128 << 10) + (100 << 10)));
    });
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let mut queued = Vec::new();
    loop {
        assert!(queued.len() < 1000, "all are queued");
        let stream = client.start(&mut driver, &head("GET", "/static"), true);
        let got = client.got(stream);
        if got.status != 200 {
            assert_eq!((got.status, got.reset), (0, Some(code::INTERNAL_ERROR)));
            break;
        }
        queued.push(stream);
    }
    for stream in queued {
        client.grant(&mut driver, stream, STATIC.len() as u32);
        assert_eq!(client.got(stream).body, STATIC);
    }
}

#[test]
fn content_that_stalls_is_408_on_its_stream() {
    let mut driver = driver(|_, timeouts| timeouts.set("body_stall", "5s").expect("a time"));
    let mut client = Http2Peer::connect(&mut driver, &[]);
    for fields in [&[][..], &[("content-length", "10")]] {
        let mut head = head("POST", "/echo");
        head.extend_from_slice(fields);
        let stalls = client.start(&mut driver, &head, false);
        client.data(&mut driver, stalls, b"half", false);
        let later = client.start(&mut driver, &self::head("GET", "/later"), true);
        driver.advance(4000);
        client.exchange(&mut driver);
        assert_eq!(client.got(stalls).status, 0);
        hello(&mut client, &mut driver);
        driver.advance(2000);
        client.exchange(&mut driver);
        let got = client.got(stalls);
        assert_eq!((got.status, got.ended, got.reset), (408, true, Some(code::NO_ERROR)), "{fields:?}");
        assert_eq!((client.got(later).status, client.got(later).reset), (0, None));
        hello(&mut client, &mut driver);
    }
    assert_eq!((driver.counters().timeouts, driver.counters().connections), (2, 1));
}

/// The frame is incomplete, or the field block is.
#[test]
fn a_head_that_stalls_ends_the_connection() {
    let whole = Frame::headers(1, [b'x'; 20], true).to_bytes();
    let block = Frame { flags: 0, ..Frame::headers(1, [0x82], true) }.to_bytes();
    for begun in [&whole[..5], &whole[..9], &whole[..20], &block] {
        let mut driver = driver(|_, timeouts| timeouts.set("head", "5s").expect("a time"));
        let mut client = Http2Peer::connect(&mut driver, &[]);
        driver.arrive(&client.peer, begun);
        driver.advance(4000);
        assert!(!client.peer.is_ended());
        driver.advance(2000);
        client.read();
        assert!(client.peer.is_ended(), "{}", begun.escape_ascii());
        assert_eq!(driver.counters().timeouts, 1);
    }
}

/// The bytes left after a complete frame begin another frame, whose time starts then.
#[test]
fn each_frame_has_its_own_time_to_arrive() {
    let mut driver = driver(|_, timeouts| timeouts.set("head", "5s").expect("a time"));
    let client = Http2Peer::connect(&mut driver, &[]);
    let ping = Frame::ping(*b"fleeting").to_bytes();
    let (begins, rest) = ping.split_at(12);
    driver.arrive(&client.peer, begins);
    for _ in 0..5 {
        driver.advance(3000);
        driver.arrive(&client.peer, &[rest, begins].concat());
        assert!(!client.peer.is_ended());
    }
    driver.advance(6000);
    assert!(client.peer.is_ended());
}

#[test]
fn an_idle_connection_is_closed_and_one_with_an_open_stream_is_not() {
    let mut driver = driver(|_, timeouts| timeouts.set("idle", "60s").expect("a time"));
    let mut client = Http2Peer::connect(&mut driver, &[]);
    hello(&mut client, &mut driver);
    let stream = client.start(&mut driver, &head("GET", "/later"), true);
    driver.advance(120_000);
    assert!(!client.peer.is_ended());
    client.session.reset(stream, code::CANCEL);
    client.exchange(&mut driver);
    driver.advance(50_000);
    hello(&mut client, &mut driver);
    driver.advance(50_000);
    assert!(!client.peer.is_ended());
    // A PING does not count as activity.
    client.send(&mut driver, &Frame::ping(*b"fleeting"));
    driver.advance(11_000);
    client.read();
    assert!(client.peer.is_ended());
    assert_eq!(client.goaways.last().map(|goaway| goaway.1), Some(code::NO_ERROR));
    assert_eq!(driver.counters().timeouts, 1);
}

/// The client opens no window for one response.
#[test]
fn a_stalled_stream_is_reset_and_the_others_go_on() {
    let mut driver = driver(|_, timeouts| timeouts.set("write_stall", "30s").expect("a time"));
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 1000)]);
    client.session.windows = Windows::OfConnection;
    let [stuck, slow] = [(); 2].map(|()| client.start(&mut driver, &head("GET", "/large"), true));
    for _ in 0..5 {
        driver.advance(25_000);
        client.grant(&mut driver, slow, 100);
        hello(&mut client, &mut driver);
    }
    assert_eq!(client.got(stuck).reset, Some(code::CANCEL));
    assert_eq!(driver.counters().timeouts, 1);
    client.grant(&mut driver, slow, 1 << 20);
    let got = client.got(slow);
    assert!(got.ended && got.body.len() == 200_000);
}

/// The client reads nothing at all.
#[test]
fn a_connection_whose_client_takes_nothing_is_cut_off() {
    let mut driver = driver(|_, timeouts| timeouts.set("write_stall", "30s").expect("a time"));
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    client.session.windows = Windows::Closed;
    client.peer.limit_room(1000);
    client.start(&mut driver, &head("GET", "/large"), true);
    client.start(&mut driver, &head("GET", "/later"), true);
    driver.advance(31_000);
    assert!(client.peer.is_gone());
    assert_eq!(driver.counters().connections, 0);
}

#[test]
fn a_response_overdue_is_504() {
    let mut driver = driver(|_, timeouts| timeouts.set("answer", "60s").expect("a time"));
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let stream = client.start(&mut driver, &head("GET", "/later"), true);
    driver.advance(61_000);
    client.exchange(&mut driver);
    let got = client.got(stream);
    assert_eq!((got.status, got.ended, value(&got.fields, "connection")), (504, true, None));
    hello(&mut client, &mut driver);
}
