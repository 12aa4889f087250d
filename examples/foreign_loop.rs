//! A worker as a guest in a loop that belongs to somebody else.
//!
//!     cargo run --example foreign_loop -- 127.0.0.1:8080
//!
//! The loop has a poll and a timer of its own. It watches the worker's file descriptor beside its other
//! sources, waits no longer than the worker has patience, and gives it a turn that never blocks.

use fleeting::{App, Response, Server, WorkerContext};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const WORKER: Token = Token(0);
const BEAT: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    run(&addr, |addr| println!("listening on {addr}"))
}

/// The loop. Ends when somebody has asked for `/quit`.
pub fn run(addr: &str, listening: impl FnOnce(SocketAddr)) -> Result<(), Box<dyn Error>> {
    // The handlers run on this thread, so they share with the loop what needs no lock.
    let beats = Rc::new(Cell::new(0u64));
    let mut worker = Server::builder().bind(addr).worker(|context| app(context, beats.clone()))?;
    listening(worker.local_addrs()?[0]);

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    poll.registry().register(&mut SourceFd(&worker.as_raw_fd()), WORKER, Interest::READABLE)?;
    let mut next_beat = Instant::now() + BEAT;
    loop {
        let until_beat = next_beat.saturating_duration_since(Instant::now());
        let patience = worker.patience().unwrap_or(until_beat);
        match poll.poll(&mut events, Some(until_beat.min(patience))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        // Also without an event: the worker has timers. It is done when a shutdown is complete.
        if !worker.turn(Some(Duration::ZERO))? {
            return Ok(());
        }
        if Instant::now() >= next_beat {
            beats.set(beats.get() + 1);
            next_beat += BEAT;
        }
    }
}

fn app(context: &WorkerContext, beats: Rc<Cell<u64>>) -> App {
    let handle = context.handle.clone();
    App::new()
        .get("/", move |req| Ok(Response::text(req.arena().format(format_args!("beat {}\n", beats.get())))))
        .get("/quit", move |_req| {
            handle.shutdown();
            Ok(Response::text("goodbye\n"))
        })
}
