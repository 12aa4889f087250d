//! The buffers of a server have only so much memory together. What needs more is refused, and the rest goes on.

use crate::driver::{Driver, Peer};
use fleeting::engine::Settings;
use fleeting::{App, Limits, Response};
use fleeting_testkit::client::{BINARY, frame};
use fleeting_testkit::server::Echo;
use std::cell::RefCell;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
/// What a worker has itself: its arena and its buffer for reads.
const WORKER_BYTES: usize = (4 << 10) + (128 << 10);

fn app() -> App {
    let unfinished = RefCell::new(Vec::new());
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/owned", |_req| Ok(Response::bytes(vec![b'x'; 100 << 10])))
        .post("/", |req| Ok(Response::text(req.body().len().to_string())))
        .get("/endless", move |_req| {
            let (response, mut sender) = Response::channel(1000);
            sender.send(b"begun").expect("there is room");
            // The rest never comes.
            unfinished.borrow_mut().push(sender);
            Ok(response)
        })
        .ws("/ws", Echo)
}

/// A worker whose buffers may have `bytes` bytes, besides its own.
fn driver(bytes: usize) -> Driver {
    let mut limits = Limits::default();
    (limits.arena_bytes, limits.memory) = (4 << 10, Some(WORKER_BYTES + 1024 + bytes));
    Driver::new(app(), Settings { limits, ..Settings::default() })
}

/// Sends the beginning of a request with `bytes` bytes of content.
fn post(driver: &mut Driver, peer: &Peer, bytes: usize) {
    driver.arrive(peer, b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n");
    driver.arrive(peer, &vec![b'x'; bytes]);
}

fn refused(driver: &Driver) -> u64 {
    let counters = driver.counters();
    counters.refused().find(|(label, _)| *label == "no_memory").expect("a label").1
}

/// Finding C7.
#[test]
fn content_that_needs_more_than_there_is_is_refused_with_503() {
    let mut driver = driver(1 << 20);
    let before = driver.engine.figures().memory_bytes;
    let mut peers = Vec::new();
    while refused(&driver) == 0 {
        let peer = driver.connect();
        post(&mut driver, &peer, 60_000);
        peers.push(peer);
        assert!(driver.engine.figures().memory_bytes <= WORKER_BYTES + 1024 + (1 << 20));
    }
    assert!(peers.len() > 5, "{}", peers.len());
    let last = peers.pop().expect("it was refused");
    let answer = last.take_written();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nretry-after: 1\r\n") && answer.contains("\r\nConnection: close\r\n"),
        "{answer}"
    );
    for peer in &peers {
        assert_eq!(peer.take_written(), "");
    }
    // A request that needs no buffer is answered.
    let other = driver.connect();
    driver.arrive(&other, GET);
    assert!(other.take_written().ends_with("\r\n\r\nhello"));
    // A place in memory that becomes free is used again.
    let first = peers.remove(0);
    driver.arrive(&first, &vec![b'x'; 940_000]);
    assert!(driver.engine.figures().memory_refused > 0);
    let answer = first.take_written();
    assert!(answer.ends_with("\r\n\r\n1000000") || answer.contains(" 503 "), "{answer}");
    for peer in peers.drain(..) {
        driver.engine.abort(peer.id);
    }
    let figures = driver.engine.figures();
    assert_eq!(figures.memory_bytes - before, figures.pooled_inbox_bytes + figures.spare_bytes);
    let again = driver.connect();
    post(&mut driver, &again, 1_000_000);
    assert!(again.take_written().ends_with("\r\n\r\n1000000"));
}

