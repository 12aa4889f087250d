//! A request whose content, or whose answer, does not pass in one piece.
//!
//! A transfer is the connection's protocol until it is over, and holds the connection's decoder. No further request is
//! parsed meanwhile, so answers stay in order and memory is bounded. Only turns drive it; other threads can only ask
//! for a turn. Its invariant: the session, promise, source or subscription of a transfer ends once, however it ends.

use super::answer::{AfterAnswer, ResponseContext};
use super::receiving::{Received, Receiving};
use super::sending::{SendStatus, Sending};
use super::subscribed::Subscribed;
use crate::app::{
    Answer, Awaited, Body, ConnId, Error, FieldBlock, Promise, Response, WakeConn, Waker, answered,
    handler_failed, refuse,
};
use crate::engine::context::{Context, Services};
use crate::engine::output::Output;
use crate::engine::progress::{Next, Progress, StopReason};
use crate::http1::Decoder;
use crate::panics::catch_counted;
use crate::transport::Stream;
use std::sync::Arc;

/// Content that is read and thrown away after an early answer, to keep the connection.
pub(in crate::engine) const DISCARD_BYTES_MAX: u64 = 256 << 10;

/// A request under way.
pub(in crate::engine) struct Transfer {
    /// The connection's, until the transfer is over.
    decoder: Decoder,
    context: ResponseContext,
    stage: Stage,
}

pub(in crate::engine) enum Stage {
    /// Another thread makes the answer.
    Deferred(Deferred),
    /// The content is taken as it arrives.
    Receiving(Receiving),
    /// The answer is sent as its source makes it.
    Sending(Sending),
    /// The answer is what is published from now on.
    Subscribed(Subscribed),
}

/// A deferred answer: what is known of it before another thread has made the rest.
pub(in crate::engine) struct Deferred {
    promise: Promise,
    /// Fields that precede the answer's.
    fields: FieldBlock,
    /// The connection is closed after the answer.
    close: bool,
}

impl Transfer {
    fn new(context: ResponseContext, stage: Stage) -> Box<Transfer> {
        Box::new(Transfer { decoder: Decoder::new(), context, stage })
    }

    /// Makes the transfer of an upload.
    pub(in crate::engine) fn receiving(context: ResponseContext, receiving: Receiving) -> Box<Transfer> {
        Transfer::new(context, Stage::Receiving(receiving))
    }

    /// Makes the transfer of a response whose answer is [`AfterAnswer::Pending`].
    #[inline(never)]
    pub(in crate::engine) fn pending(
        context: &ResponseContext,
        response: &mut Response<'_>,
    ) -> Box<Transfer> {
        let (context, stage) = Stage::of(context, response);
        Transfer::new(context, stage)
    }

    /// Takes over the connection's decoder, and lets the stage wake its connection.
    #[inline(never)]
    pub(in crate::engine) fn start(
        mut self: Box<Self>,
        decoder: &mut Decoder,
        conn: ConnId,
        wake: &Arc<dyn WakeConn>,
    ) -> Box<Transfer> {
        self.decoder = std::mem::take(decoder);
        self.stage.bind(conn, wake);
        self
    }

    /// Returns the stage that the transfer is in.
    #[inline]
    pub(in crate::engine) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Returns the bytes of content that an upload has received since its last pause; 0 in the other stages.
    pub(in crate::engine) fn received(&self) -> u64 {
        match &self.stage {
            Stage::Receiving(receiving) => receiving.received(),
            Stage::Deferred(_) | Stage::Sending(_) | Stage::Subscribed(_) => 0,
        }
    }

    /// Whether it sends a stream that goes on until its client leaves.
    pub(in crate::engine) fn is_endless(&self) -> bool {
        match &self.stage {
            Stage::Sending(sending) => sending.is_endless(),
            Stage::Subscribed(_) => true,
            Stage::Deferred(_) | Stage::Receiving(_) => false,
        }
    }

    fn receives(&self) -> bool {
        matches!(&self.stage, Stage::Receiving(receiving) if !receiving.is_paused())
    }

