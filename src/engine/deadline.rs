//! What a connection is waited for, and until when.
//!
//! A deadline is a number in the record; the wheel holds an entry that fires at or before it and is
//! armed again if the deadline has moved on. So activity costs a store, not a timer.

use super::conn::{Conn, Protocol, Writing};
use crate::app::SocketOptions;
use crate::config::Timeouts;
use crate::http1::Awaits;
use crate::time::Tick;
use std::time::Duration;

/// What must happen before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Waiting {
    /// A request's first byte.
    #[default]
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a request's content.
    Content,
    /// The rest of content that nobody wants.
    Discard,
    /// The answer that another thread makes.
    Answer,
    /// The application, which may take as long as it likes.
    Application,
    /// Something to send from a source that goes on for ever.
    Quiet,
    /// The peer taking what is queued for it.
    Write,
    /// The peer's end, after our last answer.
    Linger,
    /// A frame.
    Frame,
    /// The peer's Close.
    Close,
}

/// A connection's deadline.
#[derive(Debug, Default)]
pub(super) struct Timer {
    pub(super) waiting: Waiting,
    /// Milliseconds: when the wait began, or when there was last activity that renews it.
    pub(super) since: u64,
    /// Milliseconds; `u64::MAX` is none.
    pub(super) deadline: u64,
    /// Tick of the wheel's entry that will look at this connection first; 0 is none.
    pub(super) armed: Tick,
    /// Milliseconds: when a WebSocket's peer has given its last sign of life. What it takes of what it is sent is
    /// none: its system may do that alone.
    heard: u64,
    /// It has given one since that was noted.
    is_heard: bool,
    /// A ping has been sent, with the payload of [`ping_payload`](Timer::ping_payload), and neither its answer
    /// nor any other frame has come since.
    pub(super) pinged: bool,
}

/// The timeouts in milliseconds, `u64::MAX` for none: worked out once, looked at every turn.
#[derive(Debug)]
pub(super) struct Allowances {
    head: u64,
    idle: u64,
    body_stall: u64,
    answer: u64,
    write_stall: u64,
    /// Before an endless answer says something of no account.
    quiet: u64,
    sockets: Vec<SocketAllowances>,
    close: u64,
    pub(super) grace: u64,
    linger: u64,
}

/// What a route allows its WebSockets.
#[derive(Debug)]
struct SocketAllowances {
    ping: u64,
    idle: u64,
    lifetime: u64,
}

impl Allowances {
    /// `sockets` are the options of all WebSocket routes, by their number.
    pub(super) fn new(timeouts: &Timeouts, sockets: &[SocketOptions]) -> Allowances {
        let ms = |timeout: Duration| match timeout.as_millis() as u64 {
            0 => u64::MAX,
            ms => ms,
        };
        let sockets = sockets.iter().map(|options| SocketAllowances {
            ping: ms(options.ping.unwrap_or(timeouts.ping)),
            idle: ms(options.idle.unwrap_or(timeouts.ws_idle)),
            lifetime: ms(options.lifetime.unwrap_or_default()),
        });
        Allowances {
            head: ms(timeouts.head),
            idle: ms(timeouts.idle),
            body_stall: ms(timeouts.body_stall),
            answer: ms(timeouts.answer),
            write_stall: ms(timeouts.write_stall),
            quiet: ms(timeouts.ping),
            sockets: sockets.collect(),
            close: ms(timeouts.close),
            grace: ms(timeouts.grace),
            linger: ms(timeouts.linger),
        }
    }
}

/// Milliseconds in which a WebSocket's age is counted.
pub(super) const OPENED_MS: u64 = 64;

/// Bytes a second that content must arrive at, once its grace is over.
const CONTENT_FLOOR: u64 = 1024;

impl Timer {
    /// What a ping asks to be sent back: when the peer was heard last, which is another time for the next ping.
    pub(super) fn ping_payload(&self) -> [u8; 8] {
        self.heard.to_be_bytes()
    }

    /// The peer has given a sign of life.
    #[inline]
    pub(super) fn hear(&mut self) {
        self.is_heard = true;
    }

    /// Whether a pong tells that the peer is there: as the answer to our ping, or as a sign of life of its own
    /// accord (RFC 6455 §5.5.3).
    pub(super) fn is_answered_by(&self, pong: &[u8]) -> bool {
        !self.pinged || pong == self.ping_payload()
    }

