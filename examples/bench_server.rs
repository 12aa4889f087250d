//! The server that `benches/` measures: the paths that every peer offers, and some that show how its own
//! cost grows.
//!
//! `cargo run --release --example bench_server -- --port 8080 [--workers N] [--routes N]`

use fleeting::{App, Body, Error, Limits, Message, Request, Response, Server, Socket, WebSocket};
use std::env;

const USAGE: &str = "usage: bench_server --port PORT [--workers N] [--routes N]";
const HELLO: &str = "Hello, World!";
static BIG: [u8; 100 * 1024] = [b'x'; 100 * 1024];

/// What a browser says of itself; all of it is in `benches/peers/lua/headers10.lua`.
const TEN: [&str; 10] = [
    "host",
    "user-agent",
    "accept",
    "accept-language",
    "accept-encoding",
    "cookie",
    "upgrade-insecure-requests",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
];

struct Options {
    port: u16,
    workers: usize,
    /// Further routes without parameters, and as many with one.
    routes: usize,
}

struct Echo;

impl WebSocket for Echo {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

fn options() -> Option<Options> {
    let mut options = Options { port: 0, workers: 1, routes: 1 };
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next()?;
        match flag.as_str() {
            "--port" => options.port = value.parse().ok()?,
            "--workers" => options.workers = value.parse().ok()?,
            "--routes" => options.routes = value.parse().ok()?,
            _ => return None,
        }
    }
    (options.port > 0).then_some(options)
}

fn app(routes: usize) -> App {
    let app = App::new()
        .get("/", |_req| Ok(Response::text(HELLO)))
        .get("/100k", |_req| Ok(Response::text(Body::Static(&BIG))))
        .get("/users/{a}/{b}/{c}", |req| {
            let (a, b, c) = (req.param("a"), req.param("b"), req.param("c"));
            Ok(Response::text(req.arena().format(format_args!("{a} {b} {c}"))))
        })
        .get("/ten", |req| {
            let length: usize = TEN.iter().map(|name| req.header(name).map_or(0, str::len)).sum();
            Ok(Response::text(req.arena().format(format_args!("{length}"))))
        })
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .ws("/ws", Echo);
    (0..routes).fold(app, |app, route| {
        app.get(&format!("/r/{route}/x"), |_req| Ok(Response::text(HELLO)))
            .get(&format!("/p/{route}/{{name}}"), |req| Ok(Response::text(req.param("name"))))
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options { port, workers, routes } = options().ok_or(USAGE)?;
    let mut limits = Limits::default();
    limits.set("message_bytes", "64MiB")?;
    limits.set("frame_bytes", "64MiB")?;
    limits.set("connections", "100000")?;
    let server = Server::builder()
        .bind(format!("127.0.0.1:{port}"))
        .workers(workers)
        .limits(limits)
        .serve(move |_worker| app(routes))?;
    server.run()?;
    Ok(())
}
