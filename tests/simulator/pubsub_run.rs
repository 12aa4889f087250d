//! Two engines that share a handle, with members that subscribe, publish and read at random.
//!
//! [`pubsub_model`](super::pubsub_model) computes what is due to each member when it is published. This file compares
//! it with what was written.

use super::pubsub_model::{FILTERS, Record, Shared, TOPICS, app, publish_outside};
use super::wire::{SimStream, SimSubmit, Wire, Wires};
use crate::driver::frame_at;
use fleeting::engine::{Bounds, Counters, Engine, Settings};
use fleeting::testing::wire::{self, Head};
use fleeting::time::Now;
use fleeting::{ConnId, Handle, Limits, Message, SlowConsumer};
use fleeting_testkit::client::handshake;
use fleeting_testkit::random::Random;
use fleeting_testkit::ws::frames::client_frame;
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// The engines come to rest within this many rounds if no member does anything.
const ROUNDS_MAX: usize = 20_000;
/// Milliseconds after a shutdown within which every connection must be gone.
const END_MS: u64 = 200_000;

/// One member, as the network sees it.
struct Peer {
    number: usize,
    engine: usize,
    wire: Rc<RefCell<Wire>>,
    id: ConnId,
    /// Number of bytes of `written` that were compared: the head of the response, and whole frames.
    checked: usize,
    /// Number of due publications up to the last one that has arrived.
    arrived: usize,
    /// Number of whole frames of publications in `written`.
    publications: u64,
    /// Number of publications that it was told to be missing, since the last that has arrived.
    told: usize,
    /// The same, over all.
    told_in_all: u64,
    /// What has arrived of an event that is not complete.
    event: String,
    /// Messages of its session, and of a handle, that have arrived or were passed over.
    session_count: usize,
    handle_count: usize,
    closed: bool,
    takes: usize,
    never_takes: bool,
}

struct PubsubRun {
    random: Random,
    engines: [Engine<SimStream>; 2],
    handle: Handle,
    record: Shared,
    clock: Rc<Cell<u64>>,
    /// What the engines write to together, if they do.
    wires: Wires,
    /// How often they did.
    submissions: Rc<Cell<u64>>,
    /// A turn carries out one command, so it is known what happens before a publication from outside.
    one_command: bool,
    peers: Vec<Peer>,
    /// A member has left or was disconnected, so it is unknown what was still due to it.
    a_member_left: bool,
    trace: DefaultHasher,
}

/// Plays a seed. Returns a hash of everything that happened.
pub fn play(seed: u64) -> Result<u64, String> {
    Ok(play_to_the_end(seed)?.trace.finish())
}

/// Plays a seed. Returns how often several members were written to together.
pub fn submissions(seed: u64) -> Result<u64, String> {
    Ok(play_to_the_end(seed)?.submissions.get())
}

fn play_to_the_end(seed: u64) -> Result<PubsubRun, String> {
    let mut run = PubsubRun::new(seed);
    run.run()?;
    run.drain()?;
    run.count()?;
    run.end()?;
    Ok(run)
}

/// Returns the bounds of a turn: those of a server, or some that even a few members reach.
fn bounds(random: &mut Random) -> Bounds {
    if random.chance(500) {
        return Bounds::default();
    }
    Bounds {
        commands: 1,
        connections: random.one_of(&[1, 2, 256]),
        deliveries: random.one_of(&[1, 3, 1024]),
        batch: random.one_of(&[1, 3, 4096]),
        writes: random.one_of(&[(1, 1), (1, 2), (2, 1024), (4, 1024)]),
        ..Bounds::default()
    }
}

