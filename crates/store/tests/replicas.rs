//! Brokers and stores leave a server that has become a replica, and report what a server refuses as lost.

use fleeting::Arena;
use fleeting_store::{Envelope, Redis, RedisOptions, Store};
use fleeting_testkit::client::PATIENCE;
use fleeting_testkit::redis::fake::FakeRedis;
use fleeting_testkit::redis::node::{Node, patient, wait_until};
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// A short heartbeat. On a busy machine, Redis must still answer a PING within this time.
const BEAT: Duration = Duration::from_millis(1500);

/// Whatever a user may ask the server, its broker notices that the server has become a replica.
#[test]
fn a_broker_leaves_a_replica_whatever_its_user_may_ask() {
    for rules in ["+@all", "+@all -info", "+@all -info -role", "+@all -@dangerous"] {
        let servers = RedisServer::start_pair(&[]);
        for (server, _) in &servers {
            let words = ["ACL", "SETUSER", "node", "on", ">p", "~*", "&*"];
            server.ask::<()>(&[&words[..], &rules.split(' ').collect::<Vec<_>>()].concat());
        }
        let proxy = Proxy::start(servers[0].0.socket());
        let url = proxy.url().replace("redis://", "redis://node:p@");
        let (sender, changes) = mpsc::channel();
        let options = RedisOptions::new().timeout(PATIENCE).heartbeat(BEAT);
        let options = options.watch(move |down| drop(sender.send(down.map(str::to_string))));
        let own = Node::start_with(&url, "own", options);
        servers[1].0.promote();
        servers[0].0.replicate(servers[1].1);
        // New connections lead to the replica as well for now.
        let why = changes.recv_timeout(PATIENCE).expect("the report arrives").expect("it is a replica");
        assert_eq!(why, "it is a replica", "{rules}");
        own.connected(false);
        proxy.lead_to(servers[1].0.socket());
        own.connected(true);
        assert_eq!(own.recorder.wait(1), ["!the connection to the other nodes was lost, and is back"]);
        let other = Node::start(&servers[1].0.url(), "other");
        other.publish("t", "1");
        assert_eq!(own.recorder.wait(2)[1], "t=1", "{rules}");
        assert!(own.broker.counters().failovers >= 1, "{rules}");
    }
}

/// Two primaries under one address: nothing is a replica, but the node has the old one to itself.
#[test]
fn a_broker_leaves_a_server_that_its_address_no_longer_leads_to() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let proxy = Proxy::start(servers[0].socket());
    let options = RedisOptions::new().timeout(PATIENCE).heartbeat(BEAT);
    let own = Node::start_with(&proxy.url(), "own", options);
    own.publish("t", "to the old server");
    let other = Node::start(&servers[1].url(), "other");
    proxy.lead_to(servers[1].socket());
    assert_eq!(own.recorder.wait(1), ["!the connection to the other nodes was lost, and is back"]);
    own.publish("t", "1");
    other.publish("t", "2");
    assert_eq!(own.recorder.wait(2)[1], "t=2");
    // The other node had its connection when the first publication may have been made.
    wait_until(|| {
        other.recorder.received.lock().expect("not poisoned").last().is_some_and(|last| last == "t=1")
    });
    assert!(own.broker.counters().failovers >= 1);
}

