//! The model of a connection: what a client sends, and what the server must answer and count.
//!
//! It knows the rules of the protocols, and not how the server works. [`generate`](super::generate) fills it.

use super::response::date_in;

/// The client's part and the server's.
#[derive(Default)]
pub struct Script {
    /// Everything the client sends.
    pub sent: Vec<u8>,
    /// Everything the server must answer. Dates are filled in when they arrive.
    pub answers: Vec<u8>,
    /// Where in `answers` a Date begins, ascending.
    pub dates: Vec<usize>,
    /// Where in `answers` a response or a frame begins, ascending.
    pub bounds: Vec<usize>,
    /// The items in order; together they make up `sent`.
    pub items: Vec<Item>,
    /// The server ends the connection.
    pub over: bool,
    pub client: usize,
}

/// A piece of what the client sends, and its effect.
#[derive(Clone)]
pub struct Item {
    /// Offsets in `sent`.
    pub start: usize,
    pub end: usize,
    /// Length of `answers` once this has been answered.
    pub answers_end: usize,
    pub phase: Phase,
    /// Nothing more is sent before the answer has arrived.
    pub gate: bool,
    /// When its first byte arrived, in milliseconds.
    pub began: u64,
    pub tally: Tally,
}

/// How the server treats an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Http,
    /// Content of a request that is already answered.
    Discard,
    Frames,
    /// Frames after the server's Close.
    Closing,
    /// The server no longer looks at it.
    Ignored,
}

/// What the server must count.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    pub requests: u64,
    pub early: u64,
    pub refused: u64,
    pub websockets: u64,
    pub messages: u64,
    pub failed: u64,
    pub panics: u64,
    /// Final responses, 101 included.
    pub responses: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.requests += other.requests;
        self.early += other.early;
        self.refused += other.refused;
        self.websockets += other.websockets;
        self.messages += other.messages;
        self.failed += other.failed;
        self.panics += other.panics;
        self.responses += other.responses;
    }
}

impl Script {
    /// Adds an item. Its answer must have been added before.
    pub fn item(&mut self, phase: Phase, sent: &[u8], tally: Tally) {
        let start = self.sent.len();
        self.sent.extend_from_slice(sent);
        let (end, answers_end) = (self.sent.len(), self.answers.len());
        self.items.push(Item { start, end, answers_end, phase, gate: false, began: u64::MAX, tally });
    }

    /// The server must write `bytes` in answer to the next item.
    pub fn answer(&mut self, bytes: &[u8]) {
        self.bounds.push(self.answers.len());
        self.dates.extend(date_in(bytes).map(|at| self.answers.len() + at));
        self.answers.extend_from_slice(bytes);
    }

    /// Returns whether the client never answers the server's Close.
    pub fn still_here(&self) -> bool {
        self.items
            .iter()
            .rev()
            .find(|item| item.phase == Phase::Closing)
            .is_some_and(|item| self.sent[item.start] == 0x89)
    }

    /// Returns whether the answer that begins at `written` is a deferred one.
    pub fn is_deferred_at(&self, written: usize) -> bool {
        let item = self.items.iter().find(|item| item.answers_end > written);
        self.bounds.contains(&written)
            && item.is_some_and(|item| self.sent[item.start..].starts_with(b"GET /later/"))
    }

    /// Returns the item that the byte at `offset` of `sent` belongs to; at the end, the last one.
    pub fn item_at(&self, offset: usize) -> &Item {
        let at = self.items.partition_point(|item| item.end <= offset);
        &self.items[at.min(self.items.len() - 1)]
    }

    /// Returns how much the server must have written once it has read `bytes` of `sent`.
    pub fn due(&self, bytes: usize) -> usize {
        let whole = self.items.partition_point(|item| item.end <= bytes);
        whole.checked_sub(1).map_or(0, |last| self.items[last].answers_end).min(self.answers.len())
    }

    /// Returns how much the server may have written by then.
    pub fn allowed(&self, bytes: usize) -> usize {
        let begun = self.items.partition_point(|item| item.start < bytes);
        begun.checked_sub(1).map_or(0, |last| self.items[last].answers_end).min(self.answers.len())
    }

    /// The server writes `bytes` at the boundary `at`, and then what was expected there.
    pub fn insert(&mut self, at: usize, bytes: &[u8], known: usize) {
        self.answers.splice(at..at, bytes.iter().copied());
        for place in self.bounds.iter_mut().chain(&mut self.dates).filter(|place| **place >= at) {
            *place += bytes.len();
        }
        self.bounds.push(at);
        self.bounds.sort_unstable();
        for item in self.items.iter_mut().filter(|item| item.answers_end > at || item.end > known) {
            item.answers_end += bytes.len();
        }
    }

    /// The server writes `bytes` at the boundary `at`, and nothing more.
    pub fn end_with(&mut self, at: usize, bytes: &[u8]) {
        self.answers.truncate(at);
        self.bounds.retain(|place| *place < at);
        self.dates.retain(|place| *place < at);
        self.answer(bytes);
        for item in &mut self.items {
            item.answers_end = if item.answers_end <= at { item.answers_end } else { self.answers.len() };
        }
        self.over = true;
    }

    /// Returns whether the byte at `offset` is content that a 100 has asked for.
    pub fn is_content(&self, offset: usize) -> bool {
        let at = self.items.partition_point(|item| item.end <= offset);
        let Some(before) = at.checked_sub(1) else { return false };
        let head = &self.items[before];
        head.phase == Phase::Http && head.tally == Tally::default()
    }

    /// Returns the phase that the bytes before `offset` have led to.
    pub fn phase_before(&self, offset: usize) -> Phase {
        let at = self.items.partition_point(|item| item.end <= offset);
        at.checked_sub(1).map_or(Phase::Http, |last| self.items[last].phase)
    }

    pub fn tally_before(&self, offset: usize) -> Tally {
        let mut tally = Tally::default();
        let whole = self.items.partition_point(|item| item.end <= offset);
        self.items[..whole].iter().for_each(|item| tally += item.tally);
        tally
    }

    /// Returns when the first byte of the WebSocket message arrived that is under way once the server has read `bytes` of
    /// `sent`. Fragments belong to one message, and a control frame to the message that it interrupts.
    pub fn message_under_way(&self, bytes: usize) -> Option<u64> {
        let mut began = None;
        for item in self.items.iter().filter(|item| item.phase == Phase::Frames && item.start < bytes) {
            let first = self.sent[item.start];
            let ends = first & 0x88 == 0x80;
            let interrupts = first & 0x08 != 0 && item.end <= bytes;
            if ends && item.end <= bytes {
                began = None;
            } else if !interrupts {
                began = began.or(Some(item.began));
            }
        }
        began
    }

    /// Returns whether the server has sent a Close before the boundary `at`.
    pub fn over_at(&self, at: usize) -> bool {
        self.bounds.iter().any(|bound| *bound < at && self.answers[*bound] == 0x88)
    }
}
