//! An application's hook learns about each request once, when the last byte of its response has left or its connection
//! has failed.

use fleeting::http1::Fields;
use fleeting::ws::CloseCode;
use fleeting::{
    App, Completion, Error, FilePart, Flow, Limits, Message, Request, Responder, Response, Socket, Timeouts,
    Upload, WebSocket,
};
use fleeting_testkit::client::{Client, handshake};
use fleeting_testkit::server::{self, TestServer};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// What the hook was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Over {
    line: String,
    route: Option<String>,
    status: Option<u16>,
    bytes_in: u64,
    bytes_out: u64,
    duration: Duration,
    peer: Option<SocketAddr>,
    conn: String,
    sent: bool,
}

impl From<&Completion<'_>> for Over {
    fn from(done: &Completion<'_>) -> Over {
        let query = done.query().map_or(String::new(), |query| format!("?{query}"));
        Over {
            line: format!("{} {}{query}", done.method(), done.path()),
            route: done.route().map(String::from),
            status: done.status(),
            bytes_in: done.bytes_in(),
            bytes_out: done.bytes_out(),
            duration: done.duration(),
            peer: done.peer_addr(),
            conn: done.conn_id().to_string(),
            sent: done.is_sent(),
        }
    }
}

/// Takes everything; the client's first byte says what to do in the end.
struct Swallow;

impl Upload for Swallow {
    type Session = u64;

    fn open(&self, req: &Request<'_>) -> Result<u64, Error> {
        if req.query() == Some("no") { Err(Error::forbidden("no")) } else { Ok(0) }
    }

    fn piece(&self, bytes: &mut u64, piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        *bytes += piece.len() as u64;
        Ok(())
    }

    fn finish(&self, bytes: u64, _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text(bytes.to_string()).with_status(201))
    }
}

/// Greets and echoes.
struct Echo;

impl WebSocket for Echo {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        if req.query() == Some("no") {
            return Err(Error::unauthorized("Bearer", "no"));
        }
        socket.text("a greeting that is no part of the response");
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }

    fn close(&self, _session: (), _code: Option<CloseCode>, _reason: &str) {}
}

const LARGE_BYTES: usize = 8 << 20;

fn app(over: Sender<Over>, later: Sender<Responder>) -> App {
    let senders = RefCell::new(Vec::new());
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/users/{id}", |req| Ok(Response::text(req.param("id"))))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .get("/panic", |_req| panic!("planted"))
        .get("/bad", |_req| Err(Error::new(503, "later").header("retry-after", "1")))
        .get("/large", |_req| Ok(Response::new(200).body(vec![b'x'; LARGE_BYTES])))
        .get("/file", |_req| {
            let file = File::open("Cargo.lock").map_err(Error::from)?;
            let bytes = file.metadata()?.len();
            Ok(Response::new(200).body(FilePart::new(file, 0, bytes)))
        })
        .get("/later", move |_req| {
            let (response, responder) = Response::defer();
            later.send(responder).expect("the test waits");
            Ok(response)
        })
        .get("/stream", |_req| {
            let (response, mut sender) = Response::channel(1 << 20);
            for piece in ["one ", "two ", "three"] {
                sender.send(piece.as_bytes()).expect("there is room");
            }
            sender.finish();
            Ok(response)
        })
        .get("/broken", |_req| Ok(Response::channel(1 << 20).0))
        .get("/events", move |_req| {
            let (response, sender) = Response::events(1024);
            senders.borrow_mut().push(sender);
            Ok(response)
        })
        .upload("PUT", "/upload", Swallow)
        .ws("/ws", Echo)
        .on_complete(move |done| {
            let _ = over.send(done.into());
            assert_ne!(done.path(), "/bad", "planted");
        })
}

struct Service {
    server: TestServer,
    over: Receiver<Over>,
    later: Receiver<Responder>,
}

impl Service {
    fn new() -> Service {
        Service::with(|_, _| {})
    }

