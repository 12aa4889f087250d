//! Who is let in when there are as many connections as a worker may have.

use crate::driver::{Driver, Peer};
use fleeting::engine::{Readiness, Settings};
use fleeting::{App, Limits, Response, Server};
use fleeting_testkit::client::{Client, TEXT};
use fleeting_testkit::limited::run_again;
use fleeting_testkit::server::{self, Echo, Workers};
use std::sync::mpsc;

fn app() -> App {
    App::new().get("/", |_req| Ok(Response::text("hello"))).ws("/ws", Echo)
}

/// A worker that may have this many connections.
fn driver(connections: usize) -> Driver {
    let mut limits = Limits::default();
    limits.connections = connections;
    Driver::new(app(), Settings { limits, ..Settings::default() })
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// Finding C4.
#[test]
fn the_connection_that_has_been_idle_for_longest_gives_way() {
    let mut driver = driver(4);
    let peers: [Peer; 4] = std::array::from_fn(|_| {
        let peer = driver.connect();
        driver.advance(10);
        peer
    });
    for at in [2, 0, 1] {
        driver.arrive(&peers[at], GET);
        driver.advance(10);
    }
    assert!(!driver.engine.has_room());
    assert!(!driver.engine.make_room(), "all were busy a moment ago");
    driver.advance(1000);
    // The last one has not sent a request, and has waited since it came.
    for at in [3, 2, 0, 1] {
        assert!(peers.iter().filter(|peer| peer.is_gone()).count() == driver.counters().evicted as usize);
        assert!(!peers[at].is_gone());
        assert!(driver.engine.make_room());
        assert!(peers[at].is_gone() && driver.engine.has_room());
        driver.connect();
    }
    assert_eq!((driver.counters().evicted, driver.counters().connections), (4, 4));
}

/// Finding C4.
#[test]
fn a_connection_with_something_under_way_does_not_give_way() {
    let mut driver = driver(4);
    let socket = driver.websocket("/ws");
    let head = driver.connect();
    driver.arrive(&head, &GET[..10]);
    let unread = driver.connect();
    unread.limit_room(20);
    driver.arrive(&unread, GET);
    driver.advance(1000);
    // Its request has arrived, but its event has not.
    let late = driver.connect();
    driver.advance(1000);
    late.deliver(GET);
    assert!(!driver.engine.make_room());
    for peer in [&socket, &head, &unread, &late] {
        assert!(!peer.is_gone());
    }
    assert_eq!((driver.counters().evicted, driver.counters().requests), (0, 3));
    driver.advance(1000);
    assert!(driver.engine.make_room());
    assert!(late.is_gone());
}

#[test]
fn a_connection_that_lingers_gives_way_before_an_idle_one() {
    const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut driver = driver(4);
    let idle = [(); 2].map(|()| {
        let peer = driver.connect();
        driver.advance(10);
        peer
    });
    driver.advance(1000);
    let [early, late] = [(); 2].map(|()| {
        let peer = driver.raw(LAST);
        driver.advance(50);
        peer
    });
    assert!(driver.engine.make_room() && early.is_gone(), "the last answer of the other left a moment ago");
    driver.raw(LAST);
    // Its client goes on sending.
    late.deliver(&[b'x'; 1 << 20]);
    driver.advance(60);
    for gone in [&late, &idle[0]] {
        assert!(!gone.is_gone());
        assert!(driver.engine.make_room() && gone.is_gone());
        driver.connect();
    }
    assert!(!idle[1].is_gone());
    // The one that has its last answer now is looked for again.
    driver.advance(100);
    assert!(driver.engine.make_room() && !idle[1].is_gone());
    assert_eq!(driver.counters().evicted, 4);
    assert_eq!(driver.counters().timeouts, 0);
}

/// Finding C4.
#[test]
fn more_candidates_than_are_remembered_give_way_in_their_order() {
    let mut driver = driver(300);
    let peers: Vec<_> = (0..300)
        .map(|_| {
            driver.advance(1);
            driver.connect()
        })
        .collect();
    driver.advance(200);
    // Those that were found as candidates may become busy.
    assert!(driver.engine.make_room());
    for peer in &peers[2..5] {
        driver.engine.begin(driver.now);
        peer.deliver(GET);
        driver.engine.ready(peer.id, Readiness { readable: true, ..Readiness::default() });
        driver.engine.run();
    }
    for at in (1..2).chain(5..300) {
        driver.connect();
        assert!(driver.engine.make_room() && peers[at].is_gone(), "{at}");
        assert!(peers.iter().skip(at + 1).all(|peer| !peer.is_gone()), "{at}");
    }
}

/// Finding C4.
#[test]
fn an_idle_client_gives_way_to_a_new_one() {
    let server = server::run_with(|limits, _| limits.connections = 2, |_| app());
    let mut silent = Client::connect(server.addr);
    server.wait(|counters| counters.accepted == 1);
    let mut busy = Client::websocket(server.addr, "/ws");
    for evicted in 1..=3 {
        let mut new = Client::connect(server.addr);
        assert_eq!(new.get("/").status, 200);
        silent.ended();
        silent = new;
        let counters = server.wait(|counters| counters.evicted == evicted);
        assert_eq!(counters.connections, 2);
    }
    busy.frame(TEXT, "still here");
    assert_eq!(busy.next_frame().text(), "still here");
}

/// Finding C5.
#[test]
fn a_full_worker_passes_its_clients_to_one_that_has_room() {
    let mut handed_over = 0;
    for _ in 0..50 {
        let mut limits = Limits::default();
        limits.connections = 2;
        let builder = Server::builder().bind("127.0.0.1:0").workers(2).limits(limits);
        let server = Workers::of(builder.serve(|_| app()));
        // WebSockets, which do not give way.
        let mut clients: Vec<_> = (0..4).map(|_| Client::websocket(server.addr, "/ws")).collect();
        for client in &mut clients {
            client.frame(TEXT, "hello");
            assert_eq!(client.next_frame().text(), "hello");
        }
        let (sender, figures) = mpsc::channel();
        server.handle.figures(move |figures| sender.send(figures).expect("the test waits"));
        let figures = figures.recv().expect("the workers answer");
        for worker in &figures {
            assert_eq!((worker.counters.connections, worker.counters.accepted), (2, 2));
        }
        handed_over += figures.iter().map(|worker| worker.counters.handed_over).sum::<u64>();
        drop(clients);
        server.finish();
    }
    // The system gives all four to one of them now and then, and three often.
    assert!(handed_over > 0);
}

#[test]
fn connections_are_spread_evenly_over_the_workers() {
    // Both ends of 1,000 connections are in this process.
    const NAME: &str = "admission::connections_are_spread_evenly_over_the_workers";
    if run_again(NAME, "-n 4096", "").is_none() {
        return;
    }
    let server = Workers::of(Server::builder().bind("127.0.0.1:0").workers(16).serve(|_| app()));
    let connections = |server: &Workers| -> Vec<u64> {
        let (sender, figures) = mpsc::channel();
        server.handle.figures(move |figures| sender.send(figures).expect("the test waits"));
        let figures = figures.recv().expect("the workers answer");
        figures.iter().map(|worker| worker.counters.connections).collect()
    };
    let mut clients = Vec::new();
    for count in [16, 160, 1000] {
        while clients.len() < count {
            let mut client = Client::connect(server.addr);
            assert_eq!(client.get("/").status, 200);
            clients.push(client);
        }
        let connections = connections(&server);
        let (most, fewest) = (connections.iter().max().unwrap(), connections.iter().min().unwrap());
        assert_eq!(connections.iter().sum::<u64>(), count as u64);
        assert!(most - fewest <= 2 + fewest / 32, "{connections:?}");
        assert!(count < 1000 || *most as f64 <= 1.1 * 1000.0 / 16.0, "{connections:?}");
    }
    drop(clients);
    server.finish();
}

/// Finding C5.
#[test]
fn a_client_that_no_worker_has_room_for_gets_the_first_place_that_becomes_free() {
    let mut limits = Limits::default();
    limits.connections = 1;
    let builder = Server::builder().bind("127.0.0.1:0").workers(2).limits(limits);
    let server = Workers::of(builder.serve(|_| app()));
    let mut sockets: Vec<_> = (0..2).map(|_| Client::websocket(server.addr, "/ws")).collect();
    for _ in 0..20 {
        let mut waiting = Client::connect(server.addr);
        waiting.send(fleeting_testkit::client::handshake("/ws", ""));
        // Whichever worker it waits at, it may be the other one's connection that ends.
        sockets.remove(0);
        assert_eq!(waiting.answer().status, 101);
        sockets.push(waiting);
    }
}
