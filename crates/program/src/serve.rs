//! `fleeting serve`: from settings to a running server, and to its end.

use super::census::Upkeep;
use super::lesson::Lesson;
use super::routes::{self, Shared};
use super::settings::Settings;
use super::store::Opened;
use super::{Failure, say, store};
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

/// Serves until a signal has ended it.
pub(super) fn serve(settings: Settings) -> Result<(), Failure> {
    // A connection is a descriptor. The soft limit is for programs that use select(2), and this one
    // does not; if it cannot be raised, it bounds the connections, which is no failure.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // Before the server is there, so that no signal is lost.
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
    // It is there until the last worker has ended.
    let opened = store::open(&settings)?;
    if let Some(broker) = &opened.broker {
        builder = builder.broker(broker.clone());
    }
    let failed = |error: ServeError| Failure::Runtime(error.to_string());
    let directory = settings.files.clone();
    let Opened { store, node, told, .. } = opened;
    // Threads that have nothing to wait for are not started.
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
    let make = {
        let shared = shared.clone();
        move |worker: &WorkerContext| routes::app(&shared, &worker.handle)
    };
    let server = builder.serve(make).map_err(failed)?;
    let registry = shared.registry.get().expect("there is a worker").clone();
    let upkeep = Upkeep::start(server.handle(), registry);
    let upkeep = upkeep.map_err(Failure::no_thread)?;
    obey(signals, server.handle())?;
    // Whoever started it may have closed its output, which is no reason not to serve.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(greeting(server.local_addrs(), told.as_deref(), directory.as_deref()).as_bytes())
        .and_then(|()| stdout.flush());
    drop(stdout);
    let report = server.run().map_err(failed)?;
    drop(upkeep);
    ending(&report).lines().for_each(say);
    Ok(())
}

/// The first signal shuts the server down, the second ends the program at once.
fn obey(mut signals: Signals, handle: Handle) -> Result<(), Failure> {
    let obey = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            say("shutting down");
            handle.shutdown();
        }
        if let Some(signal) = signals.next() {
            // As a shell reports one that a signal has ended.
            std::process::exit(128 + signal);
        }
    };
    let spawned = thread::Builder::new().name("fleeting-signals".into()).spawn(obey);
    spawned.map(drop).map_err(Failure::no_thread)
}

/// Stragglers that are named; of more there is only the number.
const STRAGGLERS_NAMED: usize = 10;

/// Who was told of the shutdown, and who had to be cut off.
fn ending(report: &ShutdownReport) -> String {
    let mut text = String::new();
    if report.websockets > 0 {
        let _ = writeln!(text, "WebSockets that were told 1001 (going away): {}", report.websockets);
    }
    if !report.stragglers.is_empty() {
        let _ = writeln!(text, "cut off when the grace was over: {}", report.stragglers.len());
    }
    for straggler in report.stragglers.iter().take(STRAGGLERS_NAMED) {
        let _ = writeln!(text, "  {straggler}");
    }
    text
}

/// Where it listens, and what to try there.
fn greeting(addrs: &[SocketAddr], store: Option<&str>, files: Option<&Path>) -> String {
    let mut text = format!("fleeting {} listens on\n", env!("CARGO_PKG_VERSION"));
    for addr in addrs {
        let _ = writeln!(text, "  http://{addr}");
    }
    if let Some(store) = store {
        let _ = writeln!(text, "and {store}");
    }
    if let Some(addr) = addrs.first() {
        let at = reachable(*addr);
        let root = match files {
            Some(directory) => format!("the files of {}", directory.display()),
            None => "a live page, to be opened twice".into(),
        };
        let _ = write!(
            text,
            "\nTry\n  \
             curl http://{at}/plaintext\n  \
             curl http://{at}/json\n  \
             curl http://{at}/echo -d 'anything'\n  \
             curl http://{at}/healthz\n  \
             curl -N 'http://{at}/topics/prices.*', and while it waits\n  \
             curl http://{at}/topics/prices.eur -H 'Content-Type: text/plain' -d 1.08\n  \
             http://{at}/ in a browser: {root}\n  \
             ws://{at}/ws, the echo itself, with websocat or `python3 -m websockets`\n  \
             ws://{at}/hub, where {{\"subscribe\": \"prices.*\"}} is understood\n\
             Ctrl-C ends it.\n"
        );
    }
    text
}

/// An address that this machine reaches `addr` at.
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
    fn every_address_is_told_and_the_first_can_be_tried() {
        let addrs = ["0.0.0.0:80".parse().unwrap(), "[::1]:81".parse().unwrap()];
        let text = greeting(&addrs, None, None);
        assert!(text.contains("\n  http://0.0.0.0:80\n  http://[::1]:81\n"), "{text}");
        assert!(text.contains("curl http://127.0.0.1:80/json\n"), "{text}");
        let text = greeting(&addrs, Some("keeps entries elsewhere"), Some(Path::new("public")));
        assert!(text.contains("\n  http://[::1]:81\nand keeps entries elsewhere\n\nTry\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:80/ in a browser: the files of public\n"), "{text}");
    }
}
