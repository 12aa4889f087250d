//! The loop around an engine: mio's poll, and what its events are for.
//!
//! It knows no connection record and no protocol. Its invariant: every event of a poll reaches the engine in the turn
//! in which it came, because mio's events are edge-triggered.

use super::admission::{Admission, Host, conn_of};
use super::counters::Counters;
use super::driver::Engine;
use super::readiness::Readiness;
use super::remote::handle::Handle;
use super::remote::mailbox::{Mailbox, SendError, Sleeper};
use super::settings::Settings;
use super::shutdown::ShutdownReport;
use super::spin::Spin;
use crate::app::{App, ConnId, RouteError};
use crate::arena::Arena;
use crate::buffer::Memory;
use crate::config::{Io, Limits};
use crate::pubsub::{Attached, TopicError};
use crate::time::Clock;
use crate::transport::{self, Connection, ListenAddr, Listener, Security};
use crate::ws::{CloseCode, Message};
use mio::{Events, Interest, Poll, Token, Waker};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// One thread's share of a server: its connections, its listening sockets, its loop.
///
/// [`Server`](crate::Server) runs workers on threads of their own. A program that already has a loop can run a
/// worker in it: [`turn`](Worker::turn) does everything that is due, and the worker's file descriptor ([`AsRawFd`])
/// becomes readable when there is something to do, so the program's loop can poll it.
///
/// ```
/// use fleeting::{App, Response, Server};
/// use std::time::Duration;
///
/// let mut worker = Server::builder()
///     .bind("127.0.0.1:0")
///     .worker(|_worker| App::new().get("/", |_req| Ok(Response::text("hello"))))?;
/// println!("listening on {}", worker.local_addrs()[0]);
/// // In the loop of the program, when the descriptor is readable or `patience` is over:
/// let goes_on = worker.turn(Some(Duration::ZERO))?;
/// assert!(goes_on);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Signals
///
/// A client that leaves raises no SIGPIPE, whose default action would end the program. On Linux, responses are sent with
/// `MSG_NOSIGNAL`. `sendfile` has no such flag, so files are sent with it only if the process ignored or
/// caught the signal when the worker was made, as Rust programs do from the start; otherwise they are copied through
/// memory. Do not restore the signal's default action later.
pub struct Worker {
    poll: Poll,
    events: Events,
    engine: Engine<Connection>,
    handle: Handle,
    admission: Admission,
    clock: Clock,
    /// The last poll returned as many events as it can, so there may be more, of which the descriptor reports nothing to
    /// a loop that polls it edge-triggered.
    may_have_events: bool,
    spin: Spin,
    /// Held to the end: the broker is detached with the last worker.
    _attached: Option<Arc<Attached>>,
}

/// Why a worker could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerError {
    /// A system call has failed.
    Io(io::Error),
    /// A route is wrong.
    Route(RouteError),
    /// io_uring is not available, which [`Io::Uring`] asks for.
    Uring(io::Error),
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerError::Io(error) => fmt::Display::fmt(error, f),
            WorkerError::Route(error) => fmt::Display::fmt(error, f),
            WorkerError::Uring(error) => write!(f, "io_uring is not available: {error}"),
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

/// Tokens from here on name listening sockets; below it a token is a connection's index and generation.
const FIRST_LISTENER: usize = usize::MAX - 1024;
const WAKER: Token = Token(usize::MAX);
/// Events that one poll returns, at most.
const EVENTS: usize = 1024;
/// Milliseconds of the longest wait: an hour is as good as forever.
const PATIENCE_MS_MAX: u64 = 3_600_000;

/// The parts of a worker that exist before its thread does: other threads need its mailbox.
pub(crate) struct WorkerParts {
    poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Shared by all workers of the server: keeps its broker attached.
    pub(crate) attached: Option<Arc<Attached>>,
}

