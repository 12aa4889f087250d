//! The server that `benches/` measures: the paths that every peer offers, on one worker.
//!
//! `cargo run --release --example bench_server -- --port 8080`
//!
//! With `--spin` the worker never sleeps in its poll: it takes turns for ever, and keeps its core busy.
//! Who asks for `/quit` ends the server in good order, so that an instrumented build writes its profile.

mod app;

use fleeting::{App, Response, Server, WorkerContext};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (port, spin) = match args[..] {
        ["--port", port] => (port, false),
        ["--port", port, "--spin"] => (port, true),
        _ => return Err("usage: bench_server --port PORT [--spin]".into()),
    };
    let builder = Server::builder().bind(format!("127.0.0.1:{port}")).limits(app::limits()?);
    if spin {
        let mut worker = builder.worker(with_quit)?;
        while worker.turn(Some(Duration::ZERO))? {}
    } else {
        builder.serve(with_quit)?.run()?;
    }
    Ok(())
}

fn with_quit(context: &WorkerContext) -> App {
    let handle = context.handle.clone();
    app::app().get("/quit", move |_req| {
        handle.shutdown();
        Ok(Response::text("goodbye\n"))
    })
}
