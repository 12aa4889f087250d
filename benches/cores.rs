//! Times the cases: the protocol cores alone, and whole turns of the engine, without a socket.
//!
//! `cargo bench -p fleeting --bench cores [-- FILTER]`. Use it to compare two commits on one machine; `benches/run`
//! measures the server as a whole.

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
        let (room, name) = case.name.split_once('/').expect("a case name is `room/case`");
        let mut turn = (case.start)();
        let mut group = criterion.benchmark_group(room);
        group.throughput(Throughput::Elements(case.units));
        group.bench_function(name, |b| b.iter(&mut turn));
        group.finish();
    }
    criterion.final_summary();
}
