//! The program `fleeting`: a server to try, to measure and to test. `fleeting --help` says how.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
