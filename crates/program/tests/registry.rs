//! The registry does what docs/registry.md says: the test plays each example of the document.

use crate::program::Running;
use fleeting_testkit::client::{CLOSE, Client, Frame, PATIENCE, TEXT, handshake};
use fleeting_testkit::redis::server::RedisServer;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Sends the request `METHOD PATH [X-Id [CONTENT]]` on a connection of its own. Returns the status and the content.
fn request(program: &Running, text: &str) -> (u16, String) {
    let mut parts = text.splitn(4, ' ');
    let [method, path] = [(); 2].map(|()| parts.next().expect("method and path"));
    let (id, content) = (parts.next(), parts.next().unwrap_or_default());
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    if let Some(id) = id {
        head += &format!("X-Id: {id}\r\n");
    }
    if !content.is_empty() {
        let kind = if content.starts_with(['{', '[', '"']) { "application/json" } else { "text/plain" };
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", content.len());
    }
    if path.starts_with("/clients/ws?") {
        head = handshake(path, "").trim_end().to_string() + "\r\n";
    }
    let mut client = Client::connect(program.addrs[0]);
    client.send(format!("{head}\r\n{content}"));
    let answer = if path == "/clients" && method == "GET" || path.starts_with("/clients?limit=") {
        client.answer_in_chunks()
    } else {
        client.answer()
    };
    (answer.status, answer.text().to_string())
}

