//! One worker's topics and subscribers.

use super::TopicError;
use super::batch::{Batch, Encoding, Kind};
use super::names::{self, Filter};
use crate::buffer::SlowConsumer;
use crate::config::Limits;
use crate::ws::Message;
use ahash::RandomState;
use slab::Slab;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;

/// Names a subscriber within its worker, for as long as it has subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriberId(
    /// Its index in the table, plus one.
    NonZeroU32,
);

impl SubscriberId {
    fn new(index: usize) -> SubscriberId {
        SubscriberId(NonZeroU32::MIN.saturating_add(index as u32))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A topic, or a filter, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCount {
    /// The name, or the filter with its `*`.
    pub name: Box<str>,
    /// Connections that have subscribed to it.
    pub subscribers: usize,
    /// Publications that have reached it.
    pub published: u64,
}

/// Who has subscribed to what; `C` names a connection.
#[derive(Debug)]
pub(crate) struct Topics<C> {
    topics: Slab<Topic>,
    /// Indices into `topics`, of those that are one topic.
    exact: HashMap<Rc<str>, u32, RandomState>,
    /// Indices into `topics`, of those that stand for all names which begin so.
    prefixes: HashMap<Rc<str>, u32, RandomState>,
    /// Lengths in bytes of all `prefixes`, and how many there are of each; the longest first.
    prefix_lengths: Vec<(usize, usize)>,
    subscribers: Slab<Subscriber<C>>,
    /// Subscribers that something is due to, in the order in which it became so. One that has left, or was
    /// served, may be among them.
    pending: Vec<SubscriberId>,
    pub(crate) batch: Batch,
}

#[derive(Debug)]
struct Topic {
    /// Without the `*` if it is a prefix.
    name: Rc<str>,
    is_prefix: bool,
    members: Vec<Member>,
    published: u64,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    subscriber: SubscriberId,
    slow: SlowConsumer,
}

#[derive(Debug)]
struct Subscriber<C> {
    conn: C,
    encoding: Encoding,
    /// What is due to it at last; empty if nothing is.
    run: BatchRange,
    /// What is due to it before that.
    earlier: Vec<BatchRange>,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    /// Index into `Topics::topics`.
    topic: u32,
    /// Index into that topic's `members`.
    at: u32,
}

/// Publications in a row that one subscriber is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BatchRange {
    /// Number of the first.
    pub(crate) from: u32,
    /// Number behind the last; 0 if there are none.
    pub(crate) to: u32,
    /// What becomes of them if there is no room.
    pub(crate) slow: SlowConsumer,
}

impl BatchRange {
    /// How many there are.
    pub(crate) fn len(self) -> u64 {
        u64::from(self.to - self.from)
    }
}

impl<C> Subscriber<C> {
    /// Entry `at`, which is not due to it yet, becomes so. Tells whether nothing was before.
    #[inline]
    fn owe(&mut self, at: u32, slow: SlowConsumer) -> bool {
        let run = &mut self.run;
        if run.to == at && run.slow == slow && at > 0 {
            run.to += 1;
            return false;
        }
        let before = std::mem::replace(run, BatchRange { from: at, to: at + 1, slow });
        if before.to > 0 {
            self.earlier.push(before);
        }
        before.to == 0
    }
}

impl<C> Default for Topics<C> {
    fn default() -> Topics<C> {
        Topics {
            topics: Slab::new(),
            exact: HashMap::default(),
            prefixes: HashMap::default(),
            prefix_lengths: Vec::new(),
            subscribers: Slab::new(),
            pending: Vec::new(),
            batch: Batch::default(),
        }
    }
}

impl<C: Copy> Topics<C> {
    /// Subscribes `conn` to a topic or to all that a filter stands for. `who` is its name here, which the
    /// first subscription gives it. Tells whether the subscription is new; if not, only what becomes of the
    /// slow is set anew.
    ///
    /// # Errors
    /// [`TopicError`]; nothing has changed then.
    pub(crate) fn subscribe(
        &mut self,
        who: &mut Option<SubscriberId>,
        (conn, encoding): (C, Encoding),
        filter: &str,
        slow: SlowConsumer,
        limits: &Limits,
    ) -> Result<bool, TopicError> {
        let filter = names::filter(filter, limits.topic_bytes)?;
        let known = self.find(filter);
        let subscriptions = who.map_or(&[][..], |who| &self.subscribers[who.index()].subscriptions);
        if let Some(topic) = known
            && let Some(own) = subscriptions.iter().find(|own| own.topic == topic)
        {
            self.topics[topic as usize].members[own.at as usize].slow = slow;
            return Ok(false);
        }
        if subscriptions.len() >= limits.subscriptions {
            return Err(TopicError::TooManySubscriptions(limits.subscriptions));
        }
        if known.is_none() && self.topics.len() >= limits.topics {
            return Err(TopicError::TooManyTopics(limits.topics));
        }
        let topic = known.unwrap_or_else(|| self.add(filter));
        let subscriber = *who.get_or_insert_with(|| {
            let (run, earlier, subscriptions) = (BatchRange::default(), Vec::new(), Vec::new());
            let subscriber = Subscriber { conn, encoding, run, earlier, subscriptions };
            SubscriberId::new(self.subscribers.insert(subscriber))
        });
        let members = &mut self.topics[topic as usize].members;
        let at = members.len() as u32;
        members.push(Member { subscriber, slow });
        self.subscribers[subscriber.index()].subscriptions.push(Subscription { topic, at });
        Ok(true)
    }

