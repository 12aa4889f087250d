//! What is noted about requests until their last byte has left, for the application's completion hook.
//!
//! It knows positions in a connection's output, but no bytes. It is used only if the application has a hook. Its
//! invariant: the records of a connection are in the order of its requests, and only the last one may be open. Records
//! and their memory are reused, so nothing is allocated once enough requests were under way at the same time.

use super::cork::Cork;
use crate::app::{App, Completion, ConnId};
use crate::buffer::Outbox;
use crate::http1::Head;
use crate::time::Clock;
use crate::transport::Peer;
use std::net::IpAddr;
use std::time::Duration;

/// The requests of a worker that are under way.
#[derive(Default)]
pub(super) struct Completions {
    on: bool,
    /// If there is none, time passes from turn to turn.
    clock: Option<Clock>,
    now_ms: u64,
    records: Vec<Record>,
    /// The first unused record.
    unused: Link,
    /// The records of each connection, by the index of its record in the table. As long as the largest index needs.
    lists: Vec<List>,
}

/// What was noted about a request whose connection is to get another name.
pub(super) struct Detached(Link);

/// The index of a record, plus one; 0 for none.
type Link = u32;

#[derive(Clone, Copy, Default)]
struct List {
    first: Link,
    last: Link,
}

struct Record {
    next: Link,
    stage: Stage,
    status: u16,
    /// Method, path, query and route, one after the other.
    text: String,
    /// Where each of the first three ends in `text`.
    ends: [usize; 3],
    has_query: bool,
    /// What a trusted proxy says of its client.
    client: Option<IpAddr>,
    bytes_in: u64,
    bytes_out: u64,
    begun: Duration,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The response is not complete. If it is written in one piece, it begins at this position.
    Open { from: u64 },
    /// The response has ended in this turn, at this position.
    Ended { at: u64 },
    /// The response leaves with this byte of the outbox, counted from the outbox's first.
    Queued { until: u64 },
}

/// A longer text is freed after use.
const TEXT_BYTES_KEPT: usize = 4096;

impl Completions {
    pub(super) fn new(app: &App) -> Completions {
        Completions { on: app.watches_completions(), ..Completions::default() }
    }

    /// Whether anything is to be noted.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Lets durations be measured in less than turns.
    pub(super) fn measure_with(&mut self, clock: &Clock) {
        self.clock = Some(clock.clone());
    }

    /// Sets the time of the turn.
    #[inline]
    pub(super) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    fn now(&self) -> Duration {
        self.clock.as_ref().map_or_else(|| Duration::from_millis(self.now_ms), Clock::elapsed)
    }

    /// Notes a request whose response will begin at the cork's position. `bytes_in`: what belongs to it so far.
    #[inline]
    pub(super) fn begin(&mut self, conn: ConnId, head: &Head<'_>, route: &str, bytes_in: usize, from: u64) {
        let record = self.push(conn, Stage::Open { from });
        let text = &mut record.text;
        text.push_str(head.method.as_str());
        record.ends[0] = text.len();
        text.push_str(head.target.path());
        record.ends[1] = text.len();
        text.push_str(head.target.query().unwrap_or_default());
        record.ends[2] = text.len();
        text.push_str(route);
        record.has_query = head.target.query().is_some();
        record.bytes_in = bytes_in as u64;
    }

    /// Notes whose request it is, if a trusted proxy has said so.
    #[cold]
    pub(super) fn set_client(&mut self, conn: ConnId, client: IpAddr) {
        if let Some(record) = self.open(conn) {
            record.client = Some(client);
        }
    }

    /// Notes a response that has been written in one piece, or the beginning of one of which `more` will follow.
    #[inline(never)]
    pub(super) fn answered(&mut self, conn: ConnId, status: u16, position: u64, more: bool) {
        let Some(record) = self.open(conn) else { return };
        if let Stage::Open { from } = record.stage {
            record.bytes_out += position.wrapping_sub(from);
        }
        // A deferred response has not begun yet, and may get another status.
        if record.bytes_out > 0 {
            record.status = status;
        }
        if !more {
            record.stage = Stage::Ended { at: position };
        }
    }

