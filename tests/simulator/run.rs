//! Plays one seed: an engine, its clients and the time, with a check after every turn.
//!
//! It drives the engine as [`Worker`](fleeting::Worker) does: begin, events, run, accept.

use super::player::{Line, Player, World};
use super::service::{Log, app};
#[cfg(feature = "tls")]
use super::tls::Terminals;
use super::wire::SimStream;
use fleeting::ConnId;
use fleeting::Limits;
use fleeting::engine::{Bounds, Engine, Readiness, Settings};
use fleeting::time::{DateCache, Now};
use fleeting::transport::Stream;
use fleeting_testkit::random::Random;
use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice};
use std::rc::Rc;

const BEGIN_UNIX_SECS: u64 = 1_767_225_590;
/// Clients and engine come to rest within this many steps.
const STEPS_MAX: usize = 200_000;
/// The engine comes to rest within this many turns if clients do nothing.
const TURNS_MAX: usize = 5_000;
/// Milliseconds after a client's last action within which every connection must be gone.
const END_MS: u64 = 200_000;

pub struct Run<C> {
    random: Random,
    engine: Engine<SimLine>,
    /// There is TLS on every other connection.
    #[cfg(feature = "tls")]
    terminals: Option<Terminals>,
    /// What the engine's buffers had before there was a connection.
    memory_bytes: usize,
    settings: Settings,
    log: Rc<Log>,
    clock: Rc<Cell<u64>>,
    dates: HashSet<[u8; 29]>,
    clients: Vec<C>,
    /// Number of clients that were accepted. The others wait in order.
    accepted: usize,
    stale: Vec<ConnId>,
    /// The names of the accepted connections.
    ids: Vec<ConnId>,
    shut: bool,
    /// A buffer was refused memory.
    short: bool,
    evicts: bool,
    faults: bool,
    jumps: bool,
    trace: DefaultHasher,
}

/// How the clients end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// They leave.
    Leave,
    /// They stay, and time passes.
    Stay,
    /// The engine is shut down.
    Shutdown,
}

/// Plays a seed. Returns a hash of everything that happened.
pub fn play<C: Player>(seed: u64) -> Result<u64, String> {
    Run::<C>::new(seed).play()
}

/// Plays a seed with TLS. Returns a hash of everything that happened.
#[cfg(feature = "tls")]
pub fn play_with_tls<C: Player>(seed: u64) -> Result<u64, String> {
    let mut run = Run::<C>::new(seed);
    run.terminals = Some(Terminals::new(C::PROTOCOL));
    run.clients.iter_mut().step_by(2).for_each(|client| client.line_mut().add_tls());
    run.play()
}

impl<C: Player> Run<C> {
    fn play(mut self) -> Result<u64, String> {
        self.live()?;
        self.end()?;
        self.count()?;
        Ok(self.trace.finish())
    }

    fn new(seed: u64) -> Run<C> {
        let mut random = Random::new(seed);
        let clock = Rc::new(Cell::new(random.below(1 << 24) as u64));
        let (faults, jumps) = (random.chance(400), random.chance(300));
        // Not drawn, so that the other choices of a seed stay what they were.
        let half_close = seed % 2 == 0;
        let mut limits = limits(&mut random);
        // Not drawn either.
        if seed % 5 == 0 {
            limits.memory = Some(limits.arena_bytes + (128 << 10) + (1024 << (seed / 5 % 10)));
        }
        let mut settings = Settings { limits, half_close, bounds: bounds(seed), ..Settings::default() };
        C::settle_on(&mut settings, seed);
        let log = Rc::new(Log::default());
        let app = app(&log);
        assert_eq!(app.check(), Ok(()));
        let count = C::crowd(&mut random);
        let clients = (0..count).map(|number| C::new(number, &mut random, &clock, faults)).collect();
        let now = Now { ms: clock.get(), unix_secs: BEGIN_UNIX_SECS + clock.get() / 1000 };
        let engine = Engine::new(app, settings.clone(), now);
        Run {
            random,
            memory_bytes: engine.figures().memory_bytes,
            engine,
            #[cfg(feature = "tls")]
            terminals: None,
            settings,
            log,
            clock,
            dates: HashSet::new(),
            clients,
            accepted: 0,
            stale: Vec::new(),
            ids: Vec::new(),
            shut: false,
            short: false,
            evicts: false,
            faults,
            jumps,
            trace: DefaultHasher::new(),
        }
    }

