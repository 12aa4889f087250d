//! `/metrics` and `/census`: how much there is of everything, for Prometheus and for the page.
//!
//! It counts nothing itself: workers, store and registry do. Its invariant: both routes tell the same figures
//! under the same names.

mod exposition;
mod families;

use crate::registry::Registry;
use families::Family;
use fleeting::engine::WorkerFigures;
use fleeting::{App, Error, Handle, Offload, Response};
use std::sync::Arc;

/// Whom to ask.
#[derive(Clone)]
struct Sources {
    registry: Arc<Registry>,
    offload: Option<Arc<Offload>>,
}

/// Adds the routes.
pub(crate) fn routes(
    app: App,
    handle: &Handle,
    registry: &Arc<Registry>,
    offload: Option<&Arc<Offload>>,
) -> App {
    let route = |render: fn(&[Family]) -> Result<Response<'static>, Error>| {
        let sources = Sources { registry: registry.clone(), offload: offload.cloned() };
        let handle = handle.clone();
        move || collect(&handle, &sources, render)
    };
    let (metrics, census) = (route(metrics), route(census));
    app.get("/metrics", move |_req| Ok(metrics())).get("/census", move |_req| Ok(census()))
}

/// What all workers say, when the last of them has.
fn collect(
    handle: &Handle,
    sources: &Sources,
    render: fn(&[Family]) -> Result<Response<'static>, Error>,
) -> Response<'static> {
    let (response, responder) = Response::defer();
    let Sources { registry, offload } = sources.clone();
    handle.figures(move |workers: Vec<WorkerFigures>| {
        let mut families = families::all(&workers, &registry.store().census(), &registry.counts());
        families.extend(offload.iter().flat_map(|offload| families::of_offload(&offload.counters())));
        // Who has asked may be gone.
        let _ = responder.send(render(&families).unwrap_or_else(Response::from));
    });
    response
}

fn metrics(families: &[Family]) -> Result<Response<'static>, Error> {
    let response = Response::status(200).body(exposition::text(families));
    response.content_type("text/plain; version=0.0.4; charset=utf-8")?.header("cache-control", "no-store")
}

fn census(families: &[Family]) -> Result<Response<'static>, Error> {
    let text = exposition::json(families).map_err(|error| Error::internal(error.to_string()))?;
    Response::status(200).body(text).content_type("application/json")?.header("cache-control", "no-store")
}
