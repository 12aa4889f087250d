//! How long a connection may take: the policy.
//!
//! It knows no wheel and no clock. Its invariant: a connection's deadline follows from what it waits for
//! ([`Conn::waiting`]), since when, and the timeouts.

use super::conn::{Conn, Protocol};
use super::pace::Pace;
use super::timer::Waiting;
use crate::app::SocketOptions;
use crate::config::Timeouts;
use std::time::Duration;

/// The timeouts in milliseconds, `u64::MAX` for none: computed once, used every turn.
#[derive(Debug)]
pub(super) struct DeadlinePolicy {
    first_byte: u64,
    /// The same with TLS.
    tls: u64,
    head: u64,
    idle: u64,
    body_stall: u64,
    message_stall: u64,
    answer: u64,
    write_stall: u64,
    /// How long an endless answer may send nothing before its source is asked for a sign of life.
    quiet: u64,
    sockets: Vec<SocketTimeouts>,
    close: u64,
    pub(super) grace: u64,
    linger: u64,
}

/// What a route allows its WebSockets, in milliseconds.
#[derive(Debug)]
struct SocketTimeouts {
    ping: u64,
    idle: u64,
    lifetime: u64,
}

/// Why an open WebSocket's deadline has passed, and so what to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It is due a ping.
    Ping,
    /// It must be closed: nothing arrived, not even the answer to a ping.
    Silent,
    /// It must be closed: a message that has begun arrives too slowly.
    Stalled,
    /// It must be closed: it was open for as long as its route allows.
    LifetimeReached,
}

/// The unit of [`Conn::opened`], in milliseconds.
pub(super) const OPENED_MS: u64 = 64;

/// Returns a timeout in milliseconds; `u64::MAX` if it is zero, which is none, or longer than that. One below a
/// millisecond is a millisecond.
fn ms(timeout: Duration) -> u64 {
    match timeout.as_millis() {
        0 if timeout.is_zero() => u64::MAX,
        ms => u64::try_from(ms.max(1)).unwrap_or(u64::MAX),
    }
}

impl DeadlinePolicy {
    /// `sockets` are the options of all WebSocket routes, by their number.
    pub(super) fn new(timeouts: &Timeouts, sockets: &[SocketOptions]) -> DeadlinePolicy {
        let sockets = sockets.iter().map(|options| SocketTimeouts {
            ping: ms(options.ping.unwrap_or(timeouts.ping)),
            idle: ms(options.idle.unwrap_or(timeouts.ws_idle)),
            lifetime: ms(options.lifetime.unwrap_or_default()),
        });
        DeadlinePolicy {
            first_byte: ms(timeouts.first_byte),
            tls: ms(timeouts.tls),
            head: ms(timeouts.head),
            idle: ms(timeouts.idle),
            body_stall: ms(timeouts.body_stall),
            message_stall: ms(timeouts.message_stall),
            answer: ms(timeouts.answer),
            write_stall: ms(timeouts.write_stall),
            quiet: ms(timeouts.ping),
            sockets: sockets.collect(),
            close: ms(timeouts.close),
            grace: ms(timeouts.grace),
            linger: ms(timeouts.linger),
        }
    }

    /// Computes what the connection waits for and until when. `fresh`: something was completed, so the wait starts over
    /// even if it is of the same kind.
    #[inline]
    pub(super) fn update<S>(&self, conn: &mut Conn<S>, now_ms: u64, fresh: bool) {
        let waiting = conn.waiting();
        if waiting == Waiting::Frame && conn.timer.waiting == Waiting::Write {
            self.excuse_silence(conn, now_ms);
        }
        let timer = &mut conn.timer;
        // A peer that goes on sending does not postpone the end of the closing handshake.
        if waiting != timer.waiting || (fresh && waiting != Waiting::Close) {
            timer.since = now_ms;
            timer.waiting = waiting;
            timer.has_begun = true;
        }
        if std::mem::take(&mut timer.is_heard) {
            timer.heard = now_ms;
            timer.pinged = false;
        }
        let allowed = match waiting {
            Waiting::Request if timer.has_begun => self.idle,
            Waiting::Request if conn.peer.is_secured() => self.tls,
            Waiting::Request => self.first_byte,
            Waiting::Head => self.head,
            Waiting::Content => {
                let received = match &conn.protocol {
                    Protocol::Transfer(transfer) => transfer.received(),
                    _ => conn.inbox.as_ref().map_or(0, |inbox| inbox.len()) as u64,
                };
                // The difference wraps: more time may be used than the clock has run.
                let pace = Pace::new(now_ms.wrapping_sub(timer.since), received, self.body_stall);
                timer.since = now_ms.wrapping_sub(pace.used);
                timer.deadline = now_ms.saturating_add(pace.left);
                return;
            }
            Waiting::Discard | Waiting::Linger => self.linger,
            Waiting::Answer => self.answer,
            Waiting::Application | Waiting::Streams => u64::MAX,
            Waiting::Quiet => self.quiet,
            Waiting::Write => {
                let stalled = timer.since.saturating_add(self.write_stall);
                self.note_opened(conn, now_ms);
                let message = self.update_message(conn, now_ms);
                conn.timer.deadline = stalled.min(message).min(self.end_of_life(conn));
                return;
            }
            Waiting::Close => self.close,
            Waiting::Frame => {
                conn.timer.deadline = self.frame_deadline(conn, now_ms);
                return;
            }
        };
        timer.deadline = timer.since.saturating_add(allowed);
    }

