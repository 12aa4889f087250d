//! Which figures there are: their names, what they mean, and where they come from.
//!
//! Names are Prometheus' way: base units, `_total` for what only grows. Its invariant: of a family each series
//! is there once.

use super::super::registry;
use fleeting::app::OffloadCounters;
use fleeting::engine::{Counters, WorkerFigures};
use fleeting::store;
use serde::Serialize;
use std::fmt;

/// Figures of one name.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

/// What becomes of a figure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows, but for a restart.
    Counter,
    /// It goes up and down.
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

/// One figure.
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    /// Of things, or of bytes.
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

    /// With one figure that has no labels, if it is known.
    fn with(mut self, value: Option<Value>) -> Family {
        if let Some(value) = value {
            self.push(Vec::new(), value);
        }
        self
    }
}

/// What a worker counts under one name.
type Counted = (&'static str, &'static str, fn(&Counters) -> u64);
/// What a worker has, likewise.
type Has = (&'static str, Kind, &'static str, fn(&WorkerFigures) -> u64);
/// What a worker counts by a reason.
type Reasons = (&'static str, &'static str, fn(&Counters) -> Vec<(&'static str, u64)>);

const COUNTED: &[Counted] = &[
    ("fleeting_connections_accepted_total", "Connections accepted.", |c| c.accepted),
    ("fleeting_accept_backoffs_total", "Times accepting was put off, for want of descriptors.", |c| {
        c.accept_backoffs
    }),
    ("fleeting_requests_total", "Requests answered by a handler, and handshakes.", |c| c.requests),
    ("fleeting_early_answers_total", "Requests answered by the protocol or the router.", |c| c.early_answers),
    ("fleeting_websockets_opened_total", "WebSockets opened.", |c| c.websockets),
    ("fleeting_messages_received_total", "WebSocket messages delivered to a session.", |c| c.messages),
    ("fleeting_messages_dropped_total", "Messages not sent to a slow or closing peer.", |c| c.dropped),
    ("fleeting_publications_total", "Messages published.", |c| c.published),
    ("fleeting_publications_matched_total", "Publications times subscribers.", |c| c.matched),
    ("fleeting_publications_delivered_total", "Of those matched, taken by the system.", |c| c.delivered),
    ("fleeting_publications_conflated_total", "Of those matched, replaced by a newer one.", |c| c.conflated),
    ("fleeting_publications_lost_total", "Publications another worker's mailbox had no room for.", |c| {
        c.publications_lost
    }),
    ("fleeting_subscribers_closed_slow_total", "Subscribers closed with 1013 for being too slow.", |c| {
        c.closed_slow
    }),
    ("fleeting_handler_panics_total", "Handlers that panicked.", |c| c.panics),
    ("fleeting_timeouts_total", "Connections that a timeout ended.", |c| c.timeouts),
    ("fleeting_stale_ids_refused_total", "Messages for connections that are gone.", |c| c.stale_ids),
];

const HAS: &[Has] = &[
    ("fleeting_connections", Kind::Gauge, "Connections open.", |w| w.counters.connections),
    ("fleeting_connections_limit", Kind::Gauge, "Connections that may be open.", |w| {
        w.connections_max as u64
    }),
    ("fleeting_topics", Kind::Gauge, "Topics and filters subscribed to.", |w| w.topics as u64),
    ("fleeting_topics_limit", Kind::Gauge, "Topics and filters that there may be.", |w| w.topics_max as u64),
    (
        "fleeting_arena_high_water_bytes",
        Kind::Gauge,
        "The most that one request has taken in the arena.",
        |w| w.arena_high_water_bytes as u64,
    ),
    ("fleeting_arena_reserved_bytes", Kind::Gauge, "What the arena has reserved.", |w| {
        w.arena_reserved_bytes as u64
    }),
    ("fleeting_kept_bytes_total", Kind::Counter, "Copied out of requests with keep().", |w| w.kept_bytes),
    ("fleeting_pooled_inbox_bytes", Kind::Gauge, "Inboxes that wait for a connection.", |w| {
        w.pooled_inbox_bytes as u64
    }),
];

const REASONS: &[Reasons] = &[
    ("fleeting_requests_refused_total", "Requests refused.", |c| c.refused().collect()),
    ("fleeting_handshakes_rejected_total", "WebSocket handshakes rejected.", |c| c.rejected().collect()),
    ("fleeting_websockets_failed_total", "WebSockets failed.", |c| c.failed().collect()),
    ("fleeting_publications_dropped_total", "Of those matched, dropped.", |c| {
        vec![
            ("newest", c.dropped_newest),
            ("oldest", c.dropped_oldest),
            ("slow", c.dropped_slow),
            ("closing", c.dropped_closing),
        ]
    }),
];

/// All of them.
pub(super) fn families(
    workers: &[WorkerFigures],
    store: &store::Census,
    clients: &registry::Census,
) -> Vec<Family> {
    let mut families = Vec::with_capacity(48);
    let number = |figures: &WorkerFigures| ("worker", figures.worker.to_string());
    for (name, kind, help, of) in HAS {
        let mut family = Family::new(name, *kind, help);
        for figures in workers {
            family.push(vec![number(figures)], Value::Count(of(figures)));
        }
        families.push(family);
    }
    for (name, help, of) in COUNTED {
        let mut family = Family::new(name, Kind::Counter, help);
        for figures in workers {
            family.push(vec![number(figures)], Value::Count(of(&figures.counters)));
        }
        families.push(family);
    }
    for (name, help, of) in REASONS {
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
    let mut build = Family::new("fleeting_build_info", Kind::Gauge, "1, with the program's version.");
    build.push(vec![("version", env!("CARGO_PKG_VERSION").into())], Value::Count(1));
    families.push(build);
    families
}

fn of_store(store: &store::Census) -> impl Iterator<Item = Family> {
    let count = |value: Option<u64>| value.map(Value::Count);
    let oldest = store.oldest.map(|age| Value::Seconds(age.as_secs_f64()));
    [
        ("fleeting_store_entries", Kind::Gauge, "Entries of the store.", count(store.entries)),
        ("fleeting_store_entries_limit", Kind::Gauge, "Entries there may be.", count(store.entries_max)),
        ("fleeting_store_bytes", Kind::Gauge, "What the store's entries take.", count(store.bytes)),
        ("fleeting_store_bytes_limit", Kind::Gauge, "What they may take.", count(store.bytes_max)),
        ("fleeting_store_oldest_seconds", Kind::Gauge, "Age of the entry left alone longest.", oldest),
        ("fleeting_store_expired_total", Kind::Counter, "Entries whose life was over.", count(store.expired)),
        (
            "fleeting_store_refused_total",
            Kind::Counter,
            "Operations refused: it was full.",
            count(store.refused),
        ),
    ]
    .into_iter()
    .map(|(name, kind, help, value)| Family::new(name, kind, help).with(value))
}

/// Of the threads that ask a store which waits.
pub(super) fn of_offload(offload: &OffloadCounters) -> impl Iterator<Item = Family> + use<> {
    let &OffloadCounters { queued, ran, skipped, refused_full, timed_out, panicked, .. } = offload;
    [
        ("fleeting_offload_queued", Kind::Gauge, "Jobs that wait for a thread.", queued),
        ("fleeting_offload_done_total", Kind::Counter, "Jobs done.", ran),
        ("fleeting_offload_skipped_total", Kind::Counter, "Jobs nobody waited for any more.", skipped),
        ("fleeting_offload_refused_total", Kind::Counter, "Jobs there was no room for.", refused_full),
        ("fleeting_offload_timeouts_total", Kind::Counter, "Requests answered 503 by the limit.", timed_out),
        ("fleeting_offload_panics_total", Kind::Counter, "Jobs that panicked.", panicked),
    ]
    .into_iter()
    .map(|(name, kind, help, value)| Family::new(name, kind, help).with(Some(Value::Count(value))))
}

fn of_clients(clients: &registry::Census) -> impl Iterator<Item = Family> {
    let seen = clients.seen;
    [
        (
            "fleeting_clients",
            "Records of clients, when they were last counted.",
            seen.map(|seen| seen.records),
        ),
        ("fleeting_clients_orphaned", "Of these, without a live connection.", seen.map(|seen| seen.orphaned)),
        ("fleeting_clients_connected", "Connections tied to a record here.", Some(clients.connected)),
    ]
    .into_iter()
    .map(|(name, help, value)| Family::new(name, Kind::Gauge, help).with(value.map(Value::Count)))
}
