//! What becomes of a connection whose deadline has passed.
//!
//! It knows no wheel and no timeout: [`schedule`](super::schedule) says what is due. Its invariant: a connection is dropped for
//! taking nothing only if it has just been offered what is queued.

use super::driver::Engine;
use super::schedule::Expiry;
use super::timer::Waiting;
use super::turn::Turn;
use crate::app::ConnId;
use crate::transport::Stream;

impl<S: Stream> Engine<S> {
    /// Handles a connection whose deadline has passed.
    pub(super) fn expire(&mut self, id: ConnId, expiry: Expiry) {
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
            Expiry::Abort => return self.abort(id),
        }
        self.drive(id, false);
        if expiry == Expiry::Quiet {
            self.update_deadline(id, true);
        }
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
            self.abort(id);
        }
    }
}
