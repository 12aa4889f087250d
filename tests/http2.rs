//! Over HTTP/2 an application behaves as over HTTP/1.1, and several requests share a connection.

use fleeting::{App, Pushed, Response};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::server;
use std::sync::mpsc::channel;
use std::thread;

#[test]
fn a_channel_carries_what_is_sent() {
    let (sender, senders) = channel();
    let server = server::run(move |_| {
        App::new().get("/channel", move |_req| {
            let (response, body) = Response::channel(100_000);
            sender.send(body).expect("the test waits");
            Ok(response)
        })
    });
    let mut client = Client::connect(server.addr);
    let stream = client.start(&head("GET", "/channel"), true);
    let mut body = senders.recv().expect("the handler was called");
    assert_eq!(client.response_head(stream).0, 200);
    for piece in ["one", "two", "three"] {
        assert_eq!(body.try_send(piece.as_bytes()), Pushed::Sent);
        assert_eq!(client.content(stream, piece.len()), piece.as_bytes());
    }
    body.finish();
    assert_eq!(client.response(stream).body, b"");
    let stream = client.start(&head("GET", "/channel"), true);
    let mut body = senders.recv().expect("the handler was called");
    let content: Vec<u8> = (0..30_u32 << 20).map(|at| (at % 251) as u8).collect();
    let sent = content.clone();
    let speaker = thread::spawn(move || {
        for piece in sent.chunks(100_000) {
            body.send(piece).expect("the client reads");
        }
        body.finish();
    });
    assert!(client.response(stream).body == content);
    speaker.join().expect("the thread does not panic");
}
