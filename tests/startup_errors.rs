//! A server that cannot work does not start, and its error says what is wrong.

use fleeting::{App, Limits, Response, ServeError, Server, Timeouts, WorkerContext};
use fleeting_testkit::client::{CLOSE, Client, TEXT, frame};
use fleeting_testkit::server::{self, Echo};
use std::net::TcpListener;
use std::time::Duration;

/// Returns the error of a server that does not start.
#[track_caller]
fn refused(addr: &str, workers: usize, make: impl Fn() -> App + Send + Sync + 'static) -> ServeError {
    Server::builder().bind(addr).workers(workers).serve(move |_| make()).expect_err("it cannot start")
}

#[test]
fn a_port_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = taken.local_addr().expect("it is bound").to_string();
    for workers in [1, 2] {
        let error = refused(&addr, workers, App::new);
        assert!(matches!(error, ServeError::Bind(..)));
        assert_eq!(error.to_string(), format!("cannot listen on {addr}: the address is in use"));
    }
    let error = Server::builder().bind(&addr).worker(|_| App::new()).expect_err("it is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {addr}: the address is in use"));
}

#[test]
fn a_port_is_free_again_after_its_server_has_ended() {
    let server =
        Server::builder().bind("127.0.0.1:0").workers(2).serve(|_| App::new()).expect("the server starts");
    let addr = server.local_addrs()[0].to_string();
    assert!(matches!(refused(&addr, 2, App::new), ServeError::Bind(..)));
    server.handle().shutdown();
    server.run().expect("it has ended");
    let again = Server::builder().bind(&addr).serve(|_| App::new()).expect("the port is free");
    assert_eq!(again.local_addrs()[0].to_string(), addr);
    again.handle().shutdown();
    again.run().expect("it has ended");
}

#[test]
fn an_invalid_address_is_an_error() {
    for addr in ["", "localhost", "127.0.0.1", "127.0.0.1:65536", "nowhere.invalid:0"] {
        let error = refused(addr, 1, App::new);
        let begin =
            if addr.contains("invalid") { "cannot listen on nowhere.invalid:0: " } else { "bad address `" };
        assert!(error.to_string().starts_with(begin) && error.to_string().contains(addr), "{error}");
    }
    let error = Server::builder().serve(|_| App::new()).expect_err("there is no address");
    assert_eq!(error.to_string(), "no address to listen on");
}

/// Finding A17.
#[test]
fn a_limit_or_a_timeout_that_is_too_large_is_an_error() {
    #[track_caller]
    fn check(set: impl Fn(&mut Limits, &mut Timeouts), expected: &str) {
        let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
        set(&mut limits, &mut timeouts);
        let builder = || {
            Server::builder().bind("127.0.0.1:0").workers(2).limits(limits.clone()).timeouts(timeouts.clone())
        };
        let errors = [
            builder().serve(|_| App::new()).expect_err("it is refused"),
            builder().worker(|_| App::new()).expect_err("it is refused"),
        ];
        for error in errors {
            assert!(matches!(error, ServeError::Config(_)));
            assert_eq!(error.to_string(), expected);
        }
    }
    check(|limits, _| limits.arena_bytes = 64 << 30, "`arena_bytes` is 64GiB; at most 1GiB is allowed");
    check(
        |limits, _| limits.connections = usize::MAX,
        &format!("`connections` is {}; at most 4294967295 is allowed", usize::MAX),
    );
    check(
        |_, timeouts| timeouts.grace = Duration::MAX,
        "`grace` is 18446744073709551615.999999999s; at most 31622400s is allowed",
    );
}

/// Finding A17.
#[test]
fn a_server_works_with_the_largest_limits_and_timeouts() {
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    for limit in Limits::describe() {
        limits.set(limit.name, &limit.max).expect("it is allowed");
    }
    for timeout in Timeouts::describe() {
        timeouts.set(timeout.name, &timeout.max).expect("it is allowed");
    }
    // Memory that is reserved, and may not be there.
    limits.arena_bytes = Limits::default().arena_bytes;
    let builder = Server::builder().bind("127.0.0.1:0").limits(limits).timeouts(timeouts);
    let server = server::run_from(builder, |_| {
        App::new().post("/", |req| Ok(Response::bytes(req.body()))).ws("/echo", Echo)
    });
    for body in
        ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        let mut client = Client::connect(server.addr);
        for part in [&body[..body.len() - 3], &body[body.len() - 3..]] {
            let head = if part.len() > 3 { "POST / HTTP/1.1\r\nHost: test\r\n" } else { "" };
            client.send(format!("{head}{part}"));
        }
        assert_eq!(client.answer().text(), "hello");
    }
    let mut client = Client::websocket(server.addr, "/echo");
    client.send(frame(false, TEXT, b"hel"));
    client.send(frame(true, 0, b"lo"));
    assert_eq!(client.next_frame().text(), "hello");
    server.handle.shutdown();
    assert_eq!(client.next_frame().close_code(), 1001);
    client.frame(CLOSE, 1001u16.to_be_bytes());
    client.ended();
    // The server lingers for as long as the client stays, up to a year.
    drop(client);
    server.wait_for_end();
}

#[test]
fn a_server_listens_on_several_addresses() {
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .bind("localhost:0")
        .workers(2)
        .serve(|_| App::new().get("/", |_req| Ok(Response::text("hello"))));
    let server = server.expect("the server starts");
    assert_eq!(server.local_addrs().len(), 2);
    for addr in server.local_addrs() {
        assert_eq!(Client::connect(addr).get("/").text(), "hello");
    }
    server.handle().shutdown();
    server.run().expect("it has ended");
}

#[test]
fn an_application_that_panics_is_an_error() {
    for broken in 0..2 {
        let make = move |context: &WorkerContext| {
            assert_ne!(context.index, broken, "planted");
            App::new()
        };
        let error = Server::builder().bind("127.0.0.1:0").workers(2).serve(make).expect_err("it panics");
        assert_eq!(error.to_string(), "a worker has panicked");
    }
}

#[test]
fn conflicting_routes_are_an_error() {
    fn check(make: fn() -> App, part: &str) {
        assert!(make().check().is_err());
        for workers in [1, 2] {
            let error = refused("127.0.0.1:0", workers, make);
            assert!(matches!(error, ServeError::Route(_)));
            assert!(error.to_string().contains(part), "{error} does not contain {part}");
        }
    }
    fn ok(_req: &fleeting::Request<'_>) -> Result<Response<'static>, fleeting::Error> {
        Ok(Response::new(204))
    }
    check(|| App::new().get("/a", |_req| ok(_req)).get("/a", |_req| ok(_req)), "GET");
    check(|| App::new().get("/{a}", |_req| ok(_req)).get("/{a}", |_req| ok(_req)), "GET");
    check(|| App::new().get("/{a}", |_req| ok(_req)).post("/{b}", |_req| ok(_req)), "/{b}");
    check(|| App::new().get("/{a", |_req| ok(_req)), "/{a");
    check(|| App::new().get("a", |_req| ok(_req)), "does not begin with /");
    check(|| App::new().get("/ws", |_req| ok(_req)).ws("/ws", Echo), "GET");
    check(|| App::new().ws("/ws", Echo).get("/ws", |_req| ok(_req)), "GET");
    check(|| App::new().ws("/ws", Echo).ws("/ws", Echo), "GET");
    let both =
        App::new().get("/{a}", |_req| ok(_req)).post("/{a}", |_req| ok(_req)).get("/a", |_req| ok(_req));
    assert_eq!(both.check(), Ok(()));
}
