//! Handlers that block run on threads of their own: other requests are served meanwhile, and no wait is unbounded.

use fleeting::OffloadCounters;
use fleeting::{App, Builder, Error, Full, Keep, Offload, OffloadOptions, Request, Response, Server};
use fleeting_testkit::client::{Client, PATIENCE};
use fleeting_testkit::server::{self, TestServer};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A time limit that tests wait for.
const SHORT: Duration = Duration::from_millis(200);

fn options(threads: usize, queue: usize, time_limit: Duration) -> OffloadOptions {
    let mut options = OffloadOptions::default();
    (options.threads, options.queue, options.time_limit) = (threads, queue, time_limit);
    options
}

/// Holds handlers until the test releases them. Each one reports when it arrives.
struct Gate {
    arrived: Mutex<Sender<String>>,
    opened: Mutex<Receiver<()>>,
}

impl Gate {
    fn wait(&self, name: &str) {
        self.arrived
            .lock()
            .expect("the lock is not poisoned")
            .send(name.to_string())
            .expect("the test waits");
        self.opened.lock().expect("the lock is not poisoned").recv().expect("the test releases it");
    }
}

/// The test's side of the gate.
struct GateControl {
    arrivals: Receiver<String>,
    open: Sender<()>,
}

impl GateControl {
    /// Waits for the next handler. Returns its name.
    fn wait_for_arrival(&self) -> String {
        self.arrivals.recv_timeout(PATIENCE).expect("a handler arrives")
    }

    fn open(&self) {
        self.open.send(()).expect("the gate is there");
    }
}

/// A server on which `/wait/{name}` waits at the gate, on the offload's threads.
fn serve(options: OffloadOptions) -> (TestServer, Arc<Offload>, GateControl) {
    serve_from(Server::builder(), options)
}

fn serve_from(builder: Builder, options: OffloadOptions) -> (TestServer, Arc<Offload>, GateControl) {
    let (arrived, arrivals) = channel();
    let (open, opened) = channel();
    let gate = Arc::new(Gate { arrived: Mutex::new(arrived), opened: Mutex::new(opened) });
    let offload = Arc::new(Offload::new(options).expect("there are threads"));
    let threads = offload.clone();
    let server = server::run_from(builder, move |_| app(&threads, gate));
    (server, offload, GateControl { arrivals, open })
}

fn app(offload: &Offload, gate: Arc<Gate>) -> App {
    let wait = move |req: &Request<'_>| gate.wait(req.param("name"));
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .route_handler(
            "GET",
            "/wait/{name}",
            offload.closure(move |req| {
                wait(req);
                Ok(Response::text(req.param("name")))
            }),
        )
        .route_handler("GET", "/echo/{text}", offload.closure(|req| Ok(Response::text(req.param("text")))))
        .route_handler("GET", "/panic", offload.closure(|_req| panic!("planted")))
        .route_handler(
            "GET",
            "/no-such-parameter",
            offload.closure(|req| Ok(Response::text(req.param("name")))),
        )
        .route_handler("GET", "/error", offload.closure(|_req| Err(Error::not_found("gone"))))
        .route_handler("GET", "/arena", offload.handler(in_the_arena))
        .route_handler("GET", "/later", offload.closure(|_req| later()))
        .route_handler("GET", "/pieces", offload.closure(|_req| pieces()))
}

fn in_the_arena<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    let text = req.arena().format(format_args!("{} {}", req.method(), req.path()));
    Response::new(201).header("x-own", "yes").map(|response| response.body(text).close())
}

/// Defers once more.
fn later() -> Result<Response<'static>, Error> {
    let (response, responder) = Response::defer();
    thread::spawn(move || responder.send(Response::text("later")).expect("the client waits"));
    Ok(response)
}

fn pieces() -> Result<Response<'static>, Error> {
    let (response, mut body) = Response::channel(16);
    thread::spawn(move || {
        body.send(&[b'x'; 1000]).expect("the client reads");
        body.finish();
    });
    Ok(response)
}

