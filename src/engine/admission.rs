//! Who is let in: accepting from the listening sockets, up to the limit of connections.
//!
//! It knows no protocol. Its invariant: a client is turned away only if descriptors have run out. One that was accepted and
//! finds no place waits here, and until it has one nothing more is accepted.

use super::bounds::Bound;
use super::driver::Engine;
use super::readiness::INTEREST;
use super::remote::handle::Handle;
use super::remote::lobby::Arrival;
use crate::app::ConnId;
use crate::buffer::Memory;
use crate::config::{HttpVersions, Proxies};
use crate::transport::{self, Connection, ListenAddr, Listener, NotAccepted, Opener, Security};
use mio::{Poll, Token};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

/// Attempts of one turn that may fail before accepting pauses: an error that belongs to no connection would come again.
const FAILURES_MAX: usize = 64;
/// Milliseconds without accepting, after something that it needs has run out.
const BACKOFF_MS: u64 = 100;
/// Milliseconds until a client that waits for a place is given another chance, unless a place becomes free before.
const RETRY_MS: u64 = 50;

/// The listening sockets of a worker, and the clients that it has accepted but has no place for.
pub(super) struct Admission {
    listeners: Vec<Entrance>,
    /// What each listening socket puts on top of what it accepts, even once it is closed.
    securities: Vec<Security>,
    opener: Opener,
    /// Those that other workers have sent have a place.
    waiting: VecDeque<Arrival>,
    /// Given up for a moment when descriptors have run out, to turn away a client that waits.
    spare: Option<File>,
    /// Nothing is accepted before this time, in milliseconds of the clock.
    accept_after: u64,
    /// No place is looked for before this time, unless one is free.
    place_after: u64,
}

/// A listening socket.
struct Entrance {
    socket: Listener,
    /// A client may be waiting to be accepted.
    ready: bool,
}

/// What a worker lends for admitting clients.
pub(super) struct Host<'a> {
    pub(super) engine: &'a mut Engine<Connection>,
    pub(super) poll: &'a Poll,
    pub(super) handle: &'a Handle,
    pub(super) now_ms: u64,
}

impl Admission {
    pub(super) fn new(
        sockets: Vec<(Listener, Security)>,
        memory: &Arc<Memory>,
        proxies: Arc<Proxies>,
        http: HttpVersions,
    ) -> Admission {
        let (listeners, securities) = sockets
            .into_iter()
            .map(|(socket, security)| (Entrance { socket, ready: false }, security))
            .unzip();
        Admission {
            listeners,
            securities,
            opener: Opener::new(memory, proxies, http),
            waiting: VecDeque::new(),
            spare: spare(),
            accept_after: 0,
            place_after: 0,
        }
    }

    /// Begins a turn.
    #[inline]
    pub(super) fn begin_turn(&self) {
        self.opener.begin_turn();
    }