    fn with(set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Service {
        let ((over, receiver), (later, responders)) = (mpsc::channel(), mpsc::channel());
        let server = server::run_with(set, move |_| app(over, later));
        Service { server, over: receiver, later: responders }
    }

    /// Returns what the hook was told next.
    fn next(&self) -> Over {
        self.over.recv_timeout(Duration::from_secs(20)).expect("the hook is called")
    }

    /// Sends bytes on a new connection and returns everything that comes back.
    fn exchange(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.server.addr).unwrap();
        stream.write_all(bytes.as_ref()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Ends the server. The hook must not have been called again.
    fn end(self) {
        self.server.finish();
        assert_eq!(self.over.try_iter().collect::<Vec<_>>(), []);
    }
}

fn request(line: &str, fields: &str, content: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: test\r\n{fields}\r\n{content}")
}

#[test]
fn each_kind_of_request_is_reported_once() {
    let service = Service::new();
    let cases: &[(String, &str, Option<&str>, u16)] = &[
        (request("GET /", "", ""), "GET /", Some("/"), 200),
        (request("HEAD /", "", ""), "HEAD /", Some("/"), 200),
        (request("GET /users/7?a=b&c", "", ""), "GET /users/7?a=b&c", Some("/users/{id}"), 200),
        (request("GET /users/7?", "", ""), "GET /users/7?", Some("/users/{id}"), 200),
        (request("POST /echo", "Content-Length: 3\r\n", "abc"), "POST /echo", Some("/echo"), 200),
        (
            request("POST /echo", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            "POST /echo",
            Some("/echo"),
            200,
        ),
        (request("GET /panic", "", ""), "GET /panic", Some("/panic"), 500),
        // The hook panics for this one, after it has reported it.
        (request("GET /bad", "", ""), "GET /bad", Some("/bad"), 503),
        (request("GET /no", "", ""), "GET /no", None, 404),
        (request("DELETE /", "", ""), "DELETE /", Some("/"), 405),
        (request("OPTIONS /", "", ""), "OPTIONS /", Some("/"), 204),
        (request("OPTIONS *", "", ""), "OPTIONS *", None, 204),
        (request("GET /large", "", ""), "GET /large", Some("/large"), 200),
        (request("GET /file", "", ""), "GET /file", Some("/file"), 200),
        (request("GET /stream", "", ""), "GET /stream", Some("/stream"), 200),
        (request("HEAD /stream", "", ""), "HEAD /stream", Some("/stream"), 200),
        (request("PUT /upload", "Content-Length: 5\r\n", "abcde"), "PUT /upload", Some("/upload"), 201),
        (request("PUT /upload?no", "Content-Length: 5\r\n", "abcde"), "PUT /upload?no", Some("/upload"), 403),
        (handshake("/ws?no", ""), "GET /ws?no", Some("/ws"), 401),
        (request("GET /ws", "", ""), "GET /ws", Some("/ws"), 426),
    ];
    for (bytes, line, route, status) in cases {
        let answer = service.exchange(bytes);
        let over = service.next();
        assert_eq!(
            (&*over.line, over.route.as_deref(), over.status),
            (*line, *route, Some(*status)),
            "{over:?}"
        );
        // A refused upload is not read.
        let expected_in = if *status == 403 { bytes.len() - 5 } else { bytes.len() };
        assert_eq!((over.bytes_in, over.bytes_out), (expected_in as u64, answer.len() as u64), "{over:?}");
        assert!(over.sent && over.peer.is_some_and(|peer| peer.ip().is_loopback()), "{over:?}");
    }
    assert_eq!(service.server.wait(|counters| counters.connections == 0).panics, 2);
    service.end();
}

#[test]
fn pipelined_requests_are_reported_in_order() {
    let service = Service::new();
    let requests: String = (0..40).map(|number| request(&format!("GET /users/{number}"), "", "")).collect();
    let answers = service.exchange(&requests);
    let over: Vec<Over> = (0..40).map(|_| service.next()).collect();
    for (number, over) in over.iter().enumerate() {
        assert_eq!((&over.line, &over.conn), (&format!("GET /users/{number}"), &over.conn));
    }
    assert_eq!(over.iter().map(|over| over.bytes_out).sum::<u64>(), answers.len() as u64);
    assert_eq!(over.iter().map(|over| over.bytes_in).sum::<u64>(), requests.len() as u64);
    service.end();
}

/// Finding A4.
#[test]
fn a_deferred_response_is_reported_when_it_has_left() {
    let service = Service::new();
    let mut client = Client::connect(service.server.addr);
    let asked = Instant::now();
    client.send(request("GET /later", "", ""));
    let responder = service.later.recv().unwrap();
    let made = Instant::now();
    assert_eq!(service.over.recv_timeout(Duration::from_millis(30)), Err(RecvTimeoutError::Timeout));
    let waited = made.elapsed();
    responder.send(Response::text("later").with_status(202)).unwrap();
    assert_eq!(client.answer().status, 202);
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.sent), ("GET /later", Some(202), true));
    assert!(waited <= over.duration && over.duration <= asked.elapsed(), "{over:?}");
    service.end();
}

#[test]
fn a_websocket_is_reported_when_its_101_has_left() {
    let service = Service::new();
    let mut client = Client::connect(service.server.addr);
    let bytes = handshake("/ws", "");
    client.send(&bytes);
    let answer = client.answer();
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.sent), ("GET /ws", Some(101), true));
    assert_eq!(
        (over.bytes_in, over.bytes_out),
        (bytes.len() as u64, answer.head.len() as u64),
        "{}",
        answer.head
    );
    client.next_frame();
    service.end();
}

