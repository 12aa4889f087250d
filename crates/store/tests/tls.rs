//! A store and a broker reach Redis over TLS, and refuse a server that does not prove to be the right one.

use crate::certificates::{Authority, Pair};
use crate::store::{Subject, keeps_its_promises};
use fleeting::{Arena, Broker};
use fleeting_store::{Redis, RedisBroker, RedisOptions, Store, StoreError};
use fleeting_testkit::client::PATIENCE;
use fleeting_testkit::redis::node::{Node, Recorder, RecordingInlet, patient, wait_until};
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use rcgen::date_time_ymd;
use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const HOST: &str = "127.0.0.1";

fn start(authority: &Authority, pair: &Pair, clients: &str, more: &[&str]) -> (RedisServer, u16) {
    let arguments = authority.arguments(pair, clients);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    RedisServer::start_with_tls(&arguments)
}

fn connect(url: &str, options: RedisOptions) -> Redis {
    Redis::connect(url.parse().expect("a valid URL"), options).expect("the files can be used")
}

/// Returns why the Redis at `url` is unavailable.
#[track_caller]
fn refusal(url: &str, timeout: Duration) -> String {
    let (sender, changes) = mpsc::channel();
    let options = RedisOptions::new().timeout(timeout).heartbeat(PATIENCE);
    let options = options.watch(move |down| drop(sender.send(down.map(str::to_string))));
    let _store = connect(url, options);
    changes.recv_timeout(PATIENCE).expect("the report arrives").expect("it is unavailable")
}

/// With certificates on both sides, and a server that keeps no sessions: then none may be resumed.
#[test]
fn the_redis_store_keeps_its_promises_over_tls() {
    let authority = Authority::new();
    let (server, own) = (authority.issue(HOST), authority.issue("client"));
    let (_server, port) = start(&authority, &server, "yes", &["--tls-session-caching", "no"]);
    let (ca, cert, key) = (authority.file(), own.certificate, own.key);
    let store = connect(&format!("rediss://{HOST}:{port}/2?ca={ca}&cert={cert}&key={key}"), patient());
    keeps_its_promises(&Subject { store: &store, prefix: "test:", tick: &|| {} });
    // Many records.
    let large: Vec<u8> = (0..5_000_001_u32).map(|number| (number % 251) as u8).collect();
    store.set("large", &large, None).expect("the store accepts it");
    let arena = Arena::new(64);
    assert!(store.get("large", &arena).expect("the store has it") == Some(&*large));
}

#[test]
fn tls_1_2_is_enough() {
    let authority = Authority::new();
    let (_server, port) = start(&authority, &authority.issue(HOST), "no", &["--tls-protocols", "TLSv1.2"]);
    let store = connect(&format!("rediss://{HOST}:{port}?ca={}", authority.file()), patient());
    assert_eq!(store.set("a", b"1", None), Ok(()));
    let (_server, port) = start(&authority, &authority.issue(HOST), "no", &["--tls-protocols", "TLSv1.1"]);
    let why = refusal(&format!("rediss://{HOST}:{port}?ca={}", authority.file()), PATIENCE);
    assert!(why.contains("TLS"), "{why}");
}

