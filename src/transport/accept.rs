//! Why no connection was accepted, and what that means for the others that wait.
//!
//! It knows errors, and no socket. Its invariant: an error says whether this connection is the
//! reason, or something that all of them need.

use rustix::io::Errno;
use std::io;

/// Why no connection was accepted: accept(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAccepted {
    /// None waits.
    NoneWaits,
    /// This one has failed, or a signal has interrupted the call. The next may be accepted at once.
    Next,
    /// The process or the system has no descriptor left.
    NoDescriptor,
    /// Memory, or something else, is missing for now. The connection goes on waiting.
    Later,
}

/// Returns why accepting has failed with `error`.
pub(super) fn reason(error: &io::Error) -> NotAccepted {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => NotAccepted::NoneWaits,
        Some(Errno::MFILE | Errno::NFILE) => NotAccepted::NoDescriptor,
        // Linux reports an error that the new connection already has. It is not that of the listening socket.
        Some(
            Errno::CONNABORTED
            | Errno::INTR
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::PERM
            | Errno::TIMEDOUT,
        ) => NotAccepted::Next,
        #[cfg(target_os = "linux")]
        Some(Errno::NONET) => NotAccepted::Next,
        _ => NotAccepted::Later,
    }
}

/// Whether a call has failed because of a signal or a shortage of memory.
pub fn may_succeed_later(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted || is_short_of_memory(error)
}

/// Whether a call has failed because the system is short of memory, so that it may succeed later.
pub fn is_short_of_memory(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOMEM | Errno::NOBUFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finding C6.
    #[test]
    fn an_error_of_one_connection_does_not_stop_the_next() {
        fn check(error: Errno, expected: NotAccepted) {
            assert_eq!(reason(&error.into()), expected, "{error:?}");
        }
        check(Errno::AGAIN, NotAccepted::NoneWaits);
        for error in [
            Errno::CONNABORTED,
            Errno::INTR,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::NETUNREACH,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
            Errno::NOPROTOOPT,
            Errno::OPNOTSUPP,
            Errno::PERM,
            Errno::TIMEDOUT,
            #[cfg(target_os = "linux")]
            Errno::NONET,
        ] {
            check(error, NotAccepted::Next);
        }
        check(Errno::MFILE, NotAccepted::NoDescriptor);
        check(Errno::NFILE, NotAccepted::NoDescriptor);
        for error in [Errno::NOMEM, Errno::NOBUFS, Errno::INVAL, Errno::BADF] {
            check(error, NotAccepted::Later);
        }
    }
}
