//! An upload receives its content as it arrives: whole, in order, and with exactly one end.

use fleeting::http1::Fields;
use fleeting::{App, Error, Flow, Request, Response, Resume, Timeouts, Upload};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{self, TestServer};
use std::io::Write as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

/// What an upload reports to the test.
#[derive(Debug)]
enum Report {
    Paused(Resume),
    Finished(u64),
    Aborted(u64),
}

/// Counts bytes and sums them up. The first byte of the content selects its behavior.
struct Sum {
    reported: Sender<Report>,
    limit: u64,
}

#[derive(Default)]
struct Sofar {
    bytes: u64,
    sum: u64,
}

impl Upload for Sum {
    type Session = Sofar;

    fn limit(&self) -> u64 {
        self.limit
    }

    fn open(&self, req: &Request<'_>) -> Result<Sofar, Error> {
        assert!(req.body().is_empty(), "only the head is there");
        match req.query() {
            Some("refuse") => Err(Error::forbidden("not you")),
            Some("panic") => panic!("planted"),
            _ => Ok(Sofar::default()),
        }
    }

    fn piece(&self, sofar: &mut Sofar, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
        assert!(!piece.is_empty());
        if sofar.bytes == 0 {
            match piece[0] {
                b'P' => self.reported.send(Report::Paused(flow.pause())).expect("the test waits"),
                b'R' => flow.pause().resume(),
                b'E' => return Err(Error::new(422, "not this")),
                b'!' => panic!("planted"),
                _ => {}
            }
        }
        sofar.bytes += piece.len() as u64;
        sofar.sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        Ok(())
    }

    fn finish(&self, sofar: Sofar, trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        self.reported.send(Report::Finished(sofar.bytes)).expect("the test waits");
        match trailers.get("x-then") {
            Some(b"panic") => panic!("planted"),
            Some(b"error") => return Err(Error::new(422, "not so")),
            Some(b"now") => {
                let (response, responder) = Response::defer();
                responder.send(Response::text("now")).expect("the client waits");
                return Ok(response);
            }
            Some(b"later") => {
                let (response, responder) = Response::defer();
                thread::spawn(move || responder.send(Response::text("later")).expect("the client waits"));
                return Ok(response);
            }
            _ => {}
        }
        Ok(Response::text(format!("{} {}", sofar.bytes, sofar.sum)))
    }

    fn abort(&self, sofar: Sofar) {
        self.reported.send(Report::Aborted(sofar.bytes)).expect("the test waits");
        assert_ne!(sofar.bytes, 13, "planted");
    }
}

fn serve_with(limit: u64, set: impl FnOnce(&mut Timeouts)) -> (TestServer, Receiver<Report>) {
    let (reported, reports) = channel();
    let app = move || {
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .post("/echo", |req| Ok(Response::bytes(req.body())))
            .upload("POST", "/up", Sum { reported, limit })
    };
    (server::run_with(|_, timeouts| set(timeouts), move |_| app()), reports)
}

fn serve() -> (TestServer, Receiver<Report>) {
    serve_with(u64::MAX, |_| {})
}

fn sized(path: &str, content: &str) -> String {
    let length = content.len();
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{content}")
}

