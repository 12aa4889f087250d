//! One connection, seen from its client: the bytes in both directions, and what the client does by itself.
//!
//! It knows no engine. Its invariant: what an engine must be told of is noted in `due`.

use super::messages::Messages;
use super::stream::{MemoryStream, Pipe};
use crate::app::ConnId;
use crate::engine::Readiness;
use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;

/// The client's end of a connection.
#[derive(Debug)]
pub(super) struct Line {
    /// `None` until the server accepts it.
    pub(super) id: Option<ConnId>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) due: Readiness,
    pipe: Rc<RefCell<Pipe>>,
    /// `Some` once the connection is a WebSocket.
    pub(super) messages: Option<Messages>,
}

impl Line {
    pub(super) fn new(peer: Option<SocketAddr>) -> Line {
        let pipe = Rc::new(RefCell::new(Pipe::with_room(usize::MAX)));
        Line { id: None, peer, due: Readiness::default(), pipe, messages: None }
    }

    /// Makes the engine's end.
    pub(super) fn stream(&self) -> MemoryStream {
        MemoryStream::new(&self.pipe)
    }

    pub(super) fn pipe(&self) -> RefMut<'_, Pipe> {
        self.pipe.borrow_mut()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.pipe().deliver(bytes);
        self.due.readable |= !bytes.is_empty();
    }

    /// Ends the client's sending side.
    pub(super) fn end(&mut self) {
        if !std::mem::replace(&mut self.pipe().ended, true) {
            self.due = Readiness { readable: true, ended: true, ..self.due };
        }
    }

    /// The client is gone.
    pub(super) fn reset(&mut self) {
        self.pipe().reset = true;
        self.due = Readiness { readable: true, writable: true, ended: true, ..self.due };
    }

    /// From now on `bytes` more fit, as if the client read no more than that.
    pub(super) fn set_room(&mut self, bytes: usize) {
        let mut pipe = self.pipe();
        pipe.room = 0;
        let waited = pipe.add_room(bytes);
        drop(pipe);
        self.due.writable |= waited;
    }

    /// Whether the server has ended its side, or the whole connection.
    pub(super) fn has_ended(&self) -> bool {
        let pipe = self.pipe();
        pipe.shut || pipe.dropped
    }

    /// Whether an event is due.
    pub(super) fn is_due(&self) -> bool {
        self.due.readable || self.due.writable || self.due.ended
    }

    /// Does what clients do by themselves: a WebSocket answers pings and Closes, and a client whose server has ended its
    /// side ends its own.
    pub(super) fn react(&mut self) {
        if let Some(messages) = &mut self.messages {
            let answers = messages.read(&mut self.pipe.borrow_mut().written);
            self.send(&answers);
        }
        if self.has_ended() {
            self.end();
        }
    }
}
