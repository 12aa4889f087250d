//! The server that `benches/` measures.
//!
//!     cargo run --release --example bench_server -- --port 8080 [--workers N] [--routes N] [--spin MICROSECONDS]
//!         [--tls-cert FILE --tls-key FILE]
//!
//! `app.rs` lists its paths; try `curl http://127.0.0.1:8080/users/a/b/c`. `--workers` starts threads; without
//! it one worker runs on the main thread. `--routes` adds routes, to show what routing costs. `--spin` is
//! `Builder::spin`. `--tls-cert` and `--tls-key` need the feature `tls`. `curl http://127.0.0.1:8080/quit`, Ctrl-C and SIGTERM shut the server down in an orderly way, so that an
//! instrumented build writes its profile.

mod app;

use fleeting::{App, Builder, Io, Response, Server, WorkerContext};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: bench_server --port PORT [--workers N] [--routes N] [--spin MICROSECONDS] [--io auto|epoll|uring] [--tls-cert FILE --tls-key FILE]";

struct Options {
    /// 0 for a free port.
    port: u16,
    /// Number of worker threads; `None` for one worker on the main thread.
    workers: Option<usize>,
    /// Number of additional routes without parameters, and also of additional routes with one.
    routes: usize,
    spin: Duration,
    io: Io,
    /// The files of a certificate and its key.
    certificate: Option<(String, String)>,
}

/// How long the worker on the main thread waits for events before it looks whether a signal has come.
const SIGNAL_CHECK: Duration = Duration::from_secs(1);

fn options() -> Option<Options> {
    let (mut port, mut workers, mut routes, mut spin, mut io) =
        (None, None, 1, Duration::ZERO, Io::default());
    let (mut certificate, mut key) = (None, None);
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--port" => port = Some(args.next()?.parse().ok()?),
            "--workers" => workers = Some(args.next()?.parse().ok()?),
            "--routes" => routes = args.next()?.parse().ok()?,
            "--spin" => spin = Duration::from_micros(args.next()?.parse().ok()?),
            "--io" => io = args.next()?.parse().ok()?,
            "--tls-cert" => certificate = Some(args.next()?),
            "--tls-key" => key = Some(args.next()?),
            _ => return None,
        }
    }
    let certificate = match (certificate, key) {
        (None, None) => None,
        (certificate, key) => Some((certificate?, key?)),
    };
    Some(Options { port: port?, workers, routes, spin, io, certificate })
}

/// Listens, with TLS if there is a certificate.
fn bind(builder: Builder, options: &Options) -> Result<Builder, Box<dyn Error>> {
    let address = format!("127.0.0.1:{}", options.port);
    match &options.certificate {
        None => Ok(builder.bind(address)),
        #[cfg(feature = "tls")]
        Some((chain, key)) => {
            let tls = fleeting::Tls::options().certificate(chain, key)?.build()?;
            Ok(builder.bind_tls(address, &tls))
        }
        #[cfg(not(feature = "tls"))]
        Some(_) => Err("--tls-cert needs a build with the feature `tls`".into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options().ok_or(USAGE)?;
    let builder = bind(Server::builder(), &options)?.limits(app::limits()?).spin(options.spin).io(options.io);
    let Options { workers, routes, .. } = options;
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
