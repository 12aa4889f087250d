//! The routes that every server in `benches/peers` offers, routes that show how the cost of routing grows, and the
//! limits.

use fleeting::ws::{CloseCode, Compression, Policy};
use fleeting::{App, Body, ConfigError, Error, Limits, Message, Request, Response, Socket, WebSocket};

const HELLO: &str = "Hello, World!";
static BIG: [u8; 100 * 1024] = [b'x'; 100 * 1024];

/// The fields that a browser sends; `benches/peers/lua/headers10.lua` sends the same ones.
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

/// Messages sent to `/pub` are published under this topic, which every connection of `/sub` and `/events` subscribes to.
pub const TOPIC: &str = "t";

struct Subscriber;

impl WebSocket for Subscriber {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        socket.subscribe(TOPIC).map_err(|error| Error::unavailable(error.to_string()))?;
        Ok(())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

struct Publisher;

impl WebSocket for Publisher {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        if let Err(error) = socket.publish(TOPIC, message) {
            socket.close(CloseCode::TOO_BIG, &error.to_string());
        }
    }
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

/// The application, with `routes` more routes without parameters and `routes` more with one parameter.
pub fn app(routes: usize) -> App {
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
        // Compressed for clients that offer it; only the benchmark `ws-deflate1k` does.
        .ws_with("/ws", Policy::new().compression(Compression::shared()), Echo)
        .ws("/sub", Subscriber)
        .ws("/pub", Publisher);
    (0..routes).fold(app, |app, route| {
        app.get(&format!("/r/{route}/x"), |_req| Ok(Response::text(HELLO)))
            .get(&format!("/p/{route}/{{name}}"), |req| Ok(Response::text(req.param("name"))))
    })
}

/// Limits that no benchmark reaches.
pub fn limits() -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    limits.set("message_bytes", "64MiB")?;
    limits.set("frame_bytes", "64MiB")?;
    limits.set("connections", "100000")?;
    Ok(limits)
}
