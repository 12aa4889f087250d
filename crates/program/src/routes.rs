//! What the program serves.

use super::hub::Hub;
use super::lesson::{self, Lesson};
use super::registry::{self, Registry};
use super::settings::Settings;
use super::{census, page, topics};
use fleeting::ws::Policy;
use fleeting::{
    App, Error, Files, Handle, Message, Offload, Request, Response, Socket, SocketOptions, WebSocket,
};
use fleeting_store::Store;
use serde::Serialize;
use std::sync::{Arc, OnceLock};

const HELLO: &str = "Hello, World!";

/// What all workers share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    /// Served in place of the page.
    pub(super) files: Option<Files>,
    pub(super) store: Arc<dyn Store>,
    /// The server's name among those that share it.
    pub(super) node: String,
    /// Asks a store that waits.
    pub(super) offload: Option<Arc<Offload>>,
    pub(super) lesson: Arc<Lesson>,
    /// It speaks to the workers, so the first of them makes it.
    pub(super) registry: OnceLock<Arc<Registry>>,
}

impl Shared {
    fn registry(&self, handle: &Handle) -> &Arc<Registry> {
        let lives = self.settings.clients;
        self.registry
            .get_or_init(|| Arc::new(Registry::new(self.store.clone(), handle.clone(), &self.node, lives)))
    }
}

/// A worker's application: the page, or the files instead of it.
pub(super) fn app(shared: &Shared, handle: &Handle) -> App {
    let (settings, registry) = (&shared.settings, shared.registry(handle));
    let app = match &shared.files {
        Some(files) => App::new().files("/", files.clone()),
        None => page::routes(App::new()),
    };
    // Both to pages of the same origin only.
    let policy = Policy::new().compression(settings.compression);
    let hub = SocketOptions::new().policy(policy.clone()).slow_consumer(settings.slow_consumer);
    let app = app
        .get("/plaintext", |_req| Ok(Response::text(HELLO)))
        .get("/json", |req| Response::json(req, &Greeting { message: HELLO }))
        .get("/healthz", |_req| Ok(Response::text("ok")))
        .post("/echo", echo)
        .ws_with("/ws", policy.clone(), Echo)
        .ws_with("/hub", hub, Hub);
    let app = topics::routes(app, handle);
    let app = lesson::routes(app, handle, &shared.lesson);
    let app = registry::routes(app, registry, shared.offload.as_ref(), policy);
    census::routes(app, handle, registry, shared.offload.as_ref())
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
