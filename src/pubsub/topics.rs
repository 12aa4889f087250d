//! One worker's topics and subscribers.
//!
//! It knows no connection, only an identifier that the caller chooses. Its invariant: a member of a topic and
//! its subscription point to each other, and a topic without members is removed.

use super::TopicError;
use super::batch::{Batch, BatchRange, Encoding, Kind};
use super::index::Index;
use super::names::{self, Filter};
use super::page::{TopicCount, TopicPage, order};
use crate::buffer::SlowConsumer;
use crate::config::Limits;
use crate::ws::Message;
use slab::Slab;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::rc::Rc;

/// Identifies a subscriber of one worker, from its first subscription on until it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscriberId(
    /// The index in the table plus one.
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

/// A worker's topics and their subscribers. `C` identifies the recipient behind a subscriber, such as a
/// connection.
#[derive(Debug)]
pub(crate) struct Topics<C> {
    topics: Slab<Topic>,
    /// Single topics by name: indices into `topics`.
    exact: Index,
    /// Filters by prefix: indices into `topics`.
    prefixes: Index,
    /// All topics and filters, in the order in which they are listed: indices into `topics`.
    listed: BTreeMap<(Rc<str>, bool), u32>,
    /// The lengths in bytes of all `prefixes` and the number of prefixes of each length, longest first.
    prefix_lengths: Vec<(usize, usize)>,
    subscribers: Slab<Subscriber<C>>,
    /// Subscribers that are owed publications, in the order in which their first one was published. The list
    /// may include some that have left or were served since.
    pending: Vec<SubscriberId>,
    /// How many of `pending` were returned by [`next_pending`](Topics::next_pending).
    served: usize,
    pub(crate) batch: Batch,
    /// Compared with [`BATCH_LOAD_MAX`].
    load: usize,
    /// The share of a publication in `load`.
    publication_load: usize,
}

/// A batch is full when its load reaches this: the bytes of its messages, a share for each publication, and one for each
/// subscriber that a publication matches. That bounds its memory, that of all ranges, and the time that matching takes.
const BATCH_LOAD_MAX: usize = 256 << 10;
/// Publications with which a batch is full by default, if they are empty and match nobody. It bounds what is queued for one
/// slow subscriber at a time.
pub(crate) const BATCH_PUBLICATIONS_MAX: u32 = 4096;
/// Ranges of a subscriber whose memory is kept for the next batch.
const RANGES_KEPT: usize = 16;

#[derive(Debug)]
struct Topic {
    /// Without the `*` of a filter.
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
    recipient: C,
    encoding: Encoding,
    /// The last range that is owed; empty if nothing is owed.
    last: BatchRange,
    /// The ranges that are owed before `last`, oldest first.
    earlier: Vec<BatchRange>,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    /// Index into `Topics::topics`.
    topic: u32,
    /// Index into that topic's `members`.
    member: u32,
}

impl<C> Subscriber<C> {
    /// Adds entry `at`, which must not be owed yet. Returns whether nothing was owed before.
    #[inline]
    fn owe(&mut self, at: u32, slow: SlowConsumer) -> bool {
        let last = &mut self.last;
        if last.to == at && last.slow == slow && at > 0 {
            last.to += 1;
            return false;
        }
        let before = std::mem::replace(last, BatchRange { from: at, to: at + 1, slow });
        if before.to > 0 {
            self.earlier.push(before);
        }
        before.to == 0
    }
}

impl<C: Copy> Topics<C> {
    /// Makes a table whose batch is full with `batch_max` publications.
    pub(crate) fn new(batch_max: u32) -> Topics<C> {
        Topics {
            topics: Slab::new(),
            exact: Index::default(),
            prefixes: Index::default(),
            listed: BTreeMap::new(),
            prefix_lengths: Vec::new(),
            subscribers: Slab::new(),
            pending: Vec::new(),
            served: 0,
            batch: Batch::default(),
            load: 0,
            publication_load: BATCH_LOAD_MAX / batch_max as usize,
        }
    }

