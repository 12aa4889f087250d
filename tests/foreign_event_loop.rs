//! A worker can be run by another event loop, which needs only its descriptor and its patience.

use fleeting::{App, Response, Server, Timeouts};
use fleeting_testkit::client::Client;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[path = "../examples/foreign_loop.rs"]
#[expect(dead_code, reason = "its `main` is for cargo run")]
mod example;

#[test]
fn the_example_serves_requests_and_quits() {
    let (listening, addr) = mpsc::channel();
    let running = thread::spawn(move || {
        example::run("127.0.0.1:0", |addr| listening.send(addr).expect("the test waits"))
            .expect("the example runs");
    });
    let mut client = Client::connect(addr.recv().expect("it listens"));
    let beat = client.get("/");
    assert!(beat.text().starts_with("beat "));
    // The loop's own timer, next to the worker's.
    while client.get("/").text() == beat.text() {}
    let answer = client.get("/quit");
    assert_eq!((answer.text(), answer.field("connection")), ("goodbye\n", None));
    client.ended();
    drop(client);
    running.join().expect("it has ended");
}

/// The worker gets a turn only when its descriptor or its patience asks for one, and misses none.
#[test]
fn descriptor_and_patience_are_enough_to_run_a_worker() {
    const SHORT: Duration = Duration::from_millis(100);
    let mut timeouts = Timeouts::default();
    timeouts.idle = SHORT;
    let mut handle = None;
    let builder = Server::builder().bind("127.0.0.1:0").timeouts(timeouts);
    let worker = builder.worker(|context| {
        handle = Some(context.handle.clone());
        App::new().get("/{number}", |req| Ok(Response::text(req.param("number"))))
    });
    let (mut worker, handle) = (worker.expect("the server starts"), handle.expect("the builder was called"));
    assert_eq!(worker.patience(), None, "nothing is open");
    let addr = worker.local_addrs().expect("it listens")[0];
    let speaker = thread::spawn(move || {
        let mut client = Client::connect(addr);
        let all: String = (0..500).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
        client.send(all);
        for number in 0..500 {
            assert_eq!(client.answer().text(), number.to_string());
        }
        // The end of an idle connection comes from a timer, the shutdown through the mailbox.
        client.ended();
        handle.shutdown();
    });

    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(16);
    let descriptor = worker.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)
        .expect("a poll can be polled");
    let mut goes_on = true;
    while goes_on {
        match poll.poll(&mut events, worker.patience()) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => panic!("{error}"),
            _ => goes_on = worker.turn(Some(Duration::ZERO)).expect("polling works"),
        }
    }
    speaker.join().expect("the client got what it asked for");
    assert_eq!((worker.counters().requests, worker.counters().timeouts), (500, 1));
}
