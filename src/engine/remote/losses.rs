//! Publications that a mailbox had no room for.
//!
//! It knows no subscriber. Its invariant: every loss is noted, in a bounded amount of memory: under its topic, or, beyond so
//! many topics, as one that may concern any subscriber.

use crate::pubsub::Publication;
use crate::ws::Message;
use std::collections::BTreeMap;

/// Topics whose losses are noted one by one. The worker looks for the subscribers of each of them in one turn.
const TOPICS_MAX: usize = 64;

/// The publications that were lost one after another, while there was no room.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    topics: BTreeMap<Box<str>, Lost>,
    /// Those of any other topics.
    others: Lost,
}

/// A number of lost publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lost {
    pub(in crate::engine) texts: u64,
    pub(in crate::engine) binaries: u64,
}

impl Losses {
    pub(super) fn note(&mut self, publication: &Publication) {
        let topic = publication.topic();
        let is_noted = self.topics.len() < TOPICS_MAX || self.topics.contains_key(topic);
        let lost = if is_noted { self.topics.entry(topic.into()).or_default() } else { &mut self.others };
        match publication.message() {
            Message::Text(_) => lost.texts += 1,
            Message::Binary(_) => lost.binaries += 1,
        }
    }

    /// Returns the topics and what was lost of each; what was lost of others comes without a topic.
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = (Option<&str>, Lost)> {
        let topics = self.topics.iter().map(|(topic, lost)| (Some(&**topic), *lost));
        topics.chain((self.others != Lost::default()).then_some((None, self.others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_by_topic_up_to_a_bound() {
        let mut losses = Losses::default();
        for round in 0..3 {
            for topic in 0..TOPICS_MAX + 5 {
                let message = if round == 0 { Message::Binary(b"") } else { Message::Text("") };
                losses.note(&Publication::new(&format!("{topic:04}"), message));
            }
        }
        let seen: Vec<_> = losses.iter().collect();
        let each = Lost { texts: 2, binaries: 1 };
        for (topic, (name, lost)) in seen[..TOPICS_MAX].iter().enumerate() {
            assert_eq!((*name, *lost), (Some(&*format!("{topic:04}")), each));
        }
        assert_eq!(seen[TOPICS_MAX..], [(None, Lost { texts: 10, binaries: 5 })]);
    }
}
