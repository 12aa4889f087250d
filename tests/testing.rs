//! `fleeting::testing` answers as the server does, waits for other threads only when it must, and says what was missing.

use fleeting::http1::Fields;
use fleeting::testing::{self, NoAnswer, Received, TestServer};
use fleeting::ws::CloseCode;
use fleeting::{
    App, Body, ConnId, Cookie, Error, Event, Flow, Message, Request, Responder, Response, Resume,
    SlowConsumer, Socket, SocketOptions, Timeouts, Upload, WebSocket,
};
use fleeting_testkit::limits;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Returns the message of the panic that `call` ends with.
fn panic_of<T>(call: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err("the call panics");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().expect("a message").to_string(),
    }
}

#[track_caller]
fn assert_contains(message: &str, part: &str) {
    assert!(message.contains(part), "{part:?} is not in: {message}");
}

fn echo() -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/none", |_req| Ok(Response::new(204)))
        .get("/large", |_req| Ok(Response::bytes(Body::Static(&[b'x'; 300_000]))))
        .get("/last", |_req| Ok(Response::text("last").close()))
        .get("/cookies", |req| {
            let text = format!("{:?}", req.cookies().collect::<Vec<_>>());
            Response::text(text).cookie(&Cookie::new("a", "1"))?.cookie(&Cookie::new("b", "2"))
        })
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .put("/fields", |req| {
            let lines =
                req.fields().into_iter().map(|(name, value)| format!("{name}: {}\n", value.escape_ascii()));
            Ok(Response::text(lines.collect::<String>()))
        })
        .get("/peer", |req| Ok(Response::text(format!("{:?}", req.peer_addr()))))
}

#[test]
fn every_method_reaches_its_route() {
    fn method<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
        Response::new(200).header("x-method", req.method().as_str())
    }
    let app = App::new().get("/", method).post("/", method).put("/", method).patch("/", method);
    let app = testing::serve(app.delete("/", method).route("REPORT", "/", method));
    let answers = [app.get("/"), app.post("/"), app.put("/"), app.patch("/"), app.delete("/"), app.head("/")];
    let seen = answers.map(|request| request.send().header("x-method").map(String::from));
    let expected = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"].map(|method| Some(method.to_string()));
    assert_eq!(seen, expected);
    assert_eq!(app.request("REPORT", "/").send().header("x-method"), Some("REPORT"));
    let options = app.options("/").send();
    assert_eq!(options.status(), 204);
    assert_contains(options.header("allow").expect("the methods"), "REPORT");
}

