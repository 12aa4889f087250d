//! A server listens on sockets that its process was started with, of TCP and Unix. What a service manager passes is tested with
//! the program.

use fleeting::{App, Builder, ListenAddr, Response, Server, WorkerContext};
use fleeting_testkit::client::Client;
use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

fn app(worker: &WorkerContext) -> App {
    let index = worker.index.to_string();
    App::new().get("/", move |_req| Ok(Response::text(index.clone())))
}

fn on(descriptor: RawFd) -> Builder {
    Server::builder().bind(format!("fd:{descriptor}"))
}

#[test]
fn a_tcp_socket_is_served_by_all_workers_and_stays_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for workers in [1, 3] {
        let server = on(listener.as_raw_fd()).workers(workers).serve(app).expect("the server starts");
        assert_eq!(server.local_addrs(), [addr]);
        let mut clients: Vec<Client> = (0..32).map(|_| Client::connect(addr)).collect();
        let mut found = vec![0; workers];
        for client in &mut clients {
            found[client.get("/").text().parse::<usize>().expect("a number")] += 1;
        }
        assert!(found.iter().all(|count| *count > 0), "{found:?}");
        drop(clients);
        server.handle().shutdown();
        server.run().expect("every worker has ended");
        // Those that come from here on wait for whoever listens next.
        let mut waiting = Client::connect(addr);
        waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let next = on(listener.as_raw_fd()).serve(app).expect("the server starts");
        assert_eq!(waiting.answer().text(), "0");
        drop(waiting);
        next.handle().shutdown();
        next.run().expect("every worker has ended");
    }
}

#[test]
fn a_small_response_over_an_inherited_socket_is_not_delayed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = on(listener.as_raw_fd()).serve(app).expect("the server starts");
    // The options are those of the listening socket.
    assert!(socket2::SockRef::from(&listener).tcp_nodelay().unwrap());
    server.handle().shutdown();
    server.run().expect("every worker has ended");
}

#[test]
fn a_unix_socket_is_served_and_its_file_stays() {
    let path = std::env::temp_dir().join(format!("fl-inherited-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = on(listener.as_raw_fd()).workers(2).serve(app).expect("the server starts");
    assert_eq!(server.listen_addrs(), [ListenAddr::Unix(path.clone())]);
    assert_eq!(Client::connect_unix(&path).get("/").status, 200);
    server.handle().shutdown();
    server.run().expect("every worker has ended");
    UnixStream::connect(&path).expect("the socket listens");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_descriptor_that_is_no_listening_stream_socket_is_an_error() {
    #[track_caller]
    fn check(descriptor: &impl AsRawFd, why: &str) {
        let number = descriptor.as_raw_fd();
        let error = on(number).serve(app).expect_err("it is refused").to_string();
        assert_eq!(error, format!("cannot listen on fd:{number}: {why}"));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    check(&client, "the descriptor is a socket that does not listen");
    check(&UnixStream::pair().unwrap().0, "the descriptor is a socket that does not listen");
    check(&UdpSocket::bind("127.0.0.1:0").unwrap(), "the descriptor is not a stream socket");
    check(&File::open("/dev/null").unwrap(), "the descriptor is not a socket");
    check(&RawFd::MAX, "there is no such descriptor");
    // No service manager has started the tests.
    let error = Server::builder().bind("systemd").serve(app).expect_err("it is refused").to_string();
    assert!(error.starts_with("cannot listen on systemd: no socket was passed to this process"), "{error}");
}
