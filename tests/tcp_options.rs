//! The options of `Builder::tcp` reach the sockets of a server, and what the system refuses is an error at start.

use crate::driver::{Driver, Peer};
use crate::http2_peer::websocket_head;
use fleeting::engine::{PublishError, Readiness, Settings};
use fleeting::testing::rest::run_to_rest;
use fleeting::{
    App, Error, Event, EventsOptions, Handle, KeepAlive, Message, Pushed, Request, Response, ServeError,
    Server, SlowConsumer, Socket, SocketOptions, TcpOptions, WebSocket,
};
use fleeting_testkit::client::{Client, handshake};
use fleeting_testkit::http2::client::Client as Http2Client;
use fleeting_testkit::http2::frames::setting;
use fleeting_testkit::server::{Echo, Feed, Workers, subscribe};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

fn keepalive(idle: Duration, interval: Duration, count: u32) -> TcpOptions {
    let mut options = TcpOptions::default();
    options.keepalive = Some(KeepAlive { idle, interval, count });
    options
}

/// Returns the kind of timer (proc_pid_net(5), `tr`) that runs on the connection from `local` to `peer`.
fn timer(local: SocketAddr, peer: SocketAddr) -> u8 {
    let hex = |addr: SocketAddr| {
        let SocketAddr::V4(addr) = addr else { panic!("{addr} is not IPv4") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(addr.ip().octets()), addr.port())
    };
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the system has a table of sockets");
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1] == hex(local) && row[2] == hex(peer)).expect("the connection is open");
    row[5].split(':').next().and_then(|timer| timer.parse().ok()).expect("a timer")
}

#[test]
fn the_connections_of_a_server_are_probed() {
    const PROBES: u8 = 2;
    let minute = Duration::from_secs(60);
    for (options, probed) in [(keepalive(minute, minute, 3), true), (TcpOptions::default(), false)] {
        for workers in [1, 2] {
            let server = Server::builder().bind("127.0.0.1:0").workers(workers).tcp(options.clone());
            let server =
                Workers::of(server.serve(|_| App::new().get("/", |_req| Ok(Response::text("hello")))));
            let mut client = Client::connect(server.addr);
            assert_eq!(client.get("/").text(), "hello");
            let local = client.stream().local_addr().expect("it is connected");
            // While a response is not acknowledged, another timer runs.
            while matches!(timer(server.addr, local), 1 | 4) {
                std::thread::yield_now();
            }
            assert_eq!(timer(server.addr, local) == PROBES, probed, "{workers} workers");
        }
    }
}

#[test]
fn an_option_that_the_system_refuses_is_an_error_at_start() {
    #[track_caller]
    fn check(options: TcpOptions, expected: &str) {
        for workers in [1, 2] {
            let builder = Server::builder().bind("127.0.0.1:0").workers(workers).tcp(options.clone());
            let error = builder.serve(|_| App::new()).expect_err("it is refused");
            assert!(matches!(error, ServeError::TcpOption(..)), "{error}");
            assert!(
                error.to_string().starts_with(&format!("cannot set the TCP option `{expected}`: ")),
                "{error}"
            );
        }
    }
    let second = Duration::from_secs(1);
    check(keepalive(Duration::ZERO, second, 1), "keepalive.idle = 0ns");
    check(keepalive(second * 32_768, second, 1), "keepalive.idle = 32768s");
    check(keepalive(second, Duration::MAX, 1), "keepalive.interval = 18446744073709551615.999999999s");
    check(keepalive(second, second, 128), "keepalive.count = 128");
    check(keepalive(second, second, 0), "keepalive.count = 0");
    let mut options = TcpOptions::default();
    options.send_buffer_bytes = Some(1 << 31);
    check(options.clone(), "send_buffer_bytes = 2147483648");
    options.send_buffer_bytes = None;
    options.receive_buffer_bytes = Some(usize::MAX);
    check(options.clone(), &format!("receive_buffer_bytes = {}", usize::MAX));
    options.receive_buffer_bytes = None;
    options.user_timeout = Some(Duration::MAX);
    check(options.clone(), "user_timeout = 18446744073709551615.999999999s");
    options.user_timeout = None;
    options.busy_poll = Some(Duration::MAX);
    check(options, "busy_poll = 18446744073709551615.999999999s");
}

