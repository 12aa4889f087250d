//! No write to a connection raises SIGPIPE, which would end a program that does not ignore the signal.

use fleeting::{App, Error, Message, Progress, Request, Response, Room, Socket, Source, WebSocket};
use fleeting_testkit::client::{Client, TEXT, frame};
use fleeting_testkit::server::{self, TestServer, subscribe};
use fleeting_testkit::sigpipe::under_default_action;
use std::path::PathBuf;

const LARGE: usize = 8 << 20;

struct Feed;

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, "feed")
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, socket: &mut Socket<'_>) {
        let block = "x".repeat(64 << 10);
        for _ in 0..256 {
            socket.publish("feed", Message::Text(&block)).expect("it is valid");
        }
    }
}

/// Content that never ends.
struct Endless;

impl Source for Endless {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        let bytes = room.left();
        room.spare()[..bytes].fill(b'x');
        room.filled(bytes);
        Ok(Progress::More)
    }
}

fn app(large: PathBuf) -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/owned", |_req| Ok(Response::new(200).body(vec![b'x'; LARGE])))
        .get("/static", |_req| {
            static BODY: [u8; LARGE] = [b'x'; LARGE];
            Ok(Response::new(200).body(&BODY[..]))
        })
        .get("/source", |_req| Ok(Response::source(None, Endless)))
        .get("/file", move |req| Response::file(req, &large))
        .ws("/feed", Feed)
}

/// Lets a client take the beginning of what `request` brings, end its side, and reset the connection.
fn leave(server: &TestServer, mut client: Client, request: impl AsRef<[u8]>) {
    client.send(request);
    client.bytes(1000);
    client.end();
    client.reset();
    server.wait(|counters| counters.connections == 0);
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
    server.wait(|counters| counters.connections == 0);
}

fn check() {
    let path = std::env::temp_dir().join(format!("fleeting-sigpipe-{}", std::process::id()));
    std::fs::write(&path, vec![b'x'; LARGE]).expect("a file can be written");
    let large = path.clone();
    let server = server::run(move |_| app(large));
    for target in ["owned", "static", "source", "file"] {
        println!("{target}");
        let client = Client::connect_with_small_buffer(server.addr);
        leave(&server, client, format!("GET /{target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }
    let client = Client::connect_with_small_buffer(server.addr).upgraded("/feed");
    leave(&server, client, frame(true, TEXT, b"go"));
    std::fs::remove_file(&path).expect("it is there");
}

/// Finding A10.
#[test]
fn a_client_that_leaves_does_not_end_the_process() {
    under_default_action("sigpipe::a_client_that_leaves_does_not_end_the_process", check);
}
