//! A client of HTTP/2 follows its script at its own pace: it opens streams, sends content, opens windows, and changes its mind.
//!
//! It sees the server only through its [`Wire`]. It acts on what it has taken from the wire; the [`Judge`] looks at everything
//! that was written at once.

use super::http2_habits::{Habits, disguised};
use super::http2_judge::{Found, Judge};
use super::http2_model::{Exchange, Tally};
use super::player::{IDLE_BEFORE_EVICTION, Line, Player, World};
use super::service::Log;
use super::wire::Wire;
use fleeting::ConnId;
use fleeting::engine::{Counters, Settings};
use fleeting_testkit::http2::frames::{Frame, code, setting};
use fleeting_testkit::http2::hpack::Literal;
use fleeting_testkit::random::Random;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

pub struct Http2Client {
    line: Line,
    habits: Habits,
    judge: Judge,
    /// Exchanges that have not begun.
    todo: VecDeque<Exchange>,
    /// The client has found GOAWAY: it opens no more streams.
    is_leaving: bool,
    pings: u64,
}

impl Player for Http2Client {
    #[cfg(feature = "tls")]
    const PROTOCOL: Option<&'static [u8]> = Some(b"h2");

    fn new(number: usize, random: &mut Random, clock: &Rc<Cell<u64>>, faults: bool) -> Http2Client {
        let mut wire = Wire::new(clock, Random::new(random.bits()), Vec::new());
        wire.trouble = random.one_of(&[0, 0, 30, 300]);
        let sizes = random.one_of(&[500, 20_000, 1 << 20]);
        let window = match sizes {
            500 => random.one_of(&[0, 1, 30, 65_535]),
            _ => random.one_of(&[0, 1000, 20_000, 65_535, 1 << 20]),
        };
        let capacities: &[usize] =
            if sizes == 500 { &[1, 50, 3000, 1 << 20] } else { &[5000, 64 << 10, 1 << 20] };
        wire.set_capacity(random.one_of(capacities));
        let count = random.within(1, 24);
        let todo =
            (0..count).map(|at| Exchange::new(&format!("<c{number:04}.s{at:03}>"), random, sizes)).collect();
        let mut settings = vec![(setting::ENABLE_PUSH, 0)];
        if window != 65_535 || random.chance(500) {
            settings.push((setting::INITIAL_WINDOW_SIZE, window));
        }
        if random.chance(100) {
            settings.push((setting::HEADER_TABLE_SIZE, random.one_of(&[0, 100, 65_536])));
        }
        let mut judge = Judge::new(&settings);
        judge.session.encoder.huffman = random.chance(500);
        judge.session.encoder.literal =
            random.one_of(&[Literal::Indexed, Literal::NotIndexed, Literal::NeverIndexed]);
        let habits = Habits::new(random, sizes, faults);
        Http2Client { line: Line::new(wire), habits, judge, todo, is_leaving: false, pings: 0 }
    }

    fn crowd(random: &mut Random) -> usize {
        random.within(1, 8)
    }

    fn settle_on(settings: &mut Settings, seed: u64) {
        let mut random = Random::new(seed ^ 0x0b77_9113);
        settings.limits.streams = random.one_of(&[1, 3, 100]);
        settings.bounds.streams = random.one_of(&[1, 3, 1024]);
    }

    fn line(&self) -> &Line {
        &self.line
    }

    fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    fn act(&mut self, random: &mut Random, now: u64, hurry: bool) -> bool {
        if self.line.gone || (!hurry && !random.chance(self.habits.pace)) {
            return false;
        }
        let shared = self.line.wire.clone();
        let mut wire = shared.borrow_mut();
        if wire.pipe.reset {
            return false;
        }
        let mut acted = self.take(&mut wire, random, hurry);
        if !hurry && random.chance(self.habits.resets) {
            self.judge.is_disturbed = true;
            wire.reset();
            return true;
        }
        if wire.pipe.ended {
            return acted;
        }
        self.find(&wire);
        self.change_mind(random, hurry);
        self.open_streams(random, now, hurry);
        self.send_content(random, hurry);
        self.open_windows(random, hurry);
        let output = self.judge.take_output();
        wire.sent.extend_from_slice(&output);
        let left = wire.sent.len() - wire.arrived;
        if left > 0 {
            let bytes = random.within(1, left.min(if hurry { 200_000 } else { self.habits.sends }));
            if random.chance(20) {
                wire.arrive_around_a_mark(bytes)
            } else {
                wire.arrive(bytes)
            }
            self.judge.sent.note_arrival(wire.arrived, now);
            acted = true;
        }
        let is_done = self.habits.ends_early && self.is_done() && wire.arrived == wire.sent.len();
        let is_cut = !hurry && random.chance(self.habits.ends);
        self.judge.is_disturbed |= is_cut;
        // Once the server has ended its side, the client usually ends as well.
        let ends_too = wire.write_ended.is_some() && wire.waiting() == 0 && random.chance(500);
        if is_done || is_cut || ends_too {
            wire.finish();
            acted = true;
        }
        acted
    }

