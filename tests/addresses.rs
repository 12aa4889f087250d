//! A server listens on IPv4 and IPv6 side by side, and tells its clients' addresses as they are.

use fleeting::{App, Response, Server};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::Workers;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// Serves `hosts` on one free port. The answer to `/` is the client's address.
fn serve(hosts: &[&str], workers: usize) -> (Workers, Vec<SocketAddr>) {
    // Another process may take the port first.
    for _ in 0..10 {
        let free = TcpListener::bind("[::]:0").and_then(|free| free.local_addr()).expect("a port is free");
        let builder = hosts
            .iter()
            .fold(Server::builder(), |builder, host| builder.bind(format!("{host}:{}", free.port())));
        let server = builder.workers(workers).serve(|_| {
            App::new().get("/", |req| {
                let ip = req.peer_addr().expect("TCP has addresses").ip();
                Ok(Response::text(req.arena().format(format_args!("{ip}"))))
            })
        });
        match server {
            Err(error) if error.to_string().contains("in use") => {}
            server => {
                let addrs = server.as_ref().map(|server| server.local_addrs()).unwrap_or_default();
                return (Workers::of(server), addrs);
            }
        }
    }
    panic!("no port stays free, or the addresses take it from each other");
}

fn client_address(addr: impl Into<SocketAddr>) -> String {
    Client::connect(addr.into()).get("/").text().to_string()
}

/// Finding E15.
#[test]
fn ipv4_and_ipv6_share_a_port_if_both_are_asked_for() {
    for workers in [1, 2] {
        for hosts in [["[::]", "0.0.0.0"], ["0.0.0.0", "[::]"], ["[::]", "127.0.0.1"]] {
            let (server, addrs) = serve(&hosts, workers);
            assert_eq!(addrs.len(), 2, "{hosts:?}");
            let port = addrs[0].port();
            assert_eq!(client_address((Ipv4Addr::LOCALHOST, port)), "127.0.0.1", "{hosts:?}");
            assert_eq!(client_address((Ipv6Addr::LOCALHOST, port)), "::1", "{hosts:?}");
            server.finish();
        }
    }
}

/// Finding E15.
#[test]
fn an_ipv4_client_of_an_ipv6_socket_has_an_ipv4_address() {
    let (server, addrs) = serve(&["[::]"], 1);
    let port = addrs[0].port();
    assert_eq!(client_address((Ipv4Addr::LOCALHOST, port)), "127.0.0.1");
    assert_eq!(client_address((Ipv6Addr::LOCALHOST, port)), "::1");
    server.finish();
}
