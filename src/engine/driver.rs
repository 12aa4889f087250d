//! The engine: what happens to a connection, and in which order.
//!
//! It knows no poll and no clock: events and the time are passed in. A turn of the loop is
//! [`Engine::begin`], then [`Engine::ready`] for each event, then [`Engine::run`]: the runnable list,
//! then the timers.

use super::conn::{Conn, Protocol, Source, Writing};
use super::context::{Desk, Fate};
use super::counters::Counters;
use super::deadlines::{DeadlinePolicy, Overdue};
use super::delivery::{self, Aftermath};
use super::http::{answer, transfer};
use super::remote::handle::Handle;
use super::remote::mailbox::{Command, Mailbox};
use super::remote::question::{WorkerFigures, add_topics};
use super::shutdown::{ShutdownReport, Straggler};
use super::table::Table;
use super::timer::Waiting;
use super::turn::Turn;
use super::websocket::socket as websocket;
use crate::app::{App, ConnId, Message};
use crate::arena::Arena;
use crate::config::{Limits, Timeouts};
use crate::keep::kept_bytes;
use crate::time::{Now, Wheel};
use crate::transport::Stream;
use crate::ws::CloseCode;
use std::net::SocketAddr;
use std::sync::Arc;

/// What an engine is told when it is made.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What a peer may send.
    pub limits: Limits,
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// The worker's number, the first part of its connections' names.
    pub worker: u16,
}

/// What a poll has told of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer has ended its sending side, or the connection has failed.
    pub ended: bool,
}

/// Publications are delivered before the turn's end when they are this much.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// All connections of one worker.
pub struct Engine<S> {
    table: Table<Conn<S>>,
    desk: Desk,
    deadlines: DeadlinePolicy,
    wheel: Wheel,
    now: Now,
    /// Those that get a turn without an event, because no event will come: they used up their budget.
    runnable: Vec<ConnId>,
    /// The list that is being worked through; kept for its memory.
    running: Vec<ConnId>,
    /// Milliseconds: when what is still open is cut off. Set once a shutdown has told everybody.
    cut_off: Option<u64>,
    /// What other threads, and the connections' own deferred work, ask for.
    mailbox: Arc<Mailbox>,
    /// Commands being carried out; empty between turns, kept for its memory.
    commands: Vec<Command>,
    /// A [`Handle`] has asked for the shutdown, which begins with the next [`run`](Engine::run).
    shutdown_due: bool,
    report: ShutdownReport,
    /// Empty between deliveries, kept for its memory.
    aftermath: Aftermath,
}

impl<S: Stream> Engine<S> {
    /// An engine without connections, the only one of its server, that nobody wakes: see
    /// [`with_handle`](Engine::with_handle).
    pub fn new(app: App, settings: Settings, now: Now) -> Engine<S> {
        let handle = Handle::unattended(usize::from(settings.worker) + 1);
        Engine::with_handle(app, settings, now, &handle)
    }

    /// An engine without connections that does what `handle` asks of the worker of its number, from the
    /// beginning of each turn on.
    ///
    /// # Panics
    /// If the handle has no such worker.
    pub fn with_handle(app: App, settings: Settings, now: Now, handle: &Handle) -> Engine<S> {
        let Settings { limits, timeouts, worker } = settings;
        Engine {
            table: Table::new(worker),
            deadlines: DeadlinePolicy::new(&timeouts, app.sockets()),
            desk: Desk::new(app, limits, now, handle, worker),
            wheel: Wheel::new(now.ms),
            now,
            runnable: Vec::new(),
            running: Vec::new(),
            cut_off: None,
            mailbox: handle.mailbox_of(worker).expect("the handle has this worker").clone(),
            commands: Vec::new(),
            shutdown_due: false,
            report: ShutdownReport::default(),
            aftermath: Aftermath::default(),
        }
    }

    /// Tells the time, and does what other threads have asked for; all that follows happens then.
    #[inline]
    pub fn begin(&mut self, now: Now) {
        self.now = now;
        self.desk.date.update(now.unix_secs);
        // Whoever uses up its budget in this turn waits for the next.
        std::mem::swap(&mut self.runnable, &mut self.running);
        if self.mailbox.is_woken() {
            self.carry_out_commands();
        }
    }

    /// Takes a connection in. Its events come through [`ready`](Engine::ready).
    pub fn accept(&mut self, stream: S, peer: Option<SocketAddr>) -> ConnId {
        self.desk.counters.accepted += 1;
        let id = self.table.insert(Conn::new(stream, peer));
        self.settle(id, true);
        id
    }

