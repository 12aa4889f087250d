//! In the steady state the engine's thread allocates nothing.
//!
//! A worker takes its turns on the test's thread, where allocations are counted. A client on another thread sends
//! `WARM_UP` requests or messages first, and then those that count. Broadcasts use streams in memory instead: their
//! other ends are on the same thread and do not allocate either.

use crate::driver::{Driver, Peer};
use allocation_counter::AllocationInfo;
use fleeting::engine::{Counters, Settings};
use fleeting::http1::Fields;
use fleeting::{
    App, Body, Cookie, EntityTag, Error, Flow, Handle, Message, Multipart, MultipartLimits, PartHead, Pushed,
    Request, Response, SameSite, Server, Socket, Upload, Validators, WebSocket, Worker, keep,
};
use fleeting_store::{Cursor, Memory, Store, StoreError, StoreLimits};
use fleeting_testkit::client::{BINARY, Client, PING, PONG, TEXT, frame};
use fleeting_testkit::server::{Echo, subscribe};
use std::cell::Cell;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// A multiple of `PIPELINED`, like every number of requests here.
const WARM_UP: u64 = 512;
/// The number of requests sent at once.
const PIPELINED: u64 = 16;
pub static CONTENT: [u8; 1024] = [b'x'; 1024];
pub static LARGE: [u8; 64 << 10] = [b'y'; 64 << 10];
/// More bytes than one read returns.
static HUGE: [u8; 136 << 10] = [b'z'; 136 << 10];
/// The number of bytes of a split message that the server has seen before the rest is sent.
const FIRST_PIECE: usize = 100;
const PIECE: usize = 16 << 10;

/// Each row is a test: `times` requests or messages, sent by the client to the app, cause no allocation.
macro_rules! allocation_free {
    ($($(#[$attribute:meta])* $name:ident: $times:literal $counter:ident, $app:expr, $client:expr;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            let counted = allocations($app, $counter, $times, $client);
            assert_eq!(counted.count_total, 0, "{counted:?}");
        }
    )*};
}

mod nothing_is_allocated_for {
    use super::*;

