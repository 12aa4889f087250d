//! Starts and ends a server: listening sockets, worker threads, the handle.
//!
//! It knows no connection. Its invariant: what cannot work (an address in use, a wrong route) is an error of
//! [`Builder::serve`], not of the running server.

use crate::app::{App, RouteError};
use crate::config::{Limits, Timeouts};
use crate::engine::{Handle, Settings, ShutdownReport, Worker, WorkerError, WorkerParts};
use crate::pubsub::{Attached, Broker};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// A running server: its worker threads, until a [`Handle`] shuts them down. Dropping it shuts it down too, without
/// waiting for the end; [`run`](Server::run) waits.
///
/// ```
/// use fleeting::{App, Response, Server};
///
/// let server = Server::builder()
///     .bind("127.0.0.1:0")
///     .serve(|_worker| App::new().get("/", |_req| Ok(Response::text("hello"))))?;
/// println!("listening on {}", server.local_addrs()[0]);
/// server.handle().shutdown(); // from any thread, at any time
/// server.run()?;
/// # Ok::<(), fleeting::ServeError>(())
/// ```
#[derive(Debug)]
#[must_use = "a server that is dropped shuts down; run() waits until it is shut down"]
pub struct Server {
    threads: Vec<JoinHandle<io::Result<ShutdownReport>>>,
    handle: Handle,
    addrs: Vec<SocketAddr>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `run` nothing is left that could be shut down.
        self.handle.shutdown();
    }
}

/// The worker that an application is made for: the argument of the function that makes it.
#[derive(Debug, Clone)]
pub struct WorkerContext {
    /// The worker's number, from 0.
    pub index: usize,
    /// Reaches all workers of the server.
    pub handle: Handle,
}

/// Why a server did not start, or has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// An address is malformed, its host name is unknown, or it cannot be listened on.
    Bind(String, io::Error),
    /// No address was given.
    NoAddress,
    /// A route is wrong.
    Route(RouteError),
    /// Another system call has failed.
    Io(io::Error),
    /// A worker has panicked, which is a bug of this crate: panics of handlers are caught.
    Panicked,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Bind(addr, error) => match error.kind() {
                io::ErrorKind::AddrInUse => write!(f, "cannot listen on {addr}: the address is in use"),
                _ => write!(f, "cannot listen on {addr}: {error}"),
            },
            ServeError::NoAddress => f.write_str("no address to listen on"),
            ServeError::Route(error) => fmt::Display::fmt(error, f),
            ServeError::Io(error) => fmt::Display::fmt(error, f),
            ServeError::Panicked => f.write_str("a worker has panicked"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> ServeError {
        ServeError::Io(error)
    }
}

impl From<WorkerError> for ServeError {
    fn from(error: WorkerError) -> ServeError {
        match error {
            WorkerError::Io(error) => ServeError::Io(error),
            WorkerError::Route(error) => ServeError::Route(error),
        }
    }
}

/// The configuration of a server, made by [`Server::builder`].
///
/// ```
/// use fleeting::{App, Limits, Response, Server, Timeouts};
/// use std::time::Duration;
///
/// let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
/// limits.body_bytes = 64 << 10;
/// timeouts.idle = Duration::from_secs(10);
/// let server = Server::builder()
///     .bind("127.0.0.1:0")
///     .workers(2)
///     .limits(limits)
///     .timeouts(timeouts)
///     .serve(|_worker| App::new().get("/", |_req| Ok(Response::text("hello"))))?;
/// # server.handle().shutdown();
/// # server.run()?;
/// # Ok::<(), fleeting::ServeError>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    addrs: Vec<String>,
    workers: usize,
    settings: Settings,
    broker: Option<Arc<dyn Broker>>,
}

/// Shuts all workers down when one of them ends, even by a panic: a server runs whole or not at all.
struct Alarm(Handle);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// Connections that the system queues for a listening socket until they are accepted.
const BACKLOG: i32 = 4096;
/// Descriptors that connections must not use: they are for standard streams, polls, listening sockets and the
/// application.
const DESCRIPTORS_KEPT: usize = 64;

