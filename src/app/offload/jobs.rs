//! The queue of jobs, the threads that take from it, and the watchdog.
//!
//! It knows no connection, only a [`Responder`] and a copy of the request. Its invariants: every request gets
//! one answer within the time limit, whatever happens to its job; and a worker that queues a job waits only
//! for a lock that is never held for long.
//!
//! There are two kinds of lock: one for [`State`], and one for each [`SharedResponder`].
//!
//! - A responder's lock guards the right to answer. The thread that takes the responder out answers, after
//!   it has released the lock; a later thread finds nothing. So a job and the watchdog never both answer, and
//!   no lock is held while an answer travels to its connection, or while the application's code runs.
//! - A responder's lock may be taken while the state's lock is held, to check whether it is settled; never
//!   the other way round.
//! - `JobQueue::queued` is raised before a job enters the queue, so that a full queue refuses a request
//!   before anything is copied, and lowered after the job has left. It is never less than the queue's length,
//!   so the queue never exceeds its bound.
//! - `State::closing` is set under the lock under which jobs are queued. A thread that finds the queue
//!   closing and empty can therefore end: no job follows. The caller that tried to queue a refused job
//!   answers it.
//! - The counters are `Relaxed`, because no other memory depends on their order. `queued` is `Relaxed` too:
//!   the atomic update checks the bound, and the jobs themselves are handed over under the lock.

use super::options::{OffloadCounters, OffloadOptions};
use crate::app::{Answer, Error, Handler, KeptRequest, Responder, Response};
use crate::arena::Arena;
use crate::panics::catch;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The error of a job that an [`Offload`](super::Offload) does not take: its queue is full, or it is shutting
/// down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full or shutting down")
    }
}

impl std::error::Error for Full {}

/// 503 with Retry-After (RFC 9110 §15.6.4).
impl From<Full> for Error {
    fn from(_full: Full) -> Error {
        Error::unavailable("Too many requests are waiting.").header("retry-after", "1")
    }
}

/// What the threads, the watchdog and the handlers share.
pub(super) struct JobQueue {
    state: Mutex<State>,
    /// Signalled when a job is queued, or the queue closes.
    job_added: Condvar,
    /// Signalled when the watchdog gets its first deadline, or the queue closes.
    watch_changed: Condvar,
    /// Signalled when a thread has ended.
    thread_ended: Condvar,
    pub(super) options: OffloadOptions,
    /// Reserved places; at least the queue's length.
    queued: AtomicUsize,
    ran: AtomicU64,
    skipped: AtomicU64,
    refused_full: AtomicU64,
    timed_out: AtomicU64,
    panicked: AtomicU64,
}

struct State {
    jobs: VecDeque<Job>,
    /// Deadlines and responders of requests, the next deadline first. Some may be settled already.
    watched: VecDeque<(Instant, Arc<SharedResponder>)>,
    /// Threads that have not ended.
    threads: usize,
    closing: bool,
}

pub(super) enum Job {
    Answer { request: KeptRequest, handler: Arc<dyn Handler + Send + Sync>, responder: Arc<SharedResponder> },
    Work(Box<dyn FnOnce() + Send>),
}

/// The right to answer a request, which a job and the watchdog compete for.
pub(super) struct SharedResponder {
    responder: Mutex<Option<Responder>>,
}

impl SharedResponder {
    pub(super) fn new(responder: Responder) -> SharedResponder {
        SharedResponder { responder: Mutex::new(Some(responder)) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Responder>> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answer is pointless: one was given, or nothing waits for it.
    fn is_settled(&self) -> bool {
        self.lock().as_ref().is_none_or(Responder::is_gone)
    }

    /// Answers, unless an answer was given before. Returns whether the answer reached the connection.
    fn answer(&self, answer: impl Into<Answer>) -> bool {
        let responder = self.lock().take();
        responder.is_some_and(|responder| responder.send(answer).is_ok())
    }
}

/// Bytes that a thread's arena keeps between jobs.
const ARENA_BYTES: usize = 64 << 10;
/// When a refused client should try again, in seconds (RFC 9110 §10.2.3).
const RETRY_AFTER: &str = "1";

/// 503 with Retry-After (RFC 9110 §15.6.4).
pub(super) fn unavailable(message: &'static str) -> Error {
    Error::unavailable(message).header("retry-after", RETRY_AFTER)
}

/// A reserved place in the queue. Dropping it frees the place, unless a job has taken it.
pub(super) struct Reservation<'q>(&'q JobQueue);

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a thread for as long as it runs.
pub(super) struct RunningThread(Arc<JobQueue>);

impl RunningThread {
    pub(super) fn new(queue: Arc<JobQueue>) -> RunningThread {
        queue.state().threads += 1;
        RunningThread(queue)
    }

