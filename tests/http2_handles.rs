//! A task, responder or name that outlives its stream finds out that the stream has ended, and never reaches another.

use crate::http2_peer::websocket_head;
use fleeting::engine::SendError;
use fleeting::ws::CloseCode;
use fleeting::{
    App, BodySender, ConnId, Error, Event, EventSender, Gone, Message, Pushed, Request, Responder, Response,
    Socket, WebSocket,
};
use fleeting_testkit::client::{PATIENCE, frame};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::code;
use fleeting_testkit::server::{self, TestServer};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

/// What the application hands out for a stream.
enum Handed {
    Answer(Responder),
    Body(BodySender),
    Events(EventSender),
    Name(ConnId),
}

/// Reports its name, and that of its connection at its end.
struct Named(Sender<Handed>);

impl WebSocket for Named {
    type Session = ConnId;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<ConnId, Error> {
        assert_eq!(req.conn_id(), socket.conn_id());
        self.0.send(Handed::Name(socket.conn_id())).expect("the test waits");
        Ok(socket.conn_id())
    }

    fn message(&self, session: &mut ConnId, message: Message<'_>, socket: &mut Socket<'_>) {
        assert_eq!(*session, socket.conn_id());
        socket.send(message);
    }
}

fn serve() -> (TestServer, Receiver<Handed>) {
    let (hand, handed) = channel();
    let app = move || {
        let [answers, bodies, events, names] = [(); 4].map(|()| hand.clone());
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .get("/answer", move |_req| {
                let (response, responder) = Response::defer();
                answers.send(Handed::Answer(responder)).expect("the test waits");
                Ok(response)
            })
            .get("/body", move |_req| {
                let (response, body) = Response::channel(64 << 10);
                bodies.send(Handed::Body(body)).expect("the test waits");
                Ok(response)
            })
            .get("/events", move |_req| {
                let (response, stream) = Response::events(1000);
                events.send(Handed::Events(stream)).expect("the test waits");
                Ok(response)
            })
            .get("/name", move |req| {
                names.send(Handed::Name(req.conn_id())).expect("the test waits");
                Ok(Response::new(204))
            })
            .ws("/ws", Named(hand))
    };
    (server::run(move |_| app()), handed)
}

fn connect(server: &TestServer) -> Client {
    let mut client = Client::connect(server.addr);
    client.wait_for_settings();
    client
}

fn handed(handed: &Receiver<Handed>) -> Handed {
    handed.recv_timeout(PATIENCE).expect("it was called")
}

#[track_caller]
fn name(handed: &Receiver<Handed>) -> ConnId {
    match self::handed(handed) {
        Handed::Name(name) => name,
        _ => panic!("no name"),
    }
}

fn websocket(client: &mut Client, names: &Receiver<Handed>) -> (u32, ConnId) {
    let stream = client.start(&websocket_head("/ws"), false);
    assert_eq!(client.response_head(stream).0, 200);
    (stream, name(names))
}

/// Wakes the thread that [`block_on`] runs on.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits in a task until the client is gone, and then uses what it was handed.
fn outlive(handed: Handed) {
    match handed {
        Handed::Answer(mut responder) => {
            block_on(responder.gone());
            assert!(responder.is_gone());
            assert_eq!(responder.send(Response::text("late")), Err(Gone));
        }
        Handed::Body(mut body) => {
            // It is suspended while the queue is full.
            let piece = vec![b'x'; 32 << 10];
            while block_on(body.send_async(&piece)).is_ok() {}
            assert!(body.is_gone());
            assert_eq!(body.try_send(b"late"), Pushed::Gone);
            body.finish();
        }
        Handed::Events(mut events) => {
            block_on(events.gone());
            assert!(events.is_gone());
            assert_eq!(events.try_send(&Event::data("late")), Ok(Pushed::Gone));
            assert_eq!(events.comment("late"), Pushed::Gone);
        }
        Handed::Name(_) => panic!("no task outlives its stream by a name"),
    }
}

/// A stream may end by a reset, or with its connection.
#[test]
fn tasks_learn_that_their_stream_has_ended() {
    type End = fn(&mut Option<Client>, &[u32]);
    let reset: End = |client, streams| {
        let client = client.as_mut().expect("it is connected");
        streams.iter().for_each(|stream| client.reset(*stream, code::CANCEL));
        assert_eq!(client.get("/").text(), "hello");
    };
    let leave: End = |client, _| drop(client.take());
    for end in [reset, leave] {
        let (server, streams_handed) = serve();
        let mut client = Some(connect(&server));
        let (ended, ends) = channel();
        let streams: Vec<u32> = ["/answer", "/body", "/events", "/answer", "/events"]
            .map(|path| {
                let stream = client.as_mut().expect("it is connected").start(&head("GET", path), true);
                let (handed, ended) = (handed(&streams_handed), ended.clone());
                thread::spawn(move || {
                    outlive(handed);
                    ended.send(()).expect("the test waits");
                });
                stream
            })
            .to_vec();
        end(&mut client, &streams);
        for _ in &streams {
            ends.recv_timeout(PATIENCE).expect("the task ends");
        }
        // Other streams are unaffected.
        if let Some(client) = &mut client {
            assert_eq!(client.get("/").text(), "hello");
        }
        drop(client);
        server.wait(|counters| counters.connections == 0);
    }
}

