//! The server that `benches/` measures.
//!
//!     cargo run --release --example bench_server -- --port 8080 [--workers N] [--routes N] [--spin MICROSECONDS]
//!
//! `app.rs` lists its paths; try `curl http://127.0.0.1:8080/users/a/b/c`. `--workers` starts threads; without
//! it one worker runs on the main thread. `--routes` adds routes, to show what routing costs. `--spin` is
//! `Builder::spin`. `curl http://127.0.0.1:8080/quit`, Ctrl-C and SIGTERM shut the server down in an orderly way, so that an
//! instrumented build writes its profile.

mod app;

use fleeting::{App, Io, Response, Server, WorkerContext};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: bench_server --port PORT [--workers N] [--routes N] [--spin MICROSECONDS] [--io auto|epoll|uring]";

struct Options {
    /// 0 for a free port.
    port: u16,
    /// Number of worker threads; `None` for one worker on the main thread.
    workers: Option<usize>,
    /// Number of additional routes without parameters, and also of additional routes with one.
    routes: usize,
    spin: Duration,
    io: Io,
}

/// How long the worker on the main thread waits for events before it looks whether a signal has come.
const SIGNAL_CHECK: Duration = Duration::from_secs(1);

fn options() -> Option<Options> {
    let (mut port, mut workers, mut routes, mut spin, mut io) =
        (None, None, 1, Duration::ZERO, Io::default());
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--port" => port = Some(args.next()?.parse().ok()?),
            "--workers" => workers = Some(args.next()?.parse().ok()?),
            "--routes" => routes = args.next()?.parse().ok()?,
            "--spin" => spin = Duration::from_micros(args.next()?.parse().ok()?),
            "--io" => io = args.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(Options { port: port?, workers, routes, spin, io })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options { port, workers, routes, spin, io } = options().ok_or(USAGE)?;
    let builder =
        Server::builder().bind(format!("127.0.0.1:{port}")).limits(app::limits()?).spin(spin).io(io);
    let app = move |context: &WorkerContext| with_handle(app::app(routes), context);
    if let Some(workers) = workers {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let server = builder.workers(workers).serve(app)?;
        println!("listening on http://{}", server.local_addrs()[0]);
        let handle = server.handle();
        thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
        server.run()?;
        return Ok(());
    }
    // The worker runs on this thread: the C library's receive and send are cheaper in a process with one thread. So
    // signals get no thread either.
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, signalled.clone())?;
    }
    let mut worker = builder.worker(app)?;
    println!("listening on http://{}", worker.local_addrs()[0]);
    while worker.turn(Some(SIGNAL_CHECK))? {
        if signalled.load(Ordering::Relaxed) {
            worker.handle().shutdown();
        }
    }
    Ok(())
}

/// Adds the routes that need the server's handle: a stream of what is published, and one that shuts the server down.
fn with_handle(app: App, context: &WorkerContext) -> App {
    let (events, quit) = (context.handle.clone(), context.handle.clone());
    app.get("/events", move |_req| Ok(events.events(app::TOPIC)?)).get("/quit", move |_req| {
        quit.shutdown();
        Ok(Response::text("goodbye\n"))
    })
}
