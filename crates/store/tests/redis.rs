//! The store in Redis keeps its promises, and stays correct when Redis is slow, goes away and comes back.

mod history;

use crate::store::{Subject, keeps_its_promises};
use fleeting::{App, Arena, Error, Offload, OffloadOptions, Response};
use fleeting_store::{Cursor, Redis, RedisOptions, Store, StoreError};
use fleeting_testkit::client::{Answer, Client, PATIENCE};
use fleeting_testkit::on_drop::OnDrop;
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use fleeting_testkit::server;
use history::{Entry, Moment, Operation, check_counter, check_register};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The time limit of an operation, and how long one may take on a busy machine.
const TIMEOUT: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_millis(1000);
/// A store reaches a Redis that has come back within this time, margin included.
const RECOVERY: Duration = Duration::from_millis(2000);

fn connect(url: &str, options: RedisOptions) -> Redis {
    Redis::connect(url.parse().expect("a valid URL"), options).expect("a thread can be started")
}

/// Options for a store whose heartbeat comes too late to make connections of its own during a test.
fn quiet() -> RedisOptions {
    RedisOptions::new().heartbeat(PATIENCE)
}

/// Opens a store with the default time limit.
fn open(url: &str) -> Redis {
    connect(url, quiet())
}

/// Opens a store with a time limit that no test reaches.
fn open_patiently(url: &str) -> Redis {
    connect(url, quiet().timeout(PATIENCE))
}

