//! A response may come later and from any thread; order, framing and limits are those of any other response.

use fleeting::{App, Body, Error, Gone, Responder, Response, Server, Timeouts};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{self, TestServer};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

/// `/later` hands its responder to the test.
fn app(later: Sender<Responder>) -> App {
    let defer = move || {
        let (response, responder) = Response::defer();
        later.send(responder).expect("the test waits");
        response
    };
    let and_panic = defer.clone();
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/later", move |_req| Ok(defer()))
        .get("/now", |_req| {
            let (response, responder) = Response::defer();
            responder.send(Response::text("now")).expect("the client waits");
            Ok(response)
        })
        .get("/never", |_req| Ok(Response::defer().0))
        .get("/twice", |_req| {
            let (response, responder) = Response::defer();
            let (inner, innermost) = Response::defer();
            thread::spawn(move || {
                responder.send(inner).expect("the client waits");
                innermost.send(Response::text("twice")).expect("the client waits");
            });
            Ok(response)
        })
        .get("/replaced", |_req| {
            let (response, responder) = Response::defer();
            let response = response.body("something else");
            assert!(responder.is_gone());
            assert_eq!(responder.send(Response::text("late")), Err(Gone));
            Ok(response)
        })
        .get("/panic", move |_req| {
            let _response = and_panic();
            panic!("planted")
        })
        .layer(|req, handler| handler.call(req)?.header("x-wrapped", "yes"))
}

fn serve_with(set: impl FnOnce(&mut Timeouts)) -> (TestServer, Receiver<Responder>) {
    let (later, responders) = channel();
    (server::run_with(|_, timeouts| set(timeouts), move |_| app(later)), responders)
}

fn serve() -> (TestServer, Receiver<Responder>) {
    serve_with(|_| {})
}

/// Clients may end their side and wait.
fn serve_half_closed() -> (TestServer, Receiver<Responder>) {
    let (later, responders) = channel();
    (server::run_from(Server::builder().half_close(true), move |_| app(later)), responders)
}

fn ask(client: &mut Client, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

#[test]
fn another_thread_may_answer() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    for number in 0..3 {
        ask(&mut client, "/later");
        let responder = responders.recv().expect("the handler was called");
        let answer = Response::text(number.to_string()).header("x-own", "too").expect("a field");
        thread::spawn(move || responder.send(answer))
            .join()
            .expect("the thread does not panic")
            .expect("the client waits");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, &*number.to_string()));
        // The wrapping handler has set its field on the deferred response, so that field comes first.
        let (wrapped, own) = (answer.head.find("x-wrapped: yes\r\n"), answer.head.find("x-own: too\r\n"));
        assert!(wrapped.is_some() && wrapped < own, "{}", answer.head);
    }
    assert_eq!(client.get("/now").text(), "now");
    assert_eq!(client.get("/twice").text(), "twice");
    assert_eq!(client.get("/replaced").text(), "something else");
    assert_eq!(server.wait(|counters| counters.requests == 6).connections, 1);
}

#[test]
fn dropping_the_responder_answers_500() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/never").status, 500);
    ask(&mut client, "/later");
    drop(responders.recv().expect("the handler was called"));
    assert_eq!(client.answer().status, 500);
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_panic_after_deferring_answers_500_and_the_responder_is_gone() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/panic").status, 500);
    assert!(responders.recv().expect("the handler was called").is_gone());
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn requests_pipelined_behind_a_deferred_one_wait() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    let paths = ["/", "/later", "/", "/now", "/later", "/", "/never", "/"];
    client.send(paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat());
    assert_eq!(client.answer().text(), "hello");
    let first = responders.recv().expect("the handler was called");
    assert_eq!(server.wait(|counters| counters.requests == 2).requests, 2);
    assert!(responders.try_recv().is_err(), "a handler was called before the deferred response");
    first.send(Response::text("first")).expect("the client waits");
    for expected in ["first", "hello", "now"] {
        assert_eq!(client.answer().text(), expected);
    }
    let second = responders.recv().expect("the handler was called");
    second.send(Response::bytes(vec![b'x'; 1 << 20])).expect("the client waits");
    assert_eq!(client.answer().body.len(), 1 << 20);
    assert_eq!(client.answer().text(), "hello");
    assert_eq!((client.answer().status, client.answer().text()), (500, "hello"));
}

#[test]
fn head_and_http_10_requests_can_be_deferred() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    client.send("HEAD /later HTTP/1.1\r\nHost: test\r\n\r\n");
    let responder = responders.recv().expect("the handler was called");
    responder.send(Response::text("hello")).expect("the client waits");
    assert_eq!(client.answer_to_head().field("content-length"), Some("5"));
    assert_eq!(client.get("/").text(), "hello");
    client.send("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let responder = responders.recv().expect("the handler was called");
    responder.send(Response::text("old")).expect("the client waits");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("old", Some("keep-alive")));
    client.send("GET /later HTTP/1.0\r\n\r\n");
    let responder = responders.recv().expect("the handler was called");
    responder.send(Error::not_found("nothing")).expect("the client waits");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (404, Some("close")));
    client.ended();
}

#[test]
fn a_close_requested_by_either_side_closes() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    let responder = responders.recv().expect("the handler was called");
    responder.send(Response::text("last").close()).expect("the client waits");
    assert_eq!(client.answer().field("connection"), Some("close"));
    client.ended();
}

