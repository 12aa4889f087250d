//! What the program serves.

use fleeting::{App, Body, Error, Files, Message, Request, Response, Socket, WebSocket};
use serde::Serialize;

/// The page: self-contained, no other request is made for it.
const PAGE: &str = include_str!("page.html");
const HELLO: &str = "Hello, World!";

/// A worker's application: the page, or the files instead of it.
pub(super) fn app(files: Option<Files>) -> App {
    let app = match files {
        Some(files) => App::new().files("/", files),
        None => App::new().get("/", |_req| Ok(Response::html(Body::Static(PAGE.as_bytes())))),
    };
    app.get("/plaintext", |_req| Ok(Response::text(HELLO)))
        .get("/json", |req| Response::json(req, &Greeting { message: HELLO }))
        .get("/healthz", |_req| Ok(Response::text("ok")))
        .post("/echo", echo)
        .ws("/ws", Echo)
}

#[derive(Serialize)]
struct Greeting {
    message: &'static str,
}

/// The content as it came, under the type it came with.
fn echo<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    match req.fields().get("content-type") {
        Some(media_type) => Response::status(200).body(req.body()).header("content-type", media_type),
        None => Ok(Response::bytes(req.body())),
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
