//! Sockets that the process was started with: by their number, or passed by a service manager (sd_listen_fds(3)).
//!
//! It makes no socket. Its invariant: only a stream socket that listens is taken.

use super::shared::share;
use crate::server::{ServeError, TcpOptions};
use crate::transport::{ListenAddr, Listener, duplicate};
use socket2::{Socket, Type};
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;

/// The number of the first descriptor that a service manager passes.
const FIRST_PASSED: RawFd = 3;

/// Listens with the socket that is the descriptor `number`, of which each worker has a copy. The descriptor itself stays open.
///
/// # Errors
/// It is not a stream socket that listens; [`ServeError::TcpOption`] if an option is refused.
pub(super) fn listen(
    number: RawFd,
    workers: usize,
    options: &TcpOptions,
) -> Result<Vec<Listener>, ServeError> {
    let wrong = |why: &str| Err(io::Error::new(ErrorKind::InvalidInput, why).into());
    let socket = match duplicate(number) {
        Ok(descriptor) => Socket::from(descriptor),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            return wrong("there is no such descriptor");
        }
        Err(error) => return Err(error.into()),
    };
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(_) => return wrong("the descriptor is not a stream socket"),
        Err(_) => return wrong("the descriptor is not a socket"),
    }
    if !socket.is_listener()? {
        return wrong("the descriptor is a socket that does not listen");
    }
    let addr = socket.local_addr()?;
    if addr.as_socket().is_some() {
        options.apply(&socket)?;
        return Ok(share(&socket, workers, |socket| Listener::tcp(socket.into()))?);
    }
    // The file is that of the process which has made it.
    let addr = match (addr.as_pathname(), addr.as_abstract_namespace()) {
        (Some(path), _) => ListenAddr::Unix(path.into()),
        (None, Some(name)) => ListenAddr::Abstract(name.into()),
        (None, None) => return wrong("the socket has neither an IP address nor a path"),
    };
    Ok(share(&socket, workers, |socket| Listener::unix(socket.into(), addr.clone(), None))?)
}

/// Returns the descriptors that a service manager has passed to this process: all, or those of this name.
///
/// # Errors
/// There is none.
pub(super) fn activated(name: Option<&str>) -> io::Result<Vec<RawFd>> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let names = variable("LISTEN_FDNAMES");
    let passed = passed(std::process::id(), &variable("LISTEN_PID"), &variable("LISTEN_FDS"), &names);
    choose(&passed, name).map_err(|why| io::Error::new(ErrorKind::NotFound, why))
}

/// Returns the numbers and names of the descriptors that the variables pass to the process `own`.
fn passed<'a>(own: u32, pid: &str, count: &str, names: &'a str) -> Vec<(RawFd, &'a str)> {
    // What was meant for the parent of this process is none of its business.
    if pid.parse() != Ok(own) {
        return Vec::new();
    }
    let count: RawFd = count.parse().unwrap_or(0);
    // The name of those without one.
    let names = names.split(':').map(|name| if name.is_empty() { "unknown" } else { name });
    (FIRST_PASSED..FIRST_PASSED.saturating_add(count))
        .zip(names.chain(std::iter::repeat("unknown")))
        .collect()
}

fn choose(passed: &[(RawFd, &str)], name: Option<&str>) -> Result<Vec<RawFd>, String> {
    if passed.is_empty() {
        return Err("no socket was passed to this process (LISTEN_FDS, LISTEN_PID)".into());
    }
    let is_chosen = |passed: &&(RawFd, &str)| name.is_none_or(|name| passed.1 == name);
    let chosen: Vec<RawFd> = passed.iter().filter(is_chosen).map(|(number, _)| *number).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = passed.iter().map(|(_, name)| *name).collect();
        return Err(format!("no socket of this name was passed to this process, but {}", names.join(", ")));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_sockets_are_chosen_by_name() {
        fn check(pid: &str, count: &str, names: &str, name: Option<&str>, expected: Result<&[RawFd], &str>) {
            match (choose(&passed(7, pid, count, names), name), expected) {
                (Ok(numbers), Ok(expected)) => assert_eq!(numbers, expected, "{names} {name:?}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (other, _) => panic!("{names} {name:?}: {other:?}"),
            }
        }
        check("7", "2", "", None, Ok(&[3, 4]));
        check("7", "3", "web:admin:web", None, Ok(&[3, 4, 5]));
        check("7", "3", "web:admin:web", Some("web"), Ok(&[3, 5]));
        check("7", "3", "web:admin:web", Some("admin"), Ok(&[4]));
        check("7", "3", "web:admin:web", Some("we"), Err("but web, admin, web"));
        // Fewer names than sockets, and one that is empty.
        check("7", "3", ":web", Some("unknown"), Ok(&[3, 5]));
        check("7", "1", "web:admin", None, Ok(&[3]));
        check("8", "2", "", None, Err("no socket was passed"));
        check("", "2", "", None, Err("no socket was passed"));
        for count in ["", "0", "-1", "two", "99999999999"] {
            check("7", count, "", None, Err("no socket was passed"));
        }
    }
}
