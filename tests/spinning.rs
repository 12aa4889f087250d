//! A worker that spins polls without waiting for a span after something has happened, and only then waits.

use fleeting::{App, Broker, Message, Publication, Response, Server, Timeouts, Worker};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{Workers, run_from};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);
/// Longer than any test may be blocked by mistake, and no more.
const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn app() -> App {
    App::new().get("/", |_req| Ok(Response::text("hello")))
}

/// Takes every publication, so that the loop's own have somewhere to go.
struct Taker;

impl Broker for Taker {
    fn publish(&self, _publication: &Arc<Publication>) {}
}

fn worker(spin: Duration) -> Worker {
    let builder = Server::builder().bind("127.0.0.1:0").broker(Arc::new(Taker)).spin(spin);
    builder.worker(|_| app()).expect("the server starts")
}

fn turn(worker: &mut Worker, timeout: Option<Duration>) {
    assert!(worker.turn(timeout).expect("polling works"));
}

#[test]
fn a_worker_polls_without_waiting_after_something_has_happened() {
    // Each makes something happen, and takes turns until it has been done.
    type Event = (&'static str, fn(&mut Worker));
    let events: [Event; 3] = [
        ("a publication of the loop", |worker| {
            worker.publish("a", Message::Text("text")).expect("it is valid");
            turn(worker, MINUTE);
            assert_eq!(worker.counters().published, 1);
        }),
        ("a command of another thread", |worker| {
            worker.handle().publish("a", Message::Text("text")).expect("there is room");
            turn(worker, MINUTE);
            assert_eq!(worker.counters().published, 1);
        }),
        ("a request", |worker| {
            let addr = worker.local_addrs()[0];
            let mut client = Client::connect(addr);
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            while worker.counters().requests == 0 {
                turn(worker, MINUTE);
            }
            assert_eq!(client.answer().text(), "hello");
            drop(client);
            while worker.counters().connections > 0 {
                turn(worker, MINUTE);
            }
        }),
    ];
    for (what, happens) in events {
        let mut worker = worker(HOUR);
        assert_eq!((worker.patience(), worker.counters().empty_polls), (None, 0), "nothing has happened");
        happens(&mut worker);
        let before = worker.counters().empty_polls;
        for more in 1..=5 {
            assert_eq!(worker.patience(), Some(Duration::ZERO), "{what}");
            // It does not wait for its timeout.
            turn(&mut worker, None);
            assert_eq!(worker.counters().empty_polls, before + more, "{what}");
        }
    }
}

#[test]
fn a_worker_waits_once_the_span_has_passed() {
    let mut worker = worker(Duration::from_nanos(1));
    for _ in 0..3 {
        worker.publish("a", Message::Text("text")).expect("it is valid");
        let before = worker.counters().empty_polls;
        while worker.patience() == Some(Duration::ZERO) {
            turn(&mut worker, None);
        }
        let spun = worker.counters().empty_polls;
        assert!(spun > before, "it has spun");
        for _ in 0..3 {
            // It waits for all of its timeout, in one poll.
            turn(&mut worker, Some(Duration::from_millis(1)));
            assert_eq!((worker.counters().empty_polls, worker.patience()), (spun, None));
        }
    }
}

#[test]
fn by_default_a_worker_waits_at_once() {
    let mut worker = worker(Duration::ZERO);
    worker.publish("a", Message::Text("text")).expect("it is valid");
    turn(&mut worker, MINUTE);
    assert_eq!(worker.patience(), None);
    turn(&mut worker, Some(Duration::from_millis(1)));
    assert_eq!(worker.counters().empty_polls, 0);
}

/// Clients, deadlines, commands and the shutdown reach a worker that never waits.
#[test]
fn everything_works_while_a_worker_spins() {
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::from_millis(100);
    let server = run_from(Server::builder().timeouts(timeouts).spin(Duration::MAX), |_| app());
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/").text(), "hello");
    server.wait(|counters| counters.empty_polls > 0);
    // Its deadline.
    client.ended();
    server.wait(|counters| counters.timeouts == 1 && counters.connections == 0);
    server.handle.publish("a", Message::Text("text")).expect("there is room");
    server.wait(|counters| counters.published == 1);
    server.finish();
}

#[test]
fn every_worker_of_a_server_spins() {
    let builder = Server::builder().bind("127.0.0.1:0").workers(2).spin(Duration::MAX);
    let server = Workers::of(builder.serve(|_| app()));
    let empty_polls = || {
        let (sender, figures) = mpsc::channel();
        // A command, after which each worker spins.
        server.handle.figures(move |workers| sender.send(workers).expect("the test waits"));
        let workers = figures.recv().expect("the workers answer");
        workers.iter().map(|worker| worker.counters.empty_polls).collect::<Vec<_>>()
    };
    while !empty_polls().iter().all(|count| *count > 0) {
        thread::yield_now();
    }
    server.finish();
}