/// Finding C8: a worker keeps the buffers of a busy time, but not for long after it.
#[test]
fn buffers_that_are_not_needed_go_back_to_the_system() {
    let mut driver = driver(64 << 20);
    let before = driver.engine.figures().memory_bytes;
    let peers: Vec<Peer> = (0..20).map(|_| driver.connect()).collect();
    for round in 0..2 {
        peers.iter().for_each(|peer| post(&mut driver, peer, 999_999));
        assert!(driver.engine.figures().pooled_inbox_bytes <= 1 << 20, "all are in use");
        for peer in &peers {
            driver.arrive(peer, b"x");
            assert!(peer.take_written().ends_with("\r\n\r\n1000000"), "{round}");
        }
        if cfg!(not(any(fuzzing, fleeting_paranoid))) {
            assert!(driver.engine.figures().pooled_inbox_bytes >= 20_000_000);
        }
    }
    driver.advance(3000);
    let figures = driver.engine.figures();
    assert!(figures.pooled_inbox_bytes <= 8 << 20, "{}", figures.pooled_inbox_bytes);
    assert_eq!(figures.memory_bytes - before, figures.pooled_inbox_bytes + figures.spare_bytes);
}

/// Finding C7.
#[test]
fn a_websocket_whose_message_needs_more_than_there_is_is_closed_with_1013() {
    fn check(send: impl Fn(&mut Driver, &Peer)) {
        let mut driver = driver(300 << 10);
        let holder = driver.connect();
        post(&mut driver, &holder, 60_000);
        let peer = driver.websocket("/ws");
        send(&mut driver, &peer);
        let frames = peer.frames();
        assert_eq!(frames.last().expect("a Close").close_code(), 1013);
        let counters = driver.counters();
        assert_eq!(counters.failed().find(|(label, _)| *label == "no_memory").expect("a label").1, 1);
        // The other one goes on.
        assert!(!holder.is_gone());
    }
    // A frame of which only a part has arrived.
    check(|driver, peer| {
        let whole = frame(true, BINARY, &vec![7; 900_000]);
        for part in whole[..800_000].chunks(50_000) {
            driver.arrive(peer, part);
        }
    });
    // A message in fragments.
    check(|driver, peer| {
        driver.arrive(peer, &frame(false, BINARY, &[7; 50_000]));
        for _ in 0..15 {
            driver.arrive(peer, &frame(false, 0, &[7; 50_000]));
        }
    });
}

/// Finding C7.
#[test]
fn a_response_that_could_not_be_queued_is_503_when_memory_is_short() {
    let mut driver = driver(250 << 10);
    let slow: Vec<_> = (0..3)
        .map(|_| {
            let peer = driver.connect();
            peer.limit_room(1000);
            driver.arrive(&peer, b"GET /owned HTTP/1.1\r\nHost: test\r\n\r\n");
            peer
        })
        .collect();
    let answers: Vec<_> = slow.iter().map(Peer::take_written).collect();
    assert!(answers[0].starts_with("HTTP/1.1 200 ") && answers[1].starts_with("HTTP/1.1 200 "));
    assert!(answers[2].starts_with("HTTP/1.1 503 "), "{}", answers[2]);
    // It is not closed: its next request may find memory.
    assert!(!slow[2].is_gone() && !answers[2].contains("Connection: close"));
    // What a client has taken is free for the next.
    driver.make_room(&slow[0], usize::MAX >> 1);
    slow[0].take_written();
    driver.make_room(&slow[2], usize::MAX >> 1);
    driver.arrive(&slow[2], b"GET /owned HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(slow[2].take_written().starts_with("HTTP/1.1 200 "));
}

/// Finding C7. The simulator has found a 503 in the middle of an answer.
#[test]
fn a_request_behind_an_answer_that_has_begun_is_not_refused_in_the_middle_of_it() {
    let mut driver = driver(50 << 10);
    let peer = driver.connect();
    let next =
        [&b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 90000\r\n\r\n"[..], &[b'x'; 80_000]].concat();
    driver.arrive(&peer, &[b"GET /endless HTTP/1.1\r\nHost: test\r\n\r\n", &next[..]].concat());
    let answer = peer.take_written();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\nbegun\r\n"), "{answer}");
    assert!(peer.is_gone());
}