    /// Whether the limit of connections allows another.
    pub fn has_room(&self) -> bool {
        self.table.len() < self.desk.limits.connections && self.cut_off.is_none()
    }

    /// The stream of a connection, to register it.
    pub fn stream_mut(&mut self, id: ConnId) -> Option<&mut S> {
        self.table.find(id).map(|conn| &mut conn.io.stream)
    }

    /// Drops a connection, as if it had failed.
    pub fn abort(&mut self, id: ConnId) {
        if let Some(mut conn) = self.table.remove(id) {
            if let Protocol::WebSocket(open) = &mut conn.protocol {
                open.end(None, "", &mut self.desk.counters);
                open.leave(&mut self.desk);
            }
            transfer::end(&mut conn, &mut self.desk.counters);
            let queued = conn.io.outbox.as_ref().map_or(0, |outbox| outbox.published());
            self.desk.counters.dropped_closing += queued;
            conn.give_back(&mut self.desk.pool);
        }
    }

    /// Gives a connection the turn that an event calls for. A name that is stale is ignored.
    #[inline]
    pub fn ready(&mut self, id: ConnId, readiness: Readiness) {
        let Some(conn) = self.table.find(id) else { return };
        if conn.source != Source::Ended {
            if readiness.ended {
                if transfer::is_endless(conn) {
                    return self.abort(id);
                }
                conn.source = Source::Ending;
            } else if readiness.readable && conn.source == Source::Drained {
                conn.source = Source::Ready;
            }
        }
        // Its turn comes anyway, and is to be one: the budget is for a turn.
        if conn.runnable && conn.io.outbox.as_ref().is_none_or(|outbox| outbox.is_paused()) {
            return;
        }
        self.drive(id, readiness.writable);
    }

    /// A poll has told that a connection is closed both ways, or has failed. For most it is enough to know
    /// that it has [ended](Readiness::ended): reading tells the rest. One that awaits an answer is not read.
    pub fn failed(&mut self, id: ConnId) {
        if self.table.find(id).is_some_and(|conn| matches!(conn.protocol, Protocol::Transfer(_))) {
            self.abort(id);
        }
    }

    /// Gives a turn to each that was runnable when the turn began, and looks after the deadlines that
    /// have passed.
    pub fn run(&mut self) {
        if std::mem::take(&mut self.shutdown_due) {
            self.shutdown();
        }
        for at in 0..self.running.len() {
            let id = self.running[at];
            if let Some(conn) = self.table.find(id) {
                conn.runnable = false;
                self.drive(id, false);
            }
        }
        self.running.clear();
        self.wheel.advance(self.now.ms);
        while let Some(due) = self.wheel.pop() {
            let id = ConnId { generation: due.generation, index: due.key, ..self.table.id(due.key) };
            let Some(conn) = self.table.find(id) else { continue };
            // An entry that was left behind when the deadline moved forward.
            if conn.timer.armed != due.tick {
                continue;
            }
            conn.timer.armed = 0;
            if conn.timer.deadline <= self.now.ms {
                self.expire(id);
            } else {
                self.arm(id);
            }
        }
        self.deliver();
        if self.cut_off.is_some_and(|cut_off| cut_off <= self.now.ms) {
            for id in self.table.ids() {
                self.desk.counters.timeouts += 1;
                self.report.stragglers.extend(self.table.find(id).map(|conn| Straggler::new(conn)));
                self.abort(id);
            }
        }
        self.desk.trim();
    }

    /// When [`run`](Engine::run) has something to do, in the milliseconds of [`Now`]; 0 is at once.
    #[inline]
    pub fn next_ms(&self) -> Option<u64> {
        if !self.runnable.is_empty() || !self.desk.exchange.is_delivered() {
            return Some(0);
        }
        match (self.wheel.next_ms(), self.cut_off) {
            (Some(wheel), Some(cut_off)) => Some(wheel.min(cut_off)),
            (wheel, cut_off) => wheel.or(cut_off),
        }
    }

