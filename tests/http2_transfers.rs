//! Uploads, deferred responses, sources and event streams work over HTTP/2, each on its stream and without effect on others.

use fleeting::http1::Fields;
use fleeting::{
    App, Error, Event, EventSender, Flow, Gone, Progress, Pushed, Request, Responder, Response, Resume, Room,
    Source, Timeouts, Upload,
};
use fleeting_testkit::http2::client::{Client, Failure, head};
use fleeting_testkit::http2::frames::{Frame, code, kind};
use fleeting_testkit::server::{self, TestServer};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

/// What an upload reports to the test.
#[derive(Debug)]
enum Report {
    Paused(Resume),
    Finished(u64),
    Aborted(u64),
}

/// Counts bytes. The first byte of the content selects its behavior.
struct Count(Sender<Report>);

impl Upload for Count {
    type Session = u64;

    fn limit(&self) -> u64 {
        8 << 20
    }

    fn open(&self, req: &Request<'_>) -> Result<u64, Error> {
        match req.query() {
            Some("refuse") => Err(Error::forbidden("not you")),
            Some("panic") => panic!("planted"),
            _ => Ok(0),
        }
    }

    fn piece(&self, bytes: &mut u64, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
        if *bytes == 0 {
            match piece[0] {
                b'P' => self.0.send(Report::Paused(flow.pause())).expect("the test waits"),
                b'E' => return Err(Error::new(422, "not this")),
                b'!' => panic!("planted"),
                _ => {}
            }
        }
        *bytes += piece.len() as u64;
        Ok(())
    }

    fn finish(&self, bytes: u64, trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        self.0.send(Report::Finished(bytes)).expect("the test waits");
        match trailers.get("x-then") {
            Some(b"now") => {
                let (response, responder) = Response::defer();
                responder.send(Response::text("now")).expect("the client waits");
                return Ok(response);
            }
            Some(b"later") => {
                let (response, responder) = Response::defer();
                thread::spawn(move || responder.send(Response::text("later")).expect("the client waits"));
                return Ok(response);
            }
            _ => {}
        }
        Ok(Response::text(bytes.to_string()))
    }

    fn abort(&self, bytes: u64) {
        self.0.send(Report::Aborted(bytes)).expect("the test waits");
    }
}

fn serve_with(set: impl FnOnce(&mut Timeouts)) -> (TestServer, Receiver<Report>) {
    let (reported, reports) = channel();
    let app = move || {
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .post("/echo", |req| Ok(Response::bytes(req.body())))
            .upload("POST", "/up", Count(reported))
    };
    (server::run_with(|_, timeouts| set(timeouts), move |_| app()), reports)
}

fn serve() -> (TestServer, Receiver<Report>) {
    serve_with(|_| {})
}

#[track_caller]
fn finished(reports: &Receiver<Report>, bytes: u64) {
    match reports.recv() {
        Ok(Report::Finished(reported)) => assert_eq!(reported, bytes),
        other => panic!("not finished: {other:?}"),
    }
}

#[track_caller]
fn aborted(reports: &Receiver<Report>, bytes: u64) {
    match reports.recv() {
        Ok(Report::Aborted(reported)) => assert_eq!(reported, bytes),
        other => panic!("not aborted: {other:?}"),
    }
}

#[test]
fn uploads_arrive_whole_and_several_at_once() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    let piece = vec![b'x'; 100_000];
    let streams = [(); 10].map(|()| client.start(&head("POST", "/up"), false));
    for round in 0..20 {
        for stream in streams {
            client.data(stream, &piece, round == 19);
        }
    }
    for stream in streams {
        assert_eq!(client.response(stream).text(), "2000000");
        finished(&reports, 2_000_000);
    }
    // Trailers, and a response that comes later, or is there already.
    for then in ["later", "now"] {
        let stream = client.start(&head("POST", "/up"), false);
        client.data(stream, b"abc", false);
        client.trailers(stream, &[("x-then", then)]);
        assert_eq!(client.response(stream).text(), then);
        finished(&reports, 3);
    }
    assert_eq!(client.request(&head("POST", "/up"), b"").text(), "0");
    finished(&reports, 0);
}

/// The client may fill the stream's window, and meanwhile everything else goes on.
#[test]
fn a_paused_upload_keeps_no_other_waiting() {
    let (server, reports) = serve_with(|timeouts| timeouts.body_stall = SHORT);
    let mut client = Client::connect(server.addr);
    client.wait_for_settings();
    let mut content = vec![b'P'; 200_000];
    let paused = client.start(&head("POST", "/up"), false);
    client.data(paused, &content[..1], false);
    let Ok(Report::Paused(resume)) = reports.recv() else { panic!("not paused") };
    let mut sent = 1 + client.session.data(paused, &content[1..], true);
    client.ping();
    sent += client.session.data(paused, &content[sent..], true);
    assert!(sent <= 65_535 + 1, "{sent} bytes were allowed");
    // More than the window of the connection.
    let other = vec![b'x'; 1 << 20];
    for _ in 0..4 {
        assert!(client.request(&head("POST", "/echo"), &other).body == other);
    }
    assert_eq!(client.get("/").text(), "hello");
    assert!(!client.session.is_writable(paused) || client.session.sendable(paused, 1) == 0);
    resume.resume();
    client.data(paused, &content.split_off(sent), true);
    assert_eq!(client.response(paused).text(), "200000");
    finished(&reports, 200_000);
    assert_eq!(server.wait(|_| true).timeouts, 0);
}

