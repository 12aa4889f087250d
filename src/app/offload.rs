//! Handlers that wait, on threads of their own.
//!
//! It knows no connection: what it has of one is a [`Responder`] and a copy of the request. Its invariants: a
//! request gets one answer, within the time limit, whatever becomes of its job; the thread that serves waits for
//! nothing but a lock that is never held for long.
//!
//! ```text
//!   handler: keep, defer ---> queue, bounded ---> threads: the same kind of handler ---.
//!                    `--> watch, in the order of the deadlines ---> watchdog: 503 ---> Ticket: whoever is first
//! ```
//!
//! There are two kinds of locks, that of the [`State`] and that of each [`Ticket`], and two numbers.
//!
//! - A ticket's lock guards who answers. Whoever takes the responder out does, with the lock let go of; who comes
//!   later finds nothing. So a thread and the watchdog never both answer, and no lock is held while the answer
//!   makes its way to the connection, or while anything of the application's is called or dropped.
//! - A ticket's lock may be taken while the state's is held, to see whether it is over; never the other way round.
//! - `Shared::queued` is taken before a job is in the queue, so that a full queue is found out before anything is
//!   copied, and given back after the job has left it. So it is never less than the queue's length, and there are
//!   never more jobs in the queue than it may hold.
//! - `State::ending` is set under the lock under which jobs are put in. So what is queued was queued before, and a
//!   thread that finds the queue empty and the end announced has nothing more to come. What was refused then has
//!   its answer from whoever wanted to queue it.
//! - The counts say nothing of any other memory: they are `Relaxed`. So is `queued`, whose bound is in the step
//!   that takes a place; the jobs themselves are handed over under the lock.

use super::{Error, Handler, KeptRequest, Request, Responder, Response};
use crate::arena::Arena;
use crate::keep::Keep;
use crate::panics::catch;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many threads there are for handlers that wait, and how long they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffloadOptions {
    /// Threads; at least one.
    pub threads: usize,
    /// Jobs that may wait for a thread. Who comes then is answered with 503 at once.
    pub queue: usize,
    /// From queueing to the answer. Who waits longer is answered with 503.
    pub time_limit: Duration,
}

impl Default for OffloadOptions {
    /// 4 threads, 1024 jobs, 250 ms.
    fn default() -> OffloadOptions {
        OffloadOptions { threads: 4, queue: 1024, time_limit: Duration::from_millis(250) }
    }
}

/// Threads for handlers that wait: for a network, a disk, or a long computation.
///
/// A handler that is put on them is called as any other, with a copy of the request and an arena of the thread's.
/// Meanwhile the worker serves others. What a client is told does not depend on how the threads are doing: it has
/// its answer within the time limit, if need be 503, and what a handler says later reaches nobody. A handler that
/// was begun is not interrupted; one whose client is gone, or was answered, is not begun.
///
/// Dropping it ends the threads, after what is queued, and waits for that as long as the time limit says; what is
/// left then is answered with 503, and a thread that is still at something ends when it is done with that.
///
/// ```
/// use fleeting::{App, Error, Offload, OffloadOptions, Request, Response};
/// use std::sync::Arc;
///
/// fn report<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
///     let path = format!("/var/reports/{}.txt", req.param("name")); // may take its time
///     let text = std::fs::read_to_string(path).map_err(|_| Error::not_found("There is no such report."))?;
///     Ok(Response::text(text))
/// }
///
/// let offload = Arc::new(Offload::new(OffloadOptions { threads: 2, ..OffloadOptions::default() })?);
/// let app = App::new().route("GET", "/reports/{name}", offload.handler(report));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Offload {
    shared: Arc<Shared>,
    watchdog: Option<JoinHandle<()>>,
}

/// A handler that is called on the threads of an [`Offload`].
pub struct Offloaded {
    shared: Arc<Shared>,
    handler: Arc<dyn Handler + Send + Sync>,
}