#[test]
fn a_client_that_ends_its_side_gets_its_response_if_half_close_is_honoured() {
    let (server, responders) = serve_half_closed();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    client.end();
    let responder = responders.recv().expect("the handler was called");
    // The engine has read the end by now: other connections have had turns since.
    Client::connect(server.addr).get("/");
    assert!(!responder.is_gone());
    responder.send(Response::bytes(Body::Owned(vec![b'x'; 1 << 20]))).expect("the client waits");
    assert_eq!(client.answer().body.len(), 1 << 20);
    client.ended();
    server.wait(|counters| counters.connections == 0);
}

/// Finding A11.
#[test]
fn a_client_that_ends_its_side_is_gone() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    let responder = responders.recv().expect("the handler was called");
    assert!(!responder.is_gone());
    client.end();
    server.wait(|counters| counters.connections == 0);
    assert!(responder.is_gone());
    assert_eq!(responder.send(Response::text("late")), Err(Gone));
    client.ended();
}

/// Finding B7, for answers.
#[test]
fn an_end_that_arrives_with_the_request_is_seen() {
    for (half_close, path, waits) in
        [(false, "/later", false), (true, "/later", true), (false, "/now", false), (false, "/", false)]
    {
        let (later, responders) = channel();
        let builder = Server::builder().bind("127.0.0.1:0").half_close(half_close);
        let mut worker = builder.worker(move |_| app(later)).expect("the server starts");
        let mut client = Client::connect(worker.local_addrs()[0]);
        // Both are there before the worker has its first turn.
        ask(&mut client, path);
        client.end();
        while worker.counters().requests == 0 {
            worker.turn(None).expect("polling works");
        }
        if let Ok(responder) = responders.try_recv() {
            assert_eq!(responder.is_gone(), !waits);
            assert_eq!(responder.send(Response::text("later")).is_ok(), waits);
        }
        while worker.counters().connections > 0 {
            worker.turn(None).expect("polling works");
        }
        // What is ready at once is sent all the same.
        if waits || path != "/later" {
            assert_eq!(client.answer().status, 200, "{path}");
        }
        client.ended();
    }
}

#[test]
fn what_is_queued_for_a_client_that_is_gone_still_leaves() {
    let (later, responders) = channel();
    let server = server::run(move |_| {
        app(later).get("/large", |_req| Ok(Response::bytes(Body::Owned(vec![b'x'; 8 << 20]))))
    });
    let mut client = Client::connect_with_small_buffer(server.addr);
    client
        .send(["/large", "/later"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat());
    client.end();
    assert_eq!(client.answer().body.len(), 8 << 20);
    client.ended();
    server.wait(|counters| counters.connections == 0);
    assert!(responders.recv().expect("the handler was called").is_gone());
}

#[test]
fn answering_a_client_that_is_gone_fails() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    let responder = responders.recv().expect("the handler was called");
    client.reset();
    server.wait(|counters| counters.connections == 0);
    assert!(responder.is_gone());
    assert_eq!(responder.send(Response::text("late")), Err(Gone));
    assert_eq!(Client::connect(server.addr).get("/").text(), "hello");
}

/// One poll may report the request and the client's end together.
#[test]
fn answering_a_client_that_left_before_its_request_was_read_fails() {
    let (later, responders) = channel();
    let mut timeouts = Timeouts::default();
    timeouts.answer = SHORT;
    let builder = Server::builder().bind("127.0.0.1:0").timeouts(timeouts);
    let mut worker = builder.worker(move |_| app(later)).expect("the server starts");
    let mut client = Client::connect(worker.local_addrs()[0]);
    ask(&mut client, "/later");
    client.reset();
    while worker.counters().accepted == 0 || worker.counters().connections > 0 {
        worker.turn(None).expect("polling works");
    }
    assert_eq!((worker.counters().requests, worker.counters().timeouts), (1, 0));
    assert!(responders.recv().expect("the handler was called").is_gone());
}

#[test]
fn a_response_that_takes_too_long_is_504() {
    let (server, responders) = serve_with(|timeouts| timeouts.answer = SHORT);
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    ask(&mut client, "/");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (504, None));
    let responder = responders.recv().expect("the handler was called");
    assert_eq!(responder.send(Response::text("late")), Err(Gone));
    // The late response does not get in the way of what follows.
    assert_eq!((client.answer().text(), client.get("/").text()), ("hello", "hello"));
    assert_eq!(server.wait(|counters| counters.requests == 3).timeouts, 1);
}

#[test]
fn a_shutdown_waits_for_a_deferred_response() {
    let (server, responders) = serve();
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    let responder = responders.recv().expect("the handler was called");
    let mut idle = Client::connect(server.addr);
    idle.get("/");
    server.handle.shutdown();
    idle.ended();
    responder.send(Response::text("the last")).expect("the client waits");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("the last", Some("close")));
    client.ended();
    drop((client, idle));
    assert_eq!(server.finish().timeouts, 0);
}

#[test]
fn a_shutdown_waits_no_longer_than_the_grace_period() {
    let (server, responders) = serve_with(|timeouts| timeouts.grace = SHORT);
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    let responder = responders.recv().expect("the handler was called");
    server.handle.shutdown();
    client.cut_off();
    server.wait_for_end();
    assert!(responder.is_gone());
}

#[test]
fn answering_after_the_server_is_dropped_fails() {
    let (server, responders) = serve_with(|timeouts| timeouts.grace = SHORT);
    let mut client = Client::connect(server.addr);
    ask(&mut client, "/later");
    let responder = responders.recv().expect("the handler was called");
    drop(server);
    assert_eq!(responder.send(Response::text("late")), Err(Gone));
}
