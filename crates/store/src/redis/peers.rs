//! The other servers, as far as is known from what they have sent: what is new, what is missing.
//!
//! Knows no network and no clock. Invariant: of each server every publication is new at most once, in the order of its
//! numbers, and what is missing between two of them is told once.

use super::envelope::{Content, Envelope};
use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

/// Publications of other servers that may have been missed.
///
/// From the moment that it is told, a subscriber knows what it has been told before and what comes then; what was
/// published between them it may or may not have got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// The connection to the other servers was lost, and is back.
    Reconnected,
    /// A server has published what did not go out, or has not arrived.
    Skipped {
        /// The server's name.
        node: Box<str>,
        /// How many publications, if that is known.
        publications: Option<u64>,
    },
    /// A worker here had no room for what has arrived.
    Overflowed,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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

/// What an envelope is to who gets it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It was sent from here.
    Own,
    /// It, or one that was made after it, was here before.
    Late,
    /// It is the next.
    New,
    /// It is new, and before it something is missing.
    NewAfter(Gap),
}

/// The servers that were heard of since one began to listen.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The incarnation of this one.
    own: u64,
    /// When one began to listen: what was lost before was told then.
    since: Instant,
    known: HashMap<u64, Peer>,
}

#[derive(Debug)]
struct Peer {
    /// The number of its last publication, as far as that is known.
    last: u64,
    heard: Instant,
}

/// Servers that are remembered: who sends under more names than that makes others be forgotten.
const PEERS_MAX: usize = 1024;

impl Peers {
    pub(crate) fn new(own: u64, now: Instant) -> Peers {
        Peers { own, since: now, known: HashMap::new() }
    }