impl Server {
    /// Returns a builder with one worker, no address, and the default limits and timeouts.
    pub fn builder() -> Builder {
        Builder { addrs: Vec::new(), workers: 1, settings: Settings::default(), broker: None }
    }

    /// Returns the addresses it listens on, in the order of [`bind`](Builder::bind). For port 0 it is the port that the
    /// system chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Returns a handle that reaches the server from any thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the server has been shut down through its [`Handle`]. Returns how many WebSockets were open when the
    /// shutdown began, and which connections were cut off at the end of the grace period.
    ///
    /// # Errors
    /// [`ServeError`] if a worker has failed; the others are shut down then.
    pub fn run(mut self) -> Result<ShutdownReport, ServeError> {
        let mut outcome = Ok(ShutdownReport::default());
        for thread in std::mem::take(&mut self.threads) {
            let ended = match thread.join() {
                Ok(ended) => ended.map_err(ServeError::Io),
                Err(_) => Err(ServeError::Panicked),
            };
            match (ended, &mut outcome) {
                (Ok(report), Ok(whole)) => whole.add(report),
                (Err(failed), Ok(_)) => {
                    self.handle.shutdown();
                    outcome = Err(failed);
                }
                (_, Err(_)) => {}
            }
        }
        outcome
    }
}

impl Builder {
    /// Listens on `addr`, such as `127.0.0.1:8080`, `[::]:80` or `localhost:0`. If a name has several addresses, the
    /// first that is available is used. May be called again for more addresses.
    pub fn bind(mut self, addr: impl Into<String>) -> Builder {
        self.addrs.push(addr.into());
        self
    }

