//! Servers that share topics over Redis: a publication on one reaches all, once and in order, and a client that may
//! have missed a publication gets one announcement of the gap.

use fleeting::{App, Broker, Error, Message, Publication, Response, Server};
use fleeting_store::{RedisBroker, RedisOptions};
use fleeting_testkit::client::{BINARY, Client, PATIENCE, TEXT};
use fleeting_testkit::redis::node::{Node, RecordingInlet, patient, wait_until};
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use fleeting_testkit::server::{Hub, Workers};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

// ---------------------------------------------------------------- a broker alone

const BACK: &str = "!the connection to the other nodes was lost, and is back";

#[test]
fn a_publication_arrives_at_the_other_nodes_once_and_in_order() {
    let server = RedisServer::start();
    let nodes = ["a", "b", "c"].map(|name| Node::start(&server.url(), name));
    assert!(nodes.iter().all(|node| node.broker.is_connected()), "attaching must wait for the connection");
    thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| (0..500).for_each(|number| node.publish("t", &number.to_string())));
        }
    });
    for node in &nodes {
        let mut expected = vec![Vec::new(); 501];
        let received = node.recorder.wait(1000);
        assert_eq!(received.len(), 1000);
        // Each number comes twice, and in order from each publisher: no number comes before the one below it.
        for (at, line) in received.iter().enumerate() {
            let number: usize = line.strip_prefix("t=").expect("a topic").parse().expect("a number");
            expected[number].push(at);
        }
        assert!(expected[..500].iter().all(|twice| twice.len() == 2));
        for pair in expected[..500].windows(2) {
            assert!(pair[0][0] < pair[1][0] && pair[0][1] < pair[1][1], "{pair:?}");
        }
        let counters = node.broker.counters();
        assert_eq!((counters.published, counters.received, counters.gaps), (500, 1000, 0));
    }
    wait_until(|| nodes.iter().all(|node| node.broker.counters().sent == 500));
    let bytes = Arc::new(Publication::new("é", Message::Binary(&[0, 255])));
    nodes[0].broker.publish(&bytes);
    assert_eq!(nodes[1].recorder.wait(1001)[1000], "é=[0, 255]");
}

#[test]
fn publications_while_redis_is_away_are_never_sent_and_one_gap_is_reported() {
    let mut server = RedisServer::start();
    let nodes = ["a", "b", "c"].map(|name| Node::start(&server.url(), name));
    for round in 0..3 {
        let so_far = nodes
            .each_ref()
            .map(|node| node.recorder.received.lock().expect("the lock is not poisoned").len());
        nodes[0].publish("t", &format!("{round} before"));
        for at in [1, 2] {
            assert_eq!(nodes[at].recorder.wait(so_far[at] + 1)[so_far[at]], format!("t={round} before"));
        }
        server.kill();
        nodes.iter().for_each(|node| node.connected(false));
        nodes.iter().for_each(|node| (0..10).for_each(|_| node.publish("t", "never")));
        // A publisher that has not noticed yet would send them to the server that comes back.
        let dropped = |node: &Node| node.broker.counters().dropped_away == 10 * (round + 1);
        wait_until(|| nodes.iter().all(dropped));
        server.restart();
        nodes.iter().for_each(|node| node.connected(true));
        for node in &nodes {
            node.publish("t", &format!("{round} after {}", node.broker.counters().published));
        }
        for (at, node) in nodes.iter().enumerate() {
            let before = so_far[at] + usize::from(at > 0);
            let received = node.recorder.wait(before + 3);
            assert_eq!(received[before], BACK, "{received:?}");
            assert!(received[before + 1..].iter().all(|line| line.starts_with(&format!("t={round} after"))));
            assert_eq!(received.len(), before + 3, "something else has arrived: {received:?}");
        }
    }
    let counters = nodes[1].broker.counters();
    let gaps = 3 + nodes[1].recorder.outages.load(Ordering::Relaxed) as u64;
    assert_eq!((counters.dropped_away, counters.gaps, counters.malformed), (30, gaps, 0));
}

