//! The record of one connection.
//!
//! It has no lifetime parameter: it holds offsets and what it owns. Slices of what was read exist
//! only inside one dispatch.

use super::http::transfer::Transfer;
use super::output::{Io, Output};
use super::timer::{Timer, Waiting};
use super::websocket::socket::OpenSocket;
use crate::buffer::{Inbox, Pool};
use crate::http1::{self, Awaits};
use crate::transport::{Peer, Stream};
use std::net::SocketAddr;

/// A connection between two turns.
pub(super) struct Conn<S> {
    pub(super) io: Io<S>,
    pub(super) peer: Peer,
    pub(super) protocol: Protocol,
    pub(super) writing: Writing,
    pub(super) source: Source,
    /// What has arrived and is not done with; `None` while that is nothing.
    pub(super) inbox: Option<Box<Inbox>>,
    /// The inbox was left although it may hold something whole: the budget was used up, or the peer
    /// must first take what it was sent.
    pub(super) unfinished: bool,
    /// On the list of those that get a turn without an event.
    pub(super) runnable: bool,
    pub(super) timer: Timer,
    /// When it became a WebSocket, if its route bounds how long it may be one: in units of
    /// [`OPENED_MS`](super::deadlines::OPENED_MS); 0 if that was not noted.
    pub(super) opened: u32,
}

/// What the bytes that arrive mean.
pub(super) enum Protocol {
    Http(http1::Decoder),
    /// A request that does not pass in one piece.
    Transfer(Box<Transfer>),
    WebSocket(OpenSocket),
}

/// The sending side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Answers may follow.
    Open,
    /// Nothing follows what is queued.
    Last,
    /// Everything has left and the peer was told so; what it still sends is read and thrown away,
    /// so that the last answer is not lost to a reset (RFC 9112 §9.6).
    Lingering,
}

/// The receiving side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The stream has told that it holds nothing; an event will come when it does.
    Drained,
    /// There may be something to read.
    Ready,
    /// The peer has ended its side: the end is yet to be read.
    Ending,
    /// The end has been read.
    Ended,
}

impl<S> Conn<S> {
    pub(super) fn new(stream: S, peer: Option<SocketAddr>) -> Conn<S> {
        Conn {
            io: Io { stream, outbox: None, broken: false },
            peer: peer.into(),
            protocol: Protocol::Http(http1::Decoder::new()),
            writing: Writing::Open,
            source: Source::Drained,
            inbox: None,
            unfinished: false,
            runnable: false,
            timer: Timer::default(),
            opened: 0,
        }
    }

    /// Gives back what it has borrowed from the worker.
    pub(super) fn give_back(&mut self, pool: &mut Pool) {
        if let Some(inbox) = self.inbox.take() {
            pool.give(inbox);
        }
    }

    /// Whether a read may bring something.
    pub(super) fn may_read(&self) -> bool {
        matches!(self.source, Source::Ready | Source::Ending)
    }

    /// Whether more requests or messages can be answered in this turn, if there are any.
    ///
    /// Publications that wait are no reason against it: of a peer that is slower than they come there may
    /// always be some, and it is to be heard all the same.
    pub(super) fn can_answer(&self) -> bool {
        self.writing == Writing::Open && !self.is_blocked() && !self.io.broken && !self.is_held()
    }

    /// Whether the peer has not taken yet what it was answered.
    pub(super) fn is_blocked(&self) -> bool {
        self.io.outbox.as_ref().is_some_and(|outbox| outbox.holds_answers())
    }

    /// How many bytes must be held for something to be whole; 0 if that is not known.
    pub(super) fn wants(&self) -> usize {
        match &self.protocol {
            Protocol::Http(decoder) => decoder.wants(),
            Protocol::Transfer(_) => 0,
            Protocol::WebSocket(open) => open.wants(),
        }
    }

    /// Whether no more is read for now, as with an outbox: a session waits to be told that all it sent has
    /// left, or an answer is awaited.
    pub(super) fn is_held(&self) -> bool {
        match &self.protocol {
            Protocol::Http(_) => false,
            Protocol::Transfer(transfer) => transfer.is_held(),
            Protocol::WebSocket(open) => open.drain_is_due(),
        }
    }

    /// Returns what the connection waits for.
    #[inline]
    pub(super) fn waiting(&self) -> Waiting {
        if self.writing == Writing::Lingering {
            return Waiting::Linger;
        }
        if self.io.outbox.is_some() {
            return Waiting::Write;
        }
        match &self.protocol {
            Protocol::Http(decoder) => match decoder.awaits() {
                Awaits::Request => Waiting::Request,
                Awaits::Head => Waiting::Head,
                Awaits::Content => Waiting::Content,
                Awaits::Discard | Awaits::Close => Waiting::Discard,
            },
            Protocol::Transfer(transfer) => transfer.waiting(),
            Protocol::WebSocket(socket) if socket.is_open() => Waiting::Frame,
            Protocol::WebSocket(_) => Waiting::Close,
        }
    }

    /// Whether there is something to do that no event will tell of.
    pub(super) fn wants_turn(&self) -> bool {
        if let Some(outbox) =
            self.io.outbox.as_ref().filter(|outbox| outbox.is_paused() || outbox.holds_answers())
        {
            return outbox.is_paused();
        }
        match &self.protocol {
            Protocol::Transfer(transfer) if transfer.is_held() => transfer.is_runnable(),
            Protocol::WebSocket(open) if open.drain_is_due() => true,
            _ => self.unfinished || self.may_read(),
        }
    }
}

impl<S: Stream> Conn<S> {
    /// Returns its sending side, which writes through `cork`.
    #[inline]
    pub(super) fn output<'a>(&'a mut self, cork: &'a mut Vec<u8>) -> Output<'a, S> {
        Output::new(&mut self.io, cork)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small() {
        // A stream is a descriptor.
        assert!(size_of::<Conn<i32>>() <= 128, "{}", size_of::<Conn<i32>>());
    }
}
