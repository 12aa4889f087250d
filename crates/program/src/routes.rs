//! The application of a worker: every route of the program.
//!
//! It starts nothing, and reads no settings except those in [`Shared`].

use crate::hub::{self, Hub};
use crate::lesson::{self, Lesson};
use crate::registry::{self, Registry};
use crate::settings::Settings;
use crate::{metrics, page};
use fleeting::ws::Policy;
use fleeting::{
    App, Error, Files, Handle, Message, Offload, Request, Response, Socket, SocketOptions, WebSocket,
};
use fleeting_store::{RedisBroker, Store};
use serde::Serialize;
use std::sync::{Arc, OnceLock};

const HELLO: &str = "Hello, World!";

/// State shared by all workers.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// The files to serve at `/` instead of the demo page.
    pub(crate) files: Option<Files>,
    pub(crate) store: Arc<dyn Store>,
    /// This server's name among the nodes that share the store.
    pub(crate) node: String,
    /// The threads that call the store, if it blocks.
    pub(crate) offload: Option<Arc<Offload>>,
    /// Shares topics with the other nodes, if the store is shared.
    pub(crate) broker: Option<Arc<RedisBroker>>,
    pub(crate) lesson: Arc<Lesson>,
    /// Created by the first worker, because it needs a handle to the workers.
    pub(crate) registry: OnceLock<Arc<Registry>>,
}

impl Shared {
    fn registry(&self, handle: &Handle) -> &Arc<Registry> {
        let lifetimes = self.settings.clients;
        self.registry.get_or_init(|| {
            Arc::new(Registry::new(self.store.clone(), handle.clone(), &self.node, lifetimes))
        })
    }
}

/// Builds the application of a worker.
pub(crate) fn app(shared: &Shared, handle: &Handle) -> App {
    let (settings, registry) = (&shared.settings, shared.registry(handle));
    let app = match &shared.files {
        Some(files) => App::new().files("/", files.clone()),
        None => page::routes(App::new()),
    };
    // WebSockets are for pages of the same origin only.
    let policy = Policy::new().compression(settings.compression);
    let options = SocketOptions::new().policy(policy.clone()).slow_consumer(settings.slow_consumer);
    let app = app
        .get("/plaintext", |_req| Ok(Response::text(HELLO)))
        .get("/json", |req| Response::json(req, &Greeting { message: HELLO }))
        .get("/healthz", |_req| Ok(Response::text("ok")))
        .post("/echo", echo)
        .ws_with("/ws", policy.clone(), Echo)
        .ws_with("/hub", options, Hub);
    let app = hub::routes(app, handle);
    let app = lesson::routes(app, handle, &shared.lesson);
    let app = registry::routes(app, registry, shared.offload.as_ref(), policy);
    metrics::routes(app, handle, registry, shared.offload.as_ref(), shared.broker.as_ref())
}

#[derive(Serialize)]
struct Greeting {
    message: &'static str,
}

/// Answers with the request's content and its Content-Type.
fn echo<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    match req.fields().get("content-type") {
        Some(media_type) => Response::new(200).body(req.body()).header("content-type", media_type),
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
