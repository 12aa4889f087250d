//! The REST service: its notes, its users and each of its layers, as a client sees them.
//!
//! It knows the service by its header and its paths only.

use crate::running::Example;
use fleeting_testkit::client::{Answer, Client, TEXT, handshake};

const ADA: &str = "Authorization: Bearer ada-token\r\n";
const BOB: &str = "Authorization: Bearer bob-token\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const FILES: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

fn request(line: &str, fields: &str, content: &str) -> String {
    let length = content.len();
    format!("{line} HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {length}\r\n\r\n{content}")
}

#[track_caller]
fn ask(client: &mut Client, line: &str, fields: &str, content: &str) -> Answer {
    client.send(request(line, fields, content));
    client.answer()
}

/// Expects this status, and an error as JSON with this title.
#[track_caller]
fn expect_problem(answer: &Answer, status: u16, title: &str) {
    assert_eq!((answer.status, answer.field("content-type")), (status, Some("application/problem+json")));
    let start = format!("{{\"status\":{status},\"title\":\"{title}\"");
    assert!(answer.text().starts_with(&start), "{}", answer.text());
}

/// A file in a form.
fn file(name: &str, content: &str) -> String {
    let head = format!("Content-Disposition: form-data; name=file; filename=\"{name}\"");
    format!("--b\r\n{head}\r\n\r\n{content}\r\n--b--\r\n")
}

pub fn rest() {
    let example = Example::start("rest");
    refuses_everything_without_a_user(&example);
    keeps_notes(&example);
    logs_in(&example);
    takes_attachments(&example);
    tells_of_changes(&example);
    answers_other_origins(&example);
    gives_ids_to_requests(&example);
    limits_the_rate_of_an_address(&example);
    has_an_administrator(&example);
    answers_what_it_cannot_read(&example);
    let log = example.terminate();
    for start in
        ["GET /api/notes 401 ", "POST /api/notes 201 ", "GET /api/notes/1 304 ", "POST /api/notes 413 "]
    {
        let line =
            log.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {log:?}"));
        let (bytes, duration) = line[start.len()..].split_once(" B ").expect("bytes and a duration");
        assert!(bytes.parse::<u64>().is_ok_and(|bytes| bytes > 100), "{line}");
        assert!(duration.ends_with('s'), "{line}");
    }
    assert!(log.iter().all(|line| !line.contains('?')), "the log has a query: {log:?}");
}

/// One layer, which is named nowhere but around the routes.
fn refuses_everything_without_a_user(example: &Example) {
    let note = r#"{"title":"t","text":"x"}"#;
    let requests = [
        request("GET /api/notes", "", ""),
        request("POST /api/notes", JSON, note),
        request("PUT /api/notes/1", JSON, note),
        request("DELETE /api/notes/1", "", ""),
        request("OPTIONS /api/notes", "", ""),
        request("BREW /api/notes", "", ""),
        request("POST /api/notes/1/attachments", FILES, &file("a", "a")),
        request("GET /api/notes/changes", "", ""),
        handshake("/api/notes/changes/ws", ""),
        request("GET /api/notes/unknown/path", "", ""),
        request("GET /admin", "", ""),
        request("GET /admin/unknown", "", ""),
    ];
    for request in requests {
        for credentials in
            ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic YTpi\r\n", "Cookie: session=0\r\n"]
        {
            let request = request.replacen("Host: test\r\n", &format!("Host: test\r\n{credentials}"), 1);
            let mut client = example.client();
            client.send(&request);
            let answer = client.answer();
            assert_eq!(answer.field("www-authenticate"), Some("Bearer"), "{request}");
            expect_problem(&answer, 401, "Log in, or send a token.");
        }
    }
}