/// RFC 9113 §8.1: the response comes first, and then the client learns that the rest is not needed.
#[test]
fn an_upload_that_is_refused_is_answered_and_its_stream_reset() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    let mut check = |path: &str, content: &str, status: u16| {
        let stream = client.start(&head("POST", path), false);
        client.data(stream, content.as_bytes(), false);
        assert_eq!(client.response(stream).status, status, "{path} {content}");
        let reset = client.frame(|frame| frame.kind == kind::RST_STREAM);
        assert_eq!((reset.stream, reset.number(0)), (stream, Some(code::NO_ERROR)), "{path} {content}");
        // What was on its way is ignored.
        client.send_frame(&Frame::data(stream, "more", false));
        assert_eq!(client.get("/").text(), "hello");
    };
    check("/up?refuse", "abc", 403);
    check("/up?panic", "abc", 500);
    check("/up", "E abc", 422);
    aborted(&reports, 0);
    check("/up", "! abc", 500);
    aborted(&reports, 0);
    let mut long = head("POST", "/up");
    long.push(("content-length", "9000000"));
    let stream = client.start(&long, false);
    assert_eq!(client.response(stream).status, 413);
    // Without its length.
    let stream = client.start(&head("POST", "/up"), false);
    client.data(stream, &vec![b'x'; 9_000_000], true);
    assert_eq!(client.response(stream).status, 413);
    assert!(matches!(reports.recv(), Ok(Report::Aborted(_))));
    assert_eq!(server.wait(|_| true).panics, 2);
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn an_upload_whose_client_resets_it_is_aborted() {
    let (server, reports) = serve();
    let mut client = Client::connect(server.addr);
    for content in ["abcd", "Paused"] {
        let stream = client.start(&head("POST", "/up"), false);
        client.data(stream, content.as_bytes(), false);
        let resume = match content {
            "Paused" => reports.recv().ok(),
            _ => None,
        };
        client.ping();
        client.reset(stream, code::CANCEL);
        aborted(&reports, content.len() as u64);
        drop(resume);
        assert_eq!(client.get("/").text(), "hello");
    }
    // So does the end of the connection, for all its streams.
    for _ in 0..3 {
        let stream = client.start(&head("POST", "/up"), false);
        client.data(stream, b"abc", false);
    }
    client.ping();
    drop(client);
    (0..3).for_each(|_| aborted(&reports, 3));
    server.wait(|counters| counters.connections == 0);
}

fn serve_later(set: impl FnOnce(&mut Timeouts)) -> (TestServer, Receiver<Responder>) {
    let (later, responders) = channel();
    let app = move || {
        App::new().get("/", |_req| Ok(Response::text("hello"))).get("/later", move |_req| {
            let (response, responder) = Response::defer();
            later.send(responder).expect("the test waits");
            Ok(response)
        })
    };
    (server::run_with(|_, timeouts| set(timeouts), move |_| app()), responders)
}

#[test]
fn deferred_responses_come_in_any_order() {
    let (server, responders) = serve_later(|_| {});
    let mut client = Client::connect(server.addr);
    let streams = [(); 10].map(|()| client.start(&head("GET", "/later"), true));
    let later: Vec<Responder> = streams.iter().map(|_| responders.recv().expect("it was called")).collect();
    assert_eq!(client.get("/").text(), "hello");
    for (number, responder) in later.into_iter().enumerate().rev() {
        let answer = match number % 3 {
            0 => responder.send(Response::text(number.to_string())),
            1 => responder.send(Error::not_found(number.to_string())),
            _ => responder.send(Response::bytes(vec![b'0' + number as u8; 100_000])),
        };
        answer.expect("the client waits");
        let response = client.response(streams[number]);
        match number % 3 {
            2 => assert!(response.body == vec![b'0' + number as u8; 100_000]),
            rest => assert_eq!((response.status, response.text()), ([200, 404][rest], &*number.to_string())),
        }
    }
}

#[test]
fn a_response_that_takes_too_long_is_504() {
    let (server, responders) = serve_later(|timeouts| timeouts.answer = SHORT);
    let mut client = Client::connect(server.addr);
    let stream = client.start(&head("GET", "/later"), true);
    let responder = responders.recv().expect("it was called");
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(client.response(stream).status, 504);
    assert_eq!(responder.send(Response::text("late")), Err(Gone));
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(server.wait(|counters| counters.requests == 3).timeouts, 1);
}