#[test]
fn an_outage_that_lasts_is_announced_once_while_it_lasts() {
    let mut server = RedisServer::start();
    let options = patient().heartbeat(Duration::from_millis(500));
    let own = Node::start_with(&server.url(), "own", options);
    for round in 1..=2 {
        let outages = || own.recorder.outages.load(Ordering::Relaxed);
        server.kill();
        wait_until(|| outages() == round);
        assert_eq!(own.recorder.wait(0).len(), round - 1);
        server.restart();
        assert_eq!(own.recorder.wait(round)[round - 1], BACK);
        assert_eq!(outages(), round);
        own.connected(true);
    }
    assert_eq!(own.broker.counters().gaps, 4);
}

#[test]
fn other_nodes_learn_how_many_publications_of_a_disconnected_node_they_missed() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    let (own, other) = (Node::start(&proxy.url(), "own"), Node::start(&server.url(), "other"));
    own.publish("t", "1");
    other.publish("t", "2");
    assert_eq!((own.recorder.wait(1), other.recorder.wait(1)), (vec!["t=2".into()], vec!["t=1".into()]));
    wait_until(|| own.broker.counters().sent == 1);
    proxy.close(true);
    proxy.cut();
    own.connected(false);
    for _ in 0..7 {
        own.publish("t", "never");
    }
    other.publish("t", "missed");
    wait_until(|| own.broker.counters().dropped_away == 7);
    assert_eq!(other.recorder.wait(1).len(), 1, "no gap can be known yet");
    proxy.close(false);
    // A heartbeat reports it, without any publication.
    assert_eq!(other.recorder.wait(2)[1], "!7 publications of own were lost");
    assert_eq!(own.recorder.wait(2)[1], BACK);
    own.connected(true);
    own.publish("t", "3");
    other.publish("t", "4");
    assert_eq!(other.recorder.wait(3)[2..], ["t=3"]);
    assert_eq!(own.recorder.wait(3)[2..], ["t=4"], "its own gap covers the missed publications");
}

#[test]
fn a_connection_on_which_nothing_arrives_is_given_up() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    // With this time limit, only the subscriber gives up.
    let options = patient().heartbeat(Duration::from_millis(500));
    let (own, other) = (Node::start_with(&proxy.url(), "own", options), Node::start(&server.url(), "other"));
    // Nothing is published for a while. That alone must not close the connection.
    let beats = || other.broker.counters().received + other.broker.counters().gaps;
    let pings = || {
        let stats = server.ask::<String>(&["INFO", "commandstats"]);
        let calls = stats.split("cmdstat_ping:calls=").nth(1).and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse::<usize>().expect("a number"))
    };
    let before = pings();
    wait_until(|| pings() >= before + 5);
    assert_eq!((own.broker.counters().gaps, beats()), (0, 0));
    proxy.hold_requests();
    proxy.hold_replies();
    own.connected(false);
    other.publish("t", "missed");
    wait_until(|| other.broker.counters().sent == 1);
    proxy.release();
    assert_eq!(own.recorder.wait(1), [BACK]);
    own.connected(true);
    other.publish("t", "1");
    assert_eq!(own.recorder.wait(2)[1], "t=1");
}