/// Finding B4.
#[test]
fn a_stream_of_events_is_given_a_bound_on_what_is_unsent() {
    let settings = Settings { pushed_unsent_bytes: Some(16 << 10), ..Settings::default() };
    let app = App::new().get("/", |_req| Ok(Response::text("hello")));
    let app = app.get("/events", |_req| {
        let (response, mut events) = Response::events(1000);
        assert!(matches!(events.try_send(&Event::data("one")), Ok(Pushed::Sent)));
        Ok(response)
    });
    let mut driver = Driver::new(app, settings);
    let Peer { id: client, pipe } = driver.connect();
    let limit = |driver: &mut Driver, target: &str| {
        pipe.borrow_mut().deliver(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        driver.engine.begin(driver.now);
        driver.engine.ready(client, Readiness { readable: true, ..Readiness::default() });
        run_to_rest(&mut driver.engine, driver.now);
        pipe.borrow().unsent_limit
    };
    assert_eq!(limit(&mut driver, "/"), None);
    // It has ended, and ordinary responses may follow.
    assert_eq!(limit(&mut driver, "/events"), Some(0));
    assert_eq!(limit(&mut driver, "/"), Some(0));
}

/// Findings B2 and B4. Of what waits for a client that does not conflate, nothing can be replaced, and what the system does
/// not take has no room but the outbox: a client that reads would lose publications.
#[test]
fn only_a_subscriber_that_conflates_is_given_a_bound_on_what_is_unsent() {
    for slow in SlowConsumer::ALL {
        let settings = Settings { pushed_unsent_bytes: Some(16 << 10), ..Settings::default() };
        let handle = Handle::unattended(1);
        let (events, options) = (handle.clone(), EventsOptions::new().slow_consumer(slow));
        let app = App::new()
            .ws_with("/feed", SocketOptions::new().slow_consumer(slow), Feed)
            .get("/events", move |_req| Ok(events.events_with("*", options)?));
        let mut driver = Driver::with_handle(app.ws("/ws", Echo), settings, &handle);
        let expected = (slow == SlowConsumer::Conflate).then_some(16 << 10);
        assert_eq!(driver.websocket("/feed").unsent_limit(), expected, "{slow}");
        assert_eq!(driver.get("/events", "HTTP/1.1").0.unsent_limit(), expected, "{slow}");
        assert_eq!(driver.websocket("/ws").unsent_limit(), None);
    }
}

/// The connection goes on with ordinary responses.
#[test]
fn a_handshake_that_is_refused_leaves_no_bound_on_what_is_unsent() {
    let settings = Settings { pushed_unsent_bytes: Some(16 << 10), ..Settings::default() };
    let conflating = || SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    let feed = || App::new().ws_with("/ws", conflating(), Feed);
    let layered = feed().layer(|req, next| {
        let opened = next.call(req)?;
        if req.query().is_none() { Ok(opened) } else { Err(Error::forbidden("not you")) }
    });
    let app = App::new().ws_with("/fails", conflating(), FailsSubscribed).nest("/layered", layered);
    let mut driver = Driver::new(app, settings);
    assert_eq!(driver.websocket("/layered/ws").unsent_limit(), Some(16 << 10));
    for path in ["/fails", "/layered/ws?refused"] {
        let peer = driver.raw(handshake(path, "").as_bytes());
        assert!(peer.written().starts_with(b"HTTP/1.1 403 ") && !peer.is_shut(), "{path}");
        assert_eq!(peer.unsent_limit(), Some(0), "{path}");
    }
}

/// Its session subscribes, and then fails.
struct FailsSubscribed;

impl WebSocket for FailsSubscribed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, "a")?;
        Err(Error::forbidden("not you"))
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {
        unreachable!("it does not open");
    }
}

