//! Processes that share topics over one Redis: what is published on one reaches all, once and in order, also when Redis
//! is killed under load.

use crate::program::Running;
use fleeting_testkit::client::{Client, TEXT};
use fleeting_testkit::redis::node::{Node, wait_until};
use fleeting_testkit::redis::server::RedisServer;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A client of a process's hub that has subscribed to `t.*`.
fn hub(program: &Running) -> Client {
    let mut client = Client::websocket(program.addrs[0], "/hub");
    client.frame(TEXT, r#"{"subscribe": "t.*"}"#);
    assert_eq!(client.next_frame().text(), r#"{"subscribed":"t.*"}"#);
    client
}

/// Publishes `t.{from}` with each of `numbers`.
fn publish(client: &mut Client, from: usize, numbers: std::ops::Range<usize>) {
    for number in numbers {
        client.frame(TEXT, format!(r#"{{"publish": "t.{from}", "data": {number}}}"#));
    }
}

/// What a client gets until it has `count` publications, the answers to its own commands left out; what each node has
/// published is in order.
#[track_caller]
fn gets(client: &mut Client, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        let frame = client.next_frame();
        if !frame.text().starts_with(r#"{"published""#) {
            got.push(frame.text().to_string());
        }
    }
    got
}

#[test]
fn three_processes_are_one_hub_through_a_kill_of_redis() {
    const EACH: usize = 200;
    /// Within this a Redis that has come back is found, as is promised, and then some.
    const RECOVERY: Duration = Duration::from_millis(2500);
    const GAP: &str = r#"{"gap":{"reason":"reconnected"}}"#;
    let mut redis = RedisServer::start();
    let mut programs = ["a", "b", "c"]
        .map(|node| Running::serve(&["--store", &redis.url(), "--node", node, "--workers", "2"]));
    // Three connections each: one may have been slow to begin.
    let connected = || redis.ask::<String>(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() > 6;
    wait_until(|| {
        redis.ask::<(String, usize)>(&["PUBSUB", "NUMSUB", "fleeting:topics.0"]).1 == 3 && connected()
    });
    let mut clients: Vec<Client> = programs.iter().map(hub).collect();
    let mut events: Vec<Client> = programs.iter().map(|program| Client::connect(program.addrs[0])).collect();
    for listener in &mut events {
        listener.send("GET /topics/t.* HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(listener.answer_to_head().status, 200);
    }
    // All once, and those of each node in their order, on every node.
    let all = |clients: &mut [Client], from: usize| {
        for (node, client) in clients.iter_mut().enumerate() {
            publish(client, node, from..from + EACH);
        }
        for client in clients {
            let mut next = [from; 3];
            for got in gets(client, 3 * EACH) {
                let (node, number) = (0..3)
                    .find_map(|node| {
                        let rest = got.strip_prefix(&format!(r#"{{"topic":"t.{node}","data":"#))?;
                        Some((node, rest.strip_suffix('}')?.parse::<usize>().ok()?))
                    })
                    .unwrap_or_else(|| panic!("{got}"));
                assert_eq!(number, next[node], "of node {node}");
                next[node] += 1;
            }
            assert_eq!(next, [from + EACH; 3]);
        }
    };
    all(&mut clients, 0);
    for round in 1..4 {
        // Under load, which is no concern of Redis's.
        let (over, slowest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
        thread::scope(|scope| {
            for program in &programs {
                let (over, slowest) = (&over, &slowest);
                scope.spawn(move || {
                    let mut client = Client::connect(program.addrs[0]);
                    while !over.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        assert_eq!(client.get("/plaintext").text(), "Hello, World!");
                        let mut slowest = slowest.lock().expect("nobody panics with it");
                        *slowest = begin.elapsed().max(*slowest);
                    }
                });
            }
            redis.kill();
            // What is published now is for the node's own clients.
            for (node, client) in clients.iter_mut().enumerate() {
                publish(client, node, 0..10);
                let got = gets(client, 10);
                assert!(
                    got.iter().all(|got| got.starts_with(&format!(r#"{{"topic":"t.{node}""#))),
                    "{got:?}"
                );
            }
            // Long enough for what was published to be given up.
            for program in &programs {
                (0..50)
                    .for_each(|_| assert_eq!(Client::connect(program.addrs[0]).get("/healthz").status, 200));
            }
            redis.restart();
            let back = Instant::now();
            for client in &mut clients {
                assert_eq!(gets(client, 1), [GAP]);
            }
            assert!(back.elapsed() < RECOVERY, "{:?}", back.elapsed());
            println!("told of a gap {:?} after the return", back.elapsed());
            over.store(true, Ordering::Relaxed);
        });
        println!("the slowest of other requests took {slowest:?}");
        // No other gap, nothing that was published while it was away.
        all(&mut clients, round * EACH);
    }
    for (node, listener) in events.iter_mut().enumerate() {
        let mut told = String::new();
        let last = |node: usize| format!(r#"data: {{"topic":"t.{node}","data":{}}}"#, 4 * EACH - 1);
        while !(0..3).all(|node| told.contains(&last(node))) {
            told.push_str(std::str::from_utf8(&listener.chunk()).expect("text"));
        }
        assert_eq!(told.matches(&format!("event: gap\ndata: {GAP}\n\n")).count(), 3, "of node {node}");
        assert_eq!(told.matches("data: {\"topic\"").count(), 4 * 3 * EACH + 3 * 10);
    }
    // Each has said that Redis was away and is back, if it was away for long enough to be missed.
    for program in &mut programs {
        program.signal("TERM");
    }
    for program in programs {
        let said = program.said_at_the_end();
        let (away, back) =
            (said.matches("is not available: ").count(), said.matches("available again").count());
        // More than one reason may be found on the way.
        assert!((1..=3).contains(&back) && (back..=3 * back).contains(&away), "{said}");
    }
}

#[test]
fn a_process_may_begin_before_its_redis() {
    let mut redis = RedisServer::start();
    redis.kill();
    let mut program = Running::serve(&["--store", &redis.url()]);
    let line = program.stderr_line();
    assert!(line.contains(" is not available: it cannot be reached: Connection refused"), "{line}");
    let mut client = hub(&program);
    assert_eq!(Client::connect(program.addrs[0]).get("/healthz").status, 200);
    redis.restart();
    assert_eq!(client.next_frame().text(), r#"{"gap":{"reason":"reconnected"}}"#);
    let line = program.stderr_line();
    assert!(line.ends_with(" is available again\n"), "one line for both: {line}");
    let node = Node::start(&redis.url(), "other");
    node.publish("t.1", "{\"topic\":\"t.1\",\"data\":1}");
    assert_eq!(client.next_frame().text(), "{\"topic\":\"t.1\",\"data\":1}");
}
