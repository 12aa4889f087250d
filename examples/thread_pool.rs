//! Answers that take long are made by a few threads beside the worker, which goes on serving others.
//!
//!     cargo run --example thread_pool -- 127.0.0.1:8080
//!
//! `/primes/{below}` counts primes. What the pool cannot take is answered with 503 at once: a queue
//! without a bound would only make everybody wait.

use fleeting::{App, Error, Responder, Response, ServeError, Server};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

const THREADS: usize = 4;
/// Requests that wait for a thread.
const QUEUE: usize = 64;

fn main() -> Result<(), ServeError> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let (pool, _threads) = Pool::new(THREADS, QUEUE);
    let server = Server::builder().bind(addr).serve(move |_worker| app(pool.clone()))?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run()
}

/// What a thread is to do. It owns all it needs: nothing of the request leaves the handler by itself.
struct Job {
    below: u32,
    responder: Responder,
}

/// Threads and the queue before them. The threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Pool {
    queue: SyncSender<Job>,
}

impl Pool {
    /// So many threads, with a queue of so many places before them.
    pub fn new(threads: usize, queue: usize) -> (Pool, Vec<JoinHandle<()>>) {
        let (queue, jobs) = sync_channel(queue);
        let jobs = Arc::new(Mutex::new(jobs));
        let threads = (0..threads).map(|_| {
            thread::spawn({
                let jobs = jobs.clone();
                move || work(&jobs)
            })
        });
        (Pool { queue }, threads.collect())
    }

    fn take(&self, job: Job) -> Result<(), Error> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::unavailable("All are busy. Try again."),
            TrySendError::Disconnected(_) => Error::unavailable("There is nobody to do it."),
        })
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().expect("nobody panics with it").recv();
        let Ok(Job { below, responder }) = job else { return };
        // Nobody may be there for the answer any more.
        if !responder.is_gone() {
            let count = (2..below).filter(|n| is_prime(*n)).count();
            let _ = responder.send(Response::text(format!("{count}\n")));
        }
    }
}

fn is_prime(n: u32) -> bool {
    (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// The routes.
pub fn app(pool: Pool) -> App {
    App::new().get("/", |_req| Ok(Response::text("Try /primes/100000\n"))).get(
        "/primes/{below}",
        move |req| {
            let below = req.param("below").parse().map_err(|_| Error::bad_request("not a number"))?;
            let (response, responder) = Response::defer();
            pool.take(Job { below, responder })?;
            Ok(response)
        },
    )
}
