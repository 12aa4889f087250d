//! `/metrics` for Prometheus, and `/census`, which is the same metrics as JSON for the demo page.
//!
//! It counts nothing itself: the workers, the store and the registry do. Its invariant: both routes report the same
//! metrics under the same names.

mod exposition;
mod families;

use crate::registry::Registry;
use families::Family;
use fleeting::engine::WorkerFigures;
use fleeting::{App, Error, Handle, Offload, Response};
use fleeting_store::RedisBroker;
use std::sync::Arc;

/// The sources of metrics besides the workers.
#[derive(Clone)]
struct Sources {
    registry: Arc<Registry>,
    offload: Option<Arc<Offload>>,
    broker: Option<Arc<RedisBroker>>,
}

/// Adds the routes.
pub(crate) fn routes(
    app: App,
    handle: &Handle,
    registry: &Arc<Registry>,
    offload: Option<&Arc<Offload>>,
    broker: Option<&Arc<RedisBroker>>,
) -> App {
    let route = |render: fn(&[Family]) -> Result<Response<'static>, Error>| {
        let sources =
            Sources { registry: registry.clone(), offload: offload.cloned(), broker: broker.cloned() };
        let handle = handle.clone();
        move || collect(&handle, &sources, render)
    };
    let (metrics, census) = (route(metrics), route(census));
    app.get("/metrics", move |_req| Ok(metrics())).get("/census", move |_req| Ok(census()))
}

/// Answers with the metrics, once the last worker has reported its own.
fn collect(
    handle: &Handle,
    sources: &Sources,
    render: fn(&[Family]) -> Result<Response<'static>, Error>,
) -> Response<'static> {
    let (response, responder) = Response::defer();
    let Sources { registry, offload, broker } = sources.clone();
    handle.figures(move |workers: Vec<WorkerFigures>| {
        let mut families = families::all(&workers, &registry.store().stats(), &registry.counts());
        families.extend(offload.iter().flat_map(|offload| families::of_offload(&offload.counters())));
        families.extend(broker.iter().flat_map(|broker| families::of_broker(broker)));
        // The client may be gone.
        let _ = responder.send(render(&families).unwrap_or_else(Response::from));
    });
    response
}

fn metrics(families: &[Family]) -> Result<Response<'static>, Error> {
    let response = Response::new(200).body(exposition::text(families));
    response.content_type("text/plain; version=0.0.4; charset=utf-8")?.header("cache-control", "no-store")
}

fn census(families: &[Family]) -> Result<Response<'static>, Error> {
    let text = exposition::json(families).map_err(|error| Error::internal(error.to_string()))?;
    Response::new(200).body(text).content_type("application/json")?.header("cache-control", "no-store")
}
