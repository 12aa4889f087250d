//! The opening handshake of a WebSocket, from the request to the open socket.
//!
//! It knows no connection record. Its invariant: no byte of a handshake is written before the session has accepted the
//! connection. If it does not accept, only the answer to the request is left in the cork.

use super::answer::handler_failed;
use crate::app::{Error, Request, Response, Socket, Upgrade};
use crate::engine::context::Services;
use crate::engine::output::Output;
use crate::engine::websocket::compression::SocketCodec;
use crate::engine::websocket::sender::{SendState, Sender};
use crate::engine::websocket::socket::OpenSocket;
use crate::http1::Version;
use crate::panics::catch_counted;
use crate::transport::Stream;
use crate::ws::{self, Rejected};

/// Checks a handshake and opens the session. What the session sends first follows the 101 in the cork.
///
/// # Errors
/// What to answer instead.
pub(in crate::engine) fn open<'r, S: Stream>(
    upgrade: &dyn Upgrade,
    request: &Request<'r>,
    out: &mut Output<'_, S>,
    services: &mut Services,
) -> Result<OpenSocket, Response<'r>> {
    let head = request.head();
    if !head.framing.is_empty() {
        return Err(Response::from(Error::bad_request("A handshake has no content.")).close());
    }
    let (method, http11) = (head.method.as_str(), head.version >= Version::Http11);
    let fields = |name: &'static str| head.fields.values(name);
    let accepted = ws::handshake::accept(method, http11, head.host(), fields, upgrade.policy())
        .map_err(|reason| reject(reason, services))?;

    let before = out.cork.len();
    ws::handshake::encode_switching_protocols(out.cork, &accepted, &[], services.date.text());
    let mut state = SendState::new(upgrade.number());
    let mut codec =
        accepted.deflate.map(|agreed| SocketCodec::new(agreed, upgrade.policy().wanted_compression()));
    let conn = request.conn_id();
    out.held = true;
    let mut sender = Sender { out, state: &mut state, codec: codec.as_deref_mut(), conn, services };
    let mut panics = 0;
    let opened = catch_counted(&mut panics, || {
        upgrade.open(request, &mut Socket::new(&mut sender, conn, accepted.protocol))
    });
    services.counters.panics += panics;
    out.held = false;
    let error = match opened {
        Some(Ok(mut reader)) => {
            services.counters.websockets += 1;
            if codec.is_some() {
                reader.decoder = ws::Decoder::with_deflate();
            }
            return Ok(OpenSocket::new(reader, state, codec));
        }
        Some(Err(error)) => error,
        None => handler_failed(),
    };
    state.leave(services);
    out.cork.truncate(before);
    Err(error.into())
}

/// Counts a rejected handshake and returns the response to it.
#[cold]
fn reject(reason: Rejected, services: &mut Services) -> Response<'static> {
    services.counters.count_rejected(reason);
    let mut response = Response::from(Error::new(reason.status(), reason.to_string()));
    for (name, value) in reason.fields() {
        // Upgrade and Connection are not added here: the encoder writes them with every 426.
        let _ = response.fields.add(name, value.as_bytes());
    }
    response
}