impl WorkerParts {
    pub(crate) fn new(limits: &Limits, memory: &Arc<Memory>) -> io::Result<WorkerParts> {
        let poll = Poll::new()?;
        let sleeper = Sleeper::Poll(Waker::new(poll.registry(), WAKER)?);
        let mailbox = Arc::new(Mailbox::new(Some(sleeper), limits, memory));
        Ok(WorkerParts { poll, mailbox, attached: None })
    }
}

impl Worker {
    pub(crate) fn new(
        parts: WorkerParts,
        handle: &Handle,
        mut listeners: Vec<(Listener, Security)>,
        app: App,
        settings: Settings,
    ) -> Result<Worker, WorkerError> {
        let app = app.finish();
        app.check()?;
        for (at, (listener, _)) in listeners.iter_mut().enumerate() {
            let token = Token(FIRST_LISTENER + at);
            parts.poll.registry().register(listener, token, Interest::READABLE)?;
        }
        #[cfg(target_os = "linux")]
        transport::sigpipe::look();
        let (arena, io) = (Arena::try_new(settings.limits.arena_bytes)?, settings.io);
        let clock = Clock::new();
        let spin = Spin::new(settings.spin);
        let mut engine = Engine::with_arena(app, settings, clock.now(), handle, arena);
        engine.measure_with(&clock);
        if io != Io::Epoll {
            match transport::ring() {
                Ok(ring) => engine.submit_through(ring),
                Err(error) if io == Io::Uring => return Err(WorkerError::Uring(error)),
                Err(_) => {}
            }
        }
        let admission = Admission::new(listeners, engine.memory(), engine.proxies().clone(), engine.http());
        Ok(Worker {
            poll: parts.poll,
            events: Events::with_capacity(EVENTS),
            engine,
            handle: handle.clone(),
            admission,
            clock,
            may_have_events: false,
            spin,
            _attached: parts.attached,
        })
    }