#[test]
fn a_server_that_cannot_be_trusted_is_refused_with_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let check = |pair: &Pair, host: &str, ca: &Authority, expected: &str| {
        let (_server, port) = start(&authority, pair, "no", &[]);
        let why = refusal(&format!("rediss://{host}:{port}?ca={}", ca.file()), PATIENCE);
        assert!(why.starts_with(expected), "{why}");
    };
    let good = authority.issue(HOST);
    check(&good, HOST, &other, "its certificate was not issued by an authority that is trusted here");
    check(&good, "localhost", &authority, "its certificate is not for localhost, but for 127.0.0.1");
    let old = authority.issue_with(HOST, |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    check(&old, HOST, &authority, "its certificate expired ");
    let early = authority.issue_with(HOST, |params| params.not_before = date_time_ymd(4000, 1, 1));
    check(&early, HOST, &authority, "its certificate is not valid yet");
    let nameless = authority.issue_with(HOST, |params| params.subject_alt_names.clear());
    check(&nameless, HOST, &authority, "its certificate is not for 127.0.0.1: it names no host");
    let of_authority = authority.issue_with(HOST, |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    check(&of_authority, HOST, &authority, "its certificate is one of an authority (CA:TRUE)");
    // Without a file, the authorities of the system are trusted.
    let (_server, port) = start(&authority, &authority.issue(HOST), "no", &[]);
    let why = refusal(&format!("rediss://{HOST}:{port}"), PATIENCE);
    assert!(why.starts_with("its certificate was not issued by"), "{why}");
}

#[test]
fn a_client_that_the_server_does_not_accept_learns_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let pair = authority.issue(HOST);
    let wrong = other.issue("client");
    for (version, demanded) in [("TLSv1.3", "it demands a certificate"), ("TLSv1.2", "it has refused TLS")] {
        let (_server, port) = start(&authority, &pair, "yes", &["--tls-protocols", version]);
        let url = format!("rediss://{HOST}:{port}?ca={}", authority.file());
        let why = refusal(&url, PATIENCE);
        assert!(why.starts_with(demanded), "{version}: {why}");
        let why = refusal(&format!("{url}&cert={}&key={}", wrong.certificate, wrong.key), PATIENCE);
        assert!(why.starts_with("it does not accept the certificate of this client"), "{version}: {why}");
    }
}

#[test]
fn a_port_that_speaks_something_else_is_recognised() {
    let authority = Authority::new();
    let ca = authority.file();
    let short = Duration::from_millis(250);
    // Redis waits for the end of the line.
    let (_plain, port) = RedisServer::start_on_a_port(&[]);
    let why = refusal(&format!("rediss://{HOST}:{port}?ca={ca}"), short);
    assert!(why.contains("TLS") && why.contains("this port"), "{why}");
    // A plain client at a port with TLS.
    let (_server, port) = start(&authority, &authority.issue(HOST), "no", &[]);
    let why = refusal(&format!("redis://{HOST}:{port}"), PATIENCE);
    assert!(
        why.starts_with("it has closed the connection without an answer; if this port speaks TLS"),
        "{why}"
    );
    // Something that is silent, and something that answers in another protocol.
    let listener = TcpListener::bind((HOST, 0)).expect("there is a free port");
    let silent = listener.local_addr().expect("it listens").port();
    let why = refusal(&format!("rediss://{HOST}:{silent}?ca={ca}"), short);
    assert_eq!(why, "it has not answered the TLS handshake (does this port speak TLS?) within 250 ms");
    let answering = std::thread::spawn(move || {
        let greets =
            |stream: &mut std::net::TcpStream| std::io::Write::write_all(stream, b"220 mail.example\r\n");
        let mut streams: Vec<_> =
            listener.incoming().take(2).map(|stream| stream.expect("a client")).collect();
        // The first one is the connection of the silent server, which nobody has accepted.
        streams.iter_mut().for_each(|stream| drop(greets(stream)));
        streams
    });
    let why = refusal(&format!("rediss://{HOST}:{silent}?ca={ca}"), PATIENCE);
    assert_eq!(why, "it does not speak TLS on this port");
    drop(answering.join());
}

#[test]
fn files_that_cannot_be_used_are_errors_at_the_start() {
    let authority = Authority::new();
    let (pair, other) = (authority.issue("a.example"), authority.issue("b.example"));
    let check = |query: &str, expected: &str| {
        let url = format!("rediss://a.example?{query}");
        let opened = Redis::connect(url.parse().expect("a valid URL"), RedisOptions::new());
        let why = opened.expect_err("the files are wrong").to_string();
        assert!(why.contains(expected), "{why}");
        let broker = RedisBroker::new(url.parse().expect("a valid URL"), RedisOptions::new(), "own");
        let inlet = Arc::new(RecordingInlet(Arc::new(Recorder::default())));
        let attached = broker.expect("a valid name").attach(inlet);
        assert_eq!(attached.expect_err("the files are wrong").to_string(), why);
    };
    check("ca=/nowhere/ca.pem", "/nowhere/ca.pem: ");
    check(&format!("ca={}", pair.key), "a.example-key.pem: it holds no certificate");
    let of = |certificate: &str, key: &str| format!("ca={}&cert={certificate}&key={key}", authority.file());
    check(&of(&pair.certificate, &pair.certificate), "a.example.pem: it holds no private key");
    check(&of(&pair.certificate, &other.key), "a.example.pem and ");
    assert!(
        Redis::connect(
            format!("rediss://a.example?{}", of(&pair.certificate, &pair.key)).parse().expect("a valid URL"),
            RedisOptions::new()
        )
        .is_ok()
    );
}

