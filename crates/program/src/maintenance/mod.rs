//! A thread that removes expired entries, renews leases, counts records, looks after the files of the certificates, and warns
//! before a limit is reached.
//!
//! It serves no request, so it may block. Its invariant: when its [`Background`] is dropped, the thread ends after the
//! operation of the store that is under way.

mod warnings;

use crate::background::Background;
use crate::certificates::Certificates;
use crate::log;
use crate::registry::Registry;
use fleeting::Handle;
use fleeting::engine::WorkerFigures;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use warnings::CapacityWarnings;

/// How often the thread wakes up.
const PERIOD: Duration = Duration::from_millis(250);
/// Entries removed at a time, so that requests get their turn at the store.
const EXPIRED_MAX: usize = 10_000;
/// How often the records are counted: less often if counting is slow, so that it takes at most one part in
/// [`COUNTING_SHARE`] of the thread's time.
const COUNTING: Duration = Duration::from_secs(1);
const COUNTING_SHARE: u32 = 50;
/// How long one count may take. The leases are not renewed meanwhile, so it is never longer than a renewal's period.
const COUNTING_MAX: Duration = Duration::from_secs(60);
/// How often the files of the certificates are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the thread.
pub(crate) fn start(
    handle: Handle,
    registry: Arc<Registry>,
    certificates: Option<Arc<Certificates>>,
) -> io::Result<Background> {
    Background::start("fleeting-maint", |stopped| Work::new(handle, registry, certificates).run(stopped))
}

struct Work {
    handle: Handle,
    registry: Arc<Registry>,
    certificates: Option<Arc<Certificates>>,
    warnings: CapacityWarnings,
    /// When to renew the leases.
    renew_at: Instant,
    /// When to count the records.
    count_at: Instant,
    /// When to look at the files of the certificates.
    look_at: Instant,
}

impl Work {
    fn new(handle: Handle, registry: Arc<Registry>, certificates: Option<Arc<Certificates>>) -> Work {
        let (now, warnings) = (Instant::now(), CapacityWarnings::default());
        Work { handle, registry, certificates, warnings, renew_at: now, count_at: now, look_at: now }
    }

    fn run(mut self, stopped: &Receiver<()>) {
        let renewal = self.registry.renewal();
        let period = PERIOD.min(renewal);
        let goes_on = || matches!(stopped.try_recv(), Err(TryRecvError::Empty));
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
            let store = self.registry.store();
            while store.expire(EXPIRED_MAX) == EXPIRED_MAX && goes_on() {}
            if self.renew_at <= Instant::now() {
                self.renew_at = Instant::now() + renewal;
                self.registry.renew(goes_on);
            }
            if self.count_at <= Instant::now() {
                let started = Instant::now();
                let until = started + COUNTING_MAX.min(renewal);
                self.registry.count(|| goes_on() && Instant::now() < until);
                self.count_at = Instant::now() + (started.elapsed() * COUNTING_SHARE).max(COUNTING);
            }
            self.check_capacities();
            self.look_at_certificates();
        }
    }

    fn look_at_certificates(&mut self) {
        let Some(certificates) = self.certificates.as_ref().filter(|_| self.look_at <= Instant::now()) else {
            return;
        };
        self.look_at = Instant::now() + LOOK;
        if let Some(report) = certificates.look() {
            log::line(&log::one_line(&report));
        }
    }

    /// Warns about each capacity that is nearly used up.
    fn check_capacities(&mut self) {
        let (sender, figures) = mpsc::channel();
        self.handle.figures(move |workers| {
            let _ = sender.send(workers);
        });
        // If a worker is busy for longer, the check waits for the next period.
        let workers: Vec<WorkerFigures> = figures.recv_timeout(PERIOD).unwrap_or_default();
        for worker in &workers {
            let number = worker.worker;
            let connections = worker.counters.connections;
            self.warn(&format!("connections of worker {number}"), connections, worker.connections_max as u64);
            self.warn(&format!("topics of worker {number}"), worker.topics as u64, worker.topics_max as u64);
        }
        let store = self.registry.store().stats();
        for (capacity, used, max) in [
            ("entries of the store", store.entries, store.entries_max),
            ("bytes of the store", store.bytes, store.bytes_max),
        ] {
            if let (Some(used), Some(max)) = (used, max) {
                self.warn(capacity, used, max);
            }
        }
    }

    fn warn(&mut self, capacity: &str, used: u64, max: u64) {
        if let Some(sentence) = self.warnings.check(capacity, used, max) {
            log::line(&sentence);
        }
    }
}