#[track_caller]
fn get(store: &dyn Store, key: &str) -> Result<Option<String>, StoreError> {
    let arena = Arena::new(1024);
    let value = store.get(key, &arena)?;
    Ok(value.map(|value| String::from_utf8(value.to_vec()).expect("text")))
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(StoreError::Unavailable(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Retries an operation until it succeeds. Returns how long that took.
#[track_caller]
fn recovery(store: &dyn Store) -> Duration {
    let begin = Instant::now();
    while get(store, "recovery").is_err() {
        assert!(begin.elapsed() < PATIENCE, "it does not recover: {:?}", get(store, "recovery"));
        thread::yield_now();
    }
    begin.elapsed()
}

// ---------------------------------------------------------------- promises

#[test]
fn the_redis_store_keeps_its_promises() {
    let server = RedisServer::start();
    let store = open_patiently(&server.url());
    keeps_its_promises(&Subject { store: &store, prefix: "test:", tick: &|| {} });
    assert!(store.waits());
}

#[test]
fn the_redis_store_keeps_its_promises_over_tcp_with_a_database_and_a_password() {
    let (server, port) = RedisServer::start_on_a_port(&["--requirepass", "s@crét"]);
    let store = open_patiently(&format!("redis://:s%40cr%C3%A9t@127.0.0.1:{port}/3"));
    keeps_its_promises(&Subject { store: &store, prefix: "test:", tick: &|| {} });
    drop(store);
    drop(server);
}

#[test]
fn keys_have_a_namespace_and_other_keys_are_not_seen() {
    let server = RedisServer::start();
    let store = open_patiently(&server.url());
    let other = connect(&server.url(), RedisOptions::new().namespace("other[*]:").timeout(PATIENCE));
    store.set("a", b"ours", None).expect("the store accepts it");
    other.set("a", b"theirs", None).expect("the store accepts it");
    assert_eq!(get(&store, "a"), Ok(Some("ours".into())));
    assert_eq!(get(&other, "a"), Ok(Some("theirs".into())));
    assert_eq!(server.ask::<String>(&["GET", "fleeting:a"]), "ours");
    assert_eq!(server.ask::<String>(&["GET", "other[*]:a"]), "theirs");
    // Other keys, of another namespace or not strings.
    for key in ["stranger", "fleeting:", "other*:b"] {
        server.ask::<()>(&["SET", key, "x"]);
    }
    server.ask::<()>(&["RPUSH", "fleeting:list", "x"]);
    let arena = Arena::new(1024);
    let page = store.scan("", Cursor::START, 100, &arena).expect("the store is available");
    assert_eq!((page.entries, page.next), (&[("a", &b"ours"[..])][..], None));
    assert!(unavailable(get(&store, "list")).contains("WRONGTYPE"));
    assert_eq!(store.increment("list", 1, None), Err(StoreError::NotANumber));
    assert_eq!(store.compare_and_set("list", None, b"", None), Ok(false));
    assert_eq!(store.delete("list"), Ok(true));
    assert_eq!(get(&store, "a"), Ok(Some("ours".into())), "the operations on other keys change nothing");
}

#[test]
fn a_script_that_redis_has_forgotten_is_loaded_again() {
    let server = RedisServer::start();
    let store = open_patiently(&server.url());
    for number in 1..4 {
        server.ask::<()>(&["SCRIPT", "FLUSH"]);
        assert_eq!(store.increment("n", 1, Some(PATIENCE)), Ok(number));
        server.ask::<()>(&["SCRIPT", "FLUSH"]);
        let (old, new) = (number.to_string(), number.to_string());
        assert_eq!(store.compare_and_set("n", Some(old.as_bytes()), new.as_bytes(), None), Ok(true));
        server.ask::<()>(&["SCRIPT", "FLUSH"]);
        assert_eq!(store.renew("n", None), Ok(true));
    }
}

// ---------------------------------------------------------------- error replies

#[test]
fn a_full_redis_is_reported_as_full() {
    let server = RedisServer::start();
    let store = open_patiently(&server.url());
    store.set("n", b"1", None).expect("the store accepts it");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(store.set("m", b"1", None), Err(StoreError::Full));
    assert_eq!(store.increment("n", 1, None), Err(StoreError::Full));
    assert_eq!(store.increment("m", 1, Some(PATIENCE)), Err(StoreError::Full));
    assert_eq!(store.compare_and_set("n", Some(b"1"), b"2", None), Err(StoreError::Full));
    assert_eq!(store.compare_and_set("m", None, b"2", None), Err(StoreError::Full));
    assert_eq!(get(&store, "n"), Ok(Some("1".into())), "a failed operation changes nothing");
    assert_eq!(get(&store, "m"), Ok(None));
    assert_eq!((store.renew("n", None), store.delete("n")), (Ok(true), Ok(true)));
    assert_eq!(store.stats().refused, Some(5));
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.set("n", b"2", None), Ok(()), "there is room again");
}

#[test]
fn an_error_reply_is_reported_and_does_no_harm() {
    let server = RedisServer::start();
    let store = open_patiently(&server.url());
    store.set("a", b"1", None).expect("the store accepts it");
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(unavailable(store.set("a", b"2", None)).starts_with("it says READONLY"));
    // What a replica returns may be old.
    assert_eq!(unavailable(get(&store, "a")), "it is a replica");
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    recovery(&store);
    assert_eq!(get(&store, "a"), Ok(Some("1".into())));
    assert_eq!(store.set("a", b"2", None), Ok(()));
    assert_eq!(get(&store, "a"), Ok(Some("2".into())));
}

#[test]
fn the_error_for_a_user_without_access_gives_the_reason() {
    let (_server, port) = RedisServer::start_on_a_port(&["--requirepass", "right"]);
    let stranger = open_patiently(&format!("redis://127.0.0.1:{port}"));
    assert!(unavailable(get(&stranger, "a")).starts_with("it says NOAUTH"));
    let wrong = open_patiently(&format!("redis://:wrong@127.0.0.1:{port}"));
    assert!(unavailable(get(&wrong, "a")).starts_with("it says WRONGPASS"));
    let database = open_patiently(&format!("redis://:right@127.0.0.1:{port}/77"));
    assert!(unavailable(get(&database, "a")).contains("DB index is out of range"));
    let user = open_patiently(&format!("redis://default:right@127.0.0.1:{port}"));
    assert_eq!(get(&user, "a"), Ok(None));
}

// ---------------------------------------------------------------- slow connections

/// The worst possible error is a reply that was meant for another caller.
#[test]
fn a_late_reply_reaches_no_other_caller() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    let store = open(&proxy.url());
    for key in ["a", "b", "c", "d"] {
        store.set(key, key.as_bytes(), None).expect("the store accepts it");
    }
    for round in 0..10 {
        proxy.hold_replies();
        let begin = Instant::now();
        let why = thread::scope(|scope| {
            let callers: Vec<_> = (0..3).map(|_| scope.spawn(|| unavailable(get(&store, "a")))).collect();
            callers
                .into_iter()
                .map(|caller| caller.join().expect("the thread does not panic"))
                .collect::<Vec<_>>()
        });
        assert!(begin.elapsed() < LIMIT, "round {round}: {:?}", begin.elapsed());
        assert!(why.iter().any(|why| why.contains("within 250 ms")), "{why:?}");
        // The replies arrive now, while others are requested.
        proxy.release();
        let mut seen = 0;
        while seen < 20 {
            for key in ["b", "c", "d"] {
                if let Ok(value) = get(&store, key) {
                    assert_eq!(value.as_deref(), Some(key), "round {round}");
                    seen += 1;
                }
            }
        }
    }
}

#[test]
fn a_request_that_never_arrives_is_given_up() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    let store = open(&proxy.url());
    store.set("a", b"1", None).expect("the store accepts it");
    proxy.hold_requests();
    let begin = Instant::now();
    unavailable(store.set("a", b"2", None));
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    // Meanwhile no caller waits for long.
    let begin = Instant::now();
    let mut refused = 0;
    while begin.elapsed() < 4 * TIMEOUT {
        let one = Instant::now();
        unavailable(get(&store, "a"));
        assert!(one.elapsed() < LIMIT, "{:?}", one.elapsed());
        refused += 1;
    }
    assert!(refused > 100, "{refused} calls failed in a second");
    proxy.release();
    assert!(recovery(&store) < RECOVERY);
    // It is unknown whether the second value was written; now it shows.
    let value = get(&store, "a").expect("the store is available");
    assert!([Some("1"), Some("2")].contains(&value.as_deref()), "{value:?}");
}

