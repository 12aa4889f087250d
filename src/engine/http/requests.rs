//! Passes requests to handlers, and writes their answers to the cork.
//!
//! It knows no connection record. One request is one pass through `next`: decode, route, call, encode. Its invariant:
//! the arena is reset after each request, pipelined ones included.

use super::answer::{self, AfterAnswer, ResponseContext};
use super::receiving::{Receiving, Unopened};
use super::transfer::{DISCARD_BYTES_MAX, Transfer};
use super::upgrade::{self, NotOpened};
use crate::app::{
    App, ConnId, Destination, Early, Error, Layers, Other, Params, Place, Request, RequestParts,
    RequestState, Resolved, Response, Uploads, call_through, forwarded_ip, handler_failed,
};
use crate::arena::{Arena, OVERWRITTEN};
use crate::engine::context::{Context, Scratch, Services};
use crate::engine::http2::text;
use crate::engine::output::Output;
use crate::engine::progress::{Next, Progress, StopReason};
use crate::engine::websocket::socket::OpenSocket;
use crate::http1::{ContentStep, Decoder, Fields, Framing, Head, HeadStep, Method};
use crate::panics::catch_counted;
use crate::transport::{Peer, Stream};
use std::mem::ManuallyDrop;

/// The client that sends the requests.
pub(in crate::engine) struct Client<'a> {
    pub(in crate::engine) conn: ConnId,
    pub(in crate::engine) peer: &'a Peer,
    /// It is a stream of an HTTP/2 connection.
    pub(in crate::engine) is_stream: bool,
}

/// What a request can change its connection's protocol to.
pub(in crate::engine) enum Switch {
    Transfer(Box<Transfer>),
    WebSocket(OpenSocket),
}

/// The result of one pass.
enum Step {
    /// The first `filled` bytes of the input must be shown again, followed by more.
    NeedsInput { filled: usize },
    /// This many bytes at the front belong to no request.
    Skipped(usize),
    /// The rest of the input cannot be parsed, and gets no answer.
    Broken,
    /// A request was answered; `consumed` bytes belong to it.
    Answered { consumed: usize, keep_alive: bool },
    /// A request has changed the connection's protocol.
    Switched { consumed: usize, to: Switch },
}

/// Answers the complete requests in `input`, at most `budget` of them.
///
/// The common path is kept together here, in this function and those inlined into it; rare work is called. After each
/// system call this code comes from the second-level cache, so its length matters.
#[inline(never)]
pub(in crate::engine) fn run<S: Stream>(
    decoder: &mut Decoder,
    out: &mut Output<'_, S>,
    worker: &mut Context,
    client: &Client<'_>,
    input: &mut [u8],
    budget: &mut usize,
) -> (Progress, Next<Switch>) {
    let (mut from, mut to) = (0, input.len());
    let before = *budget;
    let next = loop {
        if from == to {
            break Next::Same(StopReason::NeedsInput);
        }
        if out.io.outbox.is_some() || out.io.broken {
            break Next::Same(StopReason::PeerBlocked);
        }
        if *budget == 0 {
            break Next::Same(StopReason::BudgetSpent);
        }
        let step = next(decoder, out, worker, client, &mut input[from..to]);
        worker.scratch.arena.reset();
        let mut pass = |consumed| {
            if cfg!(debug_assertions) {
                input[from..from + consumed].fill(OVERWRITTEN);
            }
            from += consumed;
            *budget -= 1;
        };
        match step {
            Step::Answered { consumed, keep_alive } => {
                pass(consumed);
                if !keep_alive {
                    break Next::Close;
                }
            }
            Step::Switched { consumed, to } => {
                pass(consumed);
                break Next::Change(to);
            }
            Step::NeedsInput { filled } => {
                to = from + filled;
                break Next::Same(StopReason::NeedsInput);
            }
            Step::Skipped(bytes) => from += bytes,
            Step::Broken => break Next::Close,
        }
    };
    (Progress { from, to, fresh: *budget < before }, next)
}