    /// Does everything that is due. If nothing is due, it waits until something is, but no longer than `timeout`.
    ///
    /// The order of a turn is: poll, mailbox, events, runnable list, timers, publications, accept. Returns false once a
    /// shutdown is complete and no connection is open any more.
    ///
    /// A worker that [spins](crate::Builder::spin) also returns at once, with nothing done.
    ///
    /// # Errors
    /// An error of the poll; the worker is unusable then.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let patience = self.patience();
        let was_due = self.spin.is_set() && self.next_ms() == Some(0);
        let timeout =
            patience.map_or(timeout, |patience| Some(timeout.map_or(patience, |t| t.min(patience))));
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // A signal has ended the wait, or memory is short for now: no events, the turn goes on.
            Err(error) if transport::may_succeed_later(&error) => self.events.clear(),
            Err(error) => return Err(error),
        }
        self.engine.begin(self.clock.now());
        self.admission.begin_turn();
        if self.engine.is_shutdown_due() {
            let (admission, host) = self.admission();
            admission.stop(host);
        }
        let mut count = 0;
        for event in &self.events {
            count += 1;
            match event.token() {
                // Every wake-up after the commands were taken makes another event, so no client is overlooked.
                WAKER => self.admission.collect(self.engine.take_arrivals()),
                Token(token) if token >= FIRST_LISTENER => self.admission.ready(token - FIRST_LISTENER),
                Token(token) => {
                    let id = conn_of(token, &self.engine);
                    self.engine.ready(id, Readiness::of(event));
                    // After its turn: the turn may have begun an upload or a deferred answer.
                    if event.is_error() || event.is_write_closed() {
                        self.engine.failed(id);
                    }
                }
            }
        }
        self.may_have_events = count == EVENTS;
        if self.spin.note(was_due || count > 0, || self.clock.elapsed()) {
            self.engine.count_empty_poll();
        }
        self.engine.run();
        if self.engine.is_shutting_down() {
            self.collect_last();
        }
        let (admission, host) = self.admission();
        admission.admit(host);
        Ok(!self.engine.is_over())
    }

    /// Takes in clients on their way here during a shutdown, which is not complete without them. Their wake-up may have failed.
    #[cold]
    fn collect_last(&mut self) {
        self.admission.collect(self.engine.take_arrivals());
        if self.engine.is_cut_off() {
            self.admission.turn_away(&mut self.engine);
        }
    }

    /// Takes turns until a shutdown is complete.
    ///
    /// # Errors
    /// An error of the poll; the worker is unusable then.
    pub fn run(&mut self) -> io::Result<()> {
        while self.turn(None)? {}
        Ok(())
    }

    /// Returns a handle that reaches the worker, and all others of its server, from any thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Publishes a message under the name of a topic: to its subscribers on this worker, to those on the other workers of
    /// the server, and to the broker.
    ///
    /// It has the effect of [`Handle::publish`] for a loop that runs the worker itself, without the mailbox, the wake-up
    /// and the copy that those cost. The message leaves in the next [`turn`](Worker::turn), together with all others that
    /// are published before it: a subscriber gets them in one write. Until then [`patience`](Worker::patience) is zero;
    /// the file descriptor reports nothing. [`flush`](Worker::flush) sends them without a turn. Publications do not
    /// wait once they have 256 KiB, where each counts 64 bytes more, and each subscriber that it matches one.
    ///
    /// ```
    /// use fleeting::{App, Message, Server};
    /// use std::time::Duration;
    ///
    /// let mut worker = Server::builder().bind("127.0.0.1:0").worker(|_worker| App::new())?;
    /// // In the loop of the program, for each tick that has arrived:
    /// worker.publish("prices.eur", Message::Text("1.08"))?;
    /// // And once for all of them:
    /// worker.turn(Some(Duration::ZERO))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError`] if the name is invalid or the message is longer than the limit `message_bytes`; no subscriber gets
    /// it. What does not fit into the mailbox of another worker is counted in
    /// [`publications_lost`](Counters::publications_lost), as for [`Socket::publish`](crate::Socket::publish).
    #[inline]
    pub fn publish(&mut self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        self.engine.publish(topic, message)?;
        if self.engine.delivery_is_due() {
            self.flush();
        }
        Ok(())
    }

    /// Sends what has been published to its subscribers, to the other workers and to the broker now, without a turn and
    /// the system call of its poll. What a subscriber's socket does not take leaves in later turns.
    pub fn flush(&mut self) {
        self.engine.deliver_now(self.clock.now_ms());
    }

    /// Sends a message to a WebSocket, at once if it is one of this worker. If the connection is gone, or has no room for
    /// it within the limit `outbox_bytes`, the message is dropped and counted.
    ///
    /// # Errors
    /// [`SendError`] if the connection belongs to another worker, which the message did not reach.
    pub fn send(&mut self, conn: ConnId, message: Message<'_>) -> Result<(), SendError> {
        if conn.worker != self.engine.worker() {
            return self.handle.send(conn, message);
        }
        self.engine.send(self.clock.now_ms(), conn, message);
        Ok(())
    }

    /// Begins a WebSocket's closing handshake (RFC 6455 §7.1.2), at once if it is one of this worker.
    ///
    /// # Errors
    /// [`SendError`] if the connection belongs to another worker, which the command did not reach.
    pub fn close(&mut self, conn: ConnId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if conn.worker != self.engine.worker() {
            return self.handle.close(conn, code, reason);
        }
        self.engine.close(self.clock.now_ms(), conn, code, reason);
        Ok(())
    }

    /// Returns the TCP addresses it listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listen_addrs().iter().filter_map(ListenAddr::tcp).collect()
    }

    /// Returns all addresses it listens on, Unix sockets among them.
    pub fn listen_addrs(&self) -> Vec<ListenAddr> {
        self.admission.listen_addrs()
    }

    /// Returns the outcome of a shutdown; final once [`turn`](Worker::turn) has returned false.
    pub fn shutdown_report(&self) -> &ShutdownReport {
        self.engine.shutdown_report()
    }

    /// Returns what has been counted so far.
    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// Returns how it writes what is published: [`Io::Uring`] or [`Io::Epoll`].
    pub fn io(&self) -> Io {
        if self.engine.writes_together() { Io::Uring } else { Io::Epoll }
    }

    /// Returns the arena that requests live in, for its figures.
    pub fn arena(&self) -> &Arena {
        self.engine.arena()
    }

    /// Returns how long another loop may wait for the file descriptor before it must give this worker a
    /// [`turn`](Worker::turn) for its timers; `None` if there is no bound.
    pub fn patience(&self) -> Option<Duration> {
        if self.may_have_events || self.spin.is_on() {
            return Some(Duration::ZERO);
        }
        let next_ms = self.next_ms()?;
        if next_ms == 0 {
            return Some(Duration::ZERO);
        }
        // The system's poll counts milliseconds in 31 bits.
        Some(Duration::from_millis(next_ms.saturating_sub(self.clock.now_ms()).min(PATIENCE_MS_MAX)))
    }

    /// Returns when there is something to do without an event, in milliseconds of the clock: 0 for at once.
    fn next_ms(&self) -> Option<u64> {
        match (self.engine.next_ms(), self.admission.next_ms(&self.engine)) {
            (Some(engine), Some(admit)) => Some(engine.min(admit)),
            (engine, admit) => engine.or(admit),
        }
    }

    /// Returns what admitting clients needs, and the admission.
    fn admission(&mut self) -> (&mut Admission, Host<'_>) {
        let Worker { engine, poll, handle, clock, admission, .. } = self;
        (admission, Host { engine, poll, handle, now_ms: clock.now_ms() })
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

#[cfg(test)]
mod tests {
    use super::super::remote::lobby::Arrival;
    use super::*;
    use crate::app::Response;
    use crate::transport::Socket;
    use mio::net::TcpStream;
    use std::io::{Read, Write};

    /// A client that another worker has sent, whose wake-up has failed, is served before a shutdown is complete.
    #[test]
    fn a_shutdown_waits_for_a_client_that_no_event_tells_of() {
        let requests = ["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"];
        for (request, status) in requests.into_iter().zip(["", "HTTP/1.1 200 OK\r\n"]) {
            let app = App::new().get("/", |_req| Ok(Response::text("hello")));
            let (limits, memory) = (Limits::default(), Memory::new(usize::MAX));
            let parts = WorkerParts::new(&limits, &memory).expect("there are descriptors");
            let handle = Handle::new(vec![parts.mailbox.clone()], None, &limits, memory);
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let own = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let own = Listener::tcp(own).expect("it listens");
            let listeners = vec![(own, Security::None)];
            let mut worker = Worker::new(parts, &handle, listeners, app, Settings::default())
                .expect("the routes are right");
            let mut client =
                std::net::TcpStream::connect(listener.local_addr().unwrap()).expect("it listens");
            client.write_all(request.as_bytes()).expect("there is room");
            let (stream, peer) = listener.accept().expect("the client waits");
            stream.set_nonblocking(true).expect("it is a socket");
            let lobby = &worker.handle.mailbox_of(0).expect("it is the first").lobby;
            assert!(lobby.take_place());
            let socket = Socket::from(TcpStream::from_std(stream));
            let arrival = Arrival { socket, peer: Some(peer), listener: 0, has_place: true };
            assert!(lobby.put(arrival).is_ok());
            let client = std::thread::spawn(move || {
                let mut answer = String::new();
                client.read_to_string(&mut answer).map(|_| answer)
            });
            worker.handle().shutdown();
            worker.run().expect("polling works");
            assert_eq!(worker.engine.shutdown_report().stragglers.len(), 0);
            let answer = client.join().unwrap().expect("the answer is complete");
            assert!(answer.starts_with(status) && answer.is_empty() == request.is_empty(), "{answer}");
        }
    }
}