/// Each stream gets its own name, which is not reused while the connection is open.
#[test]
fn a_stale_name_reaches_no_other_stream() {
    let (server, names) = serve();
    let mut client = connect(&server);
    let (first, stale) = websocket(&mut client, &names);
    client.reset(first, code::CANCEL);
    client.ping();
    let (second, fresh) = websocket(&mut client, &names);
    // The record is the same, the name is not.
    let place = |conn: ConnId| conn.to_string().rsplit_once('-').expect("three parts").0.to_string();
    assert_eq!(place(stale), place(fresh));
    assert_ne!(stale, fresh);
    server.handle.send(stale, Message::Text("for the first")).expect("the worker is alive");
    server.handle.close(stale, CloseCode::NORMAL, "").expect("the worker is alive");
    server.handle.send(fresh, Message::Text("for the second")).expect("the worker is alive");
    assert_eq!(client.content(second, 16)[2..], *b"for the second");
    let counters = server.wait(|counters| counters.stale_ids == 2);
    assert_eq!(counters.dropped, 0);
    // The client closes the WebSocket and ends the stream.
    client.data(second, &frame(true, 8, b"\x03\xe8"), true);
    assert_eq!(client.response(second).body[..4], *b"\x88\x02\x03\xe8");
    server.handle.send(fresh, Message::Text("late")).expect("the worker is alive");
    server.wait(|counters| counters.stale_ids == 3);
    // With its connection.
    let (_third, last) = websocket(&mut client, &names);
    drop(client);
    server.wait(|counters| counters.connections == 0);
    server.handle.send(last, Message::Text("late")).expect("the worker is alive");
    server.wait(|counters| counters.stale_ids == 4);
    let handle = server.handle.clone();
    server.finish();
    assert_eq!(handle.send(last, Message::Text("too late")), Err(SendError::Gone));
}

/// Many streams open and end on one connection, while another thread sends to all names that it has ever learned.
#[test]
fn messages_reach_the_stream_that_they_name() {
    let (server, names) = serve();
    let mut client = connect(&server);
    let mut known: Vec<ConnId> = Vec::new();
    for round in 0..20 {
        let open: Vec<(u32, ConnId)> = (0..10).map(|_| websocket(&mut client, &names)).collect();
        known.extend(open.iter().map(|(_, conn)| *conn));
        for conn in &known {
            server.handle.send(*conn, Message::Text(&conn.to_string())).expect("there is room");
        }
        for (at, (stream, conn)) in open.into_iter().enumerate() {
            let expected = conn.to_string();
            let content = client.content(stream, 2 + expected.len());
            assert_eq!(content[2..], *expected.as_bytes(), "round {round}");
            match at % 2 {
                0 => client.reset(stream, code::CANCEL),
                _ => client.data(stream, &frame(true, 8, b"\x03\xe8"), true),
            }
        }
        client.ping();
    }
    known.sort();
    known.dedup();
    assert_eq!(known.len(), 200);
    // Each round also sends to the names of all earlier rounds.
    let stale = (0..20).map(|round| round * 10).sum::<u64>();
    let counters = server.wait(|counters| counters.stale_ids >= stale);
    assert_eq!((counters.stale_ids, counters.websockets, counters.connections), (stale, 200, 1));
}

/// A request that is answered at once has a name too, but a message to that name is not delivered.
#[test]
fn a_request_that_is_no_websocket_gets_no_message() {
    let (server, names) = serve();
    let mut client = connect(&server);
    let (socket, _) = websocket(&mut client, &names);
    for _ in 0..2 {
        assert_eq!(client.get("/name").status, 204);
        let conn = name(&names);
        server.handle.send(conn, Message::Text("stray")).expect("the worker is alive");
        server.handle.close(conn, CloseCode::NORMAL, "").expect("the worker is alive");
        assert_eq!(client.get("/").text(), "hello");
    }
    client.data(socket, &frame(true, 1, b"still here"), false);
    assert_eq!(client.content(socket, 12)[2..], *b"still here");
}