#[inline]
fn next<S: Stream>(
    decoder: &mut Decoder,
    out: &mut Output<'_, S>,
    worker: &mut Context,
    client: &Client<'_>,
    input: &mut [u8],
) -> Step {
    let Context { app, services, scratch: Scratch { arena, .. } } = worker;
    let arena = &*arena;
    let length = input.len();
    let limits = if client.is_stream { &services.stream_limits } else { &services.limits };
    let (head, rest, resumed) = match decoder.head(input, arena, limits) {
        HeadStep::Head { head, rest, resumed } if client.is_stream => {
            (text::restore(head, arena), rest, resumed)
        }
        HeadStep::Head { head, rest, resumed } => (head, rest, resumed),
        HeadStep::Incomplete { filled } => return Step::NeedsInput { filled },
        HeadStep::Skip(bytes) => return Step::Skipped(bytes),
        HeadStep::Broken(refusal) => {
            services.counters.count_refused(refusal);
            return Step::Broken;
        }
        HeadStep::Refused(refusal) => {
            ResponseContext::last(answer::is_head(input), client.is_stream).refuse(
                out,
                client.conn,
                refusal,
                app,
                services,
            );
            return Step::Answered { consumed: length, keep_alive: false };
        }
    };
    let Resolved { to, params, place } = app.resolve(head, arena);
    let (pattern, state) = (&place.pattern, RequestState::default());
    let response = ResponseContext {
        version: head.version,
        keep_alive: head.keep_alive && !services.shutting_down,
        head_only: head.method == Method::Head,
    };
    let (conn, peer) = (client.conn, client.peer);
    let handler = match to {
        // Another answer with a status of 200 to 299 would open the tunnel that the client asks for (RFC 8441 §4).
        Destination::Handler(_) if client.is_stream && head.upgrade => {
            response.refuse_tunnel(out, conn, app, services);
            return Step::Answered { consumed: length, keep_alive: false };
        }
        Destination::Handler(handler) => handler,
        Destination::Other(to) => {
            let arrived = Arrived { to, head, rest, resumed, params, place, length, arena, client };
            return answer_otherwise(arrived, response, decoder, out, app, services);
        }
    };
    // Joined with the outcome of reading content, this one would be written to memory and read back in other parts.
    let (content, trailers, consumed) = if head.framing.is_empty() {
        (&[][..], Fields::default(), head.len)
    } else {
        match content(head, rest, resumed, decoder, out, arena, services) {
            ContentStep::Incomplete { filled } => return Step::NeedsInput { filled },
            ContentStep::Refused(refusal) => {
                begin(head, place, length, client, out, services);
                response.refuse(out, conn, refusal, app, services);
                return Step::Answered { consumed: length, keep_alive: false };
            }
            ContentStep::Whole { content, trailers, consumed } => (content, trailers, consumed),
        }
    };
    services.counters.requests += 1;
    begin(head, place, consumed, client, out, services);
    let request =
        Request::new(RequestParts { head, content, trailers, params, arena, conn, peer, pattern, state });
    let Services { counters, date, .. } = &mut *services;
    let date = date.text();
    // What the handler returns is encoded where it lies: it is large, and moving it costs as much as routing.
    let (mut transfer, mut status) = (None, 0);
    let after = catch_counted(&mut counters.panics, || {
        let mut result = ManuallyDrop::new(handler.call(&request));
        if let Ok(answer) = &mut *result {
            let after = response.answer(out, answer, date);
            status = answer.status;
            if after == AfterAnswer::Pending {
                transfer = Some(Transfer::pending(&response, answer));
            }
            // Most have nothing to drop, and finding that out variant by variant costs as much as encoding.
            if answer.owns_something() {
                drop(ManuallyDrop::into_inner(result));
            }
            return after;
        }
        let result = ManuallyDrop::into_inner(result);
        let mut answer = result.unwrap_or_else(Response::from);
        status = answer.status;
        response.answer_apart(out, &mut answer, date)
    });
    counters.panics += request.panics();
    if let Some(after) = after {
        note_answer(conn, status, after, out, services);
    }
    if let Some(transfer) = transfer {
        let to = Switch::Transfer(transfer.start(decoder, conn, &services.wake));
        return Step::Switched { consumed, to };
    }
    if let Some(after) = after {
        return Step::Answered { consumed, keep_alive: after == AfterAnswer::KeepAlive };
    }
    respond(Err(handler_failed()), &response, consumed, conn, out, decoder, services)
}

