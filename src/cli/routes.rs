//! What the program serves.

use super::hub::Hub;
use super::lesson::{self, Lesson};
use super::settings::Settings;
use super::topics;
use fleeting::ws::Policy;
use fleeting::{
    App, Body, Error, Files, Handle, Message, Request, Response, Socket, SocketOptions, WebSocket,
};
use serde::Serialize;
use std::sync::Arc;

/// The page: self-contained, no other request is made for it.
const PAGE: &str = include_str!("page.html");
const HELLO: &str = "Hello, World!";

/// A worker's application: the page, or the files instead of it.
pub(super) fn app(files: Option<Files>, settings: &Settings, lesson: &Arc<Lesson>, handle: &Handle) -> App {
    let app = match files {
        Some(files) => App::new().files("/", files),
        None => App::new().get("/", |_req| Ok(Response::html(Body::Static(PAGE.as_bytes())))),
    };
    // Both to pages of the same origin only.
    let policy = Policy::new().compression(settings.compression);
    let hub = SocketOptions::new().policy(policy.clone()).slow_consumer(settings.slow_consumer);
    let app = app
        .get("/plaintext", |_req| Ok(Response::text(HELLO)))
        .get("/json", |req| Response::json(req, &Greeting { message: HELLO }))
        .get("/healthz", |_req| Ok(Response::text("ok")))
        .post("/echo", echo)
        .ws_with("/ws", policy, Echo)
        .ws_with("/hub", hub, Hub);
    let app = lesson::routes(app, handle, lesson);
    topics::routes(app, handle)
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