#[test]
fn fields_content_and_cookies_arrive_as_they_were_written() {
    let app = testing::serve(echo());
    let lines = app.put("/fields").header("x-a", "1").header("X-A", "2").body("").send();
    assert_eq!(lines.text(), "Host: localhost\nx-a: 1\nX-A: 2\nContent-Length: 0\n");
    let own = app.put("/fields").header("host", "a.example").header("content-length", "2").body("hi").send();
    assert_eq!(own.text(), "host: a.example\ncontent-length: 2\n");
    let answer = app.get("/cookies").header("cookie", "x=1; y=2").send();
    assert_eq!(answer.text(), r#"[("x", "1"), ("y", "2")]"#);
    assert_eq!(answer.headers("set-cookie").count(), 2);
    assert_eq!(app.post("/echo").body([0, 159, 255]).send().body(), [0, 159, 255]);
    assert_eq!(app.post("/echo").chunks(["he", "", "llo"]).send().text(), "hello");
    let large = "x".repeat(500_000);
    assert_eq!(app.post("/echo").body(&large).send().text(), large);
    let peer = "[2001:db8::1]:80".parse().expect("an address");
    assert_eq!(app.get("/peer").send().text(), "Some(127.0.0.1:49152)");
    assert_eq!(app.connect_from(peer).get("/peer").send().text(), "Some([2001:db8::1]:80)");
}

#[test]
fn answers_without_content_are_whole_with_their_head() {
    let app = testing::serve(echo());
    let connection = app.connect();
    let head = connection.head("/large").send();
    assert_eq!((head.status(), head.header("content-length"), head.body().len()), (200, Some("300000"), 0));
    assert_eq!(connection.get("/none").send().status(), 204);
    let answer = connection.post("/echo").header("expect", "100-continue").body("hi").send();
    assert_eq!((answer.text(), answer.interim().collect::<Vec<_>>()), ("hi", vec![100]));
    assert_eq!(connection.get("/large").send().body().len(), 300_000);
    assert_eq!(app.counters().accepted, 1);
    connection.raw("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((connection.answer_to_head().body(), connection.answer().text()), (&b""[..], "hello"));
}

#[test]
fn pipelined_answers_are_taken_in_any_order() {
    let app = testing::serve(echo());
    let connection = app.connect();
    let all = ["/", "/none", "/cookies"].map(|target| connection.get(target).begin());
    let [first, second, third] = all;
    assert_eq!(
        (third.answer().status(), first.answer().text(), second.answer().status()),
        (200, "hello", 204)
    );
}

#[test]
fn a_connection_that_the_server_closes_is_seen_closed() {
    let app = testing::serve(echo());
    let connection = app.connect();
    assert_eq!(connection.get("/last").send().header("connection"), Some("close"));
    assert!(connection.is_closed());
    assert_eq!(app.counters().connections, 0);
    assert_eq!(connection.get("/").begin().try_answer(), Err(NoAnswer::Closed));
    assert_contains(
        &panic_of(|| connection.get("/").send()),
        "GET /: no answer: the server has closed the connection",
    );
    let refused = app.raw("what is this\r\n\r\n");
    assert_eq!(refused.answer().status(), 400);
    assert!(refused.is_closed() && refused.received().is_empty());
}

#[test]
fn a_response_of_unknown_length_to_an_old_client_ends_with_the_connection() {
    let app = testing::serve(App::new().get("/", |_req| {
        let (response, mut body) = Response::channel(100);
        assert_eq!(body.try_send(b"to the end"), fleeting::Pushed::Sent);
        body.finish();
        Ok(response)
    }));
    let connection = app.raw("GET / HTTP/1.0\r\n\r\n");
    let answer = connection.answer();
    assert_eq!((answer.header("transfer-encoding"), answer.text()), (None, "to the end"));
    assert_eq!(app.get("/").send().header("transfer-encoding"), Some("chunked"));
}

#[test]
fn bytes_come_in_as_many_pieces_as_the_test_likes() {
    let app = testing::serve(echo());
    let connection = app.connect();
    for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" {
        assert!(connection.answer_so_far().is_none());
        connection.raw([*byte]);
    }
    assert_eq!(connection.answer().text(), "hi");
    connection.raw("GET / HT").end();
    assert!(connection.is_closed());
}

#[test]
fn a_client_that_reads_slowly_gets_the_rest_later() {
    let app = testing::serve(echo());
    let connection = app.connect();
    connection.read_only(1000);
    let pending = connection.get("/large").begin();
    let some = pending.so_far().expect("the head").body().len();
    assert!((1..1000).contains(&some), "{some}");
    app.advance(Duration::from_secs(20));
    connection.read_only(usize::MAX);
    assert_eq!(pending.answer().body().len(), 300_000);
    connection.read_only(0);
    let pending = connection.get("/large").begin();
    app.advance(Duration::from_secs(31)); // `write_stall`
    assert_eq!(pending.try_answer(), Err(NoAnswer::Closed));
}

#[test]
fn limits_and_timeouts_are_those_of_the_builder() {
    let mut timeouts = Timeouts::default();
    timeouts.head = Duration::from_secs(2);
    let builder = testing::builder().limits(limits! { body_bytes: 3, connections: 2 }).timeouts(timeouts);
    let app = builder.serve(echo());
    assert_eq!(app.post("/echo").body("four").send().status(), 413);
    let slow = app.raw("GET / HTTP/1.1\r\n");
    app.advance(Duration::from_secs(1));
    assert!(slow.answer_so_far().is_none());
    app.advance(Duration::from_secs(2));
    assert_eq!(slow.answer().status(), 408);
    // The third connection waits until there is room.
    let (first, second, third) = (app.connect(), app.connect(), app.connect());
    let pending = third.get("/").begin();
    assert_eq!((app.counters().connections, pending.try_answer()), (2, Err(NoAnswer::Pending)));
    drop(first);
    assert_eq!(pending.answer().text(), "hello");
    let message = panic_of(|| app.connect().get("/").send());
    assert_contains(&message, "has not accepted the connection");
    drop(second);
}

#[test]
fn a_panic_of_a_handler_is_a_500() {
    let app = testing::serve(App::new().get("/", |_req| std::panic::resume_unwind(Box::new("planned"))));
    let connection = app.connect();
    assert_eq!(connection.get("/").send().status(), 500);
    assert_eq!(connection.get("/").send().status(), 500);
    assert_eq!(app.counters().panics, 2);
}

#[test]
fn a_wrong_route_is_a_panic_with_its_reason() {
    let message = panic_of(|| testing::serve(App::new().get("no-slash", |_req| Ok(Response::new(204)))));
    assert_contains(&message, "no-slash");
}

/// Returns an application that defers every answer, and the responders that it has made.
fn deferring() -> (App, Arc<Mutex<Vec<Responder>>>) {
    let responders = Arc::new(Mutex::new(Vec::new()));
    let kept = responders.clone();
    let app = App::new().get("/later", move |_req| {
        let (response, responder) = Response::defer();
        kept.lock().unwrap().push(responder);
        Ok(response)
    });
    (app, responders)
}

#[test]
fn a_deferred_answer_is_waited_for_wherever_it_comes_from() {
    let (app, responders) = deferring();
    let app = testing::serve(app);
    let pending = app.get("/later").begin();
    assert_eq!(pending.try_answer(), Err(NoAnswer::Pending));
    let responder = responders.lock().unwrap().pop().expect("the handler has run");
    let (go, gone) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        gone.recv().expect("the test goes on");
        responder.send(Response::text("from a thread"))
    });
    go.send(()).expect("the thread waits");
    assert_eq!(pending.answer().text(), "from a thread");
    assert_eq!(thread.join().expect("no panic"), Ok(()));
    // On this thread, before the wait.
    let pending = app.get("/later").begin();
    responders
        .lock()
        .unwrap()
        .pop()
        .expect("a responder")
        .send(Error::not_found("no"))
        .expect("the client waits");
    assert_eq!(pending.answer().status(), 404);
    // A thread that gives up is answered for.
    let pending = app.get("/later").begin();
    drop(responders.lock().unwrap().pop());
    assert_eq!(pending.answer().status(), 500);
    // A client that leaves is noticed.
    let pending = app.get("/later").begin();
    drop(pending);
    assert!(responders.lock().unwrap().pop().expect("a responder").is_gone());
    let pending = app.get("/later").begin();
    app.advance(Duration::from_secs(61));
    assert_eq!(pending.answer().status(), 504);
}