fn ask(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

/// Waits until the counters satisfy `until`.
#[track_caller]
fn counted(offload: &Offload, until: impl Fn(&OffloadCounters) -> bool) -> OffloadCounters {
    let begin = Instant::now();
    loop {
        let counters = offload.counters();
        if until(&counters) {
            return counters;
        }
        assert!(begin.elapsed() < PATIENCE, "it does not come to that: {counters:?}");
        thread::yield_now();
    }
}

#[test]
fn other_requests_are_served_while_all_threads_wait() {
    let (server, offload, gate) = serve(options(2, 10, PATIENCE));
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(server.addr)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        ask(client, &format!("/wait/{number}"));
    }
    // Two have a thread, and two wait for one.
    let mut arrived = [gate.wait_for_arrival(), gate.wait_for_arrival()];
    counted(&offload, |counters| counters.queued == 2);
    let mut other = Client::connect(server.addr);
    for _ in 0..100 {
        assert_eq!(other.get("/").text(), "hello");
    }
    (0..4).for_each(|_| gate.open());
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, &*number.to_string()));
    }
    arrived.sort();
    assert!(arrived.iter().all(|name| ["0", "1", "2", "3"].contains(&&**name)));
    let counters = counted(&offload, |counters| counters.ran == 4);
    assert_eq!((counters.queued, counters.skipped, counters.timed_out), (0, 0, 0));
}

#[test]
fn responses_come_in_the_order_of_the_requests() {
    let (server, _offload, gate) = serve(options(4, 100, PATIENCE));
    let mut client = Client::connect(server.addr);
    let paths = ["/wait/a", "/", "/echo/b", "/error", "/wait/c", "/echo/d", "/"];
    client.send(paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat());
    for expected in ["a", "hello", "b", "gone", "c", "d", "hello"] {
        if ["a", "c"].contains(&expected) {
            assert_eq!(gate.wait_for_arrival(), expected);
            gate.open();
        }
        assert_eq!(client.answer().text(), expected);
    }
}

#[test]
fn every_kind_of_response_can_be_returned() {
    let (server, _offload, _keeper) = serve(options(1, 10, PATIENCE));
    let mut client = Client::connect(server.addr);
    let answer = client.get("/error");
    assert_eq!((answer.status, answer.text()), (404, "gone"));
    assert_eq!(client.get("/later").text(), "later");
    ask(&mut client, "/pieces");
    assert_eq!(client.answer_in_chunks().body, [b'x'; 1000]);
    client.send("HEAD /echo/hello HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer_to_head().field("content-length"), Some("5"));
    ask(&mut client, "/arena");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (201, "GET /arena"));
    assert_eq!((answer.field("x-own"), answer.field("connection")), (Some("yes"), Some("close")));
    client.ended();
}

#[test]
fn a_request_that_waits_too_long_gets_503_and_its_late_response_is_dropped() {
    let (server, offload, gate) = serve(options(1, 10, SHORT));
    let mut first = Client::connect(server.addr);
    ask(&mut first, "/wait/running");
    assert_eq!(gate.wait_for_arrival(), "running");
    let mut second = Client::connect(server.addr);
    ask(&mut second, "/wait/queued");
    for client in [&mut first, &mut second] {
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{}", answer.head);
        assert_eq!(answer.field("connection"), None);
    }
    // The queued request is removed from the queue and never begins.
    let counters = counted(&offload, |counters| counters.skipped == 1);
    assert_eq!((counters.queued, counters.ran, counters.timed_out), (0, 0, 2));
    gate.open();
    counted(&offload, |counters| counters.ran == 1);
    assert!(gate.arrivals.try_recv().is_err());
    // The late response of the first request goes nowhere: later requests get their own.
    for client in [&mut first, &mut second] {
        assert_eq!(client.get("/").text(), "hello");
    }
    drop((server, first, second));
    assert_eq!(offload.counters().ran, 1);
}

#[test]
fn a_full_queue_rejects_at_once() {
    let (server, offload, gate) = serve(options(1, 2, PATIENCE));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.addr)).collect();
    ask(&mut clients[0], "/wait/0");
    assert_eq!(gate.wait_for_arrival(), "0");
    for (number, client) in clients.iter_mut().enumerate().skip(1) {
        ask(client, &format!("/wait/{number}"));
    }
    counted(&offload, |counters| counters.queued == 2);
    let mut turned_away = Client::connect(server.addr);
    for _ in 0..3 {
        let answer = turned_away.get("/echo/x");
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    }
    assert_eq!(offload.run(|| panic!("it must not run")), Err(Full));
    assert_eq!(offload.counters().refused_full, 4);
    (0..3).for_each(|_| gate.open());
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().text(), number.to_string());
    }
    assert_eq!(turned_away.get("/echo/x").text(), "x");
}

