//! The program's routes, settings and their sources, error messages, and signals.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// Of open(2), on Linux.
const O_NONBLOCK: i32 = 0o4000;

/// Longer than anything here takes. After it a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the program with these arguments, without the settings of the environment.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleeting"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLEETING_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running server, killed when this is dropped.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Kept open: a program whose standard output is closed has a test of its own.
    stdout: Option<BufReader<ChildStdout>>,
    /// The addresses in its greeting.
    pub addrs: Vec<SocketAddr>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.spawn().expect("the program was built for this test");
        let mut stdout = BufReader::new(child.stdout.take().expect("the output is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("the output is piped"));
        let mut addrs = Vec::new();
        loop {
            let mut line = String::new();
            let bytes = stdout.read_line(&mut line).expect("text");
            match line.trim().strip_prefix("http://") {
                Some(addr) => addrs.push(addr.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"))),
                // The addresses are on consecutive lines.
                None if bytes == 0 || !addrs.is_empty() => break,
                None => {}
            }
        }
        let mut running = Running { child, stderr, stdout: Some(stdout), addrs };
        if running.addrs.is_empty() {
            let mut log = String::new();
            let _ = running.stderr.read_to_string(&mut log);
            panic!("the program printed no address: {log}");
        }
        running
    }

    /// Starts the server on a free port, for the host of the tests' clients, with further arguments.
    pub fn serve(args: &[&str]) -> Running {
        Running::start(program(&[&["serve", "--listen", "127.0.0.1:0", "--host", "test"], args].concat()))
    }

    /// Starts the server with these arguments alone.
    pub fn serve_on(args: &[&str]) -> Running {
        let mut running = Running::start(program(args));
        for addr in &mut running.addrs {
            if addr.ip().is_unspecified() {
                addr.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
        }
        running
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addrs[0]).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Returns the answer to `request`, up to the end of the connection.
    fn answer(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn status(&self, request: &str) -> u16 {
        status(&self.answer(request))
    }

    fn get(&self, path: &str) -> String {
        self.answer(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// Returns the status of a request with `bytes` of content.
    fn status_of_content(&self, bytes: usize) -> u16 {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n");
        self.status(&format!("{head}\r\n{}", "x".repeat(bytes)))
    }

    fn websocket(&self) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/ws", self.addrs[0]);
        tungstenite::client(url, self.connect()).expect("the handshake succeeds").0
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill(1) exists").success());
    }

    /// Returns the next line of standard error.
    pub fn stderr_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// Waits until the program ends by itself, and returns the rest of standard error.
    pub fn stderr_to_end(mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).expect("text");
        text
    }

    /// Waits until the program ends by itself, and returns how.
    pub fn exit_status(mut self) -> ExitStatus {
        let (ended, output_end) = mpsc::channel();
        let mut stdout = self.stdout.take().expect("taken only once");
        thread::spawn(move || ended.send(stdout.read_to_end(&mut Vec::new())));
        output_end.recv_timeout(PATIENCE).expect("the program ends").unwrap();
        self.child.wait().unwrap()
    }
}

fn status(answer: &str) -> u16 {
    let number = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    number.unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// Reads what has arrived. With a read timeout set, a signal may interrupt the wait.
fn read_some(stream: &mut TcpStream, into: &mut [u8]) -> usize {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.unwrap(),
        }
    }
}

/// Reads the next message, with the same care.
fn next_message(socket: &mut WebSocket<TcpStream>) -> Result<Message, tungstenite::Error> {
    loop {
        match socket.read() {
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Sends a keep-alive request on `stream` and reads its answer.
fn keep_alive(stream: &mut TcpStream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"\r\n\r\nok") {
        let bytes = read_some(stream, &mut piece);
        assert!(bytes > 0, "the server closed the connection");
        answer.extend_from_slice(&piece[..bytes]);
    }
}

/// A file that exists during one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path of the target folder is UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A folder that exists during one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path of the target folder is UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

// ---------------------------------------------------------------- routes

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

// ---------------------------------------------------------------- settings

/// Finding F4.
#[test]
fn all_addresses_and_one_worker_for_each_processor_are_served() {
    for listen in ["*:0", ":0"] {
        let running = Running::serve_on(&["--listen", listen, "--workers", "auto"]);
        assert_eq!(status(&running.get("/healthz")), 200, "{listen}, over IPv4");
        let processors = thread::available_parallelism().unwrap().get();
        let metrics = running.get("/metrics");
        let workers = metrics.lines().filter(|line| line.starts_with("fleeting_connections{")).count();
        assert_eq!(workers, processors, "{metrics}");
    }
}

#[test]
fn flags_override_the_environment_which_overrides_the_file_which_overrides_the_defaults() {
    let file = Scratch::new("precedence", "[limits]\nbody_bytes = 300\nheaders = 3\n");
    let run = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(args).envs(environment.iter().copied());
        Running::start(command)
    };
    let check = |running: Running, body_bytes: usize| {
        assert_eq!(running.status_of_content(body_bytes), 200, "{body_bytes}");
        assert_eq!(running.status_of_content(body_bytes + 1), 413, "{body_bytes}");
        running
    };
    let (flag, environment) = (["--limit", "body_bytes=100"], ("FLEETING_LIMIT_BODY_BYTES", "200"));
    check(run(&[], &[]), 1 << 20);
    let from_file = check(run(&["--config", file.path()], &[]), 300);
    // Settings that later sources do not name stay as in the file.
    assert_eq!(from_file.status("GET /healthz HTTP/1.1\r\nHost: a\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"), 431);
    check(run(&[], &[("FLEETING_CONFIG", file.path())]), 300);
    let both = check(run(&["--config", file.path()], &[environment]), 200);
    assert_eq!(both.status("GET /healthz HTTP/1.1\r\nHost: a\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"), 431);
    check(run(&[flag[0], flag[1], "--config", file.path()], &[environment]), 100);
    // The file of the flag replaces that of the environment, which is not even read.
    check(run(&["--config", file.path()], &[("FLEETING_CONFIG", "/nowhere/at.all")]), 300);
}

#[test]
fn addresses_and_workers_come_from_the_file_and_the_environment() {
    let file = Scratch::new("listen", "listen = '127.0.0.1:0'\nworkers = 2\n[timeouts]\nidle = '1m'\n");
    assert_eq!(Running::start(program(&["--config", file.path()])).addrs.len(), 1);
    let mut command = program(&["--config", file.path()]);
    command.env("FLEETING_LISTEN", "127.0.0.1:0,127.0.0.1:0").env("FLEETING_WORKERS", "1");
    let running = Running::start(command);
    assert_eq!(running.addrs.len(), 2);
    assert_eq!(status(&running.get("/healthz")), 200);
}

#[test]
fn a_timeout_takes_effect() {
    let running = Running::serve(&["--timeout", "idle=100ms"]);
    let mut stream = running.connect();
    keep_alive(&mut stream);
    assert_eq!(read_some(&mut stream, &mut [0; 16]), 0, "an idle connection is closed");
}

// ---------------------------------------------------------------- error messages

/// Runs the program to its end and returns its status, standard output and standard error.
pub fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Checks that the program ends with this status and one line that contains all of `expected`.
#[track_caller]
pub fn refused(mut command: Command, expected_status: i32, expected: &[&str]) {
    let mut child = command.spawn().unwrap();
    let mut stdout = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut stdout).unwrap();
    if !stdout.is_empty() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    let (status, stderr) = (output.status.code(), String::from_utf8(output.stderr).unwrap());
    assert!(stdout.is_empty(), "{stdout}");
    assert_eq!(status, Some(expected_status), "{stderr}");
    assert!(stderr.starts_with("fleeting: ") && stderr.ends_with('\n'), "{stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for expected in expected {
        assert!(stderr.contains(expected), "{stderr} does not contain {expected}");
    }
}

#[test]
fn a_taken_port_is_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for workers in ["1", "2"] {
        refused(program(&["--listen", &addr, "--workers", workers]), 1, &[&addr, "in use"]);
    }
}

#[test]
fn a_wrong_flag_is_one_line_and_status_2() {
    refused(program(&["serve", "--wrokers", "2"]), 2, &["--wrokers", "--workers"]);
    refused(program(&["sing"]), 2, &["sing"]);
    refused(program(&["--listen"]), 2, &["--listen"]);
    refused(program(&["--listen", "8080"]), 2, &["--listen", "`8080`", "HOST:PORT"]);
    refused(program(&["--workers", "0"]), 2, &["--workers", "`0`", "from 1"]);
    refused(program(&["--workers", "-1"]), 2, &["--workers", "`-1`"]);
    refused(program(&["--limit", "body_bytes"]), 2, &["--limit body_bytes", "NAME=VALUE"]);
    refused(program(&["--limit", "body=1"]), 2, &["unknown name `body`", "body_bytes"]);
    refused(program(&["--limit", "body_bytes=8Mb"]), 2, &["bad value `8Mb`", "8MiB"]);
    refused(program(&["--limit", "body_bytes=1\n2"]), 2, &["1\\n2"]);
    refused(program(&["--timeout", "idel=1s"]), 2, &["unknown name `idel`", "idle"]);
    refused(program(&["--timeout", "idle=10"]), 2, &["bad value `10`", "1.5s"]);
    // Findings F1, F2 and F4.
    refused(program(&["--timeout", "tls=5s"]), 2, &["unknown name `tls`"]);
    refused(program(&["--client-life", "10"]), 2, &["bad value `10`", "above zero"]);
    refused(program(&["--listen", "127.0.0.1:99999"]), 2, &["`127.0.0.1:99999`", "the port is above 65535"]);
    refused(program(&["--listen", "fd:3"]), 2, &["`fd:3`", "only TCP addresses"]);
    refused(program(&["--admin-listen", "localhost"]), 2, &["`localhost`", "there is no port"]);
    refused(program(&["--store", "memroy"]), 2, &["--store", "neither `memory`", "redis://HOST"]);
    refused(program(&["--store", "redis://user@host"]), 2, &["--store", "a user without a password"]);
    refused(program(&["--store", "rediss://host"]), 2, &["--store", "TLS to Redis is not supported"]);
    refused(program(&["--store", "redis://a", "--node", ""]), 2, &["--node", "1 to 64 bytes"]);
}

#[test]
fn a_wrong_file_is_one_line_with_the_line_number() {
    refused(program(&["--config", "/nowhere/at.all"]), 1, &["cannot read /nowhere/at.all"]);
    refused(program(&["--config", env!("CARGO_MANIFEST_DIR")]), 1, &["cannot read", "directory"]);
    let check = |name: &str, text: &str, expected: &[&str]| {
        let file = Scratch::new(name, text);
        refused(program(&["--config", file.path()]), 2, &[&[file.path()], expected].concat());
        let mut command = program(&[]);
        command.env("FLEETING_CONFIG", file.path());
        refused(command, 2, expected);
    };
    check("malformed", "workers = 1\nlisten = [\n", &[".toml:2: "]);
    check(
        "key",
        "port = 80\n",
        &[
            ".toml:1: port: unknown key",
            "expected one of listen, admin_listen, workers, files, media_type, serve, host, origin, compression, slow_consumer, io, store",
        ],
    );
    check("limit", "[limits]\nbody = 80\n", &[".toml:2: limits.body: unknown name", "body_bytes"]);
    check("value", "[timeouts]\nidle = \"soon\"\n", &[".toml:2: timeouts.idle: bad value `soon`"]);
}

#[test]
fn a_wrong_variable_is_one_line_and_status_2() {
    let check = |name: &str, value: &str, expected: &[&str]| {
        let mut command = program(&[]);
        command.env(name, value);
        refused(command, 2, &[&[name], expected].concat());
    };
    check("FLEETING_WORKERS", "many", &["`many`"]);
    check("FLEETING_LISTEN", "127.0.0.1", &["`127.0.0.1`", "HOST:PORT"]);
    check("FLEETING_LIMIT_BODY_BYTES", "lots", &["`lots`"]);
    check("FLEETING_LIMIT_BODY", "1", &["FLEETING_LIMIT_BODY_BYTES"]);
    check("FLEETING_TIMEOUT_IDLE", "10", &["`10`", "1.5s"]);
    check("FLEETING_BOGUS", "1", &["unknown variable", "FLEETING_LISTEN"]);
    check("FLEETING_STORE", "redis://host:port", &["the port should be a number"]);
    check("FLEETING_NODE", "a\u{7}", &["no control characters"]);
}

#[test]
fn a_password_is_never_printed() {
    let secret = "redis://user:s3cret@host/x";
    let (code, _, stderr) = outcome(program(&["--store", secret]));
    assert!(code == Some(2) && !stderr.contains("s3cret"), "{stderr}");
    let file = Scratch::new("secret", &format!("store = '{secret}'\n"));
    let (code, _, stderr) = outcome(program(&["--config", file.path()]));
    assert!(code == Some(2) && !stderr.contains("s3cret"), "{stderr}");
    let mut running = Running::serve(&["--store", "redis://user:s3cret@nobody.invalid"]);
    let line = running.stderr_line();
    assert!(line.starts_with("redis://user:***@nobody.invalid:6379 is unavailable: "), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
    assert_eq!(status(&running.get("/healthz")), 200, "the server works without Redis");
}

#[test]
fn help_and_version_are_printed() {
    let (status, stdout, stderr) = outcome(program(&["--version"]));
    assert_eq!(
        (status, stdout, stderr),
        (Some(0), format!("fleeting {}\n", env!("CARGO_PKG_VERSION")), String::new())
    );
    let printed = |args: &[&str]| {
        let (status, stdout, stderr) = outcome(program(args));
        assert_eq!((status, &*stderr), (Some(0), ""), "{args:?}");
        stdout
    };
    // Finding F3.
    for args in [&["version"][..], &["-V"]] {
        assert_eq!(printed(args), format!("fleeting {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    let serve = printed(&["help", "serve"]);
    assert!(serve.contains("Usage: fleeting serve [OPTIONS]") && serve.contains("--client-life"), "{serve}");
    assert!(printed(&["help", "lesson"]).contains("Usage: fleeting lesson [OPTIONS]"));
    for (topic, names) in [("limits", fleeting::Limits::NAMES), ("timeouts", fleeting::Timeouts::NAMES)] {
        let text = printed(&["help", topic]);
        for name in names {
            assert!(text.contains(&format!("\n  {name} ")), "{name} is not in {text}");
        }
    }
    assert!(printed(&["help", "settings"]).contains("FLEETING_LIMIT_BODY_BYTES=8MiB"));
    assert!(printed(&["help", "signals"]).contains("SIGHUP"));
    refused(program(&["help", "limit"]), 2, &["limits", "signals"]);
}

/// Finding F7.
#[test]
fn the_help_is_short_and_names_what_there_is() {
    let (_, help, _) = outcome(program(&["--help"]));
    assert!(help.lines().count() <= 80, "{help}");
    for word in ["hub", "registry", "metrics", "files", "lesson", "fleeting help"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let (_, routes, _) = outcome(program(&["help", "routes"]));
    let running = Running::serve(&[]);
    for route in ["/topics", "/clients", "/metrics", "/census", "/plaintext", "/json", "/healthz"] {
        assert!(routes.contains(route), "{route} is not in {routes}");
        assert_eq!(status(&running.get(route)), 200, "{route}");
    }
}

// ---------------------------------------------------------------- signals

#[test]
fn a_signal_shuts_the_server_down_gracefully() {
    for (signal, workers) in [("TERM", "1"), ("INT", "2"), ("QUIT", "1")] {
        let mut running = Running::serve(&["--workers", workers]);
        let mut idle = running.connect();
        keep_alive(&mut idle);
        let mut socket = running.websocket();
        running.signal(signal);
        assert_eq!(running.stderr_line(), "shutting down\n");
        match next_message(&mut socket).unwrap() {
            Message::Close(Some(close)) => assert_eq!(close.code, CloseCode::Away),
            other => panic!("not a Close: {other:?}"),
        }
        // Reading on answers the Close and reaches the end of the stream.
        assert!(matches!(next_message(&mut socket), Err(tungstenite::Error::ConnectionClosed)));
        // Otherwise the server waits for this client, for as long as the timeout `linger`.
        drop(socket);
        assert_eq!(read_some(&mut idle, &mut [0; 16]), 0, "an idle connection is closed");
        assert_eq!(running.exit_status().code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        let mut running = Running::serve(&[]);
        let mut stream = running.connect();
        // Half a request, whose rest a shutdown waits for.
        keep_alive(&mut stream);
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .unwrap();
        assert!(read_some(&mut stream, &mut [0; 64]) > 0);
        running.signal("TERM");
        assert_eq!(running.stderr_line(), "shutting down\n");
        running.signal(signal);
        assert_eq!(running.exit_status().code(), Some(status), "SIG{signal}");
    }
}

/// Finding C10.
#[test]
fn a_full_pipe_does_not_hold_up_a_shutdown() {
    let (reader, writer) = std::io::pipe().unwrap();
    // A description of its own: the program's writes must wait.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filler = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).unwrap();
    for piece in [&[b'x'; 4096][..], b"x"] {
        while filler.write(piece).is_ok() {}
    }
    let mut command = program(&["serve", "--listen", "127.0.0.1:0"]);
    command.stderr(writer.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let mut greeting = BufReader::new(child.stdout.take().unwrap());
    let addr = loop {
        let mut line = String::new();
        assert!(greeting.read_line(&mut line).unwrap() > 0, "the program has ended");
        if let Some(addr) = line.trim().strip_prefix("http://") {
            break addr.parse::<SocketAddr>().unwrap();
        }
    };
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    keep_alive(&mut stream);
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(read_some(&mut stream, &mut [0; 16]), 0, "the connection is closed");
    greeting.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(reader);
}

/// Finding C12.
#[test]
fn a_hang_up_reloads_hosts_and_origins() {
    let file = Scratch::new("reload", "origin = ['https://a.example']\n");
    let mut running = Running::serve_on(&["serve", "--listen", "127.0.0.1:0", "--config", file.path()]);
    let post = |running: &Running, origin: &str| {
        running.status(&format!(
            "POST /topics/news HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nContent-Type: text/plain\r\n\
             Content-Length: 1\r\nConnection: close\r\n\r\nx"
        ))
    };
    let both =
        |running: &Running| ["https://a.example", "https://b.example"].map(|origin| post(running, origin));
    assert_eq!(both(&running), [202, 403]);
    for signal in ["USR1", "USR2"] {
        running.signal(signal);
    }
    std::fs::write(file.path(), "origin = ['https://b.example']\nworkers = 7\n[limits]\nheaders = 9\n")
        .unwrap();
    running.signal("HUP");
    assert_eq!(
        running.stderr_line(),
        "reloaded the hosts and origins; a restart is needed for workers, limits\n"
    );
    assert_eq!(both(&running), [403, 202]);
    std::fs::write(file.path(), "origin = 'https://a.example'\nport = 1\n").unwrap();
    running.signal("HUP");
    let line = running.stderr_line();
    assert!(line.starts_with(&format!("not reloaded: {}:2: port: unknown key", file.path())), "{line}");
    assert_eq!(both(&running), [403, 202], "what was allowed stays");
    std::fs::write(file.path(), "origin = ['https://a.example', 'https://b.example']\n").unwrap();
    running.signal("HUP");
    assert_eq!(running.stderr_line(), "reloaded the hosts and origins\n");
    assert_eq!(both(&running), [202, 202]);
}

#[test]
fn a_request_in_flight_is_answered_before_the_program_ends() {
    let mut running = Running::serve(&[]);
    let (mut idle, mut stream) = (running.connect(), running.connect());
    keep_alive(&mut idle);
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert!(read_some(&mut stream, &mut [0; 64]) > 0);
    running.signal("TERM");
    assert_eq!(running.stderr_line(), "shutting down\n");
    // The idle connection ends when the worker shuts down.
    assert_eq!(read_some(&mut idle, &mut [0; 16]), 0);
    stream.write_all(b"hello").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200);
    assert!(
        answer.to_lowercase().contains("\r\nconnection: close\r\n") && answer.ends_with("hello"),
        "{answer}"
    );
    drop(stream);
    assert_eq!(running.exit_status().code(), Some(0));
}

#[test]
fn the_server_runs_with_a_closed_standard_output() {
    // The address cannot be read from the greeting, so the test passes one that was free a moment ago.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = program(&["--listen", &addr.to_string()]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let connected = loop {
        match TcpStream::connect(addr) {
            Ok(stream) => break stream,
            Err(_) => assert!(child.try_wait().unwrap().is_none(), "the program has ended"),
        }
    };
    let mut stream = connected;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    keep_alive(&mut stream);
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
