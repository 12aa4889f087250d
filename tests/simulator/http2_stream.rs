//! One stream as its client plays it: how much was sent, how much of that has arrived, and how much of the answer was written.
//!
//! It knows no connection. Its invariant: what was written is the beginning of what is due.

use super::http2_model::{Arrived, Due, Exchange, When};
use super::player::World;
use super::response::server_close;
use fleeting_testkit::http2::Field;
use fleeting_testkit::http2::frames::code;
use std::time::Duration;

/// A stream that its client has opened.
pub struct Played {
    pub exchange: Exchange,
    /// Bytes of content that were sent, and whether the end was.
    pub sent: usize,
    pub sent_end: bool,
    /// How much has arrived once the server has read this many bytes of the connection, ascending.
    marks: Vec<(usize, Arrived)>,
    /// Where the first frame of its head ends, and how many other streams were open since it has arrived.
    pub first_end: usize,
    pub others_max: usize,
    /// What the server may send, by what it has read.
    pub window: i64,
    /// What the client has allowed in all, whether the server knows or not.
    pub credit: i64,
    pub asked: bool,
    pub head: bool,
    /// Bytes of content that were written.
    pub got: usize,
    pub end: bool,
    /// The code with which the server has reset it.
    pub reset: Option<u32>,
    /// The client has reset it.
    pub is_cancelled: bool,
    /// The server is known to have seen that.
    pub is_cancel_known: bool,
    /// Something else than the script has decided its answer: a timeout, the shutdown, a lack of memory.
    pub is_unpredicted: bool,
    /// When it was opened, in milliseconds.
    pub opened_ms: u64,
}

/// The maximum length of what is answered in the place of what the script says, or in addition to it.
const OTHER_BYTES_MAX: i64 = 200;

/// The maximum of an interim answer's code.
const INTERIM_MAX: &[u8] = b"199";

impl Played {
    /// The stream's head was sent, and ends at `at` in what the connection sends.
    pub fn new(exchange: Exchange, window: i64, at: usize, now: u64) -> Played {
        let sent_end = exchange.content.is_none() && exchange.trailers.is_empty();
        Played {
            exchange,
            sent: 0,
            sent_end,
            first_end: at,
            others_max: 0,
            marks: vec![(at, Arrived { head: true, content: 0, end: sent_end })],
            window,
            credit: window,
            asked: false,
            head: false,
            got: 0,
            end: false,
            reset: None,
            is_cancelled: false,
            is_cancel_known: false,
            is_unpredicted: false,
            opened_ms: now,
        }
    }

    /// So much content was sent, up to `at` in what the connection sends.
    pub fn sent(&mut self, bytes: usize, end: bool, at: usize) {
        self.sent += bytes;
        self.sent_end |= end;
        self.marks.push((at, Arrived { head: true, content: self.sent, end: self.sent_end }));
    }

    pub fn content(&self) -> &[u8] {
        self.exchange.content.as_deref().unwrap_or_default()
    }

    /// Returns how much has arrived when `read` bytes of the connection were read.
    pub fn arrived(&self, read: usize) -> Arrived {
        let at = self.marks.partition_point(|(end, _)| *end <= read);
        at.checked_sub(1).map_or(Arrived::default(), |last| self.marks[last].1)
    }

    pub fn due(&self, read: usize) -> Due {
        self.exchange.answer.due(self.arrived(read))
    }

    /// Whether neither side will send anything more, as far as the client knows.
    pub fn is_over(&self) -> bool {
        self.reset.is_some() || self.is_cancelled || self.end && self.sent_end
    }

    /// Whether the answer is complete, or will never be.
    pub fn is_answered(&self) -> bool {
        self.reset.is_some() || self.is_cancelled || self.end
    }

    pub fn is_websocket(&self) -> bool {
        matches!(self.exchange.answer.when, When::Messages(_))
    }

    /// Whether another thread makes the answer.
    pub fn is_deferred(&self) -> bool {
        self.exchange.head.iter().any(|(name, value)| name == ":path" && value.starts_with("/later/"))
    }

    /// Returns how many bytes of its answer are to come, at most.
    pub fn rest(&self) -> i64 {
        let other = if self.is_unpredicted || self.is_websocket() { OTHER_BYTES_MAX } else { 0 };
        if self.is_answered() { 0 } else { (self.exchange.answer.content.len() - self.got) as i64 + other }
    }