    /// Returns when an open WebSocket must be pinged or closed, because of its silence, its age or a slow message, in
    /// milliseconds.
    #[inline]
    fn frame_deadline<S>(&self, conn: &mut Conn<S>, now_ms: u64) -> u64 {
        self.note_opened(conn, now_ms);
        let allowed = self.socket(conn);
        let quiet = if conn.timer.pinged { allowed.idle } else { allowed.ping.min(allowed.idle) };
        let silent = conn.timer.heard.saturating_add(quiet);
        silent.min(self.update_message(conn, now_ms)).min(self.end_of_life(conn))
    }

    /// Notes how far a WebSocket's message has arrived. Returns when it will be too slow, in milliseconds; `u64::MAX` if none
    /// is arriving.
    #[inline]
    fn update_message<S>(&self, conn: &mut Conn<S>, now_ms: u64) -> u64 {
        let pace = self.message_pace(conn, now_ms);
        let Protocol::WebSocket(_, clock) = &mut conn.protocol else { return u64::MAX };
        match pace {
            Some(pace) => {
                clock.set(pace.used, now_ms);
                now_ms.saturating_add(pace.left)
            }
            None => {
                clock.stop();
                u64::MAX
            }
        }
    }

    /// Returns the pace of the message that a WebSocket is receiving.
    #[inline]
    fn message_pace<S>(&self, conn: &Conn<S>, now_ms: u64) -> Option<Pace> {
        let Protocol::WebSocket(_, clock) = &conn.protocol else { return None };
        let arrived = conn.message_arrived()?;
        Some(Pace::new(clock.used(now_ms), arrived as u64, self.message_stall))
    }

    /// Whether a connection is a WebSocket with a message that arrives too slowly.
    pub(super) fn message_is_stalled<S>(&self, conn: &Conn<S>, now_ms: u64) -> bool {
        self.message_pace(conn, now_ms).is_some_and(|pace| pace.left == 0)
    }

    /// No ping could be sent while a slow peer took its backlog, so it gets one before its silence counts. A peer with
    /// an unanswered ping has had its chance.
    #[inline(never)]
    fn excuse_silence<S>(&self, conn: &mut Conn<S>, now_ms: u64) {
        let ping = self.socket(conn).ping;
        if !conn.timer.pinged {
            conn.timer.heard = conn.timer.heard.max(now_ms.saturating_sub(ping));
        }
    }

    fn socket<S>(&self, conn: &Conn<S>) -> &SocketTimeouts {
        let Protocol::WebSocket(open, _) = &conn.protocol else {
            unreachable!("only a WebSocket waits for frames");
        };
        &self.sockets[usize::from(open.route())]
    }

    /// Notes when a WebSocket was opened, if its route has a lifetime.
    #[inline]
    fn note_opened<S>(&self, conn: &mut Conn<S>, now_ms: u64) {
        if let Protocol::WebSocket(open, _) = &conn.protocol {
            if conn.opened == 0 && self.sockets[usize::from(open.route())].lifetime != u64::MAX {
                conn.opened = (now_ms / OPENED_MS) as u32 + 1;
            }
        }
    }

    /// Returns when an open WebSocket reaches its route's lifetime, in milliseconds; `u64::MAX` if it has none, and for
    /// any other connection.
    #[inline]
    fn end_of_life<S>(&self, conn: &Conn<S>) -> u64 {
        match &conn.protocol {
            Protocol::WebSocket(open, _) if open.is_open() && conn.opened > 0 => {
                let lifetime = self.sockets[usize::from(open.route())].lifetime;
                (u64::from(conn.opened) * OPENED_MS).saturating_add(lifetime)
            }
            _ => u64::MAX,
        }
    }

    /// Whether a connection is a WebSocket that has reached its route's lifetime.
    pub(super) fn lifetime_reached<S>(&self, conn: &Conn<S>, now_ms: u64) -> bool {
        self.end_of_life(conn) <= now_ms
    }

    /// Returns why an open WebSocket's deadline has passed.
    pub(super) fn overdue<S>(&self, conn: &Conn<S>, now_ms: u64) -> Overdue {
        if self.lifetime_reached(conn, now_ms) {
            Overdue::LifetimeReached
        } else if self.message_is_stalled(conn, now_ms) {
            Overdue::Stalled
        } else if now_ms.saturating_sub(conn.timer.heard) >= self.socket(conn).idle {
            Overdue::Silent
        } else {
            Overdue::Ping
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finding A17.
    #[test]
    fn a_timeout_of_any_length_is_a_number_of_milliseconds() {
        fn check(timeout: Duration, expected: u64) {
            assert_eq!(ms(timeout), expected, "{timeout:?}");
        }
        check(Duration::ZERO, u64::MAX);
        check(Duration::from_nanos(1), 1);
        check(Duration::from_millis(1500), 1500);
        check(Duration::from_millis(u64::MAX), u64::MAX);
        check(Duration::from_millis(u64::MAX) + Duration::from_millis(1), u64::MAX);
        check(Duration::MAX, u64::MAX);
    }
}
