//! A bridge from HTTP/1.1 to HTTP/2: tests and clients of HTTP/1.1 and WebSocket use it to reach a server over HTTP/2.
//!
//! It carries each request of an HTTP/1.1 connection over an HTTP/2 connection with prior knowledge, content piece by piece
//! in both directions, and backs up when a side does not read. A WebSocket handshake becomes an extended CONNECT (RFC 8441). Where
//! HTTP/1.1 shows something by the connection, such as a client that has gone, the bridge shows it by the stream.

mod exchange;
mod head;
mod incoming;
mod link;

use exchange::Exchanges;
use link::Link;
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// A running bridge. Dropping it ends all its connections.
pub struct Bridge {
    /// Where it accepts HTTP/1.1.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    /// Whether all connections of HTTP/1.1 share one of HTTP/2.
    is_shared: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    over: bool,
    /// The connection that is shared.
    link: Option<Arc<Link>>,
    connections: HashMap<u64, Arc<TcpStream>>,
    accepted: u64,
}

impl Bridge {
    /// Starts a bridge to the server at `server`. Each accepted connection has an HTTP/2 connection of its own, from the same
    /// address of this machine as the client's.
    pub fn start(server: SocketAddr) -> Bridge {
        Bridge::begin(server, false)
    }

    /// Starts a bridge that carries everything over one HTTP/2 connection.
    pub fn start_shared(server: SocketAddr) -> Bridge {
        Bridge::begin(server, true)
    }

    fn begin(server: SocketAddr, is_shared: bool) -> Bridge {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared { server, is_shared, state: Mutex::default() });
        let own = shared.clone();
        let acceptor = thread::spawn(move || {
            for client in listener.incoming() {
                if own.state().over {
                    return;
                }
                // A client that is gone before it is accepted is an error of `accept`, and nothing else here.
                if let Ok(client) = client {
                    own.take(client);
                }
            }
        });
        Bridge { addr, shared, acceptor: Some(acceptor) }
    }

    /// Waits until the process is ended.
    pub fn wait(mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let connections = {
            let mut state = self.shared.state();
            state.over = true;
            state.link = None;
            std::mem::take(&mut state.connections)
        };
        connections.values().for_each(|client| drop(client.shutdown(Shutdown::Both)));
        drop(connections);
        // One last connection, which wakes the thread that accepts.
        drop(TcpStream::connect(self.addr));
        let ended = self.acceptor.take().map(JoinHandle::join);
        assert!(matches!(ended, None | Some(Ok(()))) || thread::panicking(), "the bridge has panicked");
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }

    fn take(self: &Arc<Shared>, client: TcpStream) {
        let client = Arc::new(client);
        let id = {
            let mut state = self.state();
            state.accepted += 1;
            let id = state.accepted;
            state.connections.insert(id, client.clone());
            id
        };
        let own = self.clone();
        thread::spawn(move || {
            // If there is no server, the client's connection is closed as well.
            if let Some(link) = own.link(&client) {
                Exchanges::new(link, &client).run();
            }
            own.state().connections.remove(&id);
        });
    }

    fn link(&self, client: &TcpStream) -> Option<Arc<Link>> {
        if !self.is_shared {
            let ip = client.peer_addr().ok()?.ip();
            return Link::connect(self.server, Some(ip)).ok();
        }
        let mut state = self.state();
        if state.link.as_ref().is_none_or(|link| link.is_retired()) {
            state.link = Some(Link::connect(self.server, None).ok()?);
        }
        state.link.clone()
    }
}

#[cfg(test)]
mod tests;
