//! What an application is made of: requests, responses, handlers, routes, WebSockets.
//!
//! It knows no socket and no loop: a handler is called with a [`Request`] that borrows the read
//! buffer and the arena, and returns a [`Response`] that may borrow them too. Exactly one answer per
//! request, by construction.

mod conn_id;
mod error;
mod files;
mod handler;
#[cfg(feature = "json")]
mod json;
mod request;
mod response;
mod router;
mod routes;
mod socket_options;
mod websocket;

pub use crate::ws::Message;
pub use conn_id::ConnId;
pub use error::Error;
pub use files::Files;
pub use handler::{Handler, Wrapped};
pub use request::{KeptRequest, Request};
pub use response::{Body, Response};
pub use routes::{App, RouteError};
pub use socket_options::SocketOptions;
pub use websocket::{Sent, Socket, WebSocket};

pub(crate) use request::RequestParts;
pub(crate) use router::{Early, Resolved};
pub(crate) use websocket::{LiveSocket, Outgoing, Reader, Upgrade};
