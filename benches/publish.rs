//! Times publishing from the thread that runs a worker: straight into the worker, and through its mailbox.
//!
//! `cargo bench -p fleeting --bench publish [-- FILTER]`. The subscriber is a listener, so no socket is written to: the
//! figures are those of publishing itself, and of the turn around it. A turn includes a system call, its poll. The cases
//! named "queue" time the calls alone: what they have queued is delivered while the clock stands.

use criterion::{Criterion, Throughput};
use fleeting::{App, Message, Server, Subscription, Worker};
use std::hint::black_box;
use std::time::{Duration, Instant};

const TOPIC: &str = "prices.eur";
const TICK: Message<'static> = Message::Binary(&[7; 64]);
/// Publications of one turn, where a loop gathers them.
const GATHERED: u64 = 16;

/// Publications that are queued before the clock stands. They have fewer bytes than a worker delivers by itself.
const QUEUED: u64 = 1000;

/// A worker on this thread, and the listener that takes what is published.
struct Loop {
    worker: Worker,
    _subscriptions: [Subscription; 2],
}

impl Loop {
    fn new() -> Loop {
        let mut worker = Server::builder().bind("127.0.0.1:0").worker(|_| App::new()).expect("it starts");
        let subscriptions = ["prices.*", "exact"].map(|filter| {
            let take = |_: &str, message: Message<'_>| !black_box(message).bytes().is_empty();
            worker.handle().subscribe(filter, take).expect("the filter is valid")
        });
        worker.turn(Some(Duration::ZERO)).expect("polling works");
        Loop { worker, _subscriptions: subscriptions }
    }

    fn publish(&mut self) {
        self.worker.publish(black_box(TOPIC), black_box(TICK)).expect("it is valid");
    }

    /// Publishes `count` times under `topic`. Returns how long the calls took.
    fn queue(&mut self, topic: &str, count: u64) -> Duration {
        let mut taken = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            let now = left.min(QUEUED);
            let begun = Instant::now();
            for _ in 0..now {
                self.worker.publish(black_box(topic), black_box(TICK)).expect("it is valid");
            }
            taken += begun.elapsed();
            self.worker.flush();
            left -= now;
        }
        taken
    }

    fn turn(&mut self) {
        self.worker.turn(Some(Duration::ZERO)).expect("polling works");
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(60)
        .without_plots()
        .configure_from_args();
    let mut group = criterion.benchmark_group("publish");
    let mut own = Loop::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("a turn alone", |b| b.iter(|| own.turn()));
    for (name, topic) in [
        ("queue for no subscriber", "news"),
        ("queue for one subscriber of a prefix", TOPIC),
        ("queue for one subscriber of the topic", "exact"),
    ] {
        group.bench_function(name, |b| b.iter_custom(|count| own.queue(topic, count)));
    }
    group.bench_function("Worker::publish", |b| b.iter(|| own.publish()));
    group.bench_function("Worker::publish and flush", |b| {
        b.iter(|| {
            own.publish();
            own.worker.flush();
        });
    });
    group.bench_function("Worker::publish and a turn", |b| {
        b.iter(|| {
            own.publish();
            own.turn();
        });
    });
    let handle = own.worker.handle();
    group.bench_function("Handle::publish and a turn", |b| {
        b.iter(|| {
            handle.publish(black_box(TOPIC), black_box(TICK)).expect("there is room");
            own.turn();
        });
    });
    group.throughput(Throughput::Elements(GATHERED));
    group.bench_function("Worker::publish 16 times and a turn", |b| {
        b.iter(|| {
            (0..GATHERED).for_each(|_| own.publish());
            own.turn();
        });
    });
    group.bench_function("Handle::publish 16 times and a turn", |b| {
        b.iter(|| {
            for _ in 0..GATHERED {
                handle.publish(black_box(TOPIC), black_box(TICK)).expect("there is room");
            }
            own.turn();
        });
    });
    group.finish();
    criterion.final_summary();
}
