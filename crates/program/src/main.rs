//! The program `fleeting`: a small real-time hub on top of the library. `fleeting --help` describes it.
//!
//! It uses only public items of the library and the store. Its invariant: a mistake at start-up is one line on
//! standard error, never a panic, and the exit status says whether the user or the system is at fault
//! ([`failure`]).

mod background;
mod certificates;
mod failure;
mod greeting;
mod hub;
mod lesson;
mod listing;
mod log;
mod maintenance;
mod metrics;
mod page;
mod redirect;
mod registry;
mod request;
mod routes;
mod serve;
mod settings;
mod signals;
mod store;
mod supervisor;
mod watchdog;

use failure::Failure;
use settings::{Invocation, parse_command_line};
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(log::panic));
    let status = match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    };
    log::flush();
    status
}

/// Runs the command that the command line names.
fn run() -> Result<(), Failure> {
    match parse_command_line(std::env::args_os())? {
        Invocation::Serve(flags) => serve::serve(move || settings::gather(&flags, std::env::vars_os())),
        Invocation::Lesson(lesson) => lesson::run(&lesson.mode, lesson.explain),
        Invocation::Cert(names) => {
            log::output(certificates::make(names)?);
            Ok(())
        }
        Invocation::Print(text) => {
            log::output(text);
            Ok(())
        }
    }
}
