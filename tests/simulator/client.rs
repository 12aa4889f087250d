//! A client follows its script at its own pace, and compares what it receives with the model.
//!
//! It sees the server only through its [`Wire`].

use super::player::{IDLE_BEFORE_EVICTION, Line, Player, World};
use super::response::{DATE, TEXT, alike, as_last, response, server_close};
use super::script::{Phase, Script, Tally};
use super::service::Log;
use super::wire::Wire;
use fleeting::ConnId;
use fleeting::engine::Counters;
use fleeting_testkit::random::Random;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Length of the payload of the server's pings, which is not predicted.
const PING_PAYLOAD_BYTES: usize = 8;
/// The maximum lateness of a timer, in milliseconds.
const LATE_MS: u128 = 200;
/// A request that the application may pause.
const UPLOAD: &[u8] = b"POST /sum";

pub struct Client {
    pub line: Line,
    pub script: Script,
    /// Number of bytes of `written` that were compared with `answers` and found equal.
    checked: usize,
    /// Where in `answers` the server's last ping ends.
    ping_end: usize,
    habits: Habits,
    /// There was no memory for something: what it was answered instead is not predicted.
    pub refused: bool,
    /// How many bytes the engine had read and written when it was last at rest, and since when it has not moved any, in
    /// milliseconds.
    rested: ((usize, usize), u64),
    /// Something other than the script has ended it: a timeout, a shutdown, a reset.
    pub disturbed: bool,
}

/// How a client behaves.
struct Habits {
    /// The maximum number of bytes that arrive, or are taken, at once.
    sends: usize,
    takes: usize,
    /// The number of steps, of a thousand, in which it does something.
    pace: usize,
    never_takes: bool,
    /// It ends its side once everything is sent.
    ends_early: bool,
    /// It resets the connection once this much was sent.
    resets_at: Option<usize>,
}

impl Player for Client {
    fn new(number: usize, random: &mut Random, clock: &Rc<Cell<u64>>, faults: bool) -> Client {
        let script = Script::new(number, random);
        let mut wire = Wire::new(clock, Random::new(random.bits()), script.sent.clone());
        let (sent, answers) = (script.sent.len(), script.answers.len());
        wire.trouble = random.one_of(&[0, 0, 30, 300]);
        let capacities: &[usize] =
            if answers < 3000 { &[1, 50, 3000, 1 << 20] } else { &[5000, 64 << 10, 1 << 20] };
        wire.set_capacity(random.one_of(capacities));
        let paces: &[usize] = if sent < 1500 { &[1, 7, 100, 1500] } else { &[500, 1500, 20_000, 1 << 20] };
        let habits = Habits {
            sends: random.one_of(paces),
            takes: random.one_of(if answers < 1500 { &[1, 40, 1500] } else { &[1000, 20_000, 1 << 20] }),
            pace: random.one_of(&[100, 500, 1000]),
            never_takes: random.chance(60),
            ends_early: random.chance(200),
            resets_at: (faults && random.chance(250)).then(|| random.below(sent + 1)),
        };
        Client {
            line: Line::new(wire),
            script,
            checked: 0,
            ping_end: 0,
            disturbed: habits.resets_at.is_some(),
            habits,
            refused: false,
            rested: ((0, 0), clock.get()),
        }
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
        let mut wire = self.line.wire.borrow_mut();
        if wire.pipe.reset {
            return false;
        }
        let mut acted = false;
        let waiting = wire.waiting();
        if waiting > 0 && !self.habits.never_takes {
            let most = if hurry { 1 << 20 } else { self.habits.takes };
            wire.take(random.within(1, waiting.min(most)).max(if hurry { waiting.min(64 << 10) } else { 1 }));
            acted = true;
        }
        if self.habits.resets_at.is_some_and(|at| wire.arrived >= at) && (hurry || random.chance(200)) {
            wire.reset();
            return true;
        }
        let left = wire.sent.len() - wire.arrived;
        if left > 0 && !wire.pipe.ended {
            let from = wire.arrived;
            let most = left.min(if hurry { 200_000 } else { self.habits.sends });
            let most = most.min(self.until_gate(from, wire.taken));
            if most > 0 {
                let bytes = if hurry { most } else { random.within(1, most) };
                if random.chance(20) {
                    wire.arrive_around_a_mark(bytes);
                } else {
                    wire.arrive(bytes);
                }
                for item in self.script.items.iter_mut().filter(|item| item.began == u64::MAX) {
                    if item.start >= from + bytes {
                        break;
                    }
                    item.began = now;
                }
                acted = true;
            }
        }
        let done = wire.arrived == wire.sent.len() && self.habits.ends_early;
        // Once the server has ended its side, the client usually ends as well.
        let answers_end = wire.write_ended.is_some() && wire.waiting() == 0 && random.chance(500);
        if (done || answers_end) && !wire.pipe.ended {
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
            self.disturbed = true;
            wire.reset();
        } else if !wire.pipe.ended {
            wire.finish();
        }
    }