/// Finding B4: a client that pauses and conflates finds its own system's buffer, at most 64 KiB more, and then the newest
/// message.
#[test]
#[cfg(target_os = "linux")]
fn a_conflating_client_that_reads_again_soon_has_the_newest_message() {
    let options = SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    let server = Server::builder().bind("127.0.0.1:0");
    let server = Workers::of(server.serve(move |_| App::new().ws_with("/feed", options.clone(), Feed)));
    let mut client = Client::websocket(server.addr, "/feed");
    let conflated = publish_all(&server);
    let received = rustix::io::ioctl_fionread(client.stream()).expect("a socket has a queue") as usize;
    let mut stale = 0;
    loop {
        let frame = client.next_frame();
        if frame.text() == numbered(MESSAGES - 1) {
            break;
        }
        stale += 4 + frame.payload.len();
    }
    // The message that had begun to leave is completed.
    assert!(stale <= received + (64 << 10) + 1000, "{stale} stale bytes, of which the client had {received}");
    assert!(conflated > 0);
}

/// The same over HTTP/2, where the server holds at most 64 KiB of frames besides.
#[test]
#[cfg(target_os = "linux")]
fn a_conflating_stream_that_is_read_again_soon_has_the_newest_message() {
    let options = SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    let server = Server::builder().bind("127.0.0.1:0");
    let server = Workers::of(server.serve(move |_| App::new().ws_with("/feed", options.clone(), Feed)));
    const WINDOW: u32 = 1 << 30;
    let mut client = Http2Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
    client.grant(0, WINDOW);
    client.wait_for_settings();
    let stream = client.start(&websocket_head("/feed"), false);
    assert_eq!(client.response_head(stream).0, 200);
    let conflated = publish_all(&server);
    let received = rustix::io::ioctl_fionread(client.stream()).expect("a socket has a queue") as usize;
    let newest = numbered(MESSAGES - 1).into_bytes();
    let (mut stale, mut last) = (0, Vec::new());
    while !last.ends_with(&newest) {
        let content = client.content(stream, 1);
        stale += content.len();
        last.extend_from_slice(&content);
        last.drain(..last.len().saturating_sub(newest.len()));
    }
    assert!(stale <= received + (128 << 10) + 2000, "{stale} bytes, of which the client had {received}");
    assert!(conflated > 0);
}

const MESSAGES: usize = 6000;

fn numbered(number: usize) -> String {
    format!("{number:<900}")
}

/// Publishes all messages, and waits until the worker has taken them. Returns how many were replaced.
fn publish_all(server: &Workers) -> u64 {
    for number in 0..MESSAGES {
        while server.handle.publish("feed", Message::Text(&numbered(number))) == Err(PublishError::Full) {
            std::thread::yield_now();
        }
    }
    let (sender, figures) = mpsc::channel();
    server.handle.figures(move |workers| sender.send(workers).expect("the test waits"));
    let counters = figures.recv().expect("the worker answers").remove(0).counters;
    assert_eq!(counters.published, MESSAGES as u64);
    counters.conflated
}

/// Linux queues one connection more than the backlog.
#[test]
fn a_full_backlog_turns_connections_away() {
    let mut options = TcpOptions::default();
    options.backlog = 1;
    let builder = Server::builder().bind("127.0.0.1:0");
    // Neither worker ever gets a turn, so none accepts.
    let (full, roomy) = (
        builder.clone().tcp(options).worker(|_| App::new()).expect("it starts"),
        builder.worker(|_| App::new()).expect("it starts"),
    );
    // No answer comes, however long it is waited for.
    let is_turned_away = |addr| TcpStream::connect_timeout(&addr, Duration::from_millis(50)).is_err();
    for (worker, turns_away) in [(full, true), (roomy, false)] {
        let addr = worker.local_addrs()[0];
        let _clients = [(); 2].map(|()| TcpStream::connect(addr).expect("it is queued"));
        match turns_away {
            true => assert!(is_turned_away(addr)),
            false => drop(TcpStream::connect(addr).expect("it is queued")),
        }
    }
}
