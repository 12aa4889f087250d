//! A store and a broker ask sentinels for the primary, and follow a failover.

use crate::members::{Member, count_losses, publish_until};
use fleeting::Arena;
use fleeting_store::{Redis, RedisOptions, Store, StoreError};
use fleeting_testkit::on_drop::OnDrop;
use fleeting_testkit::redis::fake::FakeRedis;
use fleeting_testkit::redis::node::{Node, patient, wait_until};
use fleeting_testkit::redis::server::{PRIMARY, RedisServer};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

/// A short heartbeat. On a busy machine, Redis must still answer a PING within this time.
const BEAT: Duration = Duration::from_millis(1500);

fn connect(url: &str, options: RedisOptions) -> Redis {
    Redis::connect(url.parse().expect("a valid URL"), options).expect("a thread can be started")
}

#[track_caller]
fn get(store: &Redis) -> Result<Option<String>, StoreError> {
    let arena = Arena::new(64);
    let value = store.get("a", &arena)?;
    Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
}

#[track_caller]
fn unavailable(store: &Redis) -> String {
    match get(store) {
        Err(StoreError::Unavailable(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A sentinel that names the primary at a port of this machine; 0 for none.
fn fake_sentinel(port: Arc<AtomicU16>) -> FakeRedis {
    FakeRedis::start(move |words| {
        if words[0] != b"SENTINEL" {
            return None;
        }
        assert_eq!(words[1..], [&b"get-master-addr-by-name"[..], PRIMARY.as_bytes()]);
        match port.load(Ordering::Relaxed) {
            0 => Some(b"*-1\r\n".to_vec()),
            port => {
                Some(format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.to_string().len()).into())
            }
        }
    })
}

fn fixed(port: u16) -> FakeRedis {
    fake_sentinel(Arc::new(AtomicU16::new(port)))
}

/// Returns the URL of a primary that these sentinels know.
fn url(sentinels: &[&FakeRedis]) -> String {
    let hosts: Vec<String> =
        sentinels.iter().map(|sentinel| sentinel.url().replace("redis://", "")).collect();
    format!("redis+sentinel://{}/{PRIMARY}", hosts.join(","))
}

/// Returns a port on which nothing listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it listens").port()
}

#[test]
fn sentinels_and_the_primary_have_logins_of_their_own() {
    let (server, port) = RedisServer::start_on_a_port(&["--requirepass", "primary"]);
    let auth = ["--sentinel", "auth-pass", PRIMARY, "primary"];
    let (sentinel, sentinel_port) = RedisServer::start_sentinel("--port", port, &auth);
    sentinel.ask::<()>(&[
        "ACL",
        "SETUSER",
        "asking",
        "on",
        ">p",
        "+sentinel|get-master-addr-by-name",
        "+ping",
    ]);
    sentinel.ask::<()>(&["ACL", "SETUSER", "default", "resetpass", ">s@ntinel"]);
    let at = format!("127.0.0.1:{sentinel_port}/{PRIMARY}/3");
    let store = connect(&format!("redis+sentinel://:primary@{at}?sentinel_password=s%40ntinel"), patient());
    assert_eq!(store.set("a", b"1", None), Ok(()));
    assert_eq!(get(&store), Ok(Some("1".into())));
    let of_user = format!("redis+sentinel://:primary@{at}?sentinel_username=asking&sentinel_password=p");
    assert_eq!(get(&connect(&of_user, patient())), Ok(Some("1".into())));
    let stranger = connect(&format!("redis+sentinel://:primary@{at}"), patient());
    let expected = format!("sentinel 127.0.0.1:{sentinel_port}: it says NOAUTH");
    assert!(unavailable(&stranger).starts_with(&expected), "{}", unavailable(&stranger));
    let stranger = connect(&format!("redis+sentinel://{at}?sentinel_password=s%40ntinel"), patient());
    let expected = format!("sentinel 127.0.0.1:{sentinel_port}: it names 127.0.0.1:{port}: it says NOAUTH");
    assert!(unavailable(&stranger).starts_with(&expected), "{}", unavailable(&stranger));
    drop(server);
}

#[test]
fn a_sentinel_that_is_of_no_help_is_passed_over() {
    let servers = RedisServer::start_pair(&[]);
    let (primary, replica) = (servers[0].1, servers[1].1);
    let (unknowing, wrong, dead) = (fixed(0), fixed(replica), fixed(closed_port()));
    let (refusing, good) = (FakeRedis::start(|_| Some(b"-NOPERM no\r\n".to_vec())), fixed(primary));
    let closed = format!("127.0.0.1:{}", closed_port());
    // In the first round, the good one is asked last.
    let url = url(&[&unknowing, &wrong, &dead, &refusing, &good]);
    let url = url.replace("sentinel://", &format!("sentinel://{closed},"));
    let store = connect(&url, patient().heartbeat(BEAT));
    assert_eq!(store.set("a", b"1", None), Ok(()));
    let own = Node::start_with(&url, "own", patient().heartbeat(BEAT));
    let other = Node::start_with(&format!("redis://127.0.0.1:{primary}"), "other", patient());
    own.publish("t", "1");
    assert_eq!(other.recorder.wait(1), ["t=1"]);
    own.connected(true);
    // Nothing leads elsewhere, so nothing is dropped.
    let beats = |server: &RedisServer| {
        let statistics: String = server.ask(&["INFO", "stats"]);
        let connections =
            statistics.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        connections.expect("Redis counts them").trim().parse::<u64>().expect("a number")
    };
    let before = beats(&servers[0].0);
    wait_until(|| beats(&servers[0].0) > before + 10);
    assert_eq!(own.broker.counters().failovers, 0);
}

#[test]
fn each_sentinel_has_its_reason_in_the_error() {
    let replica = RedisServer::start_pair(&[]);
    let check = |sentinels: &[&FakeRedis], expected: &[&str]| {
        let store = connect(&url(sentinels), patient());
        let why = unavailable(&store);
        let expected: Vec<String> = sentinels
            .iter()
            .zip(expected)
            .map(|(sentinel, why)| format!("sentinel {}: {why}", sentinel.url().replace("redis://", "")))
            .collect();
        assert_eq!(why, expected.join("; "));
    };
    let unknowing = format!("it knows no primary `{PRIMARY}`");
    let closed = closed_port();
    let dead =
        format!("it names 127.0.0.1:{closed}: it cannot be reached: Connection refused (os error 111)");
    let (knows_none, names_none) = (fixed(0), fixed(closed));
    check(&[&knows_none, &names_none], &[&unknowing, &dead]);
    let refusing = FakeRedis::start(|_| Some(b"-NOPERM no\r\n".to_vec()));
    check(&[&refusing, &knows_none], &["it says NOPERM no", &unknowing]);
    let names_replica = fixed(replica[1].1);
    let store = connect(&url(&[&knows_none, &names_replica]), patient());
    assert_eq!(unavailable(&store), "it is a replica");
}

/// The user may not ask the servers who they are, and both are primaries: only the sentinel knows better.
#[test]
fn a_node_leaves_a_server_that_its_sentinel_no_longer_names() {
    let servers = [(); 2].map(|()| RedisServer::start_on_a_port(&[]));
    for (server, _) in &servers {
        server.ask::<()>(&["ACL", "SETUSER", "node", "on", ">p", "~*", "&*", "+@all", "-info", "-role"]);
    }
    let named = Arc::new(AtomicU16::new(servers[0].1));
    let sentinel = fake_sentinel(named.clone());
    let url = url(&[&sentinel]).replace("sentinel://", "sentinel://node:p@");
    let options = patient().heartbeat(BEAT);
    let (own, store) = (Node::start_with(&url, "own", options.clone()), connect(&url, options));
    assert_eq!(store.set("a", b"old", None), Ok(()));
    servers[1].0.ask::<()>(&["SET", "fleeting:a", "new"]);
    let other = Node::start(&servers[1].0.url(), "other");
    named.store(servers[1].1, Ordering::Relaxed);
    assert_eq!(own.recorder.wait(1), ["!the connection to the other nodes was lost, and is back"]);
    own.connected(true);
    other.publish("t", "1");
    assert_eq!(own.recorder.wait(2)[1], "t=1");
    wait_until(|| get(&store) == Ok(Some("new".into())));
    assert!(own.broker.counters().failovers >= 1);
}

// ---------------------------------------------------------------- failovers

/// A primary and a replica that watch each other's places, and the sentinel above them.
struct Watched {
    servers: [(RedisServer, u16); 2],
    sentinel: (RedisServer, u16),
}

impl Watched {
    fn start(port_option: &str, arguments: &[&str]) -> Watched {
        let servers = RedisServer::start_pair_on(port_option, arguments);
        let sentinel = RedisServer::start_sentinel(port_option, servers[0].1, arguments);
        let watched = Watched { servers, sentinel };
        watched.wait_for_replica();
        watched
    }

    /// Returns the port of the primary, and whether no failover is in progress.
    fn primary(&self) -> (u16, bool) {
        let primary: HashMap<String, String> = self.sentinel.0.ask(&["SENTINEL", "MASTER", PRIMARY]);
        (primary["port"].parse().expect("a port"), !primary["flags"].contains("failover_in_progress"))
    }

    /// Waits until the sentinel knows a replica that can take over.
    fn wait_for_replica(&self) {
        wait_until(|| {
            let replicas: Vec<HashMap<String, String>> =
                self.sentinel.0.ask(&["SENTINEL", "REPLICAS", PRIMARY]);
            replicas.iter().any(|replica| {
                replica["flags"] == "slave"
                    && replica["master-link-status"] == "ok"
                    && replica["slave-repl-offset"] != "0"
            })
        });
    }

    /// Returns which of the servers is not the primary.
    fn spare(&self) -> usize {
        usize::from(self.primary().0 == self.servers[0].1)
    }
}

#[test]
fn every_loss_of_a_failover_by_a_sentinel_is_announced() {
    const NODES: usize = 3;
    let mut watched = Watched::start("--port", &[]);
    // A second one that nobody answers at, so that each attempt may have to pass it over.
    let url =
        format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/{PRIMARY}", closed_port(), watched.sentinel.1);
    let members: Vec<Member> =
        (0..NODES).map(|index| Member::start(&url, &format!("node {index}"))).collect();
    let store = connect(&url, patient());
    assert_eq!(store.set("a", b"0", None), Ok(()));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| publish_until(&members, &over));
        let _stop = OnDrop(|| over.store(true, Ordering::Relaxed));
        for round in 0..3 {
            let (old, new) = (1 - watched.spare(), watched.spare());
            let before: Vec<usize> = members.iter().map(|member| member.journal.gaps()).collect();
            if round == 2 {
                watched.servers[old].0.kill();
            }
            wait_until(|| {
                let (port, is_at_rest) = watched.primary();
                // On a busy machine, a failover may take too long and be given up.
                if round < 2 && port != watched.servers[new].1 && is_at_rest {
                    let _ = watched.sentinel.0.try_ask::<()>(&["SENTINEL", "FAILOVER", PRIMARY]);
                }
                port == watched.servers[new].1
            });
            let listening = || {
                watched.servers[new].0.ask::<(String, usize)>(&["PUBSUB", "NUMSUB", "fleeting:topics.0"]).1
            };
            wait_until(|| listening() == NODES && members.iter().all(|member| member.broker.is_connected()));
            wait_until(|| {
                members.iter().zip(&before).all(|(member, before)| member.journal.gaps() > *before)
            });
            // The store writes to the new primary.
            let text = round.to_string();
            wait_until(|| {
                let _ = store.set("a", text.as_bytes(), None);
                watched.servers[new].0.ask::<Option<String>>(&["GET", "fleeting:a"]).as_deref()
                    == Some(&*text)
            });
            if round < 2 {
                watched.wait_for_replica();
            }
        }
        over.store(true, Ordering::Relaxed);
        publisher.join().expect("all was published");
    });
    let total = count_losses(&members);
    assert!(total.received > 0 && total.announced > 0, "the test has lost nothing");
}

