//! `fleeting serve`: starts the server, reloads settings, and reports the shutdown.
//!
//! It knows no route. Its invariant: nothing is printed on standard output before every address is bound.

use crate::background::Background;
use crate::certificates::Certificates;
use crate::failure::Failure;
use crate::greeting::greeting;
use crate::lesson::Lesson;
use crate::log;
use crate::maintenance;
use crate::redirect;
use crate::request::site::Sites;
use crate::routes::{self, Shared};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::store::{self, Opened};
use crate::supervisor::{self, Supervisor};
use crate::watchdog::{self, Watched};
use fleeting::engine::ShutdownReport;
use fleeting::{Files, Handle, Io, Offload, OffloadOptions, ServeError, Server, WorkerContext};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// Serves until a signal shuts the server down. `gather` collects the settings, at the start and for a reload.
///
/// # Errors
/// [`Failure::Runtime`] if an address, the files, a thread or the signals are unavailable.
pub(crate) fn serve(gather: impl Fn() -> Result<Settings, Failure> + Send + 'static) -> Result<(), Failure> {
    // Each connection is a descriptor. The soft limit exists for programs that use select(2); this one does
    // not. If the limit cannot be raised, there are fewer connections, which is not a failure.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // Before the server starts, so that no signal is lost.
    let signals = Signals::new()?;
    let settings = gather()?;
    let supervisor = Arc::new(Supervisor::find());
    let files = settings.files.as_deref().map(Files::new).transpose();
    let files = files.map_err(|error| Failure::Runtime(format!("cannot serve the files of {error}")))?;
    let files = files.map(|files| {
        settings.media_types.iter().fold(files, |files, (extension, name)| files.media_type(extension, name))
    });
    let mut builder = Server::builder()
        .workers(settings.workers)
        .spin(settings.spin)
        .limits(settings.limits.clone())
        .timeouts(settings.timeouts.clone())
        .http(settings.http)
        .io(settings.io)
        .proxies(settings.proxies.proxies());
    let certificates = Certificates::open(&settings.tls)?.map(Arc::new);
    for addr in &settings.listen {
        builder = match &certificates {
            Some(certificates) => builder.bind_tls(addr, &certificates.tls),
            None => builder.bind(addr),
        };
    }
    let opened = store::open(&settings)?;
    if let Some(broker) = &opened.broker {
        builder = builder.broker(broker.clone());
    }
    let failed = |error: ServeError| Failure::Runtime(error.to_string());
    let Opened { store, node, broker, description } = opened;
    // A store that does not block is called by the workers, without further threads.
    let offload = store.waits().then(|| Offload::new(OffloadOptions::default()).map(Arc::new)).transpose();
    let offload = offload.map_err(Failure::no_thread)?;
    let shared = Arc::new(Shared {
        sites: Sites::new(&settings),
        settings,
        files,
        store,
        node,
        offload,
        broker,
        lesson: Arc::new(Lesson::new()),
        registry: OnceLock::new(),
    });
    let make_app = {
        let shared = shared.clone();
        move |worker: &WorkerContext| routes::app(&shared, worker)
    };
    let server = builder.serve(make_app).map_err(failed)?;
    let admin = admin(&shared, server.handle()).transpose().map_err(failed)?;
    let redirect = redirect(&shared.settings, &server).transpose().map_err(failed)?;
    let registry = shared.registry.get().expect("the first worker has created it").clone();
    let maintenance = maintenance::start(server.handle(), registry, certificates.clone());
    let maintenance = maintenance.map_err(Failure::no_thread)?;
    let shared_for_reload = shared.clone();
    signals.watch(server.handle(), supervisor.clone(), move || {
        reload(gather(), &shared_for_reload, certificates.as_deref())
    })?;
    let others = [&redirect, &admin].map(|server| server.as_ref().map_or(&[][..], Server::listen_addrs));
    log::output(greeting(
        &shared.settings,
        server.listen_addrs(),
        others,
        server.io(),
        description.as_deref(),
    ));
    supervisor.ready();
    let watchdog = watchdog(&shared, &server, [&redirect, &admin], &supervisor).transpose();
    let watchdog = watchdog.map_err(Failure::no_thread)?;
    let report = server.run().map_err(failed)?;
    drop(watchdog);
    for other in redirect.into_iter().chain(admin) {
        other.handle().shutdown();
        other.run().map_err(failed)?;
    }
    drop(maintenance);
    shutdown_report(&report).lines().for_each(log::line);
    Ok(())
}

/// Starts the second listener, if there is to be one. It outlives the first, so that a shutdown can be watched.
fn admin(shared: &Arc<Shared>, handle: Handle) -> Option<Result<Server, ServeError>> {
    let addr = shared.settings.admin_listen.clone()?;
    let (limits, timeouts) = (shared.settings.limits.clone(), shared.settings.timeouts.clone());
    let builder = Server::builder().bind(addr).limits(limits).timeouts(timeouts).io(Io::Epoll);
    let shared = shared.clone();
    Some(builder.serve(move |worker| routes::admin_app(&shared, &handle, worker)))
}

/// Starts the watchdog, if the service manager asks for one.
fn watchdog(
    shared: &Shared,
    server: &Server,
    others: [&Option<Server>; 2],
    supervisor: &Arc<Supervisor>,
) -> Option<io::Result<Background>> {
    let span = supervisor::watchdog()?;
    let mut servers = vec![Watched { handle: server.handle(), workers: shared.settings.workers }];
    servers.extend(others.into_iter().flatten().map(|one| Watched { handle: one.handle(), workers: 1 }));
    let supervisor = supervisor.clone();
    Some(watchdog::start(span, servers, move || supervisor.alive()))
}

/// Starts the listener that sends clients to the first address of `server`, if there is to be one.
fn redirect(settings: &Settings, server: &Server) -> Option<Result<Server, ServeError>> {
    let addr = settings.tls.redirect_http.clone()?;
    let port = server.local_addrs().first().map_or(443, SocketAddr::port);
    let builder = Server::builder().limits(settings.limits.clone()).timeouts(settings.timeouts.clone());
    let builder = builder.io(Io::Epoll).proxies(settings.proxies.announcing());
    Some(builder.bind(addr).serve(move |_worker| redirect::app(port)))
}

/// Applies the settings that can change while the server runs, and returns a report.
fn reload(
    settings: Result<Settings, Failure>,
    shared: &Shared,
    certificates: Option<&Certificates>,
) -> String {
    let settings = match settings {
        Ok(settings) => settings,
        Err(failure) => return format!("not reloaded: {}", failure.message()),
    };
    let what = match certificates.filter(|_| settings.tls.are_set()) {
        None => "hosts and origins",
        Some(certificates) => match certificates.reload(&settings.tls) {
            Ok(()) => "hosts, origins and certificates",
            Err(error) => return format!("not reloaded: {error}"),
        },
    };
    shared.sites.replace(&settings);
    match shared.settings.restart_needed_for(&settings)[..] {
        [] => format!("reloaded the {what}"),
        ref names => format!("reloaded the {what}; a restart is needed for {}", names.join(", ")),
    }
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