/// Finding A17.
#[test]
fn a_time_limit_may_be_as_long_as_a_duration_can_be() {
    let (server, offload, _gate) = serve(options(1, 10, Duration::MAX));
    assert_eq!(Client::connect(server.addr).get("/echo/hello").text(), "hello");
    assert_eq!(counted(&offload, |counters| counters.ran == 1).panicked, 0);
}

/// Asks for a job, which is queued, and runs it after the client has left as `leave` says. Returns how many jobs were
/// skipped.
fn skipped(builder: Builder, leave: impl FnOnce(Client, &TestServer)) -> u64 {
    let (server, offload, gate) = serve_from(builder, options(1, 10, PATIENCE));
    let mut first = Client::connect(server.addr);
    ask(&mut first, "/wait/first");
    assert_eq!(gate.wait_for_arrival(), "first");
    let mut gone = Client::connect(server.addr);
    ask(&mut gone, "/wait/gone");
    let mut last = Client::connect(server.addr);
    ask(&mut last, "/wait/last");
    counted(&offload, |counters| counters.queued == 2);
    leave(gone, &server);
    (0..3).for_each(|_| gate.open());
    assert_eq!((first.answer().text(), last.answer().text()), ("first", "last"));
    let counters = counted(&offload, |counters| counters.ran + counters.skipped == 3);
    let names = (0..counters.ran - 1).map(|_| gate.wait_for_arrival()).collect::<Vec<_>>();
    assert_eq!(names.contains(&"gone".into()), counters.skipped == 0, "{names:?}");
    counters.skipped
}

#[test]
fn no_handler_runs_for_a_client_that_is_gone() {
    let reset = |client: Client, server: &TestServer| {
        client.reset();
        server.wait(|counters| counters.connections == 2);
    };
    assert_eq!(skipped(Server::builder(), reset), 1);
    assert_eq!(skipped(Server::builder().half_close(true), reset), 1);
}

/// Finding A11.
#[test]
fn no_handler_runs_for_a_client_that_has_ended_its_side() {
    let end = |mut client: Client, server: &TestServer| {
        client.end();
        server.wait(|counters| counters.connections == 2);
        client.ended();
    };
    assert_eq!(skipped(Server::builder(), end), 1);
    // Unless half-close is honoured.
    let mut waiting = None;
    let end = |mut client: Client, server: &TestServer| {
        client.end();
        // Other connections have had turns since.
        assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
        waiting = Some(client);
    };
    assert_eq!(skipped(Server::builder().half_close(true), end), 0);
    // The server has ended by now, after the answer.
    assert_eq!(waiting.expect("it waits").answer().text(), "gone");
}

#[test]
fn a_panic_costs_one_response() {
    let (server, offload, _keeper) = serve(options(1, 10, PATIENCE));
    let mut client = Client::connect(server.addr);
    for path in ["/panic", "/no-such-parameter", "/panic"] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.field("connection")), (500, None));
        assert!(!answer.text().contains("planted"), "the response reveals the panic message");
        assert_eq!(client.get("/echo/alive").text(), "alive");
    }
    offload.run(|| panic!("planted")).expect("there is room");
    assert_eq!(client.get("/echo/alive").text(), "alive");
    assert_eq!(counted(&offload, |counters| counters.ran == 8).panicked, 4);
    assert_eq!(server.finish().panics, 0);
}

#[test]
fn work_without_a_request_runs_in_order() {
    let offload = Offload::new(options(1, 100, SHORT)).expect("there are threads");
    let (done, results) = channel();
    for number in 0..100 {
        let done = done.clone();
        offload.run(move || done.send(number).expect("the test waits")).expect("there is room for all");
    }
    drop((offload, done));
    assert_eq!(results.into_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn shutting_down_finishes_the_queue_and_rejects_new_requests() {
    // One hour, so that an earlier end is caused by the shutdown and not by the time limit.
    let (server, offload, gate) = serve(options(1, 10_000, Duration::from_secs(3600)));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.addr)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        ask(client, &format!("/wait/{number}"));
        // In this order.
        counted(&offload, |counters| counters.queued == number as u64);
        if number == 0 {
            gate.wait_for_arrival();
        }
    }
    let (ended, end) = channel();
    thread::spawn(move || {
        offload.shutdown();
        ended.send(()).expect("the test waits");
    });
    // The end has begun once a request is rejected. An earlier request waits with the others.
    let mut waiting = Vec::new();
    let mut late = loop {
        let mut client = Client::connect(server.addr);
        ask(&mut client, "/echo/late");
        server.wait(|counters| counters.requests == 4 + waiting.len() as u64);
        client.stream().set_nonblocking(true).expect("the connection is open");
        let has_answer = client.stream().peek(&mut [0]).is_ok();
        client.stream().set_nonblocking(false).expect("the connection is open");
        if has_answer {
            break client;
        }
        waiting.push(client);
    };
    assert_eq!(late.answer().status, 503);
    (0..3).for_each(|_| gate.open());
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().text(), number.to_string());
    }
    waiting.iter_mut().for_each(|client| assert_eq!(client.answer().text(), "late"));
    end.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(late.get("/echo/late").status, 503);
    assert_eq!(late.get("/").text(), "hello");
}

