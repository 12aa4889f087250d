//! The application of a worker: every route of the program.
//!
//! It starts nothing, and reads no settings except those in [`Shared`].

use crate::hub::{self, Hub};
use crate::lesson::{self, Lesson};
use crate::registry::{self, Registry};
use crate::request::site::{self, Sites};
use crate::settings::{Service, Settings};
use crate::{metrics, page};
use fleeting::ws::Policy;
use fleeting::{
    App, Error, Files, Handle, LayerFn, Message, Offload, Request, Response, Socket, SocketOptions,
    WebSocket, WorkerContext,
};
use fleeting_store::{RedisBroker, Store};
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const HELLO: &str = "Hello, World!";

/// State shared by all workers.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// The hosts and origins of the settings, which a reload replaces.
    pub(crate) sites: Arc<Sites>,
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
pub(crate) fn app(shared: &Shared, worker: &WorkerContext) -> App {
    let handle = &worker.handle;
    let (settings, registry) = (&shared.settings, shared.registry(handle));
    let mut app = App::new();
    if settings.serves(Service::Files)
        && let Some(files) = &shared.files
    {
        app = app.files("/", files.clone());
    }
    if settings.serves(Service::Page) {
        app = page::routes(app);
    }
    if settings.serves(Service::Plain) {
        app = app
            .get("/plaintext", |_req| Ok(Response::text(HELLO)))
            .get("/json", |req| Response::json(req, &Greeting { message: HELLO }));
    }
    if settings.serves(Service::Health) {
        app = health(app);
    }
    let policy = Policy::new().compression(settings.compression);
    if settings.serves(Service::Echo) {
        let echoes = App::new().post("/echo", echo).ws_with("/ws", policy.clone(), Echo);
        app = app.merge(echoes.layer(site::guard_origin(&shared.sites)));
    }
    let mut guarded = App::new();
    if settings.serves(Service::Hub) {
        let options = SocketOptions::new().policy(policy.clone()).slow_consumer(settings.slow_consumer);
        guarded = hub::routes(guarded.ws_with("/hub", options, Hub), handle, settings.slow_consumer);
    }
    if settings.serves(Service::Lesson) {
        guarded = lesson::routes(guarded, handle, &shared.lesson);
    }
    if settings.serves(Service::Clients) {
        guarded = registry::routes(guarded, registry, shared.offload.as_ref(), policy);
    }
    if settings.serves(Service::Metrics) {
        guarded = metrics::routes(guarded, handle, registry, shared.offload.as_ref(), shared.broker.as_ref());
    }
    let app = app.merge(guarded.layer(site::guard(&shared.sites, &worker.addrs)));
    match settings.tls.hsts {
        Some(time) => app.layer(strict_transport(time)),
        None => app,
    }
}

/// Makes the layer that tells browsers to use no plain HTTP with this host for so long (RFC 6797 §6.1).
fn strict_transport(time: Duration) -> impl LayerFn {
    let value = format!("max-age={}", time.as_secs());
    move |req, next| match next.call(req) {
        Ok(response) => response.header("strict-transport-security", &value),
        Err(error) => Err(error.header("strict-transport-security", &value)),
    }
}

/// Builds the application of the second listener. `handle` reaches the workers of the first one.
pub(crate) fn admin_app(shared: &Shared, handle: &Handle, worker: &WorkerContext) -> App {
    let (registry, broker) = (shared.registry(handle), shared.broker.as_ref());
    let metrics = metrics::routes(App::new(), handle, registry, shared.offload.as_ref(), broker);
    health(App::new()).merge(metrics.layer(site::guard(&shared.sites, &worker.addrs)))
}

fn health(app: App) -> App {
    app.get("/healthz", |_req| Ok(Response::text("ok")))
}

#[derive(Serialize)]
struct Greeting {
    message: &'static str,
}

/// Answers with the request's content and its Content-Type, as a download: a browser must not show a document that
/// somebody else has written as one of this server's.
fn echo<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    let response = match req.fields().get("content-type") {
        Some(media_type) => Response::new(200).body(req.body()).header("content-type", media_type)?,
        None => Response::bytes(req.body()),
    };
    response.header("content-disposition", "attachment")
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