    /// Ends a subscription. What was published before is still due. Tells whether there was one.
    pub(crate) fn unsubscribe(&mut self, who: SubscriberId, filter: &str) -> bool {
        let Ok(filter) = names::filter(filter, usize::MAX) else { return false };
        let Some(topic) = self.find(filter) else { return false };
        let subscriptions = &mut self.subscribers[who.index()].subscriptions;
        let Some(own) = subscriptions.iter().position(|own| own.topic == topic) else { return false };
        let own = subscriptions.swap_remove(own);
        self.remove_member(&own);
        true
    }

    /// Ends all subscriptions of a connection. Tells how many publications were still due to it.
    pub(crate) fn leave(&mut self, who: SubscriberId) -> u64 {
        let subscriber = self.subscribers.remove(who.index());
        for own in &subscriber.subscriptions {
            self.remove_member(own);
        }
        subscriber.earlier.iter().chain([&subscriber.run]).map(|run| run.len()).sum()
    }

    /// Makes a message due to all who have subscribed to `name`, but for `except`. Tells how many they are.
    ///
    /// # Errors
    /// [`TopicError`]; it is due to nobody then.
    pub(crate) fn publish(
        &mut self,
        name: &str,
        message: Message<'_>,
        except: Option<SubscriberId>,
        limits: &Limits,
    ) -> Result<u64, TopicError> {
        names::check_publication(name, message, limits)?;
        let mut count = 0;
        if let Some(topic) = self.exact.get(name) {
            count += self.mark(*topic, except);
        }
        for at in 0..self.prefix_lengths.len() {
            let (length, _) = self.prefix_lengths[at];
            if let Some(prefix) = name.get(..length).filter(|prefix| prefix.len() < name.len())
                && let Some(topic) = self.prefixes.get(prefix)
            {
                count += self.mark(*topic, except);
            }
        }
        if count > 0 {
            self.batch.push(Kind::Publication, name, message);
        }
        Ok(count)
    }

    /// Makes a message due to all who have subscribed to anything. `name` says what it is about. Tells how many
    /// they are.
    pub(crate) fn announce(&mut self, name: &str, message: Message<'_>) -> u64 {
        let at = self.batch.len();
        let mut count = 0;
        for (index, subscriber) in &mut self.subscribers {
            // Each has policies for its subscriptions; the first is as good as any.
            let Some(first) = subscriber.subscriptions.first() else { continue };
            let slow = self.topics[first.topic as usize].members[first.at as usize].slow;
            if subscriber.owe(at, slow) {
                self.pending.push(SubscriberId::new(index));
            }
            self.batch.need(subscriber.encoding, at);
            count += 1;
        }
        if count > 0 {
            self.batch.push(Kind::Announcement, name, message);
        }
        count
    }

    /// Makes the batch's next entry due to all members of a topic. Tells to how many it was not yet.
    #[inline]
    fn mark(&mut self, topic: u32, except: Option<SubscriberId>) -> u64 {
        let at = self.batch.len();
        let topic = &mut self.topics[topic as usize];
        topic.published += 1;
        let mut count = 0;
        for member in &topic.members {
            if except == Some(member.subscriber) {
                continue;
            }
            let subscriber = &mut self.subscribers[member.subscriber.index()];
            // Through another of its subscriptions.
            if subscriber.run.to == at + 1 {
                continue;
            }
            if subscriber.owe(at, member.slow) {
                self.pending.push(member.subscriber);
            }
            self.batch.need(subscriber.encoding, at);
            count += 1;
        }
        count
    }

