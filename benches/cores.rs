//! Times the cases: the cores alone, and a request's way through the engine, without a socket.
//!
//! `cargo bench --bench cores [-- FILTER]`. It is for comparing two commits on one machine; what a server
//! is worth is measured by `benches/run`.

use criterion::{Criterion, Throughput};
use std::time::Duration;

mod cases;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(40)
        .without_plots()
        .configure_from_args();
    for case in cases::all() {
        let (room, what) = case.name.split_once('/').expect("a name has two parts");
        let mut turn = (case.start)();
        let mut group = criterion.benchmark_group(room);
        group.throughput(Throughput::Elements(case.units));
        group.bench_function(what, |b| b.iter(&mut turn));
        group.finish();
    }
    criterion.final_summary();
}
