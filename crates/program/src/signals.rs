//! What the program does when the system sends it a signal.
//!
//! It knows no setting. Its invariant: a reload is done before it is reported, a shutdown is reported before it begins, and no
//! report is waited for.

use crate::failure::Failure;
use crate::log;
use crate::supervisor::Supervisor;
use fleeting::Handle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::io::IsTerminal;
use std::sync::Arc;
use std::thread;

/// The signals that are handled from now on.
pub(crate) struct Signals {
    signals: signal_hook::iterator::Signals,
    /// Whether standard error was a terminal at the start. SIGHUP then says that the terminal is gone.
    in_terminal: bool,
}

impl Signals {
    pub(crate) fn new() -> Result<Signals, Failure> {
        let signals =
            signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2]);
        let signals = signals.map_err(|error| Failure::Runtime(format!("cannot handle signals: {error}")))?;
        Ok(Signals { signals, in_terminal: std::io::stderr().is_terminal() })
    }

    /// Handles the signals on a thread. The first that ends the program shuts the server down, the second ends the program
    /// at once. SIGHUP calls `reload`, and reports what it returns. The service manager learns of both.
    pub(crate) fn watch(
        self,
        handle: Handle,
        supervisor: Arc<Supervisor>,
        mut reload: impl FnMut() -> String + Send + 'static,
    ) -> Result<(), Failure> {
        let Signals { mut signals, in_terminal } = self;
        let watch = move || {
            let mut ending = false;
            for signal in signals.forever() {
                match signal {
                    // Without a job, but they must not end the program.
                    SIGUSR1 | SIGUSR2 => {}
                    SIGHUP if !in_terminal => {
                        supervisor.reloading();
                        let report = reload();
                        supervisor.ready();
                        log::line(&log::one_line(&report));
                    }
                    // The status that a shell reports for a program killed by a signal.
                    _ if ending => std::process::exit(128 + signal),
                    _ => {
                        ending = true;
                        // Before it begins: without connections, the program ends at once.
                        supervisor.stopping();
                        log::line("shutting down");
                        handle.shutdown();
                    }
                }
            }
        };
        let spawned = thread::Builder::new().name("fleeting-signals".into()).spawn(watch);
        spawned.map(drop).map_err(Failure::no_thread)
    }
}