    /// Goes on with its input. A transfer that is over gives back the decoder, for the next requests.
    #[inline(never)]
    pub(in crate::engine) fn run<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        worker: &mut Context,
        conn: ConnId,
        input: &mut [u8],
    ) -> (Progress, Next<Decoder>) {
        let to = input.len();
        let resumed = !self.receives();
        if resumed {
            let (_, next) = self.advance(out, worker, conn);
            match next {
                Next::Same(_) if self.receives() => {}
                Next::Same(reason) => return (Progress { from: 0, to, fresh: false }, Next::Same(reason)),
                next => return (Progress { from: 0, to, fresh: true }, next),
            }
        }
        let (progress, next) = self.receive(out, worker, conn, input);
        let next = match next {
            // What the response waits for may have come before it could wake the connection.
            Next::Same(_) if progress.fresh => self.advance(out, worker, conn).1,
            next => next,
        };
        (Progress { fresh: progress.fresh || resumed, ..progress }, next)
    }

    /// Goes on with what needs no input. Returns whether something was completed.
    #[inline(never)]
    pub(in crate::engine) fn advance<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        worker: &mut Context,
        conn: ConnId,
    ) -> (bool, Next<Decoder>) {
        let mut fresh = false;
        loop {
            let next = match &mut self.stage {
                Stage::Deferred(deferred) => match deferred.promise.take().map(Answer::into_result) {
                    Some(result) => {
                        let panics = &mut worker.services.counters.panics;
                        let mut response =
                            result.unwrap_or_else(|error| worker.app.error_response(error, panics));
                        deferred.complete(&mut response);
                        self.answer(out, worker, conn, &mut response)
                    }
                    None => break,
                },
                Stage::Receiving(receiving) => {
                    if !receiving.resume() {
                        break;
                    }
                    // It may have paused at the end of its content: no further input would arrive.
                    let (progress, next) = self.receive(out, worker, conn, &mut []);
                    if !progress.fresh {
                        break;
                    }
                    next
                }
                Stage::Sending(sending) => {
                    if sending.begins() && sending.is_endless() {
                        worker.services.limit_unsent(&mut out.io.stream);
                    }
                    let panics = &mut worker.services.counters.panics;
                    match sending.send(out, &mut worker.scratch.source_buffer, panics) {
                        SendStatus::More => break,
                        SendStatus::Done if self.context.keep_alive => {
                            if sending.is_endless() {
                                worker.services.unlimit_unsent(&mut out.io.stream);
                            }
                            self.over()
                        }
                        SendStatus::Done => Next::Close,
                        SendStatus::Broken => {
                            out.io.broken = true;
                            Next::Close
                        }
                    }
                }
                Stage::Subscribed(stream) => match stream.take_response() {
                    Some(response) => self.begin_events(out, worker, conn, response),
                    None if !stream.go_on(out, &mut worker.services) => break,
                    None if self.context.keep_alive => {
                        if stream.conflates() {
                            worker.services.unlimit_unsent(&mut out.io.stream);
                        }
                        self.over()
                    }
                    None => Next::Close,
                },
            };
            fresh = true;
            if !matches!(next, Next::Same(_)) {
                return (fresh, next);
            }
        }
        (fresh, Next::Same(StopReason::PeerBlocked))
    }

    /// Subscribes the connection, and sends the head of its stream of events; or answers why not.
    fn begin_events<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        worker: &mut Context,
        conn: ConnId,
        response: Response<'static>,
    ) -> Next<Decoder> {
        let Stage::Subscribed(stream) = &mut self.stage else {
            unreachable!("only a stream of events is begun");
        };
        if let Err(error) = stream.subscribe(conn, &mut worker.services) {
            let panics = &mut worker.services.counters.panics;
            let refusal = worker.app.error_response(error.into(), panics);
            return self.answer(out, worker, conn, &mut refuse(response, refusal));
        }
        if stream.conflates() {
            worker.services.limit_unsent(&mut out.io.stream);
        }
        let Services { completions, date, .. } = &mut worker.services;
        self.context.head(out, &response, stream.frame().content_length(), date.text());
        stream.comment(out);
        if completions.is_on() {
            completions.set_status(conn, response.status);
        }
        Next::Same(StopReason::PeerBlocked)
    }

    /// Passes the content in `input` to the upload.
    fn receive<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        worker: &mut Context,
        conn: ConnId,
        input: &mut [u8],
    ) -> (Progress, Next<Decoder>) {
        let to = input.len();
        let Stage::Receiving(receiving) = &mut self.stage else {
            unreachable!("only an upload receives");
        };
        let Context { app, services, scratch } = &mut *worker;
        let (from, received) = receiving.take(&mut self.decoder, conn, input, services, &mut scratch.arena);
        let stopped = |reason| (Progress { from, to, fresh: false }, Next::Same(reason));
        let next = match received {
            Received::NeedsInput => return stopped(StopReason::NeedsInput),
            Received::Paused => return stopped(StopReason::PeerBlocked),
            Received::Refused(refusal) => {
                receiving.abort(&mut services.counters.panics);
                self.context.refuse_begun(out, conn, refusal, receiving.fields(), app, services);
                Next::Close
            }
            Received::Answer(Ok(mut response)) => {
                receiving.complete(&mut response);
                self.answer(out, worker, conn, &mut response)
            }
            Received::Answer(Err(error)) => {
                // Content that has ended has nothing left to discard.
                let whole = self.decoder.is_idle() || self.decoder.discard_rest(DISCARD_BYTES_MAX);
                receiving.abort(&mut services.counters.panics);
                let mut response = app.error_response(error, &mut services.counters.panics);
                receiving.complete(&mut response);
                self.context.keep_alive &= whole;
                self.answer(out, worker, conn, &mut response)
            }
        };
        (Progress { from, to, fresh: true }, next)
    }

    /// Answers the request. If the response is itself pending, the transfer goes on with that.
    fn answer<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        worker: &mut Context,
        conn: ConnId,
        response: &mut Response<'_>,
    ) -> Next<Decoder> {
        let Services { counters, completions, date, shutting_down, wake, .. } = &mut worker.services;
        self.context.keep_alive &= !*shutting_down;
        // A source that is not needed is dropped. That runs the application's code, which may panic.
        let after =
            catch_counted(&mut counters.panics, || self.context.answer_apart(out, response, date.text()));
        if completions.is_on() {
            completions.set_status(conn, response.status);
        }
        match after {
            Some(AfterAnswer::KeepAlive) => self.over(),
            Some(AfterAnswer::Close) => Next::Close,
            Some(AfterAnswer::Pending) => {
                (self.context, self.stage) = Stage::of(&self.context, response);
                self.stage.bind(conn, wake);
                Next::Same(StopReason::PeerBlocked)
            }
            // It panicked: how much was encoded is unknown.
            None => {
                out.io.broken = true;
                Next::Close
            }
        }
    }

    /// Answers 504, because the answer took too long (RFC 9110 §15.6.5).
    pub(in crate::engine) fn answer_overdue<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        worker: &mut Context,
        conn: ConnId,
    ) -> Next<Decoder> {
        let error = Error::new(504, "The answer took too long.");
        let mut response = worker.app.error_response(error, &mut worker.services.counters.panics);
        if let Stage::Deferred(deferred) = &self.stage {
            deferred.complete(&mut response);
        }
        self.answer(out, worker, conn, &mut response)
    }

    /// Returns what the layers of an upload have set, for an answer that ends it.
    pub(in crate::engine) fn upload_fields(&self) -> FieldBlock {
        match &self.stage {
            Stage::Receiving(receiving) => receiving.fields().clone(),
            Stage::Deferred(_) | Stage::Sending(_) | Stage::Subscribed(_) => FieldBlock::NONE,
        }
    }

    fn over(&mut self) -> Next<Decoder> {
        Next::Change(std::mem::take(&mut self.decoder))
    }

    /// Asks an answer without end for a sign of life: nothing has been sent for long. Returns false if its source panicked.
    pub(in crate::engine) fn quiet(&mut self, panics: &mut u64) -> bool {
        match &mut self.stage {
            Stage::Sending(sending) => return catch_counted(panics, || sending.quiet()).is_some(),
            Stage::Subscribed(stream) => stream.quiet(),
            Stage::Deferred(_) | Stage::Receiving(_) => {}
        }
        true
    }

    /// Reports to what is being sent that the server is shutting down. Returns false if its source panicked.
    pub(in crate::engine) fn ending(&mut self, panics: &mut u64) -> bool {
        match &mut self.stage {
            Stage::Sending(sending) => return catch_counted(panics, || sending.ending()).is_some(),
            Stage::Subscribed(stream) => stream.ending(),
            Stage::Deferred(_) | Stage::Receiving(_) => {}
        }
        true
    }

    /// Ends a stream of events whose client reads too slowly.
    pub(in crate::engine) fn too_slow(&mut self) {
        if let Stage::Subscribed(stream) = &mut self.stage {
            stream.ending();
        }
    }

    /// Tells the client of a stream of events how many publications were dropped.
    pub(in crate::engine) fn tell_gap<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        publications: u64,
    ) {
        if let Stage::Subscribed(stream) = &self.stage {
            stream.tell_gap(publications, &mut services.counters.panics, out.cork);
        }
    }

    /// Ends the transfer, and reports that to its session, promise or source.
    #[inline(never)]
    pub(in crate::engine) fn end(mut self: Box<Self>, services: &mut Services) {
        match &mut self.stage {
            Stage::Receiving(receiving) => receiving.abort(&mut services.counters.panics),
            Stage::Subscribed(stream) => stream.leave(services),
            Stage::Deferred(_) | Stage::Sending(_) => {}
        }
        let panics = &mut services.counters.panics;
        // Dropping it runs the application's code, which may panic.
        catch_counted(panics, move || drop(self));
    }
}