impl PubsubRun {
    fn new(seed: u64) -> PubsubRun {
        // Different numbers from those of the other simulation with this seed.
        let mut random = Random::new(seed ^ 0xc0_ffee);
        let clock = Rc::new(Cell::new(1_000 + random.below(1 << 20) as u64));
        let mut limits = Limits::default();
        limits.outbox_bytes = random.one_of(&[300, 2_000, 20_000]);
        limits.pipeline = random.one_of(&[1, 4, 32]);
        limits.arena_bytes = 1024;
        let (record, handle) = (Shared::default(), Handle::unattended(2));
        let now = Now { ms: clock.get(), unix_secs: 1_767_225_600 };
        let bounds = bounds(&mut random);
        let one_command = bounds.commands == 1;
        let engine = |worker: usize| {
            let (limits, bounds) = (limits.clone(), bounds.clone());
            let settings = Settings { limits, bounds, worker: worker as u16, ..Settings::default() };
            Engine::with_handle(app(&record, &handle, worker), settings, now, &handle)
        };
        let mut engines = [engine(0), engine(1)];
        let (wires, submissions) = (Wires::default(), Rc::new(Cell::new(0)));
        if random.chance(500) {
            let trouble = random.one_of(&[0, 100, 400]);
            for engine in &mut engines {
                let (random, calls) = (Random::new(random.bits()), submissions.clone());
                engine.submit_through(Box::new(SimSubmit { wires: wires.clone(), random, trouble, calls }));
            }
        }
        let mut run = PubsubRun {
            random,
            engines,
            handle,
            record,
            clock,
            wires,
            submissions,
            one_command,
            peers: Vec::new(),
            a_member_left: false,
            trace: DefaultHasher::new(),
        };
        let alone = run.random.chance(300);
        let slow_per_mille = run.random.one_of(&[0, 300]);
        for _ in 0..run.random.within(2, 9) {
            run.join(alone, slow_per_mille);
        }
        run
    }

    /// Adds a member, whose handshake arrives at once.
    fn join(&mut self, alone: bool, slow_per_mille: usize) {
        let random = &mut self.random;
        let (number, engine) = (self.peers.len(), if alone { 0 } else { random.below(2) });
        let slow = random.one_of(&SlowConsumer::ALL);
        let events = random.chance(250);
        let hello = match events {
            true => {
                let filter = random.one_of(FILTERS);
                format!("GET /events/{slow}/{number}/{filter} HTTP/1.1\r\nHost: test\r\n\r\n")
            }
            false => handshake(&format!("/{slow}?{number}"), ""),
        };
        let hello = hello.into_bytes();
        let length = hello.len();
        let mut wire = Wire::new(&self.clock, Random::new(random.bits()), hello);
        wire.trouble = random.one_of(&[0, 0, 100, 400]);
        wire.set_capacity(random.one_of(&[40, 700, 1 << 20]));
        let never_takes = random.chance(slow_per_mille);
        if !never_takes && slow_per_mille == 0 {
            // No member is slow: there is room for everything.
            wire.set_capacity(usize::MAX);
            wire.trouble = 0;
        }
        wire.arrive(length);
        let wire = Rc::new(RefCell::new(wire));
        if random.chance(900) {
            self.wires.add(&wire);
        }
        let id = self.engines[engine].accept(Wire::stream(&wire), None);
        let mut record = self.record.borrow_mut();
        record.members.push(Default::default());
        let member = &mut record.members[number];
        (member.engine, member.events) = (engine, events);
        member.may_conflate = slow == SlowConsumer::Conflate;
        drop(record);
        let takes = random.one_of(&[1, 60, 4_000]);
        self.peers.push(Peer {
            number,
            engine,
            wire,
            id,
            checked: 0,
            arrived: 0,
            publications: 0,
            told: 0,
            told_in_all: 0,
            event: String::new(),
            session_count: 0,
            handle_count: 0,
            closed: false,
            takes,
            never_takes,
        });
    }

    fn run(&mut self) -> Result<(), String> {
        let leaving = self.random.one_of(&[0, 0, 4]);
        for _ in 0..self.random.within(30, 160) {
            self.clock.set(self.clock.get() + self.random.below(3) as u64);
            for at in 0..self.peers.len() {
                if self.random.chance(400) {
                    self.send_order(at);
                }
                if self.random.chance(500) {
                    let (random, peer) = (&mut self.random, &self.peers[at]);
                    peer.take(peer.takes.min(1 + random.below(peer.takes)));
                }
                if self.random.chance(leaving) {
                    self.leave(at);
                }
            }
            for _ in 0..self.random.one_of(&[0, 0, 1, 3]) {
                publish_outside(&self.record, &self.handle, &mut self.random)?;
            }
            let first = self.random.below(2);
            for engine in [first, 1 - first] {
                if self.random.chance(700) {
                    self.turn(engine, false)?;
                }
            }
        }
        Ok(())
    }