/// There is no room in the queue, or nobody to do it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no room in the queue")
    }
}

impl std::error::Error for Full {}

/// What an [`Offload`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OffloadCounters {
    /// Jobs that wait for a thread now.
    pub queued: u64,
    /// Jobs that a thread has done, panics included.
    pub ran: u64,
    /// Jobs that were never begun: their client was gone, or had been answered.
    pub skipped: u64,
    /// Jobs that there was no room for.
    pub refused_full: u64,
    /// Requests answered with 503 because the time limit was over.
    pub timed_out: u64,
    /// Jobs that panicked.
    pub panicked: u64,
}

struct Shared {
    state: Mutex<State>,
    /// There is a job, or the end is announced.
    job_there: Condvar,
    /// There is something to watch and was nothing, or the end is announced.
    watch_there: Condvar,
    /// A thread has ended.
    thread_ended: Condvar,
    options: OffloadOptions,
    /// Places of the queue that are taken; at least its length.
    queued: AtomicUsize,
    ran: AtomicU64,
    skipped: AtomicU64,
    refused_full: AtomicU64,
    timed_out: AtomicU64,
    panicked: AtomicU64,
}

struct State {
    jobs: VecDeque<Job>,
    /// Tickets of jobs, with the deadline of each: they come in the order of these. One that is over may still be
    /// among them.
    watch: VecDeque<(Instant, Arc<Ticket>)>,
    /// Threads that have not ended.
    threads: usize,
    ending: bool,
}

enum Job {
    Answer { request: KeptRequest, handler: Arc<dyn Handler + Send + Sync>, ticket: Arc<Ticket> },
    Work(Box<dyn FnOnce() + Send>),
}

/// Who answers a request: whoever takes the responder out.
struct Ticket {
    responder: Mutex<Option<Responder>>,
}

impl Ticket {
    fn responder(&self) -> MutexGuard<'_, Option<Responder>> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it needs no answer: it has one, or nobody waits for it.
    fn is_over(&self) -> bool {
        self.responder().as_ref().is_none_or(Responder::is_gone)
    }

    /// Answers, if nobody has. Tells whether that reaches anybody.
    fn answer(&self, response: impl Into<Response<'static>>) -> bool {
        let responder = self.responder().take();
        responder.is_some_and(|responder| responder.send(response).is_ok())
    }
}

/// Bytes that a thread's arena keeps between jobs.
const ARENA_BYTES: usize = 64 << 10;
/// What a client is told that is turned away: seconds (RFC 9110 §10.2.3).
const RETRY_AFTER: &str = "1";

