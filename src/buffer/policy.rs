//! What happens to published messages that an outbox has no room for.
//!
//! It knows no topics, only the name that a message carries. Its invariant: a message that has begun to leave
//! is never dropped, and nothing is dropped for a message that would not fit anyway.

use super::outbox::Outbox;
use super::piece::{Piece, Published};
use super::slow::SlowConsumer;

/// What happened to a published message, and to older ones that made room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offered {
    /// The message is queued. Otherwise it is dropped.
    pub queued: bool,
    /// The number of older messages that were dropped to make room.
    pub dropped_oldest: u64,
    /// The number of older messages of the same topic that it replaced.
    pub conflated: u64,
    /// There was no room, and the policy is [`SlowConsumer::Close`]. The caller drops all waiting messages.
    pub too_slow: bool,
}

impl Outbox {
    /// Queues a published message if it fits: the queue's charge, including the message, must not exceed
    /// `memory_bytes_max`. If it does not fit, its policy decides whether it is dropped, or older messages of
    /// the same policy. [`SlowConsumer::Conflate`] replaces an older message of the topic even if there is
    /// room. If the server is short of memory, nothing fits.
    pub fn offer(&mut self, published: Published, memory_bytes_max: usize) -> Offered {
        let policy = published.policy();
        let charge = published.charge();
        let is_short = self.is_short();
        let has_room = |charged_bytes: usize| charged_bytes + charge <= memory_bytes_max && !is_short;
        let mut offered = Offered::default();
        match policy {
            SlowConsumer::Conflate => {
                let same_topic =
                    |other: &Published| other.policy() == policy && other.name() == published.name();
                let replaced = self.waiting(same_topic).next();
                if let Some(at) = replaced.filter(|at| has_room(self.memory_bytes() - self.charge_at(*at))) {
                    self.remove(at);
                    offered.conflated = 1;
                }
            }
            SlowConsumer::DropOldest if !has_room(self.memory_bytes()) => {
                let mut charged_bytes = self.memory_bytes();
                let enough = self.waiting(|other| other.policy() == policy).position(|at| {
                    charged_bytes -= self.charge_at(at);
                    has_room(charged_bytes)
                });
                for _ in 0..enough.map_or(0, |last| last + 1) {
                    let oldest = self.waiting(|other| other.policy() == policy).next();
                    self.remove(oldest.expect("`position` has just counted it"));
                    offered.dropped_oldest += 1;
                }
            }
            _ => {}
        }
        offered.queued = has_room(self.memory_bytes());
        offered.too_slow = !offered.queued && policy == SlowConsumer::Close;
        if offered.queued {
            self.push(Piece::Published(published), 0);
        }
        offered
    }

