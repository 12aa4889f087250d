//! A running server: its worker threads.
//!
//! It knows no socket and no connection. Its invariant: a server runs whole or not at all.

use super::ServeError;
use crate::config::Io;
use crate::engine::{Handle, ShutdownReport};
use crate::transport::ListenAddr;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running server: its worker threads, until a [`Handle`] shuts them down. Dropping it shuts it down too, without
/// waiting for the end; [`run`](Server::run) waits.
///
/// ```
/// use fleeting::{App, Response, Server};
///
/// let server = Server::builder()
///     .bind("127.0.0.1:0")
///     .serve(|_worker| App::new().get("/", |_req| Ok(Response::text("hello"))))?;
/// println!("listening on {}", server.local_addrs()[0]);
/// server.handle().shutdown(); // from any thread, at any time
/// server.run()?;
/// # Ok::<(), fleeting::ServeError>(())
/// ```
#[derive(Debug)]
#[must_use = "a server that is dropped shuts down; run() waits until it is shut down"]
pub struct Server {
    pub(super) threads: Vec<JoinHandle<io::Result<ShutdownReport>>>,
    pub(super) handle: Handle,
    pub(super) addrs: Arc<[ListenAddr]>,
    pub(super) io: Io,
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `run` nothing is left that could be shut down.
        self.handle.shutdown();
    }
}

/// Shuts all workers down when one of them ends, even by a panic.
pub(super) struct Alarm(pub(super) Handle);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl Server {
    /// Returns the TCP addresses it listens on, in the order of [`bind`](super::Builder::bind). For port 0 it is the port that
    /// the system chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.addrs.iter().filter_map(ListenAddr::tcp).collect()
    }

    /// Returns all addresses it listens on, Unix sockets among them, in the order of [`bind`](super::Builder::bind).
    pub fn listen_addrs(&self) -> &[ListenAddr] {
        &self.addrs
    }

    /// Returns how it writes what is published: [`Io::Uring`], or [`Io::Epoll`] if a worker could not do that.
    pub fn io(&self) -> Io {
        self.io
    }

    /// Returns a handle that reaches the server from any thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the server has been shut down through its [`Handle`]. Returns how many WebSockets were open when the
    /// shutdown began, and which connections were cut off at the end of the grace period.
    ///
    /// # Errors
    /// [`ServeError`] if a worker has failed; the others are shut down then.
    pub fn run(mut self) -> Result<ShutdownReport, ServeError> {
        let mut outcome = Ok(ShutdownReport::default());
        for thread in std::mem::take(&mut self.threads) {
            let ended = match thread.join() {
                Ok(ended) => ended.map_err(ServeError::Io),
                Err(_) => Err(ServeError::Panicked),
            };
            match (ended, &mut outcome) {
                (Ok(report), Ok(whole)) => whole.add(report),
                (Err(failed), Ok(_)) => {
                    self.handle.shutdown();
                    outcome = Err(failed);
                }
                (_, Err(_)) => {}
            }
        }
        outcome
    }
}