    /// Runs jobs until the queue is closing and empty.
    pub(super) fn work(&self) {
        let mut arena = Arena::new(ARENA_BYTES);
        while let Some(job) = self.0.next() {
            self.0.run(job, &arena);
            arena.reset();
        }
    }
}

impl Drop for RunningThread {
    fn drop(&mut self) {
        self.0.state().threads -= 1;
        self.0.thread_ended.notify_all();
    }
}

impl JobQueue {
    pub(super) fn new(options: OffloadOptions) -> JobQueue {
        let state = State { jobs: VecDeque::new(), watched: VecDeque::new(), threads: 0, closing: false };
        JobQueue {
            state: Mutex::new(state),
            job_added: Condvar::new(),
            watch_changed: Condvar::new(),
            thread_ended: Condvar::new(),
            options,
            queued: AtomicUsize::new(0),
            ran: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> OffloadCounters {
        let JobQueue { queued, ran, skipped, refused_full, timed_out, panicked, .. } = self;
        let [ran, skipped, refused_full, timed_out, panicked] =
            [ran, skipped, refused_full, timed_out, panicked].map(|count| count.load(Ordering::Relaxed));
        let queued = queued.load(Ordering::Relaxed) as u64;
        OffloadCounters { queued, ran, skipped, refused_full, timed_out, panicked }
    }

    /// Reserves a place in the queue.
    pub(super) fn reserve(&self) -> Result<Reservation<'_>, Full> {
        let more = |queued: usize| (queued < self.options.queue).then_some(queued + 1);
        match self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Reservation(self)),
            Err(_) => {
                self.refused_full.fetch_add(1, Ordering::Relaxed);
                Err(Full)
            }
        }
    }

    /// Queues a job in its reserved place, and has the watchdog watch its responder.
    pub(super) fn queue(
        &self,
        reservation: Reservation<'_>,
        job: Job,
        responder: Option<Arc<SharedResponder>>,
    ) -> Result<(), Full> {
        let mut state = self.state();
        if state.closing {
            // The job is dropped after the state is unlocked: dropping it runs the application's code.
            drop(state);
            return Err(Full);
        }
        state.jobs.push_back(job);
        // The job keeps the place until a thread takes the job.
        std::mem::forget(reservation);
        self.job_added.notify_one();
        if let Some(responder) = responder {
            // Read under the lock, so that the deadlines are in order.
            let deadline = Instant::now() + self.options.time_limit;
            state.unwatch_settled();
            if state.watched.is_empty() {
                self.watch_changed.notify_one();
            }
            state.watched.push_back((deadline, responder));
        }
        Ok(())
    }

    /// Waits for the next job. Returns `None` once the queue is closing and empty.
    fn next(&self) -> Option<Job> {
        let waited = self.job_added.wait_while(self.state(), |state| state.jobs.is_empty() && !state.closing);
        let job = waited.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()?;
        self.queued.fetch_sub(1, Ordering::Relaxed);
        Some(job)
    }

    fn run(&self, job: Job, arena: &Arena) {
        let mut count = &self.ran;
        let done = match job {
            Job::Answer { request, handler, responder } if responder.is_settled() => {
                count = &self.skipped;
                catch(move || drop((request, handler)))
            }
            Job::Answer { request, handler, responder } => {
                let answers = responder.clone();
                let done = catch(move || {
                    answers.answer(handler.call(&request.request(arena)).map(Response::keep));
                });
                if done.is_none() {
                    responder.answer(Error::internal("The handler failed."));
                }
                done
            }
            Job::Work(work) => catch(work),
        };
        self.panicked.fetch_add(u64::from(done.is_none()), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The watchdog's loop: answers requests whose deadline has passed, until the queue is closing and nothing
    /// is watched any more.
    pub(super) fn watch(&self) {
        let mut state = self.state();
        loop {
            state.unwatch_settled();
            let now = Instant::now();
            match state.watched.front().map(|(deadline, _)| *deadline) {
                None if state.closing => return,
                None => state = self.watch_changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) if deadline > now => {
                    let waited = self.watch_changed.wait_timeout(state, deadline - now);
                    (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                }
                Some(_) => {
                    let overdue = state.watched.partition_point(|(deadline, _)| *deadline <= now);
                    let overdue: Vec<_> = state.watched.drain(..overdue).collect();
                    drop(state);
                    for (_, responder) in overdue {
                        let reached = responder.answer(unavailable("The request took too long. Try again."));
                        self.timed_out.fetch_add(u64::from(reached), Ordering::Relaxed);
                    }
                    state = self.state();
                    let settled = state.take_settled();
                    drop(state);
                    self.queued.fetch_sub(settled.len(), Ordering::Relaxed);
                    self.skipped.fetch_add(settled.len() as u64, Ordering::Relaxed);
                    catch(move || drop(settled));
                    state = self.state();
                }
            }
        }
    }

    /// Closes the queue: no job is queued from now on.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.job_added.notify_all();
        self.watch_changed.notify_all();
    }

    /// Waits for the threads of a closed queue, at most as long as the time limit, then answers the remaining jobs with
    /// 503.
    pub(super) fn finish(&self) {
        let state = self.state();
        let limit = self.options.time_limit;
        let waited = self.thread_ended.wait_timeout_while(state, limit, |state| state.threads > 0);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let jobs = std::mem::take(&mut state.jobs);
        self.queued.fetch_sub(jobs.len(), Ordering::Relaxed);
        drop(state);
        for job in jobs {
            if let Job::Answer { responder, .. } = &job {
                responder.answer(unavailable("The server is shutting down."));
            }
            catch(move || drop(job));
        }
        self.watch_changed.notify_all();
    }
}

impl State {
    /// Stops watching the settled responders at the front of the list.
    fn unwatch_settled(&mut self) {
        while self.watched.front().is_some_and(|(_, responder)| responder.is_settled()) {
            self.watched.pop_front();
        }
    }

    /// Removes the jobs whose request is settled from the queue, so that the memory of their requests can be
    /// freed.
    fn take_settled(&mut self) -> VecDeque<Job> {
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let is_settled = |job: &Job| matches!(job, Job::Answer { responder, .. } if responder.is_settled());
        let (settled, left) = jobs.partition(is_settled);
        self.jobs = left;
        settled
    }
}
