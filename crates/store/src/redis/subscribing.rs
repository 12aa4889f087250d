//! The thread that takes in what others publish.
//!
//! It knows no subscriber, but that they are to be told of a gap. Invariant: whatever may be missing is told before what
//! came behind it is delivered.

use super::backoff::Backoff;
use super::counters::count;
use super::envelope::{Content, Envelope};
use super::failure::sentence;
use super::link::Link;
use super::peers::{Gap, Heard, Peers};
use super::shared::{Shared, Stage, Who};
use fleeting::{Inlet, Message, Publication};
use redis::{Msg, RedisResult};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// What is known of the others, and where what they publish goes.
struct Ears<'a> {
    shared: &'a Shared,
    inlet: &'a dyn Inlet,
    peers: Peers,
    /// A worker had no room for what came last.
    overflowing: bool,
}

/// The type of the event that a gap is.
const GAP: &str = "gap";

/// Listens until the broker ends.
pub(super) fn run(shared: &Shared, inlet: &dyn Inlet) {
    let peers = Peers::new(shared.incarnation, Instant::now());
    let mut ears = Ears { shared, inlet, peers, overflowing: false };
    let mut backoff = Backoff::new();
    while !shared.is_ending() {
        let why = match Link::reach(&shared.url, shared.options.timeout) {
            Ok(link) => {
                let begin = Instant::now();
                let Err(why) = ears.listen(link) else { return };
                // One that has lasted may well be had again at once.
                if begin.elapsed() >= shared.options.heartbeat {
                    backoff.reset();
                    continue;
                }
                why
            }
            Err(why) => why,
        };
        shared.has_tried(Who::Subscriber, Err(&why));
        shared.back_off(&mut backoff);
    }
}

impl Ears<'_> {
    /// Takes in what comes on the channel for as long as the link lasts. Tells why it did not.
    fn listen(&mut self, mut link: Link) -> Result<(), Cow<'static, str>> {
        let shared = self.shared;
        let wrong = |error| sentence(&error, shared.options.timeout);
        let cutter = link.cutter().map_err(|error| wrong(error.into()))?;
        subscribe(&mut link, &shared.channel).map_err(wrong)?;
        self.peers.begin(Instant::now());
        let mut state = shared.state();
        if state.stage == Stage::Ending {
            return Ok(());
        }
        state.cutter = Some(cutter);
        let has_missed = state.stage != Stage::Attached;
        // Before it is said that Redis was reached, for which the first time somebody waits.
        state.is_listening = !has_missed;
        drop(state);
        shared.has_tried(Who::Subscriber, Ok(()));
        if has_missed {
            // Whoever is told may want to publish, which goes out again in a moment.
            shared.wait_until_open();
            self.announce(&Gap::Reconnected);
            shared.state().is_listening = true;
        }
        link.set_heartbeat(shared.options.heartbeat);
        let error = loop {
            match link.receive() {
                // What is none is the answer to a Ping.
                Ok(value) => {
                    if let Some(message) = Msg::from_owned_value(value) {
                        self.hear(message.get_payload_bytes());
                    }
                }
                Err(error) => break error,
            }
        };
        let mut state = shared.state();
        (state.cutter, state.is_listening) = (None, false);
        if state.stage == Stage::Ending { Ok(()) } else { Err(wrong(error)) }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let counts = &self.shared.counts;
        let Some(envelope) = Envelope::parse(bytes) else { return count(&counts.malformed, 1) };
        match self.peers.hear(&envelope, Instant::now()) {
            Heard::Own => return,
            Heard::Late => return count(&counts.late, 1),
            Heard::New => {}
            Heard::NewAfter(gap) => self.announce(&gap),
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
        // What the application says may fail; what others publish comes all the same.
        if let Ok(text) = catch_unwind(AssertUnwindSafe(|| announce(gap))) {
            self.inlet.announce(GAP, Message::Text(&text));
        }
    }
}

fn subscribe(link: &mut Link, channel: &str) -> RedisResult<()> {
    link.query::<redis::Value>(redis::cmd("SUBSCRIBE").arg(channel)).map(drop)
}
