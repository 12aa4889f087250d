//! Servers for tests.
//!
//! A [`TestServer`] has one worker on a thread of its own, and publishes its counters after every turn: tests wait for
//! those, never for time to pass. [`Workers`] is a server with several.
//!
//! With `FLEETING_TEST_HTTP2=1` in the environment, a [`Bridge`] stands before each server that listens at one address, and
//! tests that speak HTTP/1.1 with it reach the engine over HTTP/2. Tests of what only HTTP/1.1 has fail then.

use crate::client::PATIENCE;
use crate::http2::bridge::Bridge;
use fleeting::engine::Counters;
use fleeting::{
    App, Builder, Error, Handle, Limits, Message, Request, ServeError, Server, Socket, Timeouts, WebSocket,
    WorkerContext,
};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};

/// A running server. Dropping it shuts it down, and fails the test if its thread has panicked.
pub struct TestServer {
    pub addr: SocketAddr,
    pub handle: Handle,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
    _bridge: Option<Bridge>,
}

/// Returns the address at which tests reach a server, and the bridge there if there is one.
fn reached(addrs: &[SocketAddr]) -> (SocketAddr, Option<Bridge>) {
    let over_http2 = std::env::var("FLEETING_TEST_HTTP2").is_ok_and(|value| value == "1");
    let bridge = (over_http2 && addrs.len() == 1).then(|| Bridge::start(addrs[0]));
    (bridge.as_ref().map_or(addrs[0], |bridge| bridge.addr), bridge)
}

#[derive(Default)]
struct Seen {
    counters: Mutex<Counters>,
    changed: Condvar,
}

/// Runs the application that `make` makes, with the default limits and timeouts.
pub fn run(make: impl FnOnce(&WorkerContext) -> App + Send + 'static) -> TestServer {
    run_with(|_, _| {}, make)
}

/// Runs the application that `make` makes, with limits and timeouts changed by `set`.
pub fn run_with(
    set: impl FnOnce(&mut Limits, &mut Timeouts),
    make: impl FnOnce(&WorkerContext) -> App + Send + 'static,
) -> TestServer {
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    set(&mut limits, &mut timeouts);
    run_from(Server::builder().limits(limits).timeouts(timeouts), make)
}

/// Runs the application that `make` makes, with the settings of `builder`.
pub fn run_from(builder: Builder, make: impl FnOnce(&WorkerContext) -> App + Send + 'static) -> TestServer {
    let builder = builder.bind("127.0.0.1:0");
    let (started, start) = mpsc::channel();
    let seen = Arc::new(Seen::default());
    let shown = seen.clone();
    let thread = thread::spawn(move || {
        let mut handle = None;
        let worker = builder.worker(|context| {
            handle = Some(context.handle.clone());
            make(context)
        });
        let mut worker = worker.expect("the worker starts");
        let addrs = worker.local_addrs();
        started.send((addrs, handle.expect("the builder was called"))).expect("the test waits");
        while {
            let goes_on = worker.turn(None).expect("polling works");
            *shown.counters.lock().expect("the lock is not poisoned") = worker.counters();
            shown.changed.notify_all();
            goes_on
        } {}
    });
    let (addrs, handle) = start.recv().expect("the worker starts");
    let (addr, bridge) = reached(&addrs);
    TestServer { addr, handle, seen, thread: Some(thread), _bridge: bridge }
}

impl TestServer {
    /// Waits until the counters satisfy `until`. Returns them.
    #[track_caller]
    pub fn wait(&self, until: impl Fn(&Counters) -> bool) -> Counters {
        let counters = self.seen.counters.lock().expect("the lock is not poisoned");
        let waited = self.seen.changed.wait_timeout_while(counters, PATIENCE, |counters| !until(counters));
        let (counters, timeout) = waited.expect("the lock is not poisoned");
        let counters = counters.clone();
        assert!(!timeout.timed_out(), "the counters never reach that state: {counters:?}");
        counters
    }

    /// Shuts the server down and returns the final counters.
    pub fn finish(self) -> Counters {
        let seen = self.seen.clone();
        self.handle.shutdown();
        self.wait_for_end();
        seen.counters.lock().expect("the lock is not poisoned").clone()
    }

    /// Waits until a shutdown is complete.
    pub fn wait_for_end(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the worker has panicked");
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.join();
    }
}

/// A server with several workers. Dropping it shuts it down, and fails the test if a worker has failed.
pub struct Workers {
    /// The first address it listens on.
    pub addr: SocketAddr,
    pub handle: Handle,
    server: Option<Server>,
    _bridge: Option<Bridge>,
}

impl Workers {
    /// Takes over a server that has just started.
    #[track_caller]
    pub fn of(server: Result<Server, ServeError>) -> Workers {
        let server = server.expect("the server starts");
        let (addr, bridge) = reached(&server.local_addrs());
        Workers { addr, handle: server.handle(), server: Some(server), _bridge: bridge }
    }

    /// Shuts the server down and waits for its end.
    pub fn finish(self) {}
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.handle.shutdown();
        let ended = self.server.take().map(Server::run);
        assert!(matches!(ended, Some(Ok(_))) || thread::panicking(), "{ended:?}");
    }
}

/// Returns the name, subscribers and publications of each topic, over all workers.
pub fn topic_counts(handle: &Handle) -> Vec<(Box<str>, usize, u64)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (sender, pages) = mpsc::channel();
        handle.count_topics(after.as_deref(), move |page| sender.send(page).expect("the test waits"));
        let page = pages.recv().expect("the workers answer");
        all.extend(page.topics.into_iter().map(|count| (count.name, count.subscribers, count.published)));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// Returns the number of subscriptions on all workers.
pub fn subscriptions(handle: &Handle) -> usize {
    topic_counts(handle).into_iter().map(|(_, subscribers, _)| subscribers).sum()
}

/// Echoes every message.
pub struct Echo;

impl WebSocket for Echo {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

/// Subscribes every client to "feed", and publishes there what any client sends.
pub struct Feed;

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, "feed")
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.publish("feed", message).expect("it is valid");
    }
}

/// Subscribes its clients to the filter in the query, or to everything, and publishes what they send: `topic text`, or
/// binary content under `binary`.
pub struct Hub;

impl WebSocket for Hub {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, req.query().unwrap_or("*"))
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        publish_topic_and_text(message, socket);
    }
}

/// Subscribes a session from its `open`.
///
/// # Errors
/// A 400 that names the problem if the filter is refused.
pub fn subscribe(socket: &mut Socket<'_>, filter: &str) -> Result<(), Error> {
    socket.subscribe(filter).map(drop).map_err(|error| Error::bad_request(error.to_string()))
}

/// Subscribes to everything, and tells the client how many publications it has missed.
pub struct GapReporter;

impl WebSocket for GapReporter {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, "*")
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }

    fn dropped(&self, _session: &mut (), publications: u64, socket: &mut Socket<'_>) {
        socket.text(&format!("gap {publications}"));
    }
}

/// Publishes a session's message: `topic text`, or binary content under `binary`.
pub fn publish_topic_and_text(message: Message<'_>, socket: &mut Socket<'_>) {
    let published = match message {
        Message::Text(text) => {
            let (topic, text) = text.split_once(' ').expect("a topic and a text");
            socket.publish(topic, Message::Text(text))
        }
        binary => socket.publish("binary", binary),
    };
    published.expect("it can be published");
}