#[test]
fn answering_a_stream_that_its_client_has_reset_fails() {
    let (server, responders) = serve_later(|_| {});
    let mut client = Client::connect(server.addr);
    let [left, stays] = [(); 2].map(|()| client.start(&head("GET", "/later"), true));
    let [gone, waits] = [(); 2].map(|()| responders.recv().expect("it was called"));
    client.reset(left, code::CANCEL);
    client.ping();
    assert_eq!(client.get("/").text(), "hello");
    assert!(gone.is_gone() && !waits.is_gone());
    assert_eq!(gone.send(Response::text("late")), Err(Gone));
    waits.send(Response::text("in time")).expect("the client waits");
    assert_eq!(client.response(stays).text(), "in time");
    // Dropping a responder sends an error response.
    let stream = client.start(&head("GET", "/later"), true);
    drop(responders.recv().expect("it was called"));
    assert_eq!(client.response(stream).status, 500);
    drop(client);
    server.wait(|counters| counters.connections == 0);
}

/// Produces as many bytes as it was asked for in the query, each the low bits of its position, and then ends or fails.
struct Numbers {
    at: usize,
    bytes: usize,
    fails: bool,
    panics: bool,
}

impl Source for Numbers {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        let left = (self.bytes - self.at).min(5000).min(room.left());
        for byte in &mut room.spare()[..left] {
            *byte = self.at as u8;
            self.at += 1;
        }
        room.filled(left);
        match (self.at < self.bytes, self.fails) {
            (true, _) => Ok(Progress::More),
            (false, false) => Ok(Progress::End),
            (false, true) if self.panics => panic!("planted"),
            (false, true) => Err(Error::internal("planted")),
        }
    }
}

#[test]
fn content_of_a_source_arrives_whole_or_its_stream_is_reset() {
    let server = server::run(|_| {
        let source = |fails: bool| Numbers { at: 0, bytes: 300_000, fails, panics: false };
        App::new()
            .get("/", |_req| Ok(Response::text("hello")))
            .get("/open", move |_req| Ok(Response::source(None, source(false))))
            .get("/sized", move |_req| Ok(Response::source(Some(300_000), source(false))))
            .get("/fails", move |_req| Ok(Response::source(None, source(true))))
            .get("/panics", move |_req| Ok(Response::source(None, Numbers { panics: true, ..source(true) })))
    });
    let mut client = Client::connect(server.addr);
    let expected: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
    let open = [(); 10].map(|()| client.start(&head("GET", "/open"), true));
    let failing = ["/fails", "/panics"].map(|path| client.start(&head("GET", path), true));
    let sized = client.get("/sized");
    assert_eq!(sized.field("content-length"), Some("300000"));
    assert!(sized.body == expected);
    for stream in open {
        let response = client.response(stream);
        assert_eq!(response.field("content-length"), None);
        assert!(response.body == expected);
    }
    for stream in failing {
        assert_eq!(client.outcome(stream), Err(Failure::Reset(code::INTERNAL_ERROR)));
    }
    let empty = client.request(&head("HEAD", "/sized"), b"");
    assert_eq!((empty.field("content-length"), empty.text()), (Some("300000"), ""));
    assert_eq!(client.get("/").text(), "hello");
}

fn serve_events() -> (TestServer, Receiver<EventSender>) {
    let (opened, senders) = channel();
    let app = move || {
        App::new().get("/", |_req| Ok(Response::text("hello"))).get("/events", move |_req| {
            let (response, events) = Response::events(1000);
            opened.send(events).expect("the test waits");
            Ok(response)
        })
    };
    (server::run(move |_| app()), senders)
}

#[test]
fn events_arrive_on_their_stream() {
    let (server, senders) = serve_events();
    let mut client = Client::connect(server.addr);
    let streams = [(); 3].map(|()| client.start(&head("GET", "/events"), true));
    let mut events: Vec<EventSender> =
        streams.iter().map(|_| senders.recv().expect("it was called")).collect();
    for stream in streams {
        let (status, fields) = client.response_head(stream);
        let media_type = fields.iter().find(|(name, _)| name == b"content-type").expect("a type");
        assert_eq!((status, &media_type.1[..]), (200, &b"text/event-stream"[..]));
        assert_eq!(client.content(stream, 3), b":\n\n");
    }
    for (number, (stream, events)) in streams.iter().zip(&mut events).enumerate().rev() {
        let text = number.to_string();
        assert_eq!(events.try_send(&Event::data(&text)), Ok(Pushed::Sent));
        assert_eq!(client.content(*stream, 9), format!("data: {number}\n\n").as_bytes());
    }
    // The client resets one stream, the server ends one, and the third goes on.
    client.reset(streams[0], code::CANCEL);
    client.ping();
    assert_eq!(client.get("/").text(), "hello");
    assert!(events[0].is_gone() && !events[1].is_gone());
    drop(events.remove(1));
    assert_eq!(client.response(streams[1]).body, b"");
    assert_eq!(events[1].comment("still there"), Pushed::Sent);
    assert_eq!(client.content(streams[2], 15), b": still there\n\n");
    drop(client);
    server.wait(|counters| counters.connections == 0);
    assert!(events[1].is_gone());
}
