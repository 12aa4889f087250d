//! What the turn of a connection does for HTTP/2.
//!
//! It knows no frame. Its invariants: a connection is one of HTTP/2 from its preface on; what its streams have written leaves in
//! its turn.

use super::mux::Mux;
use crate::engine::conn::{Protocol, Source, Writing};
use crate::engine::output::Output;
use crate::engine::turn::Turn;
use crate::http1::Decoder;
use crate::http2::{ErrorCode, PREFACE};
use crate::transport::Stream;
use std::cell::RefCell;
use std::rc::Rc;

/// What the TLS handshake calls HTTP/2 (RFC 9113 §3.2).
const ALPN: &[u8] = b"h2";

impl<S: Stream> Turn<'_, S> {
    /// Finds out whether a connection begins with the preface of HTTP/2, and makes it one then. Returns whether more must
    /// arrive first.
    #[cold]
    pub(in crate::engine) fn waits_for_preface(&mut self, input: &[u8]) -> bool {
        let Protocol::Opening(post) = &self.conn.protocol else { return false };
        if input.is_empty() {
            return true;
        }
        let has_http1 = self.context.services.http.has_http1();
        let is_http2 = match self.conn.io.stream.application_protocol() {
            Some(protocol) => protocol == ALPN,
            None if self.conn.peer.is_secured() => false,
            None => {
                let arrived = input.len().min(PREFACE.len());
                if has_http1 && arrived < PREFACE.len() && input == &PREFACE[..arrived] {
                    self.conn.unfinished = false;
                    return true;
                }
                input.starts_with(PREFACE)
            }
        };
        // Without HTTP/1.1, whatever arrives is answered with GOAWAY.
        let protocol = if is_http2 || !has_http1 {
            let services = &self.context.services;
            let mux = Mux::new(self.id, post.clone());
            mux.core.begin(&services.limits, self.cork);
            Protocol::Http2(Rc::new(RefCell::new(mux)))
        } else {
            Protocol::Http(Decoder::new())
        };
        self.change(protocol);
        false
    }

    /// Ends an idle connection whose client has to know which streams were served. Returns whether it is one of HTTP/2.
    pub(in crate::engine) fn ends_frames(&mut self) -> bool {
        let is_idle = matches!(self.conn.protocol, Protocol::Http2(_)) && self.is_idle();
        if is_idle {
            self.announce_last();
            self.conn.writing = Writing::Last;
        }
        is_idle
    }

    /// Announces the end of the connection, for a shutdown: requests that are on their way are still served.
    pub(in crate::engine) fn announce_end(&mut self) {
        if let Protocol::Http2(mux) = &self.conn.protocol {
            let mux = &mut *mux.borrow_mut();
            mux.core.announce_end(&mut mux.out);
        }
    }

    /// Announces that the connection ends now: its streams have ended.
    pub(in crate::engine) fn announce_last(&mut self) {
        let Protocol::Http2(mux) = &self.conn.protocol else { return };
        {
            let mux = &mut *mux.borrow_mut();
            mux.core.announce_last(&mut mux.out);
        }
        self.send_frames();
    }

    /// Ends a connection and its streams with GOAWAY, because no further frame can be read. Returns whether it is one of HTTP/2.
    #[cold]
    pub(in crate::engine) fn fail_frames(&mut self, code: ErrorCode, why: &str) -> bool {
        let Protocol::Http2(mux) = &self.conn.protocol else { return false };
        {
            let mux = &mut *mux.borrow_mut();
            mux.core.fail(code, why, &mut mux.out);
            mux.end();
        }
        self.send_frames();
        self.conn.writing = Writing::Last;
        true
    }

    /// Whether a connection has streams that go on although the peer has ended its side: their responses are under way. Streams
    /// that wait for content are ended.
    pub(in crate::engine) fn outlives_the_end(&mut self) -> bool {
        let Protocol::Http2(mux) = &self.conn.protocol else { return false };
        let mut mux = mux.borrow_mut();
        mux.peer_has_ended();
        !mux.core.streams.is_empty()
    }

    /// Sends what the connection's streams have written, and lets those go on that wait for room.
    #[inline(never)]
    pub(in crate::engine) fn send_frames(&mut self) {
        let Protocol::Http2(mux) = &self.conn.protocol else { return };
        let mux = &mut *mux.borrow_mut();
        if let Some(bytes) = mux.take_unsent_bytes() {
            // It was tried at start; a stream that has failed since shows that by itself.
            let _ = self.conn.io.stream.limit_unsent(bytes);
        }
        let mut out = Output::new(&mut self.conn.io, self.cork);
        mux.take_out(|frames| out.bytes(frames));
        out.flush();
        mux.set_blocked(self.conn.io.outbox.is_some());
        let has_ended = self.conn.source == Source::Ended && mux.core.streams.is_empty();
        if (has_ended || mux.core.is_drained()) && self.conn.writing == Writing::Open {
            self.conn.writing = Writing::Last;
        }
    }
}
