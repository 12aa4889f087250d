//! The requests of an HTTP/2 connection: each is answered when its head has arrived, or gets a record of its own.
//!
//! It knows no connection record. Its invariants: a field block is decoded whatever becomes of its request; the arena is reset
//! after each request.

use super::answers::{Target, answer, settle};
use super::begun::Begun;
use super::held::Held;
use super::mux::Mux;
use super::text::{self, ContentForm};
use crate::app::{
    App, Destination, Error, Handler, Params, Place, Request, RequestParts, RequestState, Resolved, Response,
    handler_failed,
};
use crate::arena::Arena;
use crate::buffer::Pool;
use crate::engine::context::{Context, Scratch, Services};
use crate::engine::http::requests::{Client, begin};
use crate::engine::output::Output;
use crate::engine::progress::{Next, Progress, StopReason};
use crate::http1::{Decoder, Fields, Head, HeadStep, Method, Refusal};
use crate::http2::hpack::HpackError;
use crate::http2::{self, BlockRole, ErrorCode, HeadError, RequestHead, Section, Step};
use crate::panics::catch_counted;
use crate::transport::Stream;
use std::cell::RefCell;
use std::convert::Infallible;
use std::mem::ManuallyDrop;

/// Works through the frames in `input`, and begins at most `budget` requests. Frames that begin none are bounded by the input.
#[inline(never)]
pub(in crate::engine) fn run<S: Stream>(
    shared: &RefCell<Mux>,
    out: &mut Output<'_, S>,
    worker: &mut Context,
    client: &Client<'_>,
    input: &[u8],
    budget: &mut usize,
) -> (Progress, Next<Infallible>) {
    let mux = &mut *shared.borrow_mut();
    // What streams have written comes before what is written now.
    mux.take_out(|frames| out.cork.extend_from_slice(frames));
    let (mut from, to) = (0, input.len());
    let (was_gathering, mut fresh) = (mux.core.is_gathering(), false);
    let next = loop {
        if mux.core.has_failed() {
            mux.end();
            break Next::Close;
        }
        if out.io.outbox.is_some() || out.io.broken {
            break Next::Same(StopReason::PeerBlocked);
        }
        // What follows may complete the requests that were begun: their content is still taken.
        if *budget == 0 && http2::begins_block(&input[from..]) {
            break Next::Same(StopReason::BudgetSpent);
        }
        let now_ms = worker.services.now_ms;
        match mux.core.next(&input[from..], now_ms, &worker.services.limits, out.cork) {
            Step::NeedsInput { wants } => {
                mux.wants = if from == to { 0 } else { wants };
                break Next::Same(StopReason::NeedsInput);
            }
            Step::Done { consumed } => from += consumed,
            Step::Windows { consumed } => {
                from += consumed;
                mux.wake_waiting();
            }
            Step::Reset { consumed, record } => {
                from += consumed;
                mux.fail(record);
            }
            Step::Content { consumed, stream, content, ends } => {
                from += consumed;
                fresh = true;
                let arrived = Arrived { stream, ends, content };
                take_content(mux, arrived, out, worker, client);
                worker.scratch.arena.reset();
            }
            Step::Block { consumed, stream, ends, role, block } => {
                from += consumed;
                fresh = true;
                *budget = budget.saturating_sub(1);
                let arrived = ArrivedBlock { stream, ends, role, block: &block, behind: &input[from..] };
                from += take_block(mux, arrived, out, worker, client);
                worker.scratch.arena.reset();
            }
            Step::Failed(_) => {}
        }
    };
    if !worker.scratch.held.is_empty() {
        begin_held(mux, worker, client);
    }
    // What is left is another frame than the one that was waited for, or another field block, so it has its own time to arrive.
    fresh |= from > 0 && !was_gathering && (from < to || mux.core.is_gathering());
    (Progress { from, to, fresh }, next)
}

/// Content that has arrived.
#[derive(Clone, Copy)]
struct Arrived<'a> {
    stream: u32,
    ends: bool,
    content: &'a [u8],
}