#[test]
fn foreign_messages_are_counted_and_ignored() {
    let server = RedisServer::start();
    let (own, other) = (Node::start(&server.url(), "own"), Node::start(&server.url(), "other"));
    let listening = server.ask::<Vec<String>>(&["PUBSUB", "CHANNELS"]);
    assert_eq!(listening, ["fleeting:topics.0"]);
    let client = redis::Client::open(server.url()).expect("a valid URL");
    let mut connection = client.get_connection().expect("Redis is running");
    // One valid envelope, then every part of it, and then every change of one byte.
    let mut listener = client.get_connection().expect("Redis is running");
    let mut subscription = listener.as_pubsub();
    subscription.subscribe("fleeting:topics.0").expect("the user may do that");
    own.publish("topic", "text");
    let envelope = loop {
        let bytes = subscription.get_message().expect("the message arrives").get_payload_bytes().to_vec();
        if bytes.ends_with(b"text") {
            break bytes;
        }
    };
    assert_eq!(other.recorder.wait(1), ["topic=text"]);
    let mut hostile: Vec<Vec<u8>> = (0..envelope.len()).map(|length| envelope[..length].to_vec()).collect();
    hostile.extend([&b"{}"[..], b"\xff\xff\xff\xff", &[0; 1000]].map(<[u8]>::to_vec));
    let count = hostile.len() as u64;
    let mut pipeline = redis::pipe();
    for bytes in &hostile {
        pipeline.cmd("PUBLISH").arg("fleeting:topics.0").arg(bytes).ignore();
    }
    pipeline.query::<()>(&mut connection).expect("Redis is running");
    // Older numbers are late.
    redis::cmd("PUBLISH")
        .arg("fleeting:topics.0")
        .arg(&envelope)
        .query::<()>(&mut connection)
        .expect("the user may do that");
    wait_until(|| other.broker.counters().late == 1);
    assert_eq!(other.broker.counters().malformed, count);
    own.publish("topic", "more");
    assert_eq!(other.recorder.wait(2), ["topic=text", "topic=more"]);
    assert_eq!((own.broker.counters().gaps, other.broker.counters().gaps), (0, 0));
}

#[test]
fn nodes_of_other_databases_and_namespaces_receive_nothing() {
    let (server, port) = RedisServer::start_on_a_port(&[]);
    let url = format!("redis://127.0.0.1:{port}");
    let own = Node::start(&url, "own");
    let others = [
        Node::start(&format!("{url}/1"), "other"),
        Node::start_with(&url, "other", patient().namespace("other:")),
    ];
    let twin = Node::start(&server.url(), "own");
    own.publish("t", "1");
    twin.publish("t", "2");
    assert_eq!((own.recorder.wait(1), twin.recorder.wait(1)), (vec!["t=2".into()], vec!["t=1".into()]));
    for other in &others {
        assert_eq!(other.broker.counters().received, 0);
    }
}

#[test]
fn a_worker_without_room_is_one_gap() {
    let server = RedisServer::start();
    let (own, other) = (Node::start(&server.url(), "own"), Node::start(&server.url(), "other"));
    let publish = |text: &str| own.publish("t", text);
    publish("1");
    other.recorder.wait(1);
    other.recorder.is_full.store(true, Ordering::Relaxed);
    ["2", "3", "4"].iter().for_each(|text| publish(text));
    other.recorder.wait(5);
    other.recorder.is_full.store(false, Ordering::Relaxed);
    publish("5");
    other.recorder.wait(6);
    other.recorder.is_full.store(true, Ordering::Relaxed);
    publish("6");
    let full = "!a worker had no room for what has arrived";
    assert_eq!(other.recorder.wait(8), ["t=1", "t=2", full, "t=3", "t=4", "t=5", "t=6", full]);
    assert_eq!((other.broker.counters().overflowed, other.broker.counters().received), (4, 6));
}