    /// Notes that a client may wait at a listening socket, which may be closed by now.
    pub(super) fn ready(&mut self, listener: usize) {
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.ready = true;
        }
    }

    /// Takes in the clients that other workers have sent. Their places are taken.
    pub(super) fn collect(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            self.waiting.push_front(arrival);
        }
    }

    pub(super) fn listen_addrs(&self) -> Vec<ListenAddr> {
        self.listeners.iter().map(|listener| listener.socket.addr()).collect()
    }

    /// Returns when [`admit`](Admission::admit) has something to do, in milliseconds; `None` if only after an event.
    pub(super) fn next_ms(&self, engine: &Engine<Connection>) -> Option<u64> {
        if let Some(first) = self.waiting.front() {
            let has_place = first.has_place || engine.has_room();
            return Some(if has_place { self.accept_after } else { self.accept_after.max(self.place_after) });
        }
        self.listeners.iter().any(|listener| listener.ready).then_some(self.accept_after)
    }

    /// Accepts those that the system has already confirmed the connection to, and closes the listening sockets.
    pub(super) fn stop(&mut self, mut host: Host<'_>) {
        self.listeners.iter_mut().for_each(|listener| listener.ready = true);
        while self.waiting.is_empty() && self.listeners.iter().any(|listener| listener.ready) {
            if self.admit_all(&mut host).is_err() {
                break;
            }
        }
        self.listeners.clear();
        // Those that other workers have sent are served.
        self.waiting.retain(|arrival| arrival.has_place);
    }

    /// Turns away the clients that still wait when a shutdown cuts off what is open.
    pub(super) fn turn_away(&mut self, engine: &mut Engine<Connection>) {
        for arrival in self.waiting.drain(..).filter(|arrival| arrival.has_place) {
            drop(arrival);
            engine.give_up_place();
        }
    }

    /// Admits the clients that wait.
    #[inline]
    pub(super) fn admit(&mut self, host: Host<'_>) {
        if !self.waiting.is_empty() || self.listeners.iter().any(|listener| listener.ready) {
            self.admit_now(host);
        }
    }

    #[inline(never)]
    fn admit_now(&mut self, mut host: Host<'_>) {
        if host.now_ms < self.accept_after {
            return;
        }
        if self.admit_all(&mut host).is_err() {
            host.engine.count_accept_backoff();
            self.accept_after = host.now_ms + BACKOFF_MS;
        } else if self.waiting.is_empty() && self.listeners.iter().any(|listener| listener.ready) {
            host.engine.count_bounded(Bound::Accepts);
        }
    }

    /// # Errors
    /// Descriptors, memory, or something else that all clients need has run out.
    fn admit_all(&mut self, host: &mut Host<'_>) -> Result<(), Short> {
        if self.spare.is_none() {
            self.spare = spare();
        }
        while let Some(arrival) = self.waiting.pop_front() {
            if !self.place(arrival, host)? {
                return Ok(());
            }
        }
        let mut failures = 0;
        // Each socket gets its share of a turn's bound, so that none keeps the clients of another waiting.
        let ready = self.listeners.iter().filter(|listener| listener.ready).count();
        let share = (Bound::Accepts.a_turn() / ready.max(1)).max(1);
        for at in 0..self.listeners.len() {
            for _ in 0..share.min(self.opener.accepts_a_turn(&self.securities[at])) {
                let listener = &mut self.listeners[at];
                if !listener.ready {
                    break;
                }
                match listener.socket.accept() {
                    Ok((socket, peer)) => {
                        if !self.place(Arrival { socket, peer, listener: at, has_place: false }, host)? {
                            return Ok(());
                        }
                    }
                    Err(NotAccepted::NoneWaits) => listener.ready = false,
                    Err(NotAccepted::Next) => {
                        failures += 1;
                        if failures == FAILURES_MAX {
                            return Err(Short);
                        }
                    }
                    Err(NotAccepted::Later) => return Err(Short),
                    Err(NotAccepted::NoDescriptor) => {
                        // The first client in line is turned away with the spare descriptor, rather than left to wait for
                        // an answer that will not come.
                        if self.spare.take().is_some() {
                            drop(listener.socket.accept());
                            self.spare = spare();
                        }
                        return Err(Short);
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds a place for a client: here; at another worker, if that has markedly fewer connections or there is none here; or
    /// that of a connection which has been idle for long. Without one the client waits, and the result is false.
    fn place(&mut self, mut arrival: Arrival, host: &mut Host<'_>) -> Result<bool, Short> {
        if !arrival.has_place && !host.handle.is_uneven(host.engine.worker()) {
            arrival.has_place = host.engine.take_place();
        }
        if !arrival.has_place {
            arrival = match host.handle.hand_over(arrival, host.engine.worker()) {
                Ok(()) => {
                    host.engine.count_handed_over();
                    return Ok(true);
                }
                Err(arrival) => arrival,
            };
            arrival.has_place = host.engine.take_place();
        }
        if !arrival.has_place && host.now_ms >= self.place_after && host.engine.make_room() {
            arrival.has_place = host.engine.take_place();
        }
        if !arrival.has_place {
            self.place_after = self.place_after.max(host.now_ms + RETRY_MS);
            self.waiting.push_front(arrival);
            return Ok(false);
        }
        self.place_after = 0;
        let Arrival { mut socket, peer, listener, .. } = arrival;
        // Registered once, for both directions: events are edge-triggered.
        let token = token_of(host.engine.next_id());
        match host.poll.registry().register(&mut socket, token, INTEREST) {
            Ok(()) => {
                let Ok((connection, peer)) = self.opener.open(socket, peer, &self.securities[listener])
                else {
                    host.engine.give_up_place();
                    return Ok(true);
                };
                let id = host.engine.begin_conn(connection, peer);
                if host.engine.is_shutting_down() {
                    host.engine.wind_up(id);
                }
                Ok(true)
            }
            Err(error) if transport::may_succeed_later(&error) => {
                let socket = socket.unregistered();
                self.waiting.push_front(Arrival { socket, peer, listener, has_place: true });
                Err(Short)
            }
            Err(_) => {
                host.engine.give_up_place();
                Ok(true)
            }
        }
    }
}

/// Something that all clients need has run out.
struct Short;

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Index in the low half, generation in the high half.
fn token_of(id: ConnId) -> Token {
    Token((id.generation as usize) << 32 | id.index as usize)
}

/// Returns the connection that a token names.
pub(super) fn conn_of(token: usize, engine: &Engine<Connection>) -> ConnId {
    ConnId { worker: engine.worker(), index: token as u32, generation: (token >> 32) as u32 }
}
