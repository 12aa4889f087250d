//! Runs the real engine with randomly generated clients, on streams in memory and in simulated time.
//!
//! A seed decides everything: a few dozen clients with scripts of requests and frames, their pace, the capacity of
//! their pipes, the faults, the clock, and the order and lateness of events. The expected answers are computed from the
//! script alone ([`script`]) and compared with what was written after every turn.
//!
//! ```text
//!   Script -> Client -> Wire <- SimStream <- Engine        Run: clock, events, accept, shutdown
//!      `---- answers ----> compare <- written ----'
//! ```
//!
//! After every turn:
//! 1. Every byte written is the next one of the model: nothing is missing, doubled, out of order or another client's,
//!    and every Date is a time that the clock has shown. The only other things that may be written are a 408, a ping, a
//!    Close 1001 or 1008, a 503 or a `Connection: close`, each only where a response or a frame begins, in its protocol,
//!    and not before its timeout has passed or the shutdown has begun.
//! 2. Nothing is answered before a byte of it has arrived.
//! 3. No stream is read after its end, written after its end, ended twice, or used after it has failed. No read has an
//!    empty buffer, and no write is empty.
//! 4. A stream is dropped only for a reason: the client's end, with everything due written; the client's end while a
//!    deferred answer is due, unless half-close is honoured, as in every other seed; a failure; a timeout that has
//!    passed; a shutdown; another client that waits for a place, if the connection has been idle for 100 ms, or has had its
//!    last answer for so long. One that has
//!    room, reported or not, is not dropped because nothing was taken.
//!
//! In every fifth seed the buffers have little memory. Then a 503 or a Close 1013 may be written in place of any answer, what
//! follows it on the same connection is not predicted, and a client that does not take its answers may be cut off. The
//! account of memory never exceeds its limit, is not short without a refusal, and at the end everything is given back.
//!
//! Whenever no event is due and the engine has nothing to do ([`Engine::next_ms`] is not 0):
//! 5. Everything that has arrived is answered unless the client's pipe is full: no wake-up was lost.
//! 6. The engine ends its side where the script says so, and streams of clients that are gone are dropped.
//! 7. After a shutdown no connection waits for another request.
//! 8. No request and no message that has begun has waited for its rest for twice its grace period.
//!
//! At the end, when time passes only as [`Engine::next_ms`] asks for it:
//! 9. Clients that nothing has disturbed have all their answers.
//! 10. Every connection ends within the timeouts, and after a shutdown within the grace period; then `is_over`. The
//!    engine never asks for a time that has passed, and never works without end.
//! 11. Every stream was dropped, `close` was called once for every session, and the counters agree with the model. With
//!     disturbed clients, there are at most as many responses as were counted.
//!
//! Some requests are answered by another thread, or never ([`Response::defer`]). Some content comes from a source that
//! sleeps now and then, and some uploads pause. The run wakes, answers and resumes them between turns, at random. Their
//! answers are still known, and no later request may be answered before them.
//!
//! Every seed is played again with TLS on every other connection (`tls.rs`): the same clients, and the same rules.
//!
//! Clients of HTTP/2 ([`http2_client`]) are played by the same run, with the same faults, memory and clock. Each has a script of
//! exchanges ([`http2_model`]), and a stream for each: GETs, uploads, WebSockets, responses that are large, come later, or come
//! from a source, and malformed requests. It opens streams up to the limit and beyond it, cuts its frames anywhere, sends content
//! in pieces, opens windows late and by little, changes SETTINGS_INITIAL_WINDOW_SIZE, resets streams at any time, and ends or
//! resets the connection. Rules 3, 4 and 9 to 11 are those above. After every turn, for every frame ([`http2_judge`],
//! [`http2_stream`]):
//! 1. The session of the test kit accepts it: its form, its field block, the state of its stream.
//! 2. DATA carries the next bytes of its own stream's answer, once that is due. HEADERS come once, after a 100 if the request
//!    has asked for it, with the expected fields and a Date that the clock has shown. END_STREAM comes once, after the last byte,
//!    and nothing follows it or a RST_STREAM, the client's included, once a PING behind that is acknowledged.
//! 3. No DATA exceeds a window of which the server has read. A smaller SETTINGS_INITIAL_WINDOW_SIZE counts once it is
//!    acknowledged. Empty frames do not occur, except to end a stream.
//! 4. A stream is reset only for a reason: PROTOCOL_ERROR if the request is malformed, REFUSED_STREAM if as many others were open
//!    as are allowed, NO_ERROR after a complete response whose request is not, CANCEL after a timeout, INTERNAL_ERROR if memory
//!    is short. A refused exchange is played again.
//! 5. GOAWAY comes only with a shutdown, in two steps, or for a timeout, or to make room. Its last stream has arrived, and on later
//!    ones there are no frames.
//! 6. Other statuses, pings and Closes than those of the script come only after their timeouts or a shutdown.
//!
//! Whenever no event is due and the engine has nothing to do:
//! 7. What is due was written, unless a window or the client's pipe is full: no wake-up was lost. So are the acknowledgments of
//!    SETTINGS and PING.
//! 8. No more streams than the limit allows are open, and after a shutdown no connection waits for another request.
//!
//! The second simulation, [`pubsub_run`], has two engines that share a handle. Its members, WebSockets and streams of
//! events, subscribe, unsubscribe,
//! publish, leave, and read slowly or not at all, under each policy for slow consumers, while others publish through
//! the handle. What is due to which member is computed by [`pubsub_model`] at the moment of publishing, from the
//! subscriptions of that moment. After every turn, for every member:
//! 1. No phantom: a publication that was written was due to the member. Its opcode and payload are those published, so
//!    no byte of another connection is among them.
//! 2. No duplicate and no reordering: publications come at most once, in the order in which they became due, which is
//!    that of each publisher. What a policy drops is missing, and nothing else changes places.
//! 3. Frames are whole: one that has begun is finished, whatever is dropped behind it. Nothing comes after a Close.
//! 4. What the session has sent, unless it was reported as dropped, comes in order. What a handle has sent comes in
//!    order or not at all. `drain` is called once for each report of backpressure, before the next message.
//! 5. A gap is told if and only if something was dropped, where it was dropped, with the number of publications that are
//!    missing there. Those that a newer one of their topic has replaced do not count.
//!
//! In every other seed, a turn may do only very little: one command, one or three deliveries, a batch of one or three
//! publications. The rules are the same then, and a publication from outside is due when its command is carried out.
//!
//! In every other seed, too, most members can be written to together ([`Submit`]), with short writes, writes that are left
//! undone, and a failure after which each write is made by itself.
//!
//! At the end, when every member has taken everything:
//! 6. No loss without a count: on each engine, what matched is what was delivered, dropped, conflated or closed, and
//!    what was delivered is what was written. If no member has left, what matched is what was due, and what was dropped is
//!    what was told.
//! 7. If no member was slow and none has left, everything due has arrived.
//! 8. After a shutdown `close` was called for every session.
//!
//! `FLEETING_SEED=N` plays one seed, `FLEETING_SEEDS=N` the first N. Events and bytes of a seed are the same in every
//! run.
//!
//! [`Response::defer`]: fleeting::Response::defer
//! [`Engine::next_ms`]: fleeting::engine::Engine::next_ms
//! [`Submit`]: fleeting::transport::Submit

