//! What a connection is waited for, and until when.
//!
//! A deadline is a number in the record; the wheel holds an entry that fires at or before it and is
//! armed again if the deadline has moved on. So activity costs a store, not a timer.

use super::conn::{Conn, Protocol, Writing};
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
    /// A ping has been sent, and no frame has come since.
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
    ping: u64,
    pub(super) ws_idle: u64,
    close: u64,
    pub(super) grace: u64,
    linger: u64,
}

impl Allowances {
    pub(super) fn new(timeouts: &Timeouts) -> Allowances {
        let ms = |timeout: Duration| match timeout.as_millis() as u64 {
            0 => u64::MAX,
            ms => ms,
        };
        Allowances {
            head: ms(timeouts.head),
            idle: ms(timeouts.idle),
            body_stall: ms(timeouts.body_stall),
            answer: ms(timeouts.answer),
            write_stall: ms(timeouts.write_stall),
            ping: ms(timeouts.ping),
            ws_idle: ms(timeouts.ws_idle),
            close: ms(timeouts.close),
            grace: ms(timeouts.grace),
            linger: ms(timeouts.linger),
        }
    }
}

/// Bytes a second that content must arrive at, once its grace is over.
const CONTENT_FLOOR: u64 = 1024;

impl Timer {
    /// Works out the wait and its end. `fresh`: something was completed, so that the wait begins anew
    /// even if it is of the same kind.
    #[inline]
    pub(super) fn settle<S>(conn: &mut Conn<S>, allowances: &Allowances, now_ms: u64, fresh: bool) {
        let waiting = waiting(conn);
        let timer = &mut conn.timer;
        // A peer that goes on talking does not put off the end of the closing handshake.
        if waiting != timer.waiting || (fresh && waiting != Waiting::Close) {
            timer.since = now_ms;
            timer.waiting = waiting;
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
            Waiting::Write => allowances.write_stall,
            Waiting::Close => allowances.close,
            Waiting::Frame if timer.pinged => allowances.ws_idle,
            Waiting::Frame => allowances.ping.min(allowances.ws_idle),
        };
        timer.deadline = timer.since.saturating_add(allowed);
    }
}

#[inline]
pub(super) fn waiting<S>(conn: &Conn<S>) -> Waiting {
    if conn.writing == Writing::Lingering {
        return Waiting::Linger;
    }
    if conn.outbox.is_some() {
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
