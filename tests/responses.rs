//! A response is sent with exactly the fields and the content that its status allows.

use fleeting::{
    App, Error, Message, Progress, Request, Response, Room, Socket, Source, TopicError, WebSocket,
};
use fleeting_testkit::client::Client;
use fleeting_testkit::server;
use std::io;

/// Lets no client in.
struct Closed;

impl WebSocket for Closed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Err(Error::unauthorized("Bearer", "The token is missing.").header("retry-after", "7"))
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

struct Hello;

impl Source for Hello {
    fn read(&mut self, _room: &mut Room<'_>) -> Result<Progress, Error> {
        panic!("nothing asks for this content");
    }
}

/// RFC 9110 §15.3.6. Finding E3.
#[test]
fn a_205_has_no_content() {
    let server = server::run(|_| {
        App::new()
            .get("/memory", |_req| Ok(Response::text("reset").with_status(205)))
            .get("/source", |_req| Ok(Response::source(None, Hello).with_status(205)))
            .get("/", |_req| Ok(Response::text("hello")))
    });
    let mut client = Client::connect(server.addr);
    for path in ["/memory", "/source"] {
        let answer = client.get(path);
        assert_eq!(
            (answer.status, answer.field("content-length"), answer.text()),
            (205, Some("0"), ""),
            "{path}"
        );
        assert_eq!(answer.field("transfer-encoding"), None);
        assert_eq!(client.get("/").text(), "hello");
    }
}

/// Finding A6.
#[test]
fn a_handshake_is_refused_with_fields() {
    let server = server::run(|_| App::new().ws("/ws", Closed));
    let mut client = Client::connect(server.addr);
    client.send(fleeting_testkit::client::handshake("/ws", ""));
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (401, "The token is missing."));
    assert_eq!((answer.field("www-authenticate"), answer.field("retry-after")), (Some("Bearer"), Some("7")));
}

#[test]
fn errors_that_handlers_meet_become_responses() {
    fn check(error: impl Into<Error>, status: u16, message: &str) {
        let error = error.into();
        assert_eq!((error.status(), error.message()), (status, message));
    }
    check(io::Error::from(io::ErrorKind::NotFound), 404, "There is nothing here.");
    check(io::Error::other("/etc/secret"), 500, "The server could not read or write something.");
    check(std::fmt::Error, 500, "A value could not be formatted.");
    check("1x".parse::<u32>().unwrap_err(), 400, "A number is wrong: invalid digit found in string.");
    check("".parse::<f64>().unwrap_err(), 400, "A number is wrong: cannot parse float from empty string.");
    check(
        "yes".parse::<bool>().unwrap_err(),
        400,
        "A value is wrong: provided string was not `true` or `false`.",
    );
    check(TopicError::Empty, 400, "the topic's name is empty.");
    check(TopicError::MessageTooBig(5), 413, "a message may have 5 bytes at most.");
    check(TopicError::TooManyTopics(5), 503, "there may be 5 topics at most.");
    check(fleeting::PublishError::Full, 503, "the worker's mailbox is full.");
    check(
        fleeting::PublishError::Topic(TopicError::MessageTooBig(5)),
        413,
        "a message may have 5 bytes at most.",
    );
    check(fleeting::SendError::Gone, 503, "there is no such worker.");
    let wrong = serde_json::from_str::<u32>("\"a\"").unwrap_err();
    check(wrong, 400, "invalid type: string \"a\", expected u32 at line 1 column 3");
}
