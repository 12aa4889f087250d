//! The records of the streams of HTTP/2 connections: when they begin, go on and end.
//!
//! It knows no frame. Its invariant: what a turn has posted is carried out in it, as far as the bound allows.

use super::bounds::Bound;
use super::conn::{Conn, Protocol, Source, Writing};
use super::driver::Engine;
use super::http::transfer::Stage;
use super::http2::begun::{Begun, Work};
use super::http2::link::Link;
use super::http2::mux::Mux;
use super::http2::pipe::Pipe;
use super::http2::post::Task;
use super::turn::Turn;
use crate::app::ConnId;
use crate::http1::Decoder;
use crate::transport::Stream;
use std::cell::RefCell;
use std::rc::Rc;

impl<S: Stream> Engine<S> {
    /// Carries out what was posted for streams, and has connections send what their streams have written.
    #[inline]
    pub(super) fn run_streams(&mut self) {
        if !self.post.is_empty() {
            self.run_posted();
        }
    }

    #[inline(never)]
    fn run_posted(&mut self) {
        let mut left = self.bounds.streams;
        loop {
            while left > 0 {
                let Some(task) = self.post.next_task() else { break };
                left -= 1;
                match task {
                    Task::Begin { conn, writable } => self.drive(conn, writable),
                    Task::Ready { conn, readable } => self.resume_stream(conn, readable),
                    Task::Refuse(conn) => self.refuse_stream(conn),
                    Task::Leave(conn) => self.leave_stream(conn),
                    Task::Fail(conn) => self.abort(conn),
                }
            }
            while let Some(owner) = self.post.next_due() {
                self.drive(owner, false);
            }
            if self.post.is_empty() {
                return;
            }
            if left == 0 {
                return self.count_bounded(Bound::Streams);
            }
        }
    }

    /// Makes the records of the streams that a connection has begun in its turn.
    #[inline(never)]
    pub(super) fn begin_streams(&mut self, owner: ConnId) {
        let Some(conn) = self.table.find(owner) else { return };
        let Protocol::Http2(mux) = &conn.protocol else { return };
        let (mux, mut begun) = (mux.clone(), self.post.take_begun());
        for begun in begun.drain(..) {
            self.begin_stream(&mux, begun);
        }
        self.post.give_back(begun);
    }

    fn begin_stream(&mut self, mux: &Rc<RefCell<Mux>>, begun: Begun) {
        let Begun { stream, peer, work, completion } = begun;
        let pipe = Pipe::new(mux.clone(), stream);
        let mut conn = Conn::new(Link::Piped(pipe), peer);
        conn.source = Source::Ready;
        let (mut transfer, mut writable) = (None, true);
        match work {
            Work::Request(inbox) => {
                conn.inbox = Some(inbox);
                conn.unfinished = true;
                writable = false;
            }
            Work::Response(outbox) => {
                conn.io.outbox = Some(outbox);
                conn.writing = Writing::Last;
            }
            Work::Transfer(begun, outbox) => {
                conn.io.outbox = outbox;
                transfer = Some(begun);
            }
        }
        let is_broken = conn.io.outbox.as_ref().is_some_and(|outbox| outbox.is_broken());
        conn.io.broken = is_broken;
        let id = self.table.insert(conn);
        self.streams += 1;
        let Some(conn) = self.table.find(id) else { return };
        if let Some(transfer) = transfer {
            let transfer = transfer.start(&mut Decoder::new(), id, &self.context.services.wake);
            conn.protocol = Protocol::Transfer(transfer);
        }
        self.schedule.begin(id, conn);
        if let Some(completion) = completion {
            let outbox = conn.io.outbox.as_deref().filter(|_| conn.writing == Writing::Last);
            self.context.services.completions.attach(id, completion, outbox);
        }
        let is_open = mux.borrow_mut().name(stream, id);
        // It may have ended since. If there was no memory for all that it begins with, nothing of it may be sent: what follows a
        // lost head would be taken for the head.
        let task = if is_open && !is_broken { Task::Begin { conn: id, writable } } else { Task::Fail(id) };
        self.post.push(task);
    }

    fn refuse_stream(&mut self, id: ConnId) {
        if let Some(conn) = self.table.find(id) {
            // A response that is under way needs no more content.
            let needs_content = match &conn.protocol {
                Protocol::Transfer(transfer) => matches!(transfer.stage(), Stage::Receiving(_)),
                _ => true,
            };
            if needs_content && conn.writing == Writing::Open {
                Turn::new(conn, id, &mut self.context, &mut self.cork).no_memory(None);
            }
            self.drive(id, false);
        }
    }

    /// Lets the record of a stream know that its client may have left, as the end of a connection of HTTP/1.1 does.
    fn leave_stream(&mut self, id: ConnId) {
        if let Some(conn) = self.table.find(id) {
            if conn.source != Source::Ended {
                conn.source = Source::Ending;
            }
            self.drive(id, false);
        }
    }

    fn resume_stream(&mut self, id: ConnId, readable: bool) {
        let Some(conn) = self.table.find(id) else { return };
        if readable && conn.source == Source::Drained {
            conn.source = Source::Ready;
        }
        if !conn.has_turn() {
            self.drive(id, !readable);
        }
    }
}
