//! Publications are written to many subscribers in one system call where the system allows it, and arrive either way.

use fleeting::{App, Io, Limits, Message, ServeError, Server};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{self, Feed, TestServer, Workers};

/// Whether the system allows io_uring.
fn is_allowed() -> bool {
    match Server::builder().bind("127.0.0.1:0").io(Io::Uring).worker(|_| App::new()) {
        Ok(worker) => {
            assert_eq!(worker.io(), Io::Uring);
            true
        }
        Err(ServeError::Uring(error)) => {
            let text = ServeError::Uring(error).to_string();
            assert!(text.starts_with("io_uring is not available: "), "{text}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

fn run(io: Io) -> TestServer {
    server::run_from(Server::builder().io(io), |worker| {
        let handle = worker.handle.clone();
        App::new().ws("/ws", Feed).get("/events", move |_req| Ok(handle.events("feed")?))
    })
}

/// Publishes to many subscribers. Returns how often several were written to together.
fn publish(io: Io, sockets: usize, streams: usize) -> u64 {
    const ROUNDS: usize = 5;
    let server = run(io);
    let mut sockets: Vec<_> = (0..sockets).map(|_| Client::websocket(server.addr, "/ws")).collect();
    let mut streams: Vec<_> = (0..streams)
        .map(|_| {
            let mut client = Client::connect(server.addr);
            client.send("GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
            assert_eq!(client.answer_to_head().status, 200);
            // The comment that begins a stream.
            client.chunk();
            client
        })
        .collect();
    for round in 0..ROUNDS {
        // Larger than what is sent at once, and than a pipe's worth.
        let text = round.to_string().repeat(1 + round * 300);
        server.handle.publish("feed", Message::Text(&text)).unwrap();
        for client in &mut sockets {
            assert_eq!(client.next_frame().text(), text);
        }
        for client in &mut streams {
            assert_eq!(client.chunk(), format!("data: {text}\n\n").into_bytes());
        }
    }
    drop((sockets, streams));
    let counters = server.finish();
    assert_eq!(counters.delivered, counters.matched);
    assert_eq!(counters.submissions % ROUNDS as u64, 0, "a turn submits once");
    counters.submissions / ROUNDS as u64
}

#[test]
fn a_thousand_subscribers_are_written_to_in_one_call() {
    let once = u64::from(is_allowed());
    assert_eq!(publish(Io::Auto, 900, 100), once);
    assert_eq!(publish(Io::Epoll, 30, 30), 0);
}

/// What a socket did not take of a write that was made together with others leaves once there is room.
#[test]
fn subscribers_that_do_not_read_for_a_while_get_everything() {
    const MESSAGES: usize = 200;
    let mut limits = Limits::default();
    limits.outbox_bytes = 64 << 20;
    let server = server::run_from(Server::builder().limits(limits), |_worker| App::new().ws("/ws", Feed));
    let mut clients: Vec<_> = (0..8).map(|_| Client::websocket(server.addr, "/ws")).collect();
    let text = |at: usize| at.to_string().repeat(30_000);
    for at in 0..MESSAGES {
        server.handle.publish("feed", Message::Text(&text(at))).unwrap();
    }
    let queued = server.wait(|counters| counters.matched == (8 * MESSAGES) as u64);
    assert!(queued.delivered < queued.matched, "nothing was blocked");
    for client in &mut clients {
        for at in 0..MESSAGES {
            assert_eq!(client.next_frame().text(), text(at));
        }
    }
    let counters = server.wait(|counters| counters.delivered == counters.matched);
    assert_eq!(counters.submissions > 0, is_allowed());
}

#[test]
fn few_subscribers_are_written_to_one_by_one() {
    assert_eq!(publish(Io::Auto, 2, 1), 0);
}

#[test]
fn a_server_says_how_it_writes() {
    let serve = |io| Server::builder().bind("127.0.0.1:0").workers(2).io(io).serve(|_| App::new());
    let expected = if is_allowed() { Io::Uring } else { Io::Epoll };
    let server = serve(Io::Auto).unwrap();
    assert_eq!(server.io(), expected);
    Workers::of(Ok(server)).finish();
    let server = serve(Io::Epoll).unwrap();
    assert_eq!(server.io(), Io::Epoll);
    Workers::of(Ok(server)).finish();
    match serve(Io::Uring) {
        Ok(server) => {
            assert!(is_allowed());
            Workers::of(Ok(server)).finish();
        }
        Err(error) => assert!(!is_allowed() && matches!(error, ServeError::Uring(_)), "{error}"),
    }
}
