//! Server-sent events arrive as a browser reads them, and the example that sends some works.

use fleeting::{App, Event, EventSender, Pushed, Response, Server, Timeouts, WorkerContext};
use fleeting_testkit::client::{Answer, Client};
use fleeting_testkit::server;
use std::sync::mpsc::{self, Receiver, Sender, channel};
use std::time::Duration;

#[path = "../examples/events.rs"]
#[expect(dead_code, reason = "its `main` is for cargo run")]
mod example;

fn serve() -> (server::TestServer, Receiver<EventSender>) {
    serve_with(|_| {})
}

fn serve_with(set: impl FnOnce(&mut Timeouts)) -> (server::TestServer, Receiver<EventSender>) {
    let (opened, senders) = channel();
    (server::run_with(|_, timeouts| set(timeouts), move |_| app(opened)), senders)
}

fn app(opened: Sender<EventSender>) -> App {
    App::new().get("/", |_req| Ok(Response::text("hello"))).get("/events", move |_req| {
        let (response, events) = Response::events(1000);
        opened.send(events).expect("the test waits");
        Ok(response)
    })
}

fn open(client: &mut Client, senders: &Receiver<EventSender>) -> EventSender {
    client.send("GET /events HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n");
    let answer = client.answer_to_head();
    check_head(&answer);
    // Finding B6.
    assert_eq!(client.chunk(), b":\n\n");
    senders.recv().expect("the handler was called")
}

/// Finding B6.
fn check_head(answer: &Answer) {
    let names = ["content-type", "cache-control", "transfer-encoding", "x-accel-buffering"];
    let fields = names.map(|name| answer.field(name));
    assert_eq!(fields, [Some("text/event-stream"), Some("no-store"), Some("chunked"), Some("no")]);
}

#[test]
fn events_and_comments_arrive() {
    let (server, senders) = serve();
    let mut client = Client::connect(server.addr);
    let mut events = open(&mut client, &senders);
    let event = Event::data("one\r\ntwo").name("tick").id("7").retry(Duration::from_secs(3));
    assert_eq!(events.try_send(&event), Ok(Pushed::Sent));
    assert_eq!(client.chunk(), b"event: tick\nid: 7\nretry: 3000\ndata: one\ndata: two\n\n");
    assert_eq!(events.comment("still there"), Pushed::Sent);
    assert_eq!(client.chunk(), b": still there\n\n");
    assert!(events.try_send(&Event::data("x").name("a\nb")).is_err());
    assert_eq!(events.try_send(&Event::data(&"x".repeat(1000))), Ok(Pushed::Full));
    events.send(&Event::data("last")).expect("the client is connected");
    // The stream ends properly, and the connection stays usable.
    drop(events);
    assert_eq!((client.chunk(), client.chunk()), (b"data: last\n\n".to_vec(), Vec::new()));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_comment_is_sent_when_nothing_else_is() {
    let (server, senders) = serve_with(|timeouts| timeouts.ping = Duration::from_millis(50));
    let mut client = Client::connect(server.addr);
    let mut events = open(&mut client, &senders);
    for number in ["1", "2"] {
        assert_eq!(client.chunk(), b":\n\n");
        events.send(&Event::data(number)).expect("the client is connected");
        let expected = format!("data: {number}\n\n").into_bytes();
        // Another comment may precede it.
        while client.chunk() != expected {}
    }
}

#[test]
fn a_client_that_ends_its_side_ends_the_stream() {
    let (server, senders) = serve();
    let mut client = Client::connect(server.addr);
    let events = open(&mut client, &senders);
    client.end();
    server.wait(|counters| counters.connections == 0);
    assert!(events.is_gone());
}

/// Finding B7.
#[test]
fn a_client_that_ends_its_side_with_its_request_is_not_subscribed() {
    for half_close in [false, true] {
        let builder = Server::builder().bind("127.0.0.1:0").half_close(half_close);
        let make = |context: &WorkerContext| {
            let handle = context.handle.clone();
            App::new().get("/topic", move |_req| Ok(handle.events("prices")?))
        };
        let mut worker = builder.worker(make).expect("the server starts");
        let mut client = Client::connect(worker.local_addrs()[0]);
        // Both are there before the worker has its first turn.
        client.send("GET /topic HTTP/1.1\r\nHost: test\r\n\r\n");
        client.end();
        while worker.counters().requests == 0 {
            worker.turn(None).expect("polling works");
        }
        let head = client.answer_to_head();
        check_head(&head);
        assert_eq!((head.status, client.chunk()), (200, b":\n\n".to_vec()));
        let (sender, counts) = mpsc::channel();
        let mut subscribers = || {
            let sender = sender.clone();
            worker.handle().count_topics(None, move |page| sender.send(page).expect("the test waits"));
            loop {
                worker.turn(Some(Duration::ZERO)).expect("polling works");
                if let Ok(page) = counts.try_recv() {
                    return page.topics.iter().map(|topic| topic.subscribers).sum::<usize>();
                }
            }
        };
        assert_eq!(subscribers(), usize::from(half_close));
        if half_close {
            // Writing to it fails in the end.
            client.reset();
            while subscribers() > 0 {}
        } else {
            client.ended();
        }
    }
}

#[test]
fn a_stream_goes_on_if_half_close_is_honoured() {
    let (opened, senders) = channel();
    let server = server::run_from(Server::builder().half_close(true), move |_| app(opened));
    let mut client = Client::connect(server.addr);
    let mut events = open(&mut client, &senders);
    client.end();
    // Other connections have had turns since.
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
    for number in ["1", "2"] {
        events.send(&Event::data(number)).expect("the client is connected");
        assert_eq!(client.chunk(), format!("data: {number}\n\n").into_bytes());
    }
    drop(events);
    assert_eq!(client.chunk(), b"");
    client.ended();
}

#[test]
fn a_shutdown_ends_the_stream() {
    let (server, senders) = serve();
    let mut client = Client::connect(server.addr);
    let mut events = open(&mut client, &senders);
    server.handle.shutdown();
    assert_eq!(client.chunk(), b"");
    client.ended();
    assert!(events.is_gone());
    assert_eq!(events.comment(""), Pushed::Gone);
    drop(client);
    assert_eq!(server.finish().timeouts, 0);
}

#[test]
fn a_sender_learns_that_its_client_is_gone() {
    let (server, senders) = serve();
    let mut client = Client::connect(server.addr);
    let mut events = open(&mut client, &senders);
    client.reset();
    server.wait(|counters| counters.connections == 0);
    assert!(events.is_gone() && events.send(&Event::data("x")).is_err());
}

#[test]
fn the_example_sends_the_count_to_all_clients() {
    let pages = example::Pages::default();
    let shown = pages.clone();
    let server = server::run(move |_| example::app(shown));
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(server.addr)).collect();
    assert!(clients[0].get("/").text().contains("EventSource('/count')"));
    for client in &mut clients {
        client.send("GET /count HTTP/1.1\r\nHost: test\r\nLast-Event-ID: 41\r\n\r\n");
        assert_eq!(client.answer_to_head().field("content-type"), Some("text/event-stream"));
        assert_eq!(client.text_in_chunks(9), ":\n\n: 41\n\n");
    }
    pages.show(42);
    for client in &mut clients {
        assert_eq!(client.chunk(), b"event: count\nid: 42\ndata: 42\n\n");
    }
}