    /// Clients connect and act; events come late.
    fn live(&mut self) -> Result<(), String> {
        let steps = self.random.within(20, 150);
        let shutdown = self.random.chance(150).then(|| self.random.below(steps));
        for step in 0..steps {
            if shutdown == Some(step) {
                self.shutdown()?;
            }
            let pass = match self.random.below(1000) {
                0..20 if self.jumps => self.random.within(1000, 40_000),
                20..26 if self.jumps => self.random.within(60_000, 30_000_000),
                _ => self.random.within(0, 4),
            };
            // No deferred response takes so long that it would become a 504.
            self.log.continue_some(&mut self.random, pass >= 1000);
            self.clock.set(self.clock.get() + pass as u64);
            self.turn(false)?;
            if !self.shut {
                self.make_room()?;
                self.accept();
            }
            let now = self.clock.get();
            for client in &mut self.clients {
                client.act(&mut self.random, now, false);
            }
            if step % 16 == 15 {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Clients finish their work. Then time passes only as the engine asks for it.
    fn end(&mut self) -> Result<(), String> {
        self.hurry(false)?;
        if !self.shut {
            self.each(|client, _| client.expect_complete())?;
        }
        let end = self.random.one_of(&[End::Leave, End::Stay, End::Stay, End::Shutdown]);
        if end == End::Shutdown && !self.shut {
            self.shutdown()?;
        }
        let begun = self.clock.get();
        let mut last = begun;
        loop {
            let acted = self.hurry(end == End::Leave)?;
            let now = self.clock.get();
            last = if acted { now } else { last };
            let waits = !self.shut && self.accepted < self.clients.len();
            if self.engine.counters().connections == 0 && !waits {
                break;
            }
            let Some(next) = self.engine.next_ms() else {
                return Err("open connections, but no timer".into());
            };
            if next > now.max(last) + END_MS {
                return Err(format!("nothing happens for {} ms", next - last));
            }
            if now > last + END_MS {
                return Err("a connection is not ended in time".into());
            }
            let grace = self.settings.timeouts.grace.as_millis() as u64;
            if self.shut && now > begun + grace {
                return Err("a connection is not ended by the shutdown".into());
            }
            self.clock.set(now.max(next));
            self.turn(true)?;
            let past = self.engine.next_ms().is_some_and(|next| next <= self.clock.get() && next > 0);
            if past && !self.engine.is_over() {
                return Err("the engine asks for a time that has passed".into());
            }
        }
        if self.shut && !self.engine.is_over() {
            return Err("everything is closed, but the shutdown is not over".into());
        }
        match self.clients[..self.accepted]
            .iter()
            .find(|client| client.line().wire.borrow().dropped.is_none())
        {
            Some(_) => Err("a stream was not dropped".into()),
            None => Ok(()),
        }
    }

    /// Checks the counters against the model.
    fn count(&mut self) -> Result<(), String> {
        let counters = self.engine.counters();
        let accepted = self.accepted as u64;
        if (counters.accepted, counters.connections) != (accepted, 0) {
            return Err(format!("{accepted} connections were accepted: {counters:?}"));
        }
        // Its records include those of streams.
        if !format!("{:?}", self.engine).contains("connections: 0,") {
            return Err(format!("records are left: {:?}", self.engine));
        }
        let figures = self.engine.figures();
        if figures.memory_bytes != self.memory_bytes + figures.pooled_inbox_bytes + figures.spare_bytes {
            return Err(format!("memory was not given back: {} before, {figures:?}", self.memory_bytes));
        }
        #[cfg(feature = "tls")]
        if let Some(bytes) = self.terminals.as_ref().map(Terminals::memory_bytes).filter(|bytes| *bytes > 0) {
            return Err(format!("{bytes} bytes of connections with TLS were not given back"));
        }
        if self.log.opened != self.log.closed {
            let (opened, closed) = (self.log.opened.get(), self.log.closed.get());
            return Err(format!("{opened} sessions were opened, {closed} were closed"));
        }
        let is_calm = !self.faults && !self.jumps;
        C::count(&self.clients[..self.accepted], &self.ids, &self.log, &counters, is_calm)?;
        for client in &self.clients {
            client.line().wire.borrow().pipe.written.hash(&mut self.trace);
        }
        Ok(())
    }

    fn now(&self) -> Now {
        Now { ms: self.clock.get(), unix_secs: BEGIN_UNIX_SECS + self.clock.get() / 1000 }
    }

    fn begin(&mut self) {
        self.dates.insert(*DateCache::new(self.now().unix_secs).text());
        #[cfg(feature = "tls")]
        self.terminals.iter().for_each(Terminals::begin_turn);
        self.engine.begin(self.now());
    }

    fn shutdown(&mut self) -> Result<(), String> {
        self.begin();
        self.shut = true;
        self.engine.shutdown();
        self.engine.run();
        self.compare()
    }

    /// Runs a turn of the loop. With `all`, every event that is due comes now. Otherwise some come late, and some are
    /// spurious.
    fn turn(&mut self, all: bool) -> Result<(), String> {
        self.begin();
        let from = self.random.below(self.clients.len());
        for at in (from..self.clients.len()).chain(0..from) {
            let client = &self.clients[at];
            let Some(id) = client.line().id else { continue };
            let readiness = {
                let mut wire = client.line().wire.borrow_mut();
                if wire.is_due() && (all || self.random.chance(600)) {
                    let due = std::mem::take(&mut wire.due);
                    // A poll reports everything that holds, not only what is new.
                    if self.random.chance(500) { due } else { merged(due, wire.state()) }
                } else if !all && self.random.chance(20) {
                    let (readable, writable) = (self.random.chance(500), self.random.chance(500));
                    Readiness { readable, writable, ..Readiness::default() }
                } else {
                    continue;
                }
            };
            (id, self.clock.get(), readiness.readable, readiness.urgent, readiness.writable, readiness.ended)
                .hash(&mut self.trace);
            self.engine.ready(id, readiness);
            if readiness.ended && self.clients[at].line().wire.borrow().pipe.reset {
                self.engine.failed(id);
            }
        }
        self.use_stale_id()?;
        self.engine.run();
        self.compare()
    }

    /// Uses the ID of a connection that is gone. No other connection may notice.
    fn use_stale_id(&mut self) -> Result<(), String> {
        if self.stale.is_empty() || !self.random.chance(100) {
            return Ok(());
        }
        let id = self.stale[self.random.below(self.stale.len())];
        let effects = |run: &Run<C>| {
            let calls: u64 = run.clients.iter().map(|client| client.line().wire.borrow().pipe.calls).sum();
            (calls, run.engine.counters().connections)
        };
        let before = effects(self);
        let ended = self.random.chance(500);
        self.engine.ready(id, Readiness { readable: true, urgent: true, writable: true, ended });
        self.engine.abort(id);
        if effects(self) != before || self.engine.stream_mut(id).is_some() {
            return Err(format!("{id} is gone, but its ID reached another connection"));
        }
        Ok(())
    }

    /// Asks the engine for room, now and then, if a client waits for it.
    fn make_room(&mut self) -> Result<(), String> {
        if self.accepted == self.clients.len() || self.engine.has_room() || !self.random.chance(300) {
            return Ok(());
        }
        // As a worker does: at the end of a turn, and in its time.
        let before = self.engine.counters();
        self.evicts = true;
        let has_room = self.engine.make_room();
        let compared = self.compare();
        self.evicts = false;
        let after = self.engine.counters();
        let evicted = after.evicted - before.evicted;
        if has_room != self.engine.has_room()
            || evicted > 1
            || evicted > before.connections - after.connections
        {
            return Err(format!("{evicted} connections gave way: {has_room} {before:?} {after:?}"));
        }
        compared
    }

    fn accept(&mut self) {
        while self.accepted < self.clients.len() && self.engine.has_room() && self.random.chance(700) {
            let stream = self.stream(self.clients[self.accepted].line());
            let id = self.engine.accept(stream, None);
            let client = &mut self.clients[self.accepted];
            self.ids.push(id);
            client.line_mut().id = Some(id);
            let mut wire = client.line().wire.borrow_mut();
            wire.begin();
            // Registering reports what already holds.
            wire.due = merged(wire.due, wire.state());
            drop(wire);
            id.hash(&mut self.trace);
            self.accepted += 1;
        }
    }

    /// Returns the engine's end of a client's connection.
    fn stream(&self, line: &Line) -> SimLine {
        #[cfg(feature = "tls")]
        if let Some(terminals) = self.terminals.as_ref().filter(|_| line.has_tls) {
            return SimLine::Layered(terminals.stream(&line.wire));
        }
        SimLine::Plain(line.stream())
    }

    /// Delivers what is due until nothing is, without letting time pass, and checks that nothing is stuck.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            let due = self.clients.iter().any(|client| client.line().id.is_some() && client.line().is_due());
            let due = self.log.continue_some(&mut self.random, true) || due;
            if !due && self.engine.next_ms() != Some(0) {
                return self.each(|client, world| client.expect_served(world));
            }
            self.turn(true)?;
        }
        Err("the engine never comes to rest".into())
    }

    /// Clients do all they can, without letting time pass. Returns whether they did anything.
    fn hurry(&mut self, leave: bool) -> Result<bool, String> {
        let mut ever = false;
        for _ in 0..STEPS_MAX {
            self.settle()?;
            let before = self.accepted;
            if !self.shut {
                self.make_room()?;
                self.accept();
            }
            let (now, mut acted) = (self.clock.get(), self.accepted > before);
            for client in self.clients[..self.accepted].iter_mut() {
                acted |= client.act(&mut self.random, now, true);
            }
            ever |= acted;
            if !acted {
                let room = !self.shut && self.accepted < self.clients.len() && self.engine.has_room();
                if room {
                    continue;
                }
                if leave {
                    self.clients[..self.accepted].iter_mut().for_each(C::leave);
                    self.settle()?;
                }
                return Ok(ever);
            }
        }
        Err("the clients never come to rest".into())
    }

    /// Compares everything written, and checks that streams were dropped only for a reason.
    fn compare(&mut self) -> Result<(), String> {
        let figures = self.engine.figures();
        if figures.memory_bytes > figures.memory_max {
            return Err(format!("{} bytes of {} are used", figures.memory_bytes, figures.memory_max));
        }
        let refused = |(label, count): (&str, u64)| if label == "no_memory" { count } else { 0 };
        let refusals: u64 =
            figures.counters.refused().map(refused).chain(figures.counters.failed().map(refused)).sum();
        if refusals > figures.memory_refused {
            return Err(format!("{refusals} were refused, but memory only {} times", figures.memory_refused));
        }
        // A response is refused before it asks for memory that is not there.
        self.short |= figures.memory_refused > 0 || figures.memory_max < MEMORY_AMPLE;
        self.each(|client, world| {
            if client.line().id.is_none() || client.line().gone {
                return Ok(());
            }
            client.compare(world)?;
            client.expect_reason_for_end(world)
        })?;
        for client in &mut self.clients {
            let line = client.line_mut();
            if line.gone
                && let Some(id) = line.id.take()
            {
                self.stale.push(id);
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        mut check: impl FnMut(&mut C, &World<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let world = World {
            now: self.clock.get(),
            timeouts: &self.settings.timeouts,
            shut: self.shut,
            streams_max: self.settings.limits.streams,
            short: self.short,
            evicts: self.evicts,
            half_close: self.settings.half_close,
            dates: &self.dates,
        };
        for (number, client) in self.clients.iter_mut().enumerate() {
            check(client, &world).map_err(|error| format!("client {number} at {} ms: {error}", world.now))?;
        }
        Ok(())
    }
}

/// The engine's end of a connection.
enum SimLine {
    Plain(SimStream),
    #[cfg(feature = "tls")]
    Layered(Box<dyn Stream>),
}

impl SimLine {
    fn get(&mut self) -> &mut dyn Stream {
        match self {
            SimLine::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            SimLine::Layered(stream) => &mut **stream,
        }
    }
}

impl Stream for SimLine {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.get().read(buffer)
    }

    fn is_drained_by(&self, bytes: usize, room: usize) -> bool {
        match self {
            SimLine::Plain(stream) => stream.is_drained_by(bytes, room),
            #[cfg(feature = "tls")]
            SimLine::Layered(stream) => stream.is_drained_by(bytes, room),
        }
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.get().write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.get().write_vectored(buffers)
    }

    fn wants_write(&self) -> bool {
        match self {
            SimLine::Plain(stream) => stream.wants_write(),
            #[cfg(feature = "tls")]
            SimLine::Layered(stream) => stream.wants_write(),
        }
    }

    fn application_protocol(&self) -> Option<&[u8]> {
        match self {
            SimLine::Plain(stream) => stream.application_protocol(),
            #[cfg(feature = "tls")]
            SimLine::Layered(stream) => stream.application_protocol(),
        }
    }

    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        self.get().limit_unsent(bytes)
    }

    fn announce_end(&mut self) {
        self.get().announce_end();
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.get().shutdown_write()
    }
}

/// With more memory than this, nothing is refused for want of it.
const MEMORY_AMPLE: usize = 1 << 30;

/// Returns the bounds of a turn: those of a server, or some that even a few clients reach. They have numbers of their own.
fn bounds(seed: u64) -> Bounds {
    let mut random = Random::new(seed ^ 0xb0_0d5);
    let (commands, connections) = (random.one_of(&[1, 3, 1024]), random.one_of(&[1, 2, 256]));
    Bounds { commands, connections, deadlines: random.one_of(&[1, 2, 256]), ..Bounds::default() }
}

fn limits(random: &mut Random) -> Limits {
    let mut limits = Limits::default();
    limits.pipeline = random.one_of(&[1, 2, 32]);
    limits.outbox_bytes = random.one_of(&[100, 10_000, 256 << 10]);
    limits.connections = random.one_of(&[4, 10_000, 10_000]);
    // A debug build overwrites all of it after each request.
    limits.arena_bytes = 1024;
    limits
}

fn merged(a: Readiness, b: Readiness) -> Readiness {
    Readiness {
        readable: a.readable || b.readable,
        urgent: a.urgent || b.urgent,
        writable: a.writable || b.writable,
        ended: a.ended || b.ended,
    }
}