/// Reads the content of a request whose head is complete. Asks for it first if the client waits for that.
#[inline(always)]
fn content<'a, S: Stream>(
    head: &Head<'a>,
    rest: &'a mut [u8],
    resumed: bool,
    decoder: &mut Decoder,
    out: &mut Output<'_, S>,
    arena: &'a Arena,
    services: &Services,
) -> ContentStep<'a> {
    // Content that is too large is not asked for.
    let welcome =
        !matches!(head.framing, Framing::Length(length) if length > services.limits.body_bytes as u64);
    if !resumed && head.expects_continue && welcome {
        answer::ask_for_content(head.version, out);
    }
    decoder.content(head, rest, arena, &services.limits)
}

/// A request whose head is complete.
struct Arrived<'a> {
    to: Other<'a>,
    head: &'a Head<'a>,
    rest: &'a mut [u8],
    resumed: bool,
    params: Params<'a>,
    place: &'a Place,
    /// The number of bytes that were shown to the decoder.
    length: usize,
    arena: &'a Arena,
    client: &'a Client<'a>,
}

/// Answers a request that does not go to a handler.
#[inline(never)]
fn answer_otherwise<S: Stream>(
    arrived: Arrived<'_>,
    response: ResponseContext,
    decoder: &mut Decoder,
    out: &mut Output<'_, S>,
    app: &App,
    services: &mut Services,
) -> Step {
    let Arrived { to, head, rest, resumed, params, place, length, arena, client } = arrived;
    let request = |content, trailers| {
        let (conn, peer) = (client.conn, client.peer);
        let (pattern, state) = (&place.pattern, RequestState::default());
        Request::new(RequestParts { head, content, trailers, params, arena, conn, peer, pattern, state })
    };
    let layers = &*place.layers;
    match to {
        Other::Early(early) => {
            begin(head, place, head.len, client, out, services);
            let request = request(&[], Fields::default());
            answer_early(&early, layers, &request, out, decoder, response, app, services)
        }
        Other::Upload(uploads) => {
            begin(head, place, head.len, client, out, services);
            let request = request(&[], Fields::default());
            open_upload(uploads, layers, &request, length, out, decoder, response, app, services)
        }
        Other::Upgrade(upgrade) => match content(head, rest, resumed, decoder, out, arena, services) {
            ContentStep::Incomplete { filled } => Step::NeedsInput { filled },
            ContentStep::Refused(refusal) => {
                begin(head, place, length, client, out, services);
                response.refuse(out, client.conn, refusal, app, services);
                Step::Answered { consumed: length, keep_alive: false }
            }
            ContentStep::Whole { content, trailers, consumed } => {
                services.counters.requests += 1;
                begin(head, place, consumed, client, out, services);
                match upgrade::open(upgrade, layers, &request(content, trailers), out, services) {
                    Ok(socket) => Step::Switched { consumed, to: Switch::WebSocket(socket) },
                    Err(NotOpened { answer, .. }) if client.is_stream && answer::opens_tunnel(&answer) => {
                        // Dropping it runs the application's code, which may panic.
                        catch_counted(&mut services.counters.panics, || drop(answer));
                        response.refuse_tunnel(out, client.conn, app, services);
                        Step::Answered { consumed: length, keep_alive: false }
                    }
                    Err(NotOpened { answer, last }) => {
                        let keep_alive = response.keep_alive && !last;
                        let response = ResponseContext { keep_alive, ..response };
                        respond(answer, &response, consumed, client.conn, out, decoder, services)
                    }
                }
            }
        },
    }
}

/// Sends an answer that no handler of a route has made.
#[inline(never)]
fn respond<S: Stream>(
    answer: Result<Response<'_>, Error>,
    context: &ResponseContext,
    consumed: usize,
    conn: ConnId,
    out: &mut Output<'_, S>,
    decoder: &mut Decoder,
    services: &mut Services,
) -> Step {
    let Services { counters, date, .. } = &mut *services;
    let mut answer = answer.unwrap_or_else(Response::from);
    // A source that is not needed is dropped. That runs the application's code, which may panic.
    let answered = catch_counted(&mut counters.panics, || {
        let after = context.answer_apart(out, &mut answer, date.text());
        (after, answer.status)
    });
    let (after, status) = answered.unwrap_or_else(|| {
        let mut answer = Response::from(handler_failed());
        context.answer_apart(out, &mut answer, date.text());
        (AfterAnswer::Close, answer.status)
    });
    note_answer(conn, status, after, out, services);
    match after {
        AfterAnswer::Pending => {
            let transfer = Transfer::pending(context, &mut answer).start(decoder, conn, &services.wake);
            Step::Switched { consumed, to: Switch::Transfer(transfer) }
        }
        after => Step::Answered { consumed, keep_alive: after == AfterAnswer::KeepAlive },
    }
}

