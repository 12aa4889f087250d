//! An engine's publications, on their way to their subscribers.
//!
//! It knows no topic and no frame. Its invariant: a turn makes no more deliveries than its bound allows, and is counted
//! if it leaves some to the next.

use super::bounds::Bound;
use super::context::Services;
use super::delivery;
use super::driver::Engine;
use super::publisher::Recipient;
use super::remote::losses::Losses;
use crate::transport::Stream;

impl<S: Stream> Engine<S> {
    /// Sends publications to their subscribers as far as the turn's bound allows, and handles the subscribers that could
    /// not take them.
    #[inline]
    pub(super) fn deliver(&mut self) {
        // A subscriber that a delivery closes may publish as it ends.
        while !self.context.services.publisher.is_delivered() {
            self.deliver_once();
            if self.deliveries_left == 0 {
                return;
            }
        }
    }

    /// Sends all publications to their subscribers, however long that takes.
    pub(super) fn deliver_all(&mut self) {
        let left = self.deliveries_left;
        while !self.context.services.publisher.is_delivered() {
            self.deliveries_left = usize::MAX;
            self.deliver_once();
        }
        self.deliveries_left = left;
    }

    #[inline(never)]
    fn deliver_once(&mut self) {
        let Engine { table, context, cork, delivery, deliveries_left, .. } = &mut *self;
        delivery::deliver(table, &mut context.services, cork, delivery, deliveries_left);
        let mut follow_ups = std::mem::take(&mut self.delivery.follow_ups);
        for id in follow_ups.blocked.drain(..) {
            self.update_deadline(id, false);
            self.run_if_wanted(id);
        }
        for id in follow_ups.too_slow.drain(..) {
            self.tell(id, |turn| turn.too_slow());
        }
        for id in follow_ups.failed.drain(..) {
            self.abort(id);
        }
        self.delivery.follow_ups = follow_ups;
    }

    /// Notes what subscribers have lost because this worker's mailbox was full, behind all that they have been sent. They are
    /// told of it in turns of their own.
    #[cold]
    pub(super) fn lose(&mut self, losses: &Losses) {
        for (topic, lost) in losses.iter() {
            for (recipient, encoding) in self.context.services.publisher.topics.recipients(topic) {
                // Bytes have no event.
                let count = lost.texts + if encoding.is_events() { 0 } else { lost.binaries };
                if count > 0 {
                    self.lose_of(recipient, count);
                }
            }
        }
    }

    fn lose_of(&mut self, recipient: Recipient, count: u64) {
        let Services { counters, .. } = &mut self.context.services;
        counters.matched += count;
        let Recipient::Conn(id) = recipient else {
            counters.dropped_newest += count;
            return;
        };
        let Some(conn) = self.table.find(id).filter(|conn| conn.takes_publications()) else {
            counters.dropped_closing += count;
            return;
        };
        counters.dropped_newest += count;
        let was_empty = conn.io.outbox.is_none();
        let outbox = conn.outbox(&mut self.cork);
        outbox.lose(count);
        if was_empty {
            outbox.pause();
            self.update_deadline(id, false);
            self.list(id);
        }
    }

    /// Makes a turn's last delivery, and counts the turn if it leaves something to the next.
    #[inline]
    pub(super) fn deliver_last(&mut self) {
        self.deliver();
        if !self.context.services.publisher.is_delivered() {
            self.count_undelivered();
        }
    }

    #[cold]
    fn count_undelivered(&mut self) {
        self.count_bounded(Bound::Deliveries);
        if self.delivery_is_due() {
            self.count_bounded(Bound::Batches);
        }
    }
}
