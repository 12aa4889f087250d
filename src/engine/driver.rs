//! The engine: what happens to a connection, and in which order.
//!
//! It knows no poll and no clock: events and the time are passed in. A turn of the loop is [`Engine::begin`], then
//! [`Engine::ready`] for each event, then [`Engine::run`]: the runnable list, then the timers. Its invariant: a
//! connection that has something to do without an event is on the runnable list, and one with a deadline is in the wheel.

use super::bounds::{Bound, Bounds};
use super::conn::{Conn, Protocol, Source};
use super::context::Context;
use super::cork::Cork;
use super::counters::Counters;
use super::deadlines::DeadlinePolicy;
use super::delivery::DeliveryScratch;
use super::eviction::Eviction;
use super::http2::link::Link;
use super::http2::post::Post;
use super::progress::Outcome;
use super::readiness::Readiness;
use super::remote::handle::Handle;
use super::remote::mailbox::{Command, Mailbox};
use super::schedule::Schedule;
use super::settings::Settings;
use super::shutdown::ShutdownReport;
use super::table::Table;
use super::turn::Turn;
use crate::app::{App, ConnId};
use crate::arena::Arena;
use crate::buffer::Memory;
use crate::config::{HttpVersions, Proxies};
use crate::time::{Clock, Now};
use crate::transport::{Peer, Stream, Submit};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

const CORK_BYTES: usize = 16 << 10;
/// A cork that has grown beyond this for a rare large answer is freed.
const CORK_KEPT_BYTES: usize = 1 << 20;
/// Connections for which the lists of a turn are made from the start.
const LISTED: usize = 64;
/// Connections for which the tables are made from the start. The system gives them memory once it is used, so none of it
/// is left behind by smaller tables, and none is copied while clients wait.
const ROOM_MAX: usize = 64 << 10;

/// All connections of one worker.
///
/// The stream and the time come from outside: the [module](super) has an example.
pub struct Engine<S> {
    pub(super) table: Table<Conn<Link<S>>>,
    /// How many of its records are streams of HTTP/2.
    pub(super) streams: usize,
    pub(super) context: Context,
    /// Answers of one connection's turn; empty between turns.
    pub(super) cork: Cork,
    pub(super) schedule: Schedule,
    /// What is to be done for streams of HTTP/2.
    pub(super) post: Rc<Post>,
    /// Connections that get a turn without an event, because no event will come: they spent their budget.
    runnable: Vec<ConnId>,
    /// The list that is being worked through; kept for its memory.
    pub(super) running: Vec<ConnId>,
    /// When the connections still open are cut off, in milliseconds. Set once a shutdown has begun.
    pub(super) cut_off: Option<u64>,
    /// Commands from other threads, and wake-ups from the connections' own deferred work.
    pub(super) mailbox: Arc<Mailbox>,
    /// Commands that are to be carried out; between turns, those that the last one has put off.
    pub(super) commands: VecDeque<Command>,
    /// Connections that other threads have woken; empty between turns, kept for its memory.
    pub(super) woken: Vec<ConnId>,
    /// A [`Handle`] has asked for the shutdown, which begins with the next [`run`](Engine::run).
    pub(super) shutdown_due: bool,
    pub(super) report: ShutdownReport,
    pub(super) eviction: Eviction,
    /// Empty between deliveries, kept for its memory.
    pub(super) delivery: DeliveryScratch,
    pub(super) bounds: Bounds,
    /// What is left of a turn's [`Bound::Deliveries`].
    pub(super) deliveries_left: usize,
    /// When the pool is looked at, in milliseconds, if it is large.
    pub(super) shed_at: Option<u64>,
    proxies: Arc<Proxies>,
}

impl<S: Stream> Engine<S> {
    /// Makes an engine without connections that no other thread reaches. For one that other threads reach, see
    /// [`with_handle`](Engine::with_handle).
    pub fn new(app: App, settings: Settings, now: Now) -> Engine<S> {
        let handle = Handle::unattended(usize::from(settings.worker) + 1);
        Engine::with_handle(app, settings, now, &handle)
    }

