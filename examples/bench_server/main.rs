//! The server that `benches/` measures.
//!
//!     cargo run --release --example bench_server -- --port 8080 [--workers N] [--routes N] [--spin]
//!
//! `app.rs` lists its paths; try `curl http://127.0.0.1:8080/users/a/b/c`. `--workers` starts threads; without
//! it one worker runs on the main thread. `--routes` adds routes, to show what routing costs. With `--spin` the
//! single worker never sleeps in its poll, which keeps its core busy. `curl http://127.0.0.1:8080/quit` shuts the
//! server down in an orderly way, so that an instrumented build writes its profile.

mod app;

use fleeting::{App, Response, Server, WorkerContext};
use std::env;
use std::time::Duration;

const USAGE: &str = "usage: bench_server --port PORT [--workers N] [--routes N] [--spin]";

struct Options {
    port: u16,
    /// Number of worker threads; `None` for one worker on the main thread.
    workers: Option<usize>,
    /// Number of additional routes without parameters, and also of additional routes with one.
    routes: usize,
    spin: bool,
}

fn options() -> Option<Options> {
    let mut options = Options { port: 0, workers: None, routes: 1, spin: false };
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--port" => options.port = args.next()?.parse().ok()?,
            "--workers" => options.workers = Some(args.next()?.parse().ok()?),
            "--routes" => options.routes = args.next()?.parse().ok()?,
            "--spin" => options.spin = true,
            _ => return None,
        }
    }
    (options.port > 0).then_some(options)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options { port, workers, routes, spin } = options().ok_or(USAGE)?;
    let builder = Server::builder().bind(format!("127.0.0.1:{port}")).limits(app::limits()?);
    let app = move |context: &WorkerContext| with_quit(app::app(routes), context);
    if let Some(workers) = workers {
        builder.workers(workers).serve(app)?.run()?;
        return Ok(());
    }
    // The worker runs on this thread: the C library's receive and send are cheaper in a process with one thread.
    let mut worker = builder.worker(app)?;
    let patience = spin.then_some(Duration::ZERO);
    while worker.turn(patience)? {}
    Ok(())
}

/// Adds the route that shuts the server down.
fn with_quit(app: App, context: &WorkerContext) -> App {
    let handle = context.handle.clone();
    app.get("/quit", move |_req| {
        handle.shutdown();
        Ok(Response::text("goodbye\n"))
    })
}
