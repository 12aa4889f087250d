//! The thread that sends the publications of this server.
//!
//! It knows no subscriber. With every beat it asks the server whether that is still a primary, because a replica accepts
//! publications that reach nobody. Invariant: nothing that was partly sent is sent again; and when the connection is
//! lost and cannot be replaced at once, everything that is not sent yet is dropped.

use super::backoff::Backoff;
use super::counters::count;
use super::envelope::{Content, Envelope};
use super::failure::describe;
use super::link::Link;
use super::shared::{Phase, Queued, Role, Shared};
use redis::RedisResult;
use std::borrow::Cow;
use std::time::Instant;

/// The most publications and bytes that are sent before the replies are read.
const BATCH_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What is sent in one write.
#[derive(Default)]
struct Batch {
    publications: Vec<Queued>,
    /// The number of this server's last publication, to send in a message of its own, because the other servers may not
    /// know it, and when that was made.
    heartbeat: Option<(u64, Option<Instant>)>,
    /// Ask the server whether it is still the primary.
    asks: bool,
}

impl Batch {
    /// Returns the last number that the other servers know once the batch has been sent.
    fn last_number(&self) -> Option<u64> {
        let heartbeat = self.heartbeat.map(|(number, _)| number);
        heartbeat.or(self.publications.last().map(|queued| queued.number))
    }
}

/// What to do next.
enum Step {
    Send(Batch),
    /// Replace the connection.
    Leave,
    /// The broker stops, and the queue is empty.
    Stop,
}

/// Sends publications until the broker stops.
pub(super) fn run(shared: &Shared) {
    let mut backoff = Backoff::new();
    while !shared.is_stopping() {
        let mut left = None;
        let why = match open(shared) {
            Ok(link) => {
                let begin = Instant::now();
                shared.state().is_open = true;
                shared.changed.notify_all();
                let Some(why) = send(shared, link) else { return };
                drop_queue(shared);
                left = part(shared);
                // A connection that has lasted can probably be replaced at once.
                if begin.elapsed() >= shared.options.heartbeat {
                    backoff.reset();
                    continue;
                }
                why
            }
            Err(why) => why,
        };
        shared.record_attempt(Role::Publisher, Err(&why));
        shared.back_off(&mut backoff, left);
    }
}

/// Records that the connection has ended. Returns why it was to be replaced, if it was: that is reported, however soon
/// there is another one.
fn part(shared: &Shared) -> Option<&'static str> {
    let left = shared.part(Role::Publisher);
    if let Some(why) = left {
        shared.record_attempt(Role::Publisher, Err(why));
    }
    left
}

/// Opens a connection and records which server it leads to.
fn open(shared: &Shared) -> Result<Link, Cow<'static, str>> {
    let link = shared.route.open(shared.options.timeout)?;
    shared.join(&mut shared.state(), Role::Publisher, link.server());
    Ok(link)
}

/// Drops the queue, and what is published from now on, because there is no connection.
fn drop_queue(shared: &Shared) {
    let mut state = shared.state();
    state.is_open = false;
    let queue = std::mem::take(&mut state.queue);
    state.queued_bytes = 0;
    drop(state);
    count_lost(shared, queue.len());
}

fn count_lost(shared: &Shared, publications: usize) {
    count(&shared.counts.dropped_away, publications as u64);
}