    fn compare(&mut self, world: &World<'_>) -> Result<(), String> {
        let shared = self.line.wire.clone();
        let wire = shared.borrow();
        if let Some(violation) = &wire.violation {
            return Err(violation.clone());
        }
        let written = &wire.pipe.written;
        while self.checked < written.len() && !self.refused {
            self.fill_dates(written, world)?;
            let answers = &self.script.answers[self.checked.min(self.script.answers.len())..];
            let got = &written[self.checked..];
            let same = if answers.starts_with(got) {
                got.len()
            } else {
                answers.iter().zip(got).take_while(|(a, b)| a == b).count()
            };
            self.checked += same;
            if same < got.len() {
                self.find_reason(&wire, world)?;
            }
        }
        if !self.disturbed
            && !self.refused
            && written.len() > self.script.allowed(wire.arrived).max(self.ping_end)
        {
            // The answer to a timeout begins like any other.
            if self.find_reason(&wire, world).is_err() {
                return Err(format!(
                    "an answer to a request that was not sent: {}",
                    shown(written, written.len())
                ));
            }
            drop(wire);
            return self.compare(world);
        }
        drop(wire);
        let mut wire = shared.borrow_mut();
        wire.seen = wire.pipe.read;
        Ok(())
    }

    fn expect_served(&mut self, world: &World<'_>) -> Result<(), String> {
        let shared = self.line.wire.clone();
        let wire = shared.borrow();
        let moved = (wire.pipe.read, wire.pipe.written.len());
        if self.rested.0 != moved {
            self.rested = (moved, world.now);
        }
        if self.line.gone || self.line.id.is_none() || self.refused {
            return Ok(());
        }
        if wire.pipe.reset {
            return Err("the stream of a client that is gone was not dropped".into());
        }
        // The engine waits for the client to take something.
        if wire.pipe.short {
            return Ok(());
        }
        if wire.pipe.ended {
            return Err("the client has ended and has all its answers, but the stream was not dropped".into());
        }
        let due = self.script.due(must_answer(&wire, wire.arrived, world));
        if wire.pipe.written.len() < due {
            return Err(format!(
                "a lost wake-up: {} bytes were written of {due}\n read: {}\n written: {}",
                wire.pipe.written.len(),
                shown(&wire.sent, wire.pipe.read),
                shown(&wire.pipe.written, wire.pipe.written.len())
            ));
        }
        self.expect_no_stall(&wire, world)?;
        let boundary = wire.pipe.read == 0 || self.script.items.iter().any(|item| item.end == wire.pipe.read);
        let over = self.script.over
            && wire.pipe.written.len() == self.script.answers.len()
            && wire.arrived == wire.sent.len();
        let closing = self.script.item_at(wire.pipe.read).phase == Phase::Closing && self.script.still_here();
        if over && !closing && !self.disturbed && wire.write_ended.is_none() {
            return Err("everything was answered, but the engine did not end its side".into());
        }
        let phase = self.script.phase_before(wire.pipe.read);
        let discards =
            self.script.item_at(wire.pipe.read).phase == Phase::Discard && wire.pipe.read < wire.sent.len();
        let idle = matches!(phase, Phase::Http | Phase::Discard)
            && boundary
            && !self.script.is_content(wire.pipe.read);
        let open = self.script.tally_before(wire.pipe.read).websockets > 0;
        if world.shut
            && idle
            && !discards
            && !open
            && wire.pipe.read == wire.arrived
            && wire.write_ended.is_none()
        {
            let (read, written) =
                (shown(&wire.sent, wire.pipe.read), shown(&wire.pipe.written, wire.pipe.written.len()));
            return Err(format!(
                "an idle connection was kept after the shutdown\n read: {read}\n written: {written}"
            ));
        }
        Ok(())
    }

