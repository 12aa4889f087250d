//! A thread that looks after what nobody asks for: entries whose life is over, leases, bounds that are near.
//!
//! It serves nobody and may wait. Its invariant: it ends when what was started with it ends.

use super::super::registry::Registry;
use super::super::say;
use super::watch::Watch;
use fleeting::Handle;
use fleeting::engine::WorkerFigures;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);
/// Entries taken out at once: others want their turn at the store.
const EXPIRED_MAX: usize = 10_000;
/// How often it counts the records, if that takes little of its time; else one part of it in so many.
const COUNTING: Duration = Duration::from_secs(1);
const COUNTING_SHARE: u32 = 50;

/// The thread; dropping it ends it.
#[derive(Debug)]
pub(in super::super) struct Upkeep {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(in super::super) fn start(handle: Handle, registry: Arc<Registry>) -> io::Result<Upkeep> {
        let (stop, stopped) = mpsc::channel();
        let work = move || Work::new(handle, registry).run(&stopped);
        let thread = thread::Builder::new().name("fleeting-upkeep".into()).spawn(work)?;
        Ok(Upkeep { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // That it has panicked was said.
            let _ = thread.join();
        }
    }
}

struct Work {
    handle: Handle,
    registry: Arc<Registry>,
    watch: Watch,
    /// When leases are to be renewed, and the records counted.
    renew_at: Instant,
    count_at: Instant,
}

impl Work {
    fn new(handle: Handle, registry: Arc<Registry>) -> Work {
        let now = Instant::now();
        Work { handle, registry, watch: Watch::default(), renew_at: now, count_at: now }
    }

    fn run(mut self, stopped: &Receiver<()>) {
        let period = PERIOD.min(self.registry.renewal());
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
            let store = self.registry.store();
            while store.expire(EXPIRED_MAX) == EXPIRED_MAX {}
            if self.renew_at <= Instant::now() {
                self.renew_at = Instant::now() + self.registry.renewal();
                self.registry.renew();
            }
            if self.count_at <= Instant::now() {
                let begun = Instant::now();
                self.registry.count();
                self.count_at = Instant::now() + (begun.elapsed() * COUNTING_SHARE).max(COUNTING);
            }
            self.look();
        }
    }

    /// Says what is near its bound.
    fn look(&mut self) {
        let (sender, told) = mpsc::channel();
        self.handle.figures(move |workers| {
            let _ = sender.send(workers);
        });
        // A worker may be busy for longer: then it is looked at next time.
        let workers: Vec<WorkerFigures> = told.recv_timeout(PERIOD).unwrap_or_default();
        for worker in &workers {
            let at = worker.worker;
            let connections = worker.counters.connections;
            self.warn(&format!("connections of worker {at}"), connections, worker.connections_max as u64);
            self.warn(&format!("topics of worker {at}"), worker.topics as u64, worker.topics_max as u64);
        }
        let store = self.registry.store().census();
        for (what, used, max) in [
            ("entries of the store", store.entries, store.entries_max),
            ("bytes of the store", store.bytes, store.bytes_max),
        ] {
            if let (Some(used), Some(max)) = (used, max) {
                self.warn(what, used, max);
            }
        }
    }

    fn warn(&mut self, what: &str, used: u64, max: u64) {
        if let Some(sentence) = self.watch.look(what, used, max) {
            say(&sentence);
        }
    }
}
