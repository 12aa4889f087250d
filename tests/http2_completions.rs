//! The completion hook learns of each request of HTTP/2 once, when the last byte of its response has left or its stream has
//! ended.

use crate::driver::Driver;
use crate::http2_peer::Http2Peer;
use fleeting::engine::Settings;
use fleeting::http1::Fields;
use fleeting::{App, Error, Flow, Request, Responder, Response, Upload};
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::frames::{code, setting};
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::server::Echo;
use std::cell::RefCell;
use std::rc::Rc;

/// What was reported to the hook: method and path, status, whether all was sent, and the bytes of the response.
type Over = (String, Option<u16>, bool, u64);

/// Takes everything.
struct Swallow;

impl Upload for Swallow {
    type Session = ();

    fn open(&self, req: &Request<'_>) -> Result<(), Error> {
        if req.query() == Some("no") { Err(Error::forbidden("no")) } else { Ok(()) }
    }

    fn piece(&self, _session: &mut (), _piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text("taken").with_status(201))
    }
}

#[derive(Default)]
struct Told {
    over: RefCell<Vec<Over>>,
    later: RefCell<Vec<Responder>>,
}

impl Told {
    /// Returns what was reported to the hook since the last call.
    fn take(&self) -> Vec<Over> {
        self.over.take()
    }
}

fn driver() -> (Driver, Rc<Told>) {
    let told = Rc::new(Told::default());
    let (over, later) = (told.clone(), told.clone());
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/panic", |_req| panic!("planted"))
        .get("/large", |_req| Ok(Response::bytes(vec![b'x'; 200_000])))
        .get("/later", move |_req| {
            let (response, responder) = Response::defer();
            later.later.borrow_mut().push(responder);
            Ok(response)
        })
        .get("/stream", |_req| {
            let (response, mut sender) = Response::channel(1000);
            sender.send(b"some content").expect("there is room");
            sender.finish();
            Ok(response)
        })
        .get("/broken", |_req| Ok(Response::channel(1000).0))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .upload("POST", "/up", Swallow)
        .ws("/ws", Echo)
        .on_complete(move |done| {
            let line = format!("{} {}", done.method(), done.path());
            over.over.borrow_mut().push((line, done.status(), done.is_sent(), done.bytes_out()));
        });
    (Driver::new(app, Settings::default()), told)
}

#[test]
fn each_kind_of_request_is_reported_once() {
    let (mut driver, told) = driver();
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let mut check = |method: &str, path: &str, content: &str, status: u16, is_sent: bool| {
        let stream = client.start(&mut driver, &head(method, path), content.is_empty());
        if !content.is_empty() {
            client.data(&mut driver, stream, content.as_bytes(), true);
        }
        let over = told.take();
        let line = format!("{method} {}", path.split('?').next().unwrap_or(path));
        assert_eq!(over.len(), 1, "{method} {path}: {over:?}");
        assert_eq!((&*over[0].0, over[0].1, over[0].2), (&*line, Some(status), is_sent), "{path}");
        let received = client.got(stream).body.len() as u64;
        let (least, most) = (received, received + received / 1000 + 500);
        assert!(least <= over[0].3 && over[0].3 <= most, "{path}: {received} bytes of content, {over:?}");
    };
    check("GET", "/", "", 200, true);
    check("HEAD", "/", "", 200, true);
    check("GET", "/nowhere", "", 404, true);
    check("DELETE", "/", "", 405, true);
    check("GET", "/panic", "", 500, true);
    check("GET", "/large", "", 200, true);
    check("HEAD", "/large", "", 200, true);
    check("POST", "/echo", "some content", 200, true);
    check("GET", "/stream", "", 200, true);
    check("GET", "/broken", "", 200, false);
    check("POST", "/up", "some content", 201, true);
    check("POST", "/up?no", "some content", 403, true);
    check("GET", "/ws", "", 400, true);
}

#[test]
fn a_deferred_response_is_reported_when_it_has_left() {
    let (mut driver, told) = driver();
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let [left, stays] = [(); 2].map(|()| client.start(&mut driver, &head("GET", "/later"), true));
    assert_eq!(told.take(), []);
    // The client does not wait for one of the responses.
    client.session.reset(left, code::CANCEL);
    client.exchange(&mut driver);
    assert_eq!(told.take(), [("GET /later".into(), None, false, 0)]);
    let responder = told.later.borrow_mut().pop().expect("two were asked for");
    responder.send(Response::text("later").with_status(202)).expect("the client waits");
    driver.turn();
    client.read();
    assert_eq!(client.got(stays).text(), "later");
    let over = told.take();
    assert_eq!((over.len(), over[0].1, over[0].2), (1, Some(202), true), "{over:?}");
}

#[test]
fn a_response_that_its_client_does_not_take_is_reported_with_what_was_taken() {
    let (mut driver, told) = driver();
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 1000)]);
    client.session.windows = Windows::OfConnection;
    let [reset, cut_off] = [(); 2].map(|()| client.start(&mut driver, &head("GET", "/large"), true));
    assert_eq!(client.got(cut_off).body.len(), 1000);
    assert_eq!(told.take(), []);
    client.session.reset(reset, code::CANCEL);
    client.exchange(&mut driver);
    driver.engine.abort(client.peer.id);
    driver.turn();
    let over = told.take();
    assert_eq!(over.len(), 2, "{over:?}");
    for (line, status, is_sent, bytes_out) in over {
        assert_eq!((&*line, status, is_sent), ("GET /large", Some(200), false));
        assert!((1000..1500).contains(&bytes_out), "{bytes_out}");
    }
}

#[test]
fn a_websocket_is_reported_when_its_200_has_left() {
    let (mut driver, told) = driver();
    let mut client = Http2Peer::connect(&mut driver, &[]);
    let mut head = head("CONNECT", "/ws");
    head.extend_from_slice(&[(":protocol", "websocket"), ("sec-websocket-version", "13")]);
    let stream = client.start(&mut driver, &head, false);
    assert_eq!(client.got(stream).status, 200);
    let over = told.take();
    assert_eq!((over.len(), over[0].2), (1, true), "{over:?}");
    client.session.reset(stream, code::CANCEL);
    client.exchange(&mut driver);
    assert_eq!(told.take(), []);
}
