//! What the program serves: its routes, a directory, and only the groups that are asked for, on each address.

use crate::program::{
    Folder, PATIENCE, Running, Scratch, keep_alive, next_message, program, refused, status,
};
use std::io::BufRead;
use std::net::{SocketAddr, TcpListener, TcpStream};
use tungstenite::Message;

#[test]
fn every_route_answers() {
    let running = Running::serve(&[]);
    let check = |answer: String, content_type: &str, body: &str| {
        assert_eq!(status(&answer), 200, "{answer}");
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        let typed = format!("\r\ncontent-type: {content_type}\r\n");
        assert!(format!("{head}\r\n").to_lowercase().contains(&typed), "{head}");
        assert!(content.contains(body), "{content}");
        content.len()
    };
    check(running.get("/"), "text/html; charset=utf-8", "<title>Fleeting</title>");
    check(running.get("/plaintext"), "text/plain; charset=utf-8", "Hello, World!");
    check(running.get("/json"), "application/json", "{\"message\":\"Hello, World!\"}");
    check(running.get("/healthz"), "text/plain; charset=utf-8", "ok");
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n";
    check(running.answer(&format!("{post}\r\na=b")), "application/octet-stream", "a=b");
    let typed = format!("{post}Content-Type: x-a/b; c=\"d\"\r\n\r\na=b");
    assert_eq!(check(running.answer(&typed), "x-a/b; c=\"d\"", "a=b"), 3);
    assert_eq!(status(&running.get("/nothing")), 404);
    assert_eq!(status(&running.get("/echo")), 405);
}

#[test]
fn a_directory_is_served_instead_of_the_page() {
    let folder = Folder::new("served");
    std::fs::write(folder.0.join("index.html"), "home").unwrap();
    std::fs::write(folder.0.join("plaintext"), "not this").unwrap();
    std::fs::write(folder.0.join("a.css"), "a{}").unwrap();
    std::fs::write(folder.0.join("b.ndjson"), "{}").unwrap();
    let media_type = "ndjson=application/x-ndjson";
    let config =
        Scratch::new("served", &format!("files = '{}'\nmedia_type = '{media_type}'\n", folder.path()));
    let from_environment = {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("FLEETING_FILES", folder.path()).env("FLEETING_MEDIA_TYPE", media_type);
        Running::start(command)
    };
    let flag = Running::serve(&["--files", folder.path(), "--workers", "2", "--media-type", media_type]);
    for running in [flag, from_environment, Running::serve(&["--config", config.path()])] {
        let check = |path: &str, expected: u16, content: &str| {
            let answer = running.get(path);
            assert_eq!(status(&answer), expected, "{path}");
            assert!(answer.ends_with(&format!("\r\n\r\n{content}")), "{answer}");
        };
        check("/", 200, "home");
        check("/a.css", 200, "a{}");
        check("/plaintext", 200, "Hello, World!");
        assert!(running.get("/b.ndjson").to_lowercase().contains("content-type: application/x-ndjson\r\n"));
        check("/nothing", 404, "There is no such file.");
        check("/../a.css", 400, "The path leads out of the root.");
    }
}

/// Finding D4.
#[test]
fn only_the_groups_that_are_asked_for_are_served() {
    let folder = Folder::new("groups");
    for name in ["plaintext", "metrics", "topics", "clients", "healthz"] {
        std::fs::write(folder.0.join(name), "a file").unwrap();
    }
    let running = Running::serve(&["--files", folder.path(), "--serve", "files,metrics"]);
    for path in ["/plaintext", "/topics", "/clients", "/healthz"] {
        assert!(running.get(path).ends_with("\r\n\r\na file"), "{path}");
    }
    assert!(running.get("/metrics").contains("fleeting_requests_total"), "the route takes precedence");
    for path in ["/census", "/json", "/lesson/arena/clients", "/page.js", "/hub", "/ws"] {
        let expected = if path == "/census" { 200 } else { 404 };
        assert_eq!(status(&running.get(path)), expected, "{path}");
    }
    assert_eq!(running.status_of_content(1), 405, "no echo, only files");
    let config = Scratch::new("groups", "serve = ['hub', 'health']\n");
    let mut command = program(&["--listen", "127.0.0.1:0", "--config", config.path()]);
    command.env("FLEETING_HOST", "a");
    let running = Running::start(command);
    for (path, expected) in
        [("/", 404), ("/topics", 200), ("/healthz", 200), ("/clients", 404), ("/metrics", 404)]
    {
        assert_eq!(
            status(&running.answer(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))),
            expected
        );
    }
    refused(program(&["--serve", "files"]), 2, &["--serve", "no directory", "--files DIR"]);
    refused(program(&["--files", folder.path(), "--serve", "hub"]), 2, &["--serve", "is not served"]);
    refused(program(&["--serve", "chat"]), 2, &["--serve", "`chat`", "files, page, plain"]);
}

