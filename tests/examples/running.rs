//! An example as a process of its own, with its standard output.
//!
//! It knows no example. Its invariant: the process does not outlive its [`Example`].

use fleeting_testkit::client::{Client, PATIENCE};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::SystemTime;

/// A running example.
pub struct Example {
    child: Child,
    /// The lines that it prints. Disconnected when it has ended.
    lines: Receiver<String>,
    /// The address that it listens on.
    pub addr: SocketAddr,
}

impl Example {
    /// Starts an example on a free port, as its header says.
    #[track_caller]
    pub fn start(name: &str) -> Example {
        Example::start_with(name, &["127.0.0.1:0"])
    }

    /// Starts an example with these arguments, and waits until it listens.
    #[track_caller]
    pub fn start_with(name: &str, args: &[&str]) -> Example {
        Example::start_in(name, args, &[])
    }

    /// Starts an example with these arguments and environment variables, and waits until it listens.
    #[track_caller]
    pub fn start_in(name: &str, args: &[&str], variables: &[(&str, &str)]) -> Example {
        let mut command = Command::new(built(name));
        command.args(args).envs(variables.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (printed, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                // Nothing takes the lines of an example that a failed test has left.
                let _ = printed.send(line.expect("the example prints text"));
            }
        });
        let mut example = Example { child, lines, addr: SocketAddr::from(([0; 4], 0)) };
        let line = example.line();
        let addr = line.strip_prefix("listening on http://").and_then(|addr| addr.parse().ok());
        example.addr = addr.unwrap_or_else(|| panic!("not an address: {line}"));
        example
    }

    /// Returns the next line that the example prints.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the example prints a line")
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Sends SIGTERM, and expects an orderly end. Returns the lines that were not read.
    #[track_caller]
    pub fn terminate(self) -> Vec<String> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill(1) exists").success());
        self.ended()
    }

    /// Expects an orderly end. Returns the lines that were not read.
    #[track_caller]
    pub fn ended(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the example does not end"),
            }
        }
        let status = self.child.wait().expect("it is a child");
        assert_eq!(status.code(), Some(0), "{status}");
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // This fails if it has ended, which is what it is for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program of an example. `cargo test` builds examples and tests alike; with `--test examples`, it builds
/// only the tests, and the program may be missing or old.
#[track_caller]
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let folder = test.parent().and_then(Path::parent).expect("the test is in target/PROFILE/deps");
    let program = folder.join("examples").join(name);
    let changed = |path: &Path| path.metadata().and_then(|found| found.modified());
    let built = changed(&program).unwrap_or(SystemTime::UNIX_EPOCH);
    // Cargo lists the sources there, in the syntax of make.
    let sources = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let is_newer = |source: &&str| changed(Path::new(source)).is_ok_and(|changed| changed > built);
    let newer = sources.split_whitespace().skip(1).find(is_newer);
    assert!(
        newer.is_none() && program.exists(),
        "{} is missing or older than {newer:?}: build it with `cargo build --examples --all-features`",
        program.display()
    );
    program
}
