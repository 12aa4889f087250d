//! Content produced while it is sent is framed as announced, bounded in memory, or cut off visibly for the client.

use fleeting::{App, BodySender, Error, Gone, Progress, Pushed, Response, Room, Source, Timeouts, Waker};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{self, TestServer};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

/// Produces `bytes` bytes, each the low bits of its position, and then behaves as `then` says.
struct Numbers {
    at: u64,
    bytes: u64,
    /// The maximum per call.
    step: usize,
    then: Then,
    /// Receives the position when the source is dropped.
    dropped: Option<Sender<u64>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    End,
    Error,
    Panic,
}

impl Source for Numbers {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        let left = usize::try_from(self.bytes - self.at).expect("it fits").min(self.step).min(room.left());
        for byte in &mut room.spare()[..left] {
            *byte = self.at as u8;
            self.at += 1;
        }
        room.filled(left);
        match self.then {
            _ if self.at < self.bytes => Ok(Progress::More),
            Then::End => Ok(Progress::End),
            Then::Error => Err(Error::internal("planted")),
            Then::Panic => panic!("planted"),
        }
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let _ = dropped.send(self.at);
        }
        assert_ne!(self.bytes, 666, "planted");
    }
}

/// Reports that it was asked, waits to be woken, and ends.
struct Sleeper(Sender<Waker>, bool);

impl Source for Sleeper {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        if self.1 {
            room.push(b"awake");
            return Ok(Progress::End);
        }
        self.1 = true;
        self.0.send(room.waker().clone()).expect("the test waits");
        Ok(Progress::Later)
    }
}

/// What the test receives from the sources.
struct Reports {
    dropped: Receiver<u64>,
    wakers: Receiver<Waker>,
    senders: Receiver<BodySender>,
}

fn number(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// `/numbers?bytes=…&length=…&step=…&then=…`
fn serve_with(set: impl FnOnce(&mut Timeouts)) -> (TestServer, Reports) {
    let (drops, dropped) = channel();
    let (wakes, wakers) = channel();
    let (sends, senders) = channel();
    let app = move || {
        let (drops, not_asked) = (drops.clone(), drops);
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .get("/numbers", move |req| {
                let query = req.query().unwrap_or_default();
                let then = match number(query, "then") {
                    Some(1) => Then::Error,
                    Some(2) => Then::Panic,
                    _ => Then::End,
                };
                let bytes = number(query, "bytes").unwrap_or(10);
                let step = number(query, "step").map_or(usize::MAX, |step| step as usize);
                let source = Numbers { at: 0, bytes, step, then, dropped: Some(drops.clone()) };
                Response::source(number(query, "length"), source).content_type("text/plain")
            })
            .get("/unchanged", move |_req| {
                let dropped = Some(not_asked.clone());
                let source = Numbers { at: 0, bytes: 10, step: 1, then: Then::Panic, dropped };
                Ok(Response::source(Some(10), source).with_status(304))
            })
            .get("/sleep", move |_req| Ok(Response::source(None, Sleeper(wakes.clone(), false))))
            .get("/channel", move |_req| {
                let (response, sender) = Response::channel(100_000);
                sends.send(sender).expect("the test waits");
                Ok(response)
            })
            .get("/deferred", |_req| {
                let (response, responder) = Response::defer();
                let source = Numbers { at: 0, bytes: 100_000, step: 999, then: Then::End, dropped: None };
                thread::spawn(move || responder.send(Response::source(None, source)));
                Ok(response)
            })
    };
    (server::run_with(|_, timeouts| set(timeouts), move |_| app()), Reports { dropped, wakers, senders })
}

fn serve() -> (TestServer, Reports) {
    serve_with(|_| {})
}

fn numbers(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| at as u8).collect()
}