/// Takes content: it completes a request that was held back, or belongs to a record.
fn take_content<S: Stream>(
    mux: &mut Mux,
    arrived: Arrived<'_>,
    out: &mut Output<'_, S>,
    worker: &mut Context,
    client: &Client<'_>,
) {
    let Arrived { stream, ends, .. } = arrived;
    if let Some(at) = worker.scratch.held.iter().position(|held| held.stream == stream) {
        let held = worker.scratch.held.swap_remove(at);
        if ends {
            return answer_held(mux, held, arrived, out, worker, client);
        }
        mux.begin(Begun::request(held, client.peer));
    }
    receive(mux, arrived, out);
}

/// Passes content to the record of its stream.
fn receive<S: Stream>(mux: &mut Mux, arrived: Arrived<'_>, out: &mut Output<'_, S>) {
    let Arrived { stream, ends, content } = arrived;
    if mux.receive(stream, content, ends).is_err() {
        refuse_content(mux, stream, out);
    }
}

/// Answers a request that was held back and whose content has arrived in one piece, or gives it a record if that is not for a
/// handler.
#[inline(never)]
fn answer_held<S: Stream>(
    mux: &mut Mux,
    mut held: Held,
    arrived: Arrived<'_>,
    out: &mut Output<'_, S>,
    worker: &mut Context,
    client: &Client<'_>,
) {
    let Arrived { stream, ends, content } = arrived;
    let Context { app, services, scratch: Scratch { arena, pool, held: others, .. } } = worker;
    let arena = &*arena;
    if content.len() <= services.limits.body_bytes {
        let mut decoder = Decoder::new();
        if let HeadStep::Head { head, .. } =
            decoder.head(held.text.bytes_mut(), arena, &services.stream_limits)
        {
            let head = text::restore(head, arena);
            let Resolved { to, params, place } = app.resolve_apart(head, arena);
            if let Destination::Handler(handler) = to {
                let dispatch = Dispatch {
                    mux,
                    stream,
                    ends,
                    is_open: true,
                    out,
                    client,
                    app,
                    services,
                    arena,
                    pool,
                    held: others,
                };
                dispatch.call(handler, head, params, place, content);
                return pool.give(held.text);
            }
        }
    }
    mux.begin(Begun::request(held, client.peer));
    receive(mux, arrived, out);
}

/// Lets the requests have records whose content has not arrived in this turn.
#[inline(never)]
fn begin_held(mux: &mut Mux, worker: &mut Context, client: &Client<'_>) {
    let Scratch { held, pool, .. } = &mut worker.scratch;
    for held in held.drain(..) {
        // It may have been reset since.
        if mux.core.streams.find(held.stream).is_some() {
            mux.begin(Begun::request(held, client.peer));
        } else {
            pool.give(held.text);
        }
    }
}

/// Ends a stream for whose content there is no memory.
#[cold]
fn refuse_content<S: Stream>(mux: &mut Mux, stream: u32, out: &mut Output<'_, S>) {
    // A record answers 503. RFC 9113 §8.7: a client may send again what was not begun.
    if !mux.refuse_in_record(stream) {
        if let Some(record) = mux.core.close(stream, false, ErrorCode::REFUSED_STREAM, out.cork) {
            mux.fail(record);
        }
    }
}

/// A field block that has arrived.
struct ArrivedBlock<'a> {
    stream: u32,
    ends: bool,
    role: BlockRole,
    block: &'a [u8],
    /// What has arrived behind it.
    behind: &'a [u8],
}

