//! Pages of other sites reach nothing that shows or changes state, whatever their Host and Origin; load tools and probes
//! reach what has no state.

use crate::program::Running;
use fleeting_testkit::client::{Answer, Client, handshake};

/// Requests for each route that shows or changes state, and the status that a page of the server's own gets.
const WITH_STATE: &[(&str, u16)] = &[
    ("GET /topics", 200),
    ("GET /topics/a*b", 400),
    ("POST /topics/a", 202),
    ("GET /hub", 101),
    ("GET /clients", 200),
    ("POST /clients", 201),
    ("GET /clients/a", 200),
    ("GET /clients/ws?id=nobody", 404),
    ("DELETE /clients/a", 204),
    ("GET /metrics", 200),
    ("GET /census", 200),
    ("GET /lesson/arena/clients", 200),
    ("POST /lesson/arena/clients", 201),
    ("GET /lesson/arena/clients/a", 200),
    ("POST /lesson/arena/messages", 202),
    ("GET /lesson/arena/ws?id=a", 101),
    ("DELETE /lesson/arena/clients/a", 204),
    ("DELETE /lesson/arena/clients", 204),
];

const WITHOUT_STATE: &[(&str, u16)] = &[
    ("GET /", 200),
    ("GET /page.js", 200),
    ("GET /plaintext", 200),
    ("GET /json", 200),
    ("GET /healthz", 200),
    ("POST /echo", 200),
    ("GET /ws", 101),
];

fn is_handshake(line: &str) -> bool {
    let path = line.trim_start_matches("GET ").split('?').next();
    path.is_some_and(|path| path.ends_with("/ws") || path == "/hub")
}

/// Sends a request for `host` with further fields, and with what its route needs.
fn send(running: &Running, line: &str, host: &str, fields: &str) -> Answer {
    let mut client = Client::connect(running.addrs[0]);
    let (method, target) = line.split_once(' ').expect("a method and a target");
    if is_handshake(line) {
        client.send(handshake(target, fields).replace("Host: test\r\n", &format!("Host: {host}\r\n")));
        return client.answer_to_head();
    }
    let content =
        if method == "POST" { "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx" } else { "\r\n" };
    let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nX-Id: a\r\n{fields}");
    client.send(head + content);
    client.answer_to_head()
}

#[track_caller]
fn check(running: &Running, requests: &[(&str, u16)], host: &str, fields: &str, expected: Option<u16>) {
    for (line, own) in requests {
        let answer = send(running, line, host, fields);
        assert_eq!(
            answer.status,
            expected.unwrap_or(*own),
            "{line} for {host} with {fields:?}: {}",
            answer.head
        );
    }
}

