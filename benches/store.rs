//! Measures the in-memory store: the time of each operation, and the memory that stays resident after a million records.
//!
//!     cargo bench -p fleeting-store --bench store [-- RECORDS [THREADS]]
//!
//! Records are stored with a time to live, read, and expire. When none is left, the resident memory must be within
//! 10 % of what it was before; otherwise the bench fails. Each round begins where the previous one ended.

use fleeting::Arena;
use fleeting_store::{Memory, Store, StoreLimits};
use std::hint::black_box;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const TTL_MS: u64 = 500;
/// The most entries that one call of `expire` removes, as in a server.
const EXPIRE_MAX: usize = 1000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let records = arguments.next().unwrap_or(1_000_000);
    let threads = arguments.next().unwrap_or(2).max(1);
    let store = Memory::new(StoreLimits { entries: records, bytes: 1 << 30, ..StoreLimits::default() });
    // Do all one-time setup first, such as the allocator's arena for each thread.
    for _ in 0..2 {
        churn(&store, 1000, threads, &mut 0);
    }
    println!("{records} records, {threads} threads, at least {TTL_MS} ms to live");
    println!("round  base KiB  peak KiB  after KiB  entries  bytes     set ns    get ns  expire ns");
    let base = resident_kib();
    let mut worst = base;
    for round in 1..=ROUNDS {
        let mut peak = 0;
        let [set, get, expire] = churn(&store, records, threads, &mut peak);
        let (after, stats) = (resident_kib(), store.stats());
        let (entries, bytes) = (stats.entries.unwrap_or(0), stats.bytes.unwrap_or(0));
        println!(
            "{round:5}  {base:8}  {peak:8}  {after:9}  {entries:7}  {bytes:5}  {set:9.0} {get:9.0}  {expire:9.0}"
        );
        assert_eq!((entries, bytes), (0, 0));
        worst = worst.max(after);
    }
    if worst * 10 <= base * 11 {
        println!("passed: {worst} KiB, within 10 % of {base} KiB");
        return ExitCode::SUCCESS;
    }
    println!("FAILED: {worst} KiB, more than 10 % above {base} KiB");
    ExitCode::FAILURE
}

/// Stores records, reads them, and lets them expire. Returns the nanoseconds of each operation.
fn churn(store: &Memory, records: usize, threads: usize, peak: &mut usize) -> [f64; 3] {
    let share = records / threads;
    let each = |work: &(dyn Fn(usize, &mut Arena) + Sync)| {
        let begin = Instant::now();
        thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    let mut arena = Arena::new(4096);
                    for number in thread * share..(thread + 1) * share {
                        work(number, &mut arena);
                        arena.reset();
                    }
                });
            }
        });
        begin.elapsed().as_nanos() as f64 / share as f64
    };
    let set = each(&|number, arena| {
        let key = arena.format(format_args!("record:{number}"));
        let value = &[b'v'; 200][..number % 200];
        store
            .set(key, value, Some(Duration::from_millis(TTL_MS + number as u64 % 500)))
            .expect("the store has room for all records");
    });
    *peak = resident_kib();
    let get = each(&|number, arena| {
        let key = arena.format(format_args!("record:{number}"));
        black_box(store.get(key, arena).expect("the store works"));
    });
    let (mut spent, mut expired) = (Duration::ZERO, 0);
    while store.stats().entries != Some(0) {
        let begin = Instant::now();
        let count = store.expire(EXPIRE_MAX);
        if count > 0 {
            spent += begin.elapsed();
            expired += count;
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
    [set, get, spent.as_nanos() as f64 / expired.max(1) as f64]
}

/// Returns the resident memory of this process (proc(5), smaps_rollup; statm is inexact).
fn resident_kib() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux provides smaps_rollup");
    let rss =
        rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("smaps_rollup has an Rss line");
    rss.trim().trim_end_matches(" kB").parse().expect("Rss is a number of kB")
}