/// Takes a field block. Returns how many bytes of those behind it are its request's content and were taken as well.
#[inline(always)]
fn take_block<S: Stream>(
    mux: &mut Mux,
    arrived: ArrivedBlock<'_>,
    out: &mut Output<'_, S>,
    worker: &mut Context,
    client: &Client<'_>,
) -> usize {
    let ArrivedBlock { stream, ends, role, block, behind } = arrived;
    let Context { app, services, scratch: Scratch { arena, pool, held, .. } } = worker;
    let arena = &*arena;
    let mut section = Section::new(arena, &services.limits, block.len());
    if let Err(error) = mux.core.decode(block, &mut section) {
        let code = match error {
            HpackError::NoMemory => ErrorCode::INTERNAL_ERROR,
            HpackError::Excessive => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::COMPRESSION_ERROR,
        };
        mux.core.fail(code, "a field block cannot be decoded", out.cork);
        return 0;
    }
    let (now_ms, is_head) = (services.now_ms, section.is_head());
    match role {
        BlockRole::Ignored => mux.core.ignore_block(out.cork),
        BlockRole::Refused => mux.core.refuse(stream, ErrorCode::REFUSED_STREAM, now_ms, out.cork),
        BlockRole::Trailers => match http2::head::trailers(&mut section) {
            Ok(trailers) if ends && mux.core.end_content(stream) => {
                if mux.receive_trailers(stream, &trailers).is_err() {
                    refuse_content(mux, stream, out);
                }
            }
            _ => {
                let error = ErrorCode::PROTOCOL_ERROR;
                if let Some(record) = mux.core.refuse_open(stream, error, now_ms, out.cork) {
                    mux.fail(record);
                }
            }
        },
        BlockRole::Head => {
            let head = http2::head::read(&mut section, ends);
            let is_open = false;
            let dispatch =
                Dispatch { mux, stream, ends, is_open, out, client, app, services, arena, pool, held };
            match head {
                Ok(head) => return dispatch.run(head, behind),
                Err(HeadError::Refused(refusal)) => dispatch.refuse(refusal, is_head),
                Err(HeadError::Malformed(_)) => {
                    let Dispatch { mux, out, .. } = dispatch;
                    mux.core.refuse(stream, ErrorCode::PROTOCOL_ERROR, now_ms, out.cork);
                }
            }
        }
    }
    0
}

/// A request whose head has arrived, and what is lent to answer it.
struct Dispatch<'a, 'o, 'r, S> {
    mux: &'a mut Mux,
    stream: u32,
    ends: bool,
    /// The stream is open: its content has arrived.
    is_open: bool,
    out: &'a mut Output<'o, S>,
    client: &'a Client<'a>,
    app: &'a App,
    services: &'a mut Services,
    arena: &'r Arena,
    pool: &'a mut Pool,
    held: &'a mut Vec<Held>,
}

impl<'r, S: Stream> Dispatch<'_, '_, 'r, S> {
    /// Serves a request. Returns how many bytes of those `behind` its head are its content and were taken.
    #[inline(always)]
    fn run(mut self, request: RequestHead<'r>, behind: &'r [u8]) -> usize {
        let head = request.head;
        let is_tunnel = request.protocol.is_some();
        if is_tunnel && !head.upgrade {
            let error = Error::new(501, "The server does not speak this protocol.");
            self.answer_error(error, false);
            return 0;
        }
        if is_tunnel {
            self.begin(&request);
            return 0;
        }
        let Resolved { to, params, place } = self.app.resolve_apart(head, self.arena);
        let content = match to {
            Destination::Handler(_) if self.ends => Some((&[][..], 0)),
            Destination::Handler(_) => self.take_content(&request, behind),
            _ => None,
        };
        match (to, content) {
            (Destination::Handler(handler), Some((content, taken))) => {
                self.call(handler, head, params, place, content);
                taken
            }
            _ => {
                self.begin(&request);
                0
            }
        }
    }

    /// Takes the content of a request, if it has arrived in one piece. Returns it, and how many bytes of the input it takes.
    fn take_content(&mut self, request: &RequestHead<'_>, behind: &'r [u8]) -> Option<(&'r [u8], usize)> {
        let content_max = self.services.limits.body_bytes;
        let is_right = |length| {
            length <= content_max && request.content_length.is_none_or(|announced| announced == length as u64)
        };
        // A client that asks before it sends content expects an interim response.
        if request.head.expects_continue {
            return None;
        }
        let taken = self.mux.core.whole_content(self.stream, is_right, behind, self.out.cork)?;
        self.ends = true;
        Some(taken)
    }