    /// Whether nothing is due to anybody.
    #[inline]
    pub(crate) fn is_delivered(&self) -> bool {
        self.pending.is_empty()
    }

    /// The subscribers that something is due to, for [`take_pending`](Topics::take_pending); to be given back with
    /// [`clear`](Topics::clear).
    pub(crate) fn pending(&mut self) -> Vec<SubscriberId> {
        std::mem::take(&mut self.pending)
    }

    /// Takes what is due to a subscriber at first, and whom to send it; `None` once nothing is.
    #[inline]
    pub(crate) fn take_pending(&mut self, who: SubscriberId) -> Option<(C, Encoding, BatchRange)> {
        let subscriber = self.subscribers.get_mut(who.index())?;
        if subscriber.run.to == 0 {
            return None;
        }
        let run = if subscriber.earlier.is_empty() {
            std::mem::take(&mut subscriber.run)
        } else {
            subscriber.earlier.remove(0)
        };
        Some((subscriber.conn, subscriber.encoding, run))
    }

    /// Everything was taken: forgets the publications.
    pub(crate) fn clear(&mut self, mut pending: Vec<SubscriberId>) {
        pending.clear();
        self.pending = pending;
        self.batch.clear();
    }

    /// How many topics and filters there are that somebody has subscribed to.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// All topics and filters that somebody has subscribed to.
    pub(crate) fn counts(&self) -> impl Iterator<Item = TopicCount> {
        self.topics.iter().map(|(_, topic)| TopicCount {
            name: if topic.is_prefix { format!("{}*", topic.name).into() } else { (*topic.name).into() },
            subscribers: topic.members.len(),
            published: topic.published,
        })
    }

    fn find(&self, filter: Filter<'_>) -> Option<u32> {
        match filter {
            Filter::Exact(name) => self.exact.get(name).copied(),
            Filter::Prefix(prefix) => self.prefixes.get(prefix).copied(),
        }
    }

    fn add(&mut self, filter: Filter<'_>) -> u32 {
        let (Filter::Exact(name) | Filter::Prefix(name)) = filter;
        let (name, is_prefix) = (Rc::<str>::from(name), matches!(filter, Filter::Prefix(_)));
        let topic = Topic { name: name.clone(), is_prefix, members: Vec::new(), published: 0 };
        let index = self.topics.insert(topic) as u32;
        if is_prefix {
            match self.prefix_lengths.binary_search_by(|(length, _)| name.len().cmp(length)) {
                Ok(at) => self.prefix_lengths[at].1 += 1,
                Err(at) => self.prefix_lengths.insert(at, (name.len(), 1)),
            }
            self.prefixes.insert(name, index);
        } else {
            self.exact.insert(name, index);
        }
        index
    }

