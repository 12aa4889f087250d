//! What every peer offers, and the limits it is offered under.

use fleeting::{App, Body, ConfigError, Error, Limits, Message, Request, Response, Socket, WebSocket};

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

pub fn app() -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("Hello, World!")))
        .get("/100k", |_req| Ok(Response::text(Body::Static(&BIG))))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .ws("/ws", Echo)
}

pub fn limits() -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    limits.set("message_bytes", "64MiB")?;
    limits.set("frame_bytes", "64MiB")?;
    limits.set("connections", "100000")?;
    Ok(limits)
}
