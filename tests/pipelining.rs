//! Pipelined requests are answered in order, a limited number per turn, and no faster than the peer takes the
//! responses.

use fleeting::{App, Body, Response, Server, Worker};
use fleeting_testkit::client::{BINARY, Client, frame};
use fleeting_testkit::server::{self, Echo};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

const LARGE_BYTES: usize = 1 << 20;
static LARGE: [u8; LARGE_BYTES] = [b'x'; LARGE_BYTES];
/// The number of large requests sent in total: far more bytes than any socket buffers.
const LARGE_REQUESTS: usize = 64;

fn numbered(numbers: std::ops::Range<usize>) -> String {
    numbers.fold(String::new(), |mut all, number| {
        let _ = write!(all, "GET /number/{number} HTTP/1.1\r\nHost: test\r\n\r\n");
        all
    })
}

fn worker(app: App) -> (Worker, SocketAddr) {
    let worker = Server::builder().bind("127.0.0.1:0").worker(|_| app).expect("the worker starts");
    let addr = worker.local_addrs()[0];
    (worker, addr)
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = server::run(|_| {
        App::new()
            .get("/number/{number}", |req| Ok(Response::text(req.param("number"))))
            .post("/echo", |req| Ok(Response::bytes(req.body())))
    });
    let mut client = Client::connect(server.addr);
    client.send(numbered(0..500));
    for number in 0..500 {
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, number.to_string().as_str()));
    }
    // Requests of all kinds, cut at every place that is not between two of them.
    let mixed = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\none\
                 GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n\
                 POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n\
                 GET /number/3 HTTP/1.1\r\nHost: test\r\n\r\n";
    for cut in 1..mixed.len() {
        client.send(&mixed[..cut]);
        client.send(&mixed[cut..]);
        let answers: Vec<_> = (0..4).map(|_| client.answer()).collect();
        let statuses = answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
        assert_eq!(statuses, [200, 404, 200, 200], "cut at {cut}");
        assert_eq!((answers[0].text(), answers[2].text(), answers[3].text()), ("one", "two", "3"));
    }
}

#[test]
fn a_request_behind_a_close_is_not_answered() {
    let server =
        server::run(|_| App::new().get("/number/{number}", |req| Ok(Response::text(req.param("number")))));
    let mut client = Client::connect(server.addr);
    let last = "GET /number/2 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    client.send(numbered(0..2) + last + &numbered(3..100));
    for number in ["0", "1", "2"] {
        assert_eq!(client.answer().text(), number);
    }
    client.ended();
    drop(client);
    assert_eq!(server.wait(|counters| counters.connections == 0).requests, 3);
}

#[test]
fn a_client_that_has_ended_its_side_still_gets_every_response() {
    let server = server::run(|_| {
        App::new()
            .get("/number/{number}", |req| Ok(Response::text(req.param("number"))))
            .get("/large", |_req| Ok(Response::bytes(Body::Static(&LARGE))))
    });
    let large = "GET /large HTTP/1.1\r\nHost: test\r\n\r\n";
    for requests in [numbered(0..500), large.repeat(16) + &numbered(0..500)] {
        let mut client = Client::connect(server.addr);
        client.send(&requests);
        client.end();
        for _ in 0..requests.matches("/large").count() {
            assert!(client.answer().body == LARGE);
        }
        for number in 0..500 {
            assert_eq!(client.answer().text(), number.to_string());
        }
        client.ended();
        server.wait(|counters| counters.connections == 0);
    }
}

#[test]
fn a_long_pipeline_does_not_delay_other_connections() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let log = asked.clone();
    let (mut worker, addr) = worker(App::new().get("/number/{number}", move |req| {
        log.borrow_mut().push(req.conn_id());
        Ok(Response::text(req.param("number")))
    }));
    let mut busy = Client::connect(addr);
    let mut other = Client::connect(addr);
    busy.send(numbered(0..500));
    other.send(numbered(0..1));
    while worker.counters().requests < 501 {
        let before = worker.counters().requests;
        worker.turn(Some(Duration::from_secs(1))).expect("polling works");
        let answered = worker.counters().requests - before;
        assert!(answered <= 33, "{answered} requests in one turn");
    }
    let asked = asked.borrow();
    let alone = asked.iter().find(|conn| asked.iter().filter(|other| other == conn).count() == 1);
    let at = asked.iter().position(|conn| Some(conn) == alone).expect("both were asked");
    assert!(at <= 32, "the other connection had its turn after {at} requests");
    assert_eq!(other.answer().text(), "0");
    for number in 0..500 {
        assert_eq!(busy.answer().text(), number.to_string());
    }
}