#[test]
fn a_client_that_ends_its_side_waits_only_if_the_server_lets_it() {
    for honoured in [false, true] {
        let (app, responders) = deferring();
        let app = testing::builder().half_close(honoured).serve(app);
        let connection = app.connect();
        let pending = connection.get("/later").begin();
        connection.end();
        let sent = responders.lock().unwrap().pop().expect("a responder").send(Response::text("late"));
        assert_eq!(sent.is_ok(), honoured);
        assert_eq!(app.counters().connections, 0);
        assert_eq!(
            pending.try_answer().map(|answer| answer.text().to_string()),
            match honoured {
                true => Ok("late".into()),
                false => Err(NoAnswer::Closed),
            }
        );
    }
}

/// Many threads answer many requests in any order; each request gets its own answer.
#[test]
fn answers_of_many_threads_find_their_requests() {
    let app = testing::serve(App::new().get("/{number}", |req| {
        let (response, responder) = Response::defer();
        let number = req.param("number").to_string();
        thread::spawn(move || responder.send(Response::text(number)));
        Ok(response)
    }));
    let pending: Vec<_> = (0..50).map(|number| app.get(&format!("/{number}")).begin()).collect();
    for (number, pending) in pending.into_iter().enumerate().rev() {
        assert_eq!(pending.answer().text(), number.to_string());
    }
}