/// What a primary passes on to its new replica begins after the replica is in step with it. A node that still listens to
/// the replica learns that it has missed what was published before.
#[test]
fn a_node_that_listens_to_a_replica_is_told_what_it_missed() {
    let servers = [RedisServer::start_on_a_port(&[]), RedisServer::start_on_a_port(&[])];
    // The heartbeat notices nothing.
    let start = |at: usize, name| {
        Node::start_with(
            &servers[at].0.url(),
            name,
            RedisOptions::new().timeout(PATIENCE).heartbeat(PATIENCE),
        )
    };
    let (own, other) = (start(0, "own"), start(1, "other"));
    other.publish("t", "missed");
    wait_until(|| other.broker.counters().sent == 1);
    servers[0].0.replicate(servers[1].1);
    wait_until(|| servers[0].0.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up"));
    // The first that it hears of this node comes by way of the primary.
    other.publish("t", "1");
    assert_eq!(own.recorder.wait(2), ["!publications of other were lost", "t=1"]);
}

/// Whatever a server refuses publications with, they count as lost, and the other nodes learn of it.
#[test]
fn publications_that_a_server_refuses_are_never_lost_in_silence() {
    for error in [
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOREPLICAS Not enough good replicas to write.",
        "CLUSTERDOWN The cluster is down",
        "MOVED 1 127.0.0.1:1",
        "NOPERM this user has no permissions to run the 'publish' command",
        "NOAUTH Authentication required.",
        "BUSY Redis is busy running a script.",
    ] {
        let is_refusing = Arc::new(AtomicBool::new(false));
        let (sender, accepted) = mpsc::channel();
        let refuses = is_refusing.clone();
        let redis = FakeRedis::start(move |words| {
            if words[0] == b"PUBLISH" {
                if refuses.load(Ordering::Relaxed) {
                    return Some(format!("-{error}\r\n").into());
                }
                let envelope = Envelope::parse(&words[2]).expect("an envelope");
                let _ = sender.send((envelope.number, envelope.last_ago));
            }
            None
        });
        let options = RedisOptions::new().timeout(PATIENCE).heartbeat(BEAT);
        let own = Node::start_with(&redis.url(), "own", options);
        own.publish("t", "1");
        wait_until(|| own.broker.counters().sent == 1);
        is_refusing.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        (0..5).for_each(|_| own.publish("t", "lost"));
        wait_until(|| own.broker.counters().dropped_away == 5);
        assert!(accepted.try_iter().all(|(number, _)| number <= 1), "{error}");
        is_refusing.store(false, Ordering::Relaxed);
        // Nothing more is published: a heartbeat says it.
        let said = accepted.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no heartbeat after {error}"));
        assert_eq!(said.0, 6, "{error}");
        assert!(said.1.is_some_and(|ago| ago < begin.elapsed()), "{error}: {said:?}");
        wait_until(|| own.broker.is_connected());
        own.publish("t", "2");
        wait_until(|| own.broker.counters().sent == 2);
    }
}

#[test]
fn a_user_whose_permissions_change_is_told_what_it_missed() {
    let (server, port) = RedisServer::start_on_a_port(&[]);
    let rules = |rules: &[&str]| server.ask::<()>(&[&["ACL", "SETUSER", "node"], rules].concat());
    rules(&["on", ">p", "~*", "&*", "+@all"]);
    let options = patient().heartbeat(BEAT);
    let (own, other) = (
        Node::start_with(&format!("redis://node:p@127.0.0.1:{port}"), "own", options),
        Node::start(&server.url(), "other"),
    );
    own.publish("t", "1");
    assert_eq!(other.recorder.wait(1), ["t=1"]);
    // It may not publish.
    rules(&["-publish"]);
    (0..3).for_each(|_| own.publish("t", "lost"));
    wait_until(|| own.broker.counters().dropped_away == 3);
    rules(&["+publish"]);
    assert_eq!(other.recorder.wait(2)[1], "!3 publications of own were lost");
    // It may not hear: Redis ends the connection.
    rules(&["resetchannels"]);
    own.connected(false);
    other.publish("t", "missed");
    wait_until(|| other.broker.counters().sent == 1);
    rules(&["allchannels"]);
    assert_eq!(own.recorder.wait(1), ["!the connection to the other nodes was lost, and is back"]);
    own.connected(true);
    other.publish("t", "2");
    assert_eq!(own.recorder.wait(2)[1], "t=2");
    // It may not ask which server this is: its connections are replaced by some that ask otherwise.
    rules(&["-info", "-role"]);
    assert_eq!(own.recorder.wait(3)[2], own.recorder.wait(1)[0]);
    own.connected(true);
    own.publish("t", "3");
    assert_eq!(other.recorder.wait(3)[2], "t=3");
}

// ---------------------------------------------------------------- the store

fn get(store: &Redis) -> Option<String> {
    let arena = Arena::new(1024);
    let value = store.get("a", &arena).ok().flatten();
    value.map(|value| String::from_utf8(value.to_vec()).expect("text"))
}

#[test]
fn a_store_leaves_a_replica_before_it_writes() {
    let servers = RedisServer::start_pair(&[]);
    let proxy = Proxy::start(servers[0].0.socket());
    let url = proxy.url().parse().expect("a valid URL");
    let (sender, changes) = mpsc::channel();
    let options = RedisOptions::new().timeout(PATIENCE).heartbeat(BEAT);
    let options = options.watch(move |down| drop(sender.send(down.map(str::to_string))));
    let store = Redis::connect(url, options).expect("a thread can be started");
    store.set("a", b"old", None).expect("the store accepts it");
    servers[1].0.promote();
    servers[0].0.replicate(servers[1].1);
    // Nothing is written, but the store would read old values.
    let why = changes.recv_timeout(PATIENCE).expect("the report arrives").expect("it is a replica");
    assert_eq!(why, "it is a replica");
    assert!(store.get("a", &Arena::new(64)).is_err());
    servers[1].0.ask::<()>(&["SET", "fleeting:a", "new"]);
    proxy.lead_to(servers[1].0.socket());
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(None));
    assert_eq!(get(&store).as_deref(), Some("new"));
    // Two primaries: the store finds the one that its address leads to.
    servers[0].0.promote();
    servers[0].0.ask::<()>(&["SET", "fleeting:a", "newest"]);
    proxy.lead_to(servers[0].0.socket());
    wait_until(|| get(&store).as_deref() == Some("newest"));
}

/// A store and a broker with the same options: what one of them meets, the other one looks at.
#[test]
fn a_write_that_a_replica_refuses_drops_all_connections() {
    let servers = RedisServer::start_pair(&[]);
    let proxy = Proxy::start(servers[0].0.socket());
    // The heartbeat notices nothing.
    let options = RedisOptions::new().timeout(PATIENCE).heartbeat(PATIENCE);
    let own = Node::start_with(&proxy.url(), "own", options.clone());
    let url = proxy.url().parse().expect("a valid URL");
    let store = Redis::connect(url, options).expect("a thread can be started");
    store.set("a", b"old", None).expect("the store accepts it");
    servers[1].0.promote();
    servers[0].0.replicate(servers[1].1);
    proxy.lead_to(servers[1].0.socket());
    let refused = store.set("a", b"lost", None).expect_err("a replica refuses it").to_string();
    assert!(refused.contains("READONLY"), "{refused}");
    store.set("a", b"new", None).expect("the new primary accepts it");
    assert_eq!(servers[1].0.ask::<String>(&["GET", "fleeting:a"]), "new");
    assert_eq!(own.recorder.wait(1), ["!the connection to the other nodes was lost, and is back"]);
}