#[test]
fn a_stopped_redis_delays_no_caller_beyond_the_limit() {
    let server = RedisServer::start();
    let store = open(&server.url());
    store.set("a", b"1", None).expect("the store accepts it");
    server.signal("STOP");
    let begin = Instant::now();
    for _ in 0..100 {
        let one = Instant::now();
        unavailable(get(&store, "a"));
        assert!(one.elapsed() < LIMIT, "{:?}", one.elapsed());
    }
    assert!(begin.elapsed() < 4 * LIMIT, "{:?}", begin.elapsed());
    server.signal("CONT");
    assert!(recovery(&store) < RECOVERY);
    assert_eq!(get(&store, "a"), Ok(Some("1".into())));
}

/// Replies arrive a byte at a time, so that no single read is slow.
#[test]
fn the_time_limit_applies_to_a_reply_as_a_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let addr = listener.local_addr().expect("it listens");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                trickle(&mut stream.expect("a connection"));
            }
        });
        let _stop = OnDrop(|| {
            over.store(true, Ordering::Relaxed);
            drop(TcpStream::connect(addr));
        });
        // Dropped before the server is stopped, which may wait for its next request.
        let store = open(&format!("redis://{addr}"));
        for _ in 0..3 {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let begin = Instant::now();
                let why = unavailable(get(&store, "a"));
                assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
                // Otherwise the server was not reached yet.
                if begin.elapsed() >= TIMEOUT / 2 {
                    assert!(why.contains("within 250 ms"), "{why}");
                    break;
                }
                assert!(Instant::now() < deadline, "it is not reached: {why}");
            }
        }
    });
}