/// Finding D1.
#[test]
fn on_the_loopback_only_its_own_names_are_served() {
    let running = Running::serve(&[]);
    let port = running.addrs[0].port();
    for name in ["localhost", "app.localhost", "127.0.0.1", "127.0.0.2", "[::1]", "test"] {
        let host = format!("{name}:{port}");
        check(&running, WITH_STATE, &host, &format!("Origin: http://{host}\r\n"), None);
    }
    for host in [format!("evil.example:{port}"), "10.0.0.7".into(), "localhost.evil.example".into()] {
        // For the browser this is the page's own origin.
        let rebound = format!("Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n");
        for fields in ["", &rebound] {
            check(&running, WITH_STATE, &host, fields, Some(421));
            check(&running, WITHOUT_STATE, &host, fields, None);
        }
    }
    let mut client = Client::connect(running.addrs[0]);
    client.send("GET /topics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let refused = client.answer();
    assert!(
        refused.text().contains("`evil.example`") && refused.text().contains("--host"),
        "{}",
        refused.text()
    );
    let any = Running::serve(&["--host", "*"]);
    check(&any, WITH_STATE, "evil.example", "", None);
}

/// Finding D1.
#[test]
fn on_other_addresses_a_host_is_checked_if_one_is_named() {
    // This machine reaches it over the loopback, but nothing listens there alone.
    let listen = ["--listen", "0.0.0.0:0", "--host"];
    let running = Running::serve_on(&listen[..2]);
    check(&running, WITH_STATE, "any.example", "", None);
    let running = Running::serve_on(&[&listen[..], &["chat.example"]].concat());
    check(&running, WITH_STATE, "chat.example:80", "", None);
    check(&running, WITH_STATE, "any.example", "", Some(421));
    check(&running, WITHOUT_STATE, "any.example", "", None);
}

/// Findings D2 and D3.
#[test]
fn pages_of_other_origins_change_nothing() {
    let running = Running::serve(&["--origin", "https://app.example", "--origin", "null"]);
    let all = [WITH_STATE, WITHOUT_STATE].concat();
    let changes = |(line, _): &&(&str, u16)| !line.starts_with("GET ") || is_handshake(line);
    let (changing, showing): (Vec<_>, Vec<_>) = all.iter().partition(changes);
    for fields in [
        "Origin: https://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://localhost\r\nSec-Fetch-Site: same-site\r\n",
    ] {
        check(&running, &changing, "localhost", fields, Some(403));
    }
    check(
        &running,
        &[("GET /clients", 200), ("GET /topics", 200)],
        "localhost",
        "Origin: https://evil.example\r\n",
        None,
    );
    assert!(showing.len() > 8);
    for fields in [
        "",
        "Origin: http://localhost\r\n",
        "Origin: https://outside.example\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: null\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        check(&running, &all, "localhost", fields, None);
    }
    let mut client = Client::connect(running.addrs[0]);
    client.send(
        "POST /lesson/arena/messages HTTP/1.1\r\nHost: localhost:1\r\nOrigin: https://evil.example\r\n\r\n",
    );
    let refused = client.answer();
    for expected in ["`https://evil.example`", "`localhost:1`", "--origin"] {
        assert!(refused.text().contains(expected), "{}", refused.text());
    }
}

/// A page that may change things may also read the answers, which a browser does not let it do unasked.
#[test]
fn pages_of_a_named_origin_read_the_answers() {
    let running = Running::serve(&["--origin", "https://app.example"]);
    let (app, other) = ("Origin: https://app.example\r\n", "Origin: https://other.example\r\n");
    let asks = "Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: x-id\r\n";
    for (line, fields, status, allowed) in [
        ("GET /topics", app, 200, true),
        ("GET /topics/a", app, 200, true),
        ("GET /census", app, 200, true),
        ("DELETE /clients/nobody", app, 404, true),
        ("GET /topics", other, 200, false),
        ("GET /topics", "", 200, false),
        ("OPTIONS /clients/a", &format!("{app}{asks}"), 204, true),
        ("OPTIONS /clients/a", &format!("{other}{asks}"), 204, false),
    ] {
        let answer = send(&running, line, "localhost", fields);
        assert_eq!((answer.status, answer.field("vary")), (status, Some("Origin")), "{line} {fields}");
        let allow = answer.field("access-control-allow-origin");
        assert_eq!(allow, allowed.then_some("https://app.example"), "{line} {fields}");
        let methods = answer.field("access-control-allow-methods");
        assert_eq!(methods.is_some(), allowed && line.starts_with("OPTIONS"), "{line} {fields}");
    }
    let without = send(&Running::serve(&[]), "GET /topics", "localhost", app);
    assert_eq!((without.field("vary"), without.field("access-control-allow-origin")), (None, None));
}

/// Finding D5.
#[test]
fn what_a_client_has_sent_is_never_shown_as_a_document() {
    let running = Running::serve(&[]);
    let mut client = Client::connect(running.addrs[0]);
    client.send(
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\n<script>",
    );
    let echo = client.answer();
    assert_eq!((echo.status, echo.text(), echo.field("content-type")), (200, "<script>", Some("text/html")));
    assert_eq!(echo.field("content-disposition"), Some("attachment"));
    assert_eq!(echo.field("x-content-type-options"), Some("nosniff"));
    for (line, _) in WITH_STATE.iter().filter(|(line, _)| !is_handshake(line)) {
        let answer = send(&running, line, "test", "");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{line}");
        assert_ne!(answer.field("content-type"), Some("text/html; charset=utf-8"), "{line}");
    }
}
