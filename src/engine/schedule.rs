//! The schedule of a worker's deadlines: which connection's passes next, and what follows when it has passed.
//!
//! It knows no clock: the time is passed in. Its invariant: for every connection with a deadline the wheel holds an entry
//! that fires at or before it.

use super::conn::Conn;
use super::deadlines::{DeadlinePolicy, Overdue};
use super::table::Table;
use super::timer::Waiting;
use crate::app::ConnId;
use crate::time::{Now, Tick, Wheel};
use crate::ws::CloseCode;

/// The deadlines of all connections of a worker.
pub(super) struct Schedule {
    policy: DeadlinePolicy,
    wheel: Wheel,
    /// For each index of the table that is free, the tick of the entry that its last connection has left; 0 for none.
    left: Vec<Tick>,
    now_ms: u64,
}

/// What to do with a connection whose deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Answer 408, its last answer: its request took too long to arrive.
    RequestTimeout,
    /// Answer 504: another thread took too long to make the answer.
    AnswerTimeout,
    /// Ask its endless source for a sign of life.
    Quiet,
    /// Send a ping.
    Ping,
    /// Begin the closing handshake, with this code and reason.
    Close(CloseCode, &'static str),
    /// Offer it once more what is queued, and drop it if it takes nothing.
    Offer,
    /// Drop it.
    Abort,
}

/// Why a WebSocket is closed by its deadline.
const SILENT: Expiry = Expiry::Close(CloseCode::AWAY, "idle for too long");
const STALLED: Expiry = Expiry::Close(CloseCode::POLICY, "a message arrives too slowly");
const LIFETIME_REACHED: Expiry = Expiry::Close(CloseCode::AWAY, "open for long enough");

impl Expiry {
    /// Whether it counts as a timeout: the peer or the application was too slow. Whether an offer does is not known yet.
    pub(super) fn is_timeout(self) -> bool {
        !matches!(self, Expiry::Quiet | Expiry::Ping | Expiry::Offer) && self != LIFETIME_REACHED
    }
}

impl Schedule {
    /// Makes a schedule whose wheel does not move its first `room` entries.
    pub(super) fn new(policy: DeadlinePolicy, now: Now, room: usize) -> Schedule {
        let left = Vec::with_capacity(room);
        Schedule { policy, wheel: Wheel::new(now.ms, room), left, now_ms: now.ms }
    }

    /// Sets the time for everything that follows.
    #[inline]
    pub(super) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Returns the time that was set last, in milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Begins the wait for the first byte of a new connection.
    pub(super) fn begin<S>(&mut self, id: ConnId, conn: &mut Conn<S>) {
        conn.timer.since = self.now_ms;
        // Streams of HTTP/2 come and go: each takes over the entry of the last, instead of adding one that stays for a minute.
        conn.timer.armed = self.left.get_mut(id.index as usize).map(std::mem::take).unwrap_or_default();
        self.update(id, conn, false);
    }

    /// Notes that a connection has ended.
    pub(super) fn end<S>(&mut self, id: ConnId, conn: &Conn<S>) {
        let index = id.index as usize;
        if self.left.len() <= index {
            self.left.resize(index + 1, 0);
        }
        self.left[index] = conn.timer.armed;
    }

    /// Returns when the next entry fires, in milliseconds; 0 if it is due already.
    #[inline]
    pub(super) fn next_ms(&self) -> Option<u64> {
        if self.is_due() { Some(0) } else { self.wheel.next_ms() }
    }

    /// Whether an entry is due: a turn has reached its bound.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.wheel.is_due()
    }

    /// Returns when a shutdown that begins now cuts connections off, in milliseconds.
    pub(super) fn cut_off_ms(&self) -> u64 {
        self.now_ms.saturating_add(self.policy.grace)
    }

    /// Whether a time in milliseconds has come.
    pub(super) fn has_come(&self, ms: u64) -> bool {
        ms <= self.now_ms
    }

    /// Computes a connection's deadline, and ensures that the wheel looks at it in time. `fresh`: something was completed,
    /// so the wait starts over.
    #[inline]
    pub(super) fn update<S>(&mut self, id: ConnId, conn: &mut Conn<S>, fresh: bool) {
        self.policy.update(conn, self.now_ms, fresh);
        let timer = &conn.timer;
        let late = timer.armed == 0 || self.wheel.tick_of(timer.deadline) < u64::from(timer.armed);
        if timer.deadline != u64::MAX && late {
            self.arm(id, conn);
        }
    }

    fn arm<S>(&mut self, id: ConnId, conn: &mut Conn<S>) {
        if conn.timer.deadline != u64::MAX {
            conn.timer.armed = self.wheel.arm(id.index, conn.timer.deadline);
        }
    }

    /// Moves the wheel to the present time.
    pub(super) fn advance(&mut self) {
        self.wheel.advance(self.now_ms);
    }

    /// Returns a connection whose deadline has passed, and what to do with it; `None` if there are no more.
    pub(super) fn expired<S>(&mut self, table: &mut Table<Conn<S>>) -> Option<(ConnId, Expiry)> {
        while let Some(due) = self.wheel.pop() {
            // The entry may be that of an earlier connection at this index. Looking at this one too early changes nothing.
            let id = table.id(due.key);
            let Some(conn) = table.find(id) else {
                if self.left[due.key as usize] == due.tick {
                    self.left[due.key as usize] = 0;
                }
                continue;
            };
            // A stale entry: the connection has been armed with another one.
            if conn.timer.armed != due.tick {
                continue;
            }
            conn.timer.armed = 0;
            match self.expiry(conn) {
                Some(expiry) => return Some((id, expiry)),
                None => self.arm(id, conn),
            }
        }
        None
    }

    /// Returns what to do with a connection if its deadline has passed.
    pub(super) fn expiry<S>(&self, conn: &Conn<S>) -> Option<Expiry> {
        if !self.has_come(conn.timer.deadline) {
            return None;
        }
        Some(match conn.timer.waiting {
            // It has no deadline.
            Waiting::Application | Waiting::Streams => return None,
            Waiting::Head | Waiting::Content => Expiry::RequestTimeout,
            Waiting::Answer => Expiry::AnswerTimeout,
            Waiting::Quiet => Expiry::Quiet,
            Waiting::Frame => match self.policy.overdue(conn, self.now_ms) {
                Overdue::Ping => Expiry::Ping,
                Overdue::Silent => SILENT,
                Overdue::Stalled => STALLED,
                Overdue::LifetimeReached => LIFETIME_REACHED,
            },
            Waiting::Write if self.policy.lifetime_reached(conn, self.now_ms) => LIFETIME_REACHED,
            Waiting::Write if self.policy.message_is_stalled(conn, self.now_ms) => STALLED,
            Waiting::Write => Expiry::Offer,
            Waiting::Request | Waiting::Discard | Waiting::Linger | Waiting::Close => Expiry::Abort,
        })
    }
}
