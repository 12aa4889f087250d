//! Runs one of the cases, so that `benches/instructions` can count what it executes, or time it.

use std::process::ExitCode;
use std::time::Instant;

mod cases;

const WARM_UP: u64 = 64;
const TURNS: u64 = 256;

/// A case is timed this often, for this many units at least. A window of HTTP/2 lasts for all of them.
const ROUNDS: u32 = 50;
const UNITS: u64 = 8_000;

/// The function that is counted. `benches/instructions` finds it by this name.
#[inline(never)]
fn counted_turns(turn: &mut cases::Turn) {
    for _ in 0..TURNS {
        turn();
    }
}

/// Returns how many nanoseconds a unit takes in the fastest round: the others were disturbed.
fn time(turn: &mut cases::Turn, units: u64) -> f64 {
    let turns = UNITS.div_ceil(units);
    let round = |_| {
        let begin = Instant::now();
        (0..turns).for_each(|_| turn());
        begin.elapsed().as_nanos() as f64 / (turns * units) as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// Without a case name, prints all cases and the number of units counted for each. With `--time` before the name, prints how
/// long a unit takes.
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let is_timed = arguments.next_if_eq("--time").is_some();
    let Some(name) = arguments.next() else {
        for case in cases::all() {
            println!("{},{}", case.name, case.units * TURNS);
        }
        return ExitCode::SUCCESS;
    };
    let Some(case) = cases::all().into_iter().find(|case| case.name == name) else {
        eprintln!("instructions: unknown case {name}");
        return ExitCode::from(2);
    };
    let mut turn = (case.start)();
    for _ in 0..WARM_UP {
        turn();
    }
    if is_timed {
        println!("{:.1}", time(&mut turn, case.units));
    } else {
        counted_turns(&mut turn);
    }
    ExitCode::SUCCESS
}
