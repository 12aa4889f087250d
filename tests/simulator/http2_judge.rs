//! What a server may write on a connection of HTTP/2, frame by frame.
//!
//! [`Session`] checks what depends on the frames alone. This adds what depends on the script and on how much the server has
//! read: a window counts once its WINDOW_UPDATE was read, and a smaller one once its SETTINGS are acknowledged.

use super::http2_model::Exchange;
use super::http2_sent::{Change, Sent};
use super::http2_stream::Played;
use super::player::World;
use super::wire::Wire;
use fleeting_testkit::http2::event::Event;
use fleeting_testkit::http2::frames::{Frame, PREFACE, code, flag, kind, setting};
use fleeting_testkit::http2::session::{Session, Windows};
use fleeting_testkit::http2::settings::WINDOW;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The last stream that the first of two GOAWAY frames names (RFC 9113 §6.8).
const ALL_STREAMS: u32 = 0x7fff_ffff;

/// A connection.
pub struct Judge {
    pub session: Session,
    pub streams: BTreeMap<u32, Played>,
    pub sent: Sent,
    /// Bytes of what was written that were looked at, and bytes that were read then.
    parsed: usize,
    seen: usize,
    /// What the server may send, by what it has read.
    window: i64,
    /// What the client has allowed in all, and what was written.
    credit: i64,
    got: i64,
    /// Windows that the server has not read: where the frame ends, the stream, bytes.
    grants: VecDeque<(usize, u32, i64)>,
    /// SETTINGS that are not acknowledged.
    settings: VecDeque<Change>,
    initial: i64,
    /// PINGs that are not acknowledged, each with the streams that were reset before it.
    pings: VecDeque<(usize, [u8; 8], Vec<u32>)>,
    cancelled: Vec<u32>,
    /// The last stream of each GOAWAY.
    pub goaways: Vec<u32>,
    /// What the client finds, and after how many bytes.
    pub found: VecDeque<(usize, Found)>,
    /// Something else than the script has ended the connection, or made its answers others.
    pub is_disturbed: bool,
    /// What follows is not predicted: there was no memory for something.
    pub is_refused: bool,
}

/// What a client finds in what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Settings,
    Ping([u8; 8]),
    /// The stream was refused.
    Refused(u32),
    /// The stream was reset.
    Reset(u32),
    GoAway,
}

impl Judge {
    /// Begins a connection with these settings.
    pub fn new(settings: &[(u16, u32)]) -> Judge {
        let mut session = Session::client(settings);
        (session.windows, session.acknowledges) = (Windows::Closed, false);
        let mut judge = Judge {
            session,
            streams: BTreeMap::new(),
            sent: Sent::default(),
            parsed: 0,
            seen: 0,
            window: WINDOW,
            credit: WINDOW,
            got: 0,
            grants: VecDeque::new(),
            settings: VecDeque::new(),
            initial: WINDOW,
            pings: VecDeque::new(),
            cancelled: Vec::new(),
            goaways: Vec::new(),
            found: VecDeque::new(),
            is_disturbed: false,
            is_refused: false,
        };
        judge.note_settings(settings);
        judge
    }

    /// Returns where the next frame begins in what the client sends.
    fn end(&self) -> usize {
        self.sent.bytes + self.session.output.len()
    }