/// Notes the request for the completion hook. `bytes_in`: what belongs to it so far.
#[inline]
pub(in crate::engine) fn begin<S>(
    head: &Head<'_>,
    place: &Place,
    bytes_in: usize,
    client: &Client<'_>,
    out: &Output<'_, S>,
    services: &mut Services,
) {
    if services.completions.is_on() {
        note_request(head, place, bytes_in, client, out.cork.position(), services);
    }
}

#[inline(never)]
fn note_request(
    head: &Head<'_>,
    place: &Place,
    bytes_in: usize,
    client: &Client<'_>,
    from: u64,
    services: &mut Services,
) {
    let Client { conn, peer, .. } = *client;
    services.completions.begin(conn, head, place.pattern.as_str(), bytes_in, from);
    if let Some(client) = forwarded_ip(peer, &head.fields) {
        services.completions.set_client(conn, client);
    }
}

/// Notes the answer for the completion hook.
#[inline]
fn note_answer<S>(
    conn: ConnId,
    status: u16,
    after: AfterAnswer,
    out: &Output<'_, S>,
    services: &mut Services,
) {
    if services.completions.is_on() {
        services.completions.answered(conn, status, out.cork.position(), after == AfterAnswer::Pending);
    }
}

/// Answers a request that reaches no handler, upload or WebSocket.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "it continues `next`")]
fn answer_early<S: Stream>(
    early: &Early<'_>,
    layers: &Layers,
    request: &Request<'_>,
    out: &mut Output<'_, S>,
    decoder: &mut Decoder,
    mut response: ResponseContext,
    app: &App,
    services: &mut Services,
) -> Step {
    let head = request.head();
    services.counters.early_answers += 1;
    // A client that waits for 100 may or may not send its content now: only closing is unambiguous.
    response.keep_alive &= !head.expects_continue && head.method != Method::Connect;
    response.keep_alive = decoder.discard(head, DISCARD_BYTES_MAX) && response.keep_alive;
    let mut answer = call_through(layers, early, request);
    if head.method == Method::Connect && answer::opens_tunnel(&answer) {
        // RFC 9110 §9.3.6
        let refusal = Error::new(501, "The server opens no tunnels.");
        let instead = Ok(app.error_response(refusal, &mut services.counters.panics));
        catch_counted(&mut services.counters.panics, || answer = instead);
    }
    services.counters.panics += request.panics();
    respond(answer, &response, head.len, request.conn_id(), out, decoder, services)
}

/// Begins an upload, or answers why not.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "it continues `next`")]
fn open_upload<S: Stream>(
    uploads: &dyn Uploads,
    layers: &Layers,
    request: &Request<'_>,
    length: usize,
    out: &mut Output<'_, S>,
    decoder: &mut Decoder,
    mut response: ResponseContext,
    app: &App,
    services: &mut Services,
) -> Step {
    let (head, conn) = (request.head(), request.conn_id());
    match Receiving::open(uploads, layers, request, decoder, &mut services.counters) {
        Ok(upload) => {
            if head.expects_continue {
                answer::ask_for_content(head.version, out);
            }
            let transfer = Transfer::receiving(response, upload).start(decoder, conn, &services.wake);
            Step::Switched { consumed: head.len, to: Switch::Transfer(transfer) }
        }
        Err(Unopened::Refused(refusal)) => {
            response.refuse(out, conn, refusal, app, services);
            Step::Answered { consumed: length, keep_alive: false }
        }
        Err(Unopened::Answer(answer)) => {
            // As for any early answer: a client that waits for 100 may or may not send its content now.
            response.keep_alive &= !head.expects_continue;
            response.keep_alive = decoder.discard_rest(DISCARD_BYTES_MAX) && response.keep_alive;
            respond(answer, &response, head.len, conn, out, decoder, services)
        }
    }
}
