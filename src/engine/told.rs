//! What a connection sends without an event of its stream: because the application or the server asks for it, or because
//! publications were dropped.
//!
//! It knows no other connection. Its invariant: it leaves with the turn that follows, or is queued where it belongs.

use super::conn::Protocol;
use super::http::transfer::Transfer;
use super::output::Output;
use super::progress::{Next, StopReason};
use super::turn::{Turn, note_transfer};
use crate::app::Message;
use crate::transport::Stream;
use crate::ws::CloseCode;

impl<S: Stream> Turn<'_, S> {
    /// Asks an endless source for a sign of life, because nothing has been sent for long.
    pub(super) fn quiet(&mut self) {
        self.call_transfer(Transfer::quiet);
    }

    /// Reports to a source, which may be endless, that the server is shutting down.
    pub(super) fn ending(&mut self) {
        self.call_transfer(Transfer::ending);
    }

    fn call_transfer(&mut self, call: impl FnOnce(&mut Transfer, &mut u64) -> bool) {
        if let Protocol::Transfer(transfer) = &mut self.conn.protocol {
            self.conn.io.broken |= !call(transfer, &mut self.context.services.counters.panics);
        }
    }

    /// Sends a message on a WebSocket, if there is room.
    pub(super) fn send(&mut self, message: Message<'_>) {
        let id = self.id;
        if let Some((open, mut out, services)) = self.socket() {
            open.send(&mut out, services, id, message);
        }
    }

    /// Begins a WebSocket's closing handshake.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        let id = self.id;
        if let Some((open, mut out, services)) = self.socket() {
            open.close(&mut out, services, id, code, reason);
        }
    }

    /// Ends a subscriber that reads too slowly.
    pub(super) fn too_slow(&mut self) {
        match &mut self.conn.protocol {
            Protocol::Transfer(transfer) => transfer.too_slow(),
            _ => self.close(CloseCode::TRY_AGAIN, "reads too slowly"),
        }
    }

    /// Asks a WebSocket's peer for a sign of life.
    pub(super) fn ping(&mut self) {
        self.conn.timer.pinged = true;
        let payload = self.conn.timer.ping_payload();
        if let Some((open, mut out, _)) = self.socket() {
            open.ping(&mut out, payload);
        }
    }

    /// Tells the peer, or its session, that publications were dropped here: at the front of what is queued.
    #[inline(never)]
    pub(super) fn tell_gap(&mut self) {
        let lost = self.conn.outbox(self.cork).take_gap();
        let corked = self.cork.len();
        let id = self.id;
        if let Some((open, mut out, services)) = self.socket() {
            open.dropped(&mut out, services, id, lost);
            if !open.is_open() {
                // Nothing may follow a Close, so it stays behind what is queued.
                return;
            }
        } else if let Protocol::Transfer(transfer) = &mut self.conn.protocol {
            let mut out = Output::new(&mut self.conn.io, self.cork);
            let before = out.cork.position();
            transfer.tell_gap(&mut out, &mut self.context.services, lost);
            note_transfer(id, &out, self.context, before, 0, &Next::Same(StopReason::PeerBlocked));
        }
        let note = self.cork.split_off(corked);
        self.cork.passed(note.len() as u64);
        self.conn.outbox(self.cork).push_front(note);
    }
}
