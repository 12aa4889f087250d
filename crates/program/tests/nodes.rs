//! Processes that share topics over one Redis: a message published on one reaches the clients of all, once and in
//! order, even if Redis is killed under load.

use crate::program::Running;
use fleeting_testkit::client::{Client, PATIENCE, TEXT};
use fleeting_testkit::redis::fake::FakeRedis;
use fleeting_testkit::redis::node::{Node, wait_until};
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Returns a client of the process's hub, subscribed to `t.*`.
fn hub(program: &Running) -> Client {
    let mut client = Client::websocket(program.addrs[0], "/hub");
    client.frame(TEXT, r#"{"subscribe": "t.*"}"#);
    assert_eq!(client.next_frame().text(), r#"{"subscribed":"t.*"}"#);
    client
}

/// Publishes each of `numbers` under `t.{node}`.
fn publish(client: &mut Client, node: usize, numbers: std::ops::Range<usize>) {
    for number in numbers {
        client.frame(TEXT, format!(r#"{{"publish": "t.{node}", "data": {number}}}"#));
    }
}

/// Returns the next `count` messages that a client receives, without the answers to its own commands, and without notices of
/// an outage that lasts: whether it lasts long enough depends on the machine.
#[track_caller]
fn receive(client: &mut Client, count: usize) -> Vec<String> {
    let mut received = Vec::new();
    while received.len() < count {
        let frame = client.next_frame();
        let is_aside = [r#"{"published""#, r#"{"gap":{"reason":"disconnected"}}"#];
        if !is_aside.iter().any(|aside| frame.text().starts_with(aside)) {
            received.push(frame.text().to_string());
        }
    }
    received
}

/// Sets the flag when dropped, so that a failed assertion also ends the threads that wait for it.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn three_processes_are_one_hub_through_a_kill_of_redis() {
    const EACH: usize = 200;
    /// A Redis that is back is found within this time: the promised second, and some slack.
    const RECOVERY: Duration = Duration::from_millis(2500);
    const GAP: &str = r#"{"gap":{"reason":"reconnected"}}"#;
    let mut redis = RedisServer::start();
    let mut programs = ["a", "b", "c"]
        .map(|node| Running::serve(&["--store", &redis.url(), "--node", node, "--workers", "2"]));
    // Each process has three connections, and one of them may be slow to start.
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
    // Every node receives all messages once, and those of each node in order.
    let all = |clients: &mut [Client], from: usize| {
        for (node, client) in clients.iter_mut().enumerate() {
            publish(client, node, from..from + EACH);
        }
        for client in clients {
            let mut next = [from; 3];
            for message in receive(client, 3 * EACH) {
                let (node, number) = (0..3)
                    .find_map(|node| {
                        let rest = message.strip_prefix(&format!(r#"{{"topic":"t.{node}","data":"#))?;
                        Some((node, rest.strip_suffix('}')?.parse::<usize>().ok()?))
                    })
                    .unwrap_or_else(|| panic!("{message}"));
                assert_eq!(number, next[node], "from node {node}");
                next[node] += 1;
            }
            assert_eq!(next, [from + EACH; 3]);
        }
    };
    all(&mut clients, 0);
    for round in 1..4 {
        // Other requests run meanwhile and must not be affected by Redis.
        let (over, slowest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
        thread::scope(|scope| {
            let _end = SetOnDrop(&over);
            for program in &programs {
                let (over, slowest) = (&over, &slowest);
                scope.spawn(move || {
                    let mut client = Client::connect(program.addrs[0]);
                    while !over.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        assert_eq!(client.get("/plaintext").text(), "Hello, World!");
                        let mut slowest = slowest.lock().expect("no thread panics while it holds the lock");
                        *slowest = begin.elapsed().max(*slowest);
                    }
                });
            }
            redis.kill();
            // Without Redis, a message reaches only the clients of its own node.
            for (node, client) in clients.iter_mut().enumerate() {
                publish(client, node, 0..10);
                let received = receive(client, 10);
                assert!(
                    received.iter().all(|message| message.starts_with(&format!(r#"{{"topic":"t.{node}""#))),
                    "{received:?}"
                );
            }
            // Long enough for the nodes to give up on sending those messages.
            for program in &programs {
                (0..50)
                    .for_each(|_| assert_eq!(Client::connect(program.addrs[0]).get("/healthz").status, 200));
            }
            redis.restart();
            let back = Instant::now();
            for client in &mut clients {
                assert_eq!(receive(client, 1), [GAP]);
            }
            assert!(back.elapsed() < RECOVERY, "{:?}", back.elapsed());
            println!("the gap was announced {:?} after Redis was back", back.elapsed());
        });
        println!("the slowest other request took {slowest:?}");
        // There is no further gap, and no message that was published while Redis was away.
        all(&mut clients, round * EACH);
    }
    for (node, listener) in events.iter_mut().enumerate() {
        let mut events = String::new();
        let last = |node: usize| format!(r#"data: {{"topic":"t.{node}","data":{}}}"#, 4 * EACH - 1);
        while !(0..3).all(|node| events.contains(&last(node))) {
            events.push_str(std::str::from_utf8(&listener.chunk()).expect("text"));
        }
        assert_eq!(events.matches(&format!("event: gap\ndata: {GAP}\n\n")).count(), 3, "from node {node}");
        assert_eq!(events.matches("data: {\"topic\"").count(), 4 * 3 * EACH + 3 * 10);
    }
    // Each process has logged that Redis was unavailable and is back, if the outage was long enough to be noticed.
    for program in &mut programs {
        program.signal("TERM");
    }
    for program in programs {
        let log = program.stderr_to_end();
        let (away, back) = (log.matches("is unavailable: ").count(), log.matches("available again").count());
        // One outage may be logged for several reasons.
        assert!((1..=3).contains(&back) && (back..=3 * back).contains(&away), "{log}");
    }
}

#[test]
fn a_process_may_start_before_its_redis() {
    let mut redis = RedisServer::start();
    redis.kill();
    let mut program = Running::serve(&["--store", &redis.url()]);
    let line = program.stderr_line();
    assert!(line.contains(" is unavailable: it cannot be reached: Connection refused"), "{line}");
    let mut client = hub(&program);
    assert_eq!(Client::connect(program.addrs[0]).get("/healthz").status, 200);
    redis.restart();
    assert_eq!(receive(&mut client, 1), [r#"{"gap":{"reason":"reconnected"}}"#]);
    let line = program.stderr_line();
    assert!(line.ends_with(" is available again\n"), "one line for the store and the broker: {line}");
    let node = Node::start(&redis.url(), "other");
    node.publish("t.1", "{\"topic\":\"t.1\",\"data\":1}");
    assert_eq!(client.next_frame().text(), "{\"topic\":\"t.1\",\"data\":1}");
}

/// Finding B11.
#[test]
fn a_redis_whose_scan_never_ends_does_not_hold_the_exit() {
    let (sender, scanned) = mpsc::channel();
    let redis = FakeRedis::start(move |words| {
        (words[0] == b"SCAN").then(|| {
            let _ = sender.send(());
            b"*2\r\n+7\r\n*0\r\n".to_vec()
        })
    });
    let program = Running::serve(&["--store", &redis.url()]);
    scanned.recv_timeout(PATIENCE).expect("the records are counted");
    assert_eq!(Client::connect(program.addrs[0]).get("/healthz").status, 200);
    program.signal("TERM");
    assert!(program.exit_status().success());
}

/// Finding B10.
#[test]
fn a_failover_reaches_every_subscriber_the_log_and_the_metrics() {
    let servers = RedisServer::start_pair(&[]);
    let proxy = Proxy::start(servers[0].0.socket());
    let mut program = Running::serve(&["--store", &proxy.url(), "--workers", "2"]);
    let mut client = hub(&program);
    let mut listener = Client::connect(program.addrs[0]);
    listener.send("GET /topics/t.* HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(listener.answer_to_head().status, 200);
    servers[1].0.promote();
    proxy.lead_to(servers[1].0.socket());
    servers[0].0.replicate(servers[1].1);
    const GAP: &str = r#"{"gap":{"reason":"reconnected"}}"#;
    assert_eq!(receive(&mut client, 1), [GAP]);
    let mut events = String::new();
    while !events.contains(&format!("event: gap\ndata: {GAP}\n\n")) {
        events.push_str(std::str::from_utf8(&listener.chunk()).expect("text"));
    }
    let line = program.stderr_line();
    let why = ["it is a replica", "it has restarted, or its address leads to another server"];
    let ends = |why: &&str| line.ends_with(&format!(" is unavailable: {why}; retrying\n"));
    assert!(why.iter().any(ends), "{line}");
    let node = Node::start(&servers[1].0.url(), "other");
    node.publish("t.1", "{\"topic\":\"t.1\",\"data\":1}");
    assert_eq!(client.next_frame().text(), "{\"topic\":\"t.1\",\"data\":1}");
    let metrics = Client::connect(program.addrs[0]).get("/metrics").text().to_string();
    let value = |name: &str| {
        let sample = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        sample.unwrap_or_else(|| panic!("{name} in {metrics}")).parse::<u64>().expect("a number")
    };
    assert!(value("fleeting_broker_failovers_total") >= 1);
    assert!(value("fleeting_broker_gaps_total") >= 1);
    assert!(value("fleeting_broker_received_total") >= 1);
}