#[test]
fn shutting_down_does_not_wait_for_a_handler_that_never_ends() {
    let (server, offload, gate) = serve(options(1, 10, SHORT));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.addr)).collect();
    for client in &mut clients {
        ask(client, "/wait/for-ever");
    }
    gate.wait_for_arrival();
    let (started, starts) = channel();
    offload.run(move || started.send(()).expect("the test waits")).expect("there is room");
    offload.shutdown();
    assert!(starts.recv().is_err(), "work queued behind it must be dropped");
    for client in &mut clients {
        assert_eq!(client.answer().status, 503);
    }
    gate.open();
    assert_eq!(clients[0].get("/").text(), "hello");
}

/// Reports when it is dropped.
struct Dropped(Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(()).expect("the test waits");
    }
}

/// Finding A7.
#[test]
fn handlers_keep_the_threads_that_they_run_on() {
    let (dropped, drops) = channel();
    let token = Dropped(dropped);
    let server = server::run(move |_| {
        let offload = Offload::new(options(1, 10, PATIENCE)).expect("there are threads");
        App::new().route_handler(
            "GET",
            "/echo/{text}",
            offload.closure(move |req| {
                let _owned = &token;
                Ok(Response::text(req.param("text")))
            }),
        )
    });
    let mut client = Client::connect(server.addr);
    for text in ["a", "b"] {
        let answer = client.get(&format!("/echo/{text}"));
        assert_eq!((answer.status, answer.text()), (200, text));
    }
    drop((client, server));
    drops.recv_timeout(PATIENCE).expect("the last handler frees the threads' memory");
}

/// Finding A7.
#[test]
fn the_last_owner_can_be_dropped_on_one_of_its_threads() {
    // One hour, so that a thread that waits for itself shows.
    let offload = Offload::new(options(1, 10, Duration::from_secs(3600))).expect("there are threads");
    let (dropped, drops) = channel();
    let (kept, keeps) = channel();
    let handler = offload.closure(|_req| Ok(Response::new(204)));
    offload
        .run(move || {
            let _token = Dropped(dropped);
            let handler = handler;
            keeps.recv().expect("the test sends");
            drop(handler);
        })
        .expect("there is room");
    drop(offload);
    kept.send(()).expect("the job waits");
    drops.recv_timeout(PATIENCE).expect("the job ends");
}