    allocation_free! {
        plain_get: 10_000 requests, app(), asks(get("/"), b"hello");
        pipelined_requests: 10_000 requests, app(), pipelines();
        wrapped_handler: 5_000 requests, wrapped(), asks(get("/"), b"hello");
        values_of_layers: 5_000 requests, layered(), asks(get_with("/me", "Authorization: 7 ann\r\n"), b"7 is ann");
        site_policy: 5_000 requests, guarded(), asks(post_with("/echo", "Origin: http://test\r\n", &CONTENT), &CONTENT);
        nested_application: 5_000 requests, layered(), asks(get_with("/nested/b/users/7", "X-A: 1\r\n"), b"user 7");
        fallback_of_a_nested_application: 5_000 requests, layered(), gets_404("/nested/nowhere");

        reported_get: 10_000 requests, reported(), asks(get("/"), b"hello");
        reported_pipelined_requests: 10_000 requests, reported(), pipelines();
        reported_parameters: 5_000 requests, reported(), asks(get("/users/ann%20e/posts/7?a=b"), b"ann e wrote 7");
        reported_unknown_path: 10_000 early_answers, reported(), gets_404("/nowhere");
        reported_large_answer: 1_000 requests, reported(), asks(get("/large"), &LARGE);

        error_answer: 5_000 requests, app(), gets_404("/error");
        unknown_path: 10_000 early_answers, app(), gets_404("/nowhere");

        fixed_route_of_10_000: 5_000 requests, crowded(), asks(get("/r/5000/x"), b"5000");
        parameter_route_of_10_000: 5_000 requests, crowded(), asks(get("/p/5000/me"), b"me");
        two_parameters: 5_000 requests, app(), asks(get("/users/ann%20e/posts/7?a=b"), b"ann e wrote 7");
        three_parameters: 5_000 requests, app(), asks(get("/three/1/2/3"), b"1, 2, 3");

        further_field: 5_000 requests, app(), asks(get_with("/field", "X-Id: 12345\r\n"), b"hello");
        five_further_fields: 5_000 requests, app(), asks(get_with("/five", BROWSER), b"five");
        ten_fields_looked_up: 5_000 requests, app(), asks(get_with("/ten", BROWSER), b"282");

        query_pairs: 5_000 requests, readers(), asks(get("/query?a=1&b%20c=%E2%82%AC+2&a=+"), b"a=1\nb c=\xE2\x82\xAC 2\na= \n");

        form_pairs: 5_000 requests, readers(), asks(form("name=Ann+E%2E&tag=red&tag=blue"), b"Ann E., red, blue");

        cookies: 5_000 requests, readers(), asks(get_with("/cookies", BROWSER), b"8f14e45fceea167a5a36dedd4bea2543 and 3");

        negotiation: 5_000 requests, readers(), asks(get_with("/negotiated", BROWSER), b"text/html, br, en");

        validators: 5_000 requests, readers(), asks(get_with("/revision", "If-None-Match: \"6\"\r\n"), b"seven");
        not_modified: 5_000 requests, readers(), gets_304(get_with("/revision", "If-None-Match: \"6\", \"7\"\r\n"));

        multipart_in_memory: 5_000 requests, readers(), asks(multipart(), b"a=1, \"b\"=x, 2 parts");

        #[cfg(feature = "json")]
        query_into_a_struct: 5_000 requests, orders(), asks(get("/order?count=7&item=a+pear"), b"7 x a pear");
        #[cfg(feature = "json")]
        json: 5_000 requests, orders(), asks(order(), br#"{"item":"pear","count":7}"#);

        content: 10_000 requests, app(), asks(post("/echo", &CONTENT), &CONTENT);
        content_in_pieces: 5_000 requests, app(), asks_in_pieces(sized("/echo", &CONTENT), &CONTENT);
        one_chunk: 5_000 requests, app(), asks(chunked("/echo", &CONTENT, CONTENT.len(), ""), &CONTENT);
        many_chunks: 2_000 requests, app(), asks(chunked("/echo", &CONTENT, 16, ""), &CONTENT);
        chunks_with_trailers: 2_000 requests, app(),
            asks(chunked("/sum", &CONTENT, 100, "X-Count: 11\r\nX-Sum: 7\r\n"), b"7");

        large_content: 1_000 requests, app(), asks(post("/length", &LARGE), b"65536");
        large_content_in_pieces: 1_000 requests, app(), asks_in_pieces(sized("/length", &LARGE), b"65536");
        large_chunked_content: 1_000 requests, app(), asks(chunked("/length", &LARGE, 4096, ""), b"65536");
        content_larger_than_a_read: 1_000 requests, app(), asks(post("/length", &HUGE), b"139264");
        large_answer_from_the_arena: 1_000 requests, app(), asks(get("/large/arena"), &LARGE);
        large_static_answer: 1_000 requests, app(), asks(get("/large"), &LARGE);
        large_borrowed_answer: 1_000 requests, app(), asks(post("/echo", &LARGE), &LARGE);

        store_get: 5_000 requests, stored(), asks(get("/get"), b"value");
        store_get_of_nothing: 5_000 requests, stored(), asks(get("/get-nothing"), b"none");
        store_overwrite: 5_000 requests, stored(), asks(get("/overwrite"), b"ok");
        store_renew: 5_000 requests, stored(), asks(get("/renew"), b"true");
        store_delete: 1_000 requests, stored(), asks(get("/delete"), b"true");
        store_increment: 5_000 requests, stored(), asks(get("/increment"), b"more");
        store_compare_and_set: 5_000 requests, stored(), asks(get("/swap"), b"true");
        store_compare_and_set_in_vain: 5_000 requests, stored(), asks(get("/swap-in-vain"), b"false");
        store_scan: 1_000 requests, stored(), asks(get("/scan"), b"10");

        messages_of_1_kib: 5_000 messages, app(), echoes(frame(true, BINARY, &CONTENT), &CONTENT);
        large_messages: 1_000 messages, app(), echoes(frame(true, TEXT, &LARGE), &LARGE);
        large_messages_in_pieces: 1_000 messages, app(), echoes_in_pieces(frame(true, TEXT, &LARGE), &LARGE);
    }
}

/// The connection gathers a fragmented message in memory of its own until it is whole, which takes at most one
/// allocation per fragment.
#[test]
fn a_fragmented_message_allocates_at_most_once_per_fragment() {
    const TIMES: u64 = 5_000;
    let (first, second, third) = (&CONTENT[..400], &CONTENT[400..800], &CONTENT[800..]);
    let frames = [frame(false, BINARY, first), frame(false, 0, second), frame(true, 0, third)];
    let counted = allocations(app(), messages, TIMES, echoes(frames.concat(), &CONTENT));
    assert!(counted.count_total <= 3 * TIMES, "{counted:?}");
    assert_eq!(counted.count_current, 0, "memory is kept: {counted:?}");
}

/// A value in the store takes only the memory that the store and [`keep`] count for it. That memory comes from the
/// system, so no block is allocated.
#[test]
fn the_store_keeps_only_what_it_counts() {
    const TIMES: u64 = 1_000;
    let store = filled();
    let (app, held) = (set_anew(store.clone()), || store.stats().bytes.expect("it is known"));
    let before = held();
    let counted = allocations(app, requests, TIMES, asks(get("/set"), b"ok"));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    let entries = WARM_UP + TIMES;
    let key_and_value = "new:00000".len() + CONTENT.len();
    let each = (52 + key_and_value as u64).next_multiple_of(8) + 8;
    assert_eq!(held() - before, entries * each);
    assert_eq!(KEPT.load(Ordering::Relaxed), entries * key_and_value as u64);
}

/// The check above can fail: every allocation in a handler is counted.
#[test]
fn a_planted_allocation_is_counted() {
    let app = app().get("/planted", |req| Ok(Response::text(req.path().to_string())));
    let counted = allocations(app, requests, 1_000, asks(get("/planted"), b"/planted"));
    assert_eq!(counted.count_total, 1_000, "{counted:?}");
}

/// The content of an upload arrives in pieces, long after its request began.
#[test]
fn pieces_of_an_upload_allocate_nothing() {
    let taken = Arc::new(AtomicU64::new(0));
    let app = App::new().upload("POST", "/up", Meter(taken.clone()));
    let counted = streamed(app, &taken, |mut client, pieces| {
        let length = pieces * LARGE.len() as u64;
        client.send(format!("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
        (0..pieces).for_each(|_| client.send(LARGE));
        answered(&mut client, b"taken");
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// The same content in chunks.
#[test]
fn chunks_of_an_upload_allocate_nothing() {
    let taken = Arc::new(AtomicU64::new(0));
    let app = App::new().upload("POST", "/up", Meter(taken.clone()));
    let counted = streamed(app, &taken, |mut client, pieces| {
        client.send("POST /up HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [format!("{:x}\r\n", LARGE.len()).as_bytes(), &LARGE, b"\r\n"].concat();
        (0..pieces).for_each(|_| client.send(&chunk));
        client.send("0\r\n\r\n");
        answered(&mut client, b"taken");
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// The content is a multipart form, of which each piece is a part.
#[test]
fn parts_of_a_multipart_upload_allocate_nothing() {
    let taken = Arc::new(AtomicU64::new(0));
    let app = App::new().multipart("POST", "/up", Meter(taken.clone()));
    let counted = streamed(app, &taken, |mut client, pieces| {
        let head = "\r\n--b\r\nContent-Disposition: form-data; name=\"\\\"file\\\"\"; filename=\"x\"\r\n\r\n";
        let length = pieces * (head.len() + LARGE.len()) as u64 + "\r\n--b--".len() as u64;
        let fields = format!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}");
        client.send(format!("POST /up HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n"));
        for _ in 0..pieces {
            client.send(head);
            client.send(LARGE);
        }
        client.send("\r\n--b--");
        answered(&mut client, b"taken");
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// Another thread sends the content of a response piece by piece, each after the previous one has arrived.
#[test]
fn pieces_of_a_download_allocate_nothing() {
    let (opened, senders) = mpsc::channel();
    let app = App::new().get("/down", move |_req| {
        let (response, sender) = Response::channel(LARGE.len());
        opened.send(sender).expect("the test waits");
        Ok(response)
    });
    let arrived = Arc::new(AtomicU64::new(0));
    let counts = arrived.clone();
    let counted = streamed(app, &arrived, move |mut client, pieces| {
        client.send("GET /down HTTP/1.1\r\nHost: test\r\n\r\n");
        let mut sender = senders.recv().expect("the handler was called");
        assert_eq!(client.answer_to_head().status, 200);
        for _ in 0..pieces {
            assert_eq!(sender.try_send(&LARGE), Pushed::Sent);
            assert!(client.chunk() == LARGE);
            counts.fetch_add(LARGE.len() as u64, Ordering::Relaxed);
        }
        sender.finish();
        assert!(client.chunk().is_empty());
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// Counts the bytes it receives.
pub struct Meter(pub Arc<AtomicU64>);

impl Upload for Meter {
    type Session = ();

    fn open(&self, _req: &Request<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn piece(&self, _session: &mut (), piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        self.0.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text("taken"))
    }
}

impl Multipart for Meter {
    type Session = ();
    type Part = ();

    fn limits(&self) -> MultipartLimits {
        MultipartLimits::new().parts(usize::MAX).total_bytes(u64::MAX)
    }

    fn open(&self, _req: &Request<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn part(&self, _session: &mut (), head: &PartHead<'_>) -> Result<(), Error> {
        assert_eq!((head.name(), head.file_name()), ("\"file\"", Some("x")));
        Ok(())
    }

    fn piece(&self, _session: &mut (), _part: &mut (), piece: &[u8], _: &mut Flow<'_>) -> Result<(), Error> {
        self.0.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn part_end(&self, _session: &mut (), _part: ()) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&self, _session: ()) -> Result<Response<'static>, Error> {
        Ok(Response::text("taken"))
    }
}

/// Counts the worker's allocations while `client` transfers 2,000 pieces of content, from a tenth of them until
/// shortly before the last. `passed` holds the number of bytes transferred.
fn streamed(
    app: App,
    passed: &AtomicU64,
    client: impl FnOnce(Client, u64) + Send + 'static,
) -> AllocationInfo {
    const PIECES: u64 = 2_000;
    let bytes = |pieces: u64| pieces * LARGE.len() as u64;
    let mut worker = Server::builder().bind("127.0.0.1:0").worker(|_| app).expect("the worker starts");
    let addr = worker.local_addrs()[0];
    let client_thread = thread::spawn(move || client(Client::connect(addr), PIECES));
    let turns = |worker: &mut Worker, until: u64| {
        while passed.load(Ordering::Relaxed) < until && !client_thread.is_finished() {
            worker.turn(Some(Duration::from_millis(10))).expect("polling works");
        }
    };
    turns(&mut worker, bytes(PIECES / 10));
    let counted = allocation_counter::measure(|| turns(&mut worker, bytes(PIECES - 10)));
    assert!(passed.load(Ordering::Relaxed) >= bytes(PIECES - 10), "the client has given up");
    finish(&mut worker, client_thread);
    counted
}

const SUBSCRIBERS: u64 = 100;

/// Subscribes to "a" and publishes there what its client sends.
struct Feed;

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, "a")
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        if message == Message::Text("planted") {
            black_box(vec![0u8; 100]);
        }
        socket.publish("a", message).expect("it is valid");
    }
}

/// One publisher, `times` publications, and 100 subscribers on each of `engines` engines that share a handle.
/// Returns all allocations, those of the mailboxes included.
fn broadcast(payload: &[u8], times: u64, engines: u16) -> AllocationInfo {
    let message = frame(true, TEXT, payload);
    broadcast_by(|driver, client| driver.arrive(client, &message), payload, times, engines)
}

/// As `broadcast`. `publish_once` makes the first engine publish the payload; it also gets one of its clients.
fn broadcast_by(
    publish_once: impl Fn(&mut Driver, &Peer),
    payload: &[u8],
    times: u64,
    engines: u16,
) -> AllocationInfo {
    let handle = Handle::unattended(usize::from(engines));
    let drivers = (0..engines).map(|worker| {
        let settings = Settings { worker, ..Settings::default() };
        Driver::with_handle(App::new().ws("/ws", Feed), settings, &handle)
    });
    let mut drivers: Vec<Driver> = drivers.collect();
    let open = |driver: &mut Driver| (0..SUBSCRIBERS).map(|_| driver.websocket("/ws")).collect::<Vec<_>>();
    let subscribers: Vec<Vec<Peer>> = drivers.iter_mut().map(open).collect();
    let mut publish = |times: u64| {
        for _ in 0..times {
            publish_once(&mut drivers[0], &subscribers[0][0]);
            for (driver, subscribers) in drivers.iter_mut().zip(&subscribers) {
                driver.turn();
                for subscriber in subscribers {
                    let mut count = 0;
                    subscriber.each_frame(|_, got| {
                        assert!(got == payload);
                        count += 1;
                    });
                    assert_eq!(count, 1);
                }
            }
        }
    };
    publish(WARM_UP);
    let counted = allocation_counter::measure(|| publish(times));
    for driver in &drivers {
        let counters = driver.counters();
        let all = SUBSCRIBERS * (WARM_UP + times);
        assert_eq!((counters.matched, counters.delivered), (all, all));
    }
    counted
}

#[test]
fn broadcasts_allocate_nothing() {
    for payload in [&CONTENT[..16], &CONTENT] {
        for (times, engines) in [(10_000, 1), (2_000, 2)] {
            let counted = broadcast(payload, times, engines);
            assert_eq!(counted.count_total, 0, "{} bytes, {engines} engines: {counted:?}", payload.len());
        }
    }
}

/// The same for streams of events, with chunks and without.
#[test]
fn broadcasts_of_events_allocate_nothing() {
    let handle = Handle::unattended(1);
    let events = handle.clone();
    let app = App::new().get("/events", move |_req| Ok(events.events("*")?));
    let mut driver = Driver::with_handle(app, Settings::default(), &handle);
    let versions = ["HTTP/1.1", "HTTP/1.0"];
    let streams: Vec<Peer> =
        (0..SUBSCRIBERS as usize).map(|at| driver.get("/events", versions[at % 2]).0).collect();
    let mut publish = |times: u64| {
        for _ in 0..times {
            // Topics that alternate for nobody: each stream is due both events in one write.
            driver.engine.publish("a", Message::Text("one")).expect("it is valid");
            driver.engine.publish("b", Message::Text("two\nlines")).expect("it is valid");
            driver.turn();
            for (at, stream) in streams.iter().enumerate() {
                let mut pipe = stream.pipe.borrow_mut();
                let expected: &[u8] = match at % 2 {
                    0 => b"b\r\ndata: one\n\n\r\n17\r\ndata: two\ndata: lines\n\n\r\n",
                    _ => b"data: one\n\ndata: two\ndata: lines\n\n",
                };
                assert!(pipe.written.ends_with(expected), "{}", pipe.written.escape_ascii());
                pipe.written.clear();
            }
        }
    };
    publish(WARM_UP);
    let counted = allocation_counter::measure(|| publish(5_000));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// The loop that runs the worker publishes. Finding A14.
#[test]
fn broadcasts_of_the_loop_allocate_nothing() {
    let message = Message::Binary(&CONTENT);
    for (times, engines) in [(10_000, 1), (2_000, 2)] {
        let publish =
            |driver: &mut Driver, _: &Peer| driver.engine.publish("a", message).expect("it is valid");
        let counted = broadcast_by(publish, &CONTENT, times, engines);
        assert_eq!(counted.count_total, 0, "{engines} engines: {counted:?}");
    }
}

/// Over a socket, with the worker's own calls and turns. Finding A14.
#[test]
fn a_loop_of_the_application_allocates_nothing() {
    let mut worker =
        Server::builder().bind("127.0.0.1:0").worker(|_| App::new().ws("/ws", Feed)).expect("it starts");
    let addr = worker.local_addrs()[0];
    let connecting = thread::spawn(move || Client::websocket(addr, "/ws"));
    while !connecting.is_finished() {
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
    }
    let client = connecting.join().expect("it is connected");
    let mut publish = |times: u64| {
        for _ in 0..times {
            worker.publish("a", Message::Text("one")).expect("it is valid");
            worker.publish("a", Message::Text("two")).expect("it is valid");
            worker.turn(Some(Duration::ZERO)).expect("polling works");
            let mut frames = [0; 10];
            client.stream().read_exact(&mut frames).expect("both have left");
            assert_eq!(frames, *b"\x81\x03one\x81\x03two");
        }
    };
    publish(WARM_UP);
    let counted = allocation_counter::measure(|| publish(5_000));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// This check can fail as well.
#[test]
fn an_allocation_planted_in_a_broadcast_is_counted() {
    assert_eq!(broadcast(b"planted", 500, 2).count_total, 500);
}

/// Counts the worker's allocations while `client` sends `times` requests or messages; `counted_by` reads from the
/// counters how many were handled.
fn allocations(
    app: App,
    counted_by: fn(&Counters) -> u64,
    times: u64,
    client: impl FnOnce(Client, u64) + Send + 'static,
) -> AllocationInfo {
    allocations_at(app, counted_by, times, |addr, times| client(Client::connect(addr), times))
}

/// The same for a client that connects by itself.
pub fn allocations_at(
    app: App,
    counted_by: fn(&Counters) -> u64,
    times: u64,
    client: impl FnOnce(SocketAddr, u64) + Send + 'static,
) -> AllocationInfo {
    let mut worker = Server::builder().bind("127.0.0.1:0").worker(|_| app).expect("the worker starts");
    let addr = worker.local_addrs()[0];
    // Input may occasionally arrive in pieces. This leaves an inbox that is large enough.
    let upload = asks_in_pieces(sized("/length", &HUGE), b"139264");
    let first = thread::spawn(move || upload(Client::connect(addr), 1));
    finish(&mut worker, first);

    let before = counted_by(&worker.counters());
    let client_thread = thread::spawn(move || client(addr, WARM_UP + times));
    let turns = |worker: &mut Worker, until: u64| {
        while counted_by(&worker.counters()) < before + until && !client_thread.is_finished() {
            worker.turn(Some(Duration::from_secs(1))).expect("polling works");
        }
    };
    turns(&mut worker, WARM_UP);
    let counted = allocation_counter::measure(|| turns(&mut worker, WARM_UP + times));
    assert_eq!(counted_by(&worker.counters()), before + WARM_UP + times, "the client has given up");
    finish(&mut worker, client_thread);
    counted
}

fn finish(worker: &mut Worker, client_thread: JoinHandle<()>) {
    while !client_thread.is_finished() {
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
    }
    client_thread.join().expect("the client received every answer");
}

pub fn requests(counters: &Counters) -> u64 {
    counters.requests
}

fn early_answers(counters: &Counters) -> u64 {
    counters.early_answers
}

pub fn messages(counters: &Counters) -> u64 {
    counters.messages
}

// ---------------------------------------------------------------- applications

pub fn app() -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/error", |_req| Err(Error::not_found("gone")))
        .get("/number/{number}", |req| Ok(Response::text(req.param("number"))))
        .get("/users/{user}/posts/{post}", |req| {
            let (user, post) = (req.param("user"), req.param("post"));
            Ok(Response::text(req.arena().format(format_args!("{user} wrote {post}"))))
        })
        .get("/three/{a}/{b}/{c}", |req| {
            let (a, b, c) = (req.param("a"), req.param("b"), req.param("c"));
            Ok(Response::text(req.arena().format(format_args!("{a}, {b}, {c}"))))
        })
        .get("/field", |req| Response::text("hello").header("x-id", req.header("x-id").unwrap_or_default()))
        .get("/five", |_req| {
            Response::text("five")
                .header("cache-control", "public, max-age=3600")?
                .header("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\"")?
                .header("set-cookie", "session=8f14e45fceea167a5a36dedd4bea2543; HttpOnly")?
                .header("vary", "accept-encoding")?
                .header("x-frame-options", "DENY")
        })
        .get("/ten", |req| {
            let found = TEN.iter().map(|name| req.header(name).map_or(0, str::len));
            Ok(Response::text(req.arena().format(format_args!("{}", found.sum::<usize>()))))
        })
        .get("/large/arena", |req| {
            let mut writer = req.arena().writer();
            LARGE
                .chunks(1000)
                .try_for_each(|piece| writer.write_all(piece))
                .expect("writing to memory cannot fail");
            Ok(Response::bytes(writer.finish()))
        })
        .get("/large", |_req| Ok(Response::bytes(Body::Static(&LARGE))))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .post("/length", length)
        .post("/sum", |req| Ok(Response::bytes(req.trailers().get("x-sum").unwrap_or_default())))
        .ws("/ws", Echo)
}

fn length<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    Ok(Response::text(req.arena().format(format_args!("{}", req.body().len()))))
}

fn wrapped() -> App {
    app().layer(|req, handler| handler.call(req)?.header("x-wrapped", "yes"))
}

/// The user that a layer passes on.
#[derive(Clone, Copy)]
struct UserId(u32);
struct UserName;

/// Nests an application in an application in an application, each with a layer.
fn layered() -> App {
    let inner = App::new()
        .get("/users/{id}", |req| {
            Ok(Response::text(req.arena().format(format_args!("user {}", req.param("id")))))
        })
        .layer(|req, next| next.call(req)?.add_header("x-layers", "inner"));
    let middle = App::new()
        .nest("/b", inner)
        .fallback(|req| {
            Ok(Response::text(req.arena().format(format_args!("no {}", req.path()))).with_status(404))
        })
        .layer(|req, next| next.call(req).unwrap_or_else(Response::from).add_header("x-layers", "middle"));
    app()
        .get("/me", |req| {
            let (UserId(id), name) = (*req.extension().expect("a layer"), req.extension_text::<UserName>());
            Ok(Response::text(req.arena().format(format_args!("{id} is {}", name.unwrap_or_default()))))
        })
        .nest("/nested", middle)
        .layer(|req, next| {
            if let Some((id, name)) = req.header("authorization").and_then(|value| value.split_once(' ')) {
                req.insert(UserId(id.parse().unwrap_or_default()));
                req.insert_text::<UserName>(name);
            }
            next.call(req).unwrap_or_else(Response::from).add_header("x-layers", "outer")
        })
}

/// Each request's host and origin are checked.
fn guarded() -> App {
    app().layer(fleeting::SitePolicy::new().loopback().host("chat.example").host("test").layer())
}

/// Each request is reported to a hook.
pub fn reported() -> App {
    app().on_complete(|done| {
        assert!(done.is_sent() && done.bytes_out() > 0 && !done.path().is_empty());
    })
}

/// Adds 10,000 routes without parameters and as many with one.
fn crowded() -> App {
    (0..10_000).fold(app(), |app, route| {
        app.get(&format!("/r/{route}/x"), move |req| {
            Ok(Response::text(req.arena().format(format_args!("{route}"))))
        })
        .get(&format!("/p/{route}/{{name}}"), |req| Ok(Response::text(req.param("name"))))
    })
}

/// Entries that stay: more than come and go besides them, so that the store's tables do not shrink
/// meanwhile.
const STAY: usize = 10_000;
const COME_AND_GO: usize = 2_000;

/// The total number of bytes that `/set` has kept.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// Returns a store whose tables have already grown to the size that they need.
fn filled() -> Arc<Memory> {
    let store = Memory::new(StoreLimits::default());
    let set = |key: String| store.set(&key, b"1", None).expect("there is room");
    (0..STAY).for_each(|number| set(format!("stays:{number}")));
    (0..COME_AND_GO).for_each(|number| set(format!("new:{number:05}")));
    (0..COME_AND_GO).for_each(|number| assert_eq!(store.delete(&format!("new:{number:05}")), Ok(true)));
    Arc::new(store)
}

fn ok<'r>(_done: ()) -> Result<Response<'r>, Error> {
    Ok(Response::text("ok"))
}

fn whether<'r>(done: bool) -> Result<Response<'r>, Error> {
    Ok(Response::text(if done { "true" } else { "false" }))
}

fn internal(error: StoreError) -> Error {
    Error::internal(error.to_string())
}

/// Each request sets a new key.
fn set_anew(store: Arc<Memory>) -> App {
    let number = Cell::new(0);
    App::new().post("/length", length).get("/set", move |req| {
        let key = req.arena().format(format_args!("new:{:05}", number.replace(number.get() + 1)));
        let before = keep::kept_bytes();
        store.set(key, &CONTENT, None).map_err(internal)?;
        KEPT.fetch_add(keep::kept_bytes() - before, Ordering::Relaxed);
        ok(())
    })
}

/// What handlers do with a store.
fn stored() -> App {
    let store = filled();
    (0..COME_AND_GO)
        .for_each(|number| store.set(&format!("new:{number:05}"), b"1", None).expect("there is room"));
    store.set("key", b"value", None).expect("there is room");
    store.set("swap", b"a longer one", None).expect("there is room");
    let life = Some(Duration::from_secs(60));
    let (number, turn) = (Cell::new(0), Cell::new(false));
    let [get, nothing, overwrite, renew, delete, increment, swap, in_vain, scan] =
        std::array::from_fn(|_| store.clone());
    App::new()
        .post("/length", length)
        .get("/get", move |req| {
            let value = get.get("key", req.arena()).map_err(internal)?;
            Ok(Response::bytes(value.unwrap_or_default()))
        })
        .get("/get-nothing", move |req| {
            let value = nothing.get("none", req.arena()).map_err(internal)?;
            Ok(Response::text(if value.is_none() { "none" } else { "some" }))
        })
        .get("/overwrite", move |req| {
            let value = req.arena().format(format_args!("{:?}", turn.replace(!turn.get())));
            ok(overwrite.set("stays:1", value.as_bytes(), life).map_err(internal)?)
        })
        .get("/renew", move |_req| whether(renew.renew("stays:2", life).map_err(internal)?))
        .get("/delete", move |req| {
            let key = req.arena().format(format_args!("new:{:05}", number.replace(number.get() + 1)));
            whether(delete.delete(key).map_err(internal)?)
        })
        .get("/increment", move |_req| {
            let sum = increment.increment("count", 1, None).map_err(internal)?;
            Ok(Response::text(if sum > 0 { "more" } else { "less" }))
        })
        .get("/swap", move |_req| {
            let there =
                swap.compare_and_set("swap", Some(b"a longer one"), b"shorter", life).map_err(internal)?;
            let back =
                swap.compare_and_set("swap", Some(b"shorter"), b"a longer one", None).map_err(internal)?;
            whether(there && back)
        })
        .get("/swap-in-vain", move |_req| {
            whether(in_vain.compare_and_set("stays:3", Some(b"2"), &CONTENT, None).map_err(internal)?)
        })
        .get("/scan", move |req| {
            // One entry's key is the prefix itself, ten continue it.
            let (mut count, mut from) = (0, Some(Cursor::START));
            while let Some(cursor) = from {
                let page = scan.scan("stays:123", cursor, 100, req.arena()).map_err(internal)?;
                count += page.entries.len();
                from = page.next;
            }
            Ok(Response::text(req.arena().format(format_args!("{}", count - 1))))
        })
}

/// What handlers read from a request besides its fields.
fn readers() -> App {
    app()
        .get("/query", |req| {
            let mut lines = req.arena().writer();
            for (name, value) in req.query_pairs() {
                writeln!(lines, "{name}={value}").expect("writing to memory cannot fail");
            }
            assert_eq!(req.query_value("b c"), Some("€ 2"));
            Ok(Response::bytes(lines.finish()))
        })
        .get("/negotiated", |req| {
            let media_type = req.accepts(&["application/json", "text/html"]).unwrap_or("none");
            let coding = req.accepts_encoding(&["br", "identity"]).unwrap_or("none");
            let language = req.accepts_language(&["de", "en"]).unwrap_or("none");
            Ok(Response::text(req.arena().format(format_args!("{media_type}, {coding}, {language}"))))
        })
        .get("/revision", |req| {
            let revision = req.arena().format(format_args!("{}", 7));
            let current = Validators::new().tag(EntityTag::strong(revision)).modified(SystemTime::UNIX_EPOCH);
            match req.preconditions(&current)? {
                Some(not_modified) => Ok(not_modified),
                None => Response::text("seven").validators(&current),
            }
        })
        .post("/multipart", |req| {
            let mut text = req.arena().writer();
            let mut parts = 0;
            for part in req.multipart(MultipartLimits::new())? {
                let part = part?;
                write!(text, "{}={}, ", part.name(), part.text()?).expect("writing to memory cannot fail");
                parts += 1;
            }
            write!(text, "{parts} parts").expect("writing to memory cannot fail");
            Ok(Response::bytes(text.finish()))
        })
        .get("/cookies", |req| {
            let (session, all) = (req.cookie("session").unwrap_or_default(), req.cookies().count());
            let text = Response::text(req.arena().format(format_args!("{session} and {all}")));
            let cookie = Cookie::new("__Host-session", session).path("/").secure().http_only();
            let cookie = cookie.max_age(Duration::from_secs(60)).expires(SystemTime::UNIX_EPOCH);
            text.cookie(&cookie)?.cookie(&Cookie::new("lang", "en").same_site(SameSite::Lax))
        })
        .post("/form", |req| {
            let form = req.form_pairs()?;
            let mut tags = form.values("tag");
            let [first, second] = [(); 2].map(|()| tags.next().unwrap_or_default());
            let name = form.value("name").unwrap_or_default();
            Ok(Response::text(req.arena().format(format_args!("{name}, {first}, {second}"))))
        })
}

/// Parses and returns JSON.
#[cfg(feature = "json")]
fn orders() -> App {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Order<'r> {
        item: &'r str,
        count: u32,
    }
    app()
        .post("/orders", |req| {
            let order: Order<'_> = req.json()?;
            Response::json(req, &Order { count: order.count + 1, ..order })
        })
        .get("/order", |req| {
            let order: Order<'_> = req.query_pairs().read()?;
            Ok(Response::text(req.arena().format(format_args!("{} x {}", order.count, order.item))))
        })
}

// ---------------------------------------------------------------- requests

/// The fields a browser sends besides Host.
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://test/previous/page\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; lang=en\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Priority: u=0, i\r\n";

const TEN: [&str; 10] = [
    "host",
    "user-agent",
    "accept",
    "accept-language",
    "accept-encoding",
    "referer",
    "cookie",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "priority",
];

fn get(path: &str) -> Vec<u8> {
    get_with(path, "")
}

/// A GET request with these fields, each including its CRLF.
fn get_with(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n").into_bytes()
}

/// A head without its last CRLF, and what follows it.
type Parts = (String, Vec<u8>);

fn sized(path: &str, content: &[u8]) -> Parts {
    let length = content.len();
    (format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n"), content.to_vec())
}

fn post(path: &str, content: &[u8]) -> Vec<u8> {
    post_with(path, "", content)
}

#[cfg(feature = "json")]
fn order() -> Vec<u8> {
    post_with("/orders", "Content-Type: application/json\r\n", br#"{ "item": "pear", "count": 6 }"#)
}

fn form(content: &str) -> Vec<u8> {
    post_with("/form", "Content-Type: application/x-www-form-urlencoded\r\n", content.as_bytes())
}

fn multipart() -> Vec<u8> {
    let parts =
        ["name=\"a\"\r\n\r\n1", "name=\"\\\"b\\\"\"; filename=\"c\"\r\nContent-Type: text/plain\r\n\r\nx"];
    let parts = parts.map(|part| format!("--X\r\nContent-Disposition: form-data; {part}\r\n"));
    let fields = "Content-Type: multipart/form-data; boundary=X\r\n";
    post_with("/multipart", fields, format!("{}--X--\r\n", parts.concat()).as_bytes())
}

/// A POST request with these fields, each including its CRLF.
fn post_with(path: &str, fields: &str, content: &[u8]) -> Vec<u8> {
    let (head, content) = sized(path, content);
    [head.as_bytes(), fields.as_bytes(), b"\r\n", &content].concat()
}

/// A POST request in chunks of at most `chunk` bytes, with these trailer fields, each including its CRLF.
fn chunked(path: &str, content: &[u8], chunk: usize, trailers: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut request = head.into_bytes();
    for piece in content.chunks(chunk) {
        request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    request
}

// ---------------------------------------------------------------- clients

/// Sends `request` repeatedly, each time after the response to the previous one, whose content must be
/// `expected`.
fn asks(request: Vec<u8>, expected: &'static [u8]) -> impl FnOnce(Client, u64) + Send {
    move |mut client, times| {
        for _ in 0..times {
            client.send(&request);
            answered(&mut client, expected);
        }
    }
}

/// Like `asks`, but the server sees the head and some of the content before the rest arrives, which requires an
/// inbox.
fn asks_in_pieces((head, content): Parts, expected: &'static [u8]) -> impl FnOnce(Client, u64) + Send {
    let first = [head.as_bytes(), b"Expect: 100-continue\r\n\r\n", &content[..FIRST_PIECE]].concat();
    move |mut client, times| {
        for _ in 0..times {
            client.send(&first);
            assert_eq!(client.answer_to_head().status, 100);
            content[FIRST_PIECE..].chunks(PIECE).for_each(|piece| client.send(piece));
            answered(&mut client, expected);
        }
    }
}

fn answered(client: &mut Client, expected: &[u8]) {
    let answer = client.answer();
    assert!(answer.status == 200 && answer.body == expected, "{}{}", answer.head, answer.text());
}

fn gets_404(path: &'static str) -> impl FnOnce(Client, u64) + Send {
    move |mut client, times| {
        for _ in 0..times {
            assert_eq!(client.get(path).status, 404);
        }
    }
}

fn gets_304(request: Vec<u8>) -> impl FnOnce(Client, u64) + Send {
    move |mut client, times| {
        for _ in 0..times {
            client.send(&request);
            assert_eq!(client.answer_to_head().status, 304);
        }
    }
}

fn pipelines() -> impl FnOnce(Client, u64) + Send {
    let requests: Vec<u8> = (0..PIPELINED).flat_map(|number| get(&format!("/number/{number}"))).collect();
    move |mut client, times| {
        for _ in 0..times / PIPELINED {
            client.send(&requests);
            for number in 0..PIPELINED {
                assert_eq!(client.answer().text(), number.to_string());
            }
        }
    }
}

/// Sends `frames`, those of one message, repeatedly. Each time `payload` comes back.
fn echoes(frames: Vec<u8>, payload: &'static [u8]) -> impl FnOnce(Client, u64) + Send {
    move |client, times| {
        let mut client = client.upgraded("/ws");
        for _ in 0..times {
            client.send(&frames);
            assert!(client.next_frame().payload == payload);
        }
    }
}

/// Like `echoes`, but the server sees the beginning before the rest arrives: it has answered the ping in front
/// of it.
fn echoes_in_pieces(message: Vec<u8>, payload: &'static [u8]) -> impl FnOnce(Client, u64) + Send {
    let first = [&frame(true, PING, b""), &message[..FIRST_PIECE]].concat();
    move |client, times| {
        let mut client = client.upgraded("/ws");
        for _ in 0..times {
            client.send(&first);
            assert_eq!(client.next_frame().opcode, PONG);
            message[FIRST_PIECE..].chunks(PIECE).for_each(|piece| client.send(piece));
            assert!(client.next_frame().payload == payload);
        }
    }
}
