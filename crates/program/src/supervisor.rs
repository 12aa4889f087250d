//! What the program tells the service manager that has started it, such as systemd: sd_notify(3).
//!
//! It knows no server. Its invariant: without a service manager nothing is sent, and one that does not read holds nothing up for
//! longer than a second.

use crate::log;
use std::env::VarError;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a message may wait for room.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager's socket.
pub(crate) struct Supervisor(Option<(UnixDatagram, SocketAddr)>);

impl Supervisor {
    /// Finds the service manager through the environment. If it cannot be told anything, a line of the log says so.
    pub(crate) fn find() -> Supervisor {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Supervisor(None);
        };
        let open = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok((socket, address(&name)?))
        };
        let report = |error: &io::Error| {
            let name = name.display();
            let line = format!("the service manager is not told anything: NOTIFY_SOCKET={name}: {error}");
            log::line(&log::one_line(&line));
        };
        Supervisor(open().inspect_err(report).ok())
    }

    /// The server listens, or has reloaded its settings.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// The settings are about to be read again. The time is how the service manager knows that it has asked for this.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The server shuts down.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The server works.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, addr)) = &self.0 {
            // A service manager that is gone misses nothing.
            let _ = socket.send_to_addr(message.as_bytes(), addr);
        }
    }
}

/// Returns the address of a path, or of a name in the abstract namespace, which begins with `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    if !name.as_bytes().starts_with(b"/") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a path nor a name that begins with @",
        ));
    }
    SocketAddr::from_pathname(name)
}

/// Returns how often the service manager wants to hear that the server works: sd_watchdog_enabled(3).
pub(crate) fn watchdog() -> Option<Duration> {
    watchdog_of(|name| std::env::var(name), std::process::id())
}

fn watchdog_of(variable: impl Fn(&str) -> Result<String, VarError>, own: u32) -> Option<Duration> {
    if variable("WATCHDOG_PID").is_ok_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let micros: u64 = variable("WATCHDOG_USEC").ok()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_for_one_process() {
        fn check(pid: Option<&str>, micros: Option<&str>, expected: Option<u64>) {
            let variable = |name: &str| {
                let value = if name == "WATCHDOG_PID" { pid } else { micros };
                value.map(String::from).ok_or(VarError::NotPresent)
            };
            assert_eq!(watchdog_of(variable, 7), expected.map(Duration::from_micros), "{pid:?} {micros:?}");
        }
        check(None, None, None);
        check(None, Some("30000000"), Some(30_000_000));
        check(Some("7"), Some("5"), Some(5));
        check(Some("8"), Some("5"), None);
        check(Some(""), Some("5"), None);
        for micros in ["", "0", "-1", "soon"] {
            check(None, Some(micros), None);
        }
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        assert_eq!(address("/run/notify".as_ref()).unwrap().as_pathname(), Some("/run/notify".as_ref()));
        assert!(address("notify".as_ref()).is_err());
        assert!(address("/run/\0".as_ref()).is_err());
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let addr = address("@a/b".as_ref()).unwrap();
            assert_eq!(addr.as_abstract_name(), Some(&b"a/b"[..]));
        }
    }
}
