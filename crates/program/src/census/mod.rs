//! `/metrics` and `/census`: how much there is of everything, for Prometheus and for the page.
//!
//! It counts nothing itself: workers, store and registry do. Its invariant: both routes tell the same figures
//! under the same names.

mod exposition;
mod figures;
mod upkeep;
mod watch;

pub(super) use upkeep::Upkeep;

use super::registry::Registry;
use figures::Family;
use fleeting::engine::WorkerFigures;
use fleeting::{App, Error, Handle, Offload, Response};
use std::sync::Arc;

/// Whom to ask.
#[derive(Clone)]
struct Asked {
    registry: Arc<Registry>,
    offload: Option<Arc<Offload>>,
}

/// Adds the routes.
pub(super) fn routes(
    app: App,
    handle: &Handle,
    registry: &Arc<Registry>,
    offload: Option<&Arc<Offload>>,
) -> App {
    let route = |told: fn(&[Family]) -> Result<Response<'static>, Error>| {
        let asked = Asked { registry: registry.clone(), offload: offload.cloned() };
        let handle = handle.clone();
        move || tell(&handle, &asked, told)
    };
    let (metrics, census) = (route(metrics), route(census));
    app.get("/metrics", move |_req| Ok(metrics())).get("/census", move |_req| Ok(census()))
}

/// What all workers say, when the last of them has.
fn tell(
    handle: &Handle,
    asked: &Asked,
    told: fn(&[Family]) -> Result<Response<'static>, Error>,
) -> Response<'static> {
    let (response, responder) = Response::defer();
    let Asked { registry, offload } = asked.clone();
    handle.figures(move |workers: Vec<WorkerFigures>| {
        let mut families = figures::families(&workers, &registry.store().census(), &registry.census());
        families.extend(offload.iter().flat_map(|offload| figures::of_offload(&offload.counters())));
        // Who has asked may be gone.
        let _ = responder.send(told(&families).unwrap_or_else(Response::from));
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
