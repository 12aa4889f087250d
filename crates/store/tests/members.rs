//! Nodes that publish while their server is replaced, and what each of them has missed of the others.

use fleeting::{Broker, Inlet, Message, Publication};
use fleeting_store::{Gap, RedisBroker, RedisOptions};
use fleeting_testkit::client::PATIENCE;
use fleeting_testkit::redis::node::wait_until;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How many publications all nodes together make in a second.
const PER_SECOND: u128 = 1000;

/// What one node has received, in order.
#[derive(Default)]
pub struct Journal(Mutex<Vec<(Instant, Entry)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A publication of the node with this index, and its number.
    Publication(usize, usize),
    /// Something may be missing.
    Gap,
    /// The same, and more will be.
    Outage,
}

impl Journal {
    fn write(&self, entry: Entry) {
        self.0.lock().expect("the lock is not poisoned").push((Instant::now(), entry));
    }

    pub fn read(&self) -> Vec<(Instant, Entry)> {
        self.0.lock().expect("the lock is not poisoned").clone()
    }

    pub fn gaps(&self) -> usize {
        self.read().iter().filter(|(_, entry)| *entry == Entry::Gap).count()
    }
}

struct JournalInlet(Arc<Journal>);

impl Inlet for JournalInlet {
    fn deliver(&self, publication: &Arc<Publication>) -> bool {
        let Message::Text(text) = publication.message() else { panic!("only text is published") };
        let origin = publication.topic().parse().expect("the index of a node");
        self.0.write(Entry::Publication(origin, text.parse().expect("a number")));
        true
    }

    fn announce(&self, _name: &str, message: Message<'_>) -> bool {
        let Message::Text(text) = message else { panic!("gaps are text") };
        let is_outage = text == Gap::Disconnected.to_string();
        self.0.write(if is_outage { Entry::Outage } else { Entry::Gap });
        true
    }
}

/// A node.
pub struct Member {
    pub broker: RedisBroker,
    pub journal: Arc<Journal>,
    /// When each of its publications was made.
    published: Mutex<Vec<Instant>>,
}

impl Member {
    pub fn start(url: &str, name: &str) -> Member {
        let url = url.parse().expect("a valid URL");
        // The time limit is generous because the machine may be busy.
        let options = RedisOptions::new().timeout(PATIENCE);
        let broker = RedisBroker::new(url, options, name).expect("a valid name");
        let broker = broker.announce(|gap| gap.to_string());
        let journal = Arc::new(Journal::default());
        broker.attach(Arc::new(JournalInlet(journal.clone()))).expect("the broker attaches");
        Member { broker, journal, published: Mutex::default() }
    }

    pub fn publish(&self, index: usize) {
        let mut published = self.published.lock().expect("the lock is not poisoned");
        let number = published.len();
        published.push(Instant::now());
        drop(published);
        let text = number.to_string();
        self.broker.publish(&Arc::new(Publication::new(&index.to_string(), Message::Text(&text))));
    }

    pub fn published(&self) -> Vec<Instant> {
        self.published.lock().expect("the lock is not poisoned").clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.broker.detach();
    }
}

/// Lets the nodes publish in turn until it is over.
pub fn publish_until(members: &[Member], over: &AtomicBool) {
    let (begin, mut made) = (Instant::now(), 0_u64);
    while !over.load(Ordering::Relaxed) {
        while u128::from(made) < begin.elapsed().as_millis() * PER_SECOND / 1000 {
            let index = made as usize % members.len();
            members[index].publish(index);
            made += 1;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Counts what the nodes have missed of each other after the last swap. Fails if a loss was not announced.
pub fn count_losses(members: &[Member]) -> Losses {
    // The last publications come after the last swap, so all arrive.
    for (index, member) in members.iter().enumerate() {
        member.publish(index);
    }
    let last: Vec<usize> = members.iter().map(|member| member.published().len() - 1).collect();
    for (own, member) in members.iter().enumerate() {
        for (origin, last) in last.iter().enumerate().filter(|(origin, _)| *origin != own) {
            let entry = Entry::Publication(origin, *last);
            wait_until(|| member.journal.read().iter().rev().any(|(_, arrived)| *arrived == entry));
        }
    }
    let mut total = Losses::default();
    for (own, member) in members.iter().enumerate() {
        let journal = member.journal.read();
        for (origin, other) in members.iter().enumerate().filter(|(origin, _)| *origin != own) {
            let losses = Losses::count(&journal, origin, &other.published());
            assert_eq!(losses.silent, 0, "node {own} missed publications of node {origin}: {losses:?}");
            total.add(&losses);
        }
    }
    total
}

/// What one node has missed of another.
#[derive(Debug, Default)]
pub struct Losses {
    pub received: usize,
    /// Lost, and a gap was announced afterwards, before the next publication arrived.
    pub announced: usize,
    /// Lost without an announcement.
    pub silent: usize,
    /// The longest time from a publication that was lost to the announcement.
    pub longest: Duration,
}

impl Losses {
    /// Counts what is missing in `journal` of the publications of `origin`, which were made at the times `published`.
    pub fn count(journal: &[(Instant, Entry)], origin: usize, published: &[Instant]) -> Losses {
        let mut losses = Losses::default();
        let (mut next, mut gaps) = (0, Vec::new());
        for (at, entry) in journal {
            match entry {
                Entry::Gap | Entry::Outage => gaps.push(*at),
                Entry::Publication(from, number) if *from == origin => {
                    assert!(*number >= next, "{number} of node {origin} arrives after {next}");
                    for made in &published[next..*number] {
                        // An announcement covers what was published before it.
                        match gaps.get(gaps.partition_point(|gap| gap < made)) {
                            Some(gap) => {
                                losses.announced += 1;
                                losses.longest = losses.longest.max(*gap - *made);
                            }
                            None => losses.silent += 1,
                        }
                    }
                    losses.received += 1;
                    next = *number + 1;
                }
                Entry::Publication(..) => {}
            }
        }
        assert_eq!(next, published.len(), "the last publication arrives");
        losses
    }

    pub fn add(&mut self, other: &Losses) {
        self.received += other.received;
        self.announced += other.announced;
        self.longest = self.longest.max(other.longest);
    }
}

#[test]
fn losses_are_counted() {
    let begin = Instant::now();
    let at = |ms| begin + Duration::from_millis(ms);
    let published: Vec<Instant> = [10, 20, 30, 40, 50].map(at).into();
    let journal = [
        (at(11), Entry::Publication(1, 0)),
        (at(15), Entry::Gap),
        (at(21), Entry::Publication(0, 9)),
        // The second was announced after it was made, and before the fourth arrived; the third was not.
        (at(26), Entry::Gap),
        (at(41), Entry::Publication(1, 3)),
        (at(51), Entry::Publication(1, 4)),
        (at(55), Entry::Gap),
    ];
    let losses = Losses::count(&journal, 1, &published);
    assert_eq!((losses.received, losses.announced, losses.silent), (3, 1, 1));
    assert_eq!(losses.longest, Duration::from_millis(6));
}
