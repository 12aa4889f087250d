//! The server that `benches/` measures: the paths that every peer offers, on one worker.
//!
//! `cargo run --release --example bench_server -- --port 8080`

use fleeting::{App, Body, Error, Limits, Message, Request, Response, Server, Socket, WebSocket};

static BIG: [u8; 100 * 1024] = [b'x'; 100 * 1024];

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

fn port() -> Option<u16> {
    let mut args = std::env::args().skip(1);
    (args.next()? == "--port").then(|| args.next()?.parse().ok())?
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = port().ok_or("usage: bench_server --port PORT")?;
    let mut limits = Limits::default();
    limits.set("message_bytes", "64MiB")?;
    limits.set("frame_bytes", "64MiB")?;
    limits.set("connections", "100000")?;
    let server = Server::builder().bind(format!("127.0.0.1:{port}")).limits(limits).serve(|_worker| {
        App::new()
            .get("/", |_req| Ok(Response::text("Hello, World!")))
            .get("/100k", |_req| Ok(Response::text(Body::Static(&BIG))))
            .post("/echo", |req| Ok(Response::bytes(req.body())))
            .ws("/ws", Echo)
    })?;
    server.run()?;
    Ok(())
}
