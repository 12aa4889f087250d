//! What an engine is told by others than its peers: the commands of other threads, and what the thread that runs it
//! asks for between two turns.
//!
//! It knows no poll. Its invariant: what is asked for between two turns happens as it would at the beginning of the
//! next, so a command and a call have the same effect.

use super::bounds::Bound;
use super::context::Services;
use super::driver::Engine;
use super::http2::link::Link;
use super::remote::mailbox::Command;
use super::turn::Turn;
use crate::app::{ConnId, Message};
use crate::panics::catch_counted;
use crate::pubsub::TopicError;
use crate::transport::Stream;
use crate::ws::CloseCode;

impl<S: Stream> Engine<S> {
    /// Publishes a message, as a session does: to the subscribers here and on the other workers, and to the broker. It
    /// leaves with the publications of the turn that [`run`](Engine::run) ends, or at once if
    /// [`delivery_is_due`](Engine::delivery_is_due) and the caller asks for it.
    ///
    /// # Errors
    /// [`TopicError`] if the name or the message is not allowed; nothing is published then.
    #[inline]
    pub fn publish(&mut self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        let Services { publisher, limits, counters, .. } = &mut self.context.services;
        publisher.publish(topic, message, None, limits, counters)?;
        // A turn may be far away, and the memory of publications that were sent is used again.
        if publisher.relay_is_due() {
            publisher.relay(counters);
        }
        Ok(())
    }

    /// Whether so much has been published that it should not wait for the end of a turn.
    #[inline]
    pub fn delivery_is_due(&self) -> bool {
        self.context.services.publisher.topics.is_full()
    }

    /// Delivers all that has been published, between two turns. The time is in the milliseconds of
    /// [`Now`](crate::time::Now).
    pub fn deliver_now(&mut self, now_ms: u64) {
        self.schedule.set_now(now_ms);
        self.deliver_all();
        self.run_streams();
    }

    /// Sends a message to a WebSocket of this engine, between two turns. If the connection is gone or has no room for the
    /// message, it is dropped and counted.
    pub fn send(&mut self, now_ms: u64, conn: ConnId, message: Message<'_>) {
        self.schedule.set_now(now_ms);
        self.tell(conn, |turn| turn.send(message));
        self.run_streams();
    }

    /// Begins the closing handshake of a WebSocket of this engine, between two turns.
    pub fn close(&mut self, now_ms: u64, conn: ConnId, code: CloseCode, reason: &str) {
        self.schedule.set_now(now_ms);
        self.tell(conn, |turn| turn.close(code, reason));
        self.run_streams();
    }

    /// Carries out what other threads have posted, as far as the bounds of a turn allow.
    #[inline(never)]
    pub(super) fn carry_out_commands(&mut self) {
        let mut left = self.bounds.commands;
        loop {
            let mut woken = std::mem::take(&mut self.woken);
            let took_all = self.mailbox.drain(&mut woken, &mut self.commands);
            woken.drain(..).for_each(|id| self.list(id));
            self.woken = woken;
            while let Some(command) = self.commands.pop_front() {
                if left == 0 {
                    self.count_bounded(Bound::Commands);
                }
                if left == 0 || self.must_wait(&command) {
                    self.commands.push_front(command);
                    return;
                }
                left = left.saturating_sub(weight(&command));
                self.carry_out(command);
            }
            if took_all {
                return;
            }
        }
    }

    /// Whether a command must wait for publications to be delivered: one that publishes if the batch is full, one that tells
    /// of a loss for all before the loss.
    fn must_wait(&mut self, command: &Command) -> bool {
        let waits = |engine: &Engine<S>| match command {
            Command::Publish(_) | Command::Announce(_) => engine.delivery_is_due(),
            Command::Lose(_) => !engine.context.services.publisher.is_delivered(),
            _ => false,
        };
        if waits(self) {
            self.deliver();
        }
        waits(self)
    }

    fn carry_out(&mut self, command: Command) {
        let Services { publisher, limits, counters, .. } = &mut self.context.services;
        match command {
            Command::Text(id, text) => self.tell(id, |turn| turn.send(Message::Text(&text))),
            Command::Binary(id, bytes) => self.tell(id, |turn| turn.send(Message::Binary(&bytes))),
            Command::Close(id, code, reason) => self.tell(id, |turn| turn.close(code, &reason)),
            Command::Publish(publication) => publisher.publish_from_outside(&publication, limits, counters),
            Command::Announce(announcement) => publisher.announce(&announcement, counters),
            Command::Lose(losses) => self.lose(&losses),
            Command::Listen(id, filter, callback) => {
                publisher.listen(id, &filter, callback, limits, counters)
            }
            Command::Unlisten(id) => publisher.unlisten(id, counters),
            Command::CountTopics(after, question) => {
                question.add(|all| all.merge(publisher.topics.page(after.as_deref())));
                catch_counted(&mut counters.panics, || question.settle());
            }
            Command::ReportFigures(question) => {
                question.add(|all| all.push(self.figures()));
                catch_counted(&mut self.context.services.counters.panics, || question.settle());
            }
            Command::Shutdown => self.shutdown_due = true,
        }
    }

    /// Calls `send` on a connection that has not asked for it, then gives the connection a turn.
    pub(super) fn tell(&mut self, id: ConnId, send: impl FnOnce(&mut Turn<'_, Link<S>>)) {
        match self.table.find(id) {
            Some(conn) => send(&mut Turn::new(conn, id, &mut self.context, &mut self.cork)),
            None => {
                self.counters_mut().stale_ids += 1;
                return;
            }
        }
        self.drive(id, false);
    }
}

/// Returns how many of a turn's [`Bound::Commands`] a command takes.
fn weight(command: &Command) -> usize {
    match command {
        // The application makes an answer of what it is told.
        Command::CountTopics(..) | Command::ReportFigures(_) => 128,
        _ => 1,
    }
}
