//! Tests of an application, without sockets and threads (feature `testing`).
//!
//! A [`TestServer`] runs the engine that serves in production over connections in memory: the same parser, router,
//! limits, timeouts, framing and panics. Only the operating system is missing, so tests are fast and repeatable: they use
//! no ports, do not wait for timeouts, and do not depend on a scheduler.
//!
//! ```toml
//! [dev-dependencies]
//! fleeting = { version = "0.1", features = ["testing"] }
//! ```
//!
//! ```
//! use fleeting::{App, Error, Response, testing};
//!
//! fn app() -> App {
//!     App::new().get("/users/{id}", |req| {
//!         let id: u32 = req.param("id").parse().map_err(|_| Error::bad_request("not a number"))?;
//!         Ok(Response::text(format!("user {id}")))
//!     })
//! }
//!
//! // #[test]
//! fn users_are_found_by_their_number() {
//!     let app = testing::serve(app());
//!     let answer = app.get("/users/7").header("accept", "text/plain").send();
//!     assert_eq!(answer.status(), 200);
//!     assert_eq!(answer.text(), "user 7");
//!     assert_eq!(app.get("/users/me").send().status(), 400);
//! }
//! # users_are_found_by_their_number();
//! ```
//!
//! # What to look for
//!
//! | to test | use |
//! | --- | --- |
//! | requests and answers | [`TestServer::get`] and its kin, [`RequestBuilder`], [`Answer`] |
//! | several requests on a connection, bytes as they are | [`TestServer::connect`], [`TestServer::raw`], [`Connection`] |
//! | WebSockets | [`TestServer::ws`], [`WebSocketClient`] |
//! | streams of events | [`TestServer::events`], [`EventStream`] |
//! | answers that come later, content that is streamed | [`RequestBuilder::begin`], [`Pending`] |
//! | limits, timeouts, an application that holds a `Handle` | [`builder`], [`Builder::serve_with`] |
//! | time | [`TestServer::advance`] |
//! | topics | [`TestServer::publish`] |
//! | clients that read slowly | [`Connection::read_only`], [`WebSocketClient::read_only`] |
//! | a shutdown | [`TestServer::shutdown`] |
//!
//! # Other threads
//!
//! Everything happens on the test's own thread, within the calls of this module. If an application uses threads of its
//! own (a deferred answer, [`Offload`](crate::Offload), [`Handle`](crate::Handle)), a call that waits for an answer, a
//! message or an event waits for their work and for nothing else: it returns as soon as that is there, and no time passes
//! for the server meanwhile.
//!
//! ```
//! use fleeting::{App, Offload, OffloadOptions, Response, testing};
//!
//! let offload = Offload::new(OffloadOptions::default())?;
//! let slow = offload.closure(|_req| Ok(Response::text("computed")));
//! let app = testing::serve(App::new().route_handler("GET", "/slow", slow));
//! assert_eq!(app.get("/slow").send().text(), "computed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A call that waits in vain panics, with a message that says what was missing. If nothing outside the server can reach
//! it, the call panics at once. While a `Handle`, a `Responder` or a sender exists, also within the application itself, an
//! answer may still come from another thread: the call then panics after 30 seconds. [`Builder::patience`] shortens that.
//!
//! # Panics
//!
//! A handler that panics is answered with 500, as in production.
//!
//! ```
//! use fleeting::{App, testing};
//!
//! let app = testing::serve(App::new().get("/", |_req| panic!("a bug")));
//! assert_eq!(app.get("/").send().status(), 500);
//! assert_eq!(app.counters().panics, 1);
//! ```

mod answer;
mod client;
mod connection;
mod events;
mod host;
mod line;
mod messages;
mod request;
#[doc(hidden)]
pub mod rest;
mod server;
#[doc(hidden)]
pub mod stream;
#[cfg(feature = "tls")]
#[doc(hidden)]
pub mod tls;
mod websocket;
#[doc(hidden)]
pub mod wire;

pub use answer::Answer;
pub use connection::{Connection, NoAnswer, Pending};
pub use events::{EventStream, EventsRequest, ReceivedEvent};
pub use messages::Received;
pub use request::RequestBuilder;
pub use server::{Builder, TestServer, builder, serve};
pub use websocket::{WebSocketClient, WebSocketRequest};