#[test]
fn the_brokers_queue_is_bounded() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    let own = Node::start_with(&proxy.url(), "own", RedisOptions::new());
    let other = Node::start(&server.url(), "other");
    own.connected(true);
    own.publish("t", "1");
    other.recorder.wait(1);
    proxy.hold_requests();
    let long = Arc::new(Publication::new("t", Message::Text(&"x".repeat(1 << 20))));
    for _ in 0..200 {
        own.broker.publish(&long);
    }
    let counters = own.broker.counters();
    assert!(counters.dropped_full > 100, "{counters:?}");
    // The broker drops the whole queue and the connection. The publications that it was sending may or may not have
    // arrived.
    wait_until(|| {
        let counters = own.broker.counters();
        counters.published == counters.sent + counters.dropped_away + counters.dropped_full
    });
    assert!(own.broker.counters().dropped_away > 0);
    proxy.release();
    own.connected(true);
    own.publish("t", "2");
    wait_until(|| other.recorder.wait(3).last().is_some_and(|last| last == "t=2"));
    let received = other.recorder.wait(3);
    let gaps: Vec<_> = received.iter().filter(|line| line.starts_with('!')).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    wait_until(|| {
        let counters = own.broker.counters();
        counters.published == counters.sent + counters.dropped_away + counters.dropped_full
    });
    assert_eq!(own.broker.counters().published, 202);
}

#[test]
fn the_last_publications_are_sent_and_nothing_of_a_broker_remains() {
    let server = RedisServer::start();
    // With a heartbeat, a further connection would be open now and then.
    let quiet = |name: &str| Node::start_with(&server.url(), name, patient().heartbeat(PATIENCE));
    let other = quiet("other");
    let clients = || server.ask::<String>(&["CLIENT", "LIST"]).lines().count();
    let before = clients();
    for _ in 0..3 {
        let own = quiet("own");
        assert_eq!(clients(), before + 2);
        (0..100).for_each(|number| own.publish("t", &number.to_string()));
        let again = own.broker.attach(Arc::new(RecordingInlet(own.recorder.clone())));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(own);
        wait_until(|| clients() == before);
    }
    let expected: Vec<_> = (0..3).flat_map(|_| (0..100).map(|number| format!("t={number}"))).collect();
    assert_eq!(other.recorder.wait(300), expected);
}

#[test]
fn a_broker_waits_briefly_for_a_missing_redis_and_reports_a_gap_when_it_appears() {
    let mut server = RedisServer::start();
    server.kill();
    let (sender, changes) = mpsc::channel();
    let options = RedisOptions::new().watch(move |down| drop(sender.send(down.map(str::to_string))));
    let begin = Instant::now();
    let node = Node::start_with(&server.url(), "own", options);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(
        changes
            .recv()
            .expect("the report arrives")
            .expect("Redis is away")
            .starts_with("it cannot be reached")
    );
    server.restart();
    assert_eq!(node.recorder.wait(1), [BACK]);
    assert_eq!(changes.recv(), Ok(None));
    node.connected(true);
    drop(node);
    assert!(changes.try_recv().is_err(), "each change is reported once");
}

#[test]
fn the_error_for_a_user_without_permission_gives_the_reason() {
    let (server, port) = RedisServer::start_on_a_port(&[]);
    server.ask::<()>(&["ACL", "SETUSER", "deaf", "on", ">p", "~*", "+@all", "resetchannels"]);
    let (sender, changes) = mpsc::channel();
    let options = RedisOptions::new().watch(move |down| drop(sender.send(down.map(str::to_string))));
    let node = Node::start_with(&format!("redis://deaf:p@127.0.0.1:{port}"), "own", options);
    let why = changes.recv().expect("the report arrives").expect("it is rejected");
    assert!(why.starts_with("it says NOPERM"), "{why}");
    node.publish("t", "nowhere");
    wait_until(|| node.broker.counters().dropped_away == 1);
    assert!(!node.broker.is_connected());
}