    /// Subscribes `recipient` to a topic or a filter. Its first subscription sets `subscriber`. Returns whether
    /// the subscription is new. If it is not, only its policy is replaced.
    ///
    /// # Errors
    /// [`TopicError`]. Nothing is changed then.
    pub(crate) fn subscribe(
        &mut self,
        subscriber: &mut Option<SubscriberId>,
        (recipient, encoding): (C, Encoding),
        filter: &str,
        slow: SlowConsumer,
        limits: &Limits,
    ) -> Result<bool, TopicError> {
        let filter = names::filter(filter, limits.topic_bytes)?;
        let known = self.find(filter);
        let subscriptions = subscriber.map_or(&[][..], |id| &self.subscribers[id.index()].subscriptions);
        if let Some(own) = subscriptions.iter().find(|own| Some(own.topic) == known) {
            self.topics[own.topic as usize].members[own.member as usize].slow = slow;
            return Ok(false);
        }
        if subscriptions.len() >= limits.subscriptions {
            return Err(TopicError::TooManySubscriptions(limits.subscriptions));
        }
        if known.is_none() && self.topics.len() >= limits.topics {
            return Err(TopicError::TooManyTopics(limits.topics));
        }
        let topic = known.unwrap_or_else(|| self.add(filter));
        let subscriber = *subscriber.get_or_insert_with(|| {
            let (last, earlier, subscriptions) = (BatchRange::default(), Vec::new(), Vec::with_capacity(1));
            let subscriber = Subscriber { recipient, encoding, last, earlier, subscriptions };
            SubscriberId::new(self.subscribers.insert(subscriber))
        });
        let members = &mut self.topics[topic as usize].members;
        let member = members.len() as u32;
        members.push(Member { subscriber, slow });
        self.subscribers[subscriber.index()].subscriptions.push(Subscription { topic, member });
        Ok(true)
    }

    /// Ends a subscription. Publications made before are still owed. Returns whether there was a subscription.
    pub(crate) fn unsubscribe(&mut self, subscriber: SubscriberId, filter: &str) -> bool {
        let Ok(filter) = names::filter(filter, usize::MAX) else { return false };
        let Some(topic) = self.find(filter) else { return false };
        let subscriptions = &mut self.subscribers[subscriber.index()].subscriptions;
        let Some(own) = subscriptions.iter().position(|own| own.topic == topic) else { return false };
        let own = subscriptions.swap_remove(own);
        self.remove_member(&own);
        true
    }

    /// Removes a subscriber. Returns the number of publications that it was still owed.
    pub(crate) fn leave(&mut self, subscriber: SubscriberId) -> u64 {
        let subscriber = self.subscribers.remove(subscriber.index());
        for own in &subscriber.subscriptions {
            self.remove_member(own);
        }
        subscriber.earlier.iter().chain([&subscriber.last]).map(|range| range.len()).sum()
    }

