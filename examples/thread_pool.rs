//! Answers that take long are made by a few threads beside the worker, which goes on serving others.
//!
//!     cargo run --example thread_pool -- 127.0.0.1:8080
//!
//! `/primes/{below}` counts primes. What the queue cannot take is answered with 503 at once: without a bound
//! everybody would only wait. So is who has waited for ten seconds.

use fleeting::{App, Error, Offload, OffloadOptions, Request, Response, Server};
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut options = OffloadOptions::default();
    options.threads = 4;
    options.queue = 64;
    options.time_limit = Duration::from_secs(10);
    let offload = Arc::new(Offload::new(options)?);
    let server = Server::builder().bind(addr).serve(move |_worker| app(&offload))?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run()?;
    Ok(())
}

/// The routes. What is computed is so on the threads of `offload`.
pub fn app(offload: &Offload) -> App {
    App::new().get("/", |_req| Ok(Response::text("Try /primes/100000\n"))).route(
        "GET",
        "/primes/{below}",
        offload.handler(primes),
    )
}

/// A handler like any other: it borrows the request and the arena, which are its thread's.
fn primes<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    let below: u32 = req.param("below").parse().map_err(|_| Error::bad_request("not a number"))?;
    let count = (2..below).filter(|n| is_prime(*n)).count();
    Ok(Response::text(req.arena().format(format_args!("{count}\n"))))
}

fn is_prime(n: u32) -> bool {
    (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}