#[test]
fn waiting_in_vain_fails_with_the_reason() {
    let (app, _responders) = deferring();
    let app = testing::builder().patience(Duration::from_millis(1)).serve(app);
    // The responder is on this thread, which the server cannot know.
    assert_contains(&panic_of(|| app.get("/later").send()), "did not bring it within 1ms");
    // Nothing has a responder: it fails at once, whatever the patience is.
    let app = testing::builder().patience(Duration::MAX).serve(echo());
    let message =
        panic_of(|| app.raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").answer());
    assert_contains(&message, "no other thread holds a Handle");
    let message = panic_of(|| app.get("/").header("a b", "c"));
    assert_contains(&message, "\"a b\" is not a field name");
    assert_contains(&panic_of(|| app.get("/").header("a", "b\r\nc: d")), "line break");
    assert_contains(&panic_of(|| app.get("/a b")), "is not a target");
    assert_contains(&panic_of(|| app.request("GE T", "/")), "is not a method");
    assert_contains(&panic_of(|| app.ws("/").open()), "has not opened a WebSocket at /");
    assert_contains(&panic_of(|| app.events("/").open()), "stream of events");
    let binary = app.post("/echo").body([255]).send();
    assert_contains(&panic_of(|| binary.text().len()), "not UTF-8");
}

#[test]
fn a_handler_that_uses_its_own_test_server_is_told() {
    let app: Rc<RefCell<Option<TestServer>>> = Rc::default();
    let told = Rc::new(RefCell::new(String::new()));
    let served = testing::serve(App::new().get("/", {
        let (app, told) = (app.clone(), told.clone());
        move |_req| {
            let app = app.borrow();
            *told.borrow_mut() = panic_of(|| app.as_ref().expect("it is set").get("/").send());
            Ok(Response::new(204))
        }
    }));
    *app.borrow_mut() = Some(served);
    let answer = app.borrow().as_ref().expect("it is set").get("/").send();
    assert_eq!(answer.status(), 204);
    assert_contains(&told.borrow(), "uses the test server that is calling it");
    *app.borrow_mut() = None;
}

#[test]
fn content_in_the_middle_of_which_the_server_gives_up_is_incomplete() {
    let senders = Rc::new(RefCell::new(Vec::new()));
    let kept = senders.clone();
    let app = testing::serve(App::new().get("/", move |_req| {
        let (response, mut body) = Response::channel(100);
        assert_eq!(body.try_send(b"half"), fleeting::Pushed::Sent);
        kept.borrow_mut().push(body);
        Ok(response)
    }));
    let pending = app.get("/").begin();
    assert_eq!(pending.try_answer(), Err(NoAnswer::Pending));
    senders.borrow_mut().clear();
    assert_eq!(app.counters().connections, 0);
    assert_eq!(pending.try_answer(), Err(NoAnswer::Incomplete));
    assert_eq!(pending.so_far().expect("the head").text(), "half");
    assert_contains(&panic_of(|| pending.answer()), "in the middle of it");
}

/// A room in which everybody hears everybody.
#[derive(Default, Clone)]
struct Room {
    ends: Rc<RefCell<Vec<Option<u16>>>>,
    conn: Rc<Cell<Option<ConnId>>>,
}

impl WebSocket for Room {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        if req.header("origin") == Some("https://evil.example") {
            return Err(Error::forbidden("not you"));
        }
        self.conn.set(Some(req.conn_id()));
        socket.subscribe("room")?;
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        match message {
            Message::Text("leave") => socket.close(CloseCode::NORMAL, "bye"),
            Message::Text("panic") => std::panic::resume_unwind(Box::new("planned")),
            message => socket.publish("room", message).expect("the topic is valid"),
        }
    }

    fn close(&self, _session: (), code: Option<CloseCode>, _reason: &str) {
        self.ends.borrow_mut().push(code.map(CloseCode::get));
    }
}

fn room() -> (TestServer, Room) {
    let room = Room::default();
    (testing::serve(App::new().ws("/room", room.clone())), room)
}