    /// Publishes a message to all subscribers of `name`, except `except`. Returns their number.
    ///
    /// # Errors
    /// [`TopicError`]. The message is not published then.
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
            count += self.mark(topic, message, except);
        }
        for at in 0..self.prefix_lengths.len() {
            let (length, _) = self.prefix_lengths[at];
            let prefix = name.get(..length).filter(|prefix| prefix.len() < name.len());
            if let Some(topic) = prefix.and_then(|prefix| self.prefixes.get(prefix)) {
                count += self.mark(topic, message, except);
            }
        }
        if count > 0 {
            self.batch.push(Kind::Publication, name, message);
            self.add_load(message, count);
        }
        Ok(count)
    }

    /// Publishes a message to all subscribers of any topic. `name` is its subject. Returns their number.
    pub(crate) fn announce(&mut self, name: &str, message: Message<'_>) -> u64 {
        let at = self.batch.len();
        let mut count = 0;
        for (index, subscriber) in &mut self.subscribers {
            // The subscriptions may have different policies. Any of them may apply, so the first is used.
            let Some(first) = subscriber.subscriptions.first() else { continue };
            let slow = self.topics[first.topic as usize].members[first.member as usize].slow;
            if !self.batch.need(subscriber.encoding, at, message) {
                continue;
            }
            if subscriber.owe(at, slow) {
                self.pending.push(SubscriberId::new(index));
            }
            count += 1;
        }
        if count > 0 {
            self.batch.push(Kind::Announcement, name, message);
            self.add_load(message, count);
        }
        count
    }

    /// Returns the subscribers that a publication to `name` matches, each once; without a name, all of any topic.
    #[cold]
    pub(crate) fn recipients(&self, name: Option<&str>) -> Vec<(C, Encoding)> {
        let Some(name) = name else {
            let subscribed = self.subscribers.iter().filter(|(_, own)| !own.subscriptions.is_empty());
            return subscribed.map(|(_, own)| (own.recipient, own.encoding)).collect();
        };
        let prefixes = self.prefix_lengths.iter().filter_map(|(length, _)| {
            let prefix = name.get(..*length).filter(|prefix| prefix.len() < name.len())?;
            self.prefixes.get(prefix)
        });
        let topics = self.exact.get(name).into_iter().chain(prefixes);
        let members = topics.flat_map(|topic| &self.topics[topic as usize].members);
        let mut matched: Vec<_> = members.map(|member| member.subscriber.index()).collect();
        matched.sort_unstable();
        matched.dedup();
        let of = |at| &self.subscribers[at];
        matched.into_iter().map(of).map(|own| (own.recipient, own.encoding)).collect()
    }

    /// Adds an entry that has matched `count` subscribers to the batch's load.
    #[inline]
    fn add_load(&mut self, message: Message<'_>, count: u64) {
        self.load += message.bytes().len() + self.publication_load + count as usize;
    }

    /// Returns whether the batch should be delivered before more is published.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.load >= BATCH_LOAD_MAX
    }

    /// Adds the batch's next entry, `message`, to the publications that a topic's members are owed. Returns the number of
    /// members that can be sent it and were not already owed it.
    #[inline]
    fn mark(&mut self, topic: u32, message: Message<'_>, except: Option<SubscriberId>) -> u64 {
        let at = self.batch.len();
        let topic = &mut self.topics[topic as usize];
        topic.published += 1;
        let mut count = 0;
        for member in &topic.members {
            if except == Some(member.subscriber) {
                continue;
            }
            let subscriber = &mut self.subscribers[member.subscriber.index()];
            // Another subscription of the same subscriber has matched already.
            if subscriber.last.to == at + 1 {
                continue;
            }
            if !self.batch.need(subscriber.encoding, at, message) {
                continue;
            }
            if subscriber.owe(at, member.slow) {
                self.pending.push(member.subscriber);
            }
            count += 1;
        }
        count
    }

    /// Returns whether no subscriber is owed anything.
    #[inline]
    pub(crate) fn is_delivered(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns whether [`next_pending`](Topics::next_pending) has returned every subscriber.
    #[inline]
    pub(crate) fn are_all_served(&self) -> bool {
        self.served == self.pending.len()
    }

    /// Returns the next subscriber that may be owed something, for [`take_pending`](Topics::take_pending). After the last
    /// one, the batch is empty again.
    #[inline]
    pub(crate) fn next_pending(&mut self) -> Option<SubscriberId> {
        let next = self.pending.get(self.served).copied();
        self.served += 1;
        if next.is_none() {
            self.clear();
        }
        next
    }

    /// Takes all ranges that a subscriber is owed, with the recipient and the encoding. Returns the last one; those before
    /// it are moved to `earlier`, which must be empty. Returns `None` if nothing is owed.
    #[inline]
    pub(crate) fn take_pending(
        &mut self,
        subscriber: SubscriberId,
        earlier: &mut Vec<BatchRange>,
    ) -> Option<(C, Encoding, BatchRange)> {
        let subscriber = self.subscribers.get_mut(subscriber.index())?;
        if subscriber.last.to == 0 {
            return None;
        }
        if !subscriber.earlier.is_empty() {
            earlier.append(&mut subscriber.earlier);
            if subscriber.earlier.capacity() > RANGES_KEPT {
                subscriber.earlier = Vec::new();
            }
        }
        Some((subscriber.recipient, subscriber.encoding, std::mem::take(&mut subscriber.last)))
    }

    /// Removes the publications, once every range has been taken.
    fn clear(&mut self) {
        self.pending.clear();
        self.batch.clear();
        (self.served, self.load) = (0, 0);
    }

    /// Returns the number of topics and filters with subscribers.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Lists the topics and filters with subscribers that follow `after` in the order of their names, a filter right behind the
    /// topic of its prefix. The page has at most 256 of them, and fewer if their names are long.
    pub(crate) fn page(&self, after: Option<&str>) -> TopicPage {
        let after = after.map_or(Bound::Unbounded, |name| {
            let (stem, is_prefix) = order(name);
            Bound::Excluded((stem.into(), is_prefix))
        });
        TopicPage::of(self.listed.range((after, Bound::Unbounded)).map(|((name, is_prefix), index)| {
            let topic = &self.topics[*index as usize];
            TopicCount {
                name: if *is_prefix { format!("{name}*").into() } else { (**name).into() },
                subscribers: topic.members.len(),
                published: topic.published,
            }
        }))
    }

    fn find(&self, filter: Filter<'_>) -> Option<u32> {
        match filter {
            Filter::Exact(name) => self.exact.get(name),
            Filter::Prefix(prefix) => self.prefixes.get(prefix),
        }
    }

    fn add(&mut self, filter: Filter<'_>) -> u32 {
        let (Filter::Exact(name) | Filter::Prefix(name)) = filter;
        let (name, is_prefix) = (Rc::<str>::from(name), matches!(filter, Filter::Prefix(_)));
        let topic = Topic { name: name.clone(), is_prefix, members: Vec::new(), published: 0 };
        let index = self.topics.insert(topic) as u32;
        self.listed.insert((name.clone(), is_prefix), index);
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

    /// Removes a subscription's member from its topic. If it was the last member, the topic is removed too.
    fn remove_member(&mut self, own: &Subscription) {
        let topic = &mut self.topics[own.topic as usize];
        topic.members.swap_remove(own.member as usize);
        if let Some(moved) = topic.members.get(own.member as usize) {
            let subscriptions = &mut self.subscribers[moved.subscriber.index()].subscriptions;
            let moved = subscriptions.iter_mut().find(|other| other.topic == own.topic);
            moved.expect("every member has a subscription").member = own.member;
        }
        if topic.members.is_empty() {
            let topic = self.topics.remove(own.topic as usize);
            self.listed.remove(&(topic.name.clone(), topic.is_prefix));
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
    struct Table {
        topics: Topics<u8>,
        ids: [Option<SubscriberId>; 8],
        limits: Limits,
    }

    impl Default for Table {
        fn default() -> Table {
            Table {
                topics: Topics::new(BATCH_PUBLICATIONS_MAX),
                ids: Default::default(),
                limits: Limits::default(),
            }
        }
    }

    impl Table {
        fn subscribe(&mut self, conn: u8, filter: &str) -> Result<bool, TopicError> {
            self.subscribe_as(conn, filter, SlowConsumer::DropNewest)
        }

        fn subscribe_as(&mut self, conn: u8, filter: &str, slow: SlowConsumer) -> Result<bool, TopicError> {
            let subscriber = &mut self.ids[conn as usize];
            self.topics.subscribe(subscriber, (conn, Encoding::PLAIN), filter, slow, &self.limits)
        }

        fn unsubscribe(&mut self, conn: u8, filter: &str) -> bool {
            self.topics.unsubscribe(self.ids[conn as usize].unwrap(), filter)
        }

        fn leave(&mut self, conn: u8) -> u64 {
            self.topics.leave(self.ids[conn as usize].take().unwrap())
        }

        fn publish(&mut self, name: &str) -> u64 {
            self.topics.publish(name, Message::Text(name), None, &self.limits).unwrap()
        }

        /// Returns what each connection is sent, such as `1:ab 2:a`.
        fn deliver(&mut self) -> String {
            let mut sent = Vec::new();
            while let Some(subscriber) = self.topics.next_pending() {
                let mut ranges = Vec::new();
                let Some((to, encoding, last)) = self.topics.take_pending(subscriber, &mut ranges) else {
                    continue;
                };
                ranges.push(last);
                let mut text = String::new();
                for at in ranges.iter().flat_map(|range| range.from..range.to) {
                    let frame = self.topics.batch.frames(encoding, at, at + 1);
                    text.push_str(std::str::from_utf8(&frame[2..]).unwrap());
                }
                sent.push(format!("{to}:{text}"));
            }
            sent.sort();
            sent.join(" ")
        }
    }

    #[test]
    fn each_subscriber_is_owed_its_publications_once_and_in_order() {
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
    fn a_publication_skips_the_subscriber_that_is_excluded() {
        let mut table = Table::default();
        table.subscribe(1, "a").unwrap();
        table.subscribe(2, "a").unwrap();
        let Table { topics, ids, limits } = &mut table;
        assert_eq!(topics.publish("a", Message::Text("x"), ids[1], limits), Ok(1));
        assert_eq!(topics.publish("a", Message::Text("y"), None, limits), Ok(2));
        assert_eq!(topics.publish("a", Message::Text("z"), ids[2], limits), Ok(1));
        assert_eq!(table.deliver(), "1:yz 2:xy");
    }

    #[test]
    fn a_subscriber_that_leaves_is_owed_nothing_and_its_index_is_reused() {
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
        assert!(!table.unsubscribe(3, "unknown"));
        assert_eq!(table.leave(2), 2);
        table.subscribe(4, "a").unwrap();
        table.publish("a");
        assert_eq!(table.deliver(), "1:abca 3:abc 4:a");
        assert_eq!([1, 3, 4].map(|conn| table.leave(conn)), [0, 0, 0]);
        assert_eq!(table.topics.page(None), TopicPage::default());
        assert!(table.topics.exact.is_empty() && table.topics.prefixes.is_empty());
        assert!(table.topics.prefix_lengths.is_empty() && table.topics.subscribers.is_empty());
        assert_eq!(table.publish("a"), 0);
    }

    #[test]
    fn an_announcement_reaches_every_subscriber_once_and_in_order() {
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
    fn ranges_end_where_the_policy_changes() {
        let mut table = Table::default();
        table.subscribe_as(1, "a", SlowConsumer::Conflate).unwrap();
        table.subscribe_as(1, "b", SlowConsumer::Close).unwrap();
        for name in ["a", "a", "b", "x", "b"] {
            table.publish(name);
        }
        let subscriber = table.ids[1].unwrap();
        let mut ranges = Vec::new();
        let (conn, _, last) = table.topics.take_pending(subscriber, &mut ranges).unwrap();
        ranges.push(last);
        assert_eq!(conn, 1);
        // "x" has no subscribers, so it is not in the batch.
        let range = |from, to, slow| BatchRange { from, to, slow };
        assert_eq!(ranges, [range(0, 2, SlowConsumer::Conflate), range(2, 4, SlowConsumer::Close)]);
        assert_eq!(table.topics.take_pending(subscriber, &mut ranges), None);
    }

    #[test]
    fn a_batch_that_is_served_in_part_takes_more() {
        let mut table = Table::default();
        for (conn, filter) in [(1, "a"), (2, "a"), (2, "b")] {
            table.subscribe(conn, filter).unwrap();
        }
        table.publish("a");
        let first = table.topics.next_pending().unwrap();
        assert!(table.topics.take_pending(first, &mut Vec::new()).is_some());
        // The first is owed something again, and the second more than before.
        table.publish("b");
        table.publish("a");
        assert_eq!(table.deliver(), "1:a 2:aba");
        assert_eq!((table.topics.batch.len(), table.topics.is_delivered()), (0, true));
    }

    #[test]
    fn a_batch_is_full_by_its_bytes_its_publications_and_its_matches() {
        fn check(subscribers: u8, message: &str, expected: usize) {
            let mut table = Table::default();
            for conn in 0..subscribers {
                table.subscribe(conn, "a").unwrap();
            }
            let mut published = 0;
            while !table.topics.is_full() {
                table.topics.publish("a", Message::Text(message), None, &table.limits).unwrap();
                published += 1;
            }
            assert_eq!(published, expected);
            table.deliver();
            assert!(!table.topics.is_full());
        }
        check(1, &"x".repeat(125), (256 << 10) / (125 + 64 + 1) + 1);
        check(8, "", (256 << 10) / (64 + 8) + 1);
    }

    #[test]
    fn the_most_specific_subscription_decides_the_policy() {
        use SlowConsumer::*;
        fn decides(filters: &[(&str, SlowConsumer)], name: &str, expected: SlowConsumer) {
            let mut table = Table::default();
            // Prefixes of other lengths, which another subscriber subscribed to before.
            for other in ["q*", "pppppp*", "*", "ppp*"] {
                table.subscribe(2, other).unwrap();
            }
            for (filter, slow) in filters {
                table.subscribe_as(1, filter, *slow).unwrap();
            }
            table.unsubscribe(2, "*");
            table.publish(name);
            let (_, _, range) = table.topics.take_pending(table.ids[1].unwrap(), &mut Vec::new()).unwrap();
            assert_eq!((range.len(), range.slow), (1, expected), "{filters:?}");
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
    fn memberships_are_small() {
        // `Limits::connection_bytes` counts on it.
        assert!(size_of::<Member>() <= 8 && size_of::<Subscription>() <= 8);
    }

    #[test]
    fn limits_are_enforced() {
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
        assert_eq!(table.ids[3], None);
        assert!(table.unsubscribe(2, "c*"));
        assert_eq!(table.subscribe(3, "d"), Ok(true));
        let Table { topics, limits, .. } = &mut table;
        let mut publish = |name, text| topics.publish(name, Message::Text(text), None, limits);
        assert_eq!(publish("a*", ""), Err(TopicError::Filter));
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
        let page = table.topics.page(None);
        assert_eq!((page.topics, page.next), (vec![count("a", 2, 1), count("a*", 1, 1)], None));
        assert_eq!(table.topics.page(Some("a")).topics, [count("a*", 1, 1)]);
        assert_eq!(table.topics.page(Some("a*")), TopicPage::default());
    }

    fn count(name: &str, subscribers: usize, published: u64) -> TopicCount {
        TopicCount { name: name.into(), subscribers, published }
    }

    /// Finding B9.
    #[test]
    fn a_page_is_bounded_and_the_next_one_goes_on_after_it() {
        fn check(name: impl Fn(usize) -> String, pages: &[usize]) {
            let mut table = Table::default();
            (table.limits.subscriptions, table.limits.topic_bytes) = (1000, 64 << 10);
            for number in 0..600 {
                table.subscribe(number as u8 % 8, &name(number)).unwrap();
            }
            let (mut next, mut names, mut lengths) = (None, Vec::new(), Vec::new());
            loop {
                let page = table.topics.page(next.as_deref());
                lengths.push(page.topics.len());
                names.extend(page.topics.into_iter().map(|topic| String::from(topic.name)));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(lengths, pages);
            assert!((0..600).all(|number| names.contains(&name(number))));
            names.dedup();
            assert_eq!(names.len(), 600);
        }
        check(|number| format!("{number:03}{}", ["", "*"][number % 2]), &[256, 256, 88]);
        check(
            |number| format!("{number:0>4096}"),
            &[9; 67][..66].iter().chain(&[6]).copied().collect::<Vec<_>>(),
        );
    }
}