fn websocket(program: &Running, id: &str) -> Client {
    Client::websocket(program.addrs[0], &format!("/clients/ws?id={id}"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Replaces the values that differ each time, after a check of their form.
fn normalized(text: &str) -> String {
    fn normalize(value: &mut Value) {
        let Value::Object(map) = value else { return };
        for (key, value) in map {
            let is_valid = match (key.as_str(), &*value) {
                ("at_ms", Value::Number(at)) => at.as_u64().is_some_and(|at| at > 1_767_000_000_000),
                ("from", Value::String(from)) => from.starts_with("127.0.0.1:"),
                ("connection", Value::String(name)) => name
                    .split_once('/')
                    .is_some_and(|(process, conn)| process.contains('.') && conn.split('-').count() == 3),
                _ => {
                    normalize(value);
                    continue;
                }
            };
            assert!(is_valid, "{key}: {value}");
            *value = "…".into();
        }
    }
    if !text.starts_with('{') {
        return text.to_string();
    }
    let mut value = json(text);
    normalize(&mut value);
    value.to_string()
}

#[test]
fn every_example_of_the_document_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/registry.md");
    let document = fs::read_to_string(path).expect("the document exists");
    let blocks: Vec<&str> = document
        .split("```text\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert_eq!(blocks.len(), 4, "an example was added or removed");
    for workers in ["1", "2"] {
        blocks.iter().for_each(|block| play(&Running::serve(&["--workers", workers]), block));
    }
    // A store that blocks reports a removed record only after the handshake, so these examples end before that.
    for block in blocks {
        let redis = RedisServer::start();
        let program = Running::serve(&["--store", &redis.url(), "--workers", "2"]);
        let until = "$ GET /clients/ws?id=alice";
        play(&program, block.split(until).next().expect("text before it"));
    }
}

fn play(program: &Running, block: &str) {
    let (mut clients, mut pending): (Vec<Client>, _) = (Vec::new(), "");
    for line in block.lines() {
        let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "$" => pending = text,
            "=" => {
                let (expected, expected_content) = text.split_once(' ').unwrap_or((text, ""));
                let (status, content) = loop {
                    let answer = request(program, pending);
                    // The store may learn a moment later that a connection has ended.
                    if answer.0 != 200 || expected != "404" {
                        break answer;
                    }
                };
                assert_eq!(status.to_string(), expected, "{line}: {content}");
                assert_eq!(normalized(&content), normalized(expected_content), "{line}");
                // The content comes back byte for byte.
                let sent = |text: &str| {
                    text.split_once("\"sent\":")
                        .map(|(_, rest)| rest.split(",\"at_ms\"").next().map(str::to_string))
                };
                assert_eq!(sent(&content), sent(expected_content), "{line}");
            }
            ">" => match text.split_once(' ').unwrap_or((text, "")) {
                ("open", path) => clients.push(Client::websocket(program.addrs[0], path)),
                ("say", text) => clients.last_mut().expect("an open WebSocket").frame(TEXT, text),
                ("close", _) => {
                    let mut client = clients.pop().expect("an open WebSocket");
                    client.frame(CLOSE, 1000u16.to_be_bytes());
                    assert_eq!(client.next_frame().close_code(), 1000);
                    client.cut_off();
                }
                _ => panic!("unknown action: {line}"),
            },
            "<" => match text.strip_suffix(" on the first") {
                Some(code) => assert_eq!(clients[0].next_frame().close_code().to_string(), code),
                None => {
                    let got = clients.last_mut().expect("an open WebSocket").next_frame();
                    assert_eq!(normalized(got.text()), normalized(text), "{line}");
                }
            },
            _ => panic!("unknown mark: {line}"),
        }
    }
}

#[test]
fn invalid_requests_are_refused() {
    let program = Running::serve(&[]);
    let check = |fields: &str, content: &str, status: u16, message: &str| {
        let mut client = Client::connect(program.addrs[0]);
        let length = content.len();
        client.send(format!(
            "POST /clients HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {length}\r\n\r\n{content}"
        ));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{fields}: {}", answer.text());
        assert!(answer.text().contains(message), "{}", answer.text());
        answer
    };
    check("", "", 400, "X-Id is missing");
    check("X-Id: \r\n", "", 400, "empty");
    check("X-Id: \u{ff}\r\n", "", 201, "");
    check(&format!("X-Id: {}\r\n", "x".repeat(129)), "", 400, "at most 128 bytes");
    check("X-Id: ws\r\n", "", 400, "may not be `ws`");
    check("X-Id: a*\r\n", "", 400, "may not contain `*`");
    check("X-Id: a\r\n", "x", 415, "application/json");
    check("X-Id: a\r\nContent-Type: application/json\r\n", "{", 400, "not JSON");
    check("X-Id: a\r\nContent-Type: text/plain\r\n", &"x".repeat((16 << 10) + 1), 413, "16 KiB");
    check("X-Id: a\r\nOrigin: http://evil\r\n", "", 403, "`http://evil` is not that of the host `test`");
    let made = check("X-Id: a b/€\r\n", "", 400, "may not contain");
    assert_eq!(made.field("location"), None);
    let made = check("X-Id: a b€\r\nOrigin: http://test\r\n", "", 201, "\"id\":\"a b€\"");
    assert_eq!(made.field("location"), Some("/clients/a%20b%E2%82%AC"));
    assert_eq!(made.field("cache-control"), Some("no-store"));
    let (status, found) = request(&program, "GET /clients/a%20b%E2%82%AC");
    assert_eq!((status, json(&found)["id"].as_str()), (200, Some("a b€")));
    assert_eq!(request(&program, "GET /clients/a%2Fb").0, 404);
    assert_eq!(request(&program, "DELETE /clients/nobody").0, 404);
    let mut client = Client::connect(program.addrs[0]);
    assert_eq!(client.get("/clients?limit=0").status, 400);
    client.send("DELETE /clients/a HTTP/1.1\r\nHost: test\r\nOrigin: null\r\n\r\n");
    assert_eq!(client.answer().status, 403);
    client.send(handshake("/clients/ws", ""));
    assert_eq!(client.answer().status, 400);
}

#[test]
fn only_the_registry_publishes_changes() {
    let program = Running::serve(&[]);
    let mut client = Client::connect(program.addrs[0]);
    client.send(
        "POST /topics/clients.alice HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx",
    );
    let answer = client.answer();
    assert_eq!(answer.status, 403, "{}", answer.text());
}

/// Closes a connection and waits until the server has noticed.
fn close(mut client: Client) {
    client.frame(CLOSE, 1000u16.to_be_bytes());
    while client.next_frame().opcode != CLOSE {}
    client.cut_off();
}

#[test]
fn a_record_belongs_to_its_last_connection_and_is_removed_with_it() {
    for workers in ["1", "2"] {
        let program = Running::serve(&["--workers", workers]);
        request(&program, "POST /clients a 1");
        request(&program, "POST /clients b 2");
        // Enough connections to reach each worker.
        let mut holders: Vec<Client> = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..12 {
            let mut holder = websocket(&program, "a");
            let record = json(holder.next_frame().text());
            assert!(names.insert(record["connection"].as_str().expect("a name").to_string()), "{record}");
            if let Some(mut before) = holders.pop() {
                let Frame { opcode, payload } = before.next_frame();
                assert_eq!((opcode, &payload[..2]), (CLOSE, &4409u16.to_be_bytes()[..]));
                before.frame(CLOSE, 4409u16.to_be_bytes());
                before.cut_off();
            }
            holders.push(holder);
            assert_eq!(json(&request(&program, "GET /clients/a").1)["connection"], record["connection"]);
        }
        let mut other = websocket(&program, "b");
        other.next_frame();
        close(holders.pop().expect("the last"));
        assert_eq!(request(&program, "GET /clients/a").0, 404);
        assert_eq!(request(&program, "GET /clients/b").0, 200);
        // A connection that is reset without a Close frame.
        other.reset();
        while request(&program, "GET /clients/b").0 != 404 {}
        assert_eq!(request(&program, "GET /clients").1, "{}");
    }
}

#[test]
fn a_removed_record_is_not_restored() {
    let program = Running::serve(&[]);
    request(&program, "POST /clients a 1");
    let mut holder = websocket(&program, "a");
    holder.next_frame();
    assert_eq!(request(&program, "DELETE /clients/a").0, 204);
    holder.frame(TEXT, "?");
    assert_eq!(holder.next_frame().text(), "null");
    // The end of this connection does not remove another client's record with the same id.
    request(&program, "POST /clients a 2");
    close(holder);
    assert_eq!(json(&request(&program, "GET /clients/a").1)["sent"], "2");
}

#[test]
fn a_record_is_kept_while_it_is_held() {
    let program = Running::serve(&["--client-life", "200ms", "--client-close", "1m"]);
    // In one turn, so that its life is not over before it is held.
    let mut holder = Client::connect(program.addrs[0]);
    let stored = "POST /clients HTTP/1.1\r\nHost: test\r\nX-Id: held\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx";
    holder.send(stored.to_string() + &handshake("/clients/ws?id=held", ""));
    assert_eq!(holder.answer().status, 201);
    assert_eq!(holder.answer_to_head().status, 101);
    holder.next_frame();
    // Several lifetimes of unheld records pass.
    for _ in 0..5 {
        assert_eq!(request(&program, "POST /clients left x").0, 201);
        while request(&program, "GET /clients/left").0 != 404 {}
    }
    holder.frame(TEXT, "?");
    assert_eq!(json(holder.next_frame().text())["id"], "held");
    // The record stays for the configured time, without a connection.
    close(holder);
    let (status, left) = request(&program, "GET /clients/held");
    assert_eq!((status, &json(&left)["connection"]), (200, &Value::Null));
}

#[test]
fn all_records_are_listed_however_many_there_are() {
    const RECORDS: usize = 1000;
    let program = Running::serve(&["--workers", "2"]);
    let mut client = Client::connect(program.addrs[0]);
    let content = "x".repeat(2000);
    for number in 0..RECORDS {
        client.send(format!(
            "POST /clients HTTP/1.1\r\nHost: test\r\nX-Id: id \"{number}\"\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{content}",
            content.len()
        ));
        assert_eq!(client.answer().status, 201);
    }
    let (status, all) = request(&program, "GET /clients");
    let all = json(&all);
    let all = all.as_object().expect("a map");
    assert_eq!((status, all.len()), (200, RECORDS));
    for (id, record) in all {
        assert_eq!(
            (record["id"].as_str(), record["sent"].as_str()),
            (Some(id.as_str()), Some(content.as_str()))
        );
    }
    for limit in [1, 33, RECORDS, RECORDS + 1] {
        let (_, some) = request(&program, &format!("GET /clients?limit={limit}"));
        assert_eq!(json(&some).as_object().expect("a map").len(), limit.min(RECORDS));
    }
    client.send("HEAD /clients HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer_to_head().status, 200);
}

#[test]
fn many_connections_with_one_id_leave_no_held_record_behind() {
    let program = Running::serve(&["--workers", "2"]);
    thread::scope(|scope| {
        for number in 0..8 {
            let program = &program;
            scope.spawn(move || {
                for round in 0..20 {
                    let sent = format!("{number}.{round}");
                    request(program, &format!("POST /clients all {sent}"));
                    let mut client = Client::connect(program.addrs[0]);
                    client.send(handshake("/clients/ws?id=all", ""));
                    // The end of another connection may have removed the record in the meantime.
                    let answer = client.answer();
                    assert!(matches!(answer.status, 101 | 404), "{}", answer.head);
                    if answer.status == 101 {
                        let frame = client.next_frame();
                        assert!(frame.opcode == CLOSE || json(frame.text())["id"] == "all", "{frame:?}");
                    }
                }
            });
        }
    });
    // All connections are gone. A record that is left was stored by a client that never came to hold it.
    loop {
        let (status, record) = request(&program, "GET /clients/all");
        if status == 404 || json(&record)["connection"].is_null() {
            break;
        }
    }
}

/// Repeats the request until `is_expected` accepts the answer, and returns its content.
fn until(program: &Running, text: &str, is_expected: impl Fn(u16, &str) -> bool) -> String {
    let begin = Instant::now();
    loop {
        let (status, content) = request(program, text);
        if is_expected(status, &content) {
            return content;
        }
        assert!(begin.elapsed() < PATIENCE, "{text} stays {status} {content}");
    }
}

#[test]
fn servers_that_share_a_store_share_the_records() {
    let redis = RedisServer::start();
    let [a, b] =
        ["a", "b"].map(|node| Running::serve(&["--store", &redis.url(), "--node", node, "--workers", "2"]));
    let mut watcher = Client::websocket(b.addrs[0], "/hub");
    watcher.frame(TEXT, r#"{"subscribe": "clients.*"}"#);
    watcher.next_frame();
    assert_eq!(request(&a, "POST /clients alice hello").0, 201);
    assert_eq!(request(&b, "POST /clients alice again").0, 200);
    assert_eq!(json(&request(&a, "GET /clients/alice").1)["sent"], "again");
    let mut on_a = websocket(&a, "alice");
    let held_by_a = json(on_a.next_frame().text())["connection"].clone();
    assert!(held_by_a.as_str().expect("a name").starts_with("a."), "{held_by_a}");
    // The record is taken over on the other server. The end of the first connection then changes nothing.
    let mut on_b = websocket(&b, "alice");
    let held_by_b = json(on_b.next_frame().text())["connection"].clone();
    assert!(held_by_b.as_str().expect("a name").starts_with("b."), "{held_by_b}");
    close(on_a);
    on_b.frame(TEXT, "?");
    assert_eq!(json(on_b.next_frame().text())["connection"], held_by_b);
    assert_eq!(json(&request(&a, "GET /clients").1)["alice"]["connection"], held_by_b);
    close(on_b);
    until(&a, "GET /clients/alice", |status, _| status == 404);
    // Each change was published on the other server, too.
    let mut published = Vec::new();
    while published.last() != Some(&Value::Null) {
        published.push(json(watcher.next_frame().text())["data"].clone());
    }
    assert!(published.iter().any(|record| record["sent"] == "hello"), "{published:?}");
    assert!(published.iter().any(|record| record["connection"] == held_by_a), "{published:?}");
    assert!(published.iter().any(|record| record["connection"] == held_by_b), "{published:?}");
}

#[test]
fn the_records_of_a_dead_server_expire_with_their_lease() {
    let redis = RedisServer::start();
    let arguments = ["--store", &redis.url(), "--client-life", "500ms"];
    let (a, b) = (Running::serve(&arguments), Running::serve(&arguments));
    let mut clients = [(&a, "on-a"), (&b, "on-b")].map(|(program, id)| {
        request(program, &format!("POST /clients {id}"));
        let mut client = websocket(program, id);
        client.next_frame();
        client
    });
    a.signal("KILL");
    until(&b, "GET /clients/on-a", |status, _| status == 404);
    clients[1].frame(TEXT, "?");
    assert_eq!(json(clients[1].next_frame().text())["id"], "on-b", "its lease was renewed in the meantime");
}

#[test]
fn an_unavailable_store_affects_nothing_else() {
    let mut redis = RedisServer::start();
    let program = Running::serve(&["--store", &redis.url(), "--workers", "2"]);
    assert_eq!(request(&program, "POST /clients a hello").0, 201);
    let mut holder = websocket(&program, "a");
    holder.next_frame();
    for down in ["killed", "stopped"] {
        match down {
            "killed" => redis.kill(),
            _ => redis.signal("STOP"),
        }
        for text in ["POST /clients a x", "GET /clients/a", "DELETE /clients/a"] {
            let begin = Instant::now();
            let (status, content) = request(&program, text);
            let took = begin.elapsed();
            assert_eq!(status, 503, "{down}: {text}: {content}");
            // The limit is 250 ms, and an answer within 300 ms is promised. A busy machine may take longer.
            assert!(took < Duration::from_secs(2), "{down}: {text} took {took:?}");
        }
        let mut client = Client::connect(program.addrs[0]);
        assert_eq!(client.get("/plaintext").text(), "Hello, World!");
        assert_eq!(client.get("/metrics").status, 200);
        assert_eq!(websocket(&program, "a").next_frame().close_code(), 1013);
        match down {
            "killed" => redis.restart(),
            _ => redis.signal("CONT"),
        }
        until(&program, "POST /clients a back", |status, _| matches!(status, 200 | 201));
        let back = until(&program, "GET /clients/a", |status, _| status == 200);
        assert_eq!(json(&back)["sent"], "back");
    }
}