    fn expect_complete(&self) -> Result<(), String> {
        let wire = self.line.wire.borrow();
        if self.disturbed || self.habits.never_takes || self.line.id.is_none() {
            return Ok(());
        }
        if wire.arrived < wire.sent.len() && !self.script.over {
            return Err(format!("the client waits for an answer at {} of {}", wire.arrived, wire.sent.len()));
        }
        if wire.pipe.written.len() < self.script.answers.len() {
            let (written, answers) = (wire.pipe.written.len(), self.script.answers.len());
            return Err(format!("{written} bytes were written of {answers}"));
        }
        Ok(())
    }

    fn expect_reason_for_end(&mut self, world: &World<'_>) -> Result<(), String> {
        let wire = self.line.wire.borrow();
        let Some(at) = wire.dropped.filter(|_| !self.line.gone) else { return Ok(()) };
        self.line.gone = true;
        // What its client did not take could not be queued, or a request behind the answer that has begun; or it was
        // refused before.
        let begun = !self.script.bounds.contains(&wire.pipe.written.len())
            || !self.script.items.iter().any(|item| item.end == wire.pipe.read);
        if world.short && (wire.behind || self.refused || begun) {
            self.disturbed = true;
            return Ok(());
        }
        let passed = |since: u64, allowed: Duration| at - since >= allowed.as_millis() as u64;
        if wire.pipe.reset {
            self.disturbed = true;
            return Ok(());
        }
        if wire.pipe.end_read {
            let due = self.script.due(must_answer(&wire, wire.pipe.read, world));
            let all = wire.pipe.written.len() >= due && !wire.pipe.short;
            let stalled =
                wire.behind && (world.shut || passed(wire.last_write_ms, world.timeouts.write_stall));
            let written = wire.pipe.written.len();
            let left = !world.half_close && !wire.pipe.short && self.script.is_deferred_at(written);
            self.disturbed |= left && !all;
            return if all || stalled || left {
                Ok(())
            } else {
                Err(format!(
                    "dropped with {} bytes written of {due}: {} {}",
                    wire.pipe.written.len(),
                    shown(&wire.sent, wire.pipe.read),
                    shown(&wire.pipe.written, wire.pipe.written.len())
                ))
            };
        }
        if world.shut {
            self.disturbed = true;
            return Ok(());
        }
        if let Some(ended) = wire.write_ended {
            let allowed = if world.evicts { IDLE_BEFORE_EVICTION } else { world.timeouts.linger };
            return if passed(ended, allowed) { Ok(()) } else { Err("did not linger".into()) };
        }
        self.disturbed = true;
        let right = if world.evicts && self.is_idle(&wire) {
            passed(wire.last_write_ms, IDLE_BEFORE_EVICTION)
        } else if wire.behind {
            // What has room is offered first, though no event has said so.
            passed(wire.last_write_ms, world.timeouts.write_stall) && wire.pipe.room == 0
        } else if self.script.tally_before(wire.pipe.read).websockets > 0 {
            passed(wire.last_write_ms, world.timeouts.close)
        } else if self.script.item_at(wire.pipe.read).phase == Phase::Discard {
            passed(self.script.item_at(wire.pipe.read).began.min(wire.last_read_ms), world.timeouts.linger)
        } else if blank(&wire.sent[..wire.pipe.read]) {
            passed(wire.began_ms, world.timeouts.first_byte)
        } else {
            passed(wire.last_read_ms, world.timeouts.idle)
        };
        if right {
            return Ok(());
        }
        let (read, written) =
            (shown(&wire.sent, wire.pipe.read), shown(&wire.pipe.written, wire.pipe.written.len()));
        Err(format!("the stream was dropped without a reason\n read: {read}\n written: {written}"))
    }

