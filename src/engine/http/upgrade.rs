//! The opening handshake of a WebSocket, from the request to the open socket.
//!
//! It knows no connection record. Its invariant: no byte of a handshake is written before the session and all layers have
//! accepted the connection. If one does not, only the answer to the request is left in the cork.

use crate::app::{
    Body, Error, Handler, Layers, OriginVerdict, Request, Response, Socket, Upgrade, call_through,
    handler_failed, other_origin,
};
use crate::engine::context::Services;
use crate::engine::output::Output;
use crate::engine::websocket::compression::SocketCodec;
use crate::engine::websocket::sender::{SendState, Sender};
use crate::engine::websocket::socket::OpenSocket;
use crate::http1::{ContentLength, ResponseHead, Version};
use crate::http2;
use crate::panics::catch_counted;
use crate::transport::Stream;
use crate::ws::{self, Accepted, Rejected};
use std::cell::Cell;

/// What to answer instead of opening a WebSocket.
pub(in crate::engine) struct NotOpened<'r> {
    pub(in crate::engine) answer: Result<Response<'r>, Error>,
    /// The answer is the last. The client may send what it takes for frames before it reads that its handshake is wrong.
    pub(in crate::engine) last: bool,
}

/// Opens a WebSocket inside of the layers of its application. What its session sends first follows the 101 in the cork.
///
/// # Errors
/// What to answer instead.
pub(in crate::engine) fn open<'r, S: Stream>(
    upgrade: &dyn Upgrade,
    layers: &Layers,
    request: &Request<'r>,
    out: &mut Output<'_, S>,
    services: &mut Services,
) -> Result<OpenSocket, NotOpened<'r>> {
    let before = out.cork.len();
    let lent = Cell::new(Some((&mut *out, &mut *services)));
    let opening = Opening { upgrade, lent, opened: Cell::new(None), rejected: Cell::new(false) };
    let result = call_through(layers, &opening, request);
    let Opening { opened, rejected, .. } = opening;
    let counters = &mut services.counters;
    counters.panics += request.panics();
    if request.extension() == Some(&OriginVerdict::Refused) {
        counters.count_rejected(Rejected::Origin);
    }
    match (result, opened.into_inner()) {
        (Ok(response), Some((socket, accepted))) if response.is_begun() && response.status == 101 => {
            counters.websockets += 1;
            let frames_end = out.cork.len();
            let (fields, date) = (response.fields.bytes(), services.date.text());
            encode_head(request.head().version, &accepted, fields, date, out.cork);
            let head_bytes = out.cork.len() - frames_end;
            out.cork[before..].rotate_right(head_bytes);
            if services.completions.is_on() {
                // What the session has sent already is not part of the response.
                let end = out.cork.position().wrapping_sub((frames_end - before) as u64);
                services.completions.answered(request.conn_id(), response.status, end, false);
            }
            Ok(socket)
        }
        (mut result, opened) => {
            // A layer has not let it pass.
            if let Some((mut socket, _)) = opened {
                socket.end(None, "", &mut counters.panics);
                if socket.leave(services) {
                    services.unlimit_unsent(&mut out.io.stream);
                }
                if let Some(response) = result.as_mut().ok().filter(|response| response.is_begun()) {
                    // Only its status was replaced.
                    response.body = Body::Empty;
                }
            }
            out.cork.truncate(before);
            // A plain request for a WebSocket's resource is followed by requests.
            Err(NotOpened { answer: result, last: rejected.get() && request.head().upgrade })
        }
    }
}

