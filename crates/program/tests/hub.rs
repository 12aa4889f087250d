//! The hub does what docs/hub.md says: the test plays each example of the document.

use crate::program::Running;
use fleeting_testkit::client::{Client, TEXT};
use std::fs;

/// Returns the examples: blocks of lines that begin with `>`, `<` or `$`.
fn examples(document: &str) -> Vec<Vec<(char, &str)>> {
    let blocks = document.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks
        .map(|block| {
            let lines = block.lines().filter(|line| !line.is_empty());
            lines.map(|line| (line.chars().next().expect("not empty"), line[1..].trim())).collect()
        })
        .collect()
}

#[test]
fn every_example_of_the_document_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hub.md");
    let document = fs::read_to_string(path).expect("the document exists");
    let examples = examples(&document);
    assert_eq!(examples.len(), 3, "an example was added or removed");
    for workers in ["1", "2"] {
        let program = Running::serve(&["--workers", workers]);
        for example in &examples {
            let mut client = Client::websocket(program.addrs[0], "/hub");
            for (mark, text) in example {
                match mark {
                    '>' => client.frame(TEXT, text),
                    '<' => assert_eq!(client.next_frame().text(), *text, "{example:?}"),
                    '$' => post(&program, text),
                    _ => panic!("unknown mark: {mark}{text}"),
                }
            }
        }
    }
}

/// Sends the request `POST PATH TYPE CONTENT`.
fn post(program: &Running, request: &str) {
    let [method, path, kind, content] = request.splitn(4, ' ').collect::<Vec<_>>()[..] else {
        panic!("not a request: {request}");
    };
    let mut client = Client::connect(program.addrs[0]);
    let length = content.len();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{content}"
    ));
    assert_eq!(client.answer().status, 202, "{request}");
}

#[test]
fn invalid_publications_are_refused() {
    let program = Running::serve(&["--limit", "topic_bytes=10", "--limit", "message_bytes=100"]);
    let check = |path: &str, fields: &str, content: &str, status: u16, message: &str| {
        let mut client = Client::connect(program.addrs[0]);
        let length = content.len();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {length}\r\n\r\n{content}"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{path} {fields} {content}: {}", answer.text());
        assert!(answer.text().contains(message), "{}", answer.text());
    };
    let (text, json) = ("Content-Type: text/plain\r\n", "Content-Type: application/json; charset=utf-8\r\n");
    check("/topics/a", text, "", 202, "");
    check("/topics/caf%C3%A9", json, " null ", 202, "");
    check("/topics/a", "Content-Type: text/plain\r\nOrigin: http://test\r\n", "x", 202, "");
    check("/topics/a*", text, "x", 400, "a filter cannot be published to");
    check("/topics/a%0Ab", text, "x", 400, "control character");
    check("/topics/elevenbytes", text, "x", 400, "10 bytes at most");
    check("/topics/a", json, "{", 400, "not JSON: EOF while parsing");
    check("/topics/a", "Content-Type: text/plain\r\nOrigin: http://evil\r\n", "x", 403, "--origin");
    check("/topics/a", text, &"x".repeat(100), 413, "100 bytes at most");
    check("/topics/a", "", "x", 415, "application/json");
    check("/topics/a", "Content-Type: image/png\r\n", "x", 415, "application/json");
    check("/topics/a", "Content-Type: text/plain; charset=latin1\r\n", "x", 415, "utf-8");
}

/// Returns a list that is streamed.
fn listed(program: &Running, target: &str) -> String {
    let mut client = Client::connect(program.addrs[0]);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client.answer_in_chunks().text().to_string()
}

#[test]
fn topics_are_counted_on_all_workers() {
    let program = Running::serve(&["--workers", "2"]);
    let counts = || listed(&program, "/topics");
    assert_eq!(counts(), "[]");
    let mut clients: Vec<Client> = (0..10).map(|_| Client::websocket(program.addrs[0], "/hub")).collect();
    for client in &mut clients {
        client.frame(TEXT, r#"{"subscribe": "b"}"#);
        client.next_frame();
    }
    clients[0].frame(TEXT, r#"{"subscribe": "a*"}"#);
    clients[0].next_frame();
    for _ in 0..3 {
        post(&program, "POST /topics/b text/plain x");
    }
    for client in &mut clients {
        (0..3).for_each(|_| assert_eq!(client.next_frame().text(), r#"{"topic":"b","data":"x"}"#));
    }
    let expected =
        r#"[{"name":"a*","subscribers":1,"published":0},{"name":"b","subscribers":10,"published":3}]"#;
    assert_eq!(counts(), expected);
    let mut client = clients.swap_remove(0);
    client.frame(2, b"{}");
    assert!(client.next_frame().text().contains("send JSON in a text message"));
}

/// Finding B9.
#[test]
fn many_topics_are_listed_page_by_page() {
    let program = Running::serve(&["--workers", "2"]);
    // A client may have 128 subscriptions. Every other topic has two subscribers, which may be on different workers.
    let mut clients: Vec<Client> = (0..12).map(|_| Client::websocket(program.addrs[0], "/hub")).collect();
    for number in 0..600 {
        for client in (number / 100..12).step_by(6).take(1 + (number + 1) % 2) {
            clients[client].frame(TEXT, format!(r#"{{"subscribe": "topic {number:03}"}}"#));
            clients[client].next_frame();
        }
    }
    let entry = |number: usize| {
        let subscribers = 1 + (number + 1) % 2;
        format!(r#"{{"name":"topic {number:03}","subscribers":{subscribers},"published":0}}"#)
    };
    let entries = |count: usize| format!("[{}]", (0..count).map(entry).collect::<Vec<_>>().join(","));
    for (target, count) in [("/topics", 600), ("/topics?limit=3", 3), ("/topics?limit=300", 300)] {
        assert!(listed(&program, target) == entries(count), "{target}");
    }
    assert_eq!(Client::connect(program.addrs[0]).get("/topics?limit=0").status, 400);
}

#[test]
fn the_shutdown_reports_closed_websockets_and_cut_off_connections() {
    let program = Running::serve(&["--timeout", "grace=200ms", "--timeout", "close=30s"]);
    let clients: Vec<Client> = (0..12).map(|_| Client::websocket(program.addrs[0], "/ws")).collect();
    program.signal("TERM");
    let log = program.stderr_to_end();
    assert!(log.contains("closed with 1001 (going away): 12\n"), "{log}");
    assert!(log.contains("cut off at the end of the grace period: 12\n"), "{log}");
    assert_eq!(log.matches(": a WebSocket, 0 bytes not taken\n").count(), 10, "{log}");
    drop(clients);
}
