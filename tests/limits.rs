//! One peer can make the server hold only a bounded amount of data, and a peer that exceeds a limit gets the matching
//! error.

use fleeting::engine::Counters;
use fleeting::ws::CloseCode;
use fleeting::{
    App, ConnId, Error, Limits, Message, PublishError, Request, Response, Sent, Server, Socket, WebSocket,
};
use fleeting_testkit::client::{BINARY, CLOSE, Client, TEXT, frame};
use fleeting_testkit::server::{self, Echo};
use std::sync::mpsc::{self, Sender};

fn failed(counters: &Counters, label: &str) -> u64 {
    counters.failed().find(|(known, _)| *known == label).expect("a label").1
}

fn refused(counters: &Counters, label: &str) -> u64 {
    counters.refused().find(|(known, _)| *known == label).expect("a label").1
}

#[test]
fn one_connection_too_many_waits_until_another_ends() {
    let server = server::run_with(
        |limits, _| limits.connections = 2,
        |_| App::new().get("/", |_req| Ok(Response::text("hello"))).ws("/ws", Echo),
    );
    let mut first = Client::websocket(server.addr, "/ws");
    let mut second = Client::websocket(server.addr, "/ws");
    let mut third = Client::connect(server.addr);
    third.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    for _ in 0..100 {
        for client in [&mut first, &mut second] {
            client.frame(TEXT, "hello");
            assert_eq!(client.next_frame().text(), "hello");
        }
    }
    let counters = server.wait(|counters| counters.messages == 200);
    assert_eq!((counters.accepted, counters.connections), (2, 2));
    drop(first);
    assert_eq!(third.answer().status, 200);
    let counters = server.wait(|counters| counters.requests == 3);
    assert_eq!((counters.accepted, counters.connections, counters.accept_backoffs), (3, 2, 0));
}

/// Reports its connection ID when it opens.
struct Named(Sender<ConnId>);

impl WebSocket for Named {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        self.0.send(socket.conn_id()).expect("the test waits");
        Ok(())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

#[test]
fn unsolicited_messages_to_a_slow_reader_are_dropped_and_counted() {
    const MESSAGES: usize = 400;
    let (names, name) = mpsc::channel();
    let server = server::run(move |_| App::new().ws("/ws", Named(names)));
    let mut client = Client::connect_with_small_buffer(server.addr).upgraded("/ws");
    let conn = name.recv().expect("the session has opened");
    let payload = [b'x'; 64 << 10];
    for _ in 0..MESSAGES {
        server.handle.send(conn, Message::Binary(&payload)).expect("the mailbox has room");
    }
    server.handle.close(conn, CloseCode::NORMAL, "").expect("the mailbox has room");
    let dropped = server.wait(|counters| counters.dropped > 0).dropped;
    assert!(dropped < MESSAGES as u64);
    let mut arrived = 0;
    let close = loop {
        let frame = client.next_frame();
        if frame.opcode != BINARY {
            break frame;
        }
        assert!(frame.payload == payload, "message {arrived} differs from what was sent");
        arrived += 1;
    };
    assert_eq!(close.close_code(), 1000);
    client.frame(CLOSE, &close.payload);
    client.ended();
    drop(client);
    let counters = server.wait(|counters| counters.connections == 0);
    assert_eq!(counters.dropped + arrived, MESSAGES as u64);
}

/// Sends until there is backpressure, and reports when `drain` is called.
struct Flood;

impl WebSocket for Flood {
    /// The number of calls of `drain`.
    type Session = usize;

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<usize, Error> {
        Ok(0)
    }

    fn message(&self, session: &mut usize, message: Message<'_>, socket: &mut Socket<'_>) {
        if message == Message::Text("how often") {
            assert_eq!(socket.text(&session.to_string()), Sent::Sent);
            return;
        }
        while socket.binary(&[b'x'; 64 << 10]) == Sent::Sent {}
        // Further sends are dropped as well.
        assert_eq!(socket.text("too late"), Sent::Dropped);
        assert_eq!(socket.text("much too late"), Sent::Dropped);
    }

