//! The application can listen to publications without a connection, and a browser can receive them as events.

use fleeting::{App, Error, Message, Request, Server, Socket, TopicError, WebSocket};
use fleeting_testkit::client::{Client, TEXT};
use fleeting_testkit::server::{self, Workers};
use std::sync::mpsc;

/// Publishes what its client sends.
struct Publisher;

impl WebSocket for Publisher {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        server::publish_topic_and_text(message, socket);
    }
}

/// Returns a listener that passes publications to the test.
fn listener(sender: mpsc::Sender<String>) -> impl FnMut(&str, Message<'_>) -> bool + Send {
    move |topic, message| {
        let message = String::from_utf8_lossy(message.bytes());
        sender.send(format!("{topic}={message}")).is_ok()
    }
}

#[test]
fn a_listener_receives_publications_of_sessions_and_handles_in_order_until_it_is_dropped() {
    let server = server::run(|_| App::new().ws("/ws", Publisher));
    let (sender, received) = mpsc::channel();
    let subscription = server.handle.subscribe("a.*", listener(sender.clone())).expect("a valid filter");
    let mut client = Client::websocket(server.addr, "/ws");
    for number in 0..100 {
        client.frame(TEXT, format!("a.{number} {number}"));
        client.frame(TEXT, "b nobody");
    }
    for number in 0..100 {
        assert_eq!(received.recv().expect("the report arrives"), format!("a.{number}={number}"));
    }
    server.handle.publish("a.x", Message::Binary(b"bytes")).expect("there is room");
    assert_eq!(received.recv().expect("the report arrives"), "a.x=bytes");
    drop(subscription);
    // The mailbox keeps the order: the first listener is gone when the second one starts.
    let second = server.handle.subscribe("a.*", listener(sender)).expect("a valid filter");
    server.handle.publish("a.last", Message::Text("once")).expect("there is room");
    assert_eq!(received.recv().expect("the report arrives"), "a.last=once");
    drop(second);
    let counters = server.finish();
    assert!(received.recv().is_err(), "a publication came after both listeners were dropped");
    assert_eq!((counters.matched, counters.delivered), (102, 102));
}

#[test]
fn a_listener_may_refuse_and_is_not_called_again_after_a_panic() {
    let server = server::run(|_| App::new());
    let (sender, received) = mpsc::channel();
    let mut ear = listener(sender);
    let refusing = move |topic: &str, message: Message<'_>| {
        assert!(message.bytes() != b"panic", "planted");
        ear(topic, message);
        false
    };
    let _subscription = server.handle.subscribe("t", refusing).expect("a valid filter");
    for text in ["one", "panic", "two"] {
        server.handle.publish("t", Message::Text(text)).expect("there is room");
    }
    assert_eq!(received.recv().expect("the report arrives"), "t=one");
    assert!(received.recv().is_err(), "it was called again");
    let counters = server.finish();
    assert_eq!((counters.delivered, counters.dropped_newest, counters.panics), (0, 1, 1));
    // Whether the other publications matched depends on when it was removed.
    assert_eq!(counters.matched, 1 + counters.dropped_closing);
}

#[test]
fn an_invalid_filter_is_an_error() {
    let server = server::run_with(|limits, _| limits.topics = 1, |_| App::new());
    let subscribe = |filter: &str, sender| server.handle.subscribe(filter, listener(sender)).map(drop);
    let (sender, _heard) = mpsc::channel();
    assert_eq!(subscribe("a*b", sender.clone()), Err(TopicError::Wildcard));
    assert_eq!(subscribe("", sender), Err(TopicError::Empty));
    let (sender, received) = mpsc::channel();
    let _first = server.handle.subscribe("first", listener(sender)).expect("a valid filter");
    let (sender, silent) = mpsc::channel();
    let _second = server.handle.subscribe("second", listener(sender)).expect("a valid filter");
    assert!(silent.recv().is_err(), "the limit of one topic must reject the second listener");
    server.handle.publish("first", Message::Text("still there")).expect("there is room");
    assert_eq!(received.recv().expect("the report arrives"), "first=still there");
}

/// A server with `workers` workers, where `/events/{filter}` is a stream and `/ws` publishes.
fn events(workers: usize) -> Workers {
    let server = Server::builder().bind("127.0.0.1:0").workers(workers).serve(|worker| {
        let handle = worker.handle.clone();
        App::new().ws("/ws", Publisher).get("/events/{filter}", move |req| {
            let events = handle.events(req.param("filter"));
            events.map_err(|error| Error::bad_request(error.to_string()))
        })
    });
    Workers::of(server)
}

#[test]
fn an_event_stream_carries_publications_of_every_worker() {
    let server = events(2);
    let addr = server.addr;
    let mut streams: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = Client::connect(addr);
            client.send("GET /events/prices.* HTTP/1.1\r\nHost: test\r\n\r\n");
            let head = client.answer_to_head().head;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains("text/event-stream"), "{head}");
            client
        })
        .collect();
    // All of them are subscribed once they are counted.
    while server::subscriptions(&server.handle) < 8 {}
    let mut publisher = Client::websocket(addr, "/ws");
    publisher.frame(2, b"binary is none");
    for text in ["one", "two\nlines", "three"] {
        publisher.frame(TEXT, format!("prices.eur {text}"));
        publisher.frame(TEXT, "other nobody");
    }
    for client in &mut streams {
        let expected = ":\n\ndata: one\n\ndata: two\ndata: lines\n\ndata: three\n\n";
        assert_eq!(client.text_in_chunks(expected.len()), expected);
    }
    // A client that is gone is unsubscribed without any publication.
    drop(streams);
    while server::subscriptions(&server.handle) > 0 {}
    server.finish();
}