    /// Returns what is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        let output = std::mem::take(&mut self.session.output);
        self.sent.note(&output);
        output
    }

    fn note_settings(&mut self, settings: &[(u16, u32)]) {
        let window = settings.iter().rev().find(|(id, _)| *id == setting::INITIAL_WINDOW_SIZE);
        let initial = window.map_or(self.initial, |(_, window)| i64::from(*window));
        let change = initial - self.initial;
        self.initial = initial;
        self.streams.values_mut().for_each(|stream| stream.credit += change);
        let last_stream = self.streams.keys().last().copied().unwrap_or(0);
        self.settings.push_back(Change { at: self.end(), change, last_stream, is_applied: false });
    }

    pub fn set(&mut self, settings: &[(u16, u32)]) {
        self.session.set(settings);
        self.note_settings(settings);
    }

    /// Opens a stream. `disguise` may change the form of its frames.
    pub fn open(&mut self, exchange: Exchange, now: u64, disguise: impl FnOnce(Frame) -> Vec<Frame>) -> u32 {
        let ends = exchange.content.is_none() && exchange.trailers.is_empty();
        let at = self.session.output.len();
        let stream = self.session.open(&exchange.head, ends);
        let frames = self.session.output.split_off(at);
        match Frame::parse(&frames) {
            Some((frame, length)) if length == frames.len() => {
                disguise(frame).iter().for_each(|frame| self.session.put(frame));
            }
            _ => self.session.output.extend_from_slice(&frames),
        }
        let mut played = Played::new(exchange, self.initial, self.end(), now);
        let first = Frame::parse(&self.session.output[at..]).map_or(0, |(_, length)| length);
        played.first_end = self.sent.bytes + at + first;
        self.streams.insert(stream, played);
        stream
    }

    /// Sends up to `bytes` bytes of a stream's content, and its end with the last of it. Returns whether anything was sent.
    pub fn send(&mut self, id: u32, bytes: usize, end_apart: bool) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        if stream.sent_end || stream.reset.is_some() || stream.is_cancelled {
            return false;
        }
        let before = self.session.output.len();
        let rest = &stream.content()[stream.sent..];
        let piece = &rest[..rest.len().min(bytes)];
        let is_last = piece.len() == rest.len();
        let has_trailers = !stream.exchange.trailers.is_empty();
        let end = is_last && !has_trailers && (piece.is_empty() || !end_apart);
        let sent = if piece.is_empty() && !end { 0 } else { self.session.data(id, piece, end) };
        let all = sent == rest.len();
        stream.sent(sent, end && all, self.sent.bytes + self.session.output.len());
        if all && has_trailers {
            self.session.fields(id, &stream.exchange.trailers, true);
            stream.sent(0, true, self.sent.bytes + self.session.output.len());
        }
        self.session.output.len() > before
    }

    /// Opens a window by `bytes` bytes.
    pub fn grant(&mut self, id: u32, bytes: i64) {
        let before = self.session.output.len();
        self.session.grant(id, bytes as u32);
        if self.session.output.len() == before {
            return;
        }
        match self.streams.get_mut(&id) {
            Some(stream) => stream.credit += bytes,
            None => self.credit += bytes,
        }
        self.grants.push_back((self.end(), id, bytes));
    }

    /// Returns how many more bytes the client must allow on the connection for all answers.
    pub fn wants(&self) -> i64 {
        self.streams.values().map(Played::rest).sum::<i64>() + self.got - self.credit
    }

    /// Resets a stream.
    pub fn cancel(&mut self, id: u32, code: u32) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_over()) {
            self.session.reset(id, code);
            stream.is_cancelled = true;
            self.cancelled.push(id);
        }
    }

    /// Sends a PING. Once it is acknowledged, the server knows which streams were reset before it.
    pub fn ping(&mut self, payload: [u8; 8]) {
        self.session.put(&Frame::ping(payload));
        self.pings.push_back((self.end(), payload, std::mem::take(&mut self.cancelled)));
    }

    /// Returns the streams whose answers are not complete.
    pub fn open_streams(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.streams.iter().filter(|(_, stream)| !stream.is_over()).map(|(id, _)| *id)
    }

    /// Looks at what was written since the last time.
    pub fn check(&mut self, wire: &Wire, world: &World<'_>) -> Result<(), String> {
        if let Some(violation) = &wire.violation {
            return Err(violation.clone());
        }
        self.note_read(wire.pipe.read);
        self.note_crowd(wire.pipe.read);
        while let Some((frame, length)) = Frame::parse(&wire.pipe.written[self.parsed..]) {
            self.parsed += length;
            let checked = self.check_frame(&frame, wire, world);
            checked.map_err(|problem| format!("{problem}: {frame:?}"))?;
        }
        self.seen = wire.pipe.read;
        if wire.pipe.shut && self.is_http1(wire, world) {
            (self.is_refused, self.is_disturbed) = (true, true);
        } else if wire.pipe.shut && self.parsed < wire.pipe.written.len() && !self.is_disturbed {
            let rest = wire.pipe.written[self.parsed..].escape_ascii();
            return Err(format!("the server has ended within a frame: {rest}"));
        }
        Ok(())
    }

    /// Notes how many streams are open before those whose head has begun to arrive in several frames: with the first, it is
    /// decided whether they are refused.
    fn note_crowd(&mut self, read: usize) {
        let waits = |stream: &Played| stream.first_end <= read && !stream.head && !stream.is_answered();
        let waiting: Vec<u32> =
            self.streams.iter().filter(|(_, stream)| waits(stream)).map(|(id, _)| *id).collect();
        for id in waiting {
            let others = self.others(id);
            self.streams.entry(id).and_modify(|stream| stream.others_max = stream.others_max.max(others));
        }
    }

    /// Returns how many streams are open when the head of this one arrives, by what was written so far.
    fn others(&self, id: u32) -> usize {
        let at = self.streams.get(&id).map_or(0, |stream| stream.first_end);
        let is_open = |(_, stream): &(&u32, &Played)| {
            stream.reset.is_none() && !stream.is_cancel_known && !(stream.end && stream.arrived(at).end)
        };
        self.streams.range(..id).filter(is_open).count()
    }

    /// Returns when the last request was sent, in milliseconds, or else when the connection began. What else arrives does not
    /// show that it is used.
    pub fn asked_ms(&self, wire: &Wire) -> u64 {
        let arrived = self.streams.values().filter(|stream| stream.arrived(self.seen).head);
        arrived.map(|stream| stream.opened_ms).max().unwrap_or(wire.began_ms)
    }

    /// Whether all answers are those of the script.
    pub fn is_predicted(&self) -> bool {
        !self.is_disturbed && self.streams.values().all(|stream| !stream.is_unpredicted)
    }

    /// Whether a stream is open, by what has arrived.
    pub fn is_busy(&self, read: usize) -> bool {
        self.streams.values().any(|stream| stream.arrived(read).head && !stream.is_over())
    }

    /// Whether the server has ended the connection before it knew its protocol: it took too long, or there was no memory.
    fn is_http1(&self, wire: &Wire, world: &World<'_>) -> bool {
        let (written, began) = (&wire.pipe.written, self.sent.first());
        let is_late = began.is_some_and(|began| passed(began, world, world.timeouts.head));
        let is_unknown = wire.read_in_time.is_some_and(|read| read < PREFACE.len());
        self.parsed == 0
            && (is_late && is_unknown && written.starts_with(b"HTTP/1.1 408 ")
                || world.short && written.starts_with(b"HTTP/1.1 503 "))
    }

    /// The windows that the server has read count from now on.
    fn note_read(&mut self, read: usize) {
        while let Some((_, id, bytes)) = self.grants.front().copied().filter(|(at, ..)| *at <= read) {
            self.grants.pop_front();
            match self.streams.get_mut(&id) {
                Some(stream) => stream.window += bytes,
                None => self.window += bytes,
            }
        }
        for sent in self.settings.iter_mut().filter(|sent| sent.at <= read && sent.change > 0) {
            if !std::mem::replace(&mut sent.is_applied, true) {
                sent.apply(&mut self.streams);
            }
        }
    }

    fn check_frame(&mut self, frame: &Frame, wire: &Wire, world: &World<'_>) -> Result<(), String> {
        let (read, id) = (wire.pipe.read, frame.stream);
        if self.goaways.len() > 1 && id > self.goaways[1] {
            return Err("a frame on a stream that GOAWAY has excluded".into());
        }
        if frame.kind == kind::DATA {
            let counted = frame.payload.len() as i64;
            let stream = self.streams.get_mut(&id).ok_or("DATA on an idle stream")?;
            self.window -= counted;
            self.got += counted;
            stream.window -= counted;
            if counted > 0 && (self.window < 0 || stream.window < 0) {
                let (all, one) = (self.window, stream.window);
                return Err(format!("DATA exceeds a window that the server knows: {all}, {one} are left"));
            }
            let (data, end) = (frame.content().ok_or("padding")?, frame.has(flag::END_STREAM));
            let taken = stream.take_data(data, end, read, world);
            self.excuse(taken, world)?;
        }
        let event = self.session.receive(frame)?;
        match event {
            Event::Fields { stream: id, fields, end } => {
                let stream = self.streams.get_mut(&id).ok_or("HEADERS on an idle stream")?;
                let taken = stream.take_head(&fields, end, read, world);
                self.excuse(taken, world)?;
            }
            Event::Reset { stream: id, code } => self.check_reset(id, code, wire, world)?,
            Event::GoAway { last_stream, code, .. } => self.check_goaway(last_stream, code, wire, world)?,
            Event::Settings => self.found.push_back((self.parsed, Found::Settings)),
            Event::Pong(payload) => {
                let (at, sent, cancelled) = self.pings.pop_front().ok_or("an acknowledgment of no PING")?;
                if at > read || sent != payload {
                    return Err("not the PING that was sent".into());
                }
                for id in cancelled {
                    self.streams.entry(id).and_modify(|stream| stream.is_cancel_known = true);
                }
            }
            _ if frame.kind == kind::SETTINGS => {
                let sent = self.settings.pop_front().ok_or("an acknowledgment of no SETTINGS")?;
                if sent.at > read {
                    return Err("an acknowledgment of SETTINGS that were not read".into());
                }
                if sent.change < 0 {
                    sent.apply(&mut self.streams);
                }
            }
            _ if frame.kind == kind::PING => {
                let payload = frame.payload[..].try_into().map_err(|_| "a PING of another length")?;
                self.found.push_back((self.parsed, Found::Ping(payload)));
            }
            _ => {}
        }
        Ok(())
    }

    /// What differs from the script is no error if the server had no memory for it.
    fn excuse(&mut self, result: Result<(), String>, world: &World<'_>) -> Result<(), String> {
        let is_excused = result.is_err() && world.short;
        (self.is_refused, self.is_disturbed) = (self.is_refused | is_excused, self.is_disturbed | is_excused);
        if is_excused { Ok(()) } else { result }
    }

    fn check_reset(&mut self, id: u32, reset: u32, wire: &Wire, world: &World<'_>) -> Result<(), String> {
        let others = self.others(id);
        let stream = self.streams.get_mut(&id).ok_or("RST_STREAM on an idle stream")?;
        let taken = stream.take_reset(reset, wire.pipe.read, others, wire.pipe.ended, world);
        let is_refused = reset == code::REFUSED_STREAM;
        let found = if is_refused { Found::Refused(id) } else { Found::Reset(id) };
        self.is_disturbed |= matches!(reset, code::CANCEL | code::INTERNAL_ERROR);
        self.found.push_back((self.parsed, found));
        self.excuse(taken, world)
    }

    fn check_goaway(&mut self, last: u32, reason: u32, wire: &Wire, world: &World<'_>) -> Result<(), String> {
        let began = self.streams.iter().filter(|(_, stream)| stream.arrived(wire.pipe.read).head);
        let began = began.map(|(id, _)| *id).next_back().unwrap_or(0);
        let has_asked = self.streams.values().any(|stream| stream.arrived(self.seen).head);
        let allowed = if has_asked { world.timeouts.idle } else { world.timeouts.first_byte };
        let is_idle = passed(self.asked_ms(wire), world, allowed);
        let is_right = match reason {
            code::NO_ERROR if last == ALL_STREAMS => world.shut && self.goaways.is_empty(),
            // A connection that is idle when the shutdown begins needs no first one.
            code::NO_ERROR => {
                let has_reason = world.shut || world.evicts || is_idle;
                has_reason && last <= began && self.goaways.len() < 2
            }
            code::ENHANCE_YOUR_CALM => [self.seen, wire.pipe.read].into_iter().any(|read| {
                let allowed = world.timeouts.head.min(world.timeouts.body_stall);
                self.sent.began(read).is_some_and(|began| passed(began, world, allowed))
            }),
            code::INTERNAL_ERROR => world.short,
            _ => false,
        };
        if !is_right {
            let goaways = &self.goaways;
            return Err(format!(
                "GOAWAY without a reason, the last stream is {began}, before it {goaways:?}"
            ));
        }
        if self.goaways.is_empty() && last != ALL_STREAMS {
            self.goaways.push(ALL_STREAMS);
        }
        self.goaways.push(last);
        self.is_disturbed = true;
        self.found.push_back((self.parsed, Found::GoAway));
        Ok(())
    }

    /// Checks that the engine has done all it can. It has read everything, and the client's pipe has room.
    pub fn expect_served(&self, read: usize, world: &World<'_>) -> Result<(), String> {
        let last = self.goaways.get(1).copied().unwrap_or(ALL_STREAMS);
        for (id, stream) in self.streams.range(..=last) {
            stream.expect_served(read, self.window <= 0, world).map_err(|problem| {
                format!("stream {id}: {problem}, windows {} {}", self.window, stream.window)
            })?;
        }
        let open = self.streams.range(..=last).map(|(_, stream)| stream);
        let open = open.filter(|stream| stream.arrived(read).head && !stream.is_answered()).count();
        if open > world.streams_max {
            return Err(format!("{open} streams are open at once"));
        }
        if self.pings.front().is_some_and(|(at, ..)| *at <= read) {
            return Err("a PING was not acknowledged".into());
        }
        if self.settings.front().is_some_and(|sent| sent.at <= read) {
            return Err("SETTINGS were not acknowledged".into());
        }
        Ok(())
    }

    /// Whether streams are left that may still be answered, or wait for a window in vain, when the client has ended its side.
    pub fn is_stuck(&self) -> bool {
        self.streams.values().any(|stream| !stream.is_answered())
    }

    /// Whether every answer that is not complete may remain so: the client has ended its side before its request was complete or
    /// its windows were open, or its answer was to come later.
    pub fn may_be_left(&self, read: usize, is_stalled: bool, world: &World<'_>) -> bool {
        let is_blocked = self.window <= 0;
        self.streams.values().filter(|stream| !stream.is_answered()).all(|stream| {
            let waits_for_window = stream.head && (is_blocked || stream.window <= 0);
            !stream.arrived(read).end
                || waits_for_window && is_stalled
                || stream.is_deferred() && !world.half_close
                || stream.is_websocket()
        })
    }
}

fn passed(since: u64, world: &World<'_>, allowed: Duration) -> bool {
    u128::from(world.now - since) >= allowed.as_millis()
}
