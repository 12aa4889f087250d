//! The options and the counters of an [`Offload`](super::Offload): plain numbers.

use std::time::Duration;

/// The size and the time limit of an [`Offload`](super::Offload).
///
/// ```
/// use fleeting::OffloadOptions;
/// use std::time::Duration;
///
/// let mut options = OffloadOptions::default();
/// options.threads = 8;
/// options.time_limit = Duration::from_secs(10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffloadOptions {
    /// Number of threads; 0 counts as 1.
    pub threads: usize,
    /// Number of jobs that may wait for a thread. A request beyond that is answered with 503 at once.
    pub queue: usize,
    /// Time from queueing a request to its answer. A request that takes longer is answered with 503. More than a year of
    /// 366 days counts as a year.
    pub time_limit: Duration,
}

impl Default for OffloadOptions {
    /// 4 threads, 1024 jobs, 250 ms.
    fn default() -> OffloadOptions {
        OffloadOptions { threads: 4, queue: 1024, time_limit: Duration::from_millis(250) }
    }
}

/// The counters of an [`Offload`](super::Offload) since it was made.
/// [`Offload::counters`](super::Offload::counters) returns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OffloadCounters {
    /// Jobs that wait for a thread now.
    pub queued: u64,
    /// Jobs that a thread has finished, including those that panicked.
    pub ran: u64,
    /// Jobs that were never started, because their client had left or was answered already.
    pub skipped: u64,
    /// Jobs refused because the queue was full.
    pub refused_full: u64,
    /// Requests answered with 503 because the time limit had passed.
    pub timed_out: u64,
    /// Jobs that panicked.
    pub panicked: u64,
}