impl Offload {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has refused one; none is left then.
    pub fn new(options: OffloadOptions) -> io::Result<Offload> {
        let options = OffloadOptions { threads: options.threads.max(1), ..options };
        let state = State { jobs: VecDeque::new(), watch: VecDeque::new(), threads: 0, ending: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            job_there: Condvar::new(),
            watch_there: Condvar::new(),
            thread_ended: Condvar::new(),
            options,
            queued: AtomicUsize::new(0),
            ran: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        });
        // Dropped if a thread cannot be had, with those that were.
        let mut offload = Offload { shared, watchdog: None };
        let shared = offload.shared.clone();
        let watch = thread::Builder::new().name("fleeting-watch".into()).spawn(move || shared.watch())?;
        offload.watchdog = Some(watch);
        for number in 0..options.threads {
            let present = Present::new(offload.shared.clone());
            thread::Builder::new().name(format!("fleeting-off-{number}")).spawn(move || present.0.work())?;
        }
        Ok(offload)
    }

    /// `handler`, called on these threads. It may be a function or a type that is a [`Handler`]; for a closure, see
    /// [`closure`](Offload::closure). Goes to [`App::route`](super::App::route).
    pub fn handler(&self, handler: impl Handler + Send + Sync + 'static) -> Offloaded {
        Offloaded { shared: self.shared.clone(), handler: Arc::new(handler) }
    }

    /// As [`handler`](Offload::handler), for a closure, whose lifetimes are inferred here.
    ///
    /// ```
    /// use fleeting::{App, Offload, OffloadOptions, Response};
    ///
    /// let offload = Offload::new(OffloadOptions::default())?;
    /// let app = App::new().route("GET", "/hello/{name}", offload.closure(|req| {
    ///     Ok(Response::text(req.param("name"))) // what is borrowed is copied when it leaves the thread
    /// }));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn closure<F>(&self, handler: F) -> Offloaded
    where
        F: for<'a, 'r> Fn(&'a Request<'r>) -> Result<Response<'r>, Error> + Send + Sync + 'static,
    {
        self.handler(handler)
    }

    /// Has one of the threads do `job`, for which nobody waits, and which no time limit ends.
    ///
    /// # Errors
    /// [`Full`]: it is not done.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let place = self.shared.place()?;
        self.shared.queue(place, Job::Work(Box::new(job)), None)
    }

    /// What it has counted.
    pub fn counters(&self) -> OffloadCounters {
        let Shared { queued, ran, skipped, refused_full, timed_out, panicked, .. } = &*self.shared;
        let [ran, skipped, refused_full, timed_out, panicked] =
            [ran, skipped, refused_full, timed_out, panicked].map(|count| count.load(Ordering::Relaxed));
        let queued = queued.load(Ordering::Relaxed) as u64;
        OffloadCounters { queued, ran, skipped, refused_full, timed_out, panicked }
    }
}

impl Drop for Offload {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut state = shared.state();
        state.ending = true;
        shared.job_there.notify_all();
        shared.watch_there.notify_all();
        let limit = shared.options.time_limit;
        let waited = shared.thread_ended.wait_timeout_while(state, limit, |state| state.threads > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let jobs = std::mem::take(&mut state.jobs);
        shared.queued.fetch_sub(jobs.len(), Ordering::Relaxed);
        drop(state);
        for job in jobs {
            if let Job::Answer { ticket, .. } = &job {
                ticket.answer(unavailable("The server is shutting down."));
            }
            catch(move || drop(job));
        }
        shared.watch_there.notify_all();
        if let Some(watchdog) = self.watchdog.take() {
            // What it watches is over, or will be within the time limit.
            let _ = watchdog.join();
        }
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload")
            .field("options", &self.shared.options)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Handler for Offloaded {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        let Ok(place) = self.shared.place() else { return Ok(unavailable("All are busy. Try again.")) };
        let (response, responder) = Response::defer();
        let ticket = Arc::new(Ticket { responder: Mutex::new(Some(responder)) });
        let job = Job::Answer { request: req.keep(), handler: self.handler.clone(), ticket: ticket.clone() };
        match self.shared.queue(place, job, Some(ticket)) {
            Ok(()) => Ok(response),
            Err(Full) => Ok(unavailable("The server is shutting down.")),
        }
    }
}

impl fmt::Debug for Offloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offloaded").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// 503, and when to come again (RFC 9110 §15.6.4).
fn unavailable<'r>(message: &'static str) -> Response<'r> {
    Response::from(Error::unavailable(message))
        .header("retry-after", RETRY_AFTER)
        .unwrap_or_else(Response::from)
}

/// A place in the queue, until a job is in it.
struct Place<'s>(&'s Shared);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A thread, for as long as it is there.
struct Present(Arc<Shared>);

