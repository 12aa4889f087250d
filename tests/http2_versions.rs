//! A server speaks the versions of HTTP that it was given, and a connection those that its client has begun with.

use fleeting::{App, HttpVersions, Response, Server};
use fleeting_testkit::client::Client as Http1Client;
use fleeting_testkit::http2::client::Client;
use fleeting_testkit::http2::frames::{Frame, PREFACE, code};
use fleeting_testkit::http2::session::Session;
use fleeting_testkit::server::{self, TestServer};
use std::io::{Read, Write};
use std::net::TcpStream;

fn app() -> App {
    App::new().get("/", |req| Ok(Response::text(format!("{:?}", req.version()))))
}

fn serve(versions: HttpVersions) -> TestServer {
    server::run_from(Server::builder().http(versions), |_| app())
}

#[test]
fn both_are_spoken_by_default() {
    let server = serve(HttpVersions::default());
    assert_eq!(Http1Client::connect(server.addr).get("/").text(), "Http11");
    assert_eq!(Client::connect(server.addr).get("/").text(), "Http2");
    // The preface may arrive in pieces.
    for cut in 1..PREFACE.len() {
        let mut client = Client::silent(server.addr, Session::client(&[]));
        let output = std::mem::take(&mut client.session.output);
        client.send(&output[..cut]);
        assert_eq!(Http1Client::connect(server.addr).get("/").text(), "Http11");
        client.send(&output[cut..]);
        assert_eq!(client.get("/").text(), "Http2", "cut at {cut}");
    }
    // What only begins like it is a request of HTTP/1.1.
    for begun in ["PRI / HTTP/1.1\r\nHost: test\r\n\r\n", "PRIMES * HTTP/1.1\r\nHost: test\r\n\r\n"] {
        let mut client = Http1Client::connect(server.addr);
        client.send(begun);
        assert!((400..=501).contains(&client.answer().status), "{begun}");
    }
}

#[test]
fn a_server_of_http1_refuses_the_preface() {
    let server = serve(HttpVersions::Http1);
    assert_eq!(Http1Client::connect(server.addr).get("/").text(), "Http11");
    let mut stream = TcpStream::connect(server.addr).expect("the server listens");
    stream.write_all(PREFACE).expect("the server reads");
    stream.write_all(&Frame::settings(&[]).to_bytes()).expect("the server reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{answer}");
}

#[test]
fn a_server_of_http2_answers_anything_else_with_goaway() {
    let server = serve(HttpVersions::Http2);
    assert_eq!(Client::connect(server.addr).get("/").text(), "Http2");
    for bytes in
        ["GET / HTTP/1.1\r\nHost: test\r\n\r\n", "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02"]
    {
        let mut client = Client::silent(server.addr, Session::client(&[]));
        client.session.output.clear();
        client.send(bytes);
        client.ended_with(code::PROTOCOL_ERROR);
    }
}

/// Whatever the version, a connection is one.
#[test]
fn connections_are_counted_and_not_streams() {
    let server = serve(HttpVersions::Both);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.addr)).collect();
    let mut other = Http1Client::connect(server.addr);
    for _ in 0..10 {
        for client in &mut clients {
            client.get("/");
        }
    }
    other.get("/");
    let counters = server.wait(|counters| counters.requests == 31);
    assert_eq!((counters.connections, counters.accepted), (4, 4));
    drop((clients, other));
    server.wait(|counters| counters.connections == 0);
}