    fn leave(&mut self) {
        let mut wire = self.line.wire.borrow_mut();
        if self.line.gone || wire.pipe.reset {
            return;
        }
        if self.habits.never_takes {
            self.judge.is_disturbed = true;
            wire.reset();
        } else if !wire.pipe.ended {
            wire.finish();
        }
    }

    fn compare(&mut self, world: &World<'_>) -> Result<(), String> {
        let wire = self.line.wire.borrow();
        if self.judge.is_refused { Ok(()) } else { self.judge.check(&wire, world) }
    }

    fn expect_served(&mut self, world: &World<'_>) -> Result<(), String> {
        let wire = self.line.wire.borrow();
        if self.line.gone || self.line.id.is_none() || self.judge.is_refused {
            return Ok(());
        }
        if wire.pipe.reset {
            return Err("the stream of a client that is gone was not dropped".into());
        }
        // The engine waits for the client to take something, or reads no more.
        if wire.pipe.short || wire.write_ended.is_some() {
            return Ok(());
        }
        if wire.pipe.read < wire.arrived {
            return Err(format!("{} bytes were read of {}", wire.pipe.read, wire.arrived));
        }
        if wire.pipe.ended {
            // What waits for a window will get none.
            return match self.judge.is_stuck() {
                true => Ok(()),
                false => {
                    Err("the client has ended and has all its answers, but the stream was not dropped".into())
                }
            };
        }
        self.judge.expect_served(wire.pipe.read, world)?;
        let is_idle = self.judge.open_streams().next().is_none() && wire.pipe.read == wire.sent.len();
        if world.shut && is_idle && wire.pipe.read > 0 {
            return Err("an idle connection was kept after the shutdown".into());
        }
        Ok(())
    }

    fn expect_complete(&self) -> Result<(), String> {
        if self.judge.is_disturbed || self.habits.never_takes || self.line.id.is_none() || self.is_done() {
            return Ok(());
        }
        let open: Vec<u32> = self.judge.open_streams().collect();
        Err(format!("{} exchanges have not begun, {open:?} are not complete", self.todo.len()))
    }

    fn expect_reason_for_end(&mut self, world: &World<'_>) -> Result<(), String> {
        let wire = self.line.wire.borrow();
        let Some(at) = wire.dropped.filter(|_| !self.line.gone) else { return Ok(()) };
        self.line.gone = true;
        let passed = |since: u64, allowed: Duration| at - since >= allowed.as_millis() as u64;
        let is_whole = !wire.pipe.reset && wire.pipe.end_read && !wire.pipe.short;
        let is_complete = is_whole && self.judge.open_streams().next().is_none();
        self.judge.is_disturbed |= !is_complete;
        if world.short || world.shut || wire.pipe.reset || is_complete {
            return Ok(());
        }
        let timeouts = world.timeouts;
        let is_idle = !self.judge.is_busy(wire.pipe.read);
        let is_right = if world.evicts && is_idle {
            passed(wire.write_ended.unwrap_or(self.judge.asked_ms(&wire)), IDLE_BEFORE_EVICTION)
        } else if wire.pipe.end_read {
            let stalled = passed(wire.last_write_ms, timeouts.write_stall);
            // Whether there was a reason for GOAWAY was checked.
            !self.judge.goaways.is_empty()
                || self.judge.is_refused
                || wire.pipe.short && stalled
                || self.judge.may_be_left(wire.pipe.read, stalled, world)
        } else if let Some(ended) = wire.write_ended {
            passed(ended, if world.evicts { IDLE_BEFORE_EVICTION } else { timeouts.linger })
        } else if wire.behind {
            passed(wire.last_write_ms, timeouts.write_stall) && wire.pipe.room == 0
        } else {
            wire.pipe.read == 0 && passed(wire.began_ms, timeouts.first_byte)
        };
        if is_right {
            return Ok(());
        }
        let (read, arrived, ended) = (wire.pipe.read, wire.arrived, wire.write_ended);
        let tail = &wire.pipe.written[wire.pipe.written.len().saturating_sub(80)..];
        Err(format!(
            "the stream was dropped without a reason at {at}: {read} bytes were read of {arrived}, the last at {}, \
             the last were written at {}, ends {} {ended:?}\n written: {}",
            wire.last_read_ms,
            wire.last_write_ms,
            wire.pipe.end_read,
            tail.escape_ascii()
        ))
    }

    fn count(
        clients: &[Http2Client],
        _ids: &[ConnId],
        log: &Log,
        counters: &Counters,
        is_calm: bool,
    ) -> Result<(), String> {
        if !is_calm || clients.iter().any(|client| !client.is_done() || !client.judge.is_predicted()) {
            return Ok(());
        }
        let (mut tally, mut responses) = (Tally::default(), 0);
        for stream in clients.iter().flat_map(|client| client.judge.streams.values()) {
            if stream.reset != Some(code::REFUSED_STREAM) {
                tally += stream.exchange.tally;
            }
            responses += u64::from(stream.end);
        }
        let counted = Tally {
            requests: counters.requests,
            early: counters.early_answers,
            websockets: counters.websockets,
            messages: counters.messages,
            failed: counters.failed().map(|(_, count)| count).sum(),
            panics: counters.panics,
        };
        if counted != tally {
            return Err(format!("expected {tally:?}\n counted {counted:?}"));
        }
        let (completed, sent) = (log.completed.get(), log.sent.get());
        if (completed, sent) != (responses, responses) {
            return Err(format!("{responses} responses, {completed} were completed, {sent} sent"));
        }
        Ok(())
    }
}

