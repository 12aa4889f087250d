//! The server that a test asks: an application, its settings, its time.
//!
//! It knows no protocol. Its invariant: nothing happens in it but what the test, its clients and other threads' commands
//! bring about.

use super::client::Client;
use super::connection::Connection;
use super::events::EventsRequest;
use super::host::{self, Host};
use super::request::{RequestBuilder, methods};
use super::websocket::WebSocketRequest;
use crate::app::App;
use crate::config::{Limits, Proxies, Timeouts};
use crate::engine::{Counters, Handle, Settings, ShutdownReport};
use crate::pubsub::{Attached, Broker, TopicError};
use crate::server::WorkerContext;
use crate::time::Now;
use crate::ws::Message;
use std::cell::RefCell;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Serves an application to the clients of a test, with the default limits and timeouts.
///
/// ```
/// use fleeting::{App, Response, testing};
///
/// let app = testing::serve(App::new().get("/hello/{name}", |req| Ok(Response::text(req.param("name")))));
/// assert_eq!(app.get("/hello/you").send().text(), "you");
/// assert_eq!(app.get("/nowhere").send().status(), 404);
/// ```
///
/// # Panics
/// If a route is wrong: see [`App::check`].
#[track_caller]
pub fn serve(app: App) -> TestServer {
    builder().serve(app)
}

/// Returns a builder with the default limits and timeouts.
pub fn builder() -> Builder {
    Builder {
        settings: Settings::default(),
        broker: None,
        peer: Some(PEER),
        begin: BEGIN,
        patience: Duration::from_secs(30),
    }
}

/// The address of clients, unless a test gives them another.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 49_152);
/// The time at which a server begins, unless a test gives it another: 2026-01-01 00:00:00 UTC.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);
/// The milliseconds of a clock that has run for a while.
const BEGIN_MS: u64 = 1_000_000;

/// The configuration of a [`TestServer`], made by [`builder`].
///
/// ```
/// use fleeting::{App, Limits, Response, Timeouts, testing};
/// use std::time::Duration;
///
/// let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
/// limits.body_bytes = 10;
/// timeouts.idle = Duration::from_secs(5);
/// let app = testing::builder()
///     .limits(limits)
///     .timeouts(timeouts)
///     .serve(App::new().post("/", |req| Ok(Response::bytes(req.body()))));
/// assert_eq!(app.post("/").body("eleven bytes").send().status(), 413);
///
/// let connection = app.connect();
/// assert_eq!(connection.post("/").body("ten bytes.").send().status(), 200);
/// app.advance(Duration::from_secs(4));
/// assert!(!connection.is_closed());
/// app.advance(Duration::from_secs(2));
/// assert!(connection.is_closed());
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it serves"]
pub struct Builder {
    settings: Settings,
    broker: Option<Arc<dyn Broker>>,
    peer: Option<SocketAddr>,
    begin: Duration,
    patience: Duration,
}

