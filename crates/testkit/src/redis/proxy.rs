//! A TCP proxy between a test and its Redis server. It can hold, cut and refuse connections, and lead new ones to another
//! server.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Stopped when it is dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// Where a proxy leads.
pub enum Upstream {
    Socket(PathBuf),
    /// A port of this machine.
    Port(u16),
}

impl From<PathBuf> for Upstream {
    fn from(path: PathBuf) -> Upstream {
        Upstream::Socket(path)
    }
}

impl From<u16> for Upstream {
    fn from(port: u16) -> Upstream {
        Upstream::Port(port)
    }
}

impl Upstream {
    fn connect(&self) -> io::Result<Socket> {
        let (domain, addr) = match self {
            Upstream::Socket(path) => (Domain::UNIX, SockAddr::unix(path)?),
            Upstream::Port(port) => (Domain::IPV4, SocketAddr::from((Ipv4Addr::LOCALHOST, *port)).into()),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.connect(&addr)?;
        Ok(socket)
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    upstream: Upstream,
    requests_held: bool,
    replies_held: bool,
    /// Number of pieces of requests and replies that are held now.
    held: usize,
    is_closed: bool,
    over: bool,
    connections: Vec<(TcpStream, Socket)>,
    accepted: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }
}

impl Proxy {
    pub fn start(upstream: impl Into<Upstream>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = listener.local_addr().expect("it listens");
        let state = State {
            upstream: upstream.into(),
            requests_held: false,
            replies_held: false,
            held: 0,
            is_closed: false,
            over: false,
            connections: Vec::new(),
            accepted: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let own = shared.clone();
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if own.state().over {
                    return;
                }
                own.take(stream.expect("a connection"));
            }
        });
        Proxy { addr, shared, acceptor: Some(acceptor) }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.shared.state());
        self.shared.changed.notify_all();
    }

    /// Holds requests from now on.
    pub fn hold_requests(&self) {
        self.set(|state| state.requests_held = true);
    }

    /// Holds replies from now on.
    pub fn hold_replies(&self) {
        self.set(|state| state.replies_held = true);
    }

    /// Releases what is held.
    pub fn release(&self) {
        self.set(|state| (state.requests_held, state.replies_held) = (false, false));
    }

    /// Waits until `count` pieces are held.
    pub fn wait_for_held(&self, count: usize) {
        let held = |state: &mut State| state.held < count;
        drop(self.shared.changed.wait_while(self.shared.state(), held).expect("the lock is not poisoned"));
    }

    /// Leads new connections to another server. Those that exist stay where they are.
    pub fn lead_to(&self, upstream: impl Into<Upstream>) {
        self.set(|state| state.upstream = upstream.into());
    }

    /// Ends all connections.
    pub fn cut(&self) {
        for (client, redis) in self.shared.state().connections.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = redis.shutdown(Shutdown::Both);
        }
    }

    /// Sets whether connections are closed as soon as they are made.
    pub fn close(&self, is_closed: bool) {
        self.set(|state| state.is_closed = is_closed);
    }

    /// Returns the number of connections made so far.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }
}

impl Shared {
    fn take(self: &Arc<Shared>, client: TcpStream) {
        let mut state = self.state();
        state.accepted += 1;
        self.changed.notify_all();
        if state.is_closed {
            return;
        }
        // If Redis is not running, the client's connection is closed as well.
        let Ok(redis) = state.upstream.connect() else { return };
        client.set_nodelay(true).expect("the connection is open");
        let twin = (client.try_clone().expect("a descriptor"), redis.try_clone().expect("a descriptor"));
        state.connections.push(twin);
        drop(state);
        let (client2, redis2) =
            (client.try_clone().expect("a descriptor"), redis.try_clone().expect("a descriptor"));
        let (up, down) = (self.clone(), self.clone());
        thread::spawn(move || up.pass(client2, redis2, |state| state.requests_held));
        thread::spawn(move || down.pass(redis, client, |state| state.replies_held));
    }

    fn pass(&self, mut from: impl Read, mut to: impl Write + End, is_held: impl Fn(&State) -> bool) {
        let mut bytes = [0; 64 << 10];
        while let Ok(read) = from.read(&mut bytes)
            && read > 0
        {
            let mut state = self.state();
            if is_held(&state) {
                state.held += 1;
                self.changed.notify_all();
                let held = |state: &mut State| is_held(state) && !state.over;
                state = self.changed.wait_while(state, held).expect("the lock is not poisoned");
                state.held -= 1;
            }
            drop(state);
            // A receiver that is gone gets nothing, but the sender is still read to the end.
            let _ = to.write_all(&bytes[..read]);
        }
        to.end();
    }
}

trait End {
    fn end(&self);
}

impl End for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl End for Socket {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(|state| state.over = true);
        self.cut();
        // One last connection, which wakes the thread that accepts.
        drop(TcpStream::connect(self.addr));
        let ended = self.acceptor.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the proxy has panicked");
    }
}
