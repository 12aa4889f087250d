//! Over HTTP/2 an application behaves as over HTTP/1.1, and several requests share a connection.

use fleeting::{App, Cookie, Error, KeptRequest, MultipartLimits, Pushed, Response, keep::Keep as _};
use fleeting_testkit::http2::client::{Client, Failure, head};
use fleeting_testkit::http2::frames::{code, kind};
use fleeting_testkit::server::{self, TestServer};
use std::io::Write as _;
use std::sync::mpsc::{Sender, channel};
use std::thread;

const NOTHING: &str = "There is nothing at this path.";

fn app() -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/users/{id}", |req| Ok(Response::text(req.param("id"))))
        .get("/panic", |_req| panic!("planted"))
        .get("/error", |_req| Err(Error::not_found("gone")))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .post("/panic", |_req| panic!("planted"))
        .post("/sum", |req| Ok(Response::bytes(req.trailers().get("x-sum").unwrap_or_default())))
}

fn serve() -> TestServer {
    server::run(|_| app())
}

/// Returns the head of a request with further fields.
fn head_with<'a>(method: &'a str, path: &'a str, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut head = head(method, path);
    head.extend_from_slice(fields);
    head
}

#[test]
fn requests_are_answered() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let mut check = |method: &str, path: &str, content: &str, status: u16, expected: &str| {
        let response = client.request(&head(method, path), content.as_bytes());
        assert_eq!((response.status, response.text()), (status, expected), "{method} {path}");
        response
    };
    let hello = check("GET", "/", "", 200, "hello");
    assert_eq!((hello.field("content-length"), hello.field("date").is_some()), (Some("5"), true));
    let hello = check("HEAD", "/", "", 200, "");
    assert_eq!(hello.field("content-length"), Some("5"));
    check("GET", "/users/ann%20e?a=b", "", 200, "ann e");
    check("POST", "/echo", "some content", 200, "some content");
    check("POST", "/echo", "", 200, "");
    check("GET", "/nowhere", "", 404, NOTHING);
    check("GET", "/error", "", 404, "gone");
    let text = "The method is not allowed here.";
    assert_eq!(check("DELETE", "/echo", "", 405, text).field("allow"), Some("POST, OPTIONS"));
    check("OPTIONS", "/echo", "", 204, "");
    let counters = server.wait(|counters| counters.requests + counters.early_answers >= 9);
    assert_eq!((counters.accepted, counters.connections), (1, 1));
}

/// The rest of the content is not needed when a request is refused (RFC 9113 §8.1).
#[test]
fn content_that_is_not_read_is_answered_before_it_ends() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let stream = client.start(&head("POST", "/nowhere"), false);
    assert_eq!(client.response(stream).status, 404);
    let reset = client.frame(|frame| frame.kind == kind::RST_STREAM);
    assert_eq!((reset.stream, reset.number(0)), (stream, Some(code::NO_ERROR)));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn many_streams_are_answered_at_once() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    for round in 0..5 {
        let streams: Vec<u32> = (0..100)
            .map(|number| match number % 3 {
                0 => client.start(&head("GET", &format!("/users/{number}")), true),
                1 => client.start(&head("GET", "/nowhere"), true),
                _ => {
                    let stream = client.start(&head("POST", "/echo"), false);
                    client.data(stream, format!("content {number}").as_bytes(), true);
                    stream
                }
            })
            .collect();
        for (number, stream) in streams.into_iter().enumerate() {
            let response = client.response(stream);
            let (status, text) = match number % 3 {
                0 => (200, number.to_string()),
                1 => (404, NOTHING.to_string()),
                _ => (200, format!("content {number}")),
            };
            assert_eq!((response.status, response.text()), (status, &*text), "round {round}");
        }
    }
    assert_eq!(server.wait(|_| true).accepted, 1);
}

/// The content of several requests arrives in turn, and each is whole in the end.
#[test]
fn content_of_several_streams_may_alternate() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let streams: Vec<u32> = (0..20).map(|_| client.start(&head("POST", "/echo"), false)).collect();
    for piece in 0..10 {
        for stream in &streams {
            client.data(*stream, format!("{stream}.{piece} ").as_bytes(), piece == 9);
        }
    }
    for stream in streams.iter().rev() {
        let expected: String = (0..10).map(|piece| format!("{stream}.{piece} ")).collect();
        assert_eq!(client.response(*stream).text(), expected);
    }
}

#[test]
fn content_may_be_as_long_as_the_limit() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let content: Vec<u8> = (0..1_u32 << 20).map(|at| (at % 251) as u8).collect();
    let length = content.len().to_string();
    for fields in [&[][..], &[("content-length", &*length)]] {
        assert!(client.request(&head_with("POST", "/echo", fields), &content).body == content);
    }
}

#[test]
fn trailers_reach_the_handler() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    for content in ["", "abc"] {
        let stream = client.start(&head("POST", "/sum"), false);
        client.data(stream, content.as_bytes(), false);
        client.trailers(stream, &[("x-count", "1"), ("x-sum", "7")]);
        assert_eq!(client.response(stream).text(), "7");
    }
}