/// Finding D4.
#[test]
fn metrics_and_census_have_a_listener_of_their_own() {
    let mut running = Running::serve(&["--admin-listen", "127.0.0.1:0"]);
    let stdout = running.stdout.as_mut().expect("it is kept");
    let admin = loop {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the greeting names the second address");
        if let Some(rest) = line.strip_prefix("Metrics: http://") {
            break rest.split('/').next().unwrap().parse::<SocketAddr>().unwrap();
        }
    };
    assert_eq!((status(&running.get("/metrics")), status(&running.get("/census"))), (404, 404));
    assert_eq!(status(&running.get("/topics")), 200);
    let public = std::mem::replace(&mut running.addrs, vec![admin]);
    let metrics = running.get("/metrics");
    // Those of the public worker, whose handlers were reached once.
    assert!(metrics.contains("\nfleeting_requests_total{worker=\"0\"} 1\n"), "{metrics}");
    assert_eq!((status(&running.get("/census")), status(&running.get("/healthz"))), (200, 200));
    assert_eq!((status(&running.get("/topics")), status(&running.get("/"))), (404, 404));
    let rebound = "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(running.status(rebound), 421);
    running.addrs = public;
    running.signal("TERM");
    assert_eq!(running.stderr_line(), "shutting down\n");
    assert_eq!(running.exit_status().code(), Some(0));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    refused(program(&["--listen", "127.0.0.1:0", "--admin-listen", &addr]), 1, &[&addr, "in use"]);
}

#[test]
fn a_missing_directory_is_one_line_and_status_1() {
    let file = Scratch::new("no-directory", "");
    let expected = &["cannot serve the files of", file.path(), "Not a directory"];
    refused(program(&["--files", file.path()]), 1, expected);
    refused(program(&["--files", "/nowhere/at.all"]), 1, &["/nowhere/at.all: No such file"]);
    refused(program(&["--files", ""]), 2, &["--files", "a value is required"]);
    let mut command = program(&[]);
    command.env("FLEETING_FILES", "/nowhere/at.all");
    refused(command, 1, &["/nowhere/at.all"]);
}

#[test]
fn the_websocket_echoes() {
    let running = Running::serve(&[]);
    let mut socket = running.websocket();
    for message in [Message::text("héllo"), Message::binary(vec![0, 255, 7]), Message::text("")] {
        socket.send(message.clone()).unwrap();
        assert_eq!(next_message(&mut socket).unwrap(), message);
    }
}

#[test]
fn an_unchanged_page_is_answered_with_304() {
    let running = Running::serve(&[]);
    for (path, kind) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let answer = running.get(path);
        assert_eq!(status(&answer), 200, "{path}");
        let head = answer.split("\r\n\r\n").next().unwrap();
        let field = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{path} has no {name}: {head}")).split_once(": ").unwrap().1
        };
        assert!(field("content-type").starts_with(kind) && field("content-type").ends_with("charset=utf-8"));
        assert_eq!(field("cache-control"), "no-cache");
        assert!(field("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
        assert_eq!(field("x-content-type-options"), "nosniff");
        let again = |tag: &str| {
            running.answer(&format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-None-Match: {tag}\r\n\r\n"
            ))
        };
        let known = again(field("etag"));
        assert!(status(&known) == 304 && known.ends_with("\r\n\r\n"), "{known}");
        assert_eq!(status(&again("\"another\"")), 200);
    }
}

#[test]
fn two_workers_and_two_addresses_serve() {
    let running =
        Running::start(program(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--workers", "2"]));
    assert_eq!(running.addrs.len(), 2);
    assert_ne!(running.addrs[0], running.addrs[1]);
    for addr in running.addrs.iter().cycle().take(16) {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        keep_alive(&mut stream);
    }
}