    /// Returns how many more bytes the client must allow for the whole answer.
    pub fn wants(&self) -> i64 {
        if self.is_answered() { 0 } else { self.rest() + self.got as i64 - self.credit }
    }

    /// A head was written.
    pub fn take_head(
        &mut self,
        fields: &[Field],
        end: bool,
        read: usize,
        world: &World<'_>,
    ) -> Result<(), String> {
        self.begin_frame()?;
        if self.head {
            return Err("a second head".into());
        }
        let (status, others): (Vec<&Field>, Vec<&Field>) =
            fields.iter().partition(|(name, _)| name == b":status");
        let status = status.first().map(|(_, status)| status.clone()).ok_or("a head without a status")?;
        let due = self.due(read);
        if status[..] <= *INTERIM_MAX {
            if std::mem::replace(&mut self.asked, true) || !due.asks || end || status != b"100" {
                return Err(format!("an interim answer of {}", status.escape_ascii()));
            }
            return Ok(());
        }
        (self.head, self.end) = (true, end);
        let (dates, mut others): (Vec<&Field>, Vec<&Field>) =
            others.into_iter().partition(|(name, _)| name == b"date");
        let is_date = |date: &[u8]| date.try_into().is_ok_and(|date: &[u8; 29]| world.dates.contains(date));
        if dates.len() != 1 || !is_date(&dates[0].1) {
            return Err(format!("wrong dates: {dates:?}"));
        }
        others.sort();
        let answer = &self.exchange.answer;
        let expected = answer.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let is_same = status == answer.status.as_bytes()
            && others.iter().map(|(name, value)| (&name[..], &value[..])).eq(expected);
        if !is_same && self.is_excused(&status, world) {
            self.is_unpredicted = true;
            return Ok(());
        }
        if !is_same || !due.head || self.asked != due.asks || end && !(answer.content.is_empty() && due.end) {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
                .collect();
            let (request, arrived) = (&self.exchange.head, self.arrived(read));
            return Err(format!(
                "a head that is not expected, end {end}, {due:?}: {fields:?} {request:?} {arrived:?}"
            ));
        }
        Ok(())
    }

    /// Whether there is a reason for another status than that of the script.
    fn is_excused(&self, status: &[u8], world: &World<'_>) -> bool {
        let passed = |allowed: Duration| world.now - self.opened_ms >= allowed.as_millis() as u64;
        match status {
            b"408" => {
                !self.exchange.content.as_ref().is_none_or(Vec::is_empty) && passed(world.timeouts.body_stall)
            }
            b"503" => world.short || world.shut && self.is_websocket(),
            _ => false,
        }
    }

    /// Content was written.
    pub fn take_data(
        &mut self,
        data: &[u8],
        end: bool,
        read: usize,
        world: &World<'_>,
    ) -> Result<(), String> {
        self.begin_frame()?;
        // The head of a stream that was cancelled is not shown to the client.
        if !self.head && !self.is_cancelled {
            return Err("content before the head".into());
        }
        if data.is_empty() && !end {
            return Err("an empty frame".into());
        }
        self.end = end;
        if self.is_unpredicted || !self.head {
            return Ok(());
        }
        let (due, answer) = (self.due(read), &self.exchange.answer);
        let expected = &answer.content[self.got..];
        let same = expected.iter().zip(data).take_while(|(a, b)| a == b).count();
        self.got += same;
        if same < data.len() {
            if self.is_websocket() && self.breaks_off(&data[same..], world) {
                self.is_unpredicted = true;
                return Ok(());
            }
            let (expected, written) = (shown(expected, same), shown(data, same));
            return Err(format!(
                "byte {} is not the expected one\n expected: {expected}\n written:  {written}",
                self.got
            ));
        }
        if self.got > due.content {
            return Err(format!("{} bytes where {} are due", self.got, due.content));
        }
        let is_said = self.is_websocket() && self.arrived(read).content == self.content().len();
        if end && (self.got < answer.content.len() || !due.end && !is_said) {
            if self.is_websocket() && world.shut {
                self.is_unpredicted = true;
                return Ok(());
            }
            return Err(format!("the end after {} of {} bytes", self.got, answer.content.len()));
        }
        Ok(())
    }

