//! The options of `Builder::tcp` reach the sockets of a server, and what the system refuses is an error at start.

use fleeting::{App, KeepAlive, Response, ServeError, Server, TcpOptions};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::Workers;
use std::net::{SocketAddr, TcpStream};
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
        let addr = worker.local_addrs().expect("it listens")[0];
        let _clients = [(); 2].map(|()| TcpStream::connect(addr).expect("it is queued"));
        match turns_away {
            true => assert!(is_turned_away(addr)),
            false => drop(TcpStream::connect(addr).expect("it is queued")),
        }
    }
}