mod client;
mod generate;
mod http2_client;
mod http2_habits;
mod http2_judge;
mod http2_model;
mod http2_sent;
mod http2_stream;
mod player;
mod pubsub_model;
mod pubsub_run;
mod response;
mod run;
mod script;
pub mod service;
#[cfg(feature = "tls")]
mod tls;
pub mod wire;

use client::Client;
use http2_client::Http2Client;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The tests that play seeds, by the names that `cargo test` knows.
const REQUESTS: &str = "requests_and_frames_of_any_seed_are_answered_as_the_model_says";
#[cfg(feature = "tls")]
const WITH_TLS: &str = "requests_and_frames_with_tls_are_answered_as_the_model_says";
const STREAMS: &str = "streams_of_http2_of_any_seed_are_answered_as_the_model_says";
#[cfg(feature = "tls")]
const STREAMS_WITH_TLS: &str = "streams_of_http2_with_tls_are_answered_as_the_model_says";
const PUBLICATIONS: &str = "publications_of_any_seed_arrive_as_the_model_says";

/// The number of seeds played by default.
const SEEDS: u64 = 1000;
/// The number with TLS, where a seed takes several times as long.
#[cfg(feature = "tls")]
const SEEDS_WITH_TLS: u64 = 250;

/// The numbers with HTTP/2, where a seed takes longer, too.
const HTTP2_SEEDS: u64 = 250;
#[cfg(feature = "tls")]
const HTTP2_SEEDS_WITH_TLS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Plays a seed. An error ends with the command that plays it again.
fn replay(name: &str, play: fn(u64) -> Result<u64, String>, seed: u64) -> Result<u64, String> {
    let result = catch_unwind(AssertUnwindSafe(|| play(seed)));
    let error = match result {
        Ok(Ok(trace)) => return Ok(trace),
        Ok(Err(error)) => error,
        Err(_) => "panicked".into(),
    };
    Err(format!("seed {seed}: {error}\n replay: FLEETING_SEED={seed} cargo test simulator::{name}\n"))
}