fn ask(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

#[test]
fn content_is_sent_in_chunks_or_with_a_length() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    for bytes in [0, 1, 16_383, 65_535, 65_536, 65_537, 1_000_000] {
        for step in [7_000, 1_000_000] {
            ask(&mut client, &format!("/numbers?bytes={bytes}&step={step}"));
            let answer = client.answer_in_chunks();
            assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/plain")));
            assert!(answer.body == numbers(bytes), "{bytes} in steps of {step}");
            ask(&mut client, &format!("/numbers?bytes={bytes}&step={step}&length={bytes}"));
            let answer = client.answer();
            assert_eq!(answer.field("transfer-encoding"), None);
            assert!(answer.body == numbers(bytes), "{bytes} counted, in steps of {step}");
            assert_eq!(
                (reports.dropped.recv(), reports.dropped.recv()),
                (Ok(bytes as u64), Ok(bytes as u64))
            );
        }
    }
    ask(&mut client, "/deferred");
    assert!(client.answer_in_chunks().body == numbers(100_000));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn requests_pipelined_behind_a_stream_are_answered() {
    let (server, _ears) = serve();
    let mut client = Client::connect(server.addr);
    let one = ["/numbers?bytes=300000", "/", "/numbers?bytes=5&length=5", "/numbers?bytes=0", "/"];
    client.send(one.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat().repeat(10));
    for _ in 0..10 {
        assert!(client.answer_in_chunks().body == numbers(300_000));
        assert_eq!(client.answer().text(), "hello");
        assert_eq!(client.answer().body, numbers(5));
        assert_eq!(client.answer_in_chunks().body, b"");
        assert_eq!(client.answer().text(), "hello");
    }
}

#[test]
fn an_http_10_client_reads_until_the_connection_closes() {
    let (server, _ears) = serve();
    let mut client = Client::connect(server.addr);
    client.send("GET /numbers?bytes=100000&length=100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().body, numbers(100_000));
    client.send("GET /numbers?bytes=100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer_to_head();
    assert_eq!((answer.field("transfer-encoding"), answer.field("connection")), (None, Some("close")));
    assert!(client.until_cut_off() == numbers(100_000));
}

#[test]
fn a_source_whose_content_is_not_sent_is_not_asked() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    client.send("HEAD /numbers?bytes=10&length=10&then=2 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer_to_head().field("content-length"), Some("10"));
    client.send("HEAD /numbers?bytes=10&then=2 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer_to_head().field("transfer-encoding"), Some("chunked"));
    ask(&mut client, "/unchanged");
    assert_eq!(client.answer_to_head().status, 304);
    assert_eq!((0..3).map(|_| reports.dropped.recv()).collect::<Vec<_>>(), [Ok(0), Ok(0), Ok(0)]);
    assert_eq!(client.get("/").text(), "hello");
}

/// It need not report its end: the next request does not wait for that.
#[test]
fn a_source_that_has_sent_the_announced_length_is_not_asked_again() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    for query in ["bytes=21&step=20&length=20", "bytes=40&step=5&length=20"] {
        ask(&mut client, &format!("/numbers?{query}"));
        assert_eq!(client.answer().body, numbers(20), "{query}");
        reports.dropped.recv().expect("the source is dropped");
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[test]
fn content_that_cannot_be_completed_is_cut_off() {
    let (server, reports) = serve();
    let check = |query: &str, chunked: bool| {
        let mut client = Client::connect(server.addr);
        ask(&mut client, &format!("/numbers?{query}"));
        ask(&mut client, "/");
        let all = client.until_cut_off();
        let text = String::from_utf8_lossy(&all);
        assert!(!text.contains("hello"), "{query}: {text}");
        assert!(!chunked || !text.ends_with("0\r\n\r\n"), "{query}: {text}");
        // The content may be lost whole, but there is never more than was announced.
        let content = text.split_once("\r\n\r\n").map_or(0, |(_, content)| content.len());
        assert!(chunked || content <= 20, "{query}: {content} bytes");
        reports.dropped.recv().expect("the source is dropped");
    };
    for then in 1..=2 {
        check(&format!("bytes=10&then={then}"), true);
        check(&format!("bytes=10&step=3&then={then}"), true);
        check(&format!("bytes=10&length=20&then={then}"), false);
    }
    check("bytes=10&length=20", false);
    check("bytes=30&length=20", false);
    check("bytes=30&step=11&length=20", false);
    // A panic while the source is dropped comes too late to affect any response.
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/numbers?bytes=666");
    assert_eq!(client.answer_in_chunks().body, numbers(666));
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(server.wait(|counters| counters.panics == 4).connections, 1);
}

#[test]
fn a_source_that_waits_is_woken() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    for _ in 0..3 {
        ask(&mut client, "/sleep");
        let waker = reports.wakers.recv().expect("the source was read");
        assert_eq!(client.answer_to_head().status, 200);
        let twice = waker.clone();
        thread::spawn(move || twice.wake()).join().expect("the thread does not panic");
        assert_eq!((client.chunk(), client.chunk()), (b"awake".to_vec(), Vec::new()));
        // Too late: there is nothing left to wake.
        waker.wake();
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[test]
fn a_channel_carries_what_is_sent() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/channel");
    let mut sender = reports.senders.recv().expect("the handler was called");
    assert_eq!(client.answer_to_head().field("transfer-encoding"), Some("chunked"));
    for piece in ["one", "two", "three"] {
        assert_eq!(sender.try_send(piece.as_bytes()), Pushed::Sent);
        assert_eq!(client.chunk(), piece.as_bytes());
    }
    assert_eq!(sender.try_send(&[0; 100_001]), Pushed::Full);
    assert_eq!(sender.try_send(b"last"), Pushed::Sent);
    sender.finish();
    assert_eq!((client.chunk(), client.chunk()), (b"last".to_vec(), Vec::new()));
    // A sender that waits for room can send any amount, in order.
    ask(&mut client, "/channel");
    let mut sender = reports.senders.recv().expect("the handler was called");
    let speaker = thread::spawn(move || {
        for piece in numbers(30 << 20).chunks(250_000) {
            sender.send(piece)?;
        }
        sender.finish();
        Ok::<(), Gone>(())
    });
    assert!(client.answer_in_chunks().body == numbers(30 << 20));
    assert_eq!(speaker.join().expect("the thread does not panic"), Ok(()));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_channel_is_full_when_the_client_takes_nothing() {
    let (server, reports) = serve();
    let mut client = Client::connect_with_small_buffer(server.addr);
    ask(&mut client, "/channel");
    let mut sender = reports.senders.recv().expect("the handler was called");
    let (mut sent, mut full) = (0, 0);
    while full < 20 {
        match sender.try_send(&[b'x'; 50_000]) {
            Pushed::Sent => (sent, full) = (sent + 50_000, 0),
            Pushed::Full => {
                // The server has turns in which it could take more.
                Client::connect(server.addr).get("/");
                full += 1;
            }
            Pushed::Gone => panic!("the client is there"),
        }
        assert!(sent < 64 << 20, "the channel is not bounded");
    }
    sender.finish();
    assert_eq!(client.answer_in_chunks().body.len(), sent);
}

#[test]
fn a_sender_dropped_before_the_end_cuts_the_response_off() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/channel");
    let mut sender = reports.senders.recv().expect("the handler was called");
    assert_eq!(client.answer_to_head().status, 200);
    assert_eq!(sender.try_send(b"half"), Pushed::Sent);
    assert_eq!(client.chunk(), b"half");
    drop(sender);
    assert_eq!(client.until_cut_off(), b"");
}

#[test]
fn a_client_that_leaves_in_the_middle_ends_its_stream() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/channel");
    let mut sender = reports.senders.recv().expect("the handler was called");
    client.answer_to_head();
    client.reset();
    server.wait(|counters| counters.connections == 0);
    assert!(sender.is_gone());
    assert_eq!((sender.try_send(b"x"), sender.send(b"x")), (Pushed::Gone, Err(Gone)));
    // While the content is sent.
    let mut client = Client::connect_with_small_buffer(server.addr);
    ask(&mut client, "/numbers?bytes=1000000000");
    client.answer_to_head();
    client.reset();
    assert!(reports.dropped.recv().expect("the source is dropped") < 1_000_000_000);
    // A client that has only ended its side receives all of it.
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/numbers?bytes=3000000");
    client.end();
    assert!(client.answer_in_chunks().body == numbers(3_000_000));
    client.ended();
    // The source waits while the client leaves.
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/sleep");
    let waker = reports.wakers.recv().expect("the source was read");
    client.reset();
    server.wait(|counters| counters.connections == 0);
    waker.wake();
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let (server, reports) = serve_with(|timeouts| timeouts.write_stall = SHORT);
    let mut client = Client::connect_with_small_buffer(server.addr);
    ask(&mut client, "/numbers?bytes=1000000000");
    assert!(reports.dropped.recv().expect("the source is dropped") < 1_000_000_000);
    client.cut_off();
    assert_eq!(server.wait(|counters| counters.connections == 0).timeouts, 1);
}

#[test]
fn a_shutdown_waits_for_the_end_of_a_stream_or_of_the_grace_period() {
    let (server, reports) = serve_with(|timeouts| timeouts.grace = 3 * SHORT);
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(server.addr)).collect();
    let mut senders = Vec::new();
    for client in &mut clients {
        ask(client, "/channel");
        senders.push(reports.senders.recv().expect("the handler was called"));
        client.answer_to_head();
    }
    let mut idle = Client::connect(server.addr);
    idle.get("/");
    server.handle.shutdown();
    idle.ended();
    let mut first = senders.remove(0);
    assert_eq!(first.try_send(b"the end"), Pushed::Sent);
    first.finish();
    assert_eq!((clients[0].chunk(), clients[0].chunk()), (b"the end".to_vec(), Vec::new()));
    clients[0].ended();
    clients[1].cut_off();
    drop((clients, idle));
    server.finish();
    assert!(senders[0].is_gone());
}
