//! The server that `benches/` measures: the paths that every peer offers, on one worker.
//!
//! `cargo run --release --example bench_server -- --port 8080`
//!
//! With `--spin` the worker never sleeps in its poll: it takes turns for ever, and keeps its core busy.

mod app;

use fleeting::Server;
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
        let mut worker = builder.worker(|_context| app::app())?;
        while worker.turn(Some(Duration::ZERO))? {}
    } else {
        builder.serve(|_context| app::app())?.run()?;
    }
    Ok(())
}
