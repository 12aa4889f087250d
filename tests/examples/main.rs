//! What the header of each example says is true: its `main` runs as a process of its own, a real client talks to it, and
//! SIGTERM ends it in an orderly way.

mod gateway;
mod rest;
mod running;

use fleeting_testkit::client::{BINARY, Client, TEXT, handshake};
use running::Example;
use std::fs;
use std::path::Path;

/// A test of each example, named after its file or folder.
macro_rules! examples {
    ($($name:ident,)*) => {
        /// The names of the examples that are tested.
        const TESTED: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            cases::$name();
        })*
    };
}

examples! {
    bench_server,
    chat,
    events,
    foreign_loop,
    gateway,
    rest,
    streams,
    thread_pool,
    tokio_bridge,
}

/// Finding A7.
#[test]
fn every_example_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries =
        fs::read_dir(folder).expect("there are examples").map(|entry| entry.expect("it is there").path());
    let mut names: Vec<String> =
        entries.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, TESTED);
}

mod cases {
    use super::*;

    pub fn bench_server() {
        for args in
            [&["--port", "0", "--routes", "2"][..], &["--port", "0", "--routes", "2", "--workers", "2"]]
        {
            let example = Example::start_with("bench_server", args);
            let mut client = example.client();
            assert_eq!(client.get("/").text(), "Hello, World!");
            assert_eq!(client.get("/users/a/b/c").text(), "a b c");
            assert_eq!(client.get("/100k").body.len(), 100 << 10);
            assert_eq!((client.get("/r/1/x").status, client.get("/r/2/x").status), (200, 404));
            client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
            assert_eq!(client.answer().text(), "hi");
            let mut socket = Client::websocket(example.addr, "/ws");
            socket.frame(BINARY, [1, 2, 3]);
            assert_eq!(socket.next_frame().payload, [1, 2, 3]);
            let mut subscriber = Client::websocket(example.addr, "/sub");
            let mut reader = example.client();
            reader.send("GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
            assert_eq!(reader.answer_to_head().field("content-type"), Some("text/event-stream"));
            assert_eq!(reader.text_in_chunks(1), ":\n\n");
            Client::websocket(example.addr, "/pub").frame(TEXT, "published");
            assert_eq!(subscriber.next_frame().text(), "published");
            assert_eq!(reader.text_in_chunks(1), "data: published\n\n");
            // Open WebSockets would have five seconds for their closing handshake.
            drop((socket, subscriber));
            example.terminate();
        }
        let example = Example::start_with("bench_server", &["--port", "0", "--spin", "50"]);
        assert_eq!(example.client().get("/quit").text(), "goodbye\n");
        example.ended();
    }

    pub fn chat() {
        let example = Example::start("chat");
        assert!(example.client().get("/").text().contains("new WebSocket("));
        let mut reader = example.client();
        reader.send("GET /rooms/tea/lines HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(reader.answer_to_head().field("content-type"), Some("text/event-stream"));
        let mut alice = Client::websocket(example.addr, "/rooms/tea?name=Alice");
        assert_eq!(alice.next_frame().text(), "* Alice has joined");
        // In another room nothing of this is seen.
        let mut carol = Client::websocket(example.addr, "/rooms/caf%C3%A9?name=Carol+%E2%98%83");
        assert_eq!(carol.next_frame().text(), "* Carol \u{2603} has joined");
        for number in 0..25 {
            alice.frame(TEXT, number.to_string());
            assert_eq!(alice.next_frame().text(), format!("Alice: {number}"));
        }
        // The room keeps the last lines for those who join later.
        let mut bob = Client::websocket(example.addr, "/rooms/tea?name=Bob");
        for number in 5..25 {
            assert_eq!(bob.next_frame().text(), format!("Alice: {number}"));
        }
        for client in [&mut alice, &mut bob] {
            assert_eq!(client.next_frame().text(), "* Bob has joined");
        }
        bob.frame(TEXT, "hello");
        for client in [&mut alice, &mut bob] {
            assert_eq!(client.next_frame().text(), "Bob: hello");
        }
        // A client that vanishes leaves the room too.
        bob.reset();
        assert_eq!(alice.next_frame().text(), "* Bob has left");
        let mut read = String::new();
        while !read.contains("* Bob has left") {
            read.push_str(&reader.text_in_chunks(1));
        }
        let lines: Vec<&str> = read.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let said = (0..25).map(|number| format!("Alice: {number}"));
        let expected = ["* Alice has joined".to_string()].into_iter().chain(said);
        let expected = expected.chain(["* Bob has joined", "Bob: hello", "* Bob has left"].map(String::from));
        assert_eq!(lines, expected.collect::<Vec<_>>());
        let long = "x".repeat(41);
        for name in ["", "%20", "a%00", &*long] {
            let mut client = example.client();
            client.send(handshake(&format!("/rooms/tea?name={name}"), ""));
            assert_eq!(client.answer().status, 400, "{name}");
        }
        carol.frame(BINARY, [1]);
        assert_eq!(carol.next_frame().close_code(), 1003);
        alice.frame(TEXT, "x".repeat(1001));
        assert_eq!(alice.next_frame().close_code(), 1009);
        drop((alice, carol));
        example.terminate();
    }

    pub fn events() {
        let example = Example::start("events");
        let page = example.client().get("/");
        assert!(page.text().contains("new EventSource('/count')"), "{}", page.text());
        // Two pages count together: each sees the numbers in a row, and both see the same ones.
        let mut pages = [example.client(), example.client()];
        let mut streams = pages.each_mut().map(|page| {
            page.send("GET /count HTTP/1.1\r\nHost: test\r\n\r\n");
            assert_eq!(page.answer_to_head().field("content-type"), Some("text/event-stream"));
            Numbers { page, text: String::new() }
        });
        let first = streams.each_mut().map(Numbers::next);
        let latest = *first.iter().max().expect("there are two");
        for stream in &mut streams {
            let mut number = 0;
            while number < latest + 2 {
                let next = stream.next();
                assert!(number == 0 || next == number + 1, "{next} after {number}");
                number = next;
            }
        }
        // A browser that comes back names the last event that it saw.
        let mut again = example.client();
        again.send("GET /count HTTP/1.1\r\nHost: test\r\nLast-Event-ID: 41\r\n\r\n");
        again.answer_to_head();
        assert!(
            again.text_in_chunks(8).starts_with(":\n\n: 41\n"),
            "the first comment, and the one with the id"
        );
        example.terminate();
        // The streams are complete, so that a browser connects again.
        drop(streams);
        for page in &mut pages {
            while !page.chunk().is_empty() {}
            page.ended();
        }
    }

    /// Reads the numbers that a page shows.
    struct Numbers<'c> {
        page: &'c mut Client,
        /// What has arrived and was not read.
        text: String,
    }

    impl Numbers<'_> {
        fn next(&mut self) -> u64 {
            loop {
                let Some((event, rest)) = self.text.split_once("\n\n") else {
                    self.text.push_str(&self.page.text_in_chunks(1));
                    continue;
                };
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let number = data.map(|data| data.parse().unwrap_or_else(|_| panic!("no number: {event}")));
                self.text = rest.to_string();
                if let Some(number) = number {
                    return number;
                }
                // It was a comment.
            }
        }
    }

