//! The thread that receives the publications of other servers.
//!
//! It knows no client of the server; it only passes publications and announcements on. Invariant: a gap is announced
//! before anything that was published after it is delivered.

use super::backoff::Backoff;
use super::counters::count;
use super::envelope::{Content, Envelope};
use super::failure::describe;
use super::link::Link;
use super::peers::{Arrival, Gap, Peers};
use super::shared::{Phase, Role, Shared};
use fleeting::{Inlet, Message, Publication};
use redis::{Msg, RedisResult};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// What is known about the other servers, and where their publications go.
struct Subscriber<'a> {
    shared: &'a Shared,
    inlet: &'a dyn Inlet,
    peers: Peers,
    /// A worker had no room for the last publication.
    overflowing: bool,
}

/// The type of the event that announces a gap.
const GAP: &str = "gap";

/// Receives publications until the broker stops.
pub(super) fn run(shared: &Shared, inlet: &dyn Inlet) {
    let peers = Peers::new(shared.incarnation, Instant::now());
    let mut subscriber = Subscriber { shared, inlet, peers, overflowing: false };
    let mut backoff = Backoff::new();
    // Since when nothing arrives, unless that was announced.
    let mut away_since = Some(Instant::now());
    while !shared.is_stopping() {
        let mut left = None;
        if away_since.is_some_and(|since| since.elapsed() >= shared.options.heartbeat) {
            away_since = None;
            subscriber.announce(&Gap::Disconnected);
        }
        let why = match shared.route.open(shared.options.timeout) {
            Ok(link) => {
                let begin = Instant::now();
                let Err(why) = subscriber.listen(link) else { return };
                away_since = Some(Instant::now());
                left = shared.part(Role::Subscriber);
                if let Some(why) = left {
                    shared.record_attempt(Role::Subscriber, Err(why));
                }
                // A connection that has lasted can probably be replaced at once.
                if begin.elapsed() >= shared.options.heartbeat {
                    backoff.reset();
                    continue;
                }
                left.map_or(why, Cow::Borrowed)
            }
            Err(why) => why,
        };
        shared.record_attempt(Role::Subscriber, Err(&why));
        shared.back_off(&mut backoff, left);
    }
}

impl Subscriber<'_> {
    /// Receives from the channel for as long as the link lasts. Returns why it ended; `Ok` if the broker stops.
    fn listen(&mut self, mut link: Link) -> Result<(), Cow<'static, str>> {
        let shared = self.shared;
        let describe = |error| describe(&error, shared.options.timeout);
        let closer = link.closer().map_err(|error| describe(error.into()))?;
        subscribe(&mut link, &shared.channel).map_err(describe)?;
        let mut state = shared.state();
        if state.phase == Phase::Stopping {
            return Ok(());
        }
        state.closer = Some(closer);
        shared.join(&mut state, Role::Subscriber, link.server());
        let may_have_missed = state.phase != Phase::Starting;
        // This comes before `record_attempt`, because `attach` waits for that the first time.
        state.is_listening = !may_have_missed;
        drop(state);
        shared.record_attempt(Role::Subscriber, Ok(()));
        if may_have_missed {
            // Clients may publish in response to the announcement, so the publisher should be connected first.
            shared.wait_until_open();
        }
        self.peers.restart(Instant::now());
        if may_have_missed {
            self.announce(&Gap::Reconnected);
            shared.state().is_listening = true;
        }
        link.set_heartbeat(shared.options.heartbeat);
        let error = loop {
            match link.receive() {
                // Anything but a message is the reply to a PING.
                Ok(value) => {
                    if let Some(message) = Msg::from_owned_value(value) {
                        self.receive(message.get_payload_bytes());
                    }
                }
                Err(error) => break error,
            }
        };
        let mut state = shared.state();
        (state.closer, state.is_listening) = (None, false);
        if state.phase == Phase::Stopping { Ok(()) } else { Err(describe(error)) }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let counts = &self.shared.counts;
        let Some(envelope) = Envelope::parse(bytes) else { return count(&counts.malformed, 1) };
        match self.peers.receive(&envelope, Instant::now()) {
            Arrival::Own => return,
            Arrival::Late => return count(&counts.late, 1),
            Arrival::New => {}
            Arrival::NewAfter(gap) => self.announce(&gap),
        }
        let Content::Publication(topic, message) = envelope.content else { return };
        count(&counts.received, 1);
        if self.inlet.deliver(&Arc::new(Publication::new(topic, message))) {
            self.overflowing = false;
            return;
        }
        count(&counts.overflowed, 1);
        if !std::mem::replace(&mut self.overflowing, true) {
            self.announce(&Gap::Overflowed);
        }
    }

    fn announce(&self, gap: &Gap) {
        count(&self.shared.counts.gaps, 1);
        let Some(announce) = &self.shared.announce else { return };
        // A panic of the application's callback must not stop publications from arriving.
        if let Ok(text) = catch_unwind(AssertUnwindSafe(|| announce(gap))) {
            self.inlet.announce(GAP, Message::Text(&text));
        }
    }
}

fn subscribe(link: &mut Link, channel: &str) -> RedisResult<()> {
    link.query::<redis::Value>(redis::cmd("SUBSCRIBE").arg(channel)).map(drop)
}