    /// A member sends an order. It arrives in a random number of pieces.
    fn send_order(&mut self, at: usize) {
        let random = &mut self.random;
        let peer = &self.peers[at];
        let mut wire = peer.wire.borrow_mut();
        if wire.is_over() || self.record.borrow().members[at].events {
            return;
        }
        let (filter, topic) = (random.one_of(FILTERS), random.one_of(TOPICS));
        let bytes = random.one_of(&[0, 30, 130, 700]);
        let text = match random.below(20) {
            0..4 => format!("sub {filter}"),
            4 => format!("sub {filter} {}", random.one_of(&SlowConsumer::ALL)),
            5 => format!("unsub {filter}"),
            6..13 => format!("pub {topic} {bytes}"),
            13..16 => format!("others {topic} {bytes}"),
            16 => format!("flood {} {bytes}", random.within(1, 6)),
            17 => {
                let text = format!("t {} {}", peer.number, random.below(1000));
                if self.handle.send(peer.id, Message::Text(&text)).is_ok() {
                    self.record.borrow_mut().members[peer.number].handle_sent.push(text);
                }
                return;
            }
            _ => format!("echo {}", random.below(1000)),
        };
        let mask = (random.bits() as u32).to_ne_bytes();
        let frame = client_frame(0x81, text.as_bytes(), mask);
        wire.sent.extend_from_slice(&frame);
        let left = wire.sent.len() - wire.arrived;
        let bytes = if random.chance(700) { left } else { random.below(left + 1) };
        wire.arrive(bytes);
    }

    /// A member leaves, with or without a Close.
    fn leave(&mut self, at: usize) {
        let peer = &self.peers[at];
        let mut wire = peer.wire.borrow_mut();
        if wire.is_over() {
            return;
        }
        self.a_member_left = true;
        let events = self.record.borrow().members[at].events;
        // The end of its side ends a stream of events.
        self.record.borrow_mut().members[at].closing |= events;
        match self.random.below(3) {
            0 => wire.reset(),
            1 => wire.finish(),
            _ if events => wire.finish(),
            _ => {
                wire.sent.extend_from_slice(&client_frame(0x81, b"close", [1, 2, 3, 4]));
                let left = wire.sent.len() - wire.arrived;
                wire.arrive(left);
            }
        }
    }

    /// Runs a turn of one engine. With `all`, every event that is due comes now.
    fn turn(&mut self, engine: usize, all: bool) -> Result<(), String> {
        let now = Now { ms: self.clock.get(), unix_secs: 1_767_225_600 };
        if self.one_command {
            // A publication from outside is the only command, so nothing happens after it.
            let made = |run: &PubsubRun| {
                run.engines[engine].counters().published - run.record.borrow().by_sessions[engine]
            };
            let before = made(self);
            self.engines[engine].begin(now);
            match made(self) - before {
                0 => {}
                1 => self.record.borrow_mut().begin(engine, 1),
                more => return Err(format!("{more} publications from outside in a turn")),
            }
        } else {
            self.record.borrow_mut().begin(engine, usize::MAX);
            self.engines[engine].begin(now);
        }
        let from = self.random.below(self.peers.len());
        for at in (from..self.peers.len()).chain(0..from) {
            let peer = &self.peers[at];
            let due = {
                let mut wire = peer.wire.borrow_mut();
                if peer.engine != engine || !wire.is_due() || !(all || self.random.chance(700)) {
                    continue;
                }
                std::mem::take(&mut wire.due)
            };
            self.engines[engine].ready(peer.id, due);
        }
        self.engines[engine].run();
        self.compare()
    }

    /// Compares what was written with what is due.
    fn compare(&mut self) -> Result<(), String> {
        let record = self.record.borrow();
        if let Some(violation) = &record.violation {
            return Err(violation.clone());
        }
        for peer in &mut self.peers {
            peer.compare(&record).map_err(|error| format!("member {}: {error}", peer.number))?;
        }
        Ok(())
    }

    /// Every member takes everything, until there is nothing left to do.
    fn drain(&mut self) -> Result<(), String> {
        for peer in &mut self.peers {
            let mut wire = peer.wire.borrow_mut();
            let left = wire.sent.len() - wire.arrived;
            if left > 0 && !wire.is_over() {
                wire.arrive(left);
            }
            peer.never_takes = false;
        }
        for _ in 0..ROUNDS_MAX {
            self.peers.iter().for_each(|peer| peer.take(usize::MAX));
            for engine in 0..2 {
                self.turn(engine, true)?;
            }
            let at_rest = |peer: &Peer| {
                let wire = peer.wire.borrow();
                wire.dropped.is_some() || wire.pipe.reset || (!wire.is_due() && wire.waiting() == 0)
            };
            let idle = self.engines.iter().all(|engine| engine.next_ms() != Some(0));
            // What one engine publishes in its last turn, the other receives in its next.
            if idle && self.peers.iter().all(at_rest) {
                for engine in 0..2 {
                    self.turn(engine, true)?;
                }
                if self.peers.iter().all(at_rest) {
                    return Ok(());
                }
            }
        }
        Err("the engines never come to rest".into())
    }