    /// Whether a WebSocket may be sent this in the place of what is expected: a ping, or a Close.
    fn breaks_off(&self, written: &[u8], world: &World<'_>) -> bool {
        let answer = &self.exchange.answer.content;
        // Both may begin alike.
        let written = [&answer[boundary(answer, self.got)..self.got], written].concat();
        let begins = |frame: &[u8]| written.starts_with(frame) || frame.starts_with(&written);
        let quiet = |allowed: Duration| world.now - self.opened_ms >= allowed.as_millis() as u64;
        world.shut && begins(&server_close(1001, "shutting down"))
            || quiet(world.timeouts.ping) && begins(b"\x89\x08")
            || quiet(world.timeouts.ws_idle) && begins(&server_close(1001, "idle for too long"))
            || quiet(world.timeouts.message_stall)
                && begins(&server_close(1008, "a message arrives too slowly"))
            || world.short && begins(&server_close(1013, "the server is short of memory"))
    }

    /// Whether a ping or a Close may wait for the window that the script knows nothing of.
    fn may_be_closed(&self, world: &World<'_>) -> bool {
        let is_old = world.now - self.opened_ms >= world.timeouts.message_stall.as_millis() as u64;
        self.is_websocket() && (world.shut || world.short || is_old)
    }

    fn begin_frame(&self) -> Result<(), String> {
        if self.is_cancel_known {
            return Err("a frame after the client's RST_STREAM".into());
        }
        if self.reset.is_some() || self.end {
            return Err("a frame on a stream that the server has ended".into());
        }
        Ok(())
    }

    /// The server has reset it. `others` are open at this moment. `has_left`: the client has ended its side.
    pub fn take_reset(
        &mut self,
        reset: u32,
        read: usize,
        others: usize,
        has_left: bool,
        world: &World<'_>,
    ) -> Result<(), String> {
        if self.is_cancel_known || self.reset.is_some() {
            return Err("RST_STREAM on a closed stream".into());
        }
        self.reset = Some(reset);
        let is_late =
            world.now - self.opened_ms >= world.timeouts.close.min(world.timeouts.linger).as_millis() as u64;
        let is_right = match reset {
            code::REFUSED_STREAM if !self.head && !self.asked => {
                let is_split = self.marks[0].0 > self.first_end;
                let others = if is_split { others.max(self.others_max) } else { others };
                others >= world.streams_max || world.short
            }
            code::NO_ERROR => self.end && !(self.exchange.content.is_none() && self.sent_end),
            code::CANCEL => is_late,
            code::INTERNAL_ERROR => world.short || has_left && self.is_deferred() && !world.half_close,
            _ => false,
        };
        if is_right
            || (!self.head || self.is_unpredicted) && self.due(read).reset == Some(reset)
            || self.is_cancelled
        {
            return Ok(());
        }
        let (request, arrived) = (&self.exchange.head, self.arrived(read));
        Err(format!(
            "a reset with code {reset} without a reason, {others} of {} are open {request:?} {arrived:?} {} {}",
            world.streams_max, self.head, self.got
        ))
    }

    /// Checks that everything due was written. `is_blocked`: the connection's window is used up.
    pub fn expect_served(&self, read: usize, is_blocked: bool, world: &World<'_>) -> Result<(), String> {
        if self.is_answered() || self.is_unpredicted {
            return Ok(());
        }
        let due = self.due(read);
        let is_blocked = is_blocked || self.window <= 0;
        let lost = if due.reset.is_some() {
            "a reset"
        } else if due.asks && !self.asked {
            "an interim answer"
        } else if due.head && !self.head {
            "a head"
        } else if self.got < due.content && !is_blocked {
            "content"
        } else if self.got == due.content && due.end && !(is_blocked && self.may_be_closed(world)) {
            "the end"
        } else {
            return Ok(());
        };
        Err(format!("a lost wake-up: {lost} is due, {} bytes were written, {due:?}", self.got))
    }
}

/// Returns where the frame of a WebSocket begins that `at` is in.
fn boundary(frames: &[u8], at: usize) -> usize {
    let mut start = 0;
    loop {
        let (head, length) = match frames.get(start + 1) {
            Some(126) => (4, frames.get(start + 2..start + 4).map_or(0, number)),
            Some(127) => (10, frames.get(start + 2..start + 10).map_or(0, number)),
            Some(short) => (2, usize::from(*short)),
            None => return start,
        };
        if start + head + length > at {
            return start;
        }
        start += head + length;
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn shown(bytes: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(60), bytes.len().min(at + 60));
    format!("{}|{}", bytes[from..at].escape_ascii(), bytes[at..to].escape_ascii())
}
