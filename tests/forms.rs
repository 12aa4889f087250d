//! The pairs of a query or a form arrive decoded: all of them, in order.

use fleeting::{App, Error, Pairs, Request, Response};
use fleeting_testkit::client::Client;
use fleeting_testkit::server;
use std::fmt::Write as _;

/// Answers with a line for each pair.
fn list<'r>(req: &Request<'r>, pairs: Pairs<'r>) -> Result<Response<'r>, Error> {
    let mut lines = req.arena().writer();
    for (name, value) in pairs {
        writeln!(lines, "{name}: {value}").expect("writing to memory cannot fail");
    }
    Ok(Response::text("").body(lines.finish()))
}

fn app() -> App {
    App::new()
        .get("/query", |req| list(req, req.query_pairs()))
        .post("/form", |req| list(req, req.form_pairs()?))
}

/// Finding E14.
#[test]
fn every_value_of_a_repeated_name_can_be_read() {
    let server = server::run(|_| app());
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/query?tag=red&tag=dark+blue&tag=").text(), "tag: red\ntag: dark blue\ntag: \n");
}

#[test]
fn a_form_is_read_in_either_framing() {
    let server = server::run(|_| app());
    let mut client = Client::connect(server.addr);
    let head = "POST /form HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let expected = "name: Ann E.\nname: Bob\npassword: 100%\n";
    let content = "name=Ann+E%2E&name=Bob&password=100%";
    client.send(format!("{head}Content-Length: {}\r\n\r\n{content}", content.len()));
    assert_eq!(client.answer().text(), expected);
    let (first, second) = content.split_at(12); // inside an encoded octet
    let chunks = format!("c\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert_eq!(client.answer().text(), expected);
}

#[test]
fn what_is_no_form_is_refused_and_the_connection_lives_on() {
    let server = server::run(|_| app());
    let mut client = Client::connect(server.addr);
    let mut check = |fields: &str, content: &str, status: u16, text: &str| {
        let length = content.len();
        client.send(format!(
            "POST /form HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {length}\r\n\r\n{content}"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (status, text), "{fields}{content}");
    };
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let other = "The Content-Type must be application/x-www-form-urlencoded.";
    check("", "a=1", 415, other);
    check("Content-Type: application/json\r\n", "{}", 415, other);
    let coded = format!("{form}Content-Encoding: gzip\r\n");
    check(&coded, "a=1", 415, "The content must not be in a content coding.");
    check(form, "a=%E2%82", 400, "The form is not UTF-8.");
    check(form, "a=1", 200, "a: 1\n");
}