    /// Checks that the counters account for everything.
    fn count(&mut self) -> Result<(), String> {
        let record = self.record.borrow();
        let sent_away: u64 = self.engines.iter().map(|engine| engine.counters().closed_slow).sum();
        let submissions: u64 = self.engines.iter().map(|engine| engine.counters().submissions).sum();
        if submissions != self.submissions.get() {
            return Err(format!("{} submissions, but {submissions} were counted", self.submissions.get()));
        }
        for (number, engine) in self.engines.iter().enumerate() {
            let counters = engine.counters();
            let lost = lost(&counters);
            let failed = |problem: &str| Err(format!("engine {number}: {problem}: {counters:?}"));
            if counters.matched != counters.delivered + lost {
                return failed("the counters do not add up to what matched");
            }
            if !self.a_member_left && sent_away == 0 && counters.matched != record.matched[number] {
                return failed(&format!("{} were due", record.matched[number]));
            }
            let peers = || self.peers.iter().filter(|peer| peer.engine == number);
            let told: u64 = peers().map(|peer| peer.told_in_all).sum();
            let dropped = counters.dropped_newest + counters.dropped_oldest;
            // Those that were closed are not told any more; a stream of events that was too slow is.
            let (most, least) = match (self.a_member_left, sent_away) {
                (false, 0) => (dropped, dropped),
                _ => (dropped + counters.dropped_slow, 0),
            };
            if told > most || told < least {
                return failed(&format!("{told} were told to be missing"));
            }
            let arrived: u64 = peers().map(|peer| peer.publications).sum();
            if arrived != counters.delivered {
                return failed(&format!("{arrived} were written"));
            }
            for peer in peers().filter(|_| lost == 0 && !self.a_member_left) {
                let due = record.members[peer.number].due.len();
                if peer.publications != due as u64 {
                    let arrived = peer.publications;
                    return failed(&format!("member {}: {arrived} of {due} arrived", peer.number));
                }
            }
            (counters.matched, counters.delivered, counters.conflated).hash(&mut self.trace);
        }
        for peer in &self.peers {
            let member = &record.members[peer.number];
            let is_there = member.open && !member.closing && !peer.closed && !peer.wire.borrow().is_over();
            let missing = member.due.len() - peer.arrived;
            if is_there && !self.a_member_left {
                let wrong = if member.may_conflate { peer.told > missing } else { peer.told != missing };
                if wrong {
                    let told = peer.told;
                    return Err(format!("member {}: {missing} missing at the end, {told} told", peer.number));
                }
            }
            if member.open && member.under_backpressure {
                return Err(format!("member {}: `drain` was never called after backpressure", peer.number));
            }
            if member.open && !member.closing && peer.session_count != member.session_sent.len() {
                let (arrived, sent) = (peer.session_count, member.session_sent.len());
                return Err(format!("member {}: {arrived} of its own {sent} arrived", peer.number));
            }
            peer.wire.borrow().pipe.written.hash(&mut self.trace);
        }
        Ok(())
    }

    /// Shuts both engines down and checks that everything ends in time.
    fn end(&mut self) -> Result<(), String> {
        self.handle.shutdown();
        let until = self.clock.get() + END_MS;
        while self.engines.iter().any(|engine| !engine.is_over()) {
            if self.clock.get() > until {
                return Err("a connection is not ended by the shutdown".into());
            }
            for engine in 0..2 {
                self.turn(engine, true)?;
            }
            self.peers.iter().for_each(|peer| peer.take(usize::MAX));
            let next = self.engines.iter().filter_map(Engine::next_ms).min().unwrap_or(0);
            self.clock.set(self.clock.get().max(next));
        }
        let record = self.record.borrow();
        match record.opened == record.closed {
            true => Ok(()),
            false => Err(format!("{} sessions were opened, {} closed", record.opened, record.closed)),
        }
    }
}

/// Returns the number of publications that were due and did not leave, each counted once.
fn lost(counters: &Counters) -> u64 {
    counters.dropped_newest
        + counters.dropped_oldest
        + counters.conflated
        + counters.dropped_slow
        + counters.dropped_closing
}

impl Peer {
    fn take(&self, bytes: usize) {
        let mut wire = self.wire.borrow_mut();
        let waiting = wire.waiting();
        if !self.never_takes && !wire.pipe.reset && waiting > 0 {
            wire.take(waiting.min(bytes));
        }
    }