fn play_all(name: &str, play: fn(u64) -> Result<u64, String>, default: u64) {
    let seeds = match number("FLEETING_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLEETING_SEEDS").unwrap_or(default),
    };
    let failed: Vec<String> = seeds.filter_map(|seed| replay(name, play, seed).err()).collect();
    assert!(
        failed.is_empty(),
        "{} seeds fail; the first:\n{}",
        failed.len(),
        failed[..failed.len().min(10)].concat()
    );
}

#[test]
fn requests_and_frames_of_any_seed_are_answered_as_the_model_says() {
    play_all(REQUESTS, run::play::<Client>, SEEDS);
}

#[cfg(feature = "tls")]
#[test]
fn requests_and_frames_with_tls_are_answered_as_the_model_says() {
    play_all(WITH_TLS, run::play_with_tls::<Client>, SEEDS_WITH_TLS);
}

#[test]
fn streams_of_http2_of_any_seed_are_answered_as_the_model_says() {
    play_all(STREAMS, run::play::<Http2Client>, HTTP2_SEEDS);
}

#[cfg(feature = "tls")]
#[test]
fn streams_of_http2_with_tls_are_answered_as_the_model_says() {
    play_all(STREAMS_WITH_TLS, run::play_with_tls::<Http2Client>, HTTP2_SEEDS_WITH_TLS);
}

#[test]
fn publications_of_any_seed_arrive_as_the_model_says() {
    play_all(PUBLICATIONS, pubsub_run::play, SEEDS);
}

#[test]
fn members_are_written_to_together() {
    let submissions =
        |seed| pubsub_run::submissions(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert!((0..40).map(submissions).filter(|count| *count > 5).count() > 5);
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in 0..20 {
        assert_eq!(
            replay(REQUESTS, run::play::<Client>, seed),
            replay(REQUESTS, run::play::<Client>, seed),
            "seed {seed}"
        );
        assert_eq!(
            replay(PUBLICATIONS, pubsub_run::play, seed),
            replay(PUBLICATIONS, pubsub_run::play, seed),
            "seed {seed}"
        );
        assert_eq!(
            replay(STREAMS, run::play::<Http2Client>, seed),
            replay(STREAMS, run::play::<Http2Client>, seed),
            "seed {seed}"
        );
    }
}