/// Reads and checks the responses to [`flood`].
type Reading = fn(Client);

/// The server stops reading from a peer that sends without reading, once the sockets are full. When the peer
/// finally reads, nothing is missing.
fn flood(
    app: App,
    mut client_of: impl FnMut(&mut Worker, SocketAddr) -> Client,
    sends: Vec<u8>,
    read: Reading,
) {
    let (mut worker, addr) = worker(app);
    let client = client_of(&mut worker, addr);

    client.stream().set_nonblocking(true).expect("a TCP stream");
    let (mut sent, mut refused) = (0, 0);
    // The server has had enough turns, and none of them made room.
    while refused < 100 {
        worker.turn(Some(Duration::ZERO)).expect("polling works");
        let mut stream = client.stream();
        match stream.write(&sends[sent..sends.len().min(sent + (64 << 10))]) {
            Ok(bytes) => (sent, refused) = (sent + bytes, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < sends.len(), "the server reads without end");
    }
    let counters = worker.counters();
    let answered = counters.requests + counters.messages;
    assert!(0 < answered && answered < LARGE_REQUESTS as u64, "{answered} answers");

    client.stream().set_nonblocking(false).expect("a TCP stream");
    let mut writer = client.clone_for_thread();
    let writing = thread::spawn(move || writer.send(&sends[sent..]));
    let reading = thread::spawn(move || read(client));
    while !reading.is_finished() {
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
    }
    reading.join().expect("every answer came, in order");
    writing.join().expect("everything was taken");
}

#[test]
fn the_server_stops_reading_from_a_client_that_does_not_read() {
    let app = App::new().post("/large/{number}", |req| {
        assert_eq!(req.body().len(), LARGE_BYTES - 1, "the limit of a body is one more");
        Response::bytes(Body::Static(&LARGE)).header("x-number", req.param("number"))
    });
    let sends = (0..LARGE_REQUESTS).flat_map(large_request).collect();
    flood(
        app,
        |_, addr| Client::connect(addr),
        sends,
        |mut client| {
            for number in 0..LARGE_REQUESTS {
                let answer = client.answer();
                assert_eq!(answer.field("x-number"), Some(number.to_string().as_str()));
                assert!(answer.body == LARGE, "answer {number} differs from what was sent");
            }
        },
    );
}

#[test]
fn the_server_stops_reading_from_a_websocket_that_does_not_read() {
    let opened = |worker: &mut Worker, addr| {
        let opening = thread::spawn(move || Client::websocket(addr, "/ws"));
        while !opening.is_finished() {
            worker.turn(Some(Duration::from_millis(10))).expect("polling works");
        }
        opening.join().expect("the session has opened")
    };
    let sends = (0..LARGE_REQUESTS).flat_map(|number| frame(true, BINARY, &large_message(number))).collect();
    flood(App::new().ws("/ws", Echo), opened, sends, |mut client| {
        for number in 0..LARGE_REQUESTS {
            let message = client.next_frame();
            assert!(message.payload == large_message(number), "message {number} differs from what was sent");
        }
    });
}

fn large_message(number: usize) -> Vec<u8> {
    vec![number as u8; LARGE_BYTES - number]
}

fn large_request(number: usize) -> Vec<u8> {
    let length = LARGE_BYTES - 1;
    let head = format!("POST /large/{number} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), &LARGE[..length]].concat()
}

/// Finding C9. A read stops at urgent data, and no event tells of what is behind it. The urgent byte itself is not part of
/// the stream.
#[test]
fn urgent_data_between_requests_does_not_hide_the_next() {
    let app = App::new().get("/number/{number}", |req| Ok(Response::text(req.param("number"))));
    let (mut worker, addr) = worker(app);
    let requests = numbered(0..3);
    // Between two requests, within one, before all and behind all.
    for (round, cut) in [requests.len() / 3, 50, 0, requests.len()].into_iter().enumerate() {
        let mut client = Client::connect(addr);
        client.send(&requests[..cut]);
        socket2::SockRef::from(client.stream()).send_out_of_band(b"!").expect("there is room");
        client.send(&requests[cut..]);
        // All of it has arrived, and the connection is not even accepted yet.
        for _ in 0..20 {
            worker.turn(Some(Duration::ZERO)).expect("the worker lives");
        }
        assert_eq!(worker.counters().requests, 3 * (round as u64 + 1), "cut at {cut}");
        for number in 0..3 {
            assert_eq!(client.answer().text(), number.to_string());
        }
    }
}
