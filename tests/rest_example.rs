//! The application of the example `rest`, served in memory: what a test of one's own application looks like.
//!
//! Its `main` and its behaviour on a socket are tested in `tests/examples`.

use fleeting::Limits;
use fleeting::testing::{self, TestServer};
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;

#[path = "../examples/rest/app/mod.rs"]
mod app;

const ADA: &str = "Bearer ada-token";

#[derive(Debug, Deserialize, PartialEq)]
struct Note {
    id: u64,
    author: String,
    title: String,
    attachments: Vec<Attachment>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Attachment {
    name: String,
    bytes: usize,
}

/// A worker with state that no other worker shares.
fn serve() -> TestServer {
    serve_with(&app::Shared::default())
}

fn serve_with(shared: &app::Shared) -> TestServer {
    let mut limits = Limits::default();
    limits.body_bytes = app::CONTENT_BYTES_MAX;
    testing::builder().limits(limits).serve_with(|worker| app::app(worker, shared))
}

#[track_caller]
fn create(server: &TestServer, title: &str) -> Note {
    let draft = serde_json::json!({ "title": title, "text": "" });
    let answer = server.post("/api/notes").header("authorization", ADA).json(&draft).send();
    assert_eq!(answer.status(), 201, "{}", answer.text());
    answer.json()
}

#[test]
fn a_note_is_created_and_read_in_pages() {
    let server = serve();
    for title in ["a", "b", "c"] {
        assert_eq!(create(&server, title).title, title);
    }
    let read =
        |target: &str| -> serde_json::Value { server.get(target).header("authorization", ADA).send().json() };
    assert_eq!(read("/api/notes/2")["author"], "ada");
    let mut seen = Vec::new();
    let mut next = serde_json::json!(0);
    while !next.is_null() {
        let page = read(&format!("/api/notes?limit=2&after={next}"));
        seen.extend(page["notes"].as_array().unwrap().iter().map(|note| note["id"].as_u64().unwrap()));
        next = page["next"].clone();
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[test]
fn two_workers_share_notes_and_sessions_but_not_their_counters() {
    let shared = app::Shared::default();
    let (first, second) = (serve_with(&shared), serve_with(&shared));
    let login = first
        .post("/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("name=bob&password=builder")
        .send();
    let cookie = login.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap();
    create(&first, "tea");
    let note: Note = second.get("/api/notes/1").header("cookie", cookie).send().json();
    assert_eq!((&*note.title, &*note.author), ("tea", "ada"));
    let figures = |server: &TestServer| -> serde_json::Value {
        server.get("/admin").header("authorization", ADA).send().json()
    };
    assert_eq!(figures(&first), serde_json::json!({ "notes": 1, "sessions": 1, "requests": 2 }));
    assert_eq!(figures(&second), serde_json::json!({ "notes": 1, "sessions": 1, "requests": 1 }));
}

#[test]
fn a_file_arrives_in_pieces_of_any_length() {
    let server = serve();
    create(&server, "tea");
    let form = "--b\r\nContent-Disposition: form-data; name=file; filename=a.txt\r\n\r\nhello\r\n--b--\r\n";
    for (number, bytes) in [1, 7, form.len()].into_iter().enumerate() {
        let answer = server
            .post("/api/notes/1/attachments")
            .header("authorization", ADA)
            .header("content-type", "multipart/form-data; boundary=b")
            .chunks(form.as_bytes().chunks(bytes))
            .send();
        let files: Vec<Attachment> = answer.json();
        assert_eq!((answer.status(), files.len()), (201, number + 1));
        assert_eq!(files[number], Attachment { name: "a.txt".into(), bytes: 5 });
        let target = format!("/api/notes/1/attachments/{number}");
        assert_eq!(server.get(&target).header("authorization", ADA).send().body(), b"hello");
    }
}

#[test]
fn watchers_hear_of_changes() {
    let server = serve();
    let mut events = server.events("/api/notes/changes").header("authorization", ADA).open();
    let socket = server.ws("/api/notes/changes/ws").header("authorization", ADA).open();
    create(&server, "tea");
    assert_eq!(events.receive().data, "created 1");
    assert_eq!(socket.receive_text(), "created 1");
    server.shutdown();
    server.advance(Duration::from_secs(1));
    assert!(events.has_ended());
    assert_eq!(socket.close_code(), Some(1001));
}

#[test]
fn nobody_is_let_in_without_a_token() {
    let server = serve();
    let refused = server.ws("/api/notes/changes/ws").try_open().unwrap_err();
    assert_eq!((refused.status(), refused.header("www-authenticate")), (401, Some("Bearer")));
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        for target in ["/api/notes", "/api/notes/1", "/api/notes/1/attachments", "/api/notes/x/y", "/admin"] {
            assert_eq!(server.request(method, target).send().status(), 401, "{method} {target}");
        }
    }
}

#[test]
fn each_address_has_a_rate_of_its_own() {
    let server = serve();
    let peer = |last: u8| server.connect_from(SocketAddr::from(([192, 0, 2, last], 50_000)));
    let greedy = peer(1);
    // Tokens come back while the test runs, so it asks until one is missing.
    let refused = (0..100_000).map(|_| greedy.get("/login").send()).find(|answer| answer.status() != 200);
    let refused = refused.expect("the rate is limited");
    assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("1")));
    assert_eq!(peer(2).get("/login").send().status(), 200);
}

#[test]
fn a_slow_or_broken_request_gets_json_too() {
    let server = serve();
    let slow = server.raw("GET /api/notes HTTP/1.1\r\n");
    server.advance(Duration::from_secs(11));
    let answer = slow.answer();
    assert_eq!((answer.status(), answer.header("content-type")), (408, Some("application/problem+json")));
    assert_eq!(answer.json::<serde_json::Value>()["status"], 408);
    let large = server.post("/api/notes").body("x".repeat(app::CONTENT_BYTES_MAX + 1)).send();
    assert_eq!(large.json::<serde_json::Value>()["status"], 413);
}
