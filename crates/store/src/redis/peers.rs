//! Tracks the other servers by the envelopes they send: which publications are new, and which are missing.
//!
//! It knows no network and no clock. Invariant: each publication of a server counts as new at most once, in the order
//! of the numbers, and a gap between two of them is reported once.

use super::envelope::{Content, Envelope};
use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

/// A reason why publications of other servers may be missing.
///
/// Publications made between the last one that a subscriber got and the announcement of the gap may be missing.
/// Publications that arrive after the announcement are delivered as usual.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// The connection to the other servers has been lost for a heartbeat. [`Gap::Reconnected`] follows when it is back.
    Disconnected,
    /// The connection to the other servers was lost, and is back. It may lead to another Redis than before.
    Reconnected,
    /// Publications of one server were not sent or did not arrive.
    Skipped {
        /// The server's name.
        node: Box<str>,
        /// The number of missing publications, if it is known.
        publications: Option<u64>,
    },
    /// A worker of this server had no room for publications that arrived.
    Overflowed,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Disconnected => f.write_str("the connection to the other nodes is lost"),
            Gap::Reconnected => f.write_str("the connection to the other nodes was lost, and is back"),
            Gap::Skipped { node, publications: Some(1) } => write!(f, "a publication of {node} was lost"),
            Gap::Skipped { node, publications: Some(count) } => {
                write!(f, "{count} publications of {node} were lost")
            }
            Gap::Skipped { node, publications: None } => write!(f, "publications of {node} were lost"),
            Gap::Overflowed => f.write_str("a worker had no room for what has arrived"),
        }
    }
}

/// What an envelope means to its receiver.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// This server sent it.
    Own,
    /// This publication, or a later one of the same server, has arrived before.
    Late,
    /// It is the next publication.
    New,
    /// It is new, and at least one publication before it is missing.
    NewAfter(Gap),
}

/// The servers that have sent an envelope on this connection.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The incarnation of this server.
    own: u64,
    /// What was made before may be missing: that was announced then.
    since: Instant,
    known: HashMap<u64, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// The number of its last known publication.
    last_number: u64,
    last_seen: Instant,
}

/// The most servers to remember. A sender that uses more names causes the oldest to be forgotten.
const PEERS_MAX: usize = 1024;

impl Peers {
    pub(crate) fn new(own: u64, now: Instant) -> Peers {
        Peers { own, since: now, known: HashMap::new() }
    }

    /// Forgets all servers, because there is a new connection. A gap that covers what was made until `since` is announced.
    pub(crate) fn restart(&mut self, since: Instant) {
        self.since = since;
        self.known.clear();
    }

    /// Records an envelope and returns what it means.
    pub(crate) fn receive(&mut self, envelope: &Envelope<'_>, now: Instant) -> Arrival {
        if envelope.incarnation == self.own {
            return Arrival::Own;
        }
        // The number of the last publication before this envelope.
        let before = match envelope.content {
            Content::Heartbeat => envelope.number,
            Content::Publication(..) => envelope.number - 1,
        };
        let gap = |publications| Arrival::NewAfter(Gap::Skipped { node: envelope.node.into(), publications });
        if let Some(peer) = self.known.get_mut(&envelope.incarnation) {
            peer.last_seen = now;
            let Some(missing) = before.checked_sub(peer.last_number) else { return Arrival::Late };
            peer.last_number = envelope.number;
            return if missing == 0 { Arrival::New } else { gap(Some(missing)) };
        }
        self.make_room();
        self.known.insert(envelope.incarnation, Peer { last_number: envelope.number, last_seen: now });
        // The publication before it did not arrive. If it was made after `since`, it is missing: it was dropped, or sent to
        // another Redis, or to the primary before this replica was in step with it.
        let listening = now.saturating_duration_since(self.since);
        if envelope.last_ago.is_some_and(|ago| ago < listening) { gap(None) } else { Arrival::New }
    }