impl Present {
    fn new(shared: Arc<Shared>) -> Present {
        shared.state().threads += 1;
        Present(shared)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.state().threads -= 1;
        self.0.thread_ended.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the queue.
    fn place(&self) -> Result<Place<'_>, Full> {
        let more = |queued: usize| (queued < self.options.queue).then_some(queued + 1);
        match self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Place(self)),
            Err(_) => {
                self.refused_full.fetch_add(1, Ordering::Relaxed);
                Err(Full)
            }
        }
    }

    /// Puts a job into its place, and has its ticket watched.
    fn queue(&self, place: Place<'_>, job: Job, ticket: Option<Arc<Ticket>>) -> Result<(), Full> {
        let mut state = self.state();
        if state.ending {
            // The job is dropped with the state unlocked.
            drop(state);
            return Err(Full);
        }
        state.jobs.push_back(job);
        std::mem::forget(place);
        self.job_there.notify_one();
        if let Some(ticket) = ticket {
            // Under the lock, so that the deadlines are in order.
            let deadline = Instant::now() + self.options.time_limit;
            state.forget_over();
            if state.watch.is_empty() {
                self.watch_there.notify_one();
            }
            state.watch.push_back((deadline, ticket));
        }
        Ok(())
    }

    /// What a thread does until the end.
    fn work(&self) {
        let mut arena = Arena::new(ARENA_BYTES);
        while let Some(job) = self.next() {
            self.run(job, &arena);
            arena.reset();
        }
    }

    /// The next job; `None` if there is none any more.
    fn next(&self) -> Option<Job> {
        let waited = self.job_there.wait_while(self.state(), |state| state.jobs.is_empty() && !state.ending);
        let job = waited.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()?;
        self.queued.fetch_sub(1, Ordering::Relaxed);
        Some(job)
    }

    fn run(&self, job: Job, arena: &Arena) {
        let mut count = &self.ran;
        let done = match job {
            Job::Answer { request, handler, ticket } if ticket.is_over() => {
                count = &self.skipped;
                catch(move || drop((request, handler)))
            }
            Job::Answer { request, handler, ticket } => {
                let answers = ticket.clone();
                let done = catch(move || {
                    let response = match handler.call(&request.request(arena)) {
                        Ok(response) => response.keep(),
                        Err(error) => error.into(),
                    };
                    answers.answer(response);
                });
                if done.is_none() {
                    ticket.answer(Error::internal("The handler failed."));
                }
                done
            }
            Job::Work(work) => catch(work),
        };
        self.panicked.fetch_add(u64::from(done.is_none()), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What the watchdog does until the end: answers who has waited for too long.
    fn watch(&self) {
        let mut state = self.state();
        loop {
            state.forget_over();
            let now = Instant::now();
            match state.watch.front().map(|(deadline, _)| *deadline) {
                None if state.ending => return,
                None => state = self.watch_there.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) if deadline > now => {
                    let waited = self.watch_there.wait_timeout(state, deadline - now);
                    (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                }
                Some(_) => {
                    let due = state.watch.partition_point(|(deadline, _)| *deadline <= now);
                    let due: Vec<_> = state.watch.drain(..due).collect();
                    drop(state);
                    for (_, ticket) in due {
                        let reached = ticket.answer(unavailable("It took too long. Try again."));
                        self.timed_out.fetch_add(u64::from(reached), Ordering::Relaxed);
                    }
                    state = self.state();
                    let over = state.take_over();
                    drop(state);
                    self.queued.fetch_sub(over.len(), Ordering::Relaxed);
                    self.skipped.fetch_add(over.len() as u64, Ordering::Relaxed);
                    catch(move || drop(over));
                    state = self.state();
                }
            }
        }
    }
}

impl State {
    /// Stops watching what needs no answer any more, up to the first that does.
    fn forget_over(&mut self) {
        while self.watch.front().is_some_and(|(_, ticket)| ticket.is_over()) {
            self.watch.pop_front();
        }
    }

    /// Takes jobs out of the queue that need not be done any more: their requests are memory.
    fn take_over(&mut self) -> VecDeque<Job> {
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let is_over = |job: &Job| matches!(job, Job::Answer { ticket, .. } if ticket.is_over());
        let (over, left) = jobs.partition(is_over);
        self.jobs = left;
        over
    }
}
