//! A primary and its replica change places while nodes publish: every publication that a node did not receive is
//! announced to it as a gap.

use crate::members::{Member, count_losses, publish_until};
use fleeting_testkit::on_drop::OnDrop;
use fleeting_testkit::redis::node::wait_until;
use fleeting_testkit::redis::proxy::Proxy;
use fleeting_testkit::redis::server::RedisServer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

const NODES: usize = 3;
const SWAPS: usize = 20;

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

    fn run(self, members: &[Member], proxies: &[Proxy], old: &(RedisServer, u16), new: &(RedisServer, u16)) {
        let lead = |proxy: &Proxy| proxy.lead_to(new.0.socket());
        match self {
            Swap::Open | Swap::Cut => {
                new.0.promote();
                proxies.iter().for_each(lead);
                old.0.replicate(new.1);
            }
            Swap::TwoPrimaries => {
                new.0.promote();
                let before: Vec<usize> = members.iter().map(|member| member.journal.gaps()).collect();
                let has_moved = |index: usize| members[index].journal.gaps() > before[index];
                lead(&proxies[0]);
                wait_until(|| has_moved(0));
                proxies[1..].iter().for_each(lead);
                wait_until(|| (1..NODES).all(has_moved));
                old.0.replicate(new.1);
            }
            Swap::NoPrimary => {
                old.0.replicate(new.1);
                proxies.iter().for_each(lead);
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
            proxies.iter().for_each(Proxy::cut);
        }
    }
}

/// Finding B10: a replica accepts publications that no other node receives, and nobody noticed.
#[test]
fn every_loss_of_a_failover_is_announced() {
    let servers = RedisServer::start_pair(&[]);
    // Each node has a proxy of its own.
    let proxies: Vec<Proxy> = (0..NODES).map(|_| Proxy::start(servers[0].0.socket())).collect();
    let start = |(index, proxy): (usize, &Proxy)| Member::start(&proxy.url(), &format!("node {index}"));
    let members: Vec<Member> = proxies.iter().enumerate().map(start).collect();
    let over = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        let publisher = scope.spawn(|| publish_until(&members, &over));
        let _stop = OnDrop(|| over.store(true, Ordering::Relaxed));
        for swap in 0..SWAPS {
            let (old, new) = (&servers[swap % 2], &servers[(swap + 1) % 2]);
            let before: Vec<usize> = members.iter().map(|member| member.journal.gaps()).collect();
            let kind = Swap::ALL[swap % Swap::ALL.len()];
            let began = Instant::now();
            kind.run(&members, &proxies, old, new);
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
    let total = count_losses(&members);
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