    /// Makes an engine without connections. At the beginning of each turn it carries out the commands that were posted
    /// through `handle` for its worker number.
    ///
    /// # Panics
    /// If the handle has no such worker.
    pub fn with_handle(app: App, settings: Settings, now: Now, handle: &Handle) -> Engine<S> {
        let arena = Arena::new(settings.limits.arena_bytes);
        Engine::with_arena(app, settings, now, handle, arena)
    }

    /// Makes an engine as [`with_handle`](Engine::with_handle) does, with an arena that is made already.
    pub(super) fn with_arena(
        app: App,
        settings: Settings,
        now: Now,
        handle: &Handle,
        arena: Arena,
    ) -> Engine<S> {
        let (worker, bounds, proxies) = (settings.worker, settings.bounds.clone(), settings.proxies.clone());
        let mailbox = handle.mailbox_of(worker).expect("the handle has this worker").clone();
        mailbox.lobby.open(settings.limits.connections);
        let memory = handle.memory_within(settings.limits.memory);
        let room = settings.limits.connections.min(ROOM_MAX);
        let cork = Cork::new(CORK_BYTES, memory.clone());
        let schedule = Schedule::new(DeadlinePolicy::new(&settings.timeouts, app.sockets()), now, room);
        let context = Context::new(app, settings, arena, now, handle, memory);
        Engine {
            table: Table::new(worker, room),
            streams: 0,
            schedule,
            post: Rc::new(Post::new(cork.memory(), &context.scratch.pool)),
            cork,
            context,
            // Both, from the start: a connection may be listed again in the turn that it is listed for.
            runnable: Vec::with_capacity(LISTED),
            running: Vec::with_capacity(LISTED),
            cut_off: None,
            mailbox,
            eviction: Eviction::default(),
            commands: VecDeque::new(),
            woken: Vec::new(),
            shutdown_due: false,
            report: ShutdownReport::default(),
            delivery: DeliveryScratch::new(&bounds),
            bounds,
            deliveries_left: 0,
            shed_at: None,
            proxies,
        }
    }

    /// Sends publications through `submit` from now on, where a stream has a [`socket`](Stream::socket). Without it, each
    /// write is a call of its own.
    pub fn submit_through(&mut self, submit: Box<dyn Submit>) {
        self.delivery.submit_through(submit);
    }

    /// Whether publications are written through what [`submit_through`](Engine::submit_through) was given.
    pub(super) fn writes_together(&self) -> bool {
        self.delivery.writes_together()
    }