fn chunked(content: &str, trailers: &str) -> String {
    let chunks: String = content
        .as_bytes()
        .chunks(7)
        .map(|chunk| format!("{:x};x\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).expect("ASCII")))
        .collect();
    format!(
        "POST /up HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n{trailers}\r\n"
    )
}

fn expected(content: &str) -> String {
    format!("{} {}", content.len(), content.bytes().map(u64::from).sum::<u64>())
}

#[track_caller]
fn finished(reports: &Receiver<Report>, bytes: usize) {
    match reports.recv() {
        Ok(Report::Finished(reported)) => assert_eq!(reported, bytes as u64),
        other => panic!("not finished: {other:?}"),
    }
}

#[track_caller]
fn aborted(reports: &Receiver<Report>, bytes: usize) {
    match reports.recv() {
        Ok(Report::Aborted(reported)) => assert_eq!(reported, bytes as u64),
        other => panic!("not aborted: {other:?}"),
    }
}

#[test]
fn content_arrives_whole_in_either_framing_however_it_is_cut() {
    let (server, reports) = serve();
    let content = "Some content of the request";
    let mut client = Client::connect(server.addr);
    for request in
        [sized("/up", content), chunked(content, ""), sized("/up", ""), chunked("", "X-Sum: 1\r\n")]
    {
        let whole = if request.contains("content of") || request.contains(";x") { content } else { "" };
        // Also in two pieces. The server has read the first one, because another client was answered meanwhile.
        for cut in (0..request.len()).step_by(17) {
            client.send(&request[..cut]);
            Client::connect(server.addr).get("/");
            client.send(&request[cut..]);
            assert_eq!(client.answer().text(), expected(whole), "cut at {cut}");
            finished(&reports, whole.len());
        }
    }
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn pipelined_uploads_are_answered_in_order() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let one = [&sized("/up", "abc"), get, &chunked("Rdefg", "X-Then: later\r\n"), &sized("/echo", "h"), get]
        .concat();
    client.send(one.repeat(20));
    for _ in 0..20 {
        assert_eq!(client.answer().text(), expected("abc"));
        assert_eq!(client.answer().text(), "hello");
        assert_eq!(client.answer().text(), "later");
        assert_eq!(client.answer().text(), "h");
        assert_eq!(client.answer().text(), "hello");
        finished(&reports, 3);
        finished(&reports, 5);
    }
}

/// It is there before the connection could be woken for it.
#[test]
fn a_response_that_is_made_in_finish_arrives() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    client.send(chunked("abc", "X-Then: now\r\n"));
    assert_eq!(client.answer().text(), "now");
    finished(&reports, 3);
}

#[test]
fn an_upload_may_be_larger_than_any_buffer() {
    const BYTES: usize = 40 << 20;
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: {BYTES}\r\n\r\n"));
    let piece = vec![b'x'; 1 << 20];
    (0..BYTES >> 20).for_each(|_| client.send(&piece));
    assert_eq!(client.answer().text(), format!("{BYTES} {}", BYTES * usize::from(b'x')));
    finished(&reports, BYTES);
    // The content of ordinary handlers is bounded as before.
    client.send(format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {BYTES}\r\n\r\n"));
    assert_eq!(client.answer().status, 413);
}

#[test]
fn content_beyond_the_uploads_own_limit_is_413() {
    let (server, reports) = serve_with(10, |_| {});
    let mut client = Client::connect(server.addr);
    client.send(sized("/up", "0123456789"));
    assert_eq!(client.answer().status, 200);
    finished(&reports, 10);
    client.send("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    client.ended();
    let mut client = Client::connect(server.addr);
    client.send(chunked("0123456789x", ""));
    assert_eq!(client.answer().status, 413);
    aborted(&reports, 7);
    client.ended();
    assert!(reports.try_recv().is_err(), "a refused upload was opened");
}

#[test]
fn a_client_that_expects_100_continue_receives_it() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    let head = "HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.send(format!("POST /up {head}"));
    assert_eq!(client.answer_to_head().status, 100);
    client.send("abc");
    assert_eq!(client.answer().text(), expected("abc"));
    finished(&reports, 3);
    client.send(format!("POST /up?refuse {head}"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (403, Some("close")));
    client.ended();
}

#[test]
fn a_refused_upload_is_answered_and_its_content_discarded() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    let check = |client: &mut Client, request: &str, status: u16| {
        client.send(request);
        assert_eq!(client.answer().status, status, "{request}");
        assert_eq!(client.get("/").text(), "hello", "{request}");
    };
    check(&mut client, &sized("/up?refuse", "GET / HTTP/1.1\r\n\r\n"), 403);
    check(&mut client, &sized("/up?panic", "abc"), 500);
    check(&mut client, &sized("/up", "E GET / HTTP/1.1\r\n\r\n"), 422);
    aborted(&reports, 0);
    check(&mut client, &chunked("Error in the first of several chunks", "X: y\r\n"), 422);
    aborted(&reports, 0);
    check(&mut client, &sized("/up", "! panic"), 500);
    aborted(&reports, 0);
    check(&mut client, &chunked("abc", "X-Then: panic\r\n"), 500);
    finished(&reports, 3);
    check(&mut client, &chunked("abc", "X-Then: error\r\n"), 422);
    finished(&reports, 3);
    // Too much to discard, but the request is still answered.
    client.send("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 999999999\r\n\r\nE");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (422, Some("close")));
    aborted(&reports, 0);
    client.ended();
    assert_eq!(server.wait(|counters| counters.panics == 3).panics, 3);
}

#[test]
fn broken_framing_is_refused_and_aborts_the_upload() {
    let (server, reports) = serve();
    for broken in ["3\r\nabcX", "3\r\nabc\r\n0\r\nHost: a\r\n\r\n", "3\r\nabc\r\n-1\r\n"] {
        let mut client = Client::connect(server.addr);
        client.send(format!("POST /up HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{broken}"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("connection")), (400, Some("close")), "{broken:?}");
        aborted(&reports, 3);
        client.ended();
    }
}

#[test]
fn a_pause_stops_reading_from_the_client() {
    let (server, reports) = serve_with(u64::MAX, |timeouts| timeouts.body_stall = SHORT);
    let mut client = Client::connect(server.addr);
    const BYTES: usize = 64 << 20;
    client.send(format!("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: {BYTES}\r\n\r\nP"));
    let Ok(Report::Paused(resume)) = reports.recv() else { panic!("not paused") };
    // Bytes beyond what the sockets hold are not taken, however often they are offered.
    client.stream().set_nonblocking(true).expect("a socket");
    let piece = vec![b'P'; 64 << 10];
    let mut sent = 1;
    let mut offers = 0;
    while offers < 20 {
        match client.stream().write(&piece[..piece.len().min(BYTES - sent)]) {
            Ok(bytes) => sent += bytes,
            Err(_) => {
                // The server has turns meanwhile, and its timers run.
                Client::connect(server.addr).get("/");
                offers += 1;
            }
        }
        assert!(sent < BYTES, "all of it was taken");
    }
    client.stream().set_nonblocking(false).expect("a socket");
    thread::spawn(|| drop(resume)).join().expect("the thread does not panic");
    while sent < BYTES {
        let bytes = piece.len().min(BYTES - sent);
        client.send(&piece[..bytes]);
        sent += bytes;
    }
    assert_eq!(client.answer().text(), format!("{BYTES} {}", BYTES * usize::from(b'P')));
    finished(&reports, BYTES);
    assert_eq!(server.wait(|_| true).timeouts, 0);
}

#[test]
fn a_pause_at_the_end_of_the_content_can_be_resumed() {
    // In one piece, with and without another request behind it.
    for behind in ["", "GET / HTTP/1.1\r\nHost: test\r\n\r\n"] {
        let (server, reports) = serve();
        let mut client = Client::connect(server.addr);
        client.send(format!("{}{behind}", sized("/up", "P")));
        let Ok(Report::Paused(resume)) = reports.recv() else { panic!("not paused") };
        resume.resume();
        assert_eq!(client.answer().text(), expected("P"));
        finished(&reports, 1);
        if !behind.is_empty() {
            assert_eq!(client.answer().text(), "hello");
        }
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[test]
fn content_that_stalls_is_408() {
    let (server, reports) = serve_with(u64::MAX, |timeouts| timeouts.body_stall = SHORT);
    let mut client = Client::connect(server.addr);
    client.send("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
    aborted(&reports, 4);
    client.ended();
}

#[test]
fn a_client_that_leaves_in_the_middle_aborts_its_upload() {
    let (server, reports) = serve();
    let half = |content: &str| {
        let mut client = Client::connect(server.addr);
        client.send(format!("POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 99\r\n\r\n{content}"));
        client
    };
    // The client ends its side, so nothing more can come.
    let mut client = half("abcd");
    client.end();
    aborted(&reports, 4);
    client.ended();
    // The client resets the connection, once while it is read and once while it is not.
    let client = half("abcde");
    server.wait(|counters| counters.requests == 2);
    client.reset();
    // All of it may have arrived before the reset was read, or none.
    assert!(matches!(reports.recv(), Ok(Report::Aborted(_))));
    let client = half("Paused");
    let Ok(Report::Paused(resume)) = reports.recv() else { panic!("not paused") };
    client.reset();
    aborted(&reports, 6);
    resume.resume();
    // A panic in the abort affects no other connection.
    let mut client = half("thirteenbytes");
    client.end();
    aborted(&reports, 13);
    server.wait(|counters| counters.connections == 0 && counters.panics == 1);
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
}

#[test]
fn a_shutdown_lets_an_upload_finish_or_cuts_it_off() {
    let (server, reports) = serve_with(u64::MAX, |timeouts| timeouts.grace = 2 * SHORT);
    let head = "POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n";
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(server.addr)).collect();
    for client in &mut clients {
        client.send(head);
        assert_eq!(client.answer_to_head().status, 100);
        client.send("half");
    }
    let mut idle = Client::connect(server.addr);
    idle.get("/");
    server.handle.shutdown();
    idle.ended();
    clients[0].send("full");
    let answer = clients[0].answer();
    assert_eq!((answer.text(), answer.field("connection")), (&*expected("halffull"), Some("close")));
    finished(&reports, 8);
    clients[1].cut_off();
    aborted(&reports, 4);
    drop((clients, idle));
    server.finish();
}