#[test]
fn websockets_talk_to_each_other() {
    let (app, room) = room();
    let (ann, bob) = (app.ws("/room").open(), app.ws("/room").header("origin", "http://localhost").open());
    assert_eq!(ann.answer().header("upgrade"), Some("websocket"));
    ann.text("hello");
    bob.binary([0, 255]);
    assert_eq!((ann.receive_text(), ann.receive_binary()), ("hello".into(), vec![0, 255]));
    assert_eq!((bob.receive_text(), bob.receive_binary()), ("hello".into(), vec![0, 255]));
    assert_eq!((ann.try_receive(), bob.try_receive()), (None, None));
    ann.ping("p");
    assert_eq!(ann.receive(), Received::Pong(b"p".to_vec()));
    bob.raw([0x01, 0x80, 0, 0, 0, 0]); // the first, empty fragment of a text
    bob.raw([0x80, 0x82, 0, 0, 0, 0, b'o', b'k']);
    assert_eq!(ann.receive_text(), "ok");
    assert_contains(&panic_of(|| bob.receive_binary()), "not a binary message: Text(\"ok\")");
    app.publish("room", Message::Text("published")).expect("the topic is valid");
    assert_eq!(ann.receive_text(), "published");
    assert!(app.publish("", Message::Text("x")).is_err());
    assert_eq!(Some(bob.conn_id()), room.conn.get());
}

#[test]
fn websockets_close_from_either_side() {
    let (app, room) = room();
    let clients = [(); 5].map(|()| app.ws("/room").open());
    let [closes, left, panics, vanishes, breaks] = clients;
    closes.close(4001, "done");
    assert_eq!(closes.receive(), Received::Close(Some(4001), String::new()));
    assert_eq!(closes.receive(), Received::End);
    left.text("leave");
    assert_eq!(left.receive(), Received::Close(Some(1000), "bye".into()));
    assert_eq!((left.receive(), left.is_closed()), (Received::End, true));
    panics.text("panic");
    assert_eq!(panics.close_code(), Some(1011));
    drop(vanishes);
    breaks.raw([0xc1, 0x80, 0, 0, 0, 0]); // a reserved bit
    assert_eq!(breaks.close_code(), Some(1002));
    assert_contains(&panic_of(|| breaks.close_code()), "ended without a Close");
    assert_eq!(*room.ends.borrow(), [Some(4001), Some(1000), Some(1011), None, Some(1002)]);
    assert_eq!(app.counters().connections, 0);
    let rejected = app.ws("/room").header("origin", "https://evil.example").try_open();
    assert_eq!(rejected.expect_err("the room is closed to it").status(), 403);
    assert_eq!(app.ws("/nowhere").try_open().expect_err("no route").status(), 404);
}

#[test]
fn time_passes_only_when_the_test_says_so() {
    let (app, _room) = room();
    let (lively, silent) = (app.ws("/room").open(), app.ws("/room").silent().open());
    app.advance(Duration::from_secs(3600));
    assert_eq!(lively.try_receive(), None, "its pongs keep it open");
    assert!(matches!(silent.receive(), Received::Ping(_)));
    assert_eq!(silent.receive(), Received::Close(Some(1001), "idle for too long".into()));
    assert_eq!(silent.receive(), Received::End, "it did not answer the Close");
    lively.text("still here");
    assert_eq!(lively.receive_text(), "still here");
}

#[test]
fn a_slow_websocket_meets_the_policy_for_slow_consumers() {
    let options = SocketOptions::default().slow_consumer(SlowConsumer::Close);
    let app = App::new().ws_with("/room", options, Room::default());
    let app = testing::builder().limits(limits! { outbox_bytes: 1000 }).serve(app);
    let (slow, fast) = (app.ws("/room").open(), app.ws("/room").open());
    slow.read_only(100);
    for _ in 0..3 {
        app.publish("room", Message::Text(&"x".repeat(800))).expect("the topic is valid");
        assert_eq!(fast.receive_text().len(), 800);
    }
    slow.read_only(usize::MAX);
    assert_eq!(slow.close_code(), Some(1013));
}