#[test]
fn many_requests_at_once_are_all_answered() {
    let (server, offload, _keeper) = serve(options(3, 1000, PATIENCE));
    let addr = server.addr;
    let clients = (0..8).map(|number| {
        thread::spawn(move || {
            let mut client = Client::connect(addr);
            for round in 0..50 {
                let texts: Vec<String> = (0..4).map(|at| format!("{number}-{round}-{at}")).collect();
                let request = |text: &String| format!("GET /echo/{text} HTTP/1.1\r\nHost: test\r\n\r\n");
                client.send(texts.iter().map(request).collect::<String>());
                texts.iter().for_each(|text| assert_eq!(client.answer().text(), text));
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().expect("all are answered"));
    let counters = counted(&offload, |counters| counters.ran == 8 * 50 * 4);
    assert_eq!((counters.queued, counters.skipped, counters.timed_out, counters.panicked), (0, 0, 0, 0));
}

// ---------------------------------------------------------------- the same request

/// Writes down all that a handler can see of a request.
fn described(req: &Request<'_>) -> String {
    let mut text = String::new();
    let mut say = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("writing to memory cannot fail")
    };
    say(format_args!("{:?} {:?} {:?} ", req.method(), req.path(), req.query()));
    say(format_args!("{:?} {:?}\n", req.host(), req.version()));
    for (name, value) in req.fields() {
        say(format_args!("{name}: {value:?}\n"));
    }
    say(format_args!("{:?} {:?}\n", req.header("x-id"), req.header("x-raw")));
    say(format_args!("{:?} {:?} {:?}\n", req.try_param("a"), req.try_param("b"), req.try_param("c")));
    say(format_args!("{:?}\n", req.body()));
    for (name, value) in req.trailers() {
        say(format_args!("{name}: {value:?}\n"));
    }
    say(format_args!("{} {:?}\n", req.conn_id(), req.peer_addr()));
    text
}

fn describe<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    Ok(Response::text(described(req)))
}

#[test]
fn a_handler_on_another_thread_sees_the_same_request() {
    let offload = Arc::new(Offload::new(options(2, 10, PATIENCE)).expect("there are threads"));
    let threads = offload.clone();
    let (sees, seen) = channel();
    let compared = Arc::new(AtomicUsize::new(0));
    let compares = compared.clone();
    let server = server::run(move |_| {
        App::new()
            .route_handler("GET", "/fixed", threads.handler(describe))
            .route_handler("POST", "/one/{a}", threads.handler(describe))
            .route_handler("POST", "/two/{b}/{*c}", threads.handler(describe))
            .route_handler("BREW", "/fixed", threads.handler(describe))
            .layer(move |req, handler| {
                // The kept request says the same without being turned back into a request.
                let kept = req.keep();
                assert_eq!(
                    (kept.method(), kept.path(), kept.query()),
                    (req.method().as_str(), req.path(), req.query())
                );
                assert!(kept.fields().eq(req.fields()), "{:?}", req.fields());
                assert_eq!(
                    (kept.header("X-ID"), kept.header("x-raw")),
                    (req.header("X-ID"), req.header("x-raw"))
                );
                assert_eq!((kept.body(), kept.try_param("a")), (req.body(), req.try_param("a")));
                assert_eq!((kept.conn_id(), kept.peer_addr()), (req.conn_id(), req.peer_addr()));
                assert_eq!(kept.clone(), req.keep());
                compares.fetch_add(1, Ordering::Relaxed);
                sees.send(described(req)).expect("the test waits");
                handler.call(req)
            })
    });
    let mut client = Client::connect(server.addr);
    let long = "x".repeat(3000);
    let body = "y".repeat(100_000);
    let requests: Vec<Vec<u8>> = vec![
        b"GET /fixed HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(),
        b"GET /fixed? HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(),
        b"GET /fixed?a=b?c&d=%20 HTTP/1.1\r\nHost:a\r\nX-Id:\t 7 \t\r\n\r\n".to_vec(),
        b"GET /%66ixed HTTP/1.1\r\nhost: [::1]:80\r\nX-Id: 1\r\nx-id: 2\r\nX-ID: 3\r\nX-Empty:\r\n\r\n".to_vec(),
        b"GET http://test/%66ixe%64?%61=/?%66ixed HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(),
        b"GET /fixed HTTP/1.1\r\nHost: test\r\nX-Raw: caf\xe9 \xff\r\nX-Id: a:b: c\r\n\r\n".to_vec(),
        b"GET http://other.example:8080/fixed?q HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(),
        b"BREW /fixed HTTP/1.1\r\nHost: test\r\n!#$%&'*+.^_`|~: odd\r\n\r\n".to_vec(),
        b"GET /fixed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        b"POST /one/caf%C3%A9%2F%00x?q HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n\0\r\n".to_vec(),
        b"POST /two/b/c/d//e HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"POST /one/1 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\n\
          X-Sum: 1\r\nX-Sum: \xe9\r\nX-None:\r\n\r\n"
            .to_vec(),
        b"POST /one/1 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        format!("GET /fixed?{long} HTTP/1.1\r\nHost: test\r\nX-Id: {long}\r\n\r\n").into_bytes(),
        format!("POST /one/1 HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(),
    ];
    let many: String = (0..90).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let many = format!("GET /fixed HTTP/1.1\r\nHost: test\r\n{many}\r\n").into_bytes();
    let count = requests.len() + 1;
    for request in requests.into_iter().chain([many]) {
        client.send(&request);
        let (answer, seen) = (client.answer(), seen.recv_timeout(PATIENCE).expect("the handler is called"));
        assert_eq!((answer.status, answer.text()), (200, &*seen), "{}", String::from_utf8_lossy(&request));
    }
    assert_eq!(compared.load(Ordering::Relaxed), count);
    assert_eq!(counted(&offload, |counters| counters.ran == count as u64).panicked, 0);
}