    /// Works out the wait and its end. `fresh`: something was completed, so that the wait begins anew
    /// even if it is of the same kind.
    #[inline]
    pub(super) fn settle<S>(conn: &mut Conn<S>, allowances: &Allowances, now_ms: u64, fresh: bool) {
        let waiting = waiting(conn);
        if waiting == Waiting::Frame && conn.timer.waiting == Waiting::Write {
            be_asked(conn, allowances, now_ms);
        }
        let timer = &mut conn.timer;
        // A peer that goes on talking does not put off the end of the closing handshake.
        if waiting != timer.waiting || (fresh && waiting != Waiting::Close) {
            timer.since = now_ms;
            timer.waiting = waiting;
        }
        if std::mem::take(&mut timer.is_heard) {
            timer.heard = now_ms;
            timer.pinged = false;
        }
        let allowed = match waiting {
            Waiting::Request => allowances.idle,
            Waiting::Head => allowances.head,
            Waiting::Content => {
                let received = match &conn.protocol {
                    Protocol::Transfer(transfer) => transfer.received(),
                    _ => conn.inbox.as_ref().map_or(0, |inbox| inbox.len()) as u64,
                };
                allowances.body_stall.saturating_add(received.saturating_mul(1000) / CONTENT_FLOOR)
            }
            Waiting::Discard | Waiting::Linger => allowances.linger,
            Waiting::Answer => allowances.answer,
            Waiting::Application => u64::MAX,
            Waiting::Quiet => allowances.quiet,
            Waiting::Write => {
                let stalled = timer.since.saturating_add(allowances.write_stall);
                allowances.note_opened(conn, now_ms);
                conn.timer.deadline = stalled.min(allowances.end(conn));
                return;
            }
            Waiting::Close => allowances.close,
            Waiting::Frame => {
                conn.timer.deadline = frame_deadline(conn, allowances, now_ms);
                return;
            }
        };
        timer.deadline = timer.since.saturating_add(allowed);
    }
}

/// When an open WebSocket is to be looked at: for a ping, because it was silent, or because it was open for
/// long enough.
#[inline]
fn frame_deadline<S>(conn: &mut Conn<S>, allowances: &Allowances, now_ms: u64) -> u64 {
    allowances.note_opened(conn, now_ms);
    let allowed = allowances.socket(conn);
    let quiet = if conn.timer.pinged { allowed.idle } else { allowed.ping.min(allowed.idle) };
    conn.timer.heard.saturating_add(quiet).min(allowances.end(conn))
}

/// While it was sent what it takes slowly a peer could not be asked whether it is there: before its silence is
/// held against it, it is. One that has a ping unanswered was asked.
#[inline(never)]
fn be_asked<S>(conn: &mut Conn<S>, allowances: &Allowances, now_ms: u64) {
    let ping = allowances.socket(conn).ping;
    if !conn.timer.pinged {
        conn.timer.heard = conn.timer.heard.max(now_ms.saturating_sub(ping));
    }
}

/// What is due to an open WebSocket whose deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A ping.
    Ping,
    /// The end: nothing came, not even the answer to a ping.
    Silent,
    /// The end: it was open for as long as it may be.
    Old,
}

impl Allowances {
    fn socket<S>(&self, conn: &Conn<S>) -> &SocketAllowances {
        let Protocol::WebSocket(open) = &conn.protocol else {
            unreachable!("only a WebSocket waits for frames");
        };
        &self.sockets[usize::from(open.route())]
    }

    /// Notes when a WebSocket was opened, if its route bounds how long it may be one.
    #[inline]
    fn note_opened<S>(&self, conn: &mut Conn<S>, now_ms: u64) {
        if let Protocol::WebSocket(open) = &conn.protocol
            && conn.opened == 0
            && self.sockets[usize::from(open.route())].lifetime != u64::MAX
        {
            conn.opened = (now_ms / OPENED_MS) as u32 + 1;
        }
    }

    /// Milliseconds: when an open WebSocket will have been so for as long as its route allows; never, for what is
    /// none.
    #[inline]
    fn end<S>(&self, conn: &Conn<S>) -> u64 {
        match &conn.protocol {
            Protocol::WebSocket(open) if open.is_open() && conn.opened > 0 => {
                let lifetime = self.sockets[usize::from(open.route())].lifetime;
                (u64::from(conn.opened) * OPENED_MS).saturating_add(lifetime)
            }
            _ => u64::MAX,
        }
    }

    /// Whether a connection is a WebSocket that was open for as long as its route allows.
    pub(super) fn is_old<S>(&self, conn: &Conn<S>, now_ms: u64) -> bool {
        self.end(conn) <= now_ms
    }

    /// Why an open WebSocket's deadline has passed.
    pub(super) fn overdue<S>(&self, conn: &Conn<S>, now_ms: u64) -> Overdue {
        if self.is_old(conn, now_ms) {
            Overdue::Old
        } else if now_ms.saturating_sub(conn.timer.heard) >= self.socket(conn).idle {
            Overdue::Silent
        } else {
            Overdue::Ping
        }
    }
}

#[inline]
pub(super) fn waiting<S>(conn: &Conn<S>) -> Waiting {
    if conn.writing == Writing::Lingering {
        return Waiting::Linger;
    }
    if conn.io.outbox.is_some() {
        return Waiting::Write;
    }
    match &conn.protocol {
        Protocol::Http(decoder) => match decoder.awaits() {
            Awaits::Request => Waiting::Request,
            Awaits::Head => Waiting::Head,
            Awaits::Content => Waiting::Content,
            Awaits::Discard | Awaits::Close => Waiting::Discard,
        },
        Protocol::Transfer(transfer) => transfer.waiting(),
        Protocol::WebSocket(socket) if socket.is_open() => Waiting::Frame,
        Protocol::WebSocket(_) => Waiting::Close,
    }
}