/// Answers the greeting, and the next request a byte at a time, until the client has gone.
fn trickle(stream: &mut TcpStream) {
    let mut request = [0; 512];
    match stream.read(&mut request) {
        Ok(read) if request[..read].ends_with(b"PING\r\n") => {}
        _ => return,
    }
    if stream.write_all(b"+\r\n+\r\n+PONG\r\n").is_err() || stream.read(&mut request).unwrap_or(0) == 0 {
        return;
    }
    // The read timeout sets the pace, because nothing arrives.
    stream.set_read_timeout(Some(Duration::from_millis(40))).expect("not zero");
    let mut sent = stream.write_all(b"$1000\r\n");
    while sent.is_ok() {
        sent = match stream.read(&mut request) {
            Ok(_) => return,
            Err(_) => stream.write_all(b"x"),
        };
    }
}

#[test]
fn a_server_that_is_not_redis_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let store = open_patiently(&format!("redis://{}", listener.local_addr().expect("it listens")));
    let (mut stream, _) = listener.accept().expect("the store connects");
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("the connection is open");
    let why = unavailable(get(&store, "a"));
    assert!(why.contains("not understood"), "{why}");
}

// ---------------------------------------------------------------- connections

#[test]
fn connections_are_limited_and_reused() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    let store = connect(&proxy.url(), quiet().connections(3).timeout(PATIENCE));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..200).for_each(|_| {
                    assert!(store.increment("n", 1, None).expect("the store waits for a connection") > 0)
                })
            });
        }
    });
    assert_eq!(get(&store, "n"), Ok(Some("1600".into())));
    assert!((1..=3).contains(&proxy.accepted()), "{}", proxy.accepted());
    // All connections are in use and stay so. Another caller gets its error in time.
    let store = connect(&proxy.url(), quiet().connections(3));
    recovery(&store);
    proxy.hold_replies();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let begin = Instant::now();
                    unavailable(get(&store, "n"));
                    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().expect("the thread does not panic"));
    });
    proxy.release();
    recovery(&store);
    assert_eq!(get(&store, "n"), Ok(Some("1600".into())));
}

#[test]
fn a_connection_closed_while_idle_causes_no_error() {
    let server = RedisServer::start();
    let store = open_patiently(&server.url());
    for round in 0..20 {
        assert_eq!(get(&store, "a"), Ok(None), "round {round}");
        server.ask::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    let proxy = Proxy::start(server.socket());
    let store = open_patiently(&proxy.url());
    for round in 0..20 {
        assert_eq!(get(&store, "a"), Ok(None), "round {round}");
        let before = proxy.accepted();
        proxy.cut();
        assert_eq!(get(&store, "a"), Ok(None), "round {round}");
        assert_eq!(proxy.accepted(), before + 1);
    }
}

#[test]
fn one_thread_reconnects_while_the_others_fail_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let (sender, changes) = mpsc::channel();
    let options = RedisOptions::new().watch(move |down| drop(sender.send(down.map(str::to_string))));
    let store = connect(&format!("redis://{}", listener.local_addr().expect("it listens")), options);
    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    unavailable(get(&store, "a"));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stop = OnDrop(|| over.store(true, Ordering::Relaxed));
        let mut waits = Vec::new();
        for _ in 0..7 {
            let begin = Instant::now();
            let (stream, _) = listener.accept().expect("the store reconnects");
            waits.push(begin.elapsed());
            drop(stream);
        }
        assert!(waits.iter().sum::<Duration>() >= Duration::from_millis(300), "it must back off: {waits:?}");
    });
    let refused = refused.into_inner();
    assert!(refused > 1000, "{refused} calls failed during 7 attempts");
    let why = changes.recv().expect("the report arrives").expect("it is unavailable");
    assert!(why.starts_with("it has closed the connection without an answer"), "{why}");
    drop(store);
    assert_eq!(changes.recv(), Err(mpsc::RecvError), "a change is reported once, and then the thread ends");
}

