//! The loop around an engine: mio's poll, listeners, the mailbox.

use super::counters::Counters;
use super::driver::{Engine, Readiness, Settings};
use super::remote::handle::Handle;
use super::remote::mailbox::Mailbox;
use super::shutdown::ShutdownReport;
use crate::app::{App, ConnId, RouteError};
use crate::pubsub::Attached;
use crate::time::Clock;
use crate::transport;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// One thread's share of a server: its connections, its listeners, its loop.
///
/// [`Server`](crate::Server) runs workers on threads of their own. Who owns a loop already keeps the
/// thread: [`turn`](Worker::turn) does what there is to do, and the worker's file descriptor
/// ([`AsRawFd`]) becomes readable when there is something, so another loop can poll it.
pub struct Worker {
    poll: Poll,
    events: Events,
    engine: Engine<TcpStream>,
    doors: Vec<Door>,
    clock: Clock,
    /// Given up for a moment when descriptors have run out, to turn away who waits.
    spare: Option<File>,
    /// Milliseconds of the clock: no accepting before.
    accept_after: u64,
    /// Held to the end: with the last worker the broker is let go.
    _attached: Option<Arc<Attached>>,
}

/// A listener, and whether somebody may be waiting at it.
struct Door {
    listener: TcpListener,
    knocked: bool,
}

/// Why a worker could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerError {
    /// The system has refused something.
    Io(io::Error),
    /// A route is wrong.
    Route(RouteError),
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerError::Io(error) => fmt::Display::fmt(error, f),
            WorkerError::Route(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for WorkerError {}

impl From<io::Error> for WorkerError {
    fn from(error: io::Error) -> WorkerError {
        WorkerError::Io(error)
    }
}

impl From<RouteError> for WorkerError {
    fn from(error: RouteError) -> WorkerError {
        WorkerError::Route(error)
    }
}

/// Tokens from here on name listeners; below it a token is a connection's index and generation.
const FIRST_DOOR: usize = usize::MAX - 1024;
const WAKER: Token = Token(usize::MAX);
/// Events that one poll brings.
const EVENTS: usize = 1024;
/// Connections accepted at one door in one turn.
const ACCEPTS: usize = 256;
/// Milliseconds of the longest wait: an hour is as good as for ever.
const PATIENCE_MS_MAX: u64 = 3_600_000;
/// Milliseconds without accepting, after descriptors have run out.
const ACCEPT_BACKOFF_MS: u64 = 100;

/// The parts of a worker that exist before its thread does: others need its mailbox.
pub(crate) struct Seat {
    poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What all workers of the server hold of its broker, once it is attached.
    pub(crate) attached: Option<Arc<Attached>>,
}

impl Seat {
    pub(crate) fn new() -> io::Result<Seat> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(Some(Waker::new(poll.registry(), WAKER)?)));
        Ok(Seat { poll, mailbox, attached: None })
    }
}

impl Worker {
    pub(crate) fn new(
        seat: Seat,
        handle: &Handle,
        listeners: Vec<std::net::TcpListener>,
        app: App,
        settings: Settings,
    ) -> Result<Worker, WorkerError> {
        app.check()?;
        let mut doors = Vec::with_capacity(listeners.len());
        for (at, listener) in listeners.into_iter().enumerate() {
            let mut listener = transport::listen(listener)?;
            seat.poll.registry().register(&mut listener, Token(FIRST_DOOR + at), Interest::READABLE)?;
            doors.push(Door { listener, knocked: false });
        }
        let clock = Clock::new();
        Ok(Worker {
            poll: seat.poll,
            events: Events::with_capacity(EVENTS),
            engine: Engine::with_handle(app, settings, clock.now(), handle),
            doors,
            clock,
            spare: spare(),
            accept_after: 0,
            _attached: seat.attached,
        })
    }