    pub fn foreign_loop() {
        let example = Example::start("foreign_loop");
        let mut client = example.client();
        let beat = client.get("/");
        assert!(beat.text().starts_with("beat "), "{}", beat.text());
        // The loop's own timer, next to the worker's.
        while client.get("/").text() == beat.text() {}
        example.terminate();
        client.ended();

        let example = Example::start("foreign_loop");
        let mut client = example.client();
        let answer = client.get("/quit");
        assert_eq!((answer.text(), answer.field("connection")), ("goodbye\n", None));
        client.ended();
        example.ended();
    }

    pub use crate::gateway::gateway;

    pub use crate::rest::rest;

    pub fn streams() {
        const BYTES: usize = 8 << 20;
        let example = Example::start("streams");
        let mut client = example.client();
        let zeros = client.get(&format!("/down/{BYTES}")).body;
        assert!(zeros.len() == BYTES && zeros.iter().all(|byte| *byte == 0));
        client.send(format!("PUT /up HTTP/1.1\r\nHost: test\r\nContent-Length: {BYTES}\r\n\r\n"));
        client.send(zeros);
        assert_eq!(client.answer().text(), format!("{BYTES}\n"));
        assert_eq!(client.get("/down/all").status, 400);
        example.terminate();
    }

    /// Finding A7.
    pub fn thread_pool() {
        let example = Example::start("thread_pool");
        let mut client = example.client();
        let answer = client.get("/primes/1000");
        assert_eq!((answer.status, answer.text()), (200, "168\n"));
        let requests = ["/primes/100000", "/primes/100", "/"];
        client.send(requests.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat());
        for expected in ["9592\n", "25\n", "Try /primes/100000\n"] {
            assert_eq!(client.answer().text(), expected);
        }
        assert_eq!(client.get("/primes/many").status, 400);
        example.terminate();
    }

    pub fn tokio_bridge() {
        // More requests wait at once than the runtime and the server have threads.
        let example = Example::start("tokio_bridge");
        let mut waiting: Vec<Client> = (0..20).map(|_| example.client()).collect();
        for client in &mut waiting {
            client.send("GET /wait/3600000 HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        let mut client = example.client();
        assert_eq!(client.get("/wait/1").text(), "1 ms later\n");
        let answer = client.get("/wait/long");
        assert_eq!((answer.status, answer.text()), (400, "The time is not a number."));
        // The tasks of clients that leave are dropped: none of them has waited for its hour.
        let count = waiting.len();
        drop(waiting);
        for _ in 0..count {
            assert_eq!(example.line(), "/wait/3600000: the client has left");
        }

        // The task that makes the numbers is not far ahead of a client that stops reading.
        let mut reader = Client::connect_with_small_buffer(example.addr);
        reader.send("GET /numbers HTTP/1.1\r\nHost: test\r\n\r\n");
        reader.answer_to_head();
        let text = reader.text_in_chunks(1 << 20);
        assert!(text.lines().take(10_000).enumerate().all(|(number, line)| line == number.to_string()));
        reader.reset();
        let line = example.line();
        let sent =
            line.strip_prefix("/numbers: the client has left after ").and_then(|rest| rest.split_once(' '));
        let sent: usize = sent.and_then(|(sent, _)| sent.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        // The system buffers a few megabytes, and a line has seven bytes or so.
        assert!((10_000..4_000_000).contains(&sent), "{sent}");
        example.terminate();
    }
}
