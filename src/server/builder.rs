//! Configures and starts a server: worker threads, or a worker that runs on the caller's thread.
//!
//! It knows no connection. Its invariant: what cannot work (an address in use, a wrong route) is an error of
//! [`Builder::serve`], not of the running server.

use super::ServeError;
use super::affinity::Processors;
use super::context::WorkerContext;
use super::listen::listen_at;
use super::prepared::PreparedWorker;
use super::running::{Alarm, Server};
use super::tcp_options::TcpOptions;
use crate::app::App;
use crate::buffer::Memory;
use crate::config::{HttpVersions, Io, Limits, Proxies, Timeouts};
use crate::engine::{Handle, Settings, ShutdownReport, Worker, WorkerParts};
use crate::pubsub::{Attached, Broker};
#[cfg(feature = "tls")]
use crate::transport::Tls;
use crate::transport::{ListenAddr, Listener, Security};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

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
    addrs: Vec<(String, Security)>,
    workers: usize,
    settings: Settings,
    tcp: TcpOptions,
    pinned: bool,
    broker: Option<Arc<dyn Broker>>,
}

/// A socket that is listened on.
struct Listening {
    /// One for each worker.
    listeners: Vec<Listener>,
    security: Security,
}

/// Descriptors that connections must not use: they are for standard streams, polls, listening sockets and the
/// application.
const DESCRIPTORS_KEPT: usize = 64;

impl Server {
    /// Returns a builder with one worker, no address, and the default limits and timeouts.
    pub fn builder() -> Builder {
        Builder {
            addrs: Vec::new(),
            workers: 1,
            settings: Settings::default(),
            tcp: TcpOptions::default(),
            pinned: false,
            broker: None,
        }
    }
}

impl Builder {
    /// Listens on `addr`. May be called again for more addresses. It is one of:
    ///
    /// - `HOST:PORT`, such as `127.0.0.1:8080`, `[::1]:80` or `localhost:0`. Port 0 is any free port. If a name has several
    ///   addresses, the first that is available is used. `:8080`, `*:8080` and `[::]:8080` listen on all IPv6 and IPv4 addresses,
    ///   unless an IPv4 address with the same port is listed too. IPv4 clients have IPv4 addresses
    ///   ([`Request::peer_addr`](crate::Request::peer_addr)) either way.
    /// - `unix:/run/chat.sock`: a Unix socket. Who may connect is decided by the process's umask, or by the mode in
    ///   `unix:/run/chat.sock?mode=0660`. A file that another process has left behind is replaced; one at which a process
    ///   listens, or that is no socket, is an error. The file is removed when the last worker stops accepting. On
    ///   Linux, `unix:@chat` is a name without a file, to which every process of the machine may connect.
    /// - `fd:3`: a listening socket of TCP or Unix that the process was started with. The descriptor stays open.
    /// - `systemd`, `systemd:web`: all sockets that a service manager has passed to this process, or those of this name
    ///   (sd_listen_fds(3)). There may be several.
    ///
    /// On a Unix socket and an inherited one, the workers share one queue of clients. A client of a Unix socket has no address,
    /// and a [`SitePolicy`](crate::SitePolicy) does not take it for one on the loopback.
    pub fn bind(mut self, addr: impl Into<String>) -> Builder {
        self.addrs.push((addr.into(), Security::None));
        self
    }

    /// Listens on `addr` as [`bind`](Builder::bind) does, for connections with TLS 1.2 or 1.3 (RFC 8446). May be called again,
    /// with the same configuration or another.
    #[cfg(feature = "tls")]
    pub fn bind_tls(mut self, addr: impl Into<String>, tls: &Tls) -> Builder {
        self.addrs.push((addr.into(), Security::Tls(tls.clone())));
        self
    }

