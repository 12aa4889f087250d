//! The program listens on Unix sockets, and on sockets that a service manager passes.

use crate::program::{Folder, Running, isolate, program, refused, status};
use fleeting_testkit::client::Client;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A folder whose path is short, for sockets: theirs has at most 107 bytes.
fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("fl-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    Folder(path)
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Returns the status and the content of a request for a host.
fn get(path: &Path, target: &str, host: &str) -> (u16, String) {
    let mut client = Client::connect_unix(path);
    client.send(format!("GET {target} HTTP/1.0\r\nHost: {host}\r\n\r\n"));
    let answer = String::from_utf8(client.until_cut_off()).expect("text");
    (status(&answer), answer.split_once("\r\n\r\n").expect("a head").1.to_string())
}

#[test]
fn a_unix_socket_serves_every_host_and_is_removed_at_the_end() {
    let folder = folder("unix");
    let (path, admin) = (folder.0.join("a.sock"), folder.0.join("admin.sock"));
    let listen = format!("{}?mode=0600", unix(&path));
    let args = ["--listen", &listen, "--admin-listen", &unix(&admin), "--workers", "2"];
    let mut running = Running::serve_on(&args);
    assert_eq!(running.sockets, [&*path]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(get(&path, "/healthz", "localhost"), (200, "ok".into()));
    // A record of a client without an address.
    let mut client = Client::connect_unix(&path);
    client.send("POST /clients HTTP/1.1\r\nHost: chat.example\r\nX-Id: alice\r\nContent-Length: 0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(answer.text().contains("alice") && !answer.text().contains("127."), "{}", answer.text());
    drop(client);
    assert_eq!(get(&path, "/metrics", "localhost").0, 404);
    assert!(get(&admin, "/metrics", "any.example").1.contains("fleeting_requests_total"));
    refused(program(&["--listen", &unix(&path)]), 1, &["cannot listen on unix:", "in use"]);
    running.signal("TERM");
    assert_eq!(running.stderr_line(), "shutting down\n");
    assert_eq!(running.exit_status().code(), Some(0));
    assert!(!path.exists() && !admin.exists());
    // One that is killed leaves its socket, which does not matter.
    drop(Running::serve_on(&["--listen", &unix(&path)]));
    assert!(path.exists());
    let running = Running::serve_on(&["--listen", &unix(&path), "--host", "chat.example"]);
    assert_eq!(get(&path, "/census", "chat.example").0, 200);
    assert_eq!(get(&path, "/census", "other.example").0, 421);
    drop(running);
    std::fs::write(folder.0.join("b"), "").unwrap();
    refused(program(&["--listen", &unix(&folder.0.join("b"))]), 1, &["exists and is not a socket"]);
}

/// Starts the program as a service manager does, with three sockets: `web` on TCP and at `path`, and `admin`.
fn activated(path: &Path, args: &[&str]) -> Command {
    const LAUNCHER: &str = "import fcntl, os, socket, sys
tcp = [socket.create_server(('127.0.0.1', 0)) for _ in range(2)]
unix = socket.socket(socket.AF_UNIX)
unix.bind(sys.argv[1])
unix.listen()
high = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in [tcp[0], unix, tcp[1]]]
for number, descriptor in enumerate(high, 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='3', LISTEN_FDNAMES='web:web:admin')
os.execv(sys.argv[2], sys.argv[2:])";
    let _ = std::fs::remove_file(path);
    let mut command = Command::new("python3");
    command.args(["-c", LAUNCHER]).arg(path).arg(program(args).get_program()).args(args);
    isolate(&mut command);
    command
}

/// The command of the unit in docs/systemd.md works with the sockets of the other unit.
#[test]
fn the_program_works_as_the_page_about_systemd_starts_it() {
    const PAGE: &str = include_str!("../../../docs/systemd.md");
    let value = |name: &str| {
        let line = PAGE.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("the page has no {name}"))
    };
    let args: Vec<&str> = value("ExecStart=/usr/local/bin/fleeting ").split(' ').collect();
    assert_eq!(value("FileDescriptorName="), "web");
    let folder = folder("page");
    let path = folder.0.join("a.sock");
    let running = Running::start(activated(&path, &args));
    assert_eq!(running.sockets, [&*path]);
    assert_eq!(get(&path, "/topics", "chat.example").0, 200);
    assert_eq!(get(&path, "/topics", "other.example").0, 421);
}

#[test]
fn the_sockets_of_a_service_manager_are_served_by_name() {
    let folder = folder("activated");
    let path = folder.0.join("a.sock");
    let args = ["serve", "--listen", "systemd:web", "--admin-listen", "systemd:admin", "--workers", "2"];
    let mut running = Running::start(activated(&path, &args));
    assert_eq!((running.addrs.len(), running.sockets[0].as_path()), (1, &*path));
    assert_eq!(get(&path, "/census", "chat.example").0, 404);
    assert_eq!(status(&running.get("/topics")), 200);
    // The address is one of the loopback, however the program has come by it.
    let rebound = "GET /topics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(running.status(rebound), 421);
    assert_eq!(get(&path, "/topics", "any.example").0, 200);
    running.signal("TERM");
    assert_eq!(running.stderr_line(), "shutting down\n");
    assert_eq!(running.exit_status().code(), Some(0));
    assert!(path.exists(), "the file is the service manager's");

    let running = Running::start(activated(&path, &["serve", "--listen", "systemd"]));
    assert_eq!((running.addrs.len(), running.sockets.len()), (2, 1));
    drop(running);
    let running = Running::start(activated(&path, &["serve", "--listen", "fd:4"]));
    assert_eq!((running.addrs.len(), running.sockets[0].as_path()), (0, &*path));
    assert_eq!(get(&path, "/healthz", "a").0, 200);
    drop(running);
    let command = activated(&path, &["serve", "--listen", "systemd:other"]);
    refused(command, 1, &["cannot listen on systemd:other", "no socket of this name", "web, web, admin"]);
    refused(program(&["--listen", "systemd"]), 1, &["cannot listen on systemd: no socket was passed"]);
}