    fn crowd(random: &mut Random) -> usize {
        random.within(4, 28)
    }

    fn count(
        clients: &[Client],
        ids: &[ConnId],
        log: &Log,
        counters: &Counters,
        is_calm: bool,
    ) -> Result<(), String> {
        let refused: u64 = counters.refused().map(|(_, count)| count).sum();
        let failed: u64 = counters.failed().map(|(_, count)| count).sum();
        let responses: u64 = clients.iter().map(Client::responses).sum();
        let answered = counters.requests + counters.early_answers + refused;
        let known = clients.iter().all(|client| !client.refused);
        if known && responses > answered + counters.timeouts {
            return Err(format!("{responses} responses, but {counters:?}"));
        }
        let completed = log.completed.get();
        if completed < counters.requests + counters.early_answers || completed > answered + counters.timeouts
        {
            return Err(format!("{completed} requests were completed, but {counters:?}"));
        }
        for (id, client) in ids.iter().zip(clients) {
            let wire = client.line.wire.borrow();
            let written = &wire.pipe.written;
            let noted = log.bytes_out.borrow().get(id).copied().unwrap_or(0);
            // The rest may be interim responses and a WebSocket's frames, or the beginning of an interim response.
            let Some(rest) = written.get(noted as usize..) else {
                return Err(format!("{noted} bytes were reported on {id}, {} written", written.len()));
            };
            let others = [&b"HTTP/1.1 100 "[..], b"HTTP/1.1 101 "];
            let has_others = || others.iter().any(|head| written.windows(head.len()).any(|at| at == *head));
            if !b"HTTP/1.1 100 Continue\r\n\r\n".starts_with(rest) && !has_others() {
                return Err(format!("{noted} bytes were reported on {id}, {} written", written.len()));
            }
        }
        if is_calm && clients.iter().all(|client| !client.disturbed) {
            let mut tally = Tally::default();
            clients.iter().for_each(|client| tally += client.tally());
            let counted = Tally {
                requests: counters.requests,
                early: counters.early_answers,
                refused,
                websockets: counters.websockets,
                messages: counters.messages,
                failed,
                panics: counters.panics,
                responses,
            };
            if counted != tally {
                return Err(format!("expected {tally:?}\n counted {counted:?}"));
            }
            if log.sent.get() != responses {
                return Err(format!("{responses} responses, {} were reported as sent", log.sent.get()));
            }
        }
        Ok(())
    }
}

impl Client {
    /// Returns how many bytes may be sent before an answer must be awaited.
    fn until_gate(&self, arrived: usize, taken: usize) -> usize {
        let open = self.script.items.iter().find(|item| item.gate && taken < item.answers_end);
        open.map_or(usize::MAX, |item| item.end.saturating_sub(arrived))
    }

    /// Copies the written Dates into the model, if the clock has shown them.
    fn fill_dates(&mut self, written: &[u8], world: &World<'_>) -> Result<(), String> {
        let first = self.script.dates.partition_point(|at| at + DATE.len() <= self.checked);
        for &at in &self.script.dates[first..] {
            if at >= written.len() {
                break;
            }
            let end = written.len().min(at + DATE.len());
            let date = &written[at..end];
            if let Ok(date) = <&[u8; 29]>::try_from(date)
                && !world.dates.contains(date)
            {
                // The comparison reports anything that is not a Date.
                if date.ends_with(b" GMT") {
                    return Err(format!("a wrong date: {}", date.escape_ascii()));
                }
                continue;
            }
            self.script.answers[at..end].copy_from_slice(date);
        }
        // The server chooses the payload of its pings.
        let (from, to) = (self.ping_end.saturating_sub(PING_PAYLOAD_BYTES), self.ping_end.min(written.len()));
        if from < to {
            self.script.answers[from..to].copy_from_slice(&written[from..to]);
        }
        Ok(())
    }

