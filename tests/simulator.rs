//! The real engine among clients that chance invents, on streams and in a time that are made up.
//!
//! A seed decides everything: a few dozen clients with scripts of requests and frames, their pace, what
//! their pipes hold, the faults, the clock, the order and lateness of events. What must be answered is
//! worked out from the script alone ([`script`]), and compared with what was written after every turn.
//!
//! ```text
//!   Script -> Client -> Wire <- SimStream <- Engine        Run: clock, events, accept, shutdown
//!      `------ says ------> compare <- written ----'
//! ```
//!
//! After every turn:
//! 1. Every byte that was written is the next one of the model: nothing is missing, doubled, out of
//!    order or another client's, every Date is of a time there was. The only other things that may be
//!    said are a 408, a ping, a Close 1001, a 503 or a `Connection: close`, each only where a response or
//!    a frame begins, in its protocol, and not before its timeout has passed or the shutdown has begun.
//! 2. Nothing is answered before a byte of it has arrived.
//! 3. No stream is read after its end, written after its end, ended twice, or used after it has failed or
//!    was let go; no call is made for nothing.
//! 4. A stream is let go for a reason only: the client's end, with all that was due written; a failure;
//!    a timeout that has passed; a shutdown.
//!
//! Whenever no event is due and the engine has nothing to do ([`Engine::next_ms`] is not 0):
//! 5. All that has arrived is answered, unless the client's pipe is full: no wake-up was lost.
//! 6. The end is said where the script has it, and streams of clients that are gone are let go.
//! 7. After a shutdown no connection waits for another request.
//!
//! In the end, when time passes only as [`Engine::next_ms`] asks for it:
//! 8. Clients that nothing has disturbed have all their answers.
//! 9. Every connection ends within the timeouts, after a shutdown within the grace; then `is_over`. The
//!    engine never asks for a time that has passed, and never works on without end.
//! 10. Every stream was let go, every session told of its end once, and the counters agree with the
//!     model; with clients disturbed, responses are at most what was counted.
//!
//! Among the requests are some that another thread answers, or never does ([`Response::defer`]), some whose
//! content comes from a source that sleeps now and then, and uploads that pause: the run wakes, answers and
//! resumes them between turns, as chance will have it. What they are answered is known all the same, and that
//! nothing behind one of them is answered before it.
//!
//! The second play, [`crowd`], has two engines that share a handle, and members that subscribe, unsubscribe,
//! publish, leave, and read slowly or not at all, with each policy for the slow, while others publish through
//! the handle. What is due to whom is worked out when something is published, from the subscriptions of that
//! moment ([`hub`]). After every turn, of every member:
//! 1. No phantom: a publication that was written was due to it; opcode and payload are what was published, so
//!    no byte of another connection is among them.
//! 2. No duplicate and no reorder: publications come in the order in which they became due, which is that of
//!    each publisher, each at most once. What a policy drops is left out, and nothing else changes places.
//! 3. Frames are whole: one that has begun is finished, whatever is dropped behind it. After a Close nothing comes.
//! 4. What its session has sent, and was not told to be dropped, comes in its order; what a handle has sent comes in
//!    its order or not at all. `drain` comes once for each time that it was told of backpressure, before the next
//!    message.
//!
//! In the end, when everybody has taken everything:
//! 5. No loss without a count: what was matched is what was delivered and what was dropped, conflated or closed,
//!    by engine; what was delivered is what was written. If nobody has left, what was matched is what was due.
//! 6. If nobody was slow and nobody has left, all that was due has arrived.
//! 7. After a shutdown every session has been told of its end.
//!
//! `FLEETING_SEED=N` plays one seed, `FLEETING_SEEDS=N` the first N. Events and bytes of a seed are the
//! same every time.
//!
//! [`Response::defer`]: fleeting::Response::defer
//! [`Engine::next_ms`]: fleeting::engine::Engine::next_ms

mod client;
mod crowd;
mod hub;
mod run;
pub mod script;
pub mod service;
pub mod wire;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds that are played by default.
const SEEDS: u64 = 1000;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Plays a seed; what went wrong is told with the command that plays it again.
fn played(name: &str, play: fn(u64) -> Result<u64, String>, seed: u64) -> Result<u64, String> {
    let played = catch_unwind(AssertUnwindSafe(|| play(seed)));
    let what = match played {
        Ok(Ok(trace)) => return Ok(trace),
        Ok(Err(what)) => what,
        Err(_) => "it panics".into(),
    };
    Err(format!("seed {seed}: {what}\n replay: FLEETING_SEED={seed} cargo test simulator::{name}\n"))
}

fn play_all(name: &str, play: fn(u64) -> Result<u64, String>) {
    let seeds = match number("FLEETING_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FLEETING_SEEDS").unwrap_or(SEEDS),
    };
    let failed: Vec<String> = seeds.filter_map(|seed| played(name, play, seed).err()).collect();
    assert!(
        failed.is_empty(),
        "{} seeds fail; the first:\n{}",
        failed.len(),
        failed[..failed.len().min(10)].concat()
    );
}

#[test]
fn seeds() {
    play_all("seeds", run::play);
}

#[test]
fn topics() {
    play_all("topics", crowd::play);
}

#[test]
fn a_seed_is_the_same_every_time() {
    for seed in 0..20 {
        assert_eq!(played("seeds", run::play, seed), played("seeds", run::play, seed), "seed {seed}");
        assert_eq!(played("topics", crowd::play, seed), played("topics", crowd::play, seed), "seed {seed}");
    }
}