    /// Does what there is to do, waiting for it at most `timeout` (`None`: until there is something).
    ///
    /// A turn goes: poll, mailbox, events, runnable list, timers, accept. Returns false once a shutdown is
    /// complete: nothing is open any more.
    ///
    /// # Errors
    /// Those of polling; the worker is of no more use then.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let patience = self.patience();
        let timeout =
            patience.map_or(timeout, |patience| Some(timeout.map_or(patience, |t| t.min(patience))));
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal has ended the wait: no events, the turn goes on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        self.engine.begin(self.clock.now());
        if self.engine.is_shutdown_due() {
            self.close_doors();
        }
        for event in &self.events {
            match event.token() {
                WAKER => {}
                Token(token) if token >= FIRST_DOOR => {
                    // The doors may be gone by now.
                    if let Some(door) = self.doors.get_mut(token - FIRST_DOOR) {
                        door.knocked = true;
                    }
                }
                token => {
                    let id = conn_of(token, &self.engine);
                    self.engine.ready(id, readiness(event));
                    // Behind its turn, in which it may have come to await an answer.
                    if event.is_error() || event.is_write_closed() {
                        self.engine.failed(id);
                    }
                }
            }
        }
        self.engine.run();
        self.accept();
        Ok(!self.engine.is_over())
    }

    /// Takes turns until a shutdown is complete.
    ///
    /// # Errors
    /// Those of polling.
    pub fn run(&mut self) -> io::Result<()> {
        while self.turn(None)? {}
        Ok(())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.doors.iter().map(|door| door.listener.local_addr()).collect()
    }

    /// What a shutdown has come to; final once [`turn`](Worker::turn) has returned false.
    pub fn shutdown_report(&self) -> &ShutdownReport {
        self.engine.shutdown_report()
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// The arena that requests live in, for what it reports of itself.
    pub fn arena(&self) -> &crate::Arena {
        self.engine.arena()
    }

    /// How long another loop may wait for the file descriptor before it gives this worker a
    /// [`turn`](Worker::turn) anyway, for its timers; `None`: as long as it likes.
    pub fn patience(&self) -> Option<Duration> {
        let engine_ms = self.engine.next_ms();
        let knocked = self.engine.has_room() && self.doors.iter().any(|door| door.knocked);
        let next_ms = match (engine_ms, knocked.then_some(self.accept_after)) {
            (Some(engine), Some(door)) => engine.min(door),
            (engine, door) => engine.or(door)?,
        };
        if next_ms == 0 {
            return Some(Duration::ZERO);
        }
        // The system's poll counts milliseconds in 31 bits.
        Some(Duration::from_millis(next_ms.saturating_sub(self.clock.now().ms).min(PATIENCE_MS_MAX)))
    }

    fn close_doors(&mut self) {
        // Who is in the backlog already was promised an answer by the system.
        self.doors.iter_mut().for_each(|door| door.knocked = true);
        let _ = accept(&mut self.doors, &mut self.engine, &self.poll, &mut self.spare);
        self.doors.clear();
    }

    fn accept(&mut self) {
        if !self.doors.iter().any(|door| door.knocked) {
            return;
        }
        let now_ms = self.clock.now().ms;
        if now_ms < self.accept_after {
            return;
        }
        if accept(&mut self.doors, &mut self.engine, &self.poll, &mut self.spare).is_err() {
            self.engine.count_accept_backoff();
            self.accept_after = now_ms + ACCEPT_BACKOFF_MS;
        }
    }
}

/// Lets in who waits. A door stays knocked at while somebody may be left.
///
/// # Errors
/// Descriptors, or something else that accepting needs, have run out.
fn accept(
    doors: &mut [Door],
    engine: &mut Engine<TcpStream>,
    poll: &Poll,
    spare_file: &mut Option<File>,
) -> io::Result<()> {
    for door in doors.iter_mut().filter(|door| door.knocked) {
        for _ in 0..ACCEPTS {
            if !engine.has_room() {
                break;
            }
            match transport::accept(&door.listener) {
                Ok((stream, peer)) => {
                    let id = engine.accept(stream, Some(peer));
                    let stream = engine.stream_mut(id).expect("just accepted");
                    // Edge-triggered, for both directions once and for all.
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if poll.registry().register(stream, token_of(id), interest).is_err() {
                        engine.abort(id);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        door.knocked = false;
                        break;
                    }
                    // The client has gone while it waited.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        // Out of descriptors. Whoever is first in line is turned away with the spare
                        // one, rather than left to wait for an answer that will not come.
                        if spare_file.take().is_some() {
                            drop(transport::accept(&door.listener));
                            *spare_file = spare();
                        }
                        return Err(error);
                    }
                },
            }
        }
    }
    Ok(())
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Index in the low half, generation in the high half.
fn token_of(id: ConnId) -> Token {
    Token((id.generation as usize) << 32 | id.index as usize)
}

fn conn_of(token: Token, engine: &Engine<TcpStream>) -> ConnId {
    ConnId { worker: engine.worker(), index: token.0 as u32, generation: (token.0 >> 32) as u32 }
}

fn readiness(event: &Event) -> Readiness {
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        ended: event.is_read_closed() || event.is_error(),
    }
}

impl AsRawFd for Worker {
    /// Readable when [`turn`](Worker::turn) has something to do, timers aside.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("engine", &self.engine).finish_non_exhaustive()
    }
}