#[test]
fn redis_may_start_later_than_its_store() {
    let mut server = RedisServer::start();
    server.kill();
    let (sender, changes) = mpsc::channel();
    let options = RedisOptions::new().watch(move |down| drop(sender.send(down.map(str::to_string))));
    let store = connect(&server.url(), options);
    assert!(!unavailable(get(&store, "a")).is_empty());
    let why = changes.recv().expect("the report arrives").expect("Redis is missing");
    assert!(why.starts_with("it cannot be reached: Connection refused"), "{why}");
    server.restart();
    assert!(recovery(&store) < RECOVERY);
    assert_eq!(changes.recv(), Ok(None));
    store.set("a", b"1", None).expect("the store accepts it");
    let nowhere = open("unix:///nowhere/redis.sock");
    assert!(unavailable(get(&nowhere, "a")).contains("No such file"));
    let stranger = open("redis://nobody.invalid");
    assert!(unavailable(get(&stranger, "a")).len() > 10);
}

#[test]
fn a_killed_redis_is_reported_at_once_and_found_again() {
    let mut server = RedisServer::start();
    let store = open(&server.url());
    for round in 0..5 {
        store.set("a", b"1", None).expect("the store accepts it");
        server.kill();
        let begin = Instant::now();
        for _ in 0..1000 {
            let one = Instant::now();
            unavailable(get(&store, "a"));
            assert!(one.elapsed() < LIMIT, "{:?}", one.elapsed());
        }
        assert!(begin.elapsed() < LIMIT, "a thousand, in round {round}: {:?}", begin.elapsed());
        server.restart();
        let recovery = recovery(&store);
        assert!(recovery < RECOVERY, "{recovery:?}");
        assert_eq!(get(&store, "a"), Ok(None), "it keeps nothing itself");
    }
}

/// Returns the response, which must come in time, and keeps the longest duration.
fn timed(client: &mut Client, path: &str, slowest: &Mutex<Duration>) -> Answer {
    let begin = Instant::now();
    let answer = client.get(path);
    let took = begin.elapsed();
    assert!(took < LIMIT, "{path} took {took:?}");
    let mut slowest = slowest.lock().expect("the lock is not poisoned");
    *slowest = took.max(*slowest);
    answer
}

/// While Redis is away or stopped, its routes answer 503 in time, and everything else works as usual.
#[test]
fn only_routes_that_need_redis_are_refused_and_in_time() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = Arc::new(open(&server.url()));
    let offload = Arc::new(Offload::new(OffloadOptions::default()).expect("there are threads"));
    let threads = offload.clone();
    let http = server::run(move |_| {
        let visits = threads.closure(move |_req| match store.increment("visits", 1, None) {
            Ok(sum) => Ok(Response::text(sum.to_string())),
            Err(error) => Err(Error::unavailable(error.to_string())),
        });
        App::new().get("/ok", |_req| Ok(Response::text("ok"))).route_handler("GET", "/visits", visits)
    });
    let over = AtomicBool::new(false);
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slowest = [Mutex::new(Duration::ZERO), Mutex::new(Duration::ZERO)];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (mut client, mut last) = (Client::connect(http.addr), 0);
                while !over.load(Ordering::Relaxed) {
                    let answer = timed(&mut client, "/visits", &slowest[0]);
                    if answer.status == 503 {
                        refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let visits: u64 = answer.text().parse().expect("a number");
                    assert!(answer.status == 200 && visits > last, "{visits} after {last}");
                    last = visits;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut client = Client::connect(http.addr);
            while !over.load(Ordering::Relaxed) {
                assert_eq!(timed(&mut client, "/ok", &slowest[1]).text(), "ok");
            }
        });
        let _stop = OnDrop(|| over.store(true, Ordering::Relaxed));
        let wait = |counter: &AtomicUsize, more: usize| {
            let (begin, until) = (Instant::now(), counter.load(Ordering::Relaxed) + more);
            while counter.load(Ordering::Relaxed) < until {
                assert!(begin.elapsed() < PATIENCE, "the condition is never met");
                thread::yield_now();
            }
            begin.elapsed()
        };
        wait(&answered, 100);
        for round in 0..4 {
            if round % 2 == 0 {
                server.kill()
            } else {
                server.signal("STOP")
            }
            wait(&refused, 200);
            if round % 2 == 0 {
                server.restart()
            } else {
                server.signal("CONT")
            }
            let recovery = wait(&answered, 1);
            assert!(recovery < RECOVERY, "{recovery:?}");
            println!("the first answer {recovery:?} after the return");
            wait(&answered, 100);
        }
    });
    println!("the slowest that needs it, and the slowest that does not: {slowest:?}");
    http.finish();
    println!("{:?}", offload.counters());
}

