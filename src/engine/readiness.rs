//! What a poll reports about a connection.
//!
//! It knows no connection. Its invariant: whatever has arrived and is not read is reported, urgent data included.

use mio::Interest;
use mio::event::Event;

/// What a poll has reported about a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There is urgent data to read (RFC 9293 §3.8.5), so a read may return less than has arrived. It is never
    /// reported for a stream that has no urgent data.
    pub urgent: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer has ended its sending side, or the connection has failed.
    pub ended: bool,
}

/// What is polled for on a connection. Urgent data is included because a read stops there: a short read then does not mean
/// that nothing is left.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Whether urgent data has arrived. Where polls do not report it, everything that is readable may include some.
fn is_urgent(event: &Event) -> bool {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        event.is_priority()
    } else {
        event.is_readable()
    }
}

impl Readiness {
    /// Reads an event.
    #[inline]
    pub(super) fn of(event: &Event) -> Readiness {
        Readiness {
            readable: event.is_readable(),
            urgent: is_urgent(event),
            writable: event.is_writable(),
            ended: event.is_read_closed() || event.is_error(),
        }
    }
}
