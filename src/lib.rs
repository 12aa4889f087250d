//! A zero-copy, arena-based HTTP/1.1, HTTP/2 and WebSocket server.
//!
//! A value that a handler reads from a request is *fleeting*: it borrows the read buffer or the request's arena, and
//! both are reused for the next request. To keep a value longer, copy it explicitly with [`keep()`](Keep::keep).
//! Forgetting the copy is a compile error.
//!
//! ```no_run
//! use fleeting::{App, Error, Keep, Response, Server};
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! let clients = Arc::new(Mutex::new(HashMap::<Box<str>, u32>::new()));
//! Server::builder()
//!     .bind("127.0.0.1:8080")
//!     .workers(2)
//!     .serve(move |_worker| {
//!         let clients = clients.clone(); // one App per worker: handlers need no Sync
//!         App::new()
//!             .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
//!             .post("/clients", move |req| {
//!                 let id = req.header("x-id").ok_or(Error::bad_request("no X-Id"))?;
//!                 *clients.lock().unwrap().entry(id.keep()).or_default() += 1; // without keep() this does not compile
//!                 Ok(Response::new(201).body(id))
//!             })
//!     })?
//!     .run()?;
//! # Ok::<(), fleeting::ServeError>(())
//! ```
//!
//! # Where to start
//!
//! - [`App`] collects routes, [`Request`] and [`Response`] are what a [`Handler`] gets and returns, and [`WebSocket`] and
//!   [`Upload`] are traits for connections that outlive one request.
//! - A request's query, form, cookies, preferences and conditions are methods of [`Request`]; a [`Multipart`] receives
//!   files. [`Cookie`] and [`Validators`] go into a response.
//! - [`Server`] listens and runs workers on threads of its own; a [`Worker`] runs on your thread, in your event loop.
//!   [`Builder::prepare`] makes several for several threads.
//! - [`Handle`] publishes, sends and shuts down from any thread. A [`Broker`] connects several servers.
//! - [`Offload`], [`Response::defer`], [`Response::source`] and [`Response::events`] are for answers that take time. Tasks of
//!   any async executor wait with [`Responder::gone`] and [`BodySender::send_async`].
//! - [`App::layer`] goes around routes; [`SitePolicy`] makes the layer that keeps other sites' pages away.
//! - [`Limits`] and [`Timeouts`] bound what a client may use.
//! - [`http1`] and [`ws`] are the protocols without input and output: bytes in, events out. They work without a socket.
//! - [`arena`] is the memory of one request. [`Keep`] copies values out of it.
//!
//! # Features
//!
//! - `deflate` (default): WebSocket compression, permessage-deflate (RFC 7692).
//! - `json`: [`Request::json`], [`Response::json`] and [`Pairs::read`] with serde.
//! - `tls`: [`Builder::bind_tls`] and [`Tls`], with rustls and aws-lc.
//! - `ring`: `tls` with the ciphers of ring on processors where they are faster: those with VAES and without AVX-512. With it,
//!   rustls has two providers: a program that uses rustls itself must name one, or making a configuration panics.
//! - `testing`: tests of an [`App`] without sockets and threads, in the module `testing`.

mod app;
pub mod arena;
mod buffer;
mod config;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod files;
pub mod http1;
#[doc(hidden)]
pub mod http2;
#[doc(hidden)]
pub mod keep;
mod panics;
mod percent;
mod pubsub;
mod reasons;
mod semantics;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
#[doc(hidden)]
pub mod time;
#[doc(hidden)]
pub mod transport;
mod utf8;
pub mod ws;

pub use app::{
    Answer, App, Body, BodySender, Completion, ConnId, Cookie, Error, Event, EventError, EventSender,
    EventsOptions, Files, Flow, FormPart, FormParts, Full, Gone, Handler, HandlerFn, KeptRequest, LayerFn,
    Message, Multipart, MultipartLimits, Offload, OffloadCounters, OffloadOptions, Pairs, PartHead, Progress,
    Pushed, Request, Responder, Response, Resume, Room, RouteError, SameSite, Sent, SitePolicy, Socket,
    SocketOptions, Source, Upload, Waker, WebSocket, handler,
};
#[doc(hidden)]
pub use app::{FormPiece, MultipartReader, Offloaded, Pending};
pub use arena::Arena;
pub use buffer::{FilePart, SlowConsumer};
pub use config::{
    ConfigError, ForwardedFields, HttpVersions, Io, Limits, Networks, Proxies, Setting, Timeouts,
};
pub use engine::{
    Business, Counters, Handle, PublishError, SendError, ShutdownReport, Straggler, Subscription, Worker,
    WorkerError, WorkerFigures,
};
pub use keep::{Keep, kept_bytes};
pub use pubsub::{Broker, Inlet, Publication, TopicCount, TopicError, TopicPage};
pub use semantics::{EntityTag, Validators};
pub use server::{
    Builder, KeepAlive, PreparedWorker, ServeError, Server, TcpOptions, WorkerContext, check_address,
};
pub use transport::{ListenAddr, ProxyHeader};
#[cfg(feature = "tls")]
pub use transport::{Tls, TlsError, TlsOptions};

/// Compiles the examples for those who come from another framework.
#[doc = include_str!("../docs/coming-from.md")]
#[cfg(all(doctest, feature = "json", feature = "testing"))]
pub struct ComingFromDoctests;
