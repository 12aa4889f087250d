//! Runs one of the cases, so that `benches/instructions` can count what it executes.

use std::process::ExitCode;

mod cases;

const WARM_UP: u64 = 64;
const TURNS: u64 = 256;

/// The function that is counted. `benches/instructions` finds it by this name.
#[inline(never)]
fn counted_turns(turn: &mut cases::Turn) {
    for _ in 0..TURNS {
        turn();
    }
}

/// Without a case name, prints all cases and the number of units counted for each.
fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
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
    counted_turns(&mut turn);
    ExitCode::SUCCESS
}
