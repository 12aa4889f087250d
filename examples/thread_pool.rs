//! Slow handlers on a pool of threads, while the worker goes on serving other connections.
//!
//!     cargo run --example thread_pool -- 127.0.0.1:8080
//!
//! `/primes/{below}` counts the primes below a number.
//!
//!     curl http://127.0.0.1:8080/primes/100000
//!
//! The queue is bounded: a request that does not fit gets 503 at once, and a request that has waited for ten
//! seconds gets 503 too. Without a bound every client would wait longer and longer.

use fleeting::{App, Error, Offload, OffloadOptions, Request, Response, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut options = OffloadOptions::default();
    options.threads = 4;
    options.queue = 64;
    options.time_limit = Duration::from_secs(10);
    let offload = Offload::new(options)?;
    let server = Server::builder().bind(addr).serve(move |_worker| app(&offload))?;
    println!("listening on http://{}", server.local_addrs()[0]);
    let handle = server.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
    server.run()?;
    Ok(())
}

/// The routes. `/primes` runs on the threads of `offload`.
pub fn app(offload: &Offload) -> App {
    App::new().get("/", |_req| Ok(Response::text("Try /primes/100000\n"))).route_handler(
        "GET",
        "/primes/{below}",
        offload.handler(primes),
    )
}

/// A handler like any other. The request and the arena that it borrows belong to its thread.
fn primes<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    let below: u32 =
        req.param("below").parse().map_err(|_| Error::bad_request("The bound is not a number."))?;
    let count = (2..below).filter(|n| is_prime(*n)).count();
    Ok(Response::text(req.arena().format(format_args!("{count}\n"))))
}

fn is_prime(n: u32) -> bool {
    (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
}
