//! Why a server does not start, or has failed.
//!
//! Its invariant: each error is one line that names what is wrong.

use crate::app::RouteError;
use crate::config::ConfigError;
use crate::engine::WorkerError;
use std::fmt;
use std::io;

/// Why a server did not start, or has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// A host name is unknown, or an address cannot be listened on.
    Bind(String, io::Error),
    /// The system refuses a value of [`TcpOptions`](super::TcpOptions). The text names the option and the value.
    TcpOption(String, io::Error),
    /// An address is malformed, or a limit or a timeout is too large.
    Config(ConfigError),
    /// No address was given.
    NoAddress,
    /// A route is wrong.
    Route(RouteError),
    /// io_uring is not available, which [`Io::Uring`](crate::Io::Uring) asks for.
    Uring(io::Error),
    /// Another system call has failed.
    Io(io::Error),
    /// A worker has panicked, which is a bug of this crate: panics of handlers are caught.
    Panicked,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Bind(addr, error) => match error.kind() {
                io::ErrorKind::AddrInUse => write!(f, "cannot listen on {addr}: the address is in use"),
                _ => write!(f, "cannot listen on {addr}: {error}"),
            },
            ServeError::TcpOption(option, error) => {
                write!(f, "cannot set the TCP option `{option}`: {error}")
            }
            ServeError::Config(error) => fmt::Display::fmt(error, f),
            ServeError::NoAddress => f.write_str("no address to listen on"),
            ServeError::Route(error) => fmt::Display::fmt(error, f),
            ServeError::Uring(error) => write!(f, "io_uring is not available: {error}"),
            ServeError::Io(error) => fmt::Display::fmt(error, f),
            ServeError::Panicked => f.write_str("a worker has panicked"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> ServeError {
        ServeError::Io(error)
    }
}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> ServeError {
        ServeError::Config(error)
    }
}

impl From<WorkerError> for ServeError {
    fn from(error: WorkerError) -> ServeError {
        match error {
            WorkerError::Io(error) => ServeError::Io(error),
            WorkerError::Route(error) => ServeError::Route(error),
            WorkerError::Uring(error) => ServeError::Uring(error),
        }
    }
}