fn keeps_notes(example: &Example) {
    let client = &mut example.client();
    let created =
        ask(client, "POST /api/notes", &[ADA, JSON].concat(), r#"{"title":"Tea","text":"caf\u00e9"}"#);
    assert_eq!((created.status, created.field("location")), (201, Some("/api/notes/1")));
    let text = r#"{"id":1,"revision":1,"author":"ada","title":"Tea","text":"café","attachments":[]}"#;
    assert_eq!((created.text(), created.field("etag")), (text, Some("\"1\"")));
    for (title, id) in [("second", 2), ("third", 3)] {
        let draft = format!(r#"{{"title":"{title}","text":""}}"#);
        let created = ask(client, "POST /api/notes", &[BOB, JSON].concat(), &draft);
        assert_eq!(created.field("location"), Some(&*format!("/api/notes/{id}")));
    }
    let mut list = |query: &str| ask(client, &format!("GET /api/notes{query}"), ADA, "").text().to_string();
    let first = r#"{"id":1,"author":"ada","title":"Tea"}"#;
    let second = r#"{"id":2,"author":"bob","title":"second"}"#;
    let third = r#"{"id":3,"author":"bob","title":"third"}"#;
    assert_eq!(list(""), format!(r#"{{"notes":[{first},{second},{third}],"next":null}}"#));
    assert_eq!(list("?limit=2"), format!(r#"{{"notes":[{first},{second}],"next":2}}"#));
    assert_eq!(list("?limit=2&after=2"), format!(r#"{{"notes":[{third}],"next":null}}"#));
    assert_eq!(list("?after=3"), r#"{"notes":[],"next":null}"#);
    assert_eq!(list("?limit=0"), r#"{"notes":[],"next":null}"#);
    assert_eq!(ask(client, "GET /api/notes?limit=all", ADA, "").status, 400);

    let mut check = |line: &str, condition: &str, content: &str, status: u16, tag: Option<&str>| {
        let fields = [ADA, JSON, condition].concat();
        let answer = ask(client, line, &fields, content);
        assert_eq!((answer.status, answer.field("etag")), (status, tag), "{line} {condition}");
        answer
    };
    assert_eq!(check("GET /api/notes/1", "", "", 200, Some("\"1\"")).text(), text);
    let not_modified = check("GET /api/notes/1", "If-None-Match: \"1\"\r\n", "", 304, Some("\"1\""));
    assert_eq!(not_modified.field("cache-control"), Some("private, no-cache"));
    let draft = r#"{"title":"Tea","text":"Assam"}"#;
    check("PUT /api/notes/1", "If-Match: \"1\"\r\n", draft, 200, Some("\"4\""));
    check("PUT /api/notes/1", "If-Match: \"1\"\r\n", r#"{"title":"lost","text":""}"#, 412, None);
    assert!(
        check("GET /api/notes/1", "If-None-Match: \"1\"\r\n", "", 200, Some("\"4\""))
            .text()
            .contains("Assam")
    );
    check("DELETE /api/notes/2", "If-Match: \"1\"\r\n", "", 412, None);
    check("DELETE /api/notes/2", "", "", 204, None);
    expect_problem(&check("GET /api/notes/2", "", "", 404, None), 404, "There is no such note.");
    expect_problem(&check("GET /api/notes/all", "", "", 404, None), 404, "There is no such note.");
    expect_problem(
        &check("POST /api/notes", "", r#"{"title":"","text":""}"#, 400, None),
        400,
        "A title has 1 to 200 bytes.",
    );
    check("POST /api/notes", "", r#"{"title":"no text"}"#, 400, None);
    let refused = check("PATCH /api/notes/1", "", draft, 405, None);
    expect_problem(&refused, 405, "The method is not allowed here.");
    assert_eq!(refused.field("allow"), Some("GET, PUT, DELETE, HEAD, OPTIONS"));
    let other = ask(client, "POST /api/notes", &[ADA, FORM].concat(), "title=a");
    expect_problem(&other, 415, "The Content-Type must be application/json.");
    // The fallback's, outside of what needs a user.
    expect_problem(&client.get("/unknown"), 404, "There is nothing at this path.");
}

/// Logs in as bob. Returns the field that a browser then sends.
fn session(client: &mut Client) -> String {
    let answer = ask(client, "POST /login", FORM, "name=bob&password=builder");
    assert_eq!((answer.status, answer.field("location")), (303, Some("/api/notes")));
    let cookie = answer.field("set-cookie").expect("a cookie");
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; Max-Age=28800; HttpOnly; SameSite=Strict");
    assert_eq!(pair.len(), "session=".len() + 32, "{pair}");
    format!("Cookie: {pair}\r\n")
}

fn logs_in(example: &Example) {
    let client = &mut example.client();
    assert!(client.get("/login").text().contains("<form method=post>"));
    expect_problem(
        &ask(client, "POST /login", FORM, "name=bob&password=x"),
        403,
        "The name or the password is wrong.",
    );
    expect_problem(
        &ask(client, "POST /login", FORM, "name=bob"),
        400,
        "The form needs a name and a password.",
    );
    assert_eq!(ask(client, "POST /login", JSON, "{}").status, 415);
    let cookie = session(client);
    assert_ne!(cookie, session(client), "a token is used twice");
    // Whichever worker answers.
    for _ in 0..10 {
        assert_eq!(ask(&mut example.client(), "GET /api/notes", &cookie, "").status, 200);
    }
    let created = ask(client, "POST /api/notes", &[&cookie, JSON].concat(), r#"{"title":"b","text":""}"#);
    assert!(created.text().contains(r#""author":"bob""#), "{}", created.text());
    let left = ask(client, "POST /logout", &cookie, "");
    assert_eq!((left.status, left.field("location")), (303, Some("/login")));
    assert!(left.field("set-cookie").is_some_and(|cookie| cookie.starts_with("session=; Path=/; Max-Age=0")));
    assert_eq!(ask(client, "GET /api/notes", &cookie, "").status, 401);
}

fn takes_attachments(example: &Example) {
    let client = &mut example.client();
    let form = [ADA, FILES].concat();
    let stored = ask(client, "POST /api/notes/1/attachments", &form, &file("a.txt", "hello"));
    let list = r#"[{"name":"a.txt","bytes":5}]"#;
    assert_eq!(
        (stored.status, stored.text(), stored.field("content-type")),
        (201, list, Some("application/json"))
    );
    let note = ask(client, "GET /api/notes/1", ADA, "");
    assert!(note.text().ends_with(&format!(r#""attachments":{list}}}"#)), "{}", note.text());
    assert_eq!(note.field("etag"), Some("\"6\""), "the note has changed");
    let loaded = ask(client, "GET /api/notes/1/attachments/0", ADA, "");
    assert_eq!((loaded.text(), loaded.field("content-disposition")), ("hello", Some("attachment")));
    expect_problem(&ask(client, "GET /api/notes/1/attachments/1", ADA, ""), 404, "There is no such file.");
    let text = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n";
    for (path, fields, content, status) in [
        ("/api/notes/1/attachments", FILES, text, 400),
        ("/api/notes/1/attachments", FILES, "--b--\r\n", 400),
        ("/api/notes/1/attachments", JSON, "{}", 415),
        ("/api/notes/9/attachments", FILES, text, 404),
    ] {
        let answer = ask(&mut example.client(), &format!("POST {path}"), &[ADA, fields].concat(), content);
        let rendered = answer.field("content-type");
        assert_eq!((answer.status, rendered), (status, Some("application/problem+json")), "{path} {content}");
    }
    // More than the whole form may have: refused before it is sent.
    let mut client = example.client();
    client.send(format!(
        "POST /api/notes/1/attachments HTTP/1.1\r\nHost: test\r\n{form}Content-Length: 2097153\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 413);
    let large = file("large", &"x".repeat((1 << 20) + 1));
    let answer = ask(&mut example.client(), "POST /api/notes/1/attachments", &form, &large);
    assert_eq!(answer.status, 413);
}

fn tells_of_changes(example: &Example) {
    let mut events = example.client();
    events.send(request("GET /api/notes/changes", ADA, ""));
    assert_eq!(events.answer_to_head().field("content-type"), Some("text/event-stream"));
    let client = &mut example.client();
    let cookie = session(client);
    let mut socket = example.client();
    socket.send(handshake("/api/notes/changes/ws", &cookie));
    assert_eq!(socket.answer_to_head().status, 101);
    let draft = r#"{"title":"watched","text":""}"#;
    assert_eq!(ask(client, "PUT /api/notes/3", &[ADA, JSON].concat(), draft).status, 200);
    assert_eq!(socket.next_frame().text(), "replaced 3");
    assert!(events.text_in_chunks("data: replaced 3\n".len()).contains("data: replaced 3\n"));
    assert_eq!(ask(client, "DELETE /api/notes/3", ADA, "").status, 204);
    assert_eq!(socket.next_frame().text(), "deleted 3");
    socket.frame(TEXT, "hello");
    assert_eq!(socket.next_frame().close_code(), 1003);
}

fn answers_other_origins(example: &Example) {
    const WANTED: &str = "Access-Control-Request-Method: PUT\r\n";
    const ORIGIN: &str = "Origin: https://notes.example\r\n";
    const STRANGER: &str = "Origin: https://elsewhere.example\r\n";
    let client = &mut example.client();
    let mut check = |line: &str, fields: &[&str], status: u16, allowed: bool, methods: bool| {
        let answer = ask(client, line, &fields.concat(), "");
        assert_eq!((answer.status, answer.field("vary")), (status, Some("Origin")), "{line} {fields:?}");
        let origin = answer.field("access-control-allow-origin");
        assert_eq!(origin, allowed.then_some("https://notes.example"), "{line} {fields:?}");
        assert_eq!(answer.field("access-control-allow-methods").is_some(), methods, "{line} {fields:?}");
    };
    // A preflight has no token, and needs none.
    check("OPTIONS /api/notes/1", &[ORIGIN, WANTED], 204, true, true);
    check("OPTIONS /api/notes/1", &[STRANGER, WANTED], 204, false, false);
    check("OPTIONS /api/notes/1", &[ORIGIN], 401, true, false);
    check("OPTIONS /api/notes/1", &[ORIGIN, ADA], 204, true, false);
    check("GET /api/notes", &[ORIGIN, ADA], 200, true, false);
    check("GET /api/notes", &[STRANGER, ADA], 200, false, false);
    check("GET /api/notes", &[ADA], 200, false, false);
    // A page can read errors too.
    check("GET /api/notes", &[ORIGIN], 401, true, false);
    check("GET /unknown", &[ORIGIN], 404, true, false);
}

fn gives_ids_to_requests(example: &Example) {
    let client = &mut example.client();
    let mut id = |sent: &str| {
        let answer = ask(client, "GET /unknown", &format!("X-Request-Id: {sent}\r\n"), "");
        let id = answer.field("x-request-id").expect("an id").to_string();
        assert!(answer.text().ends_with(&format!(r#""request_id":"{id}"}}"#)), "{}", answer.text());
        id
    };
    assert_eq!(id("a.B-7_"), "a.B-7_");
    let made = [id(""), id("a b"), id("a\"b"), id(&"x".repeat(65))];
    for (index, id) in made.iter().enumerate() {
        assert!(id.len() > 16 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{id}");
        assert!(!made[..index].contains(id), "{id} is used twice");
    }
}

fn limits_the_rate_of_an_address(example: &Example) {
    let mut client = Client::connect_from([127, 0, 0, 2].into(), example.addr);
    let mut passed = 0;
    let refused = loop {
        let answer = client.get("/login");
        match answer.status {
            200 => passed += 1,
            _ => break answer,
        }
        assert!(passed < 100_000, "nothing is refused");
    };
    assert!(passed >= 100, "{passed} have passed");
    expect_problem(&refused, 429, "There were too many requests.");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(example.client().get("/login").status, 200, "another address");
}

fn has_an_administrator(example: &Example) {
    let client = &mut example.client();
    let cookie = session(client);
    for path in ["GET /admin", "DELETE /admin/sessions", "GET /admin/unknown"] {
        expect_problem(&ask(client, path, &cookie, ""), 403, "This is for administrators.");
    }
    let figures = ask(client, "GET /admin", ADA, "");
    assert!(figures.text().starts_with(r#"{"notes":2,"sessions":"#), "{}", figures.text());
    expect_problem(&ask(client, "GET /admin/unknown", ADA, ""), 404, "There is nothing at this path.");
    assert_eq!(ask(client, "DELETE /admin/sessions", ADA, "").status, 200);
    assert_eq!(ask(client, "GET /api/notes", &cookie, "").status, 401);
}

/// No layer sees these.
fn answers_what_it_cannot_read(example: &Example) {
    let mut client = example.client();
    client.send("GET / HTTP/1.1\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("content-type")), (400, Some("application/problem+json")));
    let mut client = example.client();
    client
        .send(format!("POST /api/notes HTTP/1.1\r\nHost: test\r\n{ADA}{JSON}Content-Length: 65537\r\n\r\n"));
    expect_problem(&client.answer(), 413, "The content is too large.");
}
