//! A worker can be run by another event loop, which needs only its descriptor and its patience.

use fleeting::{App, Response, Server, Timeouts, Worker};
use fleeting_testkit::client::Client;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

/// The worker gets a turn only when its descriptor or its patience asks for one, and misses none.
#[test]
fn descriptor_and_patience_are_enough_to_run_a_worker() {
    for spin in [Duration::ZERO, Duration::from_micros(50), Duration::MAX] {
        run_by_descriptor_and_patience(spin);
    }
}

fn run_by_descriptor_and_patience(spin: Duration) {
    const SHORT: Duration = Duration::from_millis(100);
    let mut timeouts = Timeouts::default();
    timeouts.idle = SHORT;
    let mut handle = None;
    let builder = Server::builder().bind("127.0.0.1:0").timeouts(timeouts).spin(spin);
    let worker = builder.worker(|context| {
        handle = Some(context.handle.clone());
        App::new().get("/{number}", |req| Ok(Response::text(req.param("number"))))
    });
    let (mut worker, handle) = (worker.expect("the server starts"), handle.expect("the builder was called"));
    assert_eq!(worker.patience(), None, "nothing is open");
    let addr = worker.local_addrs()[0];
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
    speaker.join().expect("every request was answered");
    assert_eq!((worker.counters().requests, worker.counters().timeouts), (500, 1));
}

/// More connections than one poll of the worker returns. The events of the descriptor are edge-triggered here, so what a
/// turn leaves behind is only known from the patience.
#[test]
fn what_one_turn_leaves_behind_gets_another_one() {
    const CLIENTS: usize = 1100;
    let builder = Server::builder().bind("127.0.0.1:0");
    let worker = builder.worker(|_worker| App::new().get("/", |_req| Ok(Response::text("hello"))));
    let mut worker = worker.expect("the server starts");
    let addr = worker.local_addrs()[0];
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(16);
    let descriptor = worker.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)
        .expect("a poll can be polled");
    // Turns until there is nothing left to do that the loop could know of.
    let mut settle = |worker: &mut Worker| {
        while worker.patience() == Some(Duration::ZERO) || {
            poll.poll(&mut events, Some(Duration::ZERO)).expect("polling works");
            !events.is_empty()
        } {
            worker.turn(Some(Duration::ZERO)).expect("polling works");
        }
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(addr)).collect();
    settle(&mut worker);
    assert_eq!(worker.counters().accepted, CLIENTS as u64);
    // On loopback, what is sent has arrived.
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    settle(&mut worker);
    assert_eq!(worker.counters().requests, CLIENTS as u64);
    clients.iter_mut().for_each(|client| assert_eq!(client.answer().text(), "hello"));
}