#[cfg(feature = "tls")]
#[test]
fn sentinels_and_the_primary_speak_tls() {
    let authority = crate::certificates::Authority::new();
    let pair = authority.issue("127.0.0.1");
    let arguments = authority.arguments(&pair, "no");
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    words.extend(["--tls-replication", "yes"]);
    let mut watched = Watched::start("--tls-port", &words);
    let sentinel = watched.sentinel.1;
    let url = format!("rediss+sentinel://127.0.0.1:{sentinel}/{PRIMARY}?ca={}", authority.file());
    let options = patient().heartbeat(BEAT);
    let (store, own) = (connect(&url, options.clone()), Node::start_with(&url, "own", options));
    assert_eq!(store.set("a", b"1", None), Ok(()));
    let old = 1 - watched.spare();
    // It has no connection until its server is the primary.
    let other = Node::start(&watched.servers[1 - old].0.url(), "other");
    watched.servers[old].0.kill();
    wait_until(|| store.set("a", b"2", None).is_ok());
    assert_eq!(watched.servers[1 - old].0.ask::<String>(&["GET", "fleeting:a"]), "2");
    assert_eq!(own.recorder.wait(1), ["!the connection to the other nodes was lost, and is back"]);
    own.connected(true);
    other.connected(true);
    own.publish("t", "1");
    wait_until(|| other.recorder.received.lock().expect("not poisoned").iter().any(|line| line == "t=1"));
    // A plain client at the sentinel's port.
    let why = unavailable(&connect(&format!("redis+sentinel://127.0.0.1:{sentinel}/{PRIMARY}"), patient()));
    assert!(why.contains("it has closed the connection without an answer"), "{why}");
}
