//! A server listens on Unix sockets: whose file is replaced, whose mode it has, when it is removed, and that clients are served
//! as over TCP.

use fleeting::{App, Builder, ListenAddr, Message, Response, ServeError, Server, SitePolicy, SlowConsumer};
use fleeting::{SocketOptions, WorkerContext};
use fleeting_testkit::client::{Client, TEXT};
use fleeting_testkit::limited::run_again;
use fleeting_testkit::server::{Echo, Feed, subscriptions};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A folder for the sockets of one test. Its path is short: that of a socket has at most 107 bytes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("fl-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("the folder can be made");
        Folder(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("a.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn app(_worker: &WorkerContext) -> App {
    let conflate = SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    App::new()
        .get("/", |req| Ok(Response::text(if req.peer_addr().is_none() { "nobody" } else { "somebody" })))
        .get("/large", |_req| Ok(Response::bytes(vec![b'~'; 5 << 20])))
        .post("/", |req| Ok(Response::bytes(req.body())))
        .ws("/echo", Echo)
        .ws_with("/feed", conflate, Feed)
}

fn at(path: &Path) -> Builder {
    Server::builder().bind(format!("unix:{}", path.display()))
}

#[track_caller]
fn start(builder: Builder) -> Server {
    builder.serve(app).expect("the server starts")
}

#[track_caller]
fn end(server: Server) {
    server.handle().shutdown();
    server.run().expect("every worker has ended");
}

/// Returns the error of a server that does not start.
#[track_caller]
fn refused(builder: &Builder) -> String {
    let error = builder.clone().serve(app).expect_err("it cannot start");
    assert!(matches!(error, ServeError::Bind(..)), "{error}");
    error.to_string()
}

#[test]
fn requests_and_websockets_are_served() {
    let folder = Folder::new("serve");
    for workers in [1, 2] {
        let server = start(at(&folder.socket()).workers(workers));
        let mut client = Client::connect_unix(folder.socket());
        for _ in 0..2 {
            assert_eq!(client.get("/").text(), "nobody");
        }
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        assert_eq!(client.answer().text(), "abc");
        assert_eq!(client.answer().text(), "nobody");
        assert!(client.get("/large").body == vec![b'~'; 5 << 20]);
        let mut echo = Client::connect_unix(folder.socket()).upgraded("/echo");
        echo.frame(TEXT, "hello");
        assert_eq!(echo.next_frame().text(), "hello");
        // A subscriber that conflates, on sockets that have no bound on what is unsent.
        let mut feeds = [(); 3].map(|()| Client::connect_unix(folder.socket()).upgraded("/feed"));
        assert_eq!(subscriptions(&server.handle()), 3);
        server.handle().publish("feed", Message::Text("news")).expect("it is valid");
        for feed in &mut feeds {
            assert_eq!(feed.next_frame().text(), "news");
        }
        // A client that ends its side is answered.
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.end();
        assert_eq!(client.answer().text(), "nobody");
        client.ended();
        drop((client, echo, feeds));
        end(server);
    }
}

#[test]
fn files_are_sent() {
    let folder = Folder::new("files");
    fs::write(folder.0.join("large"), vec![b'x'; 3 << 20]).unwrap();
    let root = folder.0.clone();
    let server = at(&folder.socket())
        .serve(move |_| App::new().files("/", fleeting::Files::new(&root).expect("it is a directory")));
    let server = server.expect("the server starts");
    let mut client = Client::connect_unix(folder.socket());
    assert!(client.get("/large").body == vec![b'x'; 3 << 20]);
    // The socket itself is no file that is served.
    assert_eq!(client.get("/a.sock").status, 404);
    drop(client);
    end(server);
}

#[test]
fn its_addresses_are_what_bind_takes() {
    let folder = Folder::new("addrs");
    let (made, makes) = mpsc::channel();
    let builder = Server::builder().bind("127.0.0.1:0").bind(format!("unix://{}", folder.socket().display()));
    let server = builder.workers(2).serve(move |worker| {
        made.send(worker.addrs.clone()).expect("the test waits");
        app(worker)
    });
    let server = server.expect("the server starts");
    let addrs = server.listen_addrs();
    assert_eq!(addrs[1], ListenAddr::Unix(folder.socket()));
    assert_eq!(addrs[1].to_string(), format!("unix:{}", folder.socket().display()));
    assert_eq!((addrs[0].tcp(), addrs[1].tcp()), (Some(server.local_addrs()[0]), None));
    assert_eq!((addrs.len(), server.local_addrs().len()), (2, 1));
    assert!(makes.try_iter().all(|known| *known == *addrs));
    for addr in addrs {
        fleeting::check_address(&addr.to_string()).expect("it is one");
    }
    assert_eq!(Client::connect(server.local_addrs()[0]).get("/").text(), "somebody");
    assert_eq!(Client::connect_unix(folder.socket()).get("/").text(), "nobody");
    end(server);
}

#[test]
fn a_file_that_was_left_behind_is_replaced() {
    let folder = Folder::new("stale");
    drop(UnixListener::bind(folder.socket()).unwrap());
    assert!(folder.socket().exists(), "dropping a listener leaves the file");
    let server = start(at(&folder.socket()).workers(2));
    assert_eq!(Client::connect_unix(folder.socket()).get("/").text(), "nobody");
    end(server);
}

#[test]
fn a_socket_in_use_is_an_error_and_goes_on_being_used() {
    let folder = Folder::new("used");
    let path = folder.socket();
    let server = start(at(&path));
    for workers in [1, 2] {
        let in_use = format!("cannot listen on unix:{}: the address is in use", path.display());
        assert_eq!(refused(&at(&path).workers(workers)), in_use);
    }
    assert_eq!(Client::connect_unix(&path).get("/").text(), "nobody");
    end(server);
    // Nor is one that nobody accepts from, or one of another kind.
    let listener = UnixListener::bind(&path).unwrap();
    let _full: Vec<_> = {
        rustix::net::listen(&listener, 0).unwrap();
        [(); 2].map(|()| connect_at_once(&path)).into_iter().flatten().collect()
    };
    assert!(refused(&at(&path)).ends_with(": the address is in use"));
    drop(listener);
    fs::remove_file(&path).unwrap();
    let _datagrams = UnixDatagram::bind(&path).unwrap();
    assert!(refused(&at(&path)).ends_with(": the address is in use"));
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
}

/// Connects, unless it would have to wait.
fn connect_at_once(path: &Path) -> Option<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&socket2::SockAddr::unix(path).unwrap()).ok().map(|()| socket)
}