    /// Takes a member out of its topic, and the topic away if it was the last.
    fn remove_member(&mut self, own: &Subscription) {
        let topic = &mut self.topics[own.topic as usize];
        topic.members.swap_remove(own.at as usize);
        if let Some(moved) = topic.members.get(own.at as usize) {
            let subscriptions = &mut self.subscribers[moved.subscriber.index()].subscriptions;
            let moved = subscriptions.iter_mut().find(|other| other.topic == own.topic);
            moved.expect("a member has a subscription").at = own.at;
        }
        if topic.members.is_empty() {
            let topic = self.topics.remove(own.topic as usize);
            if topic.is_prefix {
                self.prefixes.remove(&topic.name);
                if let Some(at) =
                    self.prefix_lengths.iter().position(|(length, _)| *length == topic.name.len())
                {
                    self.prefix_lengths[at].1 -= 1;
                    if self.prefix_lengths[at].1 == 0 {
                        self.prefix_lengths.remove(at);
                    }
                }
            } else {
                self.exact.remove(&topic.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table whose connections are numbers.
    #[derive(Default)]
    struct Table {
        topics: Topics<u8>,
        names: [Option<SubscriberId>; 8],
        limits: Limits,
    }

    impl Table {
        fn subscribe(&mut self, conn: u8, filter: &str) -> Result<bool, TopicError> {
            self.subscribe_as(conn, filter, SlowConsumer::DropNewest)
        }

        fn subscribe_as(&mut self, conn: u8, filter: &str, slow: SlowConsumer) -> Result<bool, TopicError> {
            let who = &mut self.names[conn as usize];
            self.topics.subscribe(who, (conn, Encoding::PLAIN), filter, slow, &self.limits)
        }

        fn unsubscribe(&mut self, conn: u8, filter: &str) -> bool {
            self.topics.unsubscribe(self.names[conn as usize].unwrap(), filter)
        }

        fn leave(&mut self, conn: u8) -> u64 {
            self.topics.leave(self.names[conn as usize].take().unwrap())
        }

        fn publish(&mut self, name: &str) -> u64 {
            self.topics.publish(name, Message::Text(name), None, &self.limits).unwrap()
        }

        /// What each is sent, `1:ab 2:a`.
        fn deliver(&mut self) -> String {
            let pending = self.topics.pending();
            let mut told = Vec::new();
            for who in &pending {
                let mut text = String::new();
                let mut to = 0;
                while let Some((conn, encoding, run)) = self.topics.take_pending(*who) {
                    to = conn;
                    for at in run.from..run.to {
                        let frame = self.topics.batch.frames(encoding, at, at + 1);
                        text.push_str(std::str::from_utf8(&frame[2..]).unwrap());
                    }
                }
                if !text.is_empty() {
                    told.push(format!("{to}:{text}"));
                }
            }
            self.topics.clear(pending);
            told.sort();
            told.join(" ")
        }
    }

    #[test]
    fn each_is_due_what_it_has_subscribed_to_once_and_in_order() {
        let mut table = Table::default();
        for (conn, filter) in [(1, "a"), (2, "a"), (2, "b"), (3, "*"), (3, "a"), (4, "a*"), (4, "ab*")] {
            assert_eq!(table.subscribe(conn, filter), Ok(true));
            assert_eq!(table.subscribe(conn, filter), Ok(false), "again");
        }
        let counts = ["a", "b", "abc", "a", "none"].map(|name| table.publish(name));
        assert_eq!(counts, [3, 2, 2, 3, 1]);
        assert_eq!(table.deliver(), "1:aa 2:aba 3:ababcanone 4:abc");
        assert!(table.topics.is_delivered());
        assert_eq!(table.deliver(), "");
    }

    #[test]
    fn what_is_published_does_not_reach_who_is_left_out() {
        let mut table = Table::default();
        table.subscribe(1, "a").unwrap();
        table.subscribe(2, "a").unwrap();
        let Table { topics, names, limits } = &mut table;
        assert_eq!(topics.publish("a", Message::Text("x"), names[1], limits), Ok(1));
        assert_eq!(topics.publish("a", Message::Text("y"), None, limits), Ok(2));
        assert_eq!(topics.publish("a", Message::Text("z"), names[2], limits), Ok(1));
        assert_eq!(table.deliver(), "1:yz 2:xy");
    }

    #[test]
    fn who_leaves_is_due_nothing_and_its_place_is_another_s() {
        let mut table = Table::default();
        for conn in [1, 2, 3] {
            table.subscribe(conn, "a").unwrap();
            table.subscribe(conn, "b*").unwrap();
        }
        table.publish("a");
        table.publish("b");
        table.publish("bc");
        assert!(table.unsubscribe(3, "a"));
        assert!(!table.unsubscribe(3, "a"));
        assert!(!table.unsubscribe(3, "nobody's"));
        assert_eq!(table.leave(2), 2);
        table.subscribe(4, "a").unwrap();
        table.publish("a");
        assert_eq!(table.deliver(), "1:abca 3:abc 4:a");
        assert_eq!([1, 3, 4].map(|conn| table.leave(conn)), [0, 0, 0]);
        assert_eq!(table.topics.counts().count(), 0);
        assert!(table.topics.exact.is_empty() && table.topics.prefixes.is_empty());
        assert!(table.topics.prefix_lengths.is_empty() && table.topics.subscribers.is_empty());
        assert_eq!(table.publish("a"), 0);
    }

    #[test]
    fn an_announcement_is_due_to_all_who_have_subscribed_to_anything_once_and_in_order() {
        let mut table = Table::default();
        for (conn, filter) in [(1, "a"), (2, "a"), (2, "b*"), (3, "b"), (4, "c")] {
            table.subscribe(conn, filter).unwrap();
        }
        table.unsubscribe(4, "c");
        table.publish("a");
        assert_eq!(table.topics.announce("gap", Message::Text("!")), 3);
        table.publish("a");
        assert_eq!(table.topics.announce("gap", Message::Text("?")), 3);
        table.publish("b");
        assert_eq!(table.deliver(), "1:a!a? 2:a!a? 3:!?b");
        assert!(table.topics.is_delivered());
        (1..=4).for_each(|conn| assert_eq!(table.leave(conn), 0));
        assert_eq!(table.topics.announce("gap", Message::Text("!")), 0);
        assert_eq!((table.topics.batch.len(), table.topics.is_delivered()), (0, true));
    }

    #[test]
    fn runs_end_where_the_policy_changes() {
        let mut table = Table::default();
        table.subscribe_as(1, "a", SlowConsumer::Conflate).unwrap();
        table.subscribe_as(1, "b", SlowConsumer::Close).unwrap();
        for name in ["a", "a", "b", "x", "b"] {
            table.publish(name);
        }
        let who = table.names[1].unwrap();
        let mut runs = Vec::new();
        while let Some((1, _, BatchRange { from, to, slow })) = table.topics.take_pending(who) {
            runs.push((from, to, slow));
        }
        // Nobody is due "x": it is no entry.
        assert_eq!(runs, [(0, 2, SlowConsumer::Conflate), (2, 4, SlowConsumer::Close)]);
    }

    #[test]
    fn of_several_the_nearest_to_the_name_has_its_policy() {
        use SlowConsumer::*;
        fn decides(filters: &[(&str, SlowConsumer)], name: &str, expected: SlowConsumer) {
            let mut table = Table::default();
            // Of other lengths, and there before.
            for other in ["q*", "pppppp*", "*", "ppp*"] {
                table.subscribe(2, other).unwrap();
            }
            for (filter, slow) in filters {
                table.subscribe_as(1, filter, *slow).unwrap();
            }
            table.unsubscribe(2, "*");
            table.publish(name);
            let (_, _, run) = table.topics.take_pending(table.names[1].unwrap()).unwrap();
            assert_eq!((run.len(), run.slow), (1, expected), "{filters:?}");
        }
        let filters = [("p.a", Close), ("p.*", Conflate), ("*", DropOldest), ("p*", DropNewest)];
        for turn in 0..filters.len() {
            let mut filters = filters;
            filters.rotate_left(turn);
            decides(&filters, "p.a", Close);
            decides(&filters, "p.b", Conflate);
            decides(&filters, "pq", DropNewest);
            decides(&filters, "a", DropOldest);
        }
    }

    #[test]
    fn small() {
        // As `Limits::connection_bytes` has it.
        assert!(size_of::<Member>() <= 8 && size_of::<Subscription>() <= 8);
    }

    #[test]
    fn bounds() {
        let mut table = Table::default();
        (table.limits.topics, table.limits.subscriptions, table.limits.topic_bytes) = (3, 2, 5);
        table.limits.message_bytes = 5;
        assert_eq!(table.subscribe(1, "a"), Ok(true));
        assert_eq!(table.subscribe(1, "b"), Ok(true));
        assert_eq!(table.subscribe(1, "c"), Err(TopicError::TooManySubscriptions(2)));
        assert_eq!(table.subscribe(2, "c*"), Ok(true));
        assert_eq!(table.subscribe(2, "d"), Err(TopicError::TooManyTopics(3)));
        assert_eq!(table.subscribe(2, "a"), Ok(true));
        assert_eq!(table.subscribe(3, "sixsix"), Err(TopicError::TooLong(5)));
        assert_eq!(table.names[3], None);
        assert!(table.unsubscribe(2, "c*"));
        assert_eq!(table.subscribe(3, "d"), Ok(true));
        let Table { topics, limits, .. } = &mut table;
        let mut publish = |name, text| topics.publish(name, Message::Text(text), None, limits);
        assert_eq!(publish("a*", ""), Err(TopicError::Wildcard));
        assert_eq!(publish("a", "123456"), Err(TopicError::MessageTooBig(5)));
        assert_eq!(publish("a", "12345"), Ok(2));
    }

    #[test]
    fn topics_are_counted() {
        let mut table = Table::default();
        table.subscribe(1, "a").unwrap();
        table.subscribe(2, "a").unwrap();
        table.subscribe(2, "a*").unwrap();
        for name in ["a", "ab", "c"] {
            table.publish(name);
        }
        let mut counts: Vec<_> = table.topics.counts().collect();
        counts.sort_by(|one, other| one.name.cmp(&other.name));
        let count =
            |name: &str, subscribers, published| TopicCount { name: name.into(), subscribers, published };
        assert_eq!(counts, [count("a", 2, 1), count("a*", 1, 1)]);
    }
}