// ---------------------------------------------------------------- no wrong value

const REGISTERS: usize = 3;
const THREADS: usize = 6;

/// Several threads use a store while something goes wrong.
struct Trial {
    clock: AtomicU64,
    /// The number of operations that have succeeded, and of those with an unknown result.
    counts: Mutex<(usize, usize)>,
    changed: Condvar,
    over: AtomicBool,
    values: AtomicU64,
}

impl Trial {
    fn now(&self) -> Moment {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn count(&self, known: bool) {
        let mut counts = self.counts.lock().expect("the lock is not poisoned");
        if known {
            counts.0 += 1
        } else {
            counts.1 += 1
        }
        self.changed.notify_all();
    }

    /// Waits until this many more have succeeded and this many more have an unknown result.
    fn wait(&self, known: usize, unknown: usize) {
        let counts = self.counts.lock().expect("the lock is not poisoned");
        let (known, unknown) = (counts.0 + known, counts.1 + unknown);
        let few = |counts: &mut (usize, usize)| counts.0 < known || counts.1 < unknown;
        let waited =
            self.changed.wait_timeout_while(counts, PATIENCE, few).expect("the lock is not poisoned");
        assert!(!waited.1.timed_out(), "the counts are never reached: {:?}", *waited.0);
    }
}

fn value_of(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(0, |bytes| std::str::from_utf8(bytes).expect("text").parse().expect("a number"))
}

/// Lets threads read, write, compare and count until `trouble` is over, and checks their results.
fn no_wrong_value(store: &Redis, trouble: impl FnOnce(&Trial)) {
    let trial = Trial {
        clock: AtomicU64::new(1),
        counts: Mutex::default(),
        changed: Condvar::new(),
        over: AtomicBool::new(false),
        values: AtomicU64::new(1),
    };
    let histories: Vec<Vec<(usize, Entry)>> = thread::scope(|scope| {
        let trial = &trial;
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || play(store, trial, thread))).collect();
        let stop = OnDrop(|| trial.over.store(true, Ordering::Relaxed));
        trouble(trial);
        drop(stop);
        threads.into_iter().map(|thread| thread.join().expect("the thread does not panic")).collect()
    });
    let mut all: Vec<(usize, Entry)> = histories.concat();
    recovery(store);
    // A last read sees the final values.
    let arena = Arena::new(1024);
    for register in 0..REGISTERS {
        let asked = trial.now();
        let value = value_of(store.get(&format!("r{register}"), &arena).expect("the store has recovered"));
        all.push((register, Entry { asked, answered: Some(trial.now()), operation: Operation::Read(value) }));
    }
    let sum = value_of(store.get("sum", &arena).expect("the store has recovered"));
    let of = |object: usize| -> Vec<Entry> {
        all.iter().filter(|(on, _)| *on == object).map(|(_, entry)| entry.clone()).collect()
    };
    for register in 0..REGISTERS {
        check_register(&of(register)).unwrap_or_else(|wrong| panic!("register {register}: {wrong}"));
    }
    check_counter(&of(REGISTERS), sum as i64).unwrap_or_else(|wrong| panic!("the number: {wrong}"));
    let (known, unknown) = *trial.counts.lock().expect("the lock is not poisoned");
    println!("{known} operations were answered, {unknown} were not");
    assert!(known > 500 && unknown > 20, "{known} answered, {unknown} not");
}