#[test]
fn node_names_are_checked() {
    let name = |name: &str| {
        let broker = RedisBroker::new("redis://a".parse().expect("a valid URL"), RedisOptions::new(), name);
        broker.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(name("a"), Ok(()));
    assert_eq!(name(&"é".repeat(32)), Ok(()));
    assert_eq!(name(""), Err("the name of a node must have 1 to 64 bytes".into()));
    assert_eq!(name(&"é".repeat(33)), name(""));
    assert_eq!(name("a\n"), Err("the name of a node must contain no control characters".into()));
}

// ---------------------------------------------------------------- servers

/// A server with two workers, and its broker.
struct Serving {
    server: Workers,
    broker: Arc<RedisBroker>,
}

impl Serving {
    fn start(url: &str, name: &str) -> Serving {
        let url = url.parse().expect("a valid URL");
        // The long heartbeat keeps an outage from being announced before it is over.
        let options = patient().heartbeat(PATIENCE);
        let broker = RedisBroker::new(url, options, name).expect("a valid name");
        let broker = Arc::new(broker.announce(|gap| format!("! {gap}")));
        let builder = Server::builder().bind("127.0.0.1:0").workers(2).broker(broker.clone());
        let server = builder.serve(|worker| {
            let handle = worker.handle.clone();
            App::new()
                .ws("/hub", Hub)
                .get("/ok", |_req| Ok(Response::text("ok")))
                .get("/events", move |_req| {
                    handle.events("*").map_err(|error| Error::internal(error.to_string()))
                })
        });
        Serving { server: Workers::of(server), broker }
    }
}

#[test]
fn three_servers_act_as_one_and_each_client_gets_one_announcement_of_a_gap() {
    let mut redis = RedisServer::start();
    let servers = ["a", "b", "c"].map(|name| Serving::start(&redis.url(), name));
    let mut clients: Vec<Client> = servers
        .iter()
        .flat_map(|server| (0..4).map(|_| Client::websocket(server.server.addr, "/hub")))
        .collect();
    let mut events = Client::connect(servers[1].server.addr);
    events.send("GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(events.answer_to_head().status, 200);
    // A client with several other subscriptions gets the announcement as well.
    let mut aside = Client::websocket(servers[2].server.addr, "/hub?aside");
    let mut event = String::new();
    let mut next_event = |until: &str| {
        while !event.ends_with(until) {
            event.push_str(std::str::from_utf8(&events.chunk()).expect("text"));
        }
        std::mem::take(&mut event)
    };
    for round in 0..3 {
        for number in 0..30 {
            clients[0].frame(TEXT, format!("t {round}.{number}"));
        }
        servers[1].server.handle.publish("u", Message::Text("from a handle")).expect("there is room");
        clients[0].frame(BINARY, [7]);
        for client in &mut clients {
            let mut frames: Vec<_> = (0..32).map(|_| client.next_frame()).collect();
            let handle = frames.iter().position(|frame| frame.payload == b"from a handle");
            frames.remove(handle.expect("the frame arrived"));
            for (number, frame) in frames[..30].iter().enumerate() {
                assert_eq!(frame.text(), format!("{round}.{number}"));
            }
            assert_eq!((frames[30].opcode, &frames[30].payload[..]), (BINARY, &[7][..]));
        }
        let text = next_event(&format!("data: {round}.29\n\n"));
        assert!(text.matches("data: ").count() >= 30, "{text}");

        redis.kill();
        servers.iter().for_each(|server| wait_until(|| !server.broker.is_connected()));
        // Everything else keeps working.
        servers
            .iter()
            .for_each(|server| assert_eq!(Client::connect(server.server.addr).get("/ok").status, 200));
        redis.restart();
        servers.iter().for_each(|server| wait_until(|| server.broker.is_connected()));
        servers[0].server.handle.publish("t", Message::Text("and on")).expect("there is room");
        for client in &mut clients {
            assert_eq!(
                client.next_frame().text(),
                "! the connection to the other nodes was lost, and is back"
            );
            assert_eq!(client.next_frame().text(), "and on");
        }
        assert_eq!(aside.next_frame().text(), "! the connection to the other nodes was lost, and is back");
        let text = next_event("data: and on\n\n");
        assert_eq!(text.matches("event: gap\ndata: ! the connection").count(), 1, "{text}");
    }
    let closed = |addr| Client::connect(addr).get("/ok").status;
    assert!(servers.iter().all(|server| closed(server.server.addr) == 200));
}
