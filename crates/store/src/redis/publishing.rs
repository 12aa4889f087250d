//! The thread that sends what is published here.
//!
//! It knows no topic's subscribers. Invariant: what it has begun to send is not sent again, and what it has not sent
//! when a connection is lost for longer than a moment is dropped.

use super::backoff::Backoff;
use super::counters::count;
use super::envelope::{Content, Envelope};
use super::failure::sentence;
use super::link::Link;
use super::shared::{Shared, Stage, State, Who};
use fleeting::Publication;
use redis::RedisResult;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// Publications and bytes that are sent before it is seen what has become of them.
const BATCH_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What is sent at once.
#[derive(Default)]
struct Batch {
    publications: Vec<(u64, Arc<Publication>)>,
    /// Nothing but how far this server is, because others may not know: the number of its last publication.
    beat: Option<u64>,
}

/// Sends until the broker ends.
pub(super) fn run(shared: &Shared) {
    let mut backoff = Backoff::new();
    while !shared.is_ending() {
        let why = match Link::reach(&shared.url, shared.options.timeout) {
            Ok(link) => {
                let begin = Instant::now();
                shared.state().is_open = true;
                shared.changed.notify_all();
                let Some(why) = send(shared, link) else { return };
                close(shared);
                // One that has lasted may well be had again at once.
                if begin.elapsed() >= shared.options.heartbeat {
                    backoff.reset();
                    continue;
                }
                why
            }
            Err(why) => why,
        };
        shared.has_tried(Who::Publisher, Err(&why));
        shared.back_off(&mut backoff);
    }
}

/// Nothing can be sent: what is queued is dropped, and so is what is published from now on.
fn close(shared: &Shared) {
    let mut state = shared.state();
    state.is_open = false;
    let queued = state.queue.len();
    lose(shared, &mut state, queued);
    let queue = std::mem::take(&mut state.queue);
    state.queued_bytes = 0;
    drop(state);
    drop(queue);
}

fn lose(shared: &Shared, state: &mut State, publications: usize) {
    if publications > 0 {
        count(&shared.counts.dropped_away, publications as u64);
        state.lost_at = Some(Instant::now());
    }
}

/// Sends what is queued, for as long as the link lasts. Tells why it did not; `None` if the broker ends.
fn send(shared: &Shared, mut link: Link) -> Option<Cow<'static, str>> {
    let timeout = shared.options.timeout;
    // The number that the others know: of none yet, on this connection.
    let (mut known, mut first) = (None, true);
    let mut bytes = Vec::new();
    loop {
        let batch = next(shared, known)?;
        // What was not begun to be sent can be sent on another connection, if there is one at once.
        if !link.is_quiet() {
            match Link::reach(&shared.url, timeout) {
                Ok(another) => link = another,
                Err(why) => {
                    lose(shared, &mut shared.state(), batch.publications.len());
                    return Some(why);
                }
            }
        }
        bytes.clear();
        let lost_at = shared.state().lost_at;
        for (number, publication) in &batch.publications {
            let content = Content::Publication(publication.topic(), publication.message());
            command(shared, *number, content, lost_at, &mut bytes);
        }
        if let Some(number) = batch.beat {
            command(shared, number, Content::Beat, lost_at, &mut bytes);
        }
        link.set_deadline(Instant::now() + timeout);
        let mut taken = 0;
        let sent = exchange(&mut link, &bytes, &batch, &mut taken);
        count(&shared.counts.sent, taken as u64);
        let lost = batch.publications.len() - taken;
        lose(shared, &mut shared.state(), lost);
        if let Err(error) = sent {
            return Some(sentence(&error, timeout));
        }
        if std::mem::take(&mut first) {
            shared.has_tried(Who::Publisher, Ok(()));
        }
        // If Redis has refused some, the others have yet to learn how far it is.
        if lost == 0 {
            known = batch.beat.or(batch.publications.last().map(|(number, _)| *number)).or(known);
        }
    }
}

/// Waits for something to send. `None` if the broker ends and nothing is left.
fn next(shared: &Shared, known: Option<u64>) -> Option<Batch> {
    let mut batch = Batch::default();
    let heartbeat = Instant::now() + shared.options.heartbeat;
    let mut state = shared.state();
    loop {
        let mut bytes = 0;
        while batch.publications.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some((number, publication)) = state.queue.pop_front() else { break };
            let held = publication.memory_bytes();
            state.queued_bytes = state.queued_bytes.saturating_sub(held);
            bytes += held;
            batch.publications.push((number, publication));
        }
        let behind = batch.publications.last().map(|(number, _)| *number).or(known);
        // What was dropped behind the last that goes out nobody would miss otherwise.
        if state.queue.is_empty() && behind != Some(state.last) {
            batch.beat = Some(state.last);
        }
        if batch.beat.is_some() || !batch.publications.is_empty() {
            return Some(batch);
        }
        if state.stage == Stage::Ending {
            return None;
        }
        if Instant::now() >= heartbeat {
            // To see whether the connection is there, before somebody needs it.
            batch.beat = Some(state.last);
            return Some(batch);
        }
        state = shared.wait(state, heartbeat);
    }
}

/// Sends a batch and sees what becomes of it: how many publications Redis has taken.
fn exchange(link: &mut Link, bytes: &[u8], batch: &Batch, taken: &mut usize) -> RedisResult<()> {
    link.send(bytes)?;
    for _ in &batch.publications {
        *taken += usize::from(link.receive()?.extract_error().is_ok());
    }
    if batch.beat.is_some() {
        link.receive()?.extract_error()?;
    }
    Ok(())
}

/// Appends the command that publishes this.
fn command(shared: &Shared, number: u64, content: Content<'_>, lost_at: Option<Instant>, out: &mut Vec<u8>) {
    let lost_ago = lost_at.map(|at| at.elapsed());
    let envelope =
        Envelope { node: &shared.node, incarnation: shared.incarnation, number, lost_ago, content };
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    redis::cmd("PUBLISH").arg(&shared.channel).arg(bytes).write_packed_command(out);
}