    /// Calls the handler of a request that has arrived completely.
    #[inline]
    fn call(
        self,
        handler: &dyn Handler,
        head: &'r Head<'r>,
        params: Params<'r>,
        place: &'r Place,
        content: &'r [u8],
    ) {
        let Dispatch { mux, stream, ends, is_open, out, client, services, arena, .. } = self;
        let (conn, peer) = (client.conn, client.peer);
        services.counters.requests += 1;
        begin(head, place, head.len + content.len(), client, out, services);
        let (pattern, state) = (&place.pattern, RequestState::default());
        let trailers = Fields::default();
        let request =
            Request::new(RequestParts { head, content, trailers, params, arena, conn, peer, pattern, state });
        let target = Target { stream, ends, head_only: head.method == Method::Head, is_open };
        let Services { counters, date, .. } = &mut *services;
        let date = date.text();
        let (mut status, mut work) = (0, None);
        let answered = catch_counted(&mut counters.panics, || {
            // It is encoded where it lies, and mostly has nothing to drop, as over HTTP/1.1.
            let mut result = ManuallyDrop::new(handler.call(&request));
            if let Ok(response) = &mut *result {
                status = response.status;
                if let Some(later) = answer(mux, &target, response, date, out) {
                    work = Some(later);
                }
                if response.owns_something() {
                    drop(ManuallyDrop::into_inner(result));
                }
                return;
            }
            let mut response = ManuallyDrop::into_inner(result).unwrap_or_else(Response::from);
            status = response.status;
            work = answer(mux, &target, &mut response, date, out);
        });
        counters.panics += request.panics();
        if answered.is_none() {
            let mut response = Response::from(handler_failed());
            status = response.status;
            work = answer(mux, &target, &mut response, date, out);
        }
        settle(mux, stream, status, work, out, client, services);
    }

    /// Gives the request a record.
    #[inline(never)]
    fn begin(self, request: &RequestHead<'r>) {
        let Dispatch { mux, stream, ends, out, client, arena, pool, held, .. } = self;
        let form = text::form(request, ends);
        let text = text::write(request, form, arena);
        let mut inbox = pool.take();
        if inbox.push(text, 0).is_err() {
            pool.give(inbox);
            let error = ErrorCode::REFUSED_STREAM;
            return mux.core.push_reset(stream, error, out.cork);
        }
        let length = if ends { None } else { request.content_length };
        mux.open(stream, ends, length, form);
        let request_held = Held { stream, text: inbox };
        // Of a request that asks before it sends content, none is on its way.
        if ends || form == ContentForm::Tunnel || request.head.expects_continue {
            mux.begin(Begun::request(request_held, client.peer));
        } else {
            held.push(request_held);
        }
    }

    /// Answers a request that is not served.
    #[cold]
    fn refuse(self, refusal: Refusal, is_head: bool) {
        self.services.counters.count_refused(refusal);
        let error = Error::new(refusal.status(), refusal.to_string());
        self.answer_error(error, is_head);
    }

    #[cold]
    fn answer_error(self, error: Error, head_only: bool) {
        let Dispatch { mux, stream, ends, out, client, app, services, .. } = self;
        let mut response = app.error_response(error, &mut services.counters.panics);
        let (status, before) = (response.status, out.cork.position());
        let target = Target { stream, ends, head_only, is_open: false };
        let work = answer(mux, &target, &mut response, services.date.text(), out);
        let completions = &mut services.completions;
        match work {
            None if completions.is_on() => {
                completions.refused(client.conn, status, before, out.cork.position());
            }
            None => {}
            // The client's windows are smaller than the content.
            Some(work) => {
                let on = completions.is_on();
                let completion =
                    on.then(|| completions.detach_refused(client.conn, status, before)).flatten();
                mux.begin(Begun { stream, peer: client.peer.clone(), work, completion });
            }
        }
    }
}
