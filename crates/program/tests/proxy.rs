//! nginx, HAProxy and Caddy as processes. The tests of `proxies` use them.

use fleeting_testkit::redis::node::wait_until;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Programs of the system may be missing in the path of its users.
fn system_program(name: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    Command::new(if path.exists() { path } else { name.into() })
}

/// A proxy in a folder of its own, stopped when it is dropped.
pub struct Proxy {
    child: Child,
    folder: PathBuf,
    pub addr: SocketAddr,
    /// The signal that makes it read its configuration again, in new processes.
    reload: &'static str,
}

/// A loopback address that only clients of a [tunnel](Proxy::tunnel) have.
pub const CLIENT: &str = "127.0.0.7";

impl Proxy {
    pub fn nginx(name: &str, make: impl Fn(SocketAddr) -> String) -> Proxy {
        Proxy::start(name, "HUP", |folder, addr| {
            let at = folder.display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
                .concat();
            let outer = format!(
                "daemon off;\nuser root;\nworker_processes 1;\npid {at}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{}\n}}\n",
                make(addr)
            );
            fs::write(folder.join("conf"), outer).expect("the folder can be written");
            let mut command = system_program("nginx");
            // Its master process reloads.
            command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("conf"));
            command
        })
    }

    pub fn haproxy(name: &str, make: impl Fn(SocketAddr) -> String) -> Proxy {
        Proxy::start(name, "USR2", |folder, addr| {
            fs::write(folder.join("conf"), make(addr)).expect("the folder can be written");
            let mut command = system_program("haproxy");
            command.args(["-W", "-db", "-f"]).arg(folder.join("conf"));
            command
        })
    }

    pub fn caddy(name: &str, make: impl Fn(SocketAddr) -> String) -> Proxy {
        Proxy::start(name, "USR1", |folder, addr| {
            let outer = format!("{{\nadmin off\nauto_https off\n}}\n{}", make(addr));
            fs::write(folder.join("conf"), outer).expect("the folder can be written");
            let mut command = system_program("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("conf"));
            command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
            command
        })
    }

    /// Starts a proxy that connects to `to` from [`CLIENT`], with TLS on the way.
    pub fn tunnel(name: &str, to: SocketAddr) -> Proxy {
        Proxy::haproxy(name, |addr| {
            format!(
                "defaults\nmode tcp\ntimeout connect 20s\ntimeout client 60s\ntimeout server 60s\n\
                 listen plain\nbind {addr}\nserver tls {to} source {CLIENT} ssl verify none\n"
            )
        })
    }

    /// Starts a proxy on a free port, and returns when it listens.
    fn start(name: &str, reload: &'static str, make: impl Fn(&Path, SocketAddr) -> Command) -> Proxy {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        // Another process may take the port first.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let addr = free.expect("a port is free");
            let mut command = make(&folder, addr);
            let log = File::create(folder.join("log")).expect("the folder can be written");
            let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
            let needed = "nginx, haproxy and caddy are needed: install the packages of these names";
            let mut proxy = Proxy { child: spawned.expect(needed), folder: folder.clone(), addr, reload };
            loop {
                if proxy.serves() {
                    return proxy;
                }
                if proxy.child.try_wait().expect("it is a child").is_some() {
                    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                    assert!(log.contains("in use"), "{log}");
                    break;
                }
            }
            // The next attempt needs the folder.
            proxy.folder = PathBuf::new();
        }
        panic!("no port stays free");
    }

    /// Makes it read its configuration again, and returns when only new processes accept clients. An old one drops clients
    /// that have sent nothing by the time it ends.
    pub fn reload(&self) {
        let before = self.processes();
        let sent =
            Command::new("kill").args([format!("-{}", self.reload), self.child.id().to_string()]).status();
        assert!(sent.expect("kill(1) exists").success());
        wait_until(|| {
            let others = self.processes().into_iter().any(|id| !before.contains(&id));
            others && !before.iter().any(|id| self.accepts(id))
        });
        assert!(self.serves(), "the proxy listens");
    }

    /// Whether it, or a process that it has started, accepts clients.
    fn serves(&self) -> bool {
        self.accepts(&self.child.id().to_string()) || self.processes().iter().any(|id| self.accepts(id))
    }

    /// Returns the ids of the processes that it has started.
    fn processes(&self) -> Vec<String> {
        let id = self.child.id();
        // One that has ended has none.
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        children.unwrap_or_default().split_whitespace().map(String::from).collect()
    }

    /// Whether the process has the proxy's listening socket.
    fn accepts(&self, id: &str) -> bool {
        let sockets = fs::read_to_string("/proc/net/tcp").expect("the system lists sockets");
        let port = format!(":{:04X}", self.addr.port());
        let listening: Vec<_> = sockets
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|columns| columns.len() > 9 && columns[1].ends_with(&port) && columns[3] == "0A")
            .map(|columns| format!("socket:[{}]", columns[9]))
            .collect();
        let files = match fs::read_dir(format!("/proc/{id}/fd")) {
            Ok(files) => files,
            // It has ended.
            Err(error) if error.kind() == ErrorKind::NotFound => return false,
            Err(error) => panic!("{error}"),
        };
        files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|to| {
            let to = to.to_string_lossy();
            listening.iter().any(|socket| **socket == *to)
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // So that it ends its own processes, too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("the log of the proxy at {}:\n{log}", self.addr);
        }
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
