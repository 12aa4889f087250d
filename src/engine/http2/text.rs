//! The head of a request that gets a record of its own: as text in the form of HTTP/1.1, which the record's decoder reads.
//!
//! It knows no connection. Its invariant: what the record reads is the head that has arrived, with all that was checked; the
//! lines that only frame the content are not shown to the application.

use crate::arena::Arena;
use crate::config::Limits;
use crate::http1::{Framing, Head, Method, Version};
use crate::http2::RequestHead;
use std::io::Write as _;

/// How the content of a request appears to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum ContentForm {
    /// As it is: its length is known, or there is none.
    Plain,
    /// In chunks, with trailers.
    Chunked,
    /// As it is, up to the end of the stream: a WebSocket.
    Tunnel,
}

/// Lines that frame the content: those of a tunnel are the most.
const HIDDEN_MAX: usize = 2;
/// An upper bound of their bytes, and of those of the request line besides method and target.
const HIDDEN_BYTES_MAX: usize = 256;

/// Returns how the content of a request appears to its record. `ends`: no content follows.
pub(super) fn form(request: &RequestHead<'_>, ends: bool) -> ContentForm {
    if request.protocol.is_some() {
        ContentForm::Tunnel
    } else if ends || request.content_length.is_some() {
        ContentForm::Plain
    } else {
        ContentForm::Chunked
    }
}

/// Returns the text of a head, in the arena.
pub(super) fn write<'r>(request: &RequestHead<'r>, form: ContentForm, arena: &'r Arena) -> &'r [u8] {
    let head = request.head;
    let method = if form == ContentForm::Tunnel { Method::Get } else { head.method };
    let framing: &str = match form {
        ContentForm::Plain => "",
        ContentForm::Chunked => "Transfer-Encoding: chunked\r\n",
        ContentForm::Tunnel => "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    };
    let mut text = arena.writer();
    let mut put = |parts: &[&[u8]]| {
        for part in parts {
            // Memory of the arena: it cannot fail.
            let _ = text.write_all(part);
        }
    };
    put(&[
        method.as_str().as_bytes(),
        b" ",
        head.target.raw().as_bytes(),
        b" HTTP/1.1\r\n",
        framing.as_bytes(),
    ]);
    for (name, value) in head.fields.iter() {
        put(&[name.as_bytes(), b": ", value, b"\r\n"]);
    }
    put(&[b"\r\n"]);
    text.finish()
}

/// Returns the number of lines that frame the content.
fn hidden(head: &Head<'_>) -> usize {
    if head.upgrade { 2 } else { usize::from(head.framing == Framing::Chunked) }
}

/// Makes the head of a stream of one that was read from its text.
#[inline(never)]
pub(in crate::engine) fn restore<'r>(head: &Head<'r>, arena: &'r Arena) -> &'r Head<'r> {
    let fields = head.fields.without_first(hidden(head));
    arena.alloc(Head { version: Version::Http2, keep_alive: false, fields, ..*head })
}

/// Returns the limits for reading a text: those that are set were checked when the head arrived.
pub(in crate::engine) fn limits(limits: &Limits) -> Limits {
    Limits {
        headers: limits.headers.saturating_add(HIDDEN_MAX),
        head_bytes: limits.head_bytes.saturating_add(HIDDEN_BYTES_MAX),
        ..limits.clone()
    }
}