    /// Runs `workers` threads (1 to 65,535), each with its own connections and its own [`App`]. Connections are spread evenly:
    /// a worker that accepts one passes it to the worker with the fewest, if that one has more than 3 % fewer.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers.clamp(1, usize::from(u16::MAX));
        self
    }

    /// Keeps the thread of each worker on one of the processors that the process may use, in turn. The default is false:
    /// the system moves threads as it sees fit. This can make response times steadier on a machine that does nothing else,
    /// and worse on others. It has no effect on workers that run on the caller's threads.
    ///
    /// It works on Linux; elsewhere [`serve`](Builder::serve) returns an error.
    pub fn pin_threads(mut self, pinned: bool) -> Builder {
        self.pinned = pinned;
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

    /// Sets whether a client that ends its sending side may still wait for an answer (RFC 9112 §9.6). The default is
    /// false: such a client counts as gone, because most clients end both sides at once, and the server sees the end of
    /// one side first.
    ///
    /// It matters for answers that come later: [`Response::defer`](crate::Response::defer), handlers of an
    /// [`Offload`](crate::Offload), and [`Response::events`](crate::Response::events) with other endless
    /// [sources](crate::Source::is_endless). By default the connection is closed as soon as the client's end arrives:
    /// the [`Responder`](crate::Responder) is gone, the queued job is skipped, the source is dropped. With `true` the
    /// answer is sent, and an event stream goes on until writing to it fails.
    ///
    /// Any other response is sent in full either way, also to a client that sends its request and the end at once, as
    /// `printf 'GET / HTTP/1.0\r\n\r\n' | nc -N` does.
    pub fn half_close(mut self, honoured: bool) -> Builder {
        self.settings.half_close = honoured;
        self
    }

    /// Sets which versions of HTTP the server speaks. The default is [`HttpVersions::Both`]. A client chooses HTTP/2 in the TLS
    /// handshake, or without TLS by beginning with HTTP/2's preface.
    pub fn http(mut self, versions: HttpVersions) -> Builder {
        self.settings.http = versions;
        self
    }

    /// Sets how the server writes what is published to many subscribers. The default is [`Io::Auto`]. Reading, and all other
    /// writes, go through the system's poll in any case.
    pub fn io(mut self, io: Io) -> Builder {
        self.settings.io = io;
        self
    }

    /// Lets each worker poll without waiting for as long as `span` after the last event, command or publication. Then it
    /// waits, until the next one. The default is zero: it waits at once.
    ///
    /// Waking a thread that waits takes longer than most requests, so this shortens the response time of a few busy
    /// connections. It costs processor time, at most `span` after each burst of activity, and needs a processor that nothing else
    /// wants: with more threads than processors it makes everything slower. With [`Duration::MAX`] the worker never
    /// waits once it has had something to do. [`Counters::empty_polls`](crate::engine::Counters::empty_polls) counts what it spends.
    ///
    /// It is independent of [`TcpOptions::busy_poll`], with which the kernel itself polls the network card.
    ///
    /// A [`Worker`] in a loop of the caller's own spins too: until the span has passed, its
    /// [`patience`](Worker::patience) is zero, and [`turn`](Worker::turn) returns at once, whether there was something to do or
    /// not. A loop that never waits, such as that of `examples/gateway --spin`, needs no span.
    pub fn spin(mut self, span: Duration) -> Builder {
        self.settings.spin = span;
        self
    }

    /// Sets the options of the TCP sockets: keep-alive probes, buffers, the backlog. An inherited socket keeps its backlog, and
    /// a Unix socket has nothing but the backlog.
    pub fn tcp(mut self, options: TcpOptions) -> Builder {
        self.tcp = options;
        self
    }

    /// Sets which peers are proxies, and how they name their clients. By default there are none.
    pub fn proxies(mut self, proxies: Proxies) -> Builder {
        self.settings.proxies = Arc::new(proxies);
        self
    }

    /// Also passes everything that is published to `broker`, for other servers, and publishes what it receives from them:
    /// see [`Broker`].
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Builder {
        self.broker = Some(broker);
        self
    }

    /// Starts the server. `make` is called once on each worker's thread, so an [`App`] need be neither `Send` nor
    /// `Sync`. Make the `App` inside of the closure, with each `Rc` and `RefCell` that its handlers use: what the closure
    /// captures is shared by all workers.
    ///
    /// # Errors
    /// [`ServeError`] if the server cannot start; no socket is listening then.
    pub fn serve<F>(self, make: F) -> Result<Server, ServeError>
    where
        F: Fn(&WorkerContext) -> App + Send + Sync + 'static,
    {
        let processors = self.pinned.then(Processors::usable).transpose()?;
        let prepared = self.prepare()?;
        let workers = prepared.len();
        let WorkerContext { handle, addrs, .. } = prepared[0].context.clone();
        let make = Arc::new(make);
        let (started, starts) = mpsc::channel();
        // Dropping it shuts the threads down that have been started, if another cannot be.
        let mut server = Server { threads: Vec::with_capacity(workers), handle, addrs, io: Io::Uring };
        for prepared in prepared {
            let (make, started) = (make.clone(), started.clone());
            let (index, processors) = (prepared.index(), processors.clone());
            let work = move || {
                let _alarm = Alarm(prepared.handle());
                let pinned = processors.map_or(Ok(()), |processors| processors.pin(index));
                let worker = pinned.map_err(ServeError::Io).and_then(|()| prepared.start(&*make));
                drop(make);
                match worker {
                    Ok(mut worker) => {
                        let _ = started.send(Ok(worker.io()));
                        drop(started);
                        worker.run().map(|()| worker.shutdown_report().clone())
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        Ok(ShutdownReport::default())
                    }
                }
            };
            server.threads.push(thread::Builder::new().name(format!("fleeting-{index}")).spawn(work)?);
        }
        drop(started);
        for _ in 0..workers {
            let failed = match starts.recv() {
                Ok(Ok(Io::Uring)) => continue,
                Ok(Ok(io)) => {
                    server.io = io;
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => ServeError::Panicked,
            };
            server.handle.shutdown();
            let _ = server.run();
            return Err(failed);
        }
        Ok(server)
    }

    /// Makes a single worker that runs on the caller's own thread: see [`Worker`]. For several, see
    /// [`prepare`](Builder::prepare).
    ///
    /// # Errors
    /// As for [`serve`](Builder::serve).
    pub fn worker(self, make: impl FnOnce(&WorkerContext) -> App) -> Result<Worker, ServeError> {
        self.workers(1).prepare()?.pop().expect("one was made").start(make)
    }

    /// Prepares as many workers as [`workers`](Builder::workers) says, for threads of the caller's own. They are one
    /// server: they listen on the same addresses, they even out how many connections each of them has, and
    /// they share topics and a [`Handle`]. A shutdown ends all of them. The caller must give turns to each of them, and may
    /// run several on one thread.
    ///
    /// ```
    /// use fleeting::{App, Response, Server};
    /// use std::thread;
    ///
    /// let prepared = Server::builder().bind("127.0.0.1:0").workers(2).prepare()?;
    /// let handle = prepared[0].handle();
    /// println!("listening on {}", prepared[0].local_addrs()[0]);
    /// let threads: Vec<_> = prepared
    ///     .into_iter()
    ///     .map(|prepared| {
    ///         thread::spawn(move || {
    ///             let make = |_worker: &_| App::new().get("/", |_req| Ok(Response::text("hello")));
    ///             let mut worker = prepared.start(make).expect("the routes are right");
    ///             while worker.turn(None).expect("polling works") {
    ///                 // What else the thread has to do.
    ///             }
    ///         })
    ///     })
    ///     .collect();
    /// # handle.shutdown();
    /// for thread in threads {
    ///     thread.join().unwrap();
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`serve`](Builder::serve), except for wrong routes, which [`PreparedWorker::start`] finds.
    pub fn prepare(self) -> Result<Vec<PreparedWorker>, ServeError> {
        self.check()?;
        let (mut parts, handle) = worker_parts(self.workers, self.broker.clone(), &self.settings.limits)?;
        let (addrs, mut listening) = self.listeners()?;
        let addrs: Arc<[ListenAddr]> = addrs.into();
        attach(self.broker.as_ref(), &mut parts, &handle)?;
        let settings = self.settings(self.workers);
        let prepare = |(index, parts)| PreparedWorker {
            parts: Some(parts),
            listeners: listening
                .iter_mut()
                .map(|one| (one.listeners.pop().expect("one for each worker"), one.security.clone()))
                .collect(),
            settings: Settings { worker: index as u16, ..settings.clone() },
            context: WorkerContext { index, handle: handle.clone(), addrs: addrs.clone() },
        };
        Ok(parts.into_iter().enumerate().map(prepare).collect())
    }

    fn check(&self) -> Result<(), ServeError> {
        self.settings.limits.check()?;
        Ok(self.settings.timeouts.check()?)
    }

    /// Returns the settings of one of `workers` workers, with no more connections than there are descriptors for.
    fn settings(&self, workers: usize) -> Settings {
        let mut settings = self.settings.clone();
        let TcpOptions { unsent_bytes, pushed_unsent_bytes, .. } = self.tcp;
        (settings.unsent_bytes, settings.pushed_unsent_bytes) = (unsent_bytes, pushed_unsent_bytes);
        if let Some(descriptors) = descriptors_max() {
            let share = descriptors.saturating_sub(DESCRIPTORS_KEPT) / workers;
            settings.limits.connections = settings.limits.connections.min(share).max(1);
        }
        settings
    }

    /// Returns the addresses, and what listens there.
    fn listeners(&self) -> Result<(Vec<ListenAddr>, Vec<Listening>), ServeError> {
        let texts: Vec<&str> = self.addrs.iter().map(|(text, _)| &**text).collect();
        let found = listen_at(&texts, self.workers, &self.tcp)?;
        let listening = found.into_iter().zip(&self.addrs).flat_map(|(sockets, (_, security))| {
            sockets.into_iter().map(|listeners| Listening { listeners, security: security.clone() })
        });
        let listening: Vec<Listening> = listening.collect();
        let addrs: Vec<ListenAddr> = listening.iter().map(|one| one.listeners[0].addr()).collect();
        if addrs.is_empty() { Err(ServeError::NoAddress) } else { Ok((addrs, listening)) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("addrs", &self.addrs.iter().map(|(addr, _)| addr).collect::<Vec<_>>())
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

fn worker_parts(
    workers: usize,
    broker: Option<Arc<dyn Broker>>,
    limits: &Limits,
) -> io::Result<(Vec<WorkerParts>, Handle)> {
    let memory = Memory::new(memory_max(limits));
    let parts = (0..workers).map(|_| WorkerParts::new(limits, &memory)).collect::<io::Result<Vec<_>>>()?;
    let mailboxes = parts.iter().map(|parts| parts.mailbox.clone()).collect();
    Ok((parts, Handle::new(mailboxes, broker, limits, memory)))
}

/// Attaches the broker to the workers; the last one to end detaches it.
fn attach(broker: Option<&Arc<dyn Broker>>, parts: &mut [WorkerParts], handle: &Handle) -> io::Result<()> {
    let Some(broker) = broker else { return Ok(()) };
    let attached = Arc::new(Attached::new(broker.clone(), Arc::new(handle.inward()))?);
    parts.iter_mut().for_each(|parts| parts.attached = Some(attached.clone()));
    Ok(())
}

/// Returns how much memory the buffers of a server may have: what the limits say or, if that is automatic, half of what the
/// process may have. There is no limit if the system does not report that.
fn memory_max(limits: &Limits) -> usize {
    limits.memory.or_else(half_of_memory).unwrap_or(usize::MAX)
}

/// Returns half of the memory that this process may have, if the system reports it.
fn half_of_memory() -> Option<usize> {
    let machine = || {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<usize>().ok()?.checked_mul(1024)
    };
    // The file that a container sees of its own group; elsewhere the root group, which has no such file.
    let group = || std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok();
    let process = || process_limit("Max address space");
    let least: usize = [machine(), group(), process()].into_iter().flatten().min()?;
    Some(least / 2)
}

/// Returns how many descriptors this process may have, if the system reports it.
fn descriptors_max() -> Option<usize> {
    process_limit("Max open files")
}

/// Returns a soft limit of this process, if there is one: proc_pid_limits(5).
fn process_limit(name: &str) -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let values = limits.lines().find_map(|line| line.strip_prefix(name))?;
    values.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_descriptors_is_read() {
        assert!(descriptors_max().unwrap() > DESCRIPTORS_KEPT);
    }

    /// Finding C7.
    #[test]
    fn buffers_have_at_most_half_of_the_memory_unless_the_limits_say_otherwise() {
        let mut limits = Limits::default();
        let default = memory_max(&limits);
        assert!((1 << 20..1 << 39).contains(&default), "{default}");
        // The largest value means itself.
        for (text, bytes) in [("12345", 12_345), ("1024GiB", 1 << 40), ("auto", default)] {
            limits.set("memory", text).unwrap();
            assert_eq!(memory_max(&limits), bytes, "{text}");
        }
    }
}
