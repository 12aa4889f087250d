//! The metrics: their names, their help lines, and where their values come from.
//!
//! It knows no output format. Names follow Prometheus: base units, and `_total` for counters. Its invariant: a family
//! has each series once.

use crate::registry;
use fleeting::OffloadCounters;
use fleeting::engine::{Counters, WorkerFigures};
use fleeting_store::RedisBroker;
use serde::Serialize;
use std::fmt;

/// The samples of one metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Only grows, and starts at zero again when the program does.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        })
    }
}

/// One value, with its labels.
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    /// A number of things, or of bytes.
    Count(u64),
    Seconds(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => fmt::Display::fmt(count, f),
            Value::Seconds(seconds) => fmt::Display::fmt(seconds, f),
        }
    }
}

impl Family {
    pub(super) fn new(name: &'static str, kind: Kind, help: &'static str) -> Family {
        Family { name, kind, help, samples: Vec::new() }
    }

    pub(super) fn push(&mut self, labels: Vec<(&'static str, String)>, value: Value) {
        self.samples.push(Sample { labels, value });
    }

    /// Adds a sample without labels, if the value is known.
    fn with(mut self, value: Option<Value>) -> Family {
        if let Some(value) = value {
            self.push(Vec::new(), value);
        }
        self
    }
}

/// A counter of each worker: name, help, value.
type CounterFamily = (&'static str, &'static str, fn(&Counters) -> u64);
/// Another value of each worker: name, type, help, value.
type WorkerFamily = (&'static str, Kind, &'static str, fn(&WorkerFigures) -> u64);
/// A counter of each worker by reason: name, help, values.
type ReasonFamily = (&'static str, &'static str, fn(&Counters) -> Vec<(&'static str, u64)>);

const COUNTERS: &[CounterFamily] = &[
    ("fleeting_connections_accepted_total", "Connections accepted.", |c| c.accepted),
    (
        "fleeting_accept_backoffs_total",
        "Pauses in accepting because descriptors or other resources ran out.",
        |c| c.accept_backoffs,
    ),
    ("fleeting_connections_evicted_total", "Connections closed to make room for new ones.", |c| c.evicted),
    (
        "fleeting_connections_handed_over_total",
        "Connections that a worker accepted and passed to one that had fewer.",
        |c| c.handed_over,
    ),
    ("fleeting_requests_total", "Requests answered by a handler, including handshakes.", |c| c.requests),
    ("fleeting_early_answers_total", "Requests answered without a handler.", |c| c.early_answers),
    ("fleeting_websockets_opened_total", "WebSockets opened.", |c| c.websockets),
    ("fleeting_messages_received_total", "WebSocket messages received by sessions.", |c| c.messages),
    ("fleeting_messages_dropped_total", "Messages not sent because the peer was slow or closing.", |c| {
        c.dropped
    }),
    ("fleeting_publications_total", "Messages published.", |c| c.published),
    ("fleeting_publications_matched_total", "Publications, counted once per subscriber.", |c| c.matched),
    ("fleeting_publications_delivered_total", "Matched publications accepted by the kernel.", |c| {
        c.delivered
    }),
    ("fleeting_publications_conflated_total", "Matched publications replaced by a newer one.", |c| {
        c.conflated
    }),
    ("fleeting_submissions_total", "System calls that wrote to several subscribers together.", |c| {
        c.submissions
    }),
    ("fleeting_publications_lost_total", "Publications lost because a worker's mailbox was full.", |c| {
        c.publications_lost
    }),
    (
        "fleeting_subscribers_closed_slow_total",
        "Subscribers closed with 1013 because they were too slow.",
        |c| c.closed_slow,
    ),
    ("fleeting_handler_panics_total", "Panics in handlers.", |c| c.panics),
    ("fleeting_timeouts_total", "Timeouts that ended a connection or a request.", |c| c.timeouts),
    ("fleeting_stale_ids_refused_total", "Messages addressed to connections that have ended.", |c| {
        c.stale_ids
    }),
    ("fleeting_empty_polls_total", "Polls that found nothing because the worker was spinning.", |c| {
        c.empty_polls
    }),
];

const OF_WORKERS: &[WorkerFamily] = &[
    ("fleeting_connections", Kind::Gauge, "Open connections.", |w| w.counters.connections),
    ("fleeting_connections_limit", Kind::Gauge, "Limit on open connections.", |w| w.connections_max as u64),
    ("fleeting_topics", Kind::Gauge, "Topics and filters with a subscriber.", |w| w.topics as u64),
    ("fleeting_topics_limit", Kind::Gauge, "Limit on topics and filters.", |w| w.topics_max as u64),
    ("fleeting_arena_high_water_bytes", Kind::Gauge, "Most arena memory that one request has used.", |w| {
        w.arena_high_water_bytes as u64
    }),
    ("fleeting_arena_reserved_bytes", Kind::Gauge, "Memory reserved by the arena.", |w| {
        w.arena_reserved_bytes as u64
    }),
    ("fleeting_kept_bytes_total", Kind::Counter, "Bytes copied out of requests with keep().", |w| {
        w.kept_bytes
    }),
    (
        "fleeting_pooled_inbox_bytes",
        Kind::Gauge,
        "Memory of unused inboxes, kept for the next connections.",
        |w| w.pooled_inbox_bytes as u64,
    ),
    (
        "fleeting_spare_buffer_bytes",
        Kind::Gauge,
        "Memory of other buffers that is kept for the next connections, at the most so far.",
        |w| w.spare_bytes as u64,
    ),
    ("fleeting_io_uring", Kind::Gauge, "1 if publications are written through io_uring.", |w| {
        u64::from(w.uring)
    }),
    // The same for all workers: the memory is shared.
    ("fleeting_buffer_bytes", Kind::Gauge, "Memory of the buffers of all workers.", |w| {
        w.memory_bytes as u64
    }),
    ("fleeting_buffer_bytes_limit", Kind::Gauge, "Limit on the memory of the buffers of all workers.", |w| {
        w.memory_max as u64
    }),
    (
        "fleeting_buffer_memory_refused_total",
        Kind::Counter,
        "How often a buffer of any worker was refused memory.",
        |w| w.memory_refused,
    ),
];

const COUNTERS_BY_REASON: &[ReasonFamily] = &[
    ("fleeting_requests_refused_total", "Requests refused, by reason.", |c| c.refused().collect()),
    ("fleeting_handshakes_rejected_total", "WebSocket handshakes rejected, by reason.", |c| {
        c.rejected().collect()
    }),
    ("fleeting_websockets_failed_total", "WebSockets closed because of an error, by reason.", |c| {
        c.failed().collect()
    }),
    ("fleeting_turns_bounded_total", "Turns that left work to the next turn, by what was left.", |c| {
        c.bounded_turns().collect()
    }),
    ("fleeting_publications_dropped_total", "Matched publications dropped, by reason.", |c| {
        vec![
            ("newest", c.dropped_newest),
            ("oldest", c.dropped_oldest),
            ("slow", c.dropped_slow),
            ("closing", c.dropped_closing),
        ]
    }),
];

/// Returns all metrics except those of the offload threads.
pub(super) fn all(
    workers: &[WorkerFigures],
    store: &fleeting_store::StoreStats,
    clients: &registry::ClientCounts,
) -> Vec<Family> {
    let mut families = Vec::with_capacity(48);
    let number = |figures: &WorkerFigures| ("worker", figures.worker.to_string());
    for (name, kind, help, of) in OF_WORKERS {
        let mut family = Family::new(name, *kind, help);
        for figures in workers {
            family.push(vec![number(figures)], Value::Count(of(figures)));
        }
        families.push(family);
    }
    for (name, help, of) in COUNTERS {
        let mut family = Family::new(name, Kind::Counter, help);
        for figures in workers {
            family.push(vec![number(figures)], Value::Count(of(&figures.counters)));
        }
        families.push(family);
    }
    for (name, help, of) in COUNTERS_BY_REASON {
        let mut family = Family::new(name, Kind::Counter, help);
        for figures in workers {
            for (reason, count) in of(&figures.counters) {
                family.push(vec![number(figures), ("reason", reason.to_string())], Value::Count(count));
            }
        }
        families.push(family);
    }
    families.extend(of_store(store));
    families.extend(of_clients(clients));
    let mut build =
        Family::new("fleeting_build_info", Kind::Gauge, "Always 1; the label is the program's version.");
    build.push(vec![("version", env!("CARGO_PKG_VERSION").into())], Value::Count(1));
    families.push(build);
    families
}

fn of_store(store: &fleeting_store::StoreStats) -> impl Iterator<Item = Family> {
    let count = |value: Option<u64>| value.map(Value::Count);
    let oldest = store.oldest.map(|age| Value::Seconds(age.as_secs_f64()));
    [
        ("fleeting_store_entries", Kind::Gauge, "Entries in the store.", count(store.entries)),
        (
            "fleeting_store_entries_limit",
            Kind::Gauge,
            "Limit on entries in the store.",
            count(store.entries_max),
        ),
        ("fleeting_store_bytes", Kind::Gauge, "Memory used by the store's entries.", count(store.bytes)),
        (
            "fleeting_store_bytes_limit",
            Kind::Gauge,
            "Limit on the memory of the store's entries.",
            count(store.bytes_max),
        ),
        (
            "fleeting_store_oldest_seconds",
            Kind::Gauge,
            "Longest time that an entry has been neither written nor renewed.",
            oldest,
        ),
        (
            "fleeting_store_expired_total",
            Kind::Counter,
            "Entries removed because they expired.",
            count(store.expired),
        ),
        (
            "fleeting_store_refused_total",
            Kind::Counter,
            "Operations refused because the store was full.",
            count(store.refused),
        ),
    ]
    .into_iter()
    .map(|(name, kind, help, value)| Family::new(name, kind, help).with(value))
}

/// Returns the metrics of the threads that call a store that blocks.
pub(super) fn of_offload(offload: &OffloadCounters) -> impl Iterator<Item = Family> + use<> {
    let &OffloadCounters { queued, ran, skipped, refused_full, timed_out, panicked, .. } = offload;
    [
        ("fleeting_offload_queued", Kind::Gauge, "Jobs waiting for a thread.", queued),
        ("fleeting_offload_done_total", Kind::Counter, "Jobs run.", ran),
        (
            "fleeting_offload_skipped_total",
            Kind::Counter,
            "Jobs not run because their client was gone or already answered.",
            skipped,
        ),
        (
            "fleeting_offload_refused_total",
            Kind::Counter,
            "Jobs refused because the queue was full.",
            refused_full,
        ),
        (
            "fleeting_offload_timeouts_total",
            Kind::Counter,
            "Requests answered with 503 because the time limit passed.",
            timed_out,
        ),
        ("fleeting_offload_panics_total", Kind::Counter, "Jobs that panicked.", panicked),
    ]
    .into_iter()
    .map(|(name, kind, help, value)| Family::new(name, kind, help).with(Some(Value::Count(value))))
}

/// Returns the metrics of the broker that shares topics with other nodes.
pub(super) fn of_broker(broker: &RedisBroker) -> impl Iterator<Item = Family> + use<> {
    let counters = broker.counters();
    let by_reason = |name, help, counts: [(&str, u64); 2]| {
        let mut family = Family::new(name, Kind::Counter, help);
        for (reason, count) in counts {
            family.push(vec![("reason", reason.to_string())], Value::Count(count));
        }
        family
    };
    let one = |name, kind, help, value| Family::new(name, kind, help).with(Some(Value::Count(value)));
    [
        one(
            "fleeting_broker_connected",
            Kind::Gauge,
            "1 if messages are exchanged with the other nodes.",
            u64::from(broker.is_connected()),
        ),
        one(
            "fleeting_broker_sent_total",
            Kind::Counter,
            "Publications of this node that Redis accepted.",
            counters.sent,
        ),
        by_reason(
            "fleeting_broker_dropped_total",
            "Publications of this node not sent to the others, by reason.",
            [("away", counters.dropped_away), ("full", counters.dropped_full)],
        ),
        one(
            "fleeting_broker_received_total",
            Kind::Counter,
            "Publications of other nodes that arrived.",
            counters.received,
        ),
        by_reason(
            "fleeting_broker_ignored_total",
            "Messages of other nodes that were ignored, by reason.",
            [("late", counters.late), ("malformed", counters.malformed)],
        ),
        one(
            "fleeting_broker_overflowed_total",
            Kind::Counter,
            "Publications of other nodes that a worker had no room for.",
            counters.overflowed,
        ),
        one("fleeting_broker_gaps_total", Kind::Counter, "Gaps announced to subscribers.", counters.gaps),
        one(
            "fleeting_broker_failovers_total",
            Kind::Counter,
            "Times that connections were dropped because Redis was a replica, or another server than before.",
            counters.failovers,
        ),
    ]
    .into_iter()
}

fn of_clients(clients: &registry::ClientCounts) -> impl Iterator<Item = Family> {
    let scanned = clients.scanned;
    [
        ("fleeting_clients", "Client records, as of the last count.", scanned.map(|scanned| scanned.records)),
        (
            "fleeting_clients_orphaned",
            "Client records without a live connection, as of the last count.",
            scanned.map(|scanned| scanned.orphaned),
        ),
        (
            "fleeting_clients_connected",
            "Connections of this server that hold a record.",
            Some(clients.connected),
        ),
    ]
    .into_iter()
    .map(|(name, help, value)| Family::new(name, Kind::Gauge, help).with(value.map(Value::Count)))
}
