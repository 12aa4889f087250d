//! The parts of an application: requests, responses, handlers, routes and WebSockets.
//!
//! It knows no socket and no event loop. A handler borrows a [`Request`] and returns a [`Response`] by value,
//! so every request gets exactly one answer. Both may borrow the read buffer and the request's arena.

mod accept;
mod body;
mod channel;
mod completion;
mod conditional;
mod conn_id;
mod content_type;
mod cookies;
mod defer;
#[cfg(feature = "json")]
mod deserialize;
mod early;
mod endpoint;
mod error;
mod error_page;
mod events;
mod events_options;
mod extensions;
mod fields;
mod files;
mod form;
mod forwarded;
mod handler;
#[cfg(feature = "json")]
mod json;
mod kept;
mod layer;
mod multipart;
mod offload;
mod pairs;
mod precedence;
mod query;
mod request;
mod response;
mod route_error;
mod router;
mod routes;
mod scratch;
mod site_policy;
mod slot;
mod socket_options;
mod source;
mod task;
mod topic_events;
mod upload;
mod waker;
mod websocket;

pub use crate::ws::Message;
pub use body::{Answer, Body, Pending};
pub use channel::{BodySender, Pushed};
pub use completion::Completion;
pub use conn_id::ConnId;
pub use cookies::{Cookie, SameSite};
pub use defer::Responder;
pub use error::Error;
pub use events::{Event, EventError, EventSender};
pub use events_options::EventsOptions;
pub use files::Files;
pub use handler::{Handler, HandlerFn, handler};
pub use kept::KeptRequest;
pub use layer::LayerFn;
pub use multipart::{FormPart, FormParts, FormPiece, Multipart, MultipartLimits, MultipartReader, PartHead};
pub use offload::{Full, Offload, OffloadCounters, OffloadOptions, Offloaded};
pub use pairs::Pairs;
pub use request::Request;
pub use response::Response;
pub use route_error::RouteError;
pub use routes::App;
pub use site_policy::SitePolicy;
pub use slot::Gone;
pub use socket_options::SocketOptions;
pub use source::{Progress, Room, Source};
pub use upload::{Flow, Resume, Upload};
pub use waker::Waker;
pub use websocket::{Sent, Socket, WebSocket};

pub(crate) use body::{Awaited, Promise};
pub(crate) use channel::COMMENT;
pub(crate) use defer::answered;
pub(crate) use early::Early;
pub(crate) use endpoint::{Destination, Other, Place};
pub(crate) use events_options::TopicEvents;
pub(crate) use fields::{FieldBlock, FixedField};
pub(crate) use forwarded::forwarded_ip;
pub(crate) use layer::{Layers, call_through, handler_failed, no_memory};
pub(crate) use request::{Params, RequestParts, RequestState};
pub(crate) use router::Resolved;
pub(crate) use site_policy::{OriginVerdict, other_origin};
pub(crate) use source::Streamed;
pub(crate) use topic_events::{encode_event, refuse};
pub(crate) use upload::{LiveUpload, PauseGate, Uploads};
pub(crate) use waker::WakeConn;
pub(crate) use websocket::{LiveSocket, Outgoing, Reader, Upgrade};