#[test]
fn files_that_are_replaced_are_read_again_when_they_are_needed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (sender, changes) = mpsc::channel();
    let (mut first, port) = start(&authority, &authority.issue(HOST), "no", &[]);
    let proxy = Proxy::start(port);
    let options = patient().heartbeat(PATIENCE);
    let options = options.watch(move |down| drop(sender.send(down.map(str::to_string))));
    let store = connect(&format!("rediss://{HOST}:{}?ca={}", proxy.port(), authority.file()), options);
    assert_eq!(store.set("a", b"1", None), Ok(()));
    // Another server, whose certificate is from another authority.
    let (_second, port) = start(&other, &other.issue(HOST), "no", &[]);
    proxy.lead_to(port);
    first.kill();
    wait_until(|| store.get("a", &Arena::new(64)).is_err());
    let why = changes.recv_timeout(PATIENCE).expect("the report arrives").expect("it is not trusted");
    assert!(why.starts_with("its certificate was not issued by"), "{why}");
    fs::copy(other.file(), authority.file()).expect("the file is replaced");
    assert_eq!(changes.recv_timeout(PATIENCE), Ok(None));
    assert_eq!(store.set("a", b"2", None), Ok(()));
}

/// The worst possible error is a reply that was meant for another caller.
#[test]
fn a_late_reply_over_tls_reaches_no_other_caller() {
    let authority = Authority::new();
    let (_server, port) = start(&authority, &authority.issue(HOST), "no", &[]);
    let proxy = Proxy::start(port);
    let url = format!("rediss://{HOST}:{}?ca={}", proxy.port(), authority.file());
    let store = connect(&url, RedisOptions::new().heartbeat(PATIENCE));
    let get = |key: &str| {
        let arena = Arena::new(64);
        let value = store.get(key, &arena)?;
        Ok::<_, StoreError>(value.map(|value| String::from_utf8_lossy(value).into_owned()))
    };
    for key in ["a", "b"] {
        wait_until(|| store.set(key, key.as_bytes(), None).is_ok());
    }
    for _ in 0..5 {
        proxy.hold_replies();
        wait_until(|| get("a").is_err());
        // The replies arrive now, while another one is requested.
        proxy.release();
        wait_until(|| match get("b") {
            Ok(value) => {
                assert_eq!(value.as_deref(), Some("b"));
                true
            }
            Err(_) => false,
        });
    }
}

#[test]
fn nodes_share_publications_over_tls() {
    let authority = Authority::new();
    let (_server, port) = start(&authority, &authority.issue(HOST), "no", &[]);
    let proxy = Proxy::start(port);
    let url = format!("rediss://{HOST}:{}?ca={}", proxy.port(), authority.file());
    // On a busy machine, Redis must still answer a PING within this time.
    let beat = patient().heartbeat(Duration::from_millis(1500));
    let (own, other) = (Node::start_with(&url, "own", beat.clone()), Node::start_with(&url, "other", beat));
    let long = "x".repeat(100_000);
    for text in ["1", &long, "3"] {
        own.publish("t", text);
    }
    assert_eq!(other.recorder.wait(3), ["t=1".to_string(), format!("t={long}"), "t=3".to_string()]);
    other.publish("t", "4");
    assert_eq!(own.recorder.wait(1), ["t=4"]);
    // A server that becomes silent is given up.
    proxy.hold_replies();
    for node in [&own, &other] {
        node.connected(false);
    }
    proxy.release();
    let received = |node: &Node, line: &str| {
        let received = node.recorder.received.lock().expect("the lock is not poisoned");
        received.iter().filter(|other| *other == line).count()
    };
    let losses = |node: &Node| received(node, "!the connection to the other nodes was lost, and is back");
    wait_until(|| losses(&own) > 0 && losses(&other) > 0);
    let before = [losses(&own), losses(&other)];
    proxy.cut();
    wait_until(|| losses(&own) > before[0] && losses(&other) > before[1]);
    own.connected(true);
    other.connected(true);
    own.publish("t", "5");
    wait_until(|| received(&other, "t=5") == 1);
}