    /// Drops all published messages that have not begun to leave, and returns their number.
    pub fn drop_published(&mut self) -> u64 {
        let mut dropped = 0;
        loop {
            let Some(at) = self.waiting(|_| true).next() else { return dropped };
            self.remove(at);
            dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::PIECE_BYTES;
    use super::super::{Portion, Taken};
    use super::*;
    use std::io;
    use std::sync::Arc;

    /// Offers messages, each `topic:text`, to an outbox with room for `room` of them. `begun` bytes of the
    /// first one leave at once. Returns the outcome for the last message, and the messages that wait
    /// afterwards.
    fn offer(policy: SlowConsumer, room: usize, begun: usize, messages: &str) -> (Offered, String) {
        let mut outbox = Outbox::default();
        let mut offered = Offered::default();
        for (at, message) in messages.split(' ').enumerate() {
            let (name, text) = message.split_once(':').unwrap();
            let block: Arc<[u8]> = [name, text].concat().into_bytes().into();
            let published = Published::new(block, name.len(), policy);
            offered = outbox.offer(published, room * (PIECE_BYTES + message.len() - 1));
            if at == 0 && begun > 0 {
                outbox.take(begun);
            }
        }
        let waiting: Vec<_> = outbox.pieces().map(|piece| String::from_utf8_lossy(piece.bytes())).collect();
        let waiting = waiting.join(" ");
        assert_eq!(outbox.published(), outbox.pieces().count() as u64);
        assert_eq!(outbox.bytes(), waiting.replace(' ', "").len() - begun);
        assert_eq!(outbox.memory_bytes(), outbox.pieces().map(Piece::charge).sum::<usize>());
        (offered, waiting)
    }

    #[test]
    fn the_policy_decides_when_there_is_no_room() {
        use SlowConsumer::*;
        let queued = Offered { queued: true, ..Offered::default() };
        let check = |policy, begun, messages, offered, waiting: &str| {
            assert_eq!(offer(policy, 3, begun, messages), (offered, waiting.into()), "{policy} {messages}");
        };
        for policy in SlowConsumer::ALL {
            check(policy, 0, "a:11 b:22 c:33", queued, "11 22 33");
        }
        check(DropNewest, 0, "a:11 b:22 c:33 d:44", Offered::default(), "11 22 33");
        check(DropOldest, 0, "a:11 b:22 c:33 d:44", Offered { dropped_oldest: 1, ..queued }, "22 33 44");
        // A message that has begun to leave is not dropped.
        check(DropOldest, 1, "a:11 b:22 c:33 d:44", Offered { dropped_oldest: 1, ..queued }, "11 33 44");
        check(Close, 0, "a:11 b:22 c:33 d:44", Offered { too_slow: true, ..Offered::default() }, "11 22 33");
        check(Conflate, 0, "a:11 b:22 a:33", Offered { conflated: 1, ..queued }, "22 33");
        check(Conflate, 1, "a:11 b:22 a:33", queued, "11 22 33");
        check(Conflate, 0, "a:11 b:22 c:33 d:44", Offered::default(), "11 22 33");
        check(Conflate, 0, "a:11 b:22 c:33 c:44", Offered { conflated: 1, ..queued }, "11 22 44");
    }

    #[test]
    fn nothing_is_dropped_for_a_message_that_cannot_fit() {
        use SlowConsumer::*;
        let room = 3 * (PIECE_BYTES + 3);
        let huge = "x".repeat(2 * room);
        for policy in [DropNewest, DropOldest, Conflate] {
            let mut outbox = Outbox::default();
            for message in ["a11", "b22", "c33"] {
                assert!(outbox.offer(Published::new(message.as_bytes().into(), 1, policy), room).queued);
            }
            let block = ["a", &huge].concat().into_bytes().into();
            let offered = outbox.offer(Published::new(block, 1, policy), room);
            assert_eq!((offered, outbox.published()), (Offered::default(), 3), "{policy}");
        }
    }

    #[test]
    fn only_messages_of_the_same_policy_are_dropped() {
        let mut outbox = Outbox::default();
        let published = |policy| Published::new(b"txx".as_slice().into(), 1, policy);
        let room = 3 * (PIECE_BYTES + 3);
        outbox.push_copy(b"answer");
        assert!(outbox.offer(published(SlowConsumer::Conflate), room).queued);
        assert_eq!(outbox.offer(published(SlowConsumer::DropOldest), room), Offered::default());
        assert_eq!(outbox.offer(published(SlowConsumer::DropNewest), room), Offered::default());
        assert_eq!(outbox.drop_published(), 1);
        assert_eq!((outbox.bytes(), outbox.published()), (6, 0));
        assert!(outbox.offer(published(SlowConsumer::DropOldest), room).queued);
        let length = |portion: Portion<'_>| match portion {
            Portion::Memory(slices) => slices.iter().map(|slice| slice.len()).sum::<usize>(),
            Portion::File { .. } => unreachable!("no file is queued"),
        };
        let mut once = false;
        let blocked = outbox.send(0, |portion| match std::mem::replace(&mut once, true) {
            false => Ok(length(portion).min(6)),
            true => Err(io::ErrorKind::WouldBlock.into()),
        });
        assert!(matches!(blocked, Ok(Taken::Blocked { progress: true })) && !outbox.holds_answers());
        assert!(matches!(outbox.send(0, |portion| Ok(length(portion))), Ok(Taken::All)));
        assert_eq!((outbox.take_delivered(), outbox.take_delivered(), outbox.memory_bytes()), (1, 0, 0));
    }
}
