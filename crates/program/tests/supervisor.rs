//! The program tells a service manager what it does (sd_notify(3)).

use crate::program::{PATIENCE, Running, Scratch, outcome, program};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn new(addr: &SocketAddr) -> Manager {
        let socket = UnixDatagram::bind_addr(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    fn message(&self) -> String {
        let mut bytes = [0; 256];
        let length = loop {
            match self.0.recv(&mut bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                received => break received.expect("the program says something"),
            }
        };
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Returns the next message that is not one of the watchdog's.
    fn news(&self) -> String {
        loop {
            let message = self.message();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

fn serve(notify: &str, args: &[&str], variables: &[(&str, &str)]) -> Running {
    let mut command = program(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    command.env("NOTIFY_SOCKET", notify).envs(variables.iter().copied());
    Running::start(command)
}

fn microseconds_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[test]
fn a_service_manager_learns_of_start_reload_and_end() {
    let file = Scratch::new("notify", "");
    let path = std::env::temp_dir().join(format!("fl-notify-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let name = format!("fleeting/notify-{}", std::process::id());
    let sockets = [
        (path.to_str().unwrap().to_string(), SocketAddr::from_pathname(&path).unwrap()),
        (format!("@{name}"), SocketAddr::from_abstract_name(&name).unwrap()),
    ];
    for (notify, addr) in sockets {
        let manager = Manager::new(&addr);
        let mut running = serve(&notify, &["--config", file.path(), "--admin-listen", "127.0.0.1:0"], &[]);
        assert_eq!(manager.message(), "READY=1");
        for text in ["host = 'a'", "host = 1"] {
            std::fs::write(file.path(), text).unwrap();
            let before = microseconds_since_boot();
            running.signal("HUP");
            let reloading = manager.message();
            let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it says when");
            let range = before..=microseconds_since_boot();
            assert!(range.contains(&time.parse::<u64>().expect("a number")), "{time} is not in {range:?}");
            assert_eq!(manager.message(), "READY=1");
            let line = running.stderr_line();
            assert!(line.starts_with("reloaded ") || line.starts_with("not reloaded: "), "{line}");
        }
        running.signal("TERM");
        assert_eq!(manager.message(), "STOPPING=1");
        assert_eq!(running.exit_status().code(), Some(0));
        std::fs::write(file.path(), "").unwrap();
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_watchdog_hears_of_a_program_that_works() {
    let name = format!("fleeting/watchdog-{}", std::process::id());
    let manager = Manager::new(&SocketAddr::from_abstract_name(&name).unwrap());
    let notify = format!("@{name}");
    let args = ["--workers", "2", "--admin-listen", "127.0.0.1:0"];
    let running = serve(&notify, &args, &[("WATCHDOG_USEC", "20000")]);
    assert_eq!(manager.news(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.message(), "WATCHDOG=1");
    }
    running.signal("TERM");
    assert_eq!(manager.news(), "STOPPING=1");
    assert_eq!(running.exit_status().code(), Some(0));
    // That of another process: nothing but the other news comes.
    let running = serve(&notify, &[], &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    while manager.message() != "READY=1" {}
    running.signal("TERM");
    assert_eq!(manager.message(), "STOPPING=1");
    assert_eq!(running.exit_status().code(), Some(0));
}

#[test]
fn a_service_manager_that_cannot_be_told_anything_is_one_line_of_the_log() {
    let mut running = serve("notify", &[], &[]);
    let line = running.stderr_line();
    assert!(line.contains("NOTIFY_SOCKET=notify: neither a path nor a name"), "{line}");
    drop(running);
    // One that is gone is none of the program's business, nor is one of the shell's for another command.
    let running = serve("/nowhere/at.all", &[], &[]);
    running.signal("TERM");
    assert_eq!(running.exit_status().code(), Some(0));
    let mut command = program(&["--version"]);
    command.env("NOTIFY_SOCKET", "notify");
    assert_eq!(outcome(command).2, "");
}
