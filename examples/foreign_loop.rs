//! A worker inside an event loop that the application owns.
//!
//!     cargo run --example foreign_loop -- 127.0.0.1:8080
//!
//! The loop has a poll and a timer of its own. It watches the worker's file descriptor next to its other
//! sources, waits no longer than `Worker::patience` allows, and gives the worker turns that never block. `/`
//! returns what the loop's timer has counted; `/quit` ends the loop.
//!
//!     curl http://127.0.0.1:8080/
//!     curl http://127.0.0.1:8080/quit

use fleeting::{App, Response, Server, WorkerContext};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::cell::Cell;
use std::error::Error;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const WORKER: Token = Token(0);
const BEAT: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    // The handlers run on this thread, so they share values with the loop without a lock.
    let beats = Rc::new(Cell::new(0u64));
    let mut worker = Server::builder().bind(addr).worker(|context| app(context, beats.clone()))?;
    println!("listening on http://{}", worker.local_addrs()[0]);
    let handle = worker.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));

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
        // The worker has timers, so it needs turns without events too. `false` means that its shutdown is
        // complete.
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