    /// Takes what was noted about the request under way, which goes on under another name. `status`: that of its response.
    pub(super) fn detach(&mut self, conn: ConnId, status: u16) -> Option<Detached> {
        self.open(conn)?.status = status;
        let list = &mut self.lists[conn.index as usize];
        let link = list.last;
        // The records are linked forwards only, and those of a turn are few.
        let mut before = list.first;
        if before == link {
            *list = List::default();
        } else {
            while self.records[before as usize - 1].next != link {
                before = self.records[before as usize - 1].next;
            }
            self.records[before as usize - 1].next = 0;
            list.last = before;
        }
        Some(Detached(link))
    }

    /// Notes a request that could not be read and whose response goes on under another name. `from`: the cork's position.
    #[cold]
    pub(super) fn detach_refused(&mut self, conn: ConnId, status: u16, from: u64) -> Option<Detached> {
        if self.open(conn).is_none() {
            self.push(conn, Stage::Open { from });
        }
        self.detach(conn, status)
    }

    /// Notes for a connection without requests what was [taken](Completions::detach). If the response is complete, it leaves
    /// with the `outbox`.
    pub(super) fn attach(&mut self, conn: ConnId, request: Detached, outbox: Option<&Outbox>) {
        let index = conn.index as usize;
        if self.lists.len() <= index {
            self.lists.resize(index + 1, List::default());
        }
        let Detached(link) = request;
        self.lists[index] = List { first: link, last: link };
        if let Some(outbox) = outbox {
            let record = &mut self.records[link as usize - 1];
            record.bytes_out = outbox.pending();
            record.stage = Stage::Queued { until: outbox.pending() };
        }
    }

    /// Notes the status of a response that has begun.
    pub(super) fn set_status(&mut self, conn: ConnId, status: u16) {
        if let Some(record) = self.open(conn) {
            record.status = status;
        }
    }

    /// Notes what has arrived of a request and left of its response, and whether it has ended at the cork's position.
    pub(super) fn advance(&mut self, conn: ConnId, bytes_in: usize, bytes_out: u64, ended: Option<u64>) {
        let Some(record) = self.open(conn) else { return };
        record.bytes_in += bytes_in as u64;
        record.bytes_out = record.bytes_out.saturating_add(bytes_out);
        if let Some(at) = ended {
            record.stage = Stage::Ended { at };
        }
    }

    /// Notes that publications were sent or queued as content of the response under way: `sent` bytes have left past the
    /// queue, which held `before` bytes and now holds `after`. It may be fewer, because some were dropped.
    pub(super) fn published(&mut self, conn: ConnId, sent: usize, before: usize, after: usize) {
        if let Some(record) = self.open(conn) {
            let bytes_out = record.bytes_out.saturating_add((sent + after) as u64);
            record.bytes_out = bytes_out.saturating_sub(before as u64);
        }
    }

    /// Notes the refusal of a request, which was written between these positions. The request is the one under way, or
    /// one that could not be read.
    pub(super) fn refused(&mut self, conn: ConnId, status: u16, from: u64, to: u64) {
        if self.open(conn).is_none() {
            self.push(conn, Stage::Open { from });
        }
        let Some(record) = self.open(conn) else { return };
        record.status = status;
        record.bytes_out += to.wrapping_sub(from);
        record.stage = Stage::Ended { at: to };
    }

    /// Reports the requests of a connection whose last byte has left. Called when the cork is empty.
    #[inline(never)]
    pub(super) fn settle(
        &mut self,
        conn: ConnId,
        peer: &Peer,
        outbox: Option<&Outbox>,
        cork: &Cork,
        app: &App,
        panics: &mut u64,
    ) {
        let mut link = self.lists.get(conn.index as usize).map_or(0, |list| list.first);
        while link != 0 {
            let record = &mut self.records[link as usize - 1];
            let next = record.next;
            match record.unsent(outbox, cork, 0) {
                Some(0) => self.report(conn, peer, true, app, panics),
                Some(unsent) => {
                    let left = outbox.map_or(0, Outbox::left);
                    record.stage = Stage::Queued { until: left.saturating_add(unsent) };
                }
                None => {}
            }
            link = next;
        }
    }

