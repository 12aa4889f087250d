//! A primary and its replica change places while nodes publish: every publication that a node did not receive is
//! announced to it as a gap.

use fleeting::{Broker, Inlet, Message, Publication};
use fleeting_store::{Gap, RedisBroker, RedisOptions};
use fleeting_testkit::client::PATIENCE;
use fleeting_testkit::on_drop::OnDrop;
use fleeting_testkit::redis::node::wait_until;
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const NODES: usize = 3;
const SWAPS: usize = 20;
const PER_SECOND: u128 = 1000;

/// What one node has received, in order.
#[derive(Default)]
struct Journal(Mutex<Vec<(Instant, Entry)>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
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

    fn read(&self) -> Vec<(Instant, Entry)> {
        self.0.lock().expect("the lock is not poisoned").clone()
    }

    fn gaps(&self) -> usize {
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

/// A node behind a proxy of its own.
struct Member {
    proxy: Proxy,
    broker: RedisBroker,
    journal: Arc<Journal>,
    /// When each of its publications was made.
    published: Mutex<Vec<Instant>>,
}

impl Member {
    fn start(server: &RedisServer, name: &str) -> Member {
        let proxy = Proxy::start(server.socket());
        let url = proxy.url().parse().expect("a valid URL");
        // The time limit is generous because the machine may be busy.
        let options = RedisOptions::new().timeout(PATIENCE);
        let broker = RedisBroker::new(url, options, name).expect("a valid name");
        let broker = broker.announce(|gap| gap.to_string());
        let journal = Arc::new(Journal::default());
        broker.attach(Arc::new(JournalInlet(journal.clone()))).expect("the broker attaches");
        Member { proxy, broker, journal, published: Mutex::default() }
    }

    fn publish(&self, index: usize) {
        let mut published = self.published.lock().expect("the lock is not poisoned");
        let number = published.len();
        published.push(Instant::now());
        drop(published);
        let text = number.to_string();
        self.broker.publish(&Arc::new(Publication::new(&index.to_string(), Message::Text(&text))));
    }

    fn published(&self) -> Vec<Instant> {
        self.published.lock().expect("the lock is not poisoned").clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.broker.detach();
    }
}

/// How the two servers change places.
#[derive(Debug, Clone, Copy)]
enum Swap {
    /// Connections stay open, and lead to a replica afterwards.
    Open,
    /// All connections are cut.
    Cut,
    /// For a while both are primaries, and one node finds the new one before the others.
    TwoPrimaries,
    /// For a while both are replicas.
    NoPrimary,
}

impl Swap {
    const ALL: [Swap; 4] = [Swap::Open, Swap::Cut, Swap::TwoPrimaries, Swap::NoPrimary];

    fn run(self, members: &[Member], old: &(RedisServer, u16), new: &(RedisServer, u16)) {
        let lead = |member: &Member| member.proxy.lead_to(new.0.socket());
        match self {
            Swap::Open | Swap::Cut => {
                new.0.promote();
                members.iter().for_each(lead);
                old.0.replicate(new.1);
            }
            Swap::TwoPrimaries => {
                new.0.promote();
                let before: Vec<usize> = members.iter().map(|member| member.journal.gaps()).collect();
                let has_moved = |index: usize| members[index].journal.gaps() > before[index];
                lead(&members[0]);
                wait_until(|| has_moved(0));
                members[1..].iter().for_each(lead);
                wait_until(|| (1..NODES).all(has_moved));
                old.0.replicate(new.1);
            }
            Swap::NoPrimary => {
                old.0.replicate(new.1);
                members.iter().for_each(lead);
                let failovers = |member: &Member| member.broker.counters().failovers;
                let before: Vec<u64> = members.iter().map(failovers).collect();
                // One node at least has noticed.
                wait_until(|| {
                    members.iter().zip(&before).any(|(member, before)| failovers(member) > *before)
                });
                new.0.promote();
            }
        }
        if matches!(self, Swap::Cut) {
            members.iter().for_each(|member| member.proxy.cut());
        }
    }
}

/// Finding B10: a replica accepts publications that no other node receives, and nobody noticed.
#[test]
fn every_loss_of_a_failover_is_announced() {
    let servers = RedisServer::start_pair(&[]);
    let members: Vec<Member> =
        (0..NODES).map(|index| Member::start(&servers[0].0, &format!("node {index}"))).collect();
    let over = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut made = 0_u64;
            while !over.load(Ordering::Relaxed) {
                while u128::from(made) < begin.elapsed().as_millis() * PER_SECOND / 1000 {
                    let index = made as usize % NODES;
                    members[index].publish(index);
                    made += 1;
                }
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        let _stop = OnDrop(|| over.store(true, Ordering::Relaxed));
        for swap in 0..SWAPS {
            let (old, new) = (&servers[swap % 2], &servers[(swap + 1) % 2]);
            let before: Vec<usize> = members.iter().map(|member| member.journal.gaps()).collect();
            let kind = Swap::ALL[swap % Swap::ALL.len()];
            let began = Instant::now();
            kind.run(&members, old, new);
            // Every node ends up on the new primary, and its subscribers know that they may have missed something.
            let listening = || new.0.ask::<(String, usize)>(&["PUBSUB", "NUMSUB", "fleeting:topics.0"]).1;
            wait_until(|| listening() == NODES && members.iter().all(|member| member.broker.is_connected()));
            wait_until(|| {
                members.iter().zip(&before).all(|(member, before)| member.journal.gaps() > *before)
            });
            println!("swap {swap}, {kind:?}: all nodes had moved after {:?}", began.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        publisher.join().expect("all was published");
    });
    let rate = members.iter().map(|member| member.published().len()).sum::<usize>() as f64
        / begin.elapsed().as_secs_f64();
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
    let counters = members.iter().map(|member| member.broker.counters());
    let (failovers, gaps) = counters.fold((0, 0), |sum, of| (sum.0 + of.failovers, sum.1 + of.gaps));
    println!(
        "{SWAPS} swaps in {:?}, {rate:.0} publications a second: {} received, {} lost and announced, \
         at most {:?} after they were made; {gaps} gaps announced, connections dropped {failovers} times",
        begin.elapsed(),
        total.received,
        total.announced,
        total.longest,
    );
    assert!(total.received > 0 && total.announced > 0, "the test has lost nothing");
}

/// What one node has missed of another.
#[derive(Debug, Default)]
struct Losses {
    received: usize,
    /// Lost, and a gap was announced afterwards, before the next publication arrived.
    announced: usize,
    /// Lost without an announcement.
    silent: usize,
    /// The longest time from a publication that was lost to the announcement.
    longest: Duration,
}

impl Losses {
    /// Counts what is missing in `journal` of the publications of `origin`, which were made at the times `published`.
    fn count(journal: &[(Instant, Entry)], origin: usize, published: &[Instant]) -> Losses {
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

    fn add(&mut self, other: &Losses) {
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
