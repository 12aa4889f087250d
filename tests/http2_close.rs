//! A response that asks for the end of its connection ends one of HTTP/2 in order (RFC 9113 §6.8): what is on its way is served.

use crate::driver::Driver;
use crate::http2_peer::Http2Peer;
use fleeting::engine::Settings;
use fleeting::http1::Fields;
use fleeting::{App, Body, Error, Flow, Handle, Request, Responder, Response, Upload};
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::frames::{Frame, code, flag, kind, setting};
use std::cell::RefCell;
use std::rc::Rc;

const ALL_STREAMS: u32 = 0x7fff_ffff;
static LONG: [u8; 100_000] = [b'x'; 100_000];

/// Answers once all the content has arrived.
struct Last;

impl Upload for Last {
    type Session = ();

    fn open(&self, _req: &Request<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn piece(&self, _session: &mut (), _piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text("last").close())
    }
}

/// An engine, and the responders of requests for `/later`.
fn driver() -> (Driver, Rc<RefCell<Vec<Responder>>>) {
    let handle = Handle::unattended(1);
    let (events, later) = (handle.clone(), Rc::new(RefCell::new(Vec::new())));
    let responders = later.clone();
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/later", move |_req| {
            let (response, responder) = Response::defer();
            later.borrow_mut().push(responder);
            Ok(response)
        })
        .get("/last", |_req| Ok(Response::text("last").close()))
        .get("/last/none", |_req| Ok(Response::new(204).close()))
        .get("/last/long", |_req| Ok(Response::bytes(Body::Static(&LONG)).close()))
        .get("/last/deferred", |_req| {
            let (response, responder) = Response::defer();
            responder.send(Response::text("last").close()).expect("the client waits");
            Ok(response)
        })
        .get("/last/deferred/early", |_req| {
            let (response, responder) = Response::defer();
            responder.send(Response::text("last")).expect("the client waits");
            Ok(response.close())
        })
        .get("/last/source", |_req| {
            let (response, mut sender) = Response::channel(100);
            sender.send(b"last").expect("there is room");
            sender.finish();
            Ok(response.close())
        })
        .get("/last/events", move |_req| Ok(events.events("*")?.close()))
        .post("/last", |_req| Ok(Response::text("last").close()))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .upload("POST", "/last/upload", Last)
        .error_page(|error| {
            let response = Response::text(error.message()).keep();
            Ok(if [405, 431].contains(&error.status()) { response.close() } else { response })
        });
    let mut settings = Settings::default();
    (settings.limits.headers, settings.limits.body_bytes) = (6, 10);
    (Driver::with_handle(app, settings, &handle), responders)
}

fn connect(driver: &mut Driver) -> Http2Peer {
    Http2Peer::connect(driver, &[(setting::INITIAL_WINDOW_SIZE, 65_535)])
}

/// Returns the payload of the server's last PING.
fn ping(client: &Http2Peer) -> Option<[u8; 8]> {
    let is_ping = |frame: &&Frame| frame.kind == kind::PING && !frame.has(flag::ACK);
    client.frames.iter().rfind(is_ping).map(|frame| frame.payload.clone().try_into().expect("8 bytes"))
}