impl Stage {
    /// Returns the stage that a response with a pending body begins, and the context of the rest of the response.
    fn of(context: &ResponseContext, response: &mut Response<'_>) -> (ResponseContext, Stage) {
        let Body::Pending(pending) = std::mem::replace(&mut response.body, Body::Empty) else {
            unreachable!("only a response with a pending body makes a stage");
        };
        // What has begun stands for the answer of one request, and a layer has kept it for another.
        let awaited = pending.into_awaited().unwrap_or_else(|| Awaited::Answer(answered(handler_failed())));
        match awaited {
            Awaited::Answer(promise) => {
                let fields = std::mem::replace(&mut response.fields, FieldBlock::NONE);
                (*context, Stage::Deferred(Deferred { promise, fields, close: response.close }))
            }
            Awaited::Source(streamed) => {
                let (context, frame) = context.streaming(streamed.length, response.close);
                (context, Stage::Sending(Sending::new(streamed, frame)))
            }
            Awaited::Events(events) => {
                let (context, frame) = context.streaming(None, response.close);
                let fields = std::mem::replace(&mut response.fields, FieldBlock::NONE);
                let (status, close) = (response.status, response.close);
                let begun = Response { status, fields, body: Body::Empty, close };
                (context, Stage::Subscribed(Subscribed::new(events, begun, frame)))
            }
        }
    }

    fn bind(&mut self, conn: ConnId, wake: &Arc<dyn WakeConn>) {
        match self {
            Stage::Deferred(deferred) => deferred.promise.bind(Waker::new(conn, wake.clone())),
            Stage::Sending(sending) => sending.bind(Waker::new(conn, wake.clone())),
            // Few uploads are ever paused: a gate makes its own waker.
            // The delivery of a publication finds the connection by its name.
            Stage::Receiving(_) | Stage::Subscribed(_) => {}
        }
    }
}

impl Deferred {
    /// Adds to the answer what was known before.
    fn complete(&self, response: &mut Response<'_>) {
        response.fields.put_in_front(&self.fields);
        response.close |= self.close;
    }
}