impl Http2Client {
    /// Whether the script was played to its end.
    fn is_done(&self) -> bool {
        self.todo.is_empty() && self.judge.open_streams().next().is_none()
    }

    /// Takes part of what was written. Returns whether there was anything.
    fn take(&mut self, wire: &mut Wire, random: &mut Random, hurry: bool) -> bool {
        let waiting = wire.waiting();
        if waiting == 0 || self.habits.never_takes {
            return false;
        }
        let most = if hurry { 1 << 20 } else { self.habits.takes };
        wire.take(random.within(1, waiting.min(most)).max(if hurry { waiting.min(64 << 10) } else { 1 }));
        true
    }

    /// Acts on what is among the bytes that were taken.
    fn find(&mut self, wire: &Wire) {
        while let Some((_, found)) = self.judge.found.front().filter(|(at, _)| *at <= wire.taken).cloned() {
            self.judge.found.pop_front();
            match found {
                Found::Settings => self.judge.session.put(&Frame::settings_ack()),
                Found::Ping(payload) if !self.habits.is_rude => {
                    self.judge.session.put(&Frame::ping_ack(payload));
                }
                // It may be sent again (RFC 9113 §8.7).
                Found::Refused(stream) => {
                    let refused = self.judge.streams.get(&stream).map(|stream| stream.exchange.clone());
                    self.todo.extend(refused);
                }
                Found::GoAway => self.is_leaving = true,
                Found::Ping(_) | Found::Reset(_) => {}
            }
        }
    }

    /// Changes windows, resets streams, and sends what asks for nothing.
    fn change_mind(&mut self, random: &mut Random, hurry: bool) {
        if hurry {
            return;
        }
        if random.chance(15) {
            let window = random.one_of(&[0, 100, 5000, 65_535, 200_000]);
            self.judge.set(&[(setting::INITIAL_WINDOW_SIZE, window)]);
        }
        if random.chance(self.habits.cancels) {
            let open: Vec<u32> = self.judge.open_streams().collect();
            if !open.is_empty() {
                let code = random.one_of(&[code::CANCEL, code::NO_ERROR, code::INTERNAL_ERROR]);
                self.judge.cancel(random.one_of(&open), code);
                self.judge.is_disturbed = true;
            }
        }
        if random.chance(30) {
            self.pings += 1;
            self.judge.ping(self.pings.to_be_bytes());
        }
        let (last, session) = (self.judge.streams.keys().last().copied(), &mut self.judge.session);
        if random.chance(10) {
            session.put(&Frame::priority(last.unwrap_or(1), 0, 15));
        }
        if random.chance(10) {
            session.put(&Frame::new(0x42, 0xff, last.unwrap_or(0), *b"unknown"));
        }
    }

    fn open_streams(&mut self, random: &mut Random, now: u64, hurry: bool) {
        let allowed = self.judge.session.settings.as_ref().and_then(|settings| settings.streams_max);
        let allowed =
            allowed.filter(|_| hurry || !self.habits.overruns).map_or(usize::MAX, |max| max as usize);
        while !self.is_leaving && self.judge.open_streams().count() < self.habits.streams.min(allowed) {
            if !hurry && !random.chance(500) {
                return;
            }
            let Some(exchange) = self.todo.pop_front() else { return };
            let form = random.below(8);
            let pieces = random.within(1, 4);
            self.judge.open(exchange, now, |frame| disguised(frame, form, pieces));
        }
    }

    fn send_content(&mut self, random: &mut Random, hurry: bool) {
        let open: Vec<u32> = self.judge.open_streams().collect();
        for id in open {
            if hurry {
                while self.judge.send(id, 16_384, false) {}
            } else if random.chance(500) {
                let bytes = random.within(1, self.habits.piece);
                self.judge.send(id, bytes, random.chance(300));
            }
        }
    }

    /// Opens windows as far as the answers need it, or beyond.
    fn open_windows(&mut self, random: &mut Random, hurry: bool) {
        let open: Vec<u32> = self.judge.open_streams().collect();
        let wanted = self.judge.wants();
        let wants = open.iter().map(|id| (*id, self.judge.streams[id].wants())).chain([(0, wanted)]);
        for (id, wants) in wants.collect::<Vec<_>>() {
            if hurry && wants > 0 {
                self.judge.grant(id, wants);
            } else if !hurry && (wants > 0 && random.chance(300) || random.chance(5)) {
                self.judge.grant(id, random.within(1, self.habits.grants) as i64);
            }
        }
    }
}