/// Each way in which a response comes about. Content that is not empty arrives in two reads, or with the head.
#[test]
fn a_response_that_closes_ends_the_connection_in_order() {
    #[track_caller]
    fn check(method: &str, path: &str, fields: &[(&str, &str)], content: &[&[u8]], status: u16) {
        let name = format!("{method} {path} {}", content.len());
        let (mut driver, responders) = driver();
        let mut client = connect(&mut driver);
        let later = client.start(&mut driver, &head("GET", "/later"), true);
        client.session.acknowledges = false;
        let mut fields_of_head = head(method, path);
        fields_of_head.extend_from_slice(fields);
        let last = client.session.open(&fields_of_head, content.is_empty());
        for (at, part) in content.iter().enumerate() {
            client.data(&mut driver, last, part, at + 1 == content.len());
        }
        client.exchange(&mut driver);
        let got = client.got(last);
        assert_eq!(got.status, status, "{name}: {}", got.text());
        assert!(got.fields.iter().all(|(field, _)| field != b"connection"), "{name}");
        assert_eq!(client.goaways, [(ALL_STREAMS, code::NO_ERROR)], "{name}");
        let ping = ping(&client).expect("a PING");
        // The client has not seen GOAWAY when it sends this.
        let crossing = client.start(&mut driver, &head("GET", "/"), true);
        assert_eq!(client.got(crossing).text(), "hello", "{name}");
        // A second response that closes announces nothing new.
        let again = client.start(&mut driver, &head("GET", "/last"), true);
        assert_eq!((client.got(again).text(), client.goaways.len()), ("last", 1), "{name}");
        client.send(&mut driver, &Frame::ping_ack(ping));
        assert_eq!(client.goaways[1..], [(again, code::NO_ERROR)], "{name}");
        let ignored = client.start(&mut driver, &head("GET", "/"), true);
        assert_eq!((client.got(ignored).status, client.got(ignored).reset), (0, None), "{name}");
        assert!(!client.peer.is_shut(), "{name}");
        client.grant(&mut driver, last, 1 << 20);
        client.grant(&mut driver, 0, 1 << 20);
        if path == "/last/events" {
            client.session.reset(last, code::CANCEL);
            client.exchange(&mut driver);
        } else {
            assert!(client.got(last).ended, "{name}");
        }
        responders
            .borrow_mut()
            .pop()
            .expect("it was called")
            .send(Response::text("in flight"))
            .expect("it waits");
        driver.turn();
        client.read();
        assert_eq!(client.got(later).text(), "in flight", "{name}");
        assert!(client.peer.is_shut(), "{name}");
        // Whatever the client still sends is discarded.
        client.send(&mut driver, &Frame::ping(*b"too late"));
        assert_eq!((client.goaways.len(), client.peer.is_gone()), (2, false), "{name}");
    }
    check("GET", "/last", &[], &[], 200);
    check("HEAD", "/last", &[], &[], 200);
    check("GET", "/last/none", &[], &[], 204);
    check("POST", "/last", &[], &[b"content"], 200);
    check("POST", "/last", &[], &[b"con", b"tent"], 200);
    check("GET", "/last/long", &[], &[], 200);
    check("GET", "/last/deferred", &[], &[], 200);
    check("GET", "/last/deferred/early", &[], &[], 200);
    check("HEAD", "/last/deferred", &[], &[], 200);
    check("GET", "/last/source", &[], &[], 200);
    check("HEAD", "/last/source", &[], &[], 200);
    check("GET", "/last/events", &[], &[], 200);
    check("POST", "/last/upload", &[], &[b"con", b"tent"], 200);
    check("DELETE", "/last", &[], &[], 405);
    check("GET", "/", &[("x", "y"); 7], &[], 431);
}

/// Over HTTP/1.1 these close the connection, because the rest of the request is not read or cannot be.
#[test]
fn a_refusal_ends_its_stream_alone() {
    #[track_caller]
    fn check(method: &str, path: &str, fields: &[(&str, &str)], content: &[&[u8]], status: u16) {
        let (mut driver, _responders) = driver();
        let mut client = connect(&mut driver);
        let mut fields_of_head = head(method, path);
        fields_of_head.extend_from_slice(fields);
        let stream = client.session.open(&fields_of_head, false);
        for part in content {
            client.data(&mut driver, stream, part, false);
        }
        client.exchange(&mut driver);
        assert_eq!((client.got(stream).status, client.got(stream).ended), (status, true), "{method} {path}");
        assert_eq!(client.goaways, [], "{method} {path}");
        let next = client.start(&mut driver, &head("GET", "/"), true);
        assert_eq!(client.got(next).text(), "hello", "{method} {path}");
    }
    check("POST", "/nowhere", &[], &[b"content"], 404);
    check("POST", "/nowhere", &[("expect", "100-continue"), ("content-length", "7")], &[], 404);
    check("POST", "/echo", &[("content-length", "11")], &[b"c"], 413);
    check("POST", "/echo", &[], &[b"content", b"content"], 413);
}

/// A connection with nothing else under way ends once the client acknowledges the PING. A client that never does is served until
/// it is idle, or begins too many streams.
#[test]
fn a_connection_without_other_streams_ends_when_its_client_knows() {
    let (mut driver, _responders) = driver();
    let mut client = connect(&mut driver);
    let last = client.start(&mut driver, &head("GET", "/last"), true);
    assert_eq!(client.got(last).text(), "last");
    assert_eq!(client.goaways, [ALL_STREAMS, last].map(|stream| (stream, code::NO_ERROR)));
    assert!(client.peer.is_shut());
    let mut client = connect(&mut driver);
    client.session.acknowledges = false;
    let last = client.start(&mut driver, &head("GET", "/last"), true);
    driver.advance(59_000);
    client.read();
    assert_eq!((client.goaways.len(), client.peer.is_shut()), (1, false));
    driver.advance(2000);
    client.read();
    assert_eq!((client.goaways.last(), client.peer.is_shut()), (Some(&(last, code::NO_ERROR)), true));
}

/// Requests that have arrived together with the one whose response closes are served.
#[test]
fn requests_behind_a_response_that_closes_are_served() {
    let (mut driver, _responders) = driver();
    let mut client = connect(&mut driver);
    let streams =
        ["/", "/last", "/", "/last/source", "/"].map(|path| client.session.open(&head("GET", path), true));
    client.exchange(&mut driver);
    let got = streams.map(|stream| client.got(stream).text().to_string());
    assert_eq!(got, ["hello", "last", "hello", "last", "hello"]);
    assert_eq!(client.goaways, [ALL_STREAMS, streams[4]].map(|stream| (stream, code::NO_ERROR)));
    assert!(client.peer.is_shut());
}