#[test]
fn a_handle_reaches_clients_from_other_threads() {
    let room = Room::default();
    let app = testing::serve(App::new().ws("/room", room));
    let (client, handle) = (app.ws("/room").open(), app.handle());
    let conn = client.conn_id();
    let (received, go_on) = mpsc::channel();
    let thread = thread::spawn(move || {
        handle.send(conn, Message::Text("to you")).expect("the server runs");
        handle.publish("room", Message::Text("to all")).expect("the server runs");
        go_on.recv().expect("the test goes on");
        handle.close(conn, CloseCode::NORMAL, "enough").expect("the server runs");
    });
    assert_eq!((client.receive_text(), client.receive_text()), ("to you".into(), "to all".into()));
    received.send(()).expect("the thread waits");
    assert_eq!(client.receive(), Received::Close(Some(1000), "enough".into()));
    thread.join().expect("no panic");
}

#[test]
fn events_come_from_topics_and_from_threads() {
    let app = testing::builder().serve_with(|worker| {
        let handle = worker.handle.clone();
        App::new().get("/topic", move |_req| Ok(handle.events("prices")?)).get("/thread", |req| {
            let (response, mut events) = Response::events(20);
            let from: u32 = req.header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
            thread::spawn(move || {
                for id in from..from + 20 {
                    let text = id.to_string();
                    if events.send(&Event::data("a\nb").name("tick").id(&text)).is_err() {
                        return;
                    }
                }
            });
            Ok(response)
        })
    });
    let mut topic = app.events("/topic").open();
    assert_eq!((topic.answer().status(), topic.try_receive()), (200, None));
    app.publish("prices", Message::Text("10")).expect("the topic is valid");
    let event = topic.receive();
    assert_eq!((&*event.name, &*event.data, &*event.last_id), ("message", "10", ""));
    app.advance(Duration::from_secs(100)); // three comments of `ping`, after the one that begins the stream
    assert_eq!((topic.comments(), topic.try_receive()), (4, None));
    let mut thread = app.events("/thread").header("last-event-id", "7").open();
    for id in 7..27 {
        let event = thread.receive();
        assert_eq!((&*event.name, &*event.data, event.last_id), ("tick", "a\nb", id.to_string()));
    }
    assert!(thread.has_ended());
    assert_contains(&panic_of(|| thread.receive()), "the stream has ended");
    app.shutdown();
    assert!(topic.has_ended());
}

#[test]
fn a_shutdown_closes_what_is_open_and_cuts_off_the_rest() {
    let (app, responders) = deferring();
    let app = testing::serve(app.ws("/room", Room::default()));
    let (idle, socket, stuck) = (app.connect(), app.ws("/room").open(), app.get("/later").begin());
    app.shutdown();
    assert!(idle.is_closed());
    assert_eq!(socket.close_code(), Some(1001));
    assert_eq!(app.shutdown_report(), None);
    app.advance(Duration::from_secs(31));
    assert_eq!(stuck.try_answer(), Err(NoAnswer::Closed));
    let report = app.shutdown_report().expect("it is over");
    assert_eq!((report.websockets, report.stragglers.len()), (1, 1));
    assert!(responders.lock().unwrap()[0].is_gone());
    assert_contains(&panic_of(|| app.get("/later").send()), "is shutting down");
}

/// Counts bytes. A thread lets it go on after each piece.
struct Counting(mpsc::Sender<Resume>);

impl Upload for Counting {
    type Session = usize;

    fn open(&self, _req: &Request<'_>) -> Result<usize, Error> {
        Ok(0)
    }

    fn piece(&self, count: &mut usize, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
        *count += piece.len();
        self.0.send(flow.pause()).map_err(|_| Error::internal("the thread is gone"))
    }

    fn finish(&self, count: usize, _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text(count.to_string()))
    }
}

#[test]
fn an_upload_that_pauses_is_waited_for() {
    let (paused, pauses) = mpsc::channel::<Resume>();
    let app = testing::serve(App::new().upload("POST", "/count", Counting(paused)));
    let thread = thread::spawn(move || pauses.into_iter().map(Resume::resume).count());
    assert_eq!(app.post("/count").chunks(["abc", "de"]).send().text(), "5");
    drop(app);
    assert!(thread.join().expect("no panic") >= 1);
}

#[test]
fn the_limits_of_the_builder_hold_for_publishing_too() {
    let app = testing::builder().limits(limits! { message_bytes: 3 }).serve(App::new());
    assert!(app.publish("room", Message::Text("four")).is_err());
    assert!(app.handle().publish("room", Message::Text("four")).is_err());
}