    /// Runs `workers` threads (1 to 65,535), each with its own connections and its own [`App`].
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers.clamp(1, usize::from(u16::MAX));
        self
    }

    /// Sets how much a peer may send, and how much a worker may hold.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// Sets how long a peer may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Builder {
        self.settings.timeouts = timeouts;
        self
    }

    /// Also passes everything that is published to `broker`, for other servers, and publishes what it receives from them:
    /// see [`Broker`].
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Builder {
        self.broker = Some(broker);
        self
    }

    /// Starts the server. `make` is called once on each worker's thread, so an [`App`] need be neither `Send` nor
    /// `Sync`.
    ///
    /// # Errors
    /// [`ServeError`] if the server cannot start; no socket is listening then.
    pub fn serve<F>(self, make: F) -> Result<Server, ServeError>
    where
        F: Fn(&WorkerContext) -> App + Send + Sync + 'static,
    {
        let workers = self.workers;
        let (mut parts, handle) = worker_parts(workers, self.broker.clone(), &self.settings.limits)?;
        let (addrs, mut listeners) = self.listeners()?;
        attach(self.broker.as_ref(), &mut parts, &handle)?;
        let settings = self.settings(workers);
        let make = Arc::new(make);
        let (started, starts) = mpsc::channel();
        let mut threads = Vec::with_capacity(workers);
        for (index, parts) in parts.into_iter().enumerate() {
            let own = listeners.iter_mut().map(|shared| shared.pop().expect("one for each worker")).collect();
            let settings = Settings { worker: index as u16, ..settings.clone() };
            let (make, started) = (make.clone(), started.clone());
            let context = WorkerContext { index, handle: handle.clone() };
            let work = move || {
                let _alarm = Alarm(context.handle.clone());
                let worker = Worker::new(parts, &context.handle, own, make(&context), settings);
                drop((make, context));
                match worker {
                    Ok(mut worker) => {
                        let _ = started.send(Ok(()));
                        drop(started);
                        worker.run().map(|()| worker.shutdown_report().clone())
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        Ok(ShutdownReport::default())
                    }
                }
            };
            threads.push(thread::Builder::new().name(format!("fleeting-{index}")).spawn(work)?);
        }
        drop(started);
        let server = Server { threads, handle, addrs };
        for _ in 0..workers {
            let failed = match starts.recv() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => ServeError::from(error),
                Err(_) => ServeError::Panicked,
            };
            server.handle.shutdown();
            let _ = server.run();
            return Err(failed);
        }
        Ok(server)
    }

    /// Makes a single worker that runs on the caller's own thread: see [`Worker`].
    ///
    /// # Errors
    /// As for [`serve`](Builder::serve).
    pub fn worker(self, make: impl FnOnce(&WorkerContext) -> App) -> Result<Worker, ServeError> {
        let builder = self.workers(1);
        let (mut parts, handle) = worker_parts(1, builder.broker.clone(), &builder.settings.limits)?;
        let (_, listeners) = builder.listeners()?;
        attach(builder.broker.as_ref(), &mut parts, &handle)?;
        let app = make(&WorkerContext { index: 0, handle: handle.clone() });
        let settings = builder.settings(1);
        let parts = parts.pop().expect("one was made");
        Ok(Worker::new(parts, &handle, listeners.into_iter().flatten().collect(), app, settings)?)
    }

    /// Returns the settings of one of `workers` workers, with no more connections than there are descriptors for.
    fn settings(&self, workers: usize) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(descriptors) = descriptors_max() {
            let share = descriptors.saturating_sub(DESCRIPTORS_KEPT) / workers;
            settings.limits.connections = settings.limits.connections.min(share).max(1);
        }
        settings
    }

    /// Returns the addresses, and for each of them one listening socket per worker.
    fn listeners(&self) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), ServeError> {
        let mut addrs = Vec::new();
        let mut listeners = Vec::new();
        for text in &self.addrs {
            let failed = |error| ServeError::Bind(text.clone(), error);
            // A name may have several addresses: the first that is available is used.
            let mut outcome = Err(io::ErrorKind::NotFound.into());
            for addr in text.to_socket_addrs().map_err(failed)? {
                outcome = listen(addr, self.workers);
                if outcome.is_ok() {
                    break;
                }
            }
            let (addr, shared) = outcome.map_err(failed)?;
            addrs.push(addr);
            listeners.push(shared);
        }
        if addrs.is_empty() { Err(ServeError::NoAddress) } else { Ok((addrs, listeners)) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("addrs", &self.addrs)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

fn worker_parts(
    workers: usize,
    broker: Option<Arc<dyn Broker>>,
    limits: &Limits,
) -> io::Result<(Vec<WorkerParts>, Handle)> {
    let parts = (0..workers).map(|_| WorkerParts::new(limits)).collect::<io::Result<Vec<_>>>()?;
    let handle = Handle::new(parts.iter().map(|parts| parts.mailbox.clone()).collect(), broker, limits);
    Ok((parts, handle))
}

/// Attaches the broker to the workers; the last one to end detaches it.
fn attach(broker: Option<&Arc<dyn Broker>>, parts: &mut [WorkerParts], handle: &Handle) -> io::Result<()> {
    let Some(broker) = broker else { return Ok(()) };
    let attached = Arc::new(Attached::new(broker.clone(), Arc::new(handle.inward()))?);
    parts.iter_mut().for_each(|parts| parts.attached = Some(attached.clone()));
    Ok(())
}

/// Binds `addr` once for each worker: the system spreads connections over sockets that share a port (SO_REUSEPORT).
/// Port 0 becomes a free port.
fn listen(addr: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    // SO_REUSEPORT would also share the port with another process of the same user. Only binding a socket without it
    // shows whether the port is taken.
    let first = bind(addr, false)?;
    let addr = first.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    if workers == 1 {
        first.listen(BACKLOG)?;
        return Ok((addr, vec![first.into()]));
    }
    drop(first);
    let listeners = (0..workers).map(|_| {
        let socket = bind(addr, true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    });
    Ok((addr, listeners.collect::<io::Result<_>>()?))
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait until the system has forgotten the last run's connections.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Returns how many descriptors this process may have, if the system reports it.
fn descriptors_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line["Max open files".len()..].split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_with_any_number_of_workers() {
        let (addr, held) = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        assert_eq!(held.len(), 2);
        for workers in [1, 2] {
            let error = listen(addr, workers).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn the_limit_of_descriptors_is_read() {
        assert!(descriptors_max().unwrap() > DESCRIPTORS_KEPT);
    }
}
