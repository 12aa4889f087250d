//! An application renders its errors, wherever they come from.

use fleeting::http1::Fields;
use fleeting::{
    App, Error, Flow, Message, Offload, OffloadOptions, Progress, Request, Response, Room, Socket, Source,
    Upload, WebSocket, handler,
};
use fleeting_testkit::client::{Answer, Client};
use fleeting_testkit::server::{self, TestServer};
use std::cell::RefCell;
use std::time::Duration;

struct Fails;

impl Upload for Fails {
    type Session = ();

    fn open(&self, req: &Request<'_>) -> Result<(), Error> {
        match req.query_value("open") {
            Some(_) => Err(Error::forbidden("at open")),
            None => Ok(()),
        }
    }

    fn limit(&self) -> u64 {
        10
    }

    fn piece(&self, _session: &mut (), piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        match piece {
            b"piece" => Err(Error::new(422, "in a piece").header("retry-after", "5")),
            _ => Ok(()),
        }
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Err(Error::new(409, "at the end"))
    }
}

impl WebSocket for Fails {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Err(Error::unauthorized("Bearer", "no token"))
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {
        unreachable!("it does not open");
    }
}

fn failing() -> App {
    let offload = Offload::new(OffloadOptions::default()).unwrap();
    let unanswered = RefCell::new(Vec::new());
    App::new()
        .get("/error", |_req| Err(Error::not_found("no such price").header("x-price", "1")))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .get("/panic", |_req| panic!("planted"))
        .get("/defer", move |req| {
            let (response, responder) = Response::defer();
            match req.query_value("how") {
                Some("error") => responder.send(Error::new(502, "upstream")).unwrap(),
                Some("result") => responder.send(Err(Error::new(502, "upstream"))).unwrap(),
                Some("never") => unanswered.borrow_mut().push(responder),
                _ => drop(responder),
            }
            response.header("x-early", "1")
        })
        .route_handler("GET", "/offload", offload.handler(handler(|_req| Err(Error::new(507, "disk full")))))
        .get("/file", |req| Response::file(req, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")))
        .upload("PUT", "/upload", Fails)
        .ws("/ws", Fails)
}

fn serve(
    page: impl Fn(&Error) -> Result<Response<'static>, Error> + Clone + Send + Sync + 'static,
) -> TestServer {
    server::run_with(
        |limits, timeouts| {
            (limits.body_bytes, limits.head_bytes) = (10, 200);
            timeouts.head = Duration::from_millis(20);
            timeouts.answer = Duration::from_millis(20);
        },
        move |_| failing().error_page(page.clone()),
    )
}

fn ask(server: &TestServer, request: &str) -> Answer {
    let mut client = Client::connect(server.addr);
    client.send(request);
    client.answer()
}

fn request(line: &str, rest: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: test\r\n{rest}")
}

const NO_CONTENT: &str = "Content-Length: 0\r\n\r\n";

#[test]
fn every_error_is_rendered() {
    let server = serve(|error| Ok(Response::html(format!("<p>{}", error.message()))));
    let check = |request: &str, status: u16, text: &str| {
        let answer = ask(&server, request);
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.text().starts_with("<p>"), "{request}: {}", answer.text());
        assert!(answer.text().contains(text), "{request}: {}", answer.text());
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"), "{request}");
        answer
    };
    let content = |text: &str| format!("Content-Length: {}\r\n\r\n{text}", text.len());

    let answer = check(&request("GET /error", "\r\n"), 404, "no such price");
    assert_eq!((answer.field("x-price"), answer.field("connection")), (Some("1"), None));
    check(&request("GET /unknown", "\r\n"), 404, "nothing at this path");
    let answer = check(&request("DELETE /error", NO_CONTENT), 405, "not allowed");
    assert_eq!(answer.field("allow"), Some("GET, HEAD, OPTIONS"));
    check(&request("GET /panic", "\r\n"), 500, "");

    check(&request("GET /defer", "\r\n"), 500, "not answered");
    check(&request("GET /defer?how=error", "\r\n"), 502, "upstream");
    check(&request("GET /defer?how=result", "\r\n"), 502, "upstream");
    let answer = check(&request("GET /defer?how=never", "\r\n"), 504, "too long");
    assert_eq!(answer.field("x-early"), Some("1"));
    check(&request("GET /offload", "\r\n"), 507, "disk full");

    check(&request("PUT /upload?open", &content("content")), 403, "at open");
    let answer = check(&request("PUT /upload", &content("piece")), 422, "in a piece");
    assert_eq!(answer.field("retry-after"), Some("5"));
    check(&request("PUT /upload", &content("whole")), 409, "at the end");
    check(&request("PUT /upload", &content("12345678901")), 413, "");

    let answer = check(&request("GET /ws", "\r\n"), 426, "");
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = check(&request("GET /ws", handshake), 401, "no token");
    assert_eq!(answer.field("www-authenticate"), Some("Bearer"));

    let answer = check(&request("GET /file", "Range: bytes=99999999-\r\n\r\n"), 416, "after the end");
    assert!(answer.field("content-range").unwrap().starts_with("bytes */"));

    let closing = |request: &str, status| {
        let answer = check(request, status, "");
        assert_eq!(answer.field("connection"), Some("close"), "{request}");
    };
    closing("GET / HTTP/1.1\r\n\r\n", 400);
    closing(&request("POST /echo", "Content-Length: 11\r\n\r\n"), 413);
    closing(&request("GET /", &format!("X: {}\r\n\r\n", "x".repeat(200))), 431);
    let handshake = handshake.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi");
    closing(&request("GET /ws", &handshake), 400);
    closing("GET / HT", 408);
    closing("GET / HTTP/3.0\r\nHost: test\r\n\r\n", 505);
}

/// The limit of topics is known to be reached only when the connection subscribes, after the handler and the layers.
#[test]
fn a_stream_of_events_that_cannot_begin_is_rendered() {
    let server = server::run_with(
        |limits, _| limits.topics = 1,
        |worker| {
            let handle = worker.handle.clone();
            App::new()
                .get("/events/{topic}", move |req| Ok(handle.events(req.param("topic"))?))
                .layer(|req, next| next.call(req)?.header("x-layer", "1"))
                .error_page(|error| Ok(Response::html(format!("<p>{}", error.message()))))
        },
    );
    let mut stream = Client::connect(server.addr);
    stream.send(request("GET /events/a", "\r\n"));
    assert_eq!(stream.answer_to_head().status, 200);
    let answer = ask(&server, &request("GET /events/b", "\r\n"));
    assert_eq!((answer.status, answer.field("x-layer")), (503, Some("1")));
    assert!(answer.text().starts_with("<p>"), "{}", answer.text());
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.field("retry-after").is_some() && answer.field("cache-control").is_none());
}