    /// What was written differs from the script. Finds a valid reason and changes the script accordingly.
    fn find_reason(&mut self, wire: &Wire, world: &World<'_>) -> Result<(), String> {
        let at = self.script.bounds.iter().rev().find(|at| **at <= self.checked).copied().unwrap_or(0);
        // There is another boundary after the last response or frame.
        let at = if self.checked == self.script.answers.len() { self.checked } else { at };
        let got = &wire.pipe.written[at..];
        let frames = self.script.tally_before(wire.pipe.read).websockets > 0;
        let silent = |since: u64, allowed: Duration| world.now - since >= allowed.as_millis() as u64;
        if frames && !self.script.over_at(at) {
            if silent(wire.last_read_ms, world.timeouts.ping) && alike(got, b"\x89\x08") {
                let ping = [&b"\x89\x08"[..], &[0; PING_PAYLOAD_BYTES]].concat();
                self.script.insert(at, &ping, wire.pipe.read);
                self.ping_end = at + ping.len();
                self.checked = at;
                return Ok(());
            }
            let idle = server_close(1001, "idle for too long");
            if silent(wire.last_read_ms, world.timeouts.ws_idle) && alike(got, &idle) {
                return self.end_with(at, &idle);
            }
            let stalled = server_close(1008, "a message arrives too slowly");
            let began = self.script.message_under_way(wire.seen);
            if began.is_some_and(|began| silent(began, world.timeouts.message_stall)) && alike(got, &stalled)
            {
                return self.end_with(at, &stalled);
            }
            let away = server_close(1001, "shutting down");
            if world.shut && alike(got, &away) {
                return self.end_with(at, &away);
            }
        }
        if world.short {
            let sentence = b"The server is short of memory. Try again later.";
            let refusals = ["", "Connection: close\r\n"].iter().flat_map(|connection| {
                let fields = format!("retry-after: 1\r\n{connection}");
                [false, true]
                    .map(|head_only| response("503 Service Unavailable", TEXT, &fields, sentence, head_only))
            });
            let close = server_close(1013, "the server is short of memory");
            if refusals.chain([close]).any(|refusal| alike(got, &refusal)) {
                (self.refused, self.disturbed) = (true, true);
                self.checked = wire.pipe.written.len();
                return Ok(());
            }
        }
        // What arrives after the timeout is discarded.
        let item = self.script.item_at(wire.seen);
        let partial = item.phase == Phase::Http && item.start < wire.seen && wire.seen < item.end;
        // Between the 100 and the first byte of the content.
        let asked = item.phase == Phase::Http && item.start == wire.seen && self.script.is_content(wire.seen);
        let text = b"The request took too long to arrive.";
        // The request's head is an item of its own if the client waits for a 100. With that, the time of the content begins.
        let first =
            if self.script.is_content(item.start) { self.script.item_at(item.start - 1) } else { item };
        let (begins, began) = (first.start, first.began);
        // This includes what arrived in the very turn of the timeout.
        let known = wire.read_in_time.unwrap_or(wire.pipe.read).max(begins);
        let head_only = wire.sent[begins..known].starts_with(b"HEAD ");
        let timeout = response("408 Request Timeout", TEXT, "Connection: close\r\n", text, head_only);
        if (partial || asked) && silent(began, world.timeouts.body_stall) && alike(got, &timeout) {
            return self.end_with(at, &timeout);
        }
        if world.shut {
            let end = self.script.bounds.iter().find(|bound| **bound > at).copied();
            let expected = &self.script.answers[at..end.unwrap_or(self.script.answers.len())];
            if let Some(last) = as_last(expected)
                && alike(got, &last)
            {
                return self.end_with(at, &last);
            }
            let text = b"The server is shutting down.";
            let unavailable = response("503 Service Unavailable", TEXT, "Connection: close\r\n", text, false);
            if expected.starts_with(b"HTTP/1.1 101") && alike(got, &unavailable) {
                return self.end_with(at, &unavailable);
            }
        }
        Err(format!(
            "byte {} is not the expected one, {:?} {} {}\n expected: {}\n written:  {}",
            self.checked,
            item.phase,
            item.began,
            shown(&wire.sent, wire.pipe.read),
            shown(&self.script.answers, self.checked),
            shown(&wire.pipe.written, self.checked),
        ))
    }