    fn compare(&mut self, record: &Record) -> Result<(), String> {
        let shared = self.wire.clone();
        let wire = shared.borrow();
        if let Some(violation) = &wire.violation {
            return Err(violation.clone());
        }
        let written = &wire.pipe.written;
        if self.checked == 0 {
            let Some(head) = Head::read(written).map_err(|error| error.to_string())? else { return Ok(()) };
            let expected = if record.members[self.number].events { 200 } else { 101 };
            if head.status() != expected {
                return Err(format!("the first answer is {}", head.status()));
            }
            self.checked = head.bytes().len();
        }
        if record.members[self.number].events {
            return self.compare_events(written, record);
        }
        while let Some((opcode, payload)) = frame_at(written, self.checked) {
            self.checked = payload.end;
            let (payload, member) = (&written[payload], &record.members[self.number]);
            if self.closed {
                return Err("something came after the Close".into());
            }
            match (opcode, payload.first()) {
                (8, _) => self.closed = true,
                (1 | 2, Some(b'p')) => self.publication(opcode, payload, record)?,
                (1, Some(b'g')) => self.gap(payload)?,
                (1, Some(b't')) => {
                    let found = member.handle_sent[self.handle_count..]
                        .iter()
                        .position(|text| text.as_bytes() == payload);
                    let found = found.ok_or("no handle has sent this, or it is out of order")?;
                    self.handle_count += found + 1;
                }
                (1, _) => {
                    if member
                        .session_sent
                        .get(self.session_count)
                        .is_none_or(|text| text.as_bytes() != payload)
                    {
                        return Err(format!(
                            "its session did not send this next: {}",
                            payload.escape_ascii()
                        ));
                    }
                    self.session_count += 1;
                }
                _ => return Err(format!("opcode {opcode} was not expected")),
            }
        }
        Ok(())
    }

    fn compare_events(&mut self, written: &[u8], record: &Record) -> Result<(), String> {
        if self.closed && written.len() > self.checked {
            return Err("something came after the last chunk".into());
        }
        while let Some(chunk) =
            wire::chunk(written.get(self.checked..).unwrap_or_default()).map_err(|error| error.to_string())?
        {
            let data = &written[self.checked..][chunk.data];
            self.event += std::str::from_utf8(data).map_err(|error| error.to_string())?;
            self.checked += chunk.end;
            if data.is_empty() {
                // The empty line that ends the trailers.
                self.checked += 2;
                self.closed = true;
                break;
            }
        }
        while let Some((event, rest)) = self.event.split_once("\n\n") {
            let (event, rest) = (event.to_string(), rest.to_string());
            self.event = rest;
            match (event.as_str(), event.strip_prefix("data: "), event.strip_prefix("event: gap\ndata: ")) {
                (":", ..) => {}
                (_, Some(data), _) => self.publication(1, data.as_bytes(), record)?,
                (_, _, Some(gap)) => self.gap(gap.as_bytes())?,
                _ => return Err(format!("not an event: {event:?}")),
            }
        }
        Ok(())
    }

    /// It is told that publications are missing.
    fn gap(&mut self, payload: &[u8]) -> Result<(), String> {
        let lost = std::str::from_utf8(payload).ok().and_then(|text| text.strip_prefix("g ")?.parse().ok());
        let lost: usize = lost.filter(|lost| *lost > 0).ok_or("not a gap")?;
        self.told += lost;
        self.told_in_all += lost as u64;
        Ok(())
    }

    /// No phantom, no duplicate, no reordering, no byte changed, and a gap exactly where something was dropped.
    fn publication(&mut self, opcode: u8, payload: &[u8], record: &Record) -> Result<(), String> {
        let due = &record.members[self.number].due;
        let is_this = |number: &usize| record.published[*number].payload == payload;
        let found = due[self.arrived..].iter().position(is_this);
        let found = found.ok_or_else(|| {
            let shown = payload[..payload.len().min(40)].escape_ascii().to_string();
            let before = due[..self.arrived].iter().any(is_this);
            format!("{shown} is {}", if before { "a duplicate or out of order" } else { "not due" })
        })?;
        let published = &record.published[due[self.arrived + found]];
        if (opcode == 1) != matches!(published.message(), Message::Text(_)) {
            return Err(format!("opcode {opcode} is not the opcode of the publication"));
        }
        let told = std::mem::take(&mut self.told);
        let member = &record.members[self.number];
        // Once it closes, there is nobody to tell it.
        let at_most = member.may_conflate || member.closing;
        let wrong = if at_most { told > found } else { told != found };
        if wrong {
            return Err(format!("{found} are missing here, {told} were told"));
        }
        self.arrived += found + 1;
        self.publications += 1;
        Ok(())
    }
}