#[test]
fn what_is_no_socket_is_never_replaced() {
    let folder = Folder::new("other");
    let path = folder.socket();
    let refused = || {
        let message = refused(&at(&path));
        assert!(message.ends_with(": the file exists and is not a socket"), "{message}");
    };
    fs::write(&path, "precious").unwrap();
    refused();
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused();
    fs::remove_dir(&path).unwrap();
    // A link to a socket that was left behind.
    drop(UnixListener::bind(folder.0.join("b.sock")).unwrap());
    symlink(folder.0.join("b.sock"), &path).unwrap();
    refused();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[test]
fn a_path_that_cannot_be_used_is_an_error() {
    let folder = Folder::new("paths");
    assert!(refused(&at(&folder.0.join("none/a.sock"))).contains("No such file"));
    assert!(refused(&at(&folder.0.join("a".repeat(200)))).contains("SUN_LEN"));
    // The server that cannot start leaves nothing behind.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let both = at(&folder.socket()).bind(taken.local_addr().unwrap().to_string());
    assert!(refused(&both).ends_with("the address is in use"));
    assert!(!folder.socket().exists());
}

#[test]
fn the_file_has_the_mode_that_was_asked_for() {
    let folder = Folder::new("mode");
    for mode in [0o660, 0o600, 0o777] {
        let addr = format!("unix:{}?mode={mode:o}", folder.socket().display());
        let server = start(Server::builder().bind(addr));
        assert_eq!(fs::metadata(folder.socket()).unwrap().permissions().mode() & 0o7777, mode);
        end(server);
    }
}

#[test]
fn the_file_is_removed_if_it_is_still_the_servers() {
    let folder = Folder::new("removed");
    let path = folder.socket();
    for workers in [1, 3] {
        end(start(at(&path).workers(workers)));
        assert!(!path.exists());
        let server = start(at(&path).workers(workers));
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        end(server);
        UnixStream::connect(&path).expect("another server's file stays");
        drop(other);
    }
    // Workers that have not started, and one in a loop of its own.
    drop(at(&path).workers(2).prepare().expect("it can listen"));
    assert!(!path.exists());
    let worker = at(&path).worker(app).expect("it starts");
    assert_eq!(worker.listen_addrs(), [ListenAddr::Unix(path.clone())]);
    assert!(path.exists() && worker.local_addrs().is_empty());
    drop(worker);
    assert!(!path.exists());
}

/// One of two servers that start at the same moment gets the address, and keeps it.
#[test]
fn servers_that_start_together_do_not_take_the_socket_from_each_other() {
    let folder = Folder::new("race");
    for _ in 0..50 {
        drop(UnixListener::bind(folder.socket()).unwrap());
        let started: Vec<_> = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| at(&folder.socket()).serve(app)));
            threads.map(|thread| thread.join().expect("no panic")).into_iter().collect()
        });
        let mut servers: Vec<Server> = started.into_iter().filter_map(Result::ok).collect();
        assert_eq!(servers.len(), 1);
        assert_eq!(Client::connect_unix(folder.socket()).get("/").text(), "nobody");
        end(servers.remove(0));
    }
}