    #[inline(never)]
    fn carry_out_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        self.mailbox.drain(&mut commands);
        for command in commands.drain(..) {
            self.carry_out(command);
        }
        self.commands = commands;
    }

    /// Whether the next [`run`](Engine::run) begins a shutdown: the last moment to accept who waits.
    pub(super) fn is_shutdown_due(&self) -> bool {
        self.shutdown_due
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Text(id, text) => {
                self.tell(id, |conn, desk| websocket::send(conn, id, Message::Text(&text), desk))
            }
            Command::Binary(id, bytes) => {
                self.tell(id, |conn, desk| websocket::send(conn, id, Message::Binary(&bytes), desk));
            }
            Command::Close(id, code, reason) => {
                self.tell(id, |conn, desk| websocket::close(conn, id, code, &reason, desk));
            }
            Command::Wake(id) => self.drive(id, false),
            Command::Publish(publication) => {
                let Desk { exchange, limits, counters, .. } = &mut self.desk;
                exchange.take_in(&publication, limits, counters);
            }
            Command::Announce(announcement) => {
                self.desk.exchange.announce(&announcement, &mut self.desk.counters);
            }
            Command::Listen(id, filter, ear) => {
                self.desk.exchange.listen(id, &filter, ear, &self.desk.limits);
            }
            Command::Unlisten(id) => self.desk.exchange.unlisten(id, &mut self.desk.counters),
            Command::CountTopics(census) => {
                census.add(|all| add_topics(all, self.desk.exchange.topics.counts()));
            }
            Command::Tell(census) => census.add(|all| all.push(self.figures())),
            Command::Shutdown => self.shutdown_due = true,
        }
    }

    /// Ends in good order: idle connections at once, requests in flight with their answer,
    /// WebSockets with 1001 (RFC 6455 §7.4.1), the rest when the grace is over.
    pub fn shutdown(&mut self) {
        if self.desk.shutting_down {
            return;
        }
        self.desk.shutting_down = true;
        for id in self.table.ids() {
            let Some(conn) = self.table.find(id) else { continue };
            if let Protocol::WebSocket(open) = &conn.protocol {
                self.report.websockets += u64::from(open.is_open());
                self.tell(id, |conn, desk| {
                    websocket::close(conn, id, CloseCode::AWAY, "shutting down", desk)
                });
                continue;
            }
            // A request may have come that no event has told of yet.
            if conn.source == Source::Drained {
                conn.source = Source::Ready;
            }
            transfer::ending(conn, &mut self.desk.counters);
            self.drive(id, false);
            if self.table.find(id).is_some_and(|conn| conn.timer.waiting == Waiting::Request) {
                self.abort(id);
            }
        }
        self.cut_off = Some(self.now.ms.saturating_add(self.deadlines.grace));
    }

    /// Whether a shutdown has begun and nothing is open any more.
    pub fn is_over(&self) -> bool {
        self.cut_off.is_some() && self.table.len() == 0
    }

    /// What a shutdown has come to; final once it [`is_over`](Engine::is_over).
    pub fn shutdown_report(&self) -> &ShutdownReport {
        &self.report
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        let mut counters = self.desk.counters.clone();
        counters.connections = self.table.len() as u64;
        counters
    }

    /// What it knows of itself; of what was kept, what this thread has kept.
    pub fn figures(&self) -> WorkerFigures {
        WorkerFigures {
            worker: self.worker(),
            counters: self.counters(),
            connections_max: self.desk.limits.connections,
            topics: self.desk.exchange.topics.len(),
            topics_max: self.desk.limits.topics,
            arena_high_water_bytes: self.desk.arena.high_water_bytes(),
            arena_reserved_bytes: self.desk.arena.reserved_bytes(),
            kept_bytes: kept_bytes(),
            pooled_inbox_bytes: self.desk.pool.bytes(),
        }
    }

    /// The arena, for what it reports of itself.
    pub fn arena(&self) -> &Arena {
        &self.desk.arena
    }

    /// The worker's number.
    pub(super) fn worker(&self) -> u16 {
        self.table.worker()
    }

    pub(super) fn count_accept_backoff(&mut self) {
        self.desk.counters.accept_backoffs += 1;
    }

    /// Lets `say` send something on a connection that has not asked for it.
    fn tell(&mut self, id: ConnId, say: impl FnOnce(&mut Conn<S>, &mut Desk)) {
        match self.table.find(id) {
            Some(conn) => say(conn, &mut self.desk),
            None => {
                self.desk.counters.stale_ids += 1;
                return;
            }
        }
        self.drive(id, false);
    }

    /// Sends what was published to those who have subscribed, and looks after those who could not take it.
    #[inline]
    fn deliver(&mut self) {
        // Whom this closes may publish something as it ends.
        while !self.desk.exchange.is_delivered() {
            self.deliver_once();
        }
    }

    #[inline(never)]
    fn deliver_once(&mut self) {
        let mut aftermath = std::mem::take(&mut self.aftermath);
        delivery::deliver(&mut self.table, &mut self.desk, &mut aftermath);
        for id in aftermath.blocked.drain(..) {
            self.settle(id, false);
        }
        for id in aftermath.too_slow.drain(..) {
            self.tell(id, |conn, desk| {
                websocket::close(conn, id, CloseCode::TRY_AGAIN, "reads too slowly", desk)
            });
        }
        for id in aftermath.failed.drain(..) {
            self.abort(id);
        }
        self.aftermath = aftermath;
    }

    /// One connection's turn, and what follows from it.
    #[inline]
    fn drive(&mut self, id: ConnId, writable: bool) {
        let Some(conn) = self.table.find(id) else { return };
        let mut turn = Turn::new(conn, id, &mut self.desk);
        let (mut fate, fresh) = (turn.take(writable), turn.fresh);
        // A shutdown has closed who was idle; this is somebody who has become so since.
        if self.cut_off.is_some() && fate == Fate::Lives && turn.is_idle() {
            fate = turn.end();
        }
        if fate == Fate::Dies {
            return self.abort(id);
        }
        if let Protocol::WebSocket(open) = &mut conn.protocol
            && !open.is_open()
        {
            open.leave(&mut self.desk);
        }
        if conn.wants_turn() && !std::mem::replace(&mut conn.runnable, true) {
            self.runnable.push(id);
        }
        self.settle(id, fresh);
        if self.desk.exchange.topics.batch.bytes() > BATCH_BYTES_MAX {
            self.deliver();
        }
    }

    /// Works out a connection's deadline and sees that the wheel will look at it in time.
    #[inline]
    fn settle(&mut self, id: ConnId, fresh: bool) {
        let Some(conn) = self.table.find(id) else { return };
        self.deadlines.update(conn, self.now.ms, fresh);
        let timer = &conn.timer;
        let late = timer.armed == 0 || self.wheel.tick_of(timer.deadline) < u64::from(timer.armed);
        if timer.deadline != u64::MAX && late {
            self.arm(id);
        }
    }

    fn arm(&mut self, id: ConnId) {
        let Some(conn) = self.table.find(id) else { return };
        if conn.timer.deadline != u64::MAX {
            conn.timer.armed = self.wheel.arm(id.index, id.generation, conn.timer.deadline);
        }
    }

    /// A WebSocket was open for as long as its route allows.
    fn close_at_lifetime(&mut self, id: ConnId) {
        self.tell(id, |conn, desk| {
            websocket::close(conn, id, CloseCode::AWAY, "open for long enough", desk);
        });
    }

    /// A connection's deadline has passed.
    fn expire(&mut self, id: ConnId) {
        let Some(conn) = self.table.find(id) else { return };
        match conn.timer.waiting {
            Waiting::Head | Waiting::Content => {
                self.desk.counters.timeouts += 1;
                transfer::end(conn, &mut self.desk.counters);
                let head_only = conn.inbox.as_ref().is_some_and(|inbox| answer::is_head(inbox.bytes()));
                let mut out = conn.output(&mut self.desk.cork);
                answer::request_timed_out(&mut out, head_only, self.desk.date.text());
                conn.writing = Writing::Last;
                self.drive(id, false);
            }
            Waiting::Answer => {
                self.desk.counters.timeouts += 1;
                transfer::overdue(conn, id, &mut self.desk);
                self.drive(id, false);
            }
            Waiting::Quiet => {
                transfer::quiet(conn, &mut self.desk.counters);
                self.drive(id, false);
                self.settle(id, true);
            }
            // It has no deadline.
            Waiting::Application => {}
            Waiting::Frame => {
                match self.deadlines.overdue(conn, self.now.ms) {
                    Overdue::Ping => websocket::ping(conn, id, &mut self.desk),
                    Overdue::Silent => {
                        self.desk.counters.timeouts += 1;
                        websocket::close(conn, id, CloseCode::AWAY, "idle for too long", &mut self.desk);
                    }
                    Overdue::LifetimeReached => return self.close_at_lifetime(id),
                }
                self.drive(id, false);
            }
            Waiting::Write if self.deadlines.lifetime_reached(conn, self.now.ms) => {
                self.close_at_lifetime(id)
            }
            Waiting::Request | Waiting::Discard | Waiting::Write | Waiting::Linger | Waiting::Close => {
                self.desk.counters.timeouts += 1;
                self.abort(id);
            }
        }
    }
}

impl<S> Drop for Engine<S> {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl<S> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("connections", &self.table.len()).finish_non_exhaustive()
    }
}
