//! The places of a worker's connections: as many as the limit allows.
//!
//! It knows no listening socket. Its invariant: a place is taken before its connection begins, and given back when it ends.

use super::conn::Source;
use super::driver::Engine;
use super::remote::lobby::Arrival;
use crate::transport::Stream;

impl<S: Stream> Engine<S> {
    /// Closes a connection to make room for another: the one that has lingered for longest after its last answer or, if none
    /// does, the one that has been idle for longest, between two requests or before its first. One that has waited for less
    /// than 100 ms does not give way. Returns whether there is room now.
    pub fn make_room(&mut self) -> bool {
        while !self.has_room() && !self.is_shutting_down() {
            let now_ms = self.schedule.now_ms();
            let Some((id, since)) = self.eviction.next(&mut self.table, now_ms) else { return false };
            // A request, or the end, may have arrived whose event is not reported yet.
            if let Some(conn) = self.table.find(id) {
                conn.source = Source::Ready;
            }
            self.drive(id, false);
            if self.table.find(id).is_some_and(|conn| conn.may_give_way() && conn.timer.since == since) {
                self.counters_mut().evicted += 1;
                self.abort(id);
            }
        }
        self.has_room()
    }

    /// Takes a place for a connection, if the limit allows another.
    pub(super) fn take_place(&mut self) -> bool {
        self.mailbox.lobby.take_place()
    }

    /// Gives back a place that was taken for a connection that does not come.
    pub(super) fn give_up_place(&mut self) {
        self.mailbox.lobby.leave();
    }

    /// Takes the clients that other workers have sent.
    pub(super) fn take_arrivals(&mut self) -> Vec<Arrival> {
        self.mailbox.lobby.take_arrivals()
    }

    pub(super) fn count_empty_poll(&mut self) {
        self.counters_mut().empty_polls += 1;
    }

    pub(super) fn count_accept_backoff(&mut self) {
        self.counters_mut().accept_backoffs += 1;
    }

    pub(super) fn count_handed_over(&mut self) {
        self.counters_mut().handed_over += 1;
    }
}