#[test]
fn a_shutdown_answers_who_has_connected() {
    let folder = Folder::new("shutdown");
    let mut worker = at(&folder.socket()).worker(app).expect("it starts");
    let mut client = Client::connect_unix(folder.socket());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    worker.handle().shutdown();
    let answer = std::thread::spawn(move || {
        let answer = client.answer();
        client.ended();
        answer
    });
    worker.run().expect("polling works");
    let answer = answer.join().expect("it is answered");
    assert_eq!((answer.text(), answer.field("connection")), ("nobody", Some("close")));
    let refused = UnixStream::connect(folder.socket()).expect_err("the file is gone");
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[test]
fn clients_are_spread_evenly_over_the_workers() {
    const WORKERS: usize = 8;
    // Both ends of 400 connections are in this process.
    if run_again("unix_sockets::clients_are_spread_evenly_over_the_workers", "-n 2048", "").is_none() {
        return;
    }
    let folder = Folder::new("even");
    let server = start(at(&folder.socket()).workers(WORKERS));
    let mut clients = Vec::new();
    for count in [WORKERS, 400] {
        while clients.len() < count {
            let mut client = Client::connect_unix(folder.socket());
            assert_eq!(client.get("/").status, 200);
            clients.push(client);
        }
        let (sender, figures) = mpsc::channel();
        server.handle().figures(move |figures| sender.send(figures).expect("the test waits"));
        let figures = figures.recv().expect("the workers answer");
        let connections: Vec<u64> = figures.iter().map(|worker| worker.counters.connections).collect();
        let (most, fewest) = (connections.iter().max().unwrap(), connections.iter().min().unwrap());
        assert_eq!(connections.iter().sum::<u64>(), count as u64);
        assert!(most - fewest <= 2 + fewest / 32, "{connections:?}");
    }
    drop(clients);
    end(server);
}

#[test]
#[cfg(target_os = "linux")]
fn an_abstract_name_has_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("fleeting-test-{}", std::process::id());
    let builder = Server::builder().bind(format!("unix:@{name}")).workers(2);
    let server = start(builder.clone());
    assert_eq!(server.listen_addrs()[0].to_string(), format!("unix:@{name}"));
    assert_eq!(refused(&builder), format!("cannot listen on unix:@{name}: the address is in use"));
    let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let connected = || UnixStream::connect_addr(&addr);
    assert_eq!(Client::of_unix(connected().expect("it listens")).get("/").text(), "nobody");
    end(server);
    assert_eq!(connected().expect_err("it has ended").kind(), ErrorKind::ConnectionRefused);
}

/// A browser opens no Unix socket, so there is a proxy in front.
#[test]
fn every_host_is_served_unless_hosts_are_named() {
    let folder = Folder::new("hosts");
    for (policy, expected) in [
        (SitePolicy::new().loopback(), [200, 200]),
        (SitePolicy::new().loopback().host("chat.example"), [200, 421]),
    ] {
        let server = at(&folder.socket()).serve(move |_| {
            App::new().get("/", |_req| Ok(Response::text("shown"))).layer(policy.clone().layer())
        });
        let server = server.expect("the server starts");
        let mut client = Client::connect_unix(folder.socket());
        let statuses = ["chat.example", "other.example"].map(|host| {
            client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.answer().status
        });
        assert_eq!(statuses, expected);
        drop(client);
        end(server);
    }
}