    /// Reports all requests of a connection that is dropped. `lost`: the bytes that its stream did not take and that are
    /// in no outbox.
    pub(super) fn abandon(
        &mut self,
        conn: ConnId,
        peer: &Peer,
        outbox: Option<&Outbox>,
        cork: &mut Cork,
        app: &App,
        panics: &mut u64,
    ) {
        let lost = cork.take_lost();
        while let Some(list) = self.lists.get(conn.index as usize).filter(|list| list.first != 0) {
            let record = &mut self.records[list.first as usize - 1];
            let unsent = record.unsent(outbox, cork, lost);
            let waiting = outbox.map_or(0, Outbox::pending).saturating_add(lost);
            record.bytes_out -= unsent.unwrap_or(waiting).min(record.bytes_out);
            self.report(conn, peer, unsent == Some(0), app, panics);
        }
    }

    /// Passes the first request of a connection to the application, and frees its record.
    fn report(&mut self, conn: ConnId, peer: &Peer, sent: bool, app: &App, panics: &mut u64) {
        let now = self.now();
        let list = &mut self.lists[conn.index as usize];
        let link = list.first;
        let record = &mut self.records[link as usize - 1];
        list.first = record.next;
        if list.first == 0 {
            list.last = 0;
        }
        let [method, path, query] = record.ends;
        let completion = Completion {
            method: &record.text[..method],
            path: &record.text[method..path],
            query: record.has_query.then(|| &record.text[path..query]),
            route: &record.text[query..],
            status: record.status,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            duration: now.saturating_sub(record.begun),
            peer: peer.addr(),
            forwarded: record.client.as_ref(),
            conn,
            sent,
        };
        app.completed(&completion, panics);
        if record.text.capacity() > TEXT_BYTES_KEPT {
            record.text = String::new();
        }
        record.next = self.unused;
        self.unused = link;
    }

    /// Returns the request of the connection whose response is not complete.
    fn open(&mut self, conn: ConnId) -> Option<&mut Record> {
        let last = self.lists.get(conn.index as usize)?.last.checked_sub(1)?;
        Some(&mut self.records[last as usize]).filter(|record| matches!(record.stage, Stage::Open { .. }))
    }

    /// Appends an empty record to those of the connection.
    fn push(&mut self, conn: ConnId, stage: Stage) -> &mut Record {
        let begun = self.now();
        let link = match self.unused {
            0 => {
                self.records.push(Record::new());
                self.records.len() as Link
            }
            link => {
                self.unused = self.records[link as usize - 1].next;
                link
            }
        };
        let index = conn.index as usize;
        if self.lists.len() <= index {
            self.lists.resize(index + 1, List::default());
        }
        let List { first, last } = &mut self.lists[index];
        match *last {
            0 => *first = link,
            last => self.records[last as usize - 1].next = link,
        }
        *last = link;
        let record = &mut self.records[link as usize - 1];
        let mut text = std::mem::take(&mut record.text);
        text.clear();
        *record = Record { stage, text, begun, ..Record::new() };
        record
    }
}

impl Record {
    fn new() -> Record {
        Record {
            next: 0,
            stage: Stage::Open { from: 0 },
            status: 0,
            text: String::new(),
            ends: [0; 3],
            has_query: false,
            client: None,
            bytes_in: 0,
            bytes_out: 0,
            begun: Duration::ZERO,
        }
    }

    /// Returns how many bytes are still to leave until the response has left; `None` if it has not ended.
    fn unsent(&self, outbox: Option<&Outbox>, cork: &Cork, lost: u64) -> Option<u64> {
        match self.stage {
            Stage::Open { .. } => None,
            Stage::Ended { at } => {
                let behind = cork.position().wrapping_sub(at);
                Some(outbox.map_or(0, Outbox::pending).saturating_add(lost).saturating_sub(behind))
            }
            Stage::Queued { until } => Some(outbox.map_or(0, |outbox| until.saturating_sub(outbox.left()))),
        }
    }
}