/// One thread's operations and their results. The number is the last of the objects.
fn play(store: &Redis, trial: &Trial, thread: usize) -> Vec<(usize, Entry)> {
    let mut history = Vec::new();
    let mut arena = Arena::new(1024);
    let mut seen = [0; REGISTERS];
    let mut step = thread;
    while !trial.over.load(Ordering::Relaxed) {
        step += 1;
        arena.reset();
        let register = step % REGISTERS;
        let key = format!("r{register}");
        let begin = Instant::now();
        let asked = trial.now();
        // The operation, in case its result is unknown, and its result.
        let (on, unknown, outcome) = match step * 7 % 10 {
            0..4 => {
                let read = store.get(&key, &arena).map(value_of);
                seen[register] = *read.as_ref().unwrap_or(&seen[register]);
                (register, Operation::Read(0), read.map(|value| Some(Operation::Read(value))))
            }
            4..6 => {
                let value = trial.values.fetch_add(1, Ordering::Relaxed);
                let set = store.set(&key, value.to_string().as_bytes(), Some(PATIENCE * 100));
                (register, Operation::Write(value), set.map(|()| Some(Operation::Write(value))))
            }
            6..8 => {
                let value = trial.values.fetch_add(1, Ordering::Relaxed);
                let (old, new) = (seen[register].to_string(), value.to_string());
                let expected = (seen[register] != 0).then_some(old.as_bytes());
                let swapped = store.compare_and_set(&key, expected, new.as_bytes(), None);
                let swap = Operation::Swap(seen[register], value);
                (register, swap.clone(), swapped.map(|swapped| swapped.then_some(swap)))
            }
            _ => {
                let life = step.is_multiple_of(2).then_some(PATIENCE * 100);
                let sum = store.increment("sum", 1, life);
                (REGISTERS, Operation::Sum(0), sum.map(|sum| Some(Operation::Sum(sum))))
            }
        };
        assert!(begin.elapsed() < LIMIT, "an operation took {:?}", begin.elapsed());
        trial.count(outcome.is_ok());
        match outcome {
            Ok(Some(operation)) => {
                history.push((on, Entry { asked, answered: Some(trial.now()), operation }))
            }
            // The comparison failed, so nothing has happened.
            Ok(None) => {}
            Err(StoreError::Unavailable(_)) => {
                history.push((on, Entry { asked, answered: None, operation: unknown }))
            }
            Err(error) => panic!("{error}"),
        }
    }
    history
}

#[test]
fn no_value_is_wrong_while_connections_are_held_up_and_cut() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.socket());
    let store = open(&proxy.url());
    no_wrong_value(&store, |trial| {
        for round in 0..18 {
            trial.wait(40, 0);
            match round % 6 {
                // Replies come too late, and all at once.
                0 => proxy.hold_replies(),
                // Requests arrive when no caller waits for them any more.
                1 => proxy.hold_requests(),
                2 => proxy.cut(),
                3 => {
                    proxy.hold_replies();
                    proxy.wait_for_held(2);
                    proxy.cut();
                }
                4 => {
                    proxy.hold_requests();
                    proxy.wait_for_held(1);
                    proxy.cut();
                }
                _ => {
                    proxy.close(true);
                    proxy.cut();
                }
            }
            if round % 6 != 2 {
                trial.wait(0, 8);
            }
            proxy.release();
            proxy.close(false);
        }
        trial.wait(100, 0);
    });
}

#[test]
fn no_value_is_wrong_while_redis_is_killed_and_restarted() {
    // Answers are in the file before they are sent, so a kill loses none of them.
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.url());
    no_wrong_value(&store, |trial| {
        for _ in 0..6 {
            trial.wait(150, 0);
            server.kill();
            trial.wait(0, 10);
            server.restart();
            let begin = Instant::now();
            trial.wait(1, 0);
            assert!(begin.elapsed() < RECOVERY, "{:?}", begin.elapsed());
        }
    });
}
