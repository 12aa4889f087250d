//! A process that has no address space left refuses what needs some, and goes on.

use fleeting::engine::Counters;
use fleeting::{App, Keep, KeptRequest, Response};
use fleeting_testkit::client::{Client, frame};
use fleeting_testkit::limited::run_again;
use fleeting_testkit::server::{self, Echo};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

/// What uses up the memory of the process.
struct Case {
    /// The limit of the server's memory.
    limit: &'static str,
    /// Takes as much memory as one client can.
    hoard: fn(SocketAddr) -> TcpStream,
    /// It is given back when the clients are gone.
    comes_back: bool,
}

const CASES: [Case; 4] = [
    Case { limit: "auto", hoard: content, comes_back: true },
    Case { limit: "1024GiB", hoard: content, comes_back: true },
    Case { limit: "1024GiB", hoard: fragments, comes_back: true },
    Case { limit: "1024GiB", hoard: kept, comes_back: false },
];

/// Finding C7.
#[test]
fn a_process_that_has_run_out_of_address_space_refuses_and_lives_on() {
    const NAME: &str = "address_space::a_process_that_has_run_out_of_address_space_refuses_and_lives_on";
    for case in 0..CASES.len() {
        if let Some(case) = run_again(NAME, "-v 400000", &case.to_string()) {
            return little_address_space(&CASES[case.parse::<usize>().expect("a case")]);
        }
    }
}

fn little_address_space(case: &Case) {
    let limit = case.limit;
    let server = server::run_with(
        move |limits, timeouts| {
            limits.set("memory", limit).expect("a limit");
            // They hold what they have until the end.
            timeouts.set("body_stall", "0s").expect("a timeout");
            timeouts.set("message_stall", "0s").expect("a timeout");
        },
        |_| {
            let all = RefCell::new(Vec::<KeptRequest>::new());
            App::new()
                .get("/", |_req| Ok(Response::text("hello")))
                .post("/", |req| Ok(Response::text(req.body().len().to_string())))
                .post("/kept", move |req| {
                    let kept = req.keep();
                    all.borrow_mut().push(kept);
                    Ok(Response::new(204))
                })
                .ws("/ws", Echo)
        },
    );
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push((case.hoard)(server.addr));
        let mut canary = Client::connect(server.addr);
        let status = canary.get("/").status;
        // What the application keeps itself may leave too little to begin anything.
        assert!(status == 200 || !case.comes_back && status == 503, "{limit}: {status}");
        if server.wait(|_| true).accepted % 16 == 0 && refused(&server.wait(|_| true)) >= 3 {
            break;
        }
    }
    assert!(server.wait(|counters| refused(counters) >= 3).connections > 0);
    drop(clients);
    server.wait(|counters| counters.connections == 0);
    if case.comes_back {
        let mut client = Client::connect(server.addr);
        assert_eq!(client.get("/").text(), "hello");
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n");
        client.send(vec![b'x'; 1 << 20]);
        assert_eq!(client.answer().text(), "1048576");
    }
}

/// What an application allocates itself is not charged to anybody. The server begins nothing new before the next allocation
/// would fail, which would end the process.
///
/// Finding C7.
#[test]
fn an_application_that_takes_all_memory_in_small_pieces_stops_being_called() {
    const NAME: &str =
        "address_space::an_application_that_takes_all_memory_in_small_pieces_stops_being_called";
    if run_again(NAME, "-v 400000", "small").is_none() {
        return;
    }
    let all = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    let server = server::run({
        let all = all.clone();
        move |_| {
            let all = all.clone();
            App::new().get("/", |_req| Ok(Response::text("hello"))).get("/more", move |_req| {
                all.lock().expect("no panic").push(vec![1; 16 << 10]);
                Ok(Response::new(204))
            })
        }
    });
    let mut answered = 0;
    while refused(&server.wait(|_| true)) == 0 {
        let mut client = Client::connect(server.addr);
        let mut last = 204;
        for _ in 0..100 {
            last = client.get("/more").status;
            if last != 204 {
                break;
            }
            answered += 1;
        }
        assert!(last == 204 || last == 503, "{last}");
    }
    // Most of the 400 MB were there to be taken.
    assert!(answered > 1000, "{answered}");
    all.lock().expect("no panic").clear();
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
}

/// Sends content of 1 MiB without its last byte.
fn content(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).expect("the server listens");
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n";
    client.write_all(head.as_bytes()).expect("the server reads");
    // A client that is refused may be cut off.
    let _ = client.write_all(&vec![b'x'; (1 << 20) - 1]);
    client
}

/// Sends most of a WebSocket message in a frame that is not its last.
fn fragments(addr: SocketAddr) -> TcpStream {
    let client = Client::websocket(addr, "/ws");
    let _ = client.stream().write_all(&frame(false, 1, &[b'x'; 900 << 10]));
    client.stream().try_clone().expect("there are descriptors")
}

/// Sends content that the application keeps.
fn kept(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).expect("the server listens");
    let head = "POST /kept HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n";
    let _ = client.write_all(&[head.as_bytes(), &[b'x'; 1 << 20]].concat());
    let mut status = [0; 12];
    let read = client.read_exact(&mut status);
    assert!(read.is_err() || status == *b"HTTP/1.1 204" || status == *b"HTTP/1.1 503", "{status:?}");
    client
}

/// Returns how much was refused for lack of memory: requests, messages, and requests that were to be kept.
fn refused(counters: &Counters) -> u64 {
    let reasons = counters.refused().chain(counters.failed());
    reasons.filter(|(label, _)| *label == "no_memory").map(|(_, count)| count).sum::<u64>() + counters.panics
}