#[test]
fn requests_that_cannot_be_read_are_reported() {
    let service = Service::with(|limits, timeouts| {
        limits.body_bytes = 100;
        timeouts.head = Duration::from_millis(50);
    });
    let cases: &[(String, &str, u16)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), " ", 400),
        (request("POST /echo", "Content-Length: 101\r\n", ""), "POST /echo", 413),
        (request("POST /echo", "Transfer-Encoding: chunked\r\n", "zz\r\n"), "POST /echo", 400),
    ];
    for (bytes, line, status) in cases {
        let answer = service.exchange(bytes);
        let over = service.next();
        assert_eq!(
            (over.line.trim(), over.status, over.sent),
            (line.trim(), Some(*status), true),
            "{over:?}"
        );
        assert_eq!(over.bytes_out, answer.len() as u64, "{over:?}");
    }
    // The rest of the head does not come.
    let mut client = Client::connect(service.server.addr);
    client.send("GET / HTTP/1.1\r\n");
    assert_eq!(client.answer().status, 408);
    assert_eq!(service.next().status, Some(408));
    service.end();
}

#[test]
fn a_response_that_is_cut_off_is_reported_with_what_was_taken() {
    let service = Service::new();
    let mut client = Client::connect_with_small_buffer(service.server.addr);
    client.send(request("GET /large", "", ""));
    client.bytes(1000);
    assert!(service.over.try_recv().is_err(), "the client has read 1000 bytes of 8 MiB");
    client.reset();
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.sent), ("GET /large", Some(200), false));
    assert!(1000 <= over.bytes_out && over.bytes_out < LARGE_BYTES as u64, "{over:?}");
    service.end();
}

#[test]
fn a_slow_client_gets_everything_before_the_report() {
    let service = Service::new();
    let mut client = Client::connect_with_small_buffer(service.server.addr);
    client.send(request("GET /large", "", "") + &request("GET /", "", ""));
    client.answer_to_head();
    client.bytes(1000);
    assert!(service.over.try_recv().is_err(), "the client has read 1000 bytes of 8 MiB");
    client.bytes(LARGE_BYTES - 1000);
    let (large, small) = (service.next(), service.next());
    assert_eq!((&*large.line, &*small.line), ("GET /large", "GET /"));
    assert!(large.sent && small.sent && large.bytes_out > LARGE_BYTES as u64, "{large:?}");
    assert_eq!(client.answer().text(), "hello");
    service.end();
}

#[test]
fn what_the_client_does_not_wait_for_is_reported_as_not_sent() {
    let service = Service::new();
    // A deferred answer: there is no status yet.
    let mut client = Client::connect(service.server.addr);
    client.send(request("GET /later", "", ""));
    let responder = service.later.recv().unwrap();
    client.reset();
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.bytes_out, over.sent), ("GET /later", None, 0, false));
    assert!(responder.is_gone());
    // An event stream never ends by itself.
    let mut client = Client::connect(service.server.addr);
    client.send(request("GET /events", "", ""));
    assert_eq!(client.answer_to_head().status, 200);
    client.end();
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.sent), ("GET /events", Some(200), false));
    assert!(over.bytes_out > 0);
    // A stream whose sender was dropped before its end.
    let answer = service.exchange(request("GET /broken", "", ""));
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.sent), ("GET /broken", Some(200), false));
    assert_eq!(over.bytes_out, answer.len() as u64);
    // An upload that is broken off.
    let mut client = Client::connect(service.server.addr);
    client.send(request("PUT /upload", "Content-Length: 5\r\n", "abc"));
    client.end();
    let over = service.next();
    assert_eq!((&*over.line, over.status, over.bytes_out, over.sent), ("PUT /upload", None, 0, false));
    service.end();
}