    fn drain(&self, session: &mut usize, socket: &mut Socket<'_>) {
        *session += 1;
        assert_eq!(socket.text("drained"), Sent::Sent);
    }
}

#[test]
fn backpressure_is_reported_and_its_end_reported_once() {
    let server = server::run(|_| App::new().ws("/ws", Flood));
    let mut client = Client::connect_with_small_buffer(server.addr).upgraded("/ws");
    for round in 1..=3 {
        client.frame(TEXT, "flood");
        let mut texts = Vec::new();
        while texts.is_empty() {
            let frame = client.next_frame();
            if frame.opcode == TEXT {
                texts.push(frame.text().to_string());
            }
        }
        assert_eq!(texts, ["drained"]);
        client.frame(TEXT, "how often");
        assert_eq!(client.next_frame().text(), round.to_string());
    }
    assert_eq!(server.finish().dropped, 6);
}

#[test]
fn a_message_beyond_a_limit_fails_the_connection() {
    #[track_caller]
    fn check(bytes: &[u8], code: u16, label: &str) {
        let set = |limits: &mut Limits| {
            (limits.frame_bytes, limits.message_bytes, limits.fragments) = (1000, 1500, 4);
        };
        let server = server::run_with(|limits, _| set(limits), |_| App::new().ws("/ws", Echo));
        let mut client = Client::websocket(server.addr, "/ws");
        client.send(bytes);
        assert_eq!(client.next_frame().close_code(), code, "{label}");
        client.ended();
        let counters = server.wait(|counters| failed(counters, label) == 1);
        assert_eq!(counters.messages, 0);
    }
    let pieces = |sizes: &[usize]| -> Vec<u8> {
        let last = sizes.len() - 1;
        let opcode = |at| if at == 0 { TEXT } else { 0 };
        let frames = sizes.iter().enumerate();
        frames.flat_map(|(at, size)| frame(at == last, opcode(at), &vec![b'x'; *size])).collect()
    };
    check(&frame(true, TEXT, &[b'x'; 1001]), 1009, "frame_too_big");
    // The announced length is enough.
    check(&frame(true, BINARY, &[b'x'; 1001])[..8], 1009, "frame_too_big");
    check(&pieces(&[1000, 501]), 1009, "message_too_big");
    check(&pieces(&[1, 1, 1, 1, 1]), 1008, "too_many_fragments");

    let set = |limits: &mut Limits| {
        (limits.frame_bytes, limits.message_bytes, limits.fragments) = (1000, 1500, 4);
    };
    let server = server::run_with(|limits, _| set(limits), |_| App::new().ws("/ws", Echo));
    let mut client = Client::websocket(server.addr, "/ws");
    for sizes in [&[1000][..], &[1000, 500], &[1, 1, 1, 1]] {
        client.send(pieces(sizes));
        assert_eq!(client.next_frame().payload.len(), sizes.iter().sum::<usize>());
    }
}

#[test]
fn a_request_beyond_a_limit_is_refused() {
    #[track_caller]
    fn check(request: &str, status: u16, label: &str) {
        let set = |limits: &mut Limits| {
            (limits.headers, limits.head_bytes, limits.target_bytes, limits.body_bytes) = (4, 500, 100, 10);
        };
        let app = || App::new().post("/", |req| Ok(Response::bytes(req.body())));
        let server = server::run_with(|limits, _| set(limits), move |_| app());
        let mut client = Client::connect(server.addr);
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status, status, "{label}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.text(), "0123456789");
            return;
        }
        assert_eq!(answer.field("connection"), Some("close"));
        client.ended();
        let counters = server.wait(|counters| refused(counters, label) == 1);
        assert_eq!(counters.requests, 0);
    }
    let post =
        |fields: &str, content: &str| format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n{content}");
    let target = "x".repeat(100);
    check(&post("Content-Length: 10\r\n", "0123456789"), 200, "");
    check(&post("Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n0\r\n\r\n"), 200, "");
    // The announced length is enough.
    check(&post("Content-Length: 11\r\n", ""), 413, "content_too_large");
    check(&post("Transfer-Encoding: chunked\r\n", "b\r\n"), 413, "content_too_large");
    check(&post("Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n1\r\n"), 413, "content_too_large");
    check(&post(&"x: y\r\n".repeat(4), ""), 431, "too_many_fields");
    check(&post(&format!("x: {}\r\n", "y".repeat(500)), ""), 431, "head_too_large");
    check(&format!("GET /{target} HTTP/1.1\r\nHost: test\r\n\r\n"), 414, "target_too_long");
}

/// Finding A16.
#[test]
fn a_worker_that_takes_no_turn_holds_no_more_commands_than_its_limits() {
    fn check(name: &str, value: &str, expected: [Result<(), PublishError>; 3]) {
        let mut limits = Limits::default();
        limits.set(name, value).unwrap();
        let mut handle = None;
        let worker = Server::builder().bind("127.0.0.1:0").limits(limits).worker(|context| {
            handle = Some(context.handle.clone());
            App::new()
        });
        let (worker, handle) = (worker.unwrap(), handle.unwrap());
        let text = "x".repeat(100);
        assert_eq!([(); 3].map(|()| handle.publish("a", Message::Text(&text))), expected, "{name}={value}");
        drop(worker);
        assert_eq!(handle.publish("a", Message::Text(&text)), Err(PublishError::Gone));
    }
    let (fits, full) = (Ok(()), Err(PublishError::Full));
    check("mailbox", "2", [fits, fits, full]);
    check("mailbox", "3", [fits, fits, fits]);
    check("mailbox_bytes", "1", [full, full, full]);
    check("mailbox_bytes", "1KiB", [fits, fits, fits]);
}
