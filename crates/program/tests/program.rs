//! The program as a process: started, asked, sent signals and watched until it ends. The tests of the other modules use it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// Longer than anything here takes. After it a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the program with these arguments, without the settings of the environment.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleeting"));
    command.args(args);
    isolate(&mut command);
    command
}

/// Keeps the settings of the environment away from a command that runs the program, and takes what it prints.
pub fn isolate(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLEETING_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// A running server, killed when this is dropped.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Kept open: a program whose standard output is closed has a test of its own.
    pub stdout: Option<BufReader<ChildStdout>>,
    /// The addresses in its greeting.
    pub addrs: Vec<SocketAddr>,
    /// The paths of Unix sockets in its greeting.
    pub sockets: Vec<PathBuf>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command.spawn().expect("the program was built for this test");
        let mut stdout = BufReader::new(child.stdout.take().expect("the output is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("the output is piped"));
        let (mut addrs, mut sockets) = (Vec::new(), Vec::new());
        loop {
            let mut line = String::new();
            let bytes = stdout.read_line(&mut line).expect("text");
            let line_addr = line.trim().strip_prefix("http://").or(line.trim().strip_prefix("https://"));
            if let Some(path) = line.trim().strip_prefix("unix:") {
                sockets.push(path.into());
                continue;
            }
            match line_addr {
                Some(addr) => addrs.push(addr.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"))),
                // The addresses are on consecutive lines.
                None if bytes == 0 || !addrs.is_empty() || !sockets.is_empty() => break,
                None => {}
            }
        }
        let mut running = Running { child, stderr, stdout: Some(stdout), addrs, sockets };
        if running.addrs.is_empty() && running.sockets.is_empty() {
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

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addrs[0]).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Returns the answer to `request`, up to the end of the connection.
    pub fn answer(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn status(&self, request: &str) -> u16 {
        status(&self.answer(request))
    }

    pub fn get(&self, path: &str) -> String {
        self.answer(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// Returns the status of a request with `bytes` of content.
    pub fn status_of_content(&self, bytes: usize) -> u16 {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n");
        self.status(&format!("{head}\r\n{}", "x".repeat(bytes)))
    }

    pub fn websocket(&self) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/ws", self.addrs[0]);
        tungstenite::client(url, self.connect()).expect("the handshake succeeds").0
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill(1) exists").success());
    }

    /// Returns what follows `begin` on the first further line of the greeting that begins with it.
    pub fn stdout_line(&mut self, begin: &str) -> String {
        let stdout = self.stdout.as_mut().expect("the greeting is still to be read");
        let mut lines = stdout.lines().map(|line| line.expect("text"));
        lines.find_map(|line| line.strip_prefix(begin).map(String::from)).expect("the greeting has this line")
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

pub fn status(answer: &str) -> u16 {
    let number = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    number.unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// Reads what has arrived. With a read timeout set, a signal may interrupt the wait.
pub fn read_some(stream: &mut TcpStream, into: &mut [u8]) -> usize {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.unwrap(),
        }
    }
}

/// Reads the next message, with the same care.
pub fn next_message(socket: &mut WebSocket<TcpStream>) -> Result<Message, tungstenite::Error> {
    loop {
        match socket.read() {
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Sends a keep-alive request on `stream` and reads its answer.
pub fn keep_alive(stream: &mut TcpStream) {
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
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str, text: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("the path of the target folder is UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A folder that exists during one test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("the path of the target folder is UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

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