    /// One begins to listen, or does so again.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since = now;
        self.known.clear();
    }

    /// An envelope has come.
    pub(crate) fn hear(&mut self, envelope: &Envelope<'_>, now: Instant) -> Heard {
        if envelope.incarnation == self.own {
            return Heard::Own;
        }
        // The last that was made before it.
        let before = match envelope.content {
            Content::Beat => envelope.number,
            Content::Publication(..) => envelope.number - 1,
        };
        let gap = |publications| Heard::NewAfter(Gap::Skipped { node: envelope.node.into(), publications });
        if let Some(peer) = self.known.get_mut(&envelope.incarnation) {
            peer.heard = now;
            let Some(missing) = before.checked_sub(peer.last) else { return Heard::Late };
            peer.last = envelope.number;
            return if missing == 0 { Heard::New } else { gap(Some(missing)) };
        }
        self.make_room();
        self.known.insert(envelope.incarnation, Peer { last: envelope.number, heard: now });
        // Who is not known may have lost something before anybody listened, which is none of theirs, or since.
        let listening = now.saturating_duration_since(self.since);
        if envelope.lost_ago.is_some_and(|ago| ago < listening) { gap(None) } else { Heard::New }
    }

    /// Forgets who has not been heard for longest, if too many are known.
    fn make_room(&mut self) {
        if self.known.len() >= PEERS_MAX
            && let Some(oldest) = self.known.iter().min_by_key(|(_, peer)| peer.heard).map(|(name, _)| *name)
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

    struct Ears {
        peers: Peers,
        begin: Instant,
        now_ms: u64,
        lost_ago: Option<Duration>,
    }

    impl Ears {
        fn new() -> Ears {
            let begin = Instant::now();
            Ears { peers: Peers::new(OWN, begin), begin, now_ms: 0, lost_ago: None }
        }

        fn now(&self) -> Instant {
            self.begin + Duration::from_millis(self.now_ms)
        }

        fn hear(&mut self, incarnation: u64, number: u64, content: Content<'_>) -> Heard {
            let lost_ago = self.lost_ago;
            let envelope = Envelope { node: "a", incarnation, number, lost_ago, content };
            self.peers.hear(&envelope, self.now())
        }

        fn publication(&mut self, incarnation: u64, number: u64) -> Heard {
            self.hear(incarnation, number, Content::Publication("t", Message::Text("")))
        }

        fn beat(&mut self, incarnation: u64, number: u64) -> Heard {
            self.hear(incarnation, number, Content::Beat)
        }
    }

    fn skipped(publications: impl Into<Option<u64>>) -> Heard {
        Heard::NewAfter(Gap::Skipped { node: "a".into(), publications: publications.into() })
    }

    #[test]
    fn numbers_that_are_missing_are_told_once() {
        let mut ears = Ears::new();
        assert_eq!(ears.publication(7, 100), Heard::New, "what was before is not known");
        assert_eq!(ears.publication(7, 101), Heard::New);
        assert_eq!(ears.publication(OWN, 55), Heard::Own);
        assert_eq!(ears.publication(7, 105), skipped(3));
        assert_eq!(ears.publication(7, 106), Heard::New);
        assert_eq!(ears.publication(8, 1), Heard::New, "another has numbers of its own");
        assert_eq!(ears.publication(7, 107), Heard::New);
        assert_eq!(ears.publication(8, 3), skipped(1));
        for number in [107, 106, 1] {
            assert_eq!(ears.publication(7, number), Heard::Late);
        }
        assert_eq!(ears.publication(7, 108), Heard::New);
        assert_eq!(ears.publication(7, u64::MAX), skipped(u64::MAX - 109));
        assert_eq!(ears.publication(7, u64::MAX), Heard::Late);
    }

    #[test]
    fn a_beat_tells_what_is_missing_at_the_end() {
        let mut ears = Ears::new();
        assert_eq!(ears.beat(7, 0), Heard::New);
        assert_eq!(ears.beat(7, 0), Heard::New);
        assert_eq!(ears.publication(7, 1), Heard::New);
        assert_eq!(ears.beat(7, 1), Heard::New);
        assert_eq!(ears.beat(7, 4), skipped(3));
        assert_eq!(ears.beat(7, 4), Heard::New);
        assert_eq!(ears.beat(7, 3), Heard::Late);
        assert_eq!(ears.publication(7, 4), Heard::Late);
        assert_eq!(ears.publication(7, 5), Heard::New);
    }

    #[test]
    fn what_was_lost_before_one_listened_was_told_then() {
        let ms = Duration::from_millis;
        let mut ears = Ears::new();
        ears.now_ms = 100;
        ears.lost_ago = Some(ms(100));
        assert_eq!(ears.publication(7, 50), Heard::New, "lost when one began");
        ears.lost_ago = Some(ms(50));
        assert_eq!(ears.publication(8, 50), skipped(None), "lost since");
        assert_eq!(ears.publication(8, 51), Heard::New, "and told");
        assert_eq!(ears.publication(7, 52), skipped(1), "numbers tell it better");
        // The connection was lost for a while, which was told when it came back.
        ears.now_ms = 1000;
        let now = ears.now();
        ears.peers.begin(now);
        ears.now_ms = 1200;
        ears.lost_ago = Some(ms(400));
        assert_eq!(ears.beat(7, 60), Heard::New, "lost while nobody listened");
        ears.lost_ago = Some(ms(199));
        assert_eq!(ears.beat(8, 60), skipped(None), "lost since then");
        ears.lost_ago = None;
        assert_eq!(ears.beat(9, 0), Heard::New);
    }

    #[test]
    fn so_many_are_remembered() {
        let mut ears = Ears::new();
        for peer in 0..PEERS_MAX as u64 + 10 {
            ears.now_ms += 1;
            assert_eq!(ears.publication(100 + peer, 1), Heard::New);
            // One is always heard.
            assert_eq!(ears.publication(50, 1 + peer), Heard::New);
        }
        assert_eq!(ears.peers.known.len(), PEERS_MAX);
        assert_eq!(ears.publication(50, 1), Heard::Late, "this one is known");
        assert_eq!(ears.publication(100, 9), Heard::New, "this one was forgotten");
    }

    #[test]
    fn gaps_are_told() {
        let told = |gap: Gap| gap.to_string();
        let skipped = |publications| Gap::Skipped { node: "b".into(), publications };
        assert_eq!(told(skipped(Some(1))), "a publication of b was lost");
        assert_eq!(told(skipped(Some(3))), "3 publications of b were lost");
        assert_eq!(told(skipped(None)), "publications of b were lost");
        assert!(told(Gap::Reconnected).contains("is back") && told(Gap::Overflowed).contains("no room"));
    }
}
