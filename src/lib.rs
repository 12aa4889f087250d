//! A zero-copy, arena-based HTTP/1.1 and WebSocket server.
//!
//! What a handler reads from a request is *fleeting*: it borrows the read buffer and a per-request
//! arena, and both are reused for the next request. Whoever wants it longer copies it, on purpose,
//! with [`keep()`](Keep::keep); the compiler sees to it.
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
//!         let clients = clients.clone(); // one App a worker: handlers need no Sync
//!         App::new()
//!             .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
//!             .post("/clients", move |req| {
//!                 let id = req.header("x-id").ok_or(Error::bad_request("no X-Id"))?;
//!                 *clients.lock().unwrap().entry(id.keep()).or_default() += 1; // without keep(): no compile
//!                 Ok(Response::status(201).body(id))
//!             })
//!     })?
//!     .run()?;
//! # Ok::<(), fleeting::ServeError>(())
//! ```
//!
//! The parts, from the ground up: [`arena`], [`buffer`], [`config`] and [`time`]; the protocols as pure
//! state machines, [`http1`] and [`ws`]; [`transport`] and [`files`]; the application's own types (re-exported here);
//! [`engine`]; and [`Server`].

pub mod app;
pub mod arena;
pub mod buffer;
pub mod config;
pub mod engine;
pub mod files;
pub mod http1;
pub mod keep;
mod panics;
pub mod pubsub;
mod reasons;
pub mod server;
pub mod time;
pub mod transport;
pub mod ws;

pub use app::{
    App, Body, BodySender, ConnId, Error, Event, EventSender, Files, Flow, Full, Gone, Handler, KeptRequest,
    Message, Offload, OffloadOptions, Progress, Pushed, Request, Responder, Response, Resume, Room, Sent,
    Socket, SocketOptions, Source, Upload, Waker, WebSocket,
};
pub use arena::Arena;
pub use buffer::{FilePart, SlowConsumer};
pub use config::{ConfigError, Limits, Timeouts};
pub use engine::{Handle, Subscription, Worker};
pub use keep::Keep;
pub use pubsub::{Broker, Inlet, Publication, TopicError};
pub use server::{ServeError, Server, WorkerContext};
