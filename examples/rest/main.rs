//! A REST service as a team would write it: notes as JSON, with log-in, attachments, an access log and the usual layers.
//!
//!     cargo run --example rest --features json -- 127.0.0.1:8080
//!
//! Try it from another terminal:
//!
//!     curl -i http://127.0.0.1:8080/api/notes
//!     curl -i http://127.0.0.1:8080/api/notes -H 'Authorization: Bearer ada-token' --json '{"title": "Tea", "text": "Assam"}'
//!     curl -i http://127.0.0.1:8080/api/notes/1 -H 'Authorization: Bearer ada-token' -H 'If-None-Match: "1"'
//!     curl -i http://127.0.0.1:8080/login -d 'name=bob&password=builder'
//!     curl -i http://127.0.0.1:8080/api/notes/1/attachments -H 'Authorization: Bearer bob-token' -F file=@README.md
//!
//! They are answered with 401 (nobody is logged in), 201, 304 (the client has this version), 303 with a session's cookie,
//! and 201. `app/mod.rs` lists what there is, and which layers lie around it. This file starts the server.

mod app;

use app::Shared;
use fleeting::{Limits, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::thread;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut limits = Limits::default();
    limits.body_bytes = app::CONTENT_BYTES_MAX;
    // All workers get the same notes and sessions.
    let shared = Shared::default();
    let server = Server::builder()
        .bind(addr)
        .workers(2)
        .limits(limits)
        .serve(move |worker| app::app(worker, &shared))?;
    println!("listening on http://{}", server.local_addrs()[0]);
    let handle = server.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
    server.run()?;
    Ok(())
}