/// The innermost handler of a handshake. It checks the handshake and opens the session, once.
struct Opening<'a, 'l, 'o, S> {
    upgrade: &'a dyn Upgrade,
    lent: Cell<Option<(&'l mut Output<'o, S>, &'l mut Services)>>,
    opened: Cell<Option<(OpenSocket, Accepted<'a>)>>,
    /// The handshake breaks a rule.
    rejected: Cell<bool>,
}

impl<S: Stream> Handler for Opening<'_, '_, '_, S> {
    fn call<'r>(&self, request: &Request<'r>) -> Result<Response<'r>, Error> {
        let Some((out, services)) = self.lent.take() else {
            return Err(Error::internal("A layer has called `next` twice."));
        };
        let head = request.head();
        if services.shutting_down {
            return Err(Error::unavailable("The server is shutting down."));
        }
        if !head.framing.is_empty() {
            self.rejected.set(true);
            return Err(Error::bad_request("A handshake has no content."));
        }
        let (method, http11) = (head.method.as_str(), head.version >= Version::Http11);
        // A layer has decided about the origin already, and may know more origins than this route.
        let is_decided = request.extension() == Some(&OriginVerdict::Admitted);
        let fields = |name: &'static str| {
            let skip = is_decided && matches!(name, "Origin" | "Sec-Fetch-Site");
            head.fields.values(if skip { "" } else { name })
        };
        if head.version == Version::Http2 && !head.upgrade {
            self.rejected.set(true);
            services.counters.count_rejected(Rejected::NotAnUpgrade);
            return Err(Error::bad_request("A WebSocket is opened with an extended CONNECT (RFC 8441)."));
        }
        let policy = self.upgrade.policy();
        let (host, is_secure) = (request.host(), request.is_secure());
        let accepted = match head.version {
            Version::Http2 => ws::handshake::accept_connect(host, is_secure, fields, policy),
            Version::Http10 | Version::Http11 => {
                ws::handshake::accept(method, http11, host, is_secure, fields, policy)
            }
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(reason) => {
                self.rejected.set(true);
                return Err(reject(reason, request, services));
            }
        };
        let codec = accepted.deflate.map(|agreed| SocketCodec::new(agreed, policy.wanted_compression()));
        let mut state = SendState::new(self.upgrade.number(), codec);
        let conn = request.conn_id();
        out.held = true;
        let mut sender = Sender { out, state: &mut state, compresses: true, conn, services, stops: false };
        let mut panics = 0;
        let opened = catch_counted(&mut panics, || {
            self.upgrade.open(request, &mut Socket::new(&mut sender, conn, accepted.protocol))
        });
        services.counters.panics += panics;
        out.held = false;
        match opened.unwrap_or_else(|| Err(handler_failed())) {
            Ok(mut reader) => {
                if accepted.deflate.is_some() {
                    reader.decoder = ws::Decoder::with_deflate();
                }
                self.opened.set(Some((OpenSocket::new(reader, state), accepted)));
                Ok(Response::begun(101))
            }
            Err(error) => {
                if state.leave(services) {
                    services.unlimit_unsent(&mut out.io.stream);
                }
                Err(error)
            }
        }
    }
}

/// Appends the head of the response that opens a WebSocket. Over HTTP/2 its status is 200 (RFC 8441 §5).
fn encode_head(version: Version, accepted: &Accepted<'_>, fields: &[u8], date: &[u8; 29], out: &mut Vec<u8>) {
    if version != Version::Http2 {
        return ws::handshake::encode_switching_protocols(out, accepted, fields, date);
    }
    let mut agreed = Vec::new();
    ws::handshake::encode_agreed(&mut agreed, accepted);
    agreed.extend_from_slice(fields);
    let head = ResponseHead { fields: &agreed, ..ResponseHead::new(200, ContentLength::None, date) };
    http2::push_head_frames(out, &head, false);
}

/// Counts a rejected handshake and returns the error for it.
#[cold]
fn reject(reason: Rejected, request: &Request<'_>, services: &mut Services) -> Error {
    services.counters.count_rejected(reason);
    let error = match reason {
        Rejected::Origin => other_origin(request),
        _ => Error::new(reason.status(), reason.to_string()),
    };
    // The encoder writes these two with every 426.
    let fields = reason.fields().iter().filter(|(name, _)| !matches!(*name, "Upgrade" | "Connection"));
    fields.fold(error, |error, (name, value)| error.add_header(name, value))
}
