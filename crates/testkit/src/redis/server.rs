//! A real `redis-server` or sentinel for one test, on a socket in a folder of its own. Nothing of it remains afterwards.

use crate::client::PATIENCE;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Stopped when it is dropped.
pub struct RedisServer {
    folder: PathBuf,
    arguments: Vec<String>,
    is_sentinel: bool,
    child: Option<Child>,
}

/// The name of the primary that a sentinel watches.
pub const PRIMARY: &str = "cache";

impl RedisServer {
    pub fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// Starts a server with further arguments.
    pub fn start_with(arguments: &[&str]) -> RedisServer {
        let mut server = RedisServer::new(arguments, false);
        server.restart();
        server
    }

    fn new(arguments: &[&str], is_sentinel: bool) -> RedisServer {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // A socket's path has a maximum length.
        let folder = std::env::temp_dir().join(format!("fleeting-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("there is room for a folder");
        let arguments = arguments.iter().map(ToString::to_string).collect();
        RedisServer { folder, arguments, is_sentinel, child: None }
    }

    /// Starts a server that also listens on a TCP port. Returns that port.
    pub fn start_on_a_port(arguments: &[&str]) -> (RedisServer, u16) {
        RedisServer::start_listening("--port", arguments, false)
    }

    /// Starts a server that also listens on a TCP port with TLS. Returns that port. `arguments` name its certificate.
    pub fn start_with_tls(arguments: &[&str]) -> (RedisServer, u16) {
        RedisServer::start_listening("--tls-port", arguments, false)
    }

    /// Starts a sentinel. It watches the primary on a port of this machine under the name [`PRIMARY`], and replaces it if it
    /// has not answered for a second and a half. `port_option` is the option for the sentinel's port, which is returned.
    pub fn start_sentinel(port_option: &str, primary: u16, arguments: &[&str]) -> (RedisServer, u16) {
        let primary = primary.to_string();
        let words = [
            &["--sentinel", "monitor", PRIMARY, "127.0.0.1", &primary, "1"][..],
            &["--sentinel", "down-after-milliseconds", PRIMARY, "1500"],
            &["--sentinel", "failover-timeout", PRIMARY, "2000"],
            arguments,
        ];
        let (sentinel, port) = RedisServer::start_listening(port_option, &words.concat(), true);
        // By default it does nothing for 30 seconds after its machine was too busy to run it for two.
        sentinel.ask::<()>(&["SENTINEL", "DEBUG", "TILT-TRIGGER", "600000"]);
        // It learns of replicas ten times a second instead of every two or ten seconds. PING-PERIOD stays: a replica must
        // have answered within five of them to take over.
        for period in ["INFO-PERIOD", "ASK-PERIOD", "PUBLISH-PERIOD"] {
            sentinel.ask::<()>(&["SENTINEL", "DEBUG", period, "100"]);
        }
        (sentinel, port)
    }

    fn start_listening(port_option: &str, arguments: &[&str], is_sentinel: bool) -> (RedisServer, u16) {
        // Another process may take the port first.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let port = free.expect("there is a free port").port();
            let mut server = RedisServer::new(arguments, is_sentinel);
            server.arguments.extend([
                port_option.into(),
                port.to_string(),
                "--bind".into(),
                "127.0.0.1".into(),
            ]);
            if server.try_start() {
                return (server, port);
            }
        }
        panic!("no port stays free");
    }

    /// Starts a primary and its replica, each with its port. A replica copies its primary without delay.
    pub fn start_pair(arguments: &[&str]) -> [(RedisServer, u16); 2] {
        RedisServer::start_pair_on("--port", arguments)
    }

    /// The same, with the option for the port.
    pub fn start_pair_on(port_option: &str, arguments: &[&str]) -> [(RedisServer, u16); 2] {
        let arguments = [arguments, &["--repl-diskless-sync-delay", "0"]].concat();
        let pair = [(); 2].map(|()| RedisServer::start_listening(port_option, &arguments, false));
        pair[1].0.replicate(pair[0].1);
        pair
    }

    /// Makes it a replica of the server on a port of this machine.
    pub fn replicate(&self, port: u16) {
        self.ask::<()>(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    }

    /// Makes it a primary.
    pub fn promote(&self) {
        self.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Kills it like `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("Redis was running");
            child.wait().expect("it has ended");
        }
    }

    /// Starts it again. It is ready when this returns.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.try_start(), "redis-server has not started");
    }

    fn try_start(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        let folder = self.folder.display().to_string();
        let socket = self.socket().display().to_string();
        if self.is_sentinel {
            // A sentinel keeps its state in its configuration.
            let configuration = self.folder.join("sentinel.conf");
            fs::write(&configuration, "").expect("there is room for a file");
            command.arg(configuration).arg("--sentinel");
        } else {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command.args(["--port", "0", "--unixsocket", &socket, "--dir", &folder]);
        command.args(["--daemonize", "no", "--logfile", ""]).args(&self.arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("redis-server is needed: install the package `redis-server`");
        let log = BufReader::new(child.stdout.take().expect("it is piped"));
        self.child = Some(child);
        let (sender, ready) = mpsc::channel();
        thread::spawn(move || {
            // The log is read to the end so that the server never blocks on it.
            for line in log.lines().map_while(Result::ok) {
                let is_ready = line.to_lowercase().contains("ready to accept connections");
                if is_ready || line.contains("+monitor") {
                    let _ = sender.send(());
                }
            }
        });
        // If the server ends before it is ready, the sender is dropped.
        ready.recv_timeout(PATIENCE).is_ok()
    }

    /// Sends it the signal `name`, for example to stop or continue it.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("Redis is running").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.expect("kill(1) can be run").success());
    }

    /// Returns the reply to a command.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// The same, for a command that the server may refuse.
    pub fn try_ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        let mut connection = client.get_connection().expect("Redis is running");
        let mut request = redis::cmd(command[0]);
        request.arg(&command[1..]);
        request.query(&mut connection)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