#[test]
fn a_page_has_the_status_of_the_error_and_its_own_fields() {
    let server = serve(|_error| Response::text("moved").header("X-Price", "2"));
    let answer = ask(&server, &request("GET /error", "\r\n"));
    assert_eq!((answer.status, answer.text(), answer.field("x-price")), (404, "moved", Some("2")));
    assert_eq!(answer.head.to_lowercase().matches("x-price").count(), 1);
}

/// Content that panics when it is dropped.
struct Fragile;

impl Source for Fragile {
    fn read(&mut self, _room: &mut Room<'_>) -> Result<Progress, Error> {
        unreachable!("an error's content is not streamed");
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("planted");
    }
}

#[test]
fn a_page_that_panics_as_it_is_dropped_ends_no_worker() {
    let server = serve(|_error| Ok(Response::source(None, Fragile)));
    let closing = "GET / HTTP/1.1\r\n\r\n";
    for (asked, request) in
        [(1, request("GET /error", "\r\n")), (2, closing.into()), (3, request("GET /defer", "\r\n"))]
    {
        assert!((400..=500).contains(&ask(&server, &request).status), "{request}");
        server.wait(|counters| counters.panics == asked);
    }
    assert_eq!(ask(&server, &request("GET /error", "\r\n")).text(), "no such price");
}

#[test]
fn an_error_whose_page_fails_is_sent_as_text() {
    let server = serve(|error| match error.status() {
        404 => panic!("planted"),
        405 => Err(Error::internal("no template")),
        _ => Ok(Response::defer().0),
    });
    let check = |line: &str, status: u16, text: &str| {
        let answer = ask(&server, &request(line, NO_CONTENT));
        assert_eq!((answer.status, answer.text()), (status, text), "{line}");
    };
    check("GET /error", 404, "no such price");
    check("DELETE /error", 405, "The method is not allowed here.");
    check("GET /offload", 507, "disk full");
    assert_eq!(server.wait(|counters| counters.panics == 1).panics, 1);
}

/// The page is outside of all layers, wherever it is set.
#[test]
fn layers_see_errors_before_they_are_rendered() {
    let server = server::run(|_| {
        App::new()
            .error_page(|error| Ok(Response::html(format!("<p>{}", error.message()))))
            .get("/", |_req| Ok(Response::text("hello")))
            .layer(|req, next| match next.call(req) {
                Ok(response) => response.header("x-layer", "response"),
                Err(error) => Err(error.header("x-layer", "error")),
            })
    });
    for (line, status, seen) in [
        ("GET /", 200, "response"),
        ("OPTIONS /", 204, "response"),
        ("GET /unknown", 404, "error"),
        ("DELETE /", 405, "error"),
        ("BREW /", 501, "error"),
        ("CONNECT test:80", 501, "error"),
    ] {
        let answer = ask(&server, &request(line, NO_CONTENT));
        assert_eq!((answer.status, answer.field("x-layer")), (status, Some(seen)), "{line}");
        assert_eq!(answer.text().starts_with("<p>"), seen == "error", "{line}: {}", answer.text());
    }
}

/// A layer that answers CONNECT with 2xx would open a tunnel. The error that is sent instead is rendered too.
#[test]
fn the_error_in_place_of_a_tunnel_is_rendered() {
    let server = server::run(|_| {
        App::new()
            .error_page(|error| Ok(Response::html(format!("<p>{}", error.message()))))
            .layer(|_req, _next| Ok(Response::text("welcome")))
    });
    let answer = ask(&server, &request("CONNECT test:80", NO_CONTENT));
    assert_eq!((answer.status, answer.text()), (501, "<p>The server opens no tunnels."));
}

/// What has begun stands for the answer of its own request only.
#[test]
fn a_response_that_a_layer_kept_for_another_request_is_an_error() {
    let server = server::run(|_| {
        let kept: RefCell<Option<Response<'static>>> = RefCell::new(None);
        failing()
            .layer(move |req, next| {
                if req.path() != "/upload" {
                    let response = kept.take().map_or_else(|| next.call(req), Ok)?;
                    return response.header("x-layer", "yes");
                }
                kept.replace(Some(next.call(req)?.keep()));
                Err(Error::forbidden("Not yet."))
            })
            .error_page(|error| Ok(Response::html(format!("<p>{}", error.message()))))
    });
    let begun = ask(&server, &request("PUT /upload", "Content-Length: 2\r\n\r\nhi"));
    assert_eq!((begun.status, begun.text()), (403, "<p>Not yet."));
    let answer = ask(&server, &request("GET /kept", "\r\n"));
    assert_eq!((answer.status, answer.text()), (500, "<p>The handler failed."));
    assert_eq!(answer.field("x-layer"), Some("yes"));
}
