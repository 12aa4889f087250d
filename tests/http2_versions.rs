//! A server speaks the versions of HTTP it is configured for. On each connection, the first bytes from the client choose one.

use crate::driver::Driver;
use fleeting::engine::Settings;
use fleeting::{App, HttpVersions, Response, Server};
use fleeting_testkit::client::Client as Http1Client;
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::{Frame, PREFACE, code, kind};
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
    // A request that only begins like the preface is an HTTP/1.1 request.
    for begun in ["PRI / HTTP/1.1\r\nHost: test\r\n\r\n", "PRIMES * HTTP/1.1\r\nHost: test\r\n\r\n"] {
        let mut client = Http1Client::connect(server.addr);
        client.send(begun);
        assert!((400..=501).contains(&client.answer().status), "{begun}");
    }
}

/// Until the preface is complete the connection may still be HTTP/1.1, so a timeout is answered over HTTP/1.1.
#[test]
fn a_part_of_the_preface_is_a_head_that_is_not_complete() {
    type End = fn(&mut Driver);
    let ends: [(&str, End, &str); 2] = [
        ("time passes", |driver| driver.advance(30_000), "HTTP/1.1 408 "),
        (
            "a shutdown",
            |driver| {
                driver.engine.shutdown();
                driver.advance(60_000);
            },
            "",
        ),
    ];
    for (what, end, answer) in ends {
        for cut in 1..PREFACE.len() {
            for room in [usize::MAX, 0, 9] {
                let mut driver = Driver::new(app(), Settings::default());
                let peer = driver.connect();
                peer.limit_room(room);
                driver.arrive(&peer, &PREFACE[..cut]);
                end(&mut driver);
                driver.make_room(&peer, usize::MAX);
                let written = peer.take_written();
                assert!(written.starts_with(answer), "{what}, cut at {cut}, {room}: {written}");
                driver.arrive(&peer, &PREFACE[cut..]);
                driver.arrive(&peer, &Frame::settings(&[]).to_bytes());
                driver.advance(60_000);
                assert_eq!(peer.take_written(), "", "{what}, cut at {cut}, {room}");
                assert!(peer.is_gone(), "{what}, cut at {cut}, {room}");
                assert_eq!(driver.counters().connections, 0);
            }
        }
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

/// A connection counts once, whatever its version.
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

/// RFC 7301, RFC 9113 §3.2: the handshake chooses, and the server prefers HTTP/2.
#[cfg(feature = "tls")]
#[test]
fn a_tls_handshake_chooses_the_version() {
    use crate::tls::{Pair, configure, start};
    use rustls::StreamOwned;
    use rustls::crypto::aws_lc_rs::default_provider;

    let pair = Pair::new("localhost");
    let check = |versions: HttpVersions, offered: &[&[u8]], chosen: Result<Option<&str>, &str>| {
        let tls = pair.options().build().expect("they belong together");
        let builder = Server::builder().http(versions).bind_tls("127.0.0.1:0", &tls);
        let server = server::Workers::of(builder.serve(|_| app()));
        let mut config =
            configure(default_provider(), rustls::DEFAULT_VERSIONS, &[&pair]).with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let mut connection = start(config, "localhost");
        let mut socket = TcpStream::connect(server.addr).expect("the server listens");
        let mut handshake = Ok(());
        while connection.is_handshaking() && handshake.is_ok() {
            handshake = connection.complete_io(&mut socket).map(drop);
        }
        if let Err(expected) = chosen {
            let error = handshake.expect_err("they cannot agree").to_string();
            assert!(error.contains(expected), "{error}");
            return;
        }
        handshake.expect("the handshake succeeds");
        let agreed = connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(agreed.as_deref(), chosen.unwrap_or_default(), "{versions}");
        let mut stream = StreamOwned::new(connection, socket);
        if agreed.as_deref() == Some("h2") {
            let mut session = Session::client(&[]);
            let mut get = head("GET", "/");
            get[1].1 = "https";
            session.open(&get, true);
            stream.write_all(&std::mem::take(&mut session.output)).expect("the server reads");
            loop {
                let frame = Frame::read(&mut stream).expect("a frame").expect("the connection goes on");
                session.receive(&frame).unwrap_or_else(|problem| panic!("{problem}"));
                if frame.kind == kind::DATA {
                    assert_eq!(frame.payload, b"Http2");
                    break;
                }
            }
        } else {
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.ends_with("Http11"), "{answer}");
        }
    };
    let (h2, http1): (&[u8], &[u8]) = (b"h2", b"http/1.1");
    check(HttpVersions::Both, &[h2, http1], Ok(Some("h2")));
    check(HttpVersions::Both, &[http1, h2], Ok(Some("h2")));
    check(HttpVersions::Both, &[http1], Ok(Some("http/1.1")));
    check(HttpVersions::Both, &[], Ok(None));
    check(HttpVersions::Http1, &[h2, http1], Ok(Some("http/1.1")));
    check(HttpVersions::Http2, &[h2, http1], Ok(Some("h2")));
    check(HttpVersions::Http1, &[h2], Err("NoApplicationProtocol"));
    check(HttpVersions::Http2, &[http1], Err("NoApplicationProtocol"));
}
