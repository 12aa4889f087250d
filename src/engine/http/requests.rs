//! Requests to handlers, answers to the cork.
//!
//! One request is one pass through `next`: decode, route, call, encode. The arena is reset after each,
//! pipelined ones included.

use crate::app::{ConnId, Error, Request, RequestParts, Resolved, Response, Uploads};
use crate::arena::OVERWRITTEN;
use crate::engine::conn::{Conn, Protocol};
use crate::engine::context::{Desk, Ran, Stop};
use crate::engine::counters::Counters;
use crate::engine::http::answer::{self, ResponseContext};
use crate::engine::http::receiving::{self, Unopened};
use crate::engine::http::transfer::{self, Answered, Stage, Transfer};
use crate::engine::output::Output;
use crate::engine::websocket::socket::{self as websocket, Means};
use crate::http1::{self, ContentStep, Framing, HeadStep, Method};
use crate::panics::catch_counted;
use crate::transport::Stream;

/// Content that is read and thrown away after an early answer, to keep the connection.
pub(in crate::engine) const DISCARD_BYTES_MAX: u64 = 256 << 10;

/// What one pass came to.
enum Step {
    /// The first `filled` bytes of the input must come again with more behind them.
    Starved { filled: usize },
    /// So many bytes are of no use.
    Skipped(usize),
    /// Nothing more can be understood, and there is nothing to say.
    Broken,
    /// A request was answered; so many bytes are done with.
    Answered { consumed: usize, keep_alive: bool },
    /// A request has made the connection something else: a WebSocket, or a transfer.
    Changed { consumed: usize },
}

/// Answers what is whole in `input`, at most `budget` requests.
///
/// What most requests do is kept together here and in what is inlined here, and what few do is called:
/// after each system call this code comes from the second-level cache, so its length counts.
#[inline(never)]
pub(in crate::engine) fn run<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    input: &mut [u8],
    budget: &mut usize,
    desk: &mut Desk,
) -> Ran {
    let (mut from, mut to) = (0, input.len());
    let before = *budget;
    let stop = loop {
        if from == to {
            break Stop::Starved;
        }
        if conn.io.outbox.is_some() || conn.io.broken {
            break Stop::Blocked;
        }
        if *budget == 0 {
            break Stop::Budget;
        }
        let step = next(conn, id, &mut input[from..to], desk);
        desk.arena.reset();
        let consumed = match step {
            Step::Starved { filled } => {
                to = from + filled;
                break Stop::Starved;
            }
            Step::Skipped(bytes) => {
                from += bytes;
                continue;
            }
            Step::Broken => break Stop::Over,
            Step::Answered { consumed, .. } | Step::Changed { consumed } => consumed,
        };
        if cfg!(debug_assertions) {
            input[from..from + consumed].fill(OVERWRITTEN);
        }
        from += consumed;
        *budget -= 1;
        match step {
            Step::Answered { keep_alive: false, .. } => break Stop::Over,
            Step::Changed { .. } => break Stop::Changed,
            _ => {}
        }
    };
    Ran { from, to, stop, fresh: *budget < before }
}

