//! How a server writes to many connections.
//!
//! It knows no system call.

use std::fmt;
use std::str::FromStr;

/// How a server writes what is published: see [`Builder::io`](crate::Builder::io).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Io {
    /// Through io_uring where the system allows it, as with `Uring`; otherwise as with `Epoll`.
    #[default]
    Auto,
    /// One system call for each write.
    Epoll,
    /// One system call for the writes to up to 1,024 subscribers, through io_uring (Linux 6.1). The server does not start if
    /// the system does not allow it. Each worker has a ring for this: a descriptor and about 100 KiB, which the limit
    /// [`memory`](crate::Limits::memory) does not count. If a ring fails later, its worker goes on as with `Epoll`.
    Uring,
}

impl Io {
    const ALL: [Io; 3] = [Io::Auto, Io::Epoll, Io::Uring];

    fn name(self) -> &'static str {
        match self {
            Io::Auto => "auto",
            Io::Epoll => "epoll",
            Io::Uring => "uring",
        }
    }
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Io {
    type Err = String;

    /// Reads the name that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// A sentence that lists the valid names.
    fn from_str(name: &str) -> Result<Io, String> {
        let found = Io::ALL.into_iter().find(|io| io.name() == name);
        found.ok_or_else(|| format!("`{name}` is not one of {}", Io::ALL.map(Io::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_the_value_and_back() {
        for io in Io::ALL {
            assert_eq!(io.to_string().parse(), Ok(io));
        }
        assert_eq!("Uring".parse::<Io>(), Err("`Uring` is not one of auto, epoll, uring".into()));
    }
}
