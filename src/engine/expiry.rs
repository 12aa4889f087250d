//! What becomes of a connection whose deadline has passed.
//!
//! It knows no wheel and no timeout: [`schedule`](super::schedule) says what is due. Its invariants: a connection is dropped for
//! taking nothing only if it has just been offered what is queued; a turn that was put off is had before the deadline counts.

use super::bounds::Bound;
use super::driver::Engine;
use super::schedule::Expiry;
use super::timer::Waiting;
use super::turn::Turn;
use crate::app::ConnId;
use crate::transport::Stream;

impl<S: Stream> Engine<S> {
    /// Handles the connections whose deadlines have passed, as many as the turn's bound allows.
    #[inline]
    pub(super) fn expire_overdue(&mut self) {
        for _ in 0..self.bounds.deadlines {
            let Some((id, expiry)) = self.schedule.expired(&mut self.table) else { return };
            self.expire(id, expiry);
        }
        if self.schedule.is_due() {
            self.count_bounded(Bound::Deadlines);
        }
    }

    /// Handles a connection whose deadline has passed.
    #[inline(never)]
    fn expire(&mut self, id: ConnId, expiry: Expiry) {
        let Some(expiry) = self.still_due(id, expiry) else { return };
        let Some(conn) = self.table.find(id) else { return };
        self.context.services.counters.timeouts += u64::from(expiry.is_timeout());
        let mut turn = Turn::new(conn, id, &mut self.context, &mut self.cork);
        match expiry {
            Expiry::RequestTimeout => turn.request_timed_out(),
            Expiry::AnswerTimeout => turn.answer_overdue(),
            Expiry::Quiet => turn.quiet(),
            Expiry::Ping => turn.ping(),
            Expiry::Close(code, reason) => turn.close(code, reason),
            Expiry::Offer => return self.offer(id),
            Expiry::Abort if turn.ends_frames() => {}
            Expiry::Abort => return self.give_up(id),
        }
        self.drive(id, false);
        if expiry == Expiry::Quiet {
            self.update_deadline(id, true);
        }
    }

    /// Returns what is due once a connection has had the turn that it waits for: what has arrived for it, from its peer or
    /// from another thread, was in time.
    fn still_due(&mut self, id: ConnId, expiry: Expiry) -> Option<Expiry> {
        let conn = self.table.find(id)?;
        // Another thread may send the answer without waking the connection in this turn.
        if !conn.runnable && expiry != Expiry::AnswerTimeout {
            return Some(expiry);
        }
        self.drive(id, false);
        self.schedule.expiry(self.table.find(id)?)
    }

    /// Offers a connection once more what is queued for it, and drops it if it still takes nothing.
    ///
    /// A poll reports room late: on Linux, only once a third of the send buffer is free, which may be more than a megabyte.
    /// A peer that reads slowly but steadily has taken something long before that, so a write succeeds.
    fn offer(&mut self, id: ConnId) {
        self.drive(id, true);
        let stalled = self.table.find(id).is_some_and(|conn| {
            conn.timer.waiting == Waiting::Write && self.schedule.has_come(conn.timer.deadline)
        });
        if stalled {
            self.counters_mut().timeouts += 1;
            self.give_up(id);
        }
    }

    /// Drops a connection because of a timeout, which is no failure of the server.
    fn give_up(&mut self, id: ConnId) {
        if let Some(conn) = self.table.find(id) {
            conn.io.stream.give_up();
        }
        self.abort(id);
    }
}
