//! Runs handlers that may block, on threads of their own.
//!
//! It knows no connection. Its invariants: the worker that calls an [`Offloaded`] handler never waits for it; and the
//! threads live as long as the [`Offload`] or one of its handlers.
//!
//! ```text
//!   handler: keep, defer ---> queue, bounded ---> threads: the same kind of handler ------.
//!                    `--> watched, next deadline first ---> watchdog: 503 ---> SharedResponder: the first answers
//! ```

mod jobs;
mod options;

pub use jobs::Full;
pub use options::{OffloadCounters, OffloadOptions};

use super::{Error, Handler, HandlerFn, Request, Response};
use crate::keep::Keep;
use jobs::{Job, JobQueue, RunningThread, SharedResponder, unavailable};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

/// Threads for handlers that wait: for a network, a disk, or a long computation. The worker serves other
/// connections meanwhile.
///
/// An offloaded handler is called like any other, with a copy of the request and an arena of its thread. The client
/// gets an answer within the time limit, whatever the threads are doing. If the queue is full or the time is up, the
/// answer is 503, and what the handler returns later is dropped. A handler that has started is not interrupted. A
/// handler whose client has left, or was answered, is not started. A client that ends its sending side has left, unless
/// [`Builder::half_close`](crate::Builder::half_close) allows that.
///
/// The threads belong to the `Offload` and to its handlers together. Dropping the last of them does what
/// [`shutdown`](Offload::shutdown) does.
///
/// ```
/// use fleeting::{App, Error, Offload, OffloadOptions, Request, Response};
///
/// fn report<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
///     let path = format!("/var/reports/{}.txt", req.param("name"));
///     let text = std::fs::read_to_string(path); // may take long
///     Ok(Response::text(text.map_err(|_| Error::not_found("There is no such report."))?))
/// }
///
/// let mut options = OffloadOptions::default();
/// options.threads = 2;
/// let offload = Offload::new(options)?;
/// let app = App::new().route_handler("GET", "/reports/{name}", offload.handler(report));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Offload {
    threads: Arc<Threads>,
}

/// A handler that runs on the threads of an [`Offload`], and keeps them running. Made by [`Offload::handler`].
pub struct Offloaded {
    threads: Arc<Threads>,
    handler: Arc<dyn Handler + Send + Sync>,
}

/// The threads and what they share. Dropping it closes the queue.
struct Threads {
    queue: Arc<JobQueue>,
    watchdog: Option<JoinHandle<()>>,
    /// The watchdog's id and those of the threads that run jobs.
    ids: Vec<ThreadId>,
}

const YEAR: Duration = Duration::from_secs(366 * 86_400);

impl Offload {
    /// Starts the threads, and one more that answers requests whose time is up.
    ///
    /// # Errors
    /// The system's error if a thread cannot be started. The threads started before it are stopped.
    pub fn new(options: OffloadOptions) -> io::Result<Offload> {
        let threads = options.threads.max(1);
        // Keeps every sum of times in range.
        let time_limit = options.time_limit.min(YEAR);
        let options = OffloadOptions { threads, time_limit, ..options };
        let queue = Arc::new(JobQueue::new(options));
        // If a thread cannot be started, dropping this stops the others.
        let mut threads = Threads { queue, watchdog: None, ids: Vec::new() };
        let queue = threads.queue.clone();
        let watchdog = thread::Builder::new().name("fleeting-watch".into()).spawn(move || queue.watch())?;
        threads.ids.push(watchdog.thread().id());
        threads.watchdog = Some(watchdog);
        for number in 0..options.threads {
            let running = RunningThread::new(threads.queue.clone());
            let thread = thread::Builder::new().name(format!("fleeting-off-{number}"));
            threads.ids.push(thread.spawn(move || running.work())?.thread().id());
        }
        Ok(Offload { threads: Arc::new(threads) })
    }

    /// Wraps `handler` so that it runs on these threads; pass the result to
    /// [`App::route_handler`](super::App::route_handler). `handler` is a function or a type that implements [`Handler`]. For a
    /// closure, see [`closure`](Offload::closure).
    pub fn handler(&self, handler: impl Handler + Send + Sync + 'static) -> Offloaded {
        Offloaded { threads: self.threads.clone(), handler: Arc::new(handler) }
    }

    /// The same as [`handler`](Offload::handler), for a closure, whose lifetimes are inferred here.
    ///
    /// ```
    /// use fleeting::{App, Offload, OffloadOptions, Response};
    ///
    /// let offload = Offload::new(OffloadOptions::default())?;
    /// let app = App::new().route_handler("GET", "/hello/{name}", offload.closure(|req| {
    ///     Ok(Response::text(req.param("name"))) // borrowed content is copied when it leaves the thread
    /// }));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn closure(&self, handler: impl HandlerFn + Send + Sync + 'static) -> Offloaded {
        self.handler(handler)
    }

    /// Runs `job` on one of the threads. It answers no request, and no time limit applies to it.
    ///
    /// # Errors
    /// [`Full`] if the queue is full or shutting down. The job is dropped then.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let queue = &self.threads.queue;
        let reservation = queue.reserve()?;
        queue.queue(reservation, Job::Work(Box::new(job)), None)
    }

    /// Returns the counters as they are now.
    pub fn counters(&self) -> OffloadCounters {
        self.threads.queue.counters()
    }

    /// Closes the queue: its handlers answer new requests with 503. Blocks until the threads have worked off the queue,
    /// at most as long as the time limit; then answers the rest with 503. A thread that is still busy then ends when
    /// its job does. On one of the threads themselves this only closes the queue.
    pub fn shutdown(&self) {
        self.threads.close();
    }
}

impl Threads {
    fn close(&self) {
        self.queue.close();
        // A thread cannot wait for its own end: the last owner can be a job, or what a job has left behind.
        if !self.ids.contains(&thread::current().id()) {
            self.queue.finish();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.close();
        let watchdog = self.watchdog.take();
        if let Some(watchdog) = watchdog.filter(|_| !self.ids.contains(&thread::current().id())) {
            // It ends within the time limit, when the last watched request is settled.
            let _ = watchdog.join();
        }
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload")
            .field("options", &self.threads.queue.options)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Handler for Offloaded {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        let queue = &self.threads.queue;
        let Ok(reservation) = queue.reserve() else {
            return Err(unavailable("The server is busy. Try again."));
        };
        let (response, responder) = Response::defer();
        let responder = Arc::new(SharedResponder::new(responder));
        let job =
            Job::Answer { request: req.keep(), handler: self.handler.clone(), responder: responder.clone() };
        match queue.queue(reservation, job, Some(responder)) {
            Ok(()) => Ok(response),
            Err(Full) => Err(unavailable("The server is shutting down.")),
        }
    }
}

impl fmt::Debug for Offloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offloaded").field("options", &self.threads.queue.options).finish_non_exhaustive()
    }
}