impl Builder {
    /// Sets how much a client may send, and how much the server may hold.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// Sets how long a client may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Builder {
        self.settings.timeouts = timeouts;
        self
    }

    /// Sets whether a client that [ends](Connection::end) its sending side may still wait for an answer, as
    /// [`Builder::half_close`](crate::Builder::half_close) does.
    pub fn half_close(mut self, honoured: bool) -> Builder {
        self.settings.half_close = honoured;
        self
    }

    /// Sets which peers are proxies whose fields are believed, as [`Builder::proxies`](crate::Builder::proxies) does. There are no
    /// headers of the PROXY protocol on connections in memory.
    pub fn proxies(mut self, proxies: Proxies) -> Builder {
        self.settings.proxies = Arc::new(proxies);
        self
    }

    /// Also passes everything that is published to `broker`, as [`Builder::broker`](crate::Builder::broker) does.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Builder {
        self.broker = Some(broker);
        self
    }

    /// Sets the address of the clients (default: `127.0.0.1:49152`).
    pub fn peer_addr(mut self, peer: SocketAddr) -> Builder {
        self.peer = Some(peer);
        self
    }

    /// Sets the time at which the server begins, for the dates in its answers. The default is the first second of 2026.
    ///
    /// ```
    /// use fleeting::{App, Response, testing};
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// let begin = UNIX_EPOCH + Duration::from_secs(784_111_777);
    /// let app = testing::builder().begin(begin).serve(App::new().get("/", |_req| Ok(Response::new(204))));
    /// assert_eq!(app.get("/").send().header("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    /// app.advance(Duration::from_secs(3));
    /// assert_eq!(app.get("/").send().header("date"), Some("Sun, 06 Nov 1994 08:49:40 GMT"));
    /// ```
    ///
    /// # Panics
    /// If the time is before 1970.
    #[track_caller]
    pub fn begin(mut self, time: SystemTime) -> Builder {
        self.begin = time.duration_since(UNIX_EPOCH).expect("the time is not before 1970");
        self
    }

    /// Sets how long, on the machine's clock, a test waits for other threads before it fails (default: 30 seconds). It only
    /// bounds how long a broken test hangs.
    pub fn patience(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// Serves an application.
    ///
    /// # Panics
    /// If a route is wrong: see [`App::check`].
    #[track_caller]
    pub fn serve(self, app: App) -> TestServer {
        self.serve_with(|_worker| app)
    }

    /// Serves the application that `make` makes, as [`Server`](crate::Server) does: for applications that hold a
    /// [`Handle`].
    ///
    /// ```
    /// use fleeting::{App, Message, Response, WorkerContext, testing};
    ///
    /// fn prices(worker: &WorkerContext) -> App {
    ///     let (feed, stream) = (worker.handle.clone(), worker.handle.clone());
    ///     App::new()
    ///         .post("/prices", move |req| {
    ///             feed.publish("prices", Message::Text(std::str::from_utf8(req.body()).unwrap_or("?")))?;
    ///             Ok(Response::new(204))
    ///         })
    ///         .get("/prices", move |_req| Ok(stream.events("prices")?))
    /// }
    ///
    /// let app = testing::builder().serve_with(prices);
    /// let mut events = app.events("/prices").open();
    /// assert_eq!(app.post("/prices").body("10").send().status(), 204);
    /// assert_eq!(events.receive().data, "10");
    /// ```
    ///
    /// # Panics
    /// If a route is wrong, or the broker cannot be attached.
    #[track_caller]
    pub fn serve_with(self, make: impl FnOnce(&WorkerContext) -> App) -> TestServer {
        let Builder { settings, broker, peer, begin, patience } = self;
        let handle = Handle::parking(broker.clone(), &settings.limits);
        let attached = broker.map(|broker| match Attached::new(broker, Arc::new(handle.inward())) {
            Ok(attached) => attached,
            Err(error) => panic!("the broker cannot be attached: {error}"),
        });
        let app = make(&WorkerContext { index: 0, handle: handle.clone(), addrs: [].into() }).finish();
        if let Err(error) = app.check() {
            panic!("{error}");
        }
        let now = Now { ms: BEGIN_MS, unix_secs: begin.as_secs() };
        let host = Host::new(app, settings, now, handle, attached, patience);
        TestServer { host: Rc::new(RefCell::new(host)), peer }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// An application under test. The [module](super) has an example for each kind of request.
///
/// Its engine is the one that a [`Worker`](crate::Worker) runs, over connections in memory. It lives as long as its
/// clients.
pub struct TestServer {
    host: Rc<RefCell<Host>>,
    peer: Option<SocketAddr>,
}

impl TestServer {
    /// Opens a connection that the test keeps, for several requests or for bytes as they are.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::new(Client::connect(&self.host, self.peer))
    }

    /// Opens a connection of a client with this address.
    #[track_caller]
    pub fn connect_from(&self, peer: SocketAddr) -> Connection {
        Connection::new(Client::connect(&self.host, Some(peer)))
    }

    /// Makes a request with any method, on a connection of its own.
    ///
    /// # Panics
    /// If the method or the target cannot be in a request line.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str) -> RequestBuilder {
        RequestBuilder::new(self.connect(), method, target)
    }

    methods! {}

    /// Sends bytes as they are, on a connection of their own. Returns the connection, for the answers.
    ///
    /// ```
    /// use fleeting::{App, testing};
    ///
    /// let app = testing::serve(App::new());
    /// assert_eq!(app.raw("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").answer().status(), 400);
    /// ```
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Connection {
        let connection = self.connect();
        connection.raw(bytes);
        connection
    }

    /// Makes a WebSocket handshake for `target`. [`open`](WebSocketRequest::open) sends it.
    ///
    /// # Panics
    /// If the target contains a space or a control character.
    #[track_caller]
    pub fn ws(&self, target: &str) -> WebSocketRequest {
        WebSocketRequest::new(self.get(target), target)
    }

    /// Makes a GET request for the stream of events at `target`. [`open`](EventsRequest::open) sends it.
    ///
    /// # Panics
    /// If the target contains a space or a control character.
    #[track_caller]
    pub fn events(&self, target: &str) -> EventsRequest {
        EventsRequest::new(self.get(target), target)
    }

    /// Lets time pass for the server: timeouts expire and pings are sent and answered, in the order of their times. The
    /// machine's clock plays no part.
    ///
    /// A timeout fires up to 0.2 seconds late, as in production ([`Timeouts`]), so go a second beyond it.
    ///
    /// Only the server's time moves. Other threads, and the time limit of an [`Offload`](crate::Offload), follow the
    /// machine's clock.
    #[track_caller]
    pub fn advance(&self, time: Duration) {
        host::borrow(&self.host).advance(time);
    }

    /// Publishes a message to the subscribers of a topic, as [`Worker::publish`](crate::Worker::publish) does.
    ///
    /// ```
    /// use fleeting::{Message, testing};
    /// # use fleeting::{App, WorkerContext};
    /// # fn app(worker: &WorkerContext) -> App {
    /// #     let handle = worker.handle.clone();
    /// #     App::new().get("/prices", move |req| Ok(handle.events(req.query().unwrap_or("*"))?))
    /// # }
    ///
    /// let app = testing::builder().serve_with(app);
    /// let (mut all, mut some) = (app.events("/prices?prices.*").open(), app.events("/prices?prices.eur").open());
    /// app.publish("prices.usd", Message::Text("1"))?;
    /// app.publish("prices.eur", Message::Text("2"))?;
    /// assert_eq!((all.receive().data, all.receive().data), ("1".into(), "2".into()));
    /// assert_eq!(some.receive().data, "2");
    /// # Ok::<(), fleeting::TopicError>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError`] if the name or the message is not allowed.
    #[track_caller]
    pub fn publish(&self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        let mut host = host::borrow(&self.host);
        let now = host.now;
        host.engine.begin(now);
        let published = host.engine.publish(topic, message);
        host.settle();
        published
    }

    /// Returns a handle, for what the application does from other threads.
    ///
    /// While the test holds it, a call that waits in vain waits for the whole [`patience`](Builder::patience), because
    /// another thread might use it.
    #[track_caller]
    pub fn handle(&self) -> Handle {
        host::borrow(&self.host).handle.clone()
    }

    /// Returns what the server has counted: requests, refusals, messages, panics and so on.
    #[track_caller]
    pub fn counters(&self) -> Counters {
        let mut host = host::borrow(&self.host);
        host.settle();
        host.engine.counters()
    }

    /// Begins a graceful shutdown, as [`Handle::shutdown`] does. [`advance`](TestServer::advance) over the `grace`
    /// timeout cuts off what is still open.
    ///
    /// ```
    /// use fleeting::{App, Response, testing};
    /// use std::time::Duration;
    ///
    /// let app = testing::serve(App::new().post("/", |req| Ok(Response::bytes(req.body()))));
    /// let (idle, half) = (app.connect(), app.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh"));
    /// app.shutdown();
    /// assert!(idle.is_closed() && !half.is_closed());
    /// half.raw("i");
    /// assert_eq!(half.answer().header("connection"), Some("close"));
    /// assert!(app.shutdown_report().unwrap().stragglers.is_empty());
    /// ```
    #[track_caller]
    pub fn shutdown(&self) {
        let mut host = host::borrow(&self.host);
        let now = host.now;
        host.engine.begin(now);
        host.engine.shutdown();
        host.settle();
    }

    /// Returns what a shutdown has closed and cut off, once no connection is open any more.
    #[track_caller]
    pub fn shutdown_report(&self) -> Option<ShutdownReport> {
        let mut host = host::borrow(&self.host);
        host.settle();
        host.engine.is_over().then(|| host.engine.shutdown_report().clone())
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").finish_non_exhaustive()
    }
}