#[inline]
fn next<S: Stream>(conn: &mut Conn<S>, id: ConnId, input: &mut [u8], desk: &mut Desk) -> Step {
    let Protocol::Http(decoder) = &mut conn.protocol else {
        unreachable!("only an HTTP connection is run here");
    };
    let Desk { app, limits, arena, cork, counters, date, exchange, codec, shutting_down, wake, .. } = desk;
    let mut out = Output::new(&mut conn.io, cork);
    let date = date.text();
    let length = input.len();

    let (head, rest, resumed) = match decoder.head(input, arena, limits) {
        HeadStep::Head { head, rest, resumed } => (head, rest, resumed),
        HeadStep::Incomplete { filled } => return Step::Starved { filled },
        HeadStep::Skip(bytes) => return Step::Skipped(bytes),
        HeadStep::Broken(refusal) => {
            counters.count_refused(refusal);
            return Step::Broken;
        }
        HeadStep::Refused(refusal) => {
            counters.count_refused(refusal);
            ResponseContext::last(answer::is_head(input)).refuse(&mut out, refusal, date);
            return Step::Answered { consumed: length, keep_alive: false };
        }
    };
    let resolved = app.resolve(head, arena);
    let mut terms = ResponseContext {
        version: head.version,
        keep_alive: head.keep_alive && !*shutting_down,
        head_only: head.method == Method::Head,
    };

    if let Resolved::Early(early) = resolved {
        counters.early_answers += 1;
        // A client that waits for 100 may or may not send its content now: only an end is clear.
        terms.keep_alive &= !head.expects_continue && head.method != Method::Connect;
        terms.keep_alive = decoder.discard(head, DISCARD_BYTES_MAX) && terms.keep_alive;
        let keep_alive = terms.answer_early(&mut out, early, date);
        return Step::Answered { consumed: head.len, keep_alive };
    }
    if let Resolved::Upload(uploads, params) = resolved {
        let (content, trailers): (&[u8], _) = (&[], Default::default());
        let parts = RequestParts { head, content, trailers, params, arena, conn: id, peer: &conn.peer };
        let step = open_upload(uploads, parts, length, &mut out, decoder, &mut terms, counters, date);
        return match step {
            Ok(transfer) => {
                transfer::hold(&mut conn.protocol, transfer, id, wake);
                Step::Changed { consumed: head.len }
            }
            Err(answered) => answered,
        };
    }
    // Content that is too large is not asked for.
    let welcome = !matches!(head.framing, Framing::Length(length) if length > limits.body_bytes as u64);
    if !resumed && head.expects_continue && welcome {
        out.cork.extend_from_slice(http1::CONTINUE);
    }

    let (content, trailers, consumed) = match decoder.content(head, rest, arena, limits) {
        ContentStep::Incomplete { filled } => return Step::Starved { filled },
        ContentStep::Refused(refusal) => {
            counters.count_refused(refusal);
            terms.refuse(&mut out, refusal, date);
            return Step::Answered { consumed: length, keep_alive: false };
        }
        ContentStep::Whole { content, trailers, consumed } => (content, trailers, consumed),
    };
    counters.requests += 1;
    let request = |params| {
        Request::new(RequestParts { head, content, trailers, params, arena, conn: id, peer: &conn.peer })
    };
    let mut response = match resolved {
        Resolved::Handler(handler, params) => {
            let request = request(params);
            // What the handler returns is encoded where it lies: it is large, and moving it costs as much
            // as routing.
            let answered = catch_counted(&mut counters.panics, || match handler.call(&request) {
                Ok(ref mut response) => transfer::answer(&terms, &mut out, response, date),
                Err(error) => transfer::answer(&terms, &mut out, &mut error.into(), date),
            });
            match answered {
                Some(Answered::KeepAlive) => return Step::Answered { consumed, keep_alive: true },
                Some(Answered::Close) => return Step::Answered { consumed, keep_alive: false },
                Some(Answered::Held(transfer)) => {
                    transfer::hold(&mut conn.protocol, transfer, id, wake);
                    return Step::Changed { consumed };
                }
                None => {}
            }
            Error::internal("The handler failed.").into()
        }
        Resolved::Upgrade(..) if *shutting_down => Error::unavailable("The server is shutting down.").into(),
        Resolved::Upgrade(upgrade, params) => {
            let means = Means { limits, counters, exchange, codec };
            match websocket::open(upgrade, &request(params), &mut out, means, date) {
                Ok(socket) => {
                    conn.protocol = Protocol::WebSocket(socket);
                    conn.timer.hear();
                    return Step::Changed { consumed };
                }
                Err(response) => response,
            }
        }
        Resolved::Early(_) | Resolved::Upload(..) => unreachable!("answered above"),
    };
    let keep_alive = terms.answer(&mut out, &mut response, date).is_keep_alive();
    Step::Answered { consumed, keep_alive }
}

/// Begins an upload, or answers why not.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "they are what `next` has in its hands")]
fn open_upload<S: Stream>(
    uploads: &dyn Uploads,
    parts: RequestParts<'_>,
    length: usize,
    out: &mut Output<'_, S>,
    decoder: &mut http1::Decoder,
    terms: &mut ResponseContext,
    counters: &mut Counters,
    date: &[u8; 29],
) -> Result<Box<Transfer>, Step> {
    let head = parts.head;
    match receiving::open(uploads, &Request::new(parts), decoder, counters) {
        Ok(upload) => {
            if head.expects_continue {
                out.cork.extend_from_slice(http1::CONTINUE);
            }
            Ok(Transfer::new(*terms, Stage::Receiving(upload)))
        }
        Err(Unopened::Refused(refusal)) => {
            counters.count_refused(refusal);
            terms.refuse(out, refusal, date);
            Err(Step::Answered { consumed: length, keep_alive: false })
        }
        Err(Unopened::Error(error)) => {
            // As for any early answer: a client that waits for 100 may or may not send its content now.
            terms.keep_alive &= !head.expects_continue;
            terms.keep_alive = decoder.discard_rest(DISCARD_BYTES_MAX) && terms.keep_alive;
            let keep_alive = terms.answer(out, &mut error.into(), date).is_keep_alive();
            Err(Step::Answered { consumed: head.len, keep_alive })
        }
    }
}

/// The response to a handshake that was refused.
pub(in crate::engine) fn rejected(rejected: crate::ws::Rejected) -> Response<'static> {
    let mut response = Response::from(Error::new(rejected.status(), rejected.to_string()));
    for (name, value) in rejected.fields() {
        // Upgrade and Connection do not go in here: the encoder writes them with every 426.
        let _ = response.fields.push(name, value.as_bytes());
    }
    response
}
