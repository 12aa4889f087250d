//! A process that has no address space left refuses what needs some, and goes on.

use fleeting::{App, Response};
use fleeting_testkit::client::Client;
use fleeting_testkit::limited::run_again;
use fleeting_testkit::server;
use std::io::Write;
use std::net::TcpStream;

/// Finding C7.
#[test]
fn a_process_that_has_run_out_of_address_space_refuses_and_lives_on() {
    const NAME: &str = "address_space::a_process_that_has_run_out_of_address_space_refuses_and_lives_on";
    // With the default, and without any limit but that of the system.
    for limit in ["auto", "1024GiB"] {
        if let Some(limit) = run_again(NAME, "-v 400000", limit) {
            return little_address_space(&limit);
        }
    }
}

fn little_address_space(limit: &str) {
    let limit = limit.to_string();
    let server = server::run_with(
        move |limits, timeouts| {
            limits.set("memory", &limit).expect("a limit");
            // They hold what they have until the end.
            timeouts.set("body_stall", "0s").expect("a timeout");
        },
        |_| {
            App::new()
                .get("/", |_req| Ok(Response::text("hello")))
                .post("/", |req| Ok(Response::text(req.body().len().to_string())))
        },
    );
    let content = vec![b'x'; (1 << 20) - 1];
    let mut clients = Vec::new();
    let refused = |counters: &fleeting::engine::Counters| {
        counters.refused().find(|(label, _)| *label == "no_memory").expect("a label").1
    };
    for _ in 0..400 {
        let mut client = TcpStream::connect(server.addr).expect("the server listens");
        let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n";
        client.write_all(head.as_bytes()).expect("the server reads");
        // A client that is refused may be cut off.
        let _ = client.write_all(&content);
        clients.push(client);
        let mut canary = Client::connect(server.addr);
        assert_eq!(canary.get("/").status, 200);
        if server.wait(|_| true).accepted % 16 == 0 && refused(&server.wait(|_| true)) >= 3 {
            break;
        }
    }
    assert!(server.wait(|counters| refused(counters) >= 3).connections > 0);
    drop(clients);
    server.wait(|counters| counters.connections == 0);
    let mut client = Client::connect(server.addr);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1048576\r\n\r\n");
    client.send([&content[..], b"x"].concat());
    assert_eq!(client.answer().text(), "1048576");
}
