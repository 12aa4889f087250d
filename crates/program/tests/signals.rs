//! How the program ends, and what else a signal makes it do.

use crate::program::{PATIENCE, Running, Scratch, keep_alive, next_message, program, read_some, status};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// Of open(2), on Linux.
const O_NONBLOCK: i32 = 0o4000;

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

/// Sends a request without its content, which a shutdown waits for. Returns once the server has read it.
fn begin_request(stream: &mut TcpStream) {
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert!(read_some(stream, &mut [0; 64]) > 0);
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        let mut running = Running::serve(&[]);
        let mut stream = running.connect();
        keep_alive(&mut stream);
        begin_request(&mut stream);
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
    begin_request(&mut stream);
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