/// Trailers may be dropped (RFC 9110 §6.5.1), and content of a known length has none over HTTP/1.1.
#[test]
fn trailers_behind_content_of_a_known_length_are_dropped() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    for content in ["", "abc"] {
        let length = content.len().to_string();
        let stream = client.start(&head_with("POST", "/sum", &[("content-length", &length)]), false);
        client.data(stream, content.as_bytes(), false);
        client.trailers(stream, &[("x-sum", "7")]);
        let response = client.response(stream);
        assert_eq!((response.status, response.text()), (200, ""));
    }
    // Malformed trailers are an error all the same.
    let stream = client.start(&head_with("POST", "/sum", &[("content-length", "1")]), false);
    client.data(stream, b"x", false);
    client.trailers(stream, &[(":path", "/")]);
    assert_eq!(client.outcome(stream), Err(Failure::Reset(code::PROTOCOL_ERROR)));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_client_that_expects_100_continue_receives_it() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let head = head_with("POST", "/echo", &[("expect", "100-continue")]);
    let stream = client.start(&head, false);
    client.frame(|frame| frame.kind == kind::HEADERS);
    client.data(stream, b"abc", true);
    let response = client.response(stream);
    assert_eq!((response.text(), response.interim.len(), response.interim[0].0), ("abc", 1, 100));
}

/// Only the length that was announced arrives (RFC 9113 §8.1.1).
#[test]
fn content_of_a_wrong_length_is_an_error_of_its_stream() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    for content in ["abcd", "ab"] {
        let stream = client.start(&head_with("POST", "/echo", &[("content-length", "3")]), false);
        client.data(stream, content.as_bytes(), true);
        assert_eq!(client.outcome(stream), Err(Failure::Reset(code::PROTOCOL_ERROR)), "{content}");
    }
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn a_handler_that_panics_costs_one_response() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let before = client.start(&head("POST", "/echo"), false);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.request(&head("POST", "/panic"), b"content").status, 500);
    client.data(before, b"still there", true);
    assert_eq!((client.response(before).text(), client.get("/").text()), ("still there", "hello"));
    assert_eq!(server.wait(|counters| counters.requests == 4).panics, 2);
}

/// The user that a layer passes on.
struct User(u32);

#[test]
fn layers_answer_instead_pass_values_on_and_change_responses() {
    let server = server::run(|_| {
        app()
            .get("/me", |req| {
                let User(id) = *req.extension().expect("a layer");
                Ok(Response::text(id.to_string()))
            })
            .layer(|req, next| {
                if req.header("authorization") != Some("7") {
                    return Err(Error::unauthorized("Bearer", "not you"));
                }
                req.insert(User(7));
                next.call(req).unwrap_or_else(Response::from).header("x-layer", "yes")
            })
    });
    let mut client = Client::connect(server.addr);
    let authorized = [("authorization", "7")];
    let mut check = |method: &str, path: &str, fields: &[(&str, &str)], status: u16, text: &str| {
        let content = if method == "POST" { "content" } else { "" };
        let response = client.request(&head_with(method, path, fields), content.as_bytes());
        assert_eq!((response.status, response.text()), (status, text), "{method} {path}");
        assert_eq!(response.field("x-layer"), (status != 401).then_some("yes"), "{method} {path}");
    };
    check("GET", "/me", &authorized, 200, "7");
    check("GET", "/me", &[], 401, "not you");
    check("GET", "/nowhere", &authorized, 404, NOTHING);
    check("POST", "/echo", &authorized, 200, "content");
    check("POST", "/echo", &[], 401, "not you");
}

/// Handlers can read everything that an HTTP/1.1 request offers.
fn readers(kept: Sender<KeptRequest>) -> App {
    let app = App::new()
        .get("/cookies", |req| {
            let text = Response::text(req.cookie("b").unwrap_or_default());
            text.cookie(&Cookie::new("a", "1"))?.cookie(&Cookie::new("b", "2"))
        })
        .post("/form", |req| Ok(Response::text(req.form_pairs()?.value("name").unwrap_or_default())))
        .post("/multipart", |req| {
            let mut names = req.arena().writer();
            for part in req.multipart(MultipartLimits::new())? {
                let part = part?;
                write!(names, "{}={} ", part.name(), part.text()?).expect("writing to memory cannot fail");
            }
            Ok(Response::bytes(names.finish()))
        })
        .post("/keep", move |req| {
            kept.send(req.keep()).expect("the test waits");
            Ok(Response::text("kept"))
        });
    #[cfg(feature = "json")]
    let app = app.post("/json", |req| {
        let (name, count): (&str, u32) = req.json()?;
        Response::json(req, &(count + 1, name))
    });
    app
}

#[test]
fn what_handlers_read_is_there() {
    let (sender, kept) = channel();
    let server = server::run(move |_| readers(sender));
    let mut client = Client::connect(server.addr);
    // RFC 9113 §8.2.3: one cookie a field.
    let cookies = client.request(&head_with("GET", "/cookies", &[("cookie", "a=x"), ("cookie", "b=y")]), b"");
    let set: Vec<_> = cookies.fields.iter().filter(|(name, _)| name == b"set-cookie").collect();
    assert_eq!((cookies.text(), set.len()), ("y", 2));
    let mut check = |path: &str, media_type: &str, content: &str, expected: &str| {
        let head = head_with("POST", path, &[("content-type", media_type)]);
        let response = client.request(&head, content.as_bytes());
        assert_eq!((response.status, response.text()), (200, expected), "{path}");
    };
    check("/form", "application/x-www-form-urlencoded", "tag=red&name=Ann+E%2E", "Ann E.");
    let form = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X--\r\n";
    check("/multipart", "multipart/form-data; boundary=X", form, "a=1 ");
    #[cfg(feature = "json")]
    check("/json", "application/json", r#"["pear", 6]"#, r#"[7,"pear"]"#);
    check("/keep?a=b", "text/plain", "some content", "kept");
    let kept = kept.recv().expect("the handler was called");
    assert_eq!((kept.method(), kept.path(), kept.query()), ("POST", "/keep", Some("a=b")));
    assert_eq!((kept.header("content-type"), kept.body()), (Some("text/plain"), &b"some content"[..]));
}

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