    /// Returns the memory that the buffers of its connections share.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        self.cork.memory()
    }

    /// Returns the versions of HTTP that it speaks.
    pub(super) fn http(&self) -> HttpVersions {
        self.context.services.http
    }

    /// Returns the server's proxies.
    pub(super) fn proxies(&self) -> &Arc<Proxies> {
        &self.proxies
    }

    /// Lets completion hooks be told durations of less than a turn.
    pub(super) fn measure_with(&mut self, clock: &Clock) {
        self.context.services.completions.measure_with(clock);
    }

    /// Begins a turn: sets the time for everything that follows, and carries out the commands of other threads.
    #[inline]
    pub fn begin(&mut self, now: Now) {
        self.schedule.set_now(now.ms);
        self.context.services.completions.set_now(now.ms);
        self.context.services.now_ms = now.ms;
        self.context.services.date.update(now.unix_secs);
        // A connection that spends its budget in this turn waits for the next.
        std::mem::swap(&mut self.runnable, &mut self.running);
        self.deliveries_left = self.bounds.deliveries;
        if self.mailbox.is_woken() || !self.commands.is_empty() {
            self.carry_out_commands();
        }
    }

    /// Adds a connection, even beyond the limit. Its events come through [`ready`](Engine::ready).
    pub fn accept(&mut self, stream: S, peer: Option<SocketAddr>) -> ConnId {
        self.mailbox.lobby.occupy();
        self.begin_conn(stream, Peer::new(peer, &self.proxies))
    }

    /// Adds a connection whose place is taken.
    pub(super) fn begin_conn(&mut self, stream: S, peer: Peer) -> ConnId {
        self.counters_mut().accepted += 1;
        let mut conn = Conn::new(Link::Direct(stream), peer);
        if self.context.services.http.has_http2() {
            conn.protocol = Protocol::Opening(self.post.clone());
        }
        let id = self.table.insert(conn);
        if let Some(conn) = self.table.find(id) {
            self.schedule.begin(id, conn);
        }
        id
    }

    /// Returns the name of the connection that is added next.
    pub(super) fn next_id(&self) -> ConnId {
        self.table.next_id()
    }

    /// Whether the limit of connections allows another.
    pub fn has_room(&self) -> bool {
        self.mailbox.lobby.has_place()
    }

    /// Returns the stream of a connection, to register it.
    pub fn stream_mut(&mut self, id: ConnId) -> Option<&mut S> {
        match &mut self.table.find(id)?.io.stream {
            Link::Direct(stream) => Some(stream),
            Link::Piped(_) => None,
        }
    }

    /// Drops a connection, as if it had failed.
    pub fn abort(&mut self, id: ConnId) {
        if let Some(mut conn) = self.table.remove(id) {
            self.schedule.end(id, &conn);
            // The streams of a connection share its place.
            if conn.io.stream.is_piped() {
                self.streams -= 1;
            } else {
                self.mailbox.lobby.leave();
            }
            Turn::new(&mut conn, id, &mut self.context, &mut self.cork).abandon();
        }
    }

    /// Gives a connection a turn for an event. A stale name is ignored.
    #[inline]
    pub fn ready(&mut self, id: ConnId, readiness: Readiness) {
        let Some(conn) = self.table.find(id) else { return };
        if conn.source != Source::Ended {
            if readiness.ended {
                conn.source = Source::Ending;
            } else if readiness.urgent {
                conn.source = Source::Urgent;
            } else if conn.source == Source::Drained
                && (readiness.readable || readiness.writable && conn.io.stream.wants_write())
            {
                conn.source = Source::Ready;
            }
        }
        // It gets its turn from the list; a second turn would double its budget.
        if conn.has_turn() {
            return;
        }
        self.drive(id, readiness.writable);
    }

    /// Reports that a connection is closed both ways, or has failed. For most connections [`ended`](Readiness::ended)
    /// is enough, because reading shows the rest. One with an upload, a deferred answer or a streamed answer may not be
    /// read, so it is dropped here. So is one of HTTP/2 whose end was read while its streams go on.
    pub fn failed(&mut self, id: ConnId) {
        let is_unread = self.table.find(id).is_some_and(|conn| match conn.protocol {
            Protocol::Transfer(_) => true,
            Protocol::Http2(_) => conn.source == Source::Ended,
            _ => false,
        });
        if is_unread {
            self.abort(id);
        }
    }

    /// Gives a turn to each connection that was runnable when the turn began, handles the deadlines that have passed,
    /// and delivers what was published.
    #[inline]
    pub fn run(&mut self) {
        if std::mem::take(&mut self.shutdown_due) {
            self.shutdown();
        }
        if !self.running.is_empty() {
            self.run_listed();
        }
        self.run_streams();
        self.schedule.advance();
        self.expire_overdue();
        self.deliver_last();
        self.run_streams();
        if self.is_cut_off() {
            self.cut_off_stragglers();
        }
        self.cork.shrink(CORK_KEPT_BYTES, CORK_BYTES);
        self.shed_memory();
    }

    #[inline(never)]
    fn run_listed(&mut self) {
        let count = self.running.len().min(self.bounds.connections);
        for at in 0..count {
            let id = self.running[at];
            if let Some(conn) = self.table.find(id) {
                conn.runnable = false;
                self.drive(id, false);
            }
        }
        self.running.drain(..count);
        if !self.running.is_empty() {
            // Before those that have had their turn.
            self.running.append(&mut self.runnable);
            std::mem::swap(&mut self.running, &mut self.runnable);
            self.counters_mut().count_bounded(Bound::Connections);
        }
    }

    /// Puts a connection on the list of this turn, if it is not on one.
    pub(super) fn list(&mut self, id: ConnId) {
        if self.table.find(id).is_some_and(|conn| !std::mem::replace(&mut conn.runnable, true)) {
            self.running.push(id);
        }
    }

    /// Returns when [`run`](Engine::run) next has something to do, in the milliseconds of [`Now`]: 0 for at once,
    /// `None` if it waits for events only.
    #[inline]
    pub fn next_ms(&self) -> Option<u64> {
        let put_off = !self.runnable.is_empty() || !self.commands.is_empty() || !self.post.is_empty();
        if put_off || !self.context.services.publisher.is_delivered() {
            return Some(0);
        }
        [self.schedule.next_ms(), self.cut_off, self.shed_at].into_iter().flatten().min()
    }

    /// Whether the next [`run`](Engine::run) begins a shutdown. This is the last chance to accept waiting connections.
    pub(super) fn is_shutdown_due(&self) -> bool {
        self.shutdown_due
    }

    /// Whether a shutdown has begun.
    #[inline]
    pub(super) fn is_shutting_down(&self) -> bool {
        self.context.services.shutting_down
    }

    /// Whether a shutdown cuts off what is still open.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.is_some_and(|cut_off| self.schedule.has_come(cut_off))
    }

    /// Whether a shutdown has begun, no connection is open any more, and every publication has reached its listeners.
    pub fn is_over(&self) -> bool {
        self.cut_off.is_some()
            && self.mailbox.lobby.taken() == 0
            && self.context.services.publisher.is_delivered()
    }

    /// Returns the outcome of a shutdown; final once it [`is_over`](Engine::is_over).
    pub fn shutdown_report(&self) -> &ShutdownReport {
        &self.report
    }

    /// Returns the arena, for the figures that it keeps.
    pub fn arena(&self) -> &Arena {
        &self.context.scratch.arena
    }

    /// Returns the worker's number.
    pub(super) fn worker(&self) -> u16 {
        self.table.worker()
    }

    pub(super) fn count_bounded(&mut self, bound: Bound) {
        self.counters_mut().count_bounded(bound);
    }

    pub(super) fn counters_mut(&mut self) -> &mut Counters {
        &mut self.context.services.counters
    }

    /// Gives a connection its turn, and does what follows from it.
    #[inline]
    pub(super) fn drive(&mut self, id: ConnId, writable: bool) {
        let Some(conn) = self.table.find(id) else { return };
        let mut turn = Turn::new(conn, id, &mut self.context, &mut self.cork);
        let mut outcome = turn.take(writable);
        if self.post.has_begun() {
            let fresh = turn.fresh;
            self.begin_streams(id);
            // The table may have moved the record.
            let Some(conn) = self.table.find(id) else { return };
            turn = Turn::new(conn, id, &mut self.context, &mut self.cork);
            turn.fresh = fresh;
        }
        // A shutdown has closed the connections that were idle; this one has become idle since.
        if self.cut_off.is_some() && outcome == Outcome::KeepOpen && turn.is_idle() {
            outcome = turn.end();
        }
        if outcome == Outcome::Close {
            return self.abort(id);
        }
        turn.leave_if_closing();
        let Turn { conn, fresh, .. } = turn;
        if conn.wants_turn() && !std::mem::replace(&mut conn.runnable, true) {
            self.runnable.push(id);
        }
        self.schedule.update(id, conn, fresh);
        if self.context.services.publisher.topics.is_full() {
            self.deliver();
        }
    }

    pub(super) fn update_deadline(&mut self, id: ConnId, fresh: bool) {
        if let Some(conn) = self.table.find(id) {
            self.schedule.update(id, conn, fresh);
        }
    }

    /// Puts a connection on the runnable list, if it has something to do that no event will announce.
    pub(super) fn run_if_wanted(&mut self, id: ConnId) {
        let Some(conn) = self.table.find(id) else { return };
        if conn.wants_turn() && !std::mem::replace(&mut conn.runnable, true) {
            self.runnable.push(id);
        }
    }
}

impl<S> Drop for Engine<S> {
    fn drop(&mut self) {
        self.mailbox.close();
        self.commands.drain(..).for_each(Command::discard);
    }
}

impl<S> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("connections", &self.table.len()).finish_non_exhaustive()
    }
}