    fn end_with(&mut self, at: usize, bytes: &[u8]) -> Result<(), String> {
        self.script.end_with(at, bytes);
        self.checked = at;
        self.disturbed = true;
        Ok(())
    }

    /// Checks that a request or message that has begun does not wait for its rest for longer than twice its grace period.
    fn expect_no_stall(&self, wire: &Wire, world: &World<'_>) -> Result<(), String> {
        let item = self.script.item_at(wire.pipe.read);
        let begun = item.start < wire.pipe.read && wire.pipe.read < item.end;
        let grace = if self.script.message_under_way(wire.pipe.read).is_some() {
            world.timeouts.message_stall
        } else if item.phase == Phase::Http && begun && !wire.sent[item.start..].starts_with(UPLOAD) {
            world.timeouts.body_stall.max(world.timeouts.head)
        } else {
            return Ok(());
        };
        let quiet = world.now - self.rested.1;
        if self.disturbed
            || wire.write_ended.is_some()
            || u128::from(quiet) <= grace.as_millis() * 2 + LATE_MS
        {
            return Ok(());
        }
        Err(format!("nothing has arrived for {quiet} ms: {}", shown(&wire.sent, wire.pipe.read)))
    }

    /// Whether the engine has read everything that has arrived, and answered it.
    fn is_idle(&self, wire: &Wire) -> bool {
        let read = wire.pipe.read;
        let item = self.script.item_at(read);
        let between = read == 0
            || self.script.items.iter().any(|item| item.end == read)
            || item.start < read && blank(&wire.sent[item.start..read]);
        // A read that was cut short finds the rest arriving at that moment.
        (read == wire.arrived || wire.trouble > 0)
            && between
            && !self.script.is_content(read)
            && matches!(self.script.phase_before(read), Phase::Http | Phase::Discard)
            && wire.pipe.written.len() >= self.script.due(read)
    }

    /// Returns what the server must have counted if nothing has disturbed the script.
    pub fn tally(&self) -> Tally {
        let wire = self.line.wire.borrow();
        let mut tally = self.script.tally_before(wire.arrived);
        // A request may be refused before it is whole, and the client ends then.
        let item = self.script.item_at(wire.arrived);
        if item.start < wire.arrived && wire.arrived < item.end && item.answers_end <= wire.pipe.written.len()
        {
            tally += item.tally;
        }
        tally
    }

    /// Returns the number of final responses that were written whole.
    pub fn responses(&self) -> u64 {
        let wire = self.line.wire.borrow();
        let ends = self.script.bounds.iter().copied().skip(1).chain([self.script.answers.len()]);
        let whole = self.script.bounds.iter().zip(ends).filter(|(start, end)| {
            let expected = &self.script.answers[**start..];
            *end <= wire.pipe.written.len()
                && expected.starts_with(b"HTTP/1.1 ")
                && !expected.starts_with(b"HTTP/1.1 100")
        });
        whole.count() as u64
    }
}

/// Whether nothing but empty lines, which belong to no request, are among these bytes.
fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| b"\r\n".contains(byte))
}

/// Returns how many of `bytes` the engine must answer. A shutdown may end a connection between two requests.
fn must_answer(wire: &Wire, bytes: usize, world: &World<'_>) -> usize {
    wire.read_in_time.filter(|_| world.shut).map_or(bytes, |read| read.min(bytes))
}

fn shown(bytes: &[u8], at: usize) -> String {
    let at = at.min(bytes.len());
    let (from, to) = (at.saturating_sub(120), bytes.len().min(at + 120));
    format!("{}|{}", bytes[from..at].escape_ascii(), bytes[at..to].escape_ascii())
}