/// Sends what is queued, for as long as the link lasts. Returns why it ended; `None` if the broker stops.
fn send(shared: &Shared, mut link: Link) -> Option<Cow<'static, str>> {
    let timeout = shared.options.timeout;
    // The last number that the other servers know from this connection.
    let (mut known, mut first) = (None, true);
    let mut bytes = Vec::new();
    let (mut made, mut is_replaced, mut backoff) = (Instant::now(), false, Backoff::new());
    let mut ask_at = made + shared.options.heartbeat;
    loop {
        let batch = match next_step(shared, known, ask_at) {
            Step::Send(batch) => batch,
            // What is queued goes out on another connection. If that is to be replaced soon as well, there is a pause.
            Step::Leave => {
                let left = part(shared);
                if made.elapsed() >= shared.options.heartbeat {
                    backoff = Backoff::new();
                } else if is_replaced {
                    shared.back_off(&mut backoff, left);
                }
                match open(shared) {
                    Ok(another) => link = another,
                    Err(why) => return Some(why),
                }
                (made, is_replaced) = (Instant::now(), true);
                (known, first) = (None, true);
                continue;
            }
            Step::Stop => return None,
        };
        // The same goes for the batch, of which nothing was sent yet.
        if !link.check_idle() {
            part(shared);
            match open(shared) {
                Ok(another) => link = another,
                Err(why) => {
                    count_lost(shared, batch.publications.len());
                    return Some(why);
                }
            }
        }
        bytes.clear();
        for Queued { number, last_made, publication } in &batch.publications {
            let content = Content::Publication(publication.topic(), publication.message());
            append_command(shared, *number, *last_made, content, &mut bytes);
        }
        if let Some((number, last_made)) = batch.heartbeat {
            append_command(shared, number, last_made, Content::Heartbeat, &mut bytes);
        }
        if batch.asks {
            link.question().append(&mut bytes);
            ask_at = Instant::now() + shared.options.heartbeat;
        }
        link.set_deadline(Instant::now() + timeout);
        let mut accepted = 0;
        let outcome = send_batch(&mut link, &bytes, &batch, &mut accepted);
        count(&shared.counts.sent, accepted as u64);
        let lost = batch.publications.len() - accepted;
        count_lost(shared, lost);
        match outcome {
            Ok(None) => {}
            Ok(Some(why)) => shared.leave(why),
            Err(error) => return Some(describe(&error, timeout)),
        }
        if std::mem::take(&mut first) {
            shared.record_attempt(Role::Publisher, Ok(()));
        }
        // If Redis has refused some, the other servers do not know the last number yet.
        if lost == 0 {
            known = batch.last_number().or(known);
        }
    }
}

/// Waits for something to do. The server is to be asked at `ask_at`.
fn next_step(shared: &Shared, known: Option<u64>, ask_at: Instant) -> Step {
    let mut batch = Batch::default();
    let heartbeat = (Instant::now() + shared.options.heartbeat).min(ask_at);
    let mut state = shared.state();
    loop {
        if state.leave[Role::Publisher as usize].is_some() {
            return Step::Leave;
        }
        batch.asks = Instant::now() >= ask_at;
        let mut bytes = 0;
        while batch.publications.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some(queued) = state.queue.pop_front() else { break };
            let held = queued.publication.memory_bytes();
            state.queued_bytes = state.queued_bytes.saturating_sub(held);
            bytes += held;
            batch.publications.push(queued);
        }
        let last_sent = batch.last_number().or(known);
        // If the publications after the last one sent were dropped, only a heartbeat lets the other servers notice.
        if state.queue.is_empty() && last_sent != Some(state.last_number) {
            batch.heartbeat = Some((state.last_number, state.last_made));
        }
        if batch.heartbeat.is_some() || !batch.publications.is_empty() {
            return Step::Send(batch);
        }
        if state.phase == Phase::Stopping {
            return Step::Stop;
        }
        if Instant::now() >= heartbeat {
            // This finds a broken connection before a publication needs it.
            batch.heartbeat = Some((state.last_number, state.last_made));
            return Step::Send(batch);
        }
        state = shared.wait(state, heartbeat);
    }
}

/// Sends a batch and reads the replies. Adds to `accepted` the publications that Redis has accepted. Returns why the
/// connection is to be dropped, if the server was asked about itself and is no longer the one it was.
fn send_batch(
    link: &mut Link,
    bytes: &[u8],
    batch: &Batch,
    accepted: &mut usize,
) -> RedisResult<Option<&'static str>> {
    link.send(bytes)?;
    for _ in &batch.publications {
        *accepted += usize::from(link.receive()?.extract_error().is_ok());
    }
    if batch.heartbeat.is_some() {
        link.receive()?.extract_error()?;
    }
    if !batch.asks {
        return Ok(None);
    }
    let server = link.answer()?;
    Ok(server.objection(link.server()))
}

/// Appends the command that publishes `content`.
fn append_command(
    shared: &Shared,
    number: u64,
    last_made: Option<Instant>,
    content: Content<'_>,
    out: &mut Vec<u8>,
) {
    let last_ago = last_made.map(|made| made.elapsed());
    let envelope =
        Envelope { node: &shared.node, incarnation: shared.incarnation, number, last_ago, content };
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    redis::cmd("PUBLISH").arg(&shared.channel).arg(bytes).write_packed_command(out);
}
