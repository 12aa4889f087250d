//! `fleeting serve`: starts the server, waits for signals, and reports the shutdown.
//!
//! It knows no route. Its invariant: nothing is printed on standard output before every address is bound.

use crate::failure::Failure;
use crate::lesson::Lesson;
use crate::log;
use crate::maintenance::Maintenance;
use crate::routes::{self, Shared};
use crate::settings::Settings;
use crate::store::{self, Opened};
use fleeting::engine::ShutdownReport;
use fleeting::{Files, Handle, Offload, OffloadOptions, ServeError, Server, WorkerContext};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

/// Serves until a signal shuts the server down.
///
/// # Errors
/// [`Failure::Runtime`] if an address, the files, a thread or the signals are unavailable.
pub(crate) fn serve(settings: Settings) -> Result<(), Failure> {
    // Each connection is a descriptor. The soft limit exists for programs that use select(2); this one does
    // not. If the limit cannot be raised, there are fewer connections, which is not a failure.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // Before the server starts, so that no signal is lost.
    let signals = Signals::new([SIGTERM, SIGINT]);
    let signals = signals.map_err(|error| Failure::Runtime(format!("cannot handle signals: {error}")))?;
    let files = settings.files.as_deref().map(Files::new).transpose();
    let files = files.map_err(|error| Failure::Runtime(format!("cannot serve the files of {error}")))?;
    let mut builder = Server::builder()
        .workers(settings.workers)
        .limits(settings.limits.clone())
        .timeouts(settings.timeouts.clone());
    for addr in &settings.listen {
        builder = builder.bind(addr);
    }
    let opened = store::open(&settings)?;
    if let Some(broker) = &opened.broker {
        builder = builder.broker(broker.clone());
    }
    let failed = |error: ServeError| Failure::Runtime(error.to_string());
    let directory = settings.files.clone();
    let Opened { store, node, description, .. } = opened;
    // A store that does not block is called by the workers, without further threads.
    let offload = store.waits().then(|| Offload::new(OffloadOptions::default()).map(Arc::new)).transpose();
    let offload = offload.map_err(Failure::no_thread)?;
    let shared = Arc::new(Shared {
        settings,
        files,
        store,
        node,
        offload,
        lesson: Arc::new(Lesson::new()),
        registry: OnceLock::new(),
    });
    let make_app = {
        let shared = shared.clone();
        move |worker: &WorkerContext| routes::app(&shared, &worker.handle)
    };
    let server = builder.serve(make_app).map_err(failed)?;
    let admin = admin(&shared, server.handle()).transpose().map_err(failed)?;
    let registry = shared.registry.get().expect("the first worker has created it").clone();
    let maintenance = Maintenance::start(server.handle(), registry);
    let maintenance = maintenance.map_err(Failure::no_thread)?;
    watch_signals(signals, server.handle())?;
    // A closed standard output does not stop the server.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(greeting(server.local_addrs(), description.as_deref(), directory.as_deref()).as_bytes())
        .and_then(|()| {
            admin.iter().try_for_each(|admin| write!(stdout, "{}", admin_greeting(admin.local_addrs())))
        })
        .and_then(|()| stdout.flush());
    drop(stdout);
    let report = server.run().map_err(failed)?;
    if let Some(admin) = admin {
        admin.handle().shutdown();
        admin.run().map_err(failed)?;
    }
    drop(maintenance);
    shutdown_report(&report).lines().for_each(log::line);
    Ok(())
}

/// Starts the second listener, if there is to be one. It outlives the first, so that a shutdown can be watched.
fn admin(shared: &Arc<Shared>, handle: Handle) -> Option<Result<Server, ServeError>> {
    let addr = shared.settings.admin_listen.clone()?;
    let (limits, timeouts) = (shared.settings.limits.clone(), shared.settings.timeouts.clone());
    let builder = Server::builder().bind(addr.clone()).limits(limits).timeouts(timeouts);
    let shared = shared.clone();
    Some(builder.serve(move |_worker| routes::admin_app(&shared, &handle, &addr)))
}

fn admin_greeting(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(|addr| format!("Metrics: http://{addr}/metrics and http://{addr}/census\n")).collect()
}

/// The first signal shuts the server down, the second ends the program at once.
fn watch_signals(mut signals: Signals, handle: Handle) -> Result<(), Failure> {
    let watch = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            log::line("shutting down");
            handle.shutdown();
        }
        if let Some(signal) = signals.next() {
            // The status that a shell reports for a program killed by a signal.
            std::process::exit(128 + signal);
        }
    };
    let spawned = thread::Builder::new().name("fleeting-signals".into()).spawn(watch);
    spawned.map(drop).map_err(Failure::no_thread)
}

/// The largest number of cut-off connections to list. The report says how many there were in all.
const STRAGGLERS_LISTED: usize = 10;

/// Reports how many WebSockets were closed and which connections were cut off.
fn shutdown_report(report: &ShutdownReport) -> String {
    let mut text = String::new();
    if report.websockets > 0 {
        let _ = writeln!(text, "WebSockets closed with 1001 (going away): {}", report.websockets);
    }
    if !report.stragglers.is_empty() {
        let _ =
            writeln!(text, "connections cut off at the end of the grace period: {}", report.stragglers.len());
    }
    for straggler in report.stragglers.iter().take(STRAGGLERS_LISTED) {
        let _ = writeln!(text, "  {straggler}");
    }
    text
}

/// The greeting: the addresses, and commands to try.
fn greeting(addrs: &[SocketAddr], store: Option<&str>, files: Option<&Path>) -> String {
    let mut text = format!("fleeting {} is listening on\n", env!("CARGO_PKG_VERSION"));
    for addr in addrs {
        let _ = writeln!(text, "  http://{addr}");
    }
    if let Some(store) = store {
        let _ = writeln!(text, "{store}");
    }
    if let Some(addr) = addrs.first() {
        let at = reachable(*addr);
        let root = match files {
            Some(directory) => format!("the files in {}", directory.display()),
            None => "a live demo page; open it twice".into(),
        };
        let _ = write!(
            text,
            "\nTry\n  \
             curl http://{at}/plaintext\n  \
             curl http://{at}/json\n  \
             curl http://{at}/echo -d 'anything'\n  \
             curl http://{at}/healthz\n  \
             curl -N 'http://{at}/topics/prices.*', and in another terminal\n  \
             curl http://{at}/topics/prices.eur -H 'Content-Type: text/plain' -d 1.08\n  \
             http://{at}/ in a browser: {root}\n  \
             ws://{at}/ws, a WebSocket echo, with websocat or `python3 -m websockets`\n  \
             ws://{at}/hub, which takes commands such as {{\"subscribe\": \"prices.*\"}}\n\
             Press Ctrl-C to stop.\n"
        );
    }
    text
}

/// Returns an address at which this machine can reach `addr`.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        _ => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_lists_every_address_and_commands_for_the_first() {
        let addrs = ["0.0.0.0:80".parse().unwrap(), "[::1]:81".parse().unwrap()];
        let text = greeting(&addrs, None, None);
        assert!(text.contains("\n  http://0.0.0.0:80\n  http://[::1]:81\n"), "{text}");
        assert!(text.contains("curl http://127.0.0.1:80/json\n"), "{text}");
        let text = greeting(&addrs, Some("Entries are elsewhere."), Some(Path::new("public")));
        assert!(text.contains("\n  http://[::1]:81\nEntries are elsewhere.\n\nTry\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:80/ in a browser: the files in public\n"), "{text}");
    }
}
