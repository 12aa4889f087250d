//! What happens to published messages that an outbox has no room for.
//!
//! It knows no topics, only the name that a message carries. Its invariant: a message that has begun to leave
//! is never dropped, nothing is dropped for a message that would not fit anyway, and every drop is noted at its place in the
//! queue.

use super::outbox::Outbox;
use super::piece::Published;
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
    /// Queues a published message if it fits: the queue is empty, or its charge, including the message, does not exceed
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
                    self.remove(at, false);
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
                    self.remove(oldest.expect("`position` has just counted it"), true);
                    offered.dropped_oldest += 1;
                }
            }
            _ => {}
        }
        // A peer that has taken everything gets any message.
        offered.queued = self.is_empty() || has_room(self.memory_bytes());
        offered.too_slow = !offered.queued && policy == SlowConsumer::Close;
        if offered.queued {
            self.push_published(published);
        } else if !offered.too_slow {
            self.lose(1);
        }
        offered
    }

    /// Drops all published messages that have not begun to leave, and returns their number. The gaps between them become
    /// one.
    pub fn drop_published(&mut self) -> u64 {
        let mut dropped = 0;
        loop {
            let Some(at) = self.waiting(|_| true).next() else { return dropped };
            self.remove(at, true);
            dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::{PIECE_BYTES, Piece};
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

    /// Carries out `steps` on an outbox with room for `room` messages: `na:1` offers the text `1` under the topic `a` and the
    /// policy that begins with `n`; at `<` one piece leaves. Returns what has left, and what waits, with the gaps as `(2)`.
    fn gaps(room: usize, steps: &str) -> (String, String) {
        let mut outbox = Outbox::default();
        let mut left = Vec::new();
        for step in steps.split(' ') {
            let (policy, message) = step.split_at(1);
            if policy == "<" {
                let mut full = false;
                let mut take = |outbox: &mut Outbox| {
                    outbox.send(0, |portion| match portion {
                        Portion::Memory(slices) if !std::mem::replace(&mut full, true) => {
                            left.extend_from_slice(&slices[0]);
                            Ok(slices[0].len())
                        }
                        _ => Err(io::ErrorKind::WouldBlock.into()),
                    })
                };
                while let Taken::Gap { .. } = take(&mut outbox).unwrap() {
                    let lost = outbox.take_gap();
                    outbox.push_front(format!("({lost})").into_bytes());
                }
                continue;
            }
            let named = |slow: &SlowConsumer| slow.name().trim_start_matches("drop-").starts_with(policy);
            let policy = SlowConsumer::ALL.into_iter().find(named).unwrap();
            let (name, text) = message.split_once(':').unwrap();
            let block: Arc<[u8]> = [name, text].concat().into_bytes().into();
            let charge = PIECE_BYTES + block.len();
            let _ = outbox.offer(Published::new(block, name.len(), policy), room * charge);
        }
        let mut waiting = String::new();
        for piece in outbox.pieces() {
            match piece {
                Piece::Published(published) if published.lost() > 0 => {
                    waiting += &format!("({})", published.lost());
                }
                _ => {}
            }
            waiting += &String::from_utf8_lossy(piece.bytes());
        }
        (String::from_utf8(left).unwrap(), waiting)
    }

    /// Finding B3.
    #[test]
    fn a_gap_is_where_something_was_dropped() {
        fn check(room: usize, steps: &str, left: &str, waiting: &str) {
            assert_eq!(gaps(room, steps), (left.into(), waiting.into()), "{steps}");
        }
        // New messages are missing behind those that wait, and before the next that does.
        check(2, "na:1 na:2 na:3 na:4 < na:5", "1", "2(2)5");
        check(2, "na:1 na:2 na:3 na:4 < na:5 < <", "12(2)", "5");
        // Nothing need follow.
        check(1, "na:1 na:2 <", "1", "(1)");
        check(1, "na:1 na:2 < <", "1(1)", "");
        // Old messages are missing before those that wait.
        check(2, "oa:1 oa:2 oa:3 oa:4", "", "(2)34");
        check(2, "oa:1 oa:2 oa:3 oa:4 < < oa:5", "(2)3", "45");
        check(2, "na:1 ob:2 ob:3", "", "1(1)3");
        // What is replaced is not missing, but the gap before it stays one.
        check(2, "ca:1 ca:2 cb:3 ca:4", "", "34");
        check(2, "ca:1 cb:2 cc:3 ca:4", "", "2(1)4");
        check(3, "oa:1 oa:2 cb:3 oa:4 oa:5 cb:6", "", "(2)456");
        // A message that is alone has room whatever its size.
        check(0, "na:1 na:2 < na:3", "1", "(1)");
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
        // Three were dropped behind the answer.
        let sent = outbox.send(0, |portion| Ok(length(portion)));
        assert!(matches!(sent, Ok(Taken::Gap { progress: true })) && !outbox.holds_answers());
        assert_eq!((outbox.take_gap(), outbox.take_gap(), outbox.bytes()), (3, 0, 2));
        outbox.push_front(b"three".to_vec());
        assert_eq!((outbox.bytes(), outbox.holds_answers()), (7, true));
        let mut left = Vec::new();
        let sent = outbox.send(0, |portion| {
            let Portion::Memory(slices) = portion else { unreachable!("no file is queued") };
            slices.iter().for_each(|slice| left.extend_from_slice(slice));
            Ok(length(portion))
        });
        assert!(matches!(sent, Ok(Taken::All)));
        assert_eq!(left, b"threexx");
        assert_eq!((outbox.take_delivered(), outbox.take_delivered(), outbox.memory_bytes()), (1, 0, 0));
    }
}
