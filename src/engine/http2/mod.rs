//! HTTP/2 (RFC 9113) on a connection: its requests, and the streams that outlive their arrival.
//!
//! A request that is answered when it arrives needs no record: its response goes straight into the cork. Any other stream
//! gets a connection record of its own, which reads and writes a [`Pipe`](pipe::Pipe) as if it were a socket, so all that
//! HTTP/1.1 does with uploads, deferred answers, files, events and WebSockets is done by the same code.

mod answers;
pub(super) mod begun;
pub(super) mod held;
pub(super) mod link;
pub(super) mod mux;
pub(super) mod pipe;
pub(super) mod post;
mod record;
pub(super) mod requests;
pub(super) mod spare;
pub(super) mod text;
mod turn;
