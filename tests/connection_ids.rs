//! A connection ID is never reused: a stale one reaches no other connection.

use fleeting::engine::SendError;
use fleeting::ws::CloseCode;
use fleeting::{App, ConnId, Error, Message, Request, Response, Socket, WebSocket};
use fleeting_testkit::client::{CLOSE, Client, TEXT};
use fleeting_testkit::server::{self, TestServer};
use std::sync::mpsc::{self, Receiver, Sender};

/// Reports its connection ID when it opens, and echoes every message.
struct Named(Sender<ConnId>);

impl WebSocket for Named {
    type Session = ConnId;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<ConnId, Error> {
        assert_eq!(req.conn_id(), socket.conn_id());
        self.0.send(socket.conn_id()).expect("the test waits");
        Ok(socket.conn_id())
    }

    fn message(&self, session: &mut ConnId, message: Message<'_>, socket: &mut Socket<'_>) {
        assert_eq!(*session, socket.conn_id());
        socket.send(message);
    }
}

fn serve() -> (TestServer, Receiver<ConnId>) {
    let (names, name) = mpsc::channel();
    let server = server::run(move |_| {
        let http = names.clone();
        App::new().ws("/ws", Named(names)).get("/", move |req| {
            http.send(req.conn_id()).expect("the test waits");
            Ok(Response::new(204))
        })
    });
    (server, name)
}

#[test]
fn a_stale_id_reaches_no_connection() {
    let (server, name) = serve();
    let first = Client::websocket(server.addr, "/ws");
    let stale = name.recv().expect("the session has opened");
    drop(first);
    server.wait(|counters| counters.connections == 0);

    let mut second = Client::websocket(server.addr, "/ws");
    let fresh = name.recv().expect("the session has opened");
    // The record is the same, the ID is not.
    let place = |conn: ConnId| conn.to_string().rsplit_once('-').expect("three parts").0.to_string();
    assert_eq!(place(stale), place(fresh));
    assert_ne!(stale, fresh);

    server.handle.send(stale, Message::Text("for the first")).expect("the worker is alive");
    server.handle.close(stale, CloseCode::NORMAL, "").expect("the worker is alive");
    server.handle.send(fresh, Message::Text("for the second")).expect("the worker is alive");
    assert_eq!(second.next_frame().text(), "for the second");
    second.frame(TEXT, "still open");
    assert_eq!(second.next_frame().text(), "still open");
    let counters = server.wait(|counters| counters.messages == 1);
    assert_eq!((counters.stale_ids, counters.dropped), (2, 0));
}

#[test]
fn connections_that_reuse_a_record_have_different_ids() {
    let (server, name) = serve();
    let mut names = Vec::new();
    for turn in 0..50 {
        let client = Client::websocket(server.addr, "/ws");
        names.push(name.recv().expect("the session has opened"));
        drop(client);
        server.wait(|counters| counters.connections == 0 && counters.accepted == turn + 1);
    }
    for conn in &names {
        server.handle.send(*conn, Message::Text("nobody")).expect("the worker is alive");
    }
    server.wait(|counters| counters.stale_ids == 50);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 50);
}

#[test]
fn a_connection_that_is_not_a_websocket_gets_no_message() {
    let (server, name) = serve();
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/").status, 204);
    let conn = name.recv().expect("the handler was called");
    server.handle.send(conn, Message::Text("stray")).expect("the worker is alive");
    server.handle.close(conn, CloseCode::NORMAL, "").expect("the worker is alive");
    assert_eq!(client.get("/").status, 204);
    // The connection keeps its ID when it becomes a WebSocket.
    assert_eq!(name.recv(), Ok(conn));
    let mut client = client.upgraded("/ws");
    assert_eq!(name.recv(), Ok(conn));
    server.handle.send(conn, Message::Text("hello")).expect("the worker is alive");
    assert_eq!(client.next_frame().text(), "hello");
}

#[test]
fn no_connection_is_reached_after_the_server_has_ended() {
    let (server, name) = serve();
    let mut client = Client::websocket(server.addr, "/ws");
    let conn = name.recv().expect("the session has opened");
    let handle = server.handle.clone();
    handle.close(conn, CloseCode::NORMAL, "").expect("the worker is alive");
    let close = client.next_frame();
    client.frame(CLOSE, close.payload);
    client.ended();
    drop(client);
    server.finish();
    assert_eq!(handle.send(conn, Message::Text("too late")), Err(SendError::Gone));
    assert_eq!(handle.close(conn, CloseCode::NORMAL, ""), Err(SendError::Gone));
    handle.shutdown();
}