    /// Forgets the server that has been silent for longest, if too many are known.
    fn make_room(&mut self) {
        if self.known.len() >= PEERS_MAX
            && let Some(oldest) =
                self.known.iter().min_by_key(|(_, peer)| peer.last_seen).map(|(incarnation, _)| *incarnation)
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting::Message;
    use std::time::Duration;

    const OWN: u64 = 1;

    struct Receiver {
        peers: Peers,
        begin: Instant,
        now_ms: u64,
        last_ago: Option<Duration>,
    }

    impl Receiver {
        fn new() -> Receiver {
            let begin = Instant::now();
            Receiver { peers: Peers::new(OWN, begin), begin, now_ms: 0, last_ago: None }
        }

        fn now(&self) -> Instant {
            self.begin + Duration::from_millis(self.now_ms)
        }

        fn receive(&mut self, incarnation: u64, number: u64, content: Content<'_>) -> Arrival {
            let last_ago = self.last_ago;
            let envelope = Envelope { node: "a", incarnation, number, last_ago, content };
            self.peers.receive(&envelope, self.now())
        }

        fn publication(&mut self, incarnation: u64, number: u64) -> Arrival {
            self.receive(incarnation, number, Content::Publication("t", Message::Text("")))
        }

        fn heartbeat(&mut self, incarnation: u64, number: u64) -> Arrival {
            self.receive(incarnation, number, Content::Heartbeat)
        }
    }

    fn skipped(publications: impl Into<Option<u64>>) -> Arrival {
        Arrival::NewAfter(Gap::Skipped { node: "a".into(), publications: publications.into() })
    }

    #[test]
    fn missing_numbers_are_reported_once() {
        let mut receiver = Receiver::new();
        assert_eq!(receiver.publication(7, 100), Arrival::New, "earlier publications are unknown");
        assert_eq!(receiver.publication(7, 101), Arrival::New);
        assert_eq!(receiver.publication(OWN, 55), Arrival::Own);
        assert_eq!(receiver.publication(7, 105), skipped(3));
        assert_eq!(receiver.publication(7, 106), Arrival::New);
        assert_eq!(receiver.publication(8, 1), Arrival::New, "another server has its own numbers");
        assert_eq!(receiver.publication(7, 107), Arrival::New);
        assert_eq!(receiver.publication(8, 3), skipped(1));
        for number in [107, 106, 1] {
            assert_eq!(receiver.publication(7, number), Arrival::Late);
        }
        assert_eq!(receiver.publication(7, 108), Arrival::New);
        assert_eq!(receiver.publication(7, u64::MAX), skipped(u64::MAX - 109));
        assert_eq!(receiver.publication(7, u64::MAX), Arrival::Late);
    }

    #[test]
    fn a_heartbeat_reveals_what_is_missing_at_the_end() {
        let mut receiver = Receiver::new();
        assert_eq!(receiver.heartbeat(7, 0), Arrival::New);
        assert_eq!(receiver.heartbeat(7, 0), Arrival::New);
        assert_eq!(receiver.publication(7, 1), Arrival::New);
        assert_eq!(receiver.heartbeat(7, 1), Arrival::New);
        assert_eq!(receiver.heartbeat(7, 4), skipped(3));
        assert_eq!(receiver.heartbeat(7, 4), Arrival::New);
        assert_eq!(receiver.heartbeat(7, 3), Arrival::Late);
        assert_eq!(receiver.publication(7, 4), Arrival::Late);
        assert_eq!(receiver.publication(7, 5), Arrival::New);
    }

    #[test]
    fn a_loss_before_the_connection_is_not_reported_again() {
        let ms = Duration::from_millis;
        let mut receiver = Receiver::new();
        receiver.now_ms = 100;
        receiver.last_ago = Some(ms(100));
        assert_eq!(receiver.publication(7, 50), Arrival::New, "made before that");
        receiver.last_ago = Some(ms(50));
        assert_eq!(receiver.publication(8, 50), skipped(None), "made since");
        assert_eq!(receiver.publication(8, 51), Arrival::New, "and reported");
        assert_eq!(receiver.publication(7, 52), skipped(1), "the numbers are more precise");
        // The connection was lost for a while, which was announced when it came back.
        receiver.now_ms = 1000;
        let now = receiver.now();
        receiver.peers.restart(now);
        receiver.now_ms = 1200;
        receiver.last_ago = Some(ms(400));
        assert_eq!(receiver.heartbeat(7, 60), Arrival::New, "made during the outage");
        receiver.last_ago = Some(ms(199));
        assert_eq!(receiver.heartbeat(8, 60), skipped(None), "made since then");
        receiver.last_ago = None;
        assert_eq!(receiver.heartbeat(9, 0), Arrival::New);
    }

    #[test]
    fn the_number_of_known_servers_is_bounded() {
        let mut receiver = Receiver::new();
        for peer in 0..PEERS_MAX as u64 + 10 {
            receiver.now_ms += 1;
            assert_eq!(receiver.publication(100 + peer, 1), Arrival::New);
            // One server sends all the time.
            assert_eq!(receiver.publication(50, 1 + peer), Arrival::New);
        }
        assert_eq!(receiver.peers.known.len(), PEERS_MAX);
        assert_eq!(receiver.publication(50, 1), Arrival::Late, "this server is still known");
        assert_eq!(receiver.publication(100, 9), Arrival::New, "this server was forgotten");
    }

    #[test]
    fn gaps_are_described() {
        let text = |gap: Gap| gap.to_string();
        let skipped = |publications| Gap::Skipped { node: "b".into(), publications };
        assert_eq!(text(skipped(Some(1))), "a publication of b was lost");
        assert_eq!(text(skipped(Some(3))), "3 publications of b were lost");
        assert_eq!(text(skipped(None)), "publications of b were lost");
        assert_eq!(text(Gap::Disconnected), "the connection to the other nodes is lost");
        assert!(text(Gap::Reconnected).contains("is back") && text(Gap::Overflowed).contains("no room"));
    }
}
