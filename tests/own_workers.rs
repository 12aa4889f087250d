//! Several workers that run on the caller's threads are one server on one port.

use fleeting::{App, Message, Response, ServeError, Server, Worker, WorkerContext};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{Feed, subscriptions};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// So many connections that each of two sockets gets one.
const MANY: usize = 64;

/// `/` returns the worker's number.
fn app(context: &WorkerContext) -> App {
    let index = context.index.to_string();
    App::new().get("/", move |_req| Ok(Response::text(index.clone()))).ws("/feed", Feed)
}

/// Opens connections until each of `workers` workers has accepted one. Returns one of each, in their order.
fn one_of_each(addr: SocketAddr, workers: usize) -> Vec<Client> {
    let mut found: Vec<Option<Client>> = (0..workers).map(|_| None).collect();
    for _ in 0..MANY {
        let mut client = Client::connect(addr);
        let index: usize = client.get("/").text().parse().expect("a number");
        found[index].get_or_insert(client);
    }
    found.into_iter().map(|client| client.expect("each worker has accepted one")).collect()
}

/// Finding A14.
#[test]
fn workers_on_threads_of_the_caller_share_a_port_and_their_topics() {
    const WORKERS: usize = 3;
    let prepared = Server::builder().bind("127.0.0.1:0").workers(WORKERS).prepare().expect("it can listen");
    assert!(prepared.iter().map(|prepared| prepared.index()).eq(0..WORKERS));
    let handle = prepared[0].handle();
    let addrs: BTreeSet<_> = prepared.iter().map(|prepared| prepared.local_addrs()[0]).collect();
    assert_eq!(addrs.len(), 1);
    let addr = *addrs.first().expect("just counted");
    // Clients may connect before the workers have started.
    let mut early = Client::connect(addr);
    let threads: Vec<_> = prepared
        .into_iter()
        .map(|prepared| {
            thread::spawn(move || {
                let mut worker = prepared.start(app).expect("it starts");
                while worker.turn(None).expect("polling works") {}
                worker.counters()
            })
        })
        .collect();
    early.get("/");
    let mut subscribers: Vec<_> =
        one_of_each(addr, WORKERS).into_iter().map(|client| client.upgraded("/feed")).collect();
    assert_eq!(subscriptions(&handle), WORKERS);
    for number in 0..WORKERS {
        let text = number.to_string();
        subscribers[number].frame(1, &text);
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.next_frame().text(), text);
        }
    }
    handle.shutdown();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next_frame().close_code(), 1001);
    }
    drop(subscribers);
    let counters: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("it has ended")).collect();
    assert!(counters.iter().all(|counters| counters.accepted > 0 && counters.websockets == 1));
    assert_eq!(counters.iter().map(|counters| counters.accepted).sum::<u64>(), MANY as u64 + 1);
}

#[test]
fn one_thread_may_run_several_workers() {
    let prepared = Server::builder().bind("127.0.0.1:0").workers(2).prepare().expect("it can listen");
    let mut workers: Vec<Worker> =
        prepared.into_iter().map(|prepared| prepared.start(app).expect("it starts")).collect();
    let addr = workers[0].local_addrs()[0];
    let client = thread::spawn(move || {
        let mut clients: Vec<_> =
            one_of_each(addr, 2).into_iter().map(|client| client.upgraded("/feed")).collect();
        let texts: Vec<_> = clients.iter_mut().map(|client| client.next_frame().text().to_string()).collect();
        texts
    });
    let mut published = false;
    while !client.is_finished() {
        for worker in &mut workers {
            worker.turn(Some(Duration::from_millis(1))).expect("polling works");
        }
        if !published && workers.iter().map(|worker| worker.counters().websockets).sum::<u64>() == 2 {
            published = true;
            workers[1].publish("feed", Message::Text("hello")).expect("it is valid");
        }
    }
    assert_eq!(client.join().expect("it has all"), ["hello", "hello"]);
    workers[0].handle().shutdown();
    while !workers.is_empty() {
        workers.retain_mut(|worker| worker.turn(Some(Duration::from_millis(1))).expect("polling works"));
    }
}

#[test]
fn a_worker_that_never_starts_takes_no_connections_and_no_publications() {
    let mut prepared = Server::builder().bind("127.0.0.1:0").workers(2).prepare().expect("it can listen");
    let wrong = prepared.pop().expect("there are two");
    let error =
        wrong.start(|_| App::new().get("no slash", |_req| Ok(Response::new(204)))).expect_err("it is wrong");
    assert!(matches!(error, ServeError::Route(_)));
    let last = prepared.pop().expect("there is one");
    let handle = last.handle();
    let addr = last.local_addrs()[0];
    let thread = thread::spawn(move || {
        let mut worker = last.start(app).expect("it starts");
        while worker.turn(None).expect("polling works") {}
        worker.counters()
    });
    for _ in 0..MANY {
        assert_eq!(Client::connect(addr).get("/").text(), "0");
    }
    let mut subscriber = Client::websocket(addr, "/feed");
    handle.publish("feed", Message::Text("hello")).expect("a worker is there");
    assert_eq!(subscriber.next_frame().text(), "hello");
    drop(subscriber);
    handle.shutdown();
    assert_eq!(thread.join().expect("it has ended").publications_lost, 0);
    drop(Server::builder().bind("127.0.0.1:0").workers(2).prepare().expect("it can listen"));
    let dropped = Server::builder().bind("127.0.0.1:0").prepare().expect("it can listen").remove(0);
    let handle = dropped.handle();
    drop(dropped);
    assert!(handle.publish("feed", Message::Text("hello")).is_err(), "no worker is left");
}

/// Returns the processors that the calling thread may use: proc_pid_status(5).
#[cfg(target_os = "linux")]
fn processors() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("it is listed").trim().to_string()
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_threads_keep_to_one_processor_each() {
    let here = processors();
    let usable = thread::available_parallelism().expect("it is known").get();
    for pinned in [true, false] {
        let (sender, found) = mpsc::channel();
        let builder = Server::builder().bind("127.0.0.1:0").workers(2).pin_threads(pinned);
        let server = builder.serve(move |context| {
            sender.send((context.index, processors())).expect("the test waits");
            App::new()
        });
        let server = server.expect("it starts");
        let mut found: Vec<_> = (0..2).map(|_| found.recv().expect("each worker has one")).collect();
        found.sort();
        let [(_, first), (_, second)] = &*found else { unreachable!("there are two") };
        if pinned {
            assert!(first.parse::<usize>().is_ok() && second.parse::<usize>().is_ok(), "{first}, {second}");
            assert!(usable == 1 || first != second, "{first}, {second}");
        } else {
            assert_eq!([first, second], [&here, &here]);
        }
        server.handle().shutdown();
        server.run().expect("it has ended");
    }
    assert_eq!(processors(), here, "the caller's thread is as it was");
}
