//! The program `fleeting`: a small real-time hub on top of the library. `fleeting --help` describes it.
//!
//! It uses only public items of the library and the store. Invariant: a mistake at start-up is one line on
//! standard error, never a panic, and the exit status says whose mistake it is ([`failure`]).

mod failure;
mod hub;
mod lesson;
mod maintenance;
mod metrics;
mod page;
mod registry;
mod request;
mod routes;
mod serve;
mod settings;
mod store;

use failure::Failure;
use settings::{Asked, asked};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Does what the command line asks for.
fn run() -> Result<(), Failure> {
    match asked(std::env::args_os())? {
        Asked::Serve(flags) => serve::serve(settings::gather(&flags, std::env::vars_os())?),
        Asked::Lesson(wanted) => lesson::tell(&wanted.mode, wanted.explain),
        Asked::Told => Ok(()),
    }
}
