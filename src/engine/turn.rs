//! One connection's turn: send what is queued, answer what has come, read more, flush once.
//!
//! It knows no other connection. Its invariant: the cork is empty before and after, and every byte
//! that was read is answered, kept in the inbox, or of no more use to anyone.

use super::conn::{Conn, Protocol, Source, Writing};
use super::context::{Desk, Fate, Stop};
use super::http::{requests as http, transfer};
use super::output::Output;
use super::timer::Waiting;
use super::websocket::socket as websocket;
use crate::app::ConnId;
use crate::buffer::Taken;
use crate::config::READ_BYTES;
use crate::transport::Stream;
use std::io;

/// Reads for one connection in one turn whose bytes are thrown away.
const DISCARD_READS: usize = 4;

/// One connection's turn.
pub(super) struct Turn<'a, S> {
    conn: &'a mut Conn<S>,
    id: ConnId,
    desk: &'a mut Desk,
    /// Something was completed, so that the connection is waited for anew.
    pub(super) fresh: bool,
}

impl<'a, S: Stream> Turn<'a, S> {
    pub(super) fn new(conn: &'a mut Conn<S>, id: ConnId, desk: &'a mut Desk) -> Turn<'a, S> {
        Turn { conn, id, desk, fresh: false }
    }

    /// Takes the turn. `writable`: the stream may take what is queued.
    #[inline]
    pub(super) fn take(&mut self, writable: bool) -> Fate {
        if self.conn.io.outbox.as_ref().is_some_and(|outbox| writable || outbox.is_paused()) {
            self.send_queued();
        }
        if !self.conn.is_blocked() {
            match &self.conn.protocol {
                Protocol::Http(_) => {}
                Protocol::Transfer(_) => self.fresh |= transfer::advance(self.conn, self.id, self.desk),
                // The cork may hold what this turn is for.
                Protocol::WebSocket(_) if !self.desk.cork.is_empty() => {}
                Protocol::WebSocket(_) => websocket::drained(self.conn, self.id, self.desk),
            }
        }
        if self.conn.can_answer() {
            let (waits, fresh) = (self.conn.io.outbox.is_some(), self.fresh);
            self.answer();
            // Who is heard has not taken anything for that.
            if waits {
                self.fresh = fresh;
            }
        }
        self.output().flush();
        if self.conn.io.broken {
            return Fate::Dies;
        }
        if self.conn.writing == Writing::Open || self.conn.io.outbox.is_some() {
            return Fate::Lives;
        }
        self.finish()
    }

    /// Whether nothing is under way: neither a request nor an answer.
    pub(super) fn is_idle(&self) -> bool {
        let conn = &*self.conn;
        conn.writing == Writing::Open
            && conn.inbox.is_none()
            && !conn.may_read()
            && conn.waiting() == Waiting::Request
    }

    /// Nothing more will be answered.
    pub(super) fn end(&mut self) -> Fate {
        self.conn.writing = Writing::Last;
        self.finish()
    }

    fn output(&mut self) -> Output<'_, S> {
        self.conn.output(&mut self.desk.cork)
    }

    fn send_queued(&mut self) {
        let Desk { cork, counters, .. } = &mut *self.desk;
        match self.conn.output(cork).send_outbox(&mut counters.delivered) {
            Taken::All | Taken::Paused => self.fresh = true,
            Taken::Blocked { progress } => self.fresh |= progress,
        }
    }

    /// Works through what is there, then reads once and works through that.
    #[inline]
    fn answer(&mut self) {
        let mut budget = self.desk.limits.pipeline;
        if self.conn.unfinished {
            self.work_through_inbox(&mut budget);
        }
        if self.conn.may_read() && !self.conn.unfinished && self.conn.can_answer() {
            self.read(&mut budget);
        }
    }

    fn work_through_inbox(&mut self, budget: &mut usize) {
        let Some(mut inbox) = self.conn.inbox.take() else { return };
        let (from, to) = self.work_through(inbox.bytes_mut(), budget);
        inbox.keep(from, to);
        if inbox.is_empty() {
            self.desk.pool.give(inbox);
        } else {
            self.conn.inbox = Some(inbox);
        }
    }

    #[inline]
    fn read(&mut self, budget: &mut usize) {
        if self.conn.inbox.is_some() {
            let wants = self.conn.wants();
            let inbox = self.conn.inbox.as_mut().expect("just seen");
            let room = inbox.room(wants);
            if let Some(bytes) =
                read_into(&mut self.conn.io.stream, &mut self.conn.source, &mut self.conn.io.broken, room)
            {
                inbox.filled(bytes);
                self.work_through_inbox(budget);
            }
        } else {
            // Taken out for the time that slices of it are alive.
            let mut buffer = std::mem::take(&mut self.desk.read_buffer);
            let conn = &mut *self.conn;
            if let Some(bytes) =
                read_into(&mut conn.io.stream, &mut conn.source, &mut conn.io.broken, &mut buffer)
            {
                let (from, to) = self.work_through(&mut buffer[..bytes], budget);
                if from < to {
                    let mut inbox = self.desk.pool.take();
                    inbox.push(&buffer[from..to]);
                    self.conn.inbox = Some(inbox);
                }
                if cfg!(any(fuzzing, fleeting_paranoid)) {
                    // Freed, so that AddressSanitizer sees whoever still looks at what was read.
                    buffer = vec![0; READ_BYTES];
                }
            }
            self.desk.read_buffer = buffer;
        }
        if self.conn.source == Source::Ended {
            self.ended();
        }
    }

    /// The peer sends no more: what is queued for it still leaves (RFC 9112 §9.6).
    fn ended(&mut self) {
        self.conn.writing = Writing::Last;
        self.conn.unfinished = false;
        if let Protocol::WebSocket(open) = &mut self.conn.protocol {
            open.end(None, "", &mut self.desk.counters);
            open.leave(self.desk);
        }
        transfer::end(self.conn, &mut self.desk.counters);
    }

    /// Returns the bounds of what must come again.
    #[inline]
    fn work_through(&mut self, input: &mut [u8], budget: &mut usize) -> (usize, usize) {
        let (mut from, mut to) = (0, input.len());
        let stop = loop {
            let ran = match self.conn.protocol {
                Protocol::Http(_) => http::run(self.conn, self.id, &mut input[from..to], budget, self.desk),
                Protocol::Transfer(_) => transfer::run(self.conn, self.id, &mut input[from..to], self.desk),
                Protocol::WebSocket(_) => websocket::run(self.conn, self.id, &mut input[from..to], self.desk),
            };
            self.fresh |= ran.fresh;
            (from, to) = (from + ran.from, from + ran.to);
            if ran.stop != Stop::Changed {
                break ran.stop;
            }
        };
        self.conn.unfinished = matches!(stop, Stop::Budget | Stop::Blocked) && from < to;
        if stop == Stop::Over {
            self.conn.writing = Writing::Last;
            return (to, to);
        }
        (from, to)
    }

    /// Everything has left: tells the peer so, and waits for its end.
    fn finish(&mut self) -> Fate {
        if self.conn.source == Source::Ended {
            return Fate::Dies;
        }
        if self.conn.writing == Writing::Last {
            if self.conn.io.stream.shutdown_write().is_err() {
                return Fate::Dies;
            }
            self.conn.writing = Writing::Lingering;
            self.conn.unfinished = false;
            self.conn.give_back(&mut self.desk.pool);
        }
        for _ in 0..DISCARD_READS {
            if !self.conn.may_read() {
                break;
            }
            let conn = &mut *self.conn;
            read_into(&mut conn.io.stream, &mut conn.source, &mut conn.io.broken, &mut self.desk.read_buffer);
            if conn.io.broken || conn.source == Source::Ended {
                return Fate::Dies;
            }
        }
        Fate::Lives
    }
}

/// Reads once. `None` if nothing came: there is nothing now, or never will be.
#[inline]
fn read_into<S: Stream>(
    stream: &mut S,
    source: &mut Source,
    broken: &mut bool,
    room: &mut [u8],
) -> Option<usize> {
    loop {
        match stream.read(room) {
            Ok(0) => {
                *source = Source::Ended;
                return None;
            }
            Ok(bytes) => {
                // A short read has drained the stream: the next event is a new one. But the end that
                // this event has told of is still to be read.
                if bytes < room.len() && *source == Source::Ready {
                    *source = Source::Drained;
                }
                return Some(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                *source = Source::Drained;
                *broken |= error.kind() != io::ErrorKind::WouldBlock;
                return None;
            }
        }
    }
}
