//! An open WebSocket: passes messages to its session, and sends what the session does not ask for.
//!
//! It knows no connection record. Its invariant: the session learns of the end once, whichever side causes it.

use super::compression;
use super::sender::{SendState, Sender};
use crate::app::{ConnId, LiveSocket, Message, Outgoing, Reader, Socket};
use crate::arena::OVERWRITTEN;
use crate::engine::context::Services;
use crate::engine::output::Output;
use crate::engine::pace::MessageClock;
use crate::engine::progress::{Next, Progress, StopReason};
use crate::panics::{catch, catch_counted};
use crate::transport::Stream;
use crate::ws::{CloseCode, Closing, Event, Failure, Step, encode};
use std::convert::Infallible;

/// Bytes of a server's frame before its payload, at most.
const HEADER_BYTES_MAX: usize = 10;

/// The state of an open WebSocket.
pub(in crate::engine) struct OpenSocket {
    reader: Box<Reader>,
    state: SendState,
}

impl OpenSocket {
    pub(in crate::engine) fn new(reader: Box<Reader>, state: SendState) -> OpenSocket {
        OpenSocket { reader, state }
    }

    /// Returns the length of the frame under way.
    pub(in crate::engine) fn wants(&self) -> usize {
        self.reader.decoder.wants()
    }

    /// Returns the bytes of the fragments of an incomplete message; `None` if there is no such message.
    pub(in crate::engine) fn fragment_bytes(&self) -> Option<usize> {
        self.reader.decoder.fragment_bytes()
    }

    /// Whether neither side has begun to close.
    pub(in crate::engine) fn is_open(&self) -> bool {
        self.state.closing == Closing::Open
    }

    /// Whether the session waits for `drain`: for all that it sent to leave.
    pub(in crate::engine) fn drain_is_due(&self) -> bool {
        self.state.drain_due
    }

    /// Returns the number of its route.
    pub(in crate::engine) fn route(&self) -> u16 {
        self.state.route
    }

    /// Notes that it was sent a publication compressed for many subscribers.
    pub(in crate::engine) fn was_sent_foreign(&mut self) {
        if let Some(codec) = self.state.codec() {
            codec.was_sent_foreign();
        }
    }

    /// Ends its subscriptions. Returns whether there has ever been one.
    pub(in crate::engine) fn leave(&mut self, services: &mut Services) -> bool {
        self.state.leave(services)
    }

    /// Reports the end to the session, once.
    pub(in crate::engine) fn end(&mut self, code: Option<CloseCode>, reason: &str, panics: &mut u64) {
        end(&mut self.reader.live, &self.state, code, reason, panics);
    }

    /// Handles the complete frames in `input`. `ping` is the payload of a ping that has not been answered. Stops `clock` if
    /// what is left is not of the message that it was running for.
    #[inline(never)]
    pub(in crate::engine) fn run<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        conn: ConnId,
        ping: Option<[u8; 8]>,
        clock: &mut MessageClock,
        input: &mut [u8],
    ) -> (Progress, Next<Infallible>) {
        let OpenSocket { reader, state } = self;
        let Reader { decoder, live } = &mut **reader;
        // A session that saw backpressure gets its `drain` before more messages.
        let stops = state.drain_due;
        let mut sender = Sender { out, state, compresses: true, conn, services, stops };
        let (mut from, mut alive) = (0, false);
        let messages = sender.services.counters.messages;
        let next = loop {
            if !sender.state.closing.may_read() {
                from = input.len();
                break Next::Close;
            }
            if sender.out.is_blocked() || sender.stops {
                break Next::Same(StopReason::PeerBlocked);
            }
            // Most input ends with a frame: that need not be found out header by header.
            if from == input.len() {
                break Next::Same(StopReason::NeedsInput);
            }
            let limits = &sender.services.limits;
            // Each path handles its own event: joining them first costs every short message a few instructions.
            let consumed = match decoder.short_below(&mut input[from..], sender.services.short_below) {
                Some((event, consumed)) => {
                    alive |= handle(event, ping, &mut sender, live);
                    consumed
                }
                None => match decoder.next(&mut input[from..], limits) {
                    Step::Incomplete => break Next::Same(StopReason::NeedsInput),
                    Step::Event { event, consumed } => {
                        let is_fragment = matches!(event, Event::Fragment);
                        alive |= handle(event, ping, &mut sender, live);
                        if is_fragment && decoder.charge(&sender.services.memory).is_err() {
                            fail(Failure::NoMemory, &mut sender, live);
                        }
                        consumed
                    }
                    Step::Failed(failure) => {
                        fail(failure, &mut sender, live);
                        continue;
                    }
                },
            };
            if cfg!(debug_assertions) {
                input[from..from + consumed].fill(OVERWRITTEN);
            }
            from += consumed;
        };
        if matches!(next, Next::Same(StopReason::NeedsInput)) && from == input.len() {
            decoder.release();
        }
        if sender.services.counters.messages != messages || from > 0 && !decoder.in_message() {
            clock.stop();
        }
        // An incomplete frame is a sign of life too.
        alive |= from < input.len();
        (Progress { from, to: input.len(), fresh: alive }, next)
    }

    /// Sends a message that a [`Handle`](crate::Handle) has queued. It is dropped if there is no room for it.
    pub(in crate::engine) fn send<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        conn: ConnId,
        message: Message<'_>,
    ) {
        let bytes = message.bytes().len();
        let payload_bytes = self.state.codec().map_or(bytes, |own| own.bytes_max(bytes));
        let queued = out.memory_bytes_with(HEADER_BYTES_MAX + payload_bytes);
        let fits = queued <= services.limits.outbox_bytes;
        let Some((mut sender, _)) = self.sender(out, services, conn) else { return };
        if fits {
            // Queued in one piece: its size was computed so.
            sender.out.held = true;
            sender.message(message);
            sender.out.held = false;
        } else {
            sender.services.counters.dropped += 1;
        }
    }

    /// Closes with 1013: there is no memory for what the peer sends.
    #[cold]
    pub(in crate::engine) fn no_memory<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        conn: ConnId,
    ) {
        if let Some((mut sender, live)) = self.sender(out, services, conn) {
            fail(Failure::NoMemory, &mut sender, live);
        }
    }

    /// Begins the closing handshake; does nothing if it has begun.
    pub(in crate::engine) fn close<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        conn: ConnId,
        code: CloseCode,
        reason: &str,
    ) {
        if let Some((mut sender, _)) = self.sender(out, services, conn) {
            sender.close(code, reason);
        }
    }

    /// Sends a ping, unless the session has ended.
    pub(in crate::engine) fn ping<S: Stream>(&mut self, out: &mut Output<'_, S>, payload: [u8; 8]) {
        if self.reader.live.is_open() {
            encode::encode_ping(out.cork, &payload);
        }
    }

    /// Calls the session's `drain` if it saw backpressure: all that it sent has left. There need not have been an
    /// outbox: the cork alone may have exceeded `outbox_bytes`, and the stream took all of it.
    #[inline]
    pub(in crate::engine) fn drain<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        conn: ConnId,
    ) {
        if !std::mem::take(&mut self.state.drain_due) {
            return;
        }
        let Some((mut sender, live)) = self.sender(out, services, conn) else { return };
        if catch(|| live.drain(&mut Socket::new(&mut sender, conn, None))).is_none() {
            sender.close(CloseCode::ERROR, "");
            sender.services.counters.panics += 1;
        }
    }

    /// Tells the session that publications were dropped, and leaves what it sends in the cork. That is sent before messages
    /// that are compressed already, so it is not compressed itself: they refer to what was compressed before them.
    #[inline(never)]
    pub(in crate::engine) fn dropped<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        services: &mut Services,
        conn: ConnId,
        publications: u64,
    ) {
        if !self.state.closing.may_send() {
            return;
        }
        // Its note is taken even if it has yet to see its own messages leave.
        let drain_due = std::mem::take(&mut self.state.drain_due);
        if let Some((sender, live)) = self.sender(out, services, conn) {
            let mut sender = Sender { compresses: false, ..sender };
            sender.out.held = true;
            let told = catch(|| live.dropped(publications, &mut Socket::new(&mut sender, conn, None)));
            if told.is_none() {
                sender.close(CloseCode::ERROR, "");
                sender.services.counters.panics += 1;
            }
            sender.out.held = false;
        }
        self.state.drain_due |= drain_due;
    }

    /// Returns the sending side and the session, unless the session has ended.
    fn sender<'a, 'o, S: Stream>(
        &'a mut self,
        out: &'a mut Output<'o, S>,
        services: &'a mut Services,
        conn: ConnId,
    ) -> Option<(Sender<'a, 'o, S>, &'a mut dyn LiveSocket)> {
        let OpenSocket { reader, state } = self;
        let live = &mut reader.live;
        let stops = state.drain_due;
        let sender = Sender { out, state, compresses: true, conn, services, stops };
        live.is_open().then_some((sender, live))
    }
}

/// Handles an event. Returns whether it is a sign of life.
#[inline(always)]
fn handle<S: Stream>(
    event: Event<'_>,
    ping: Option<[u8; 8]>,
    sender: &mut Sender<'_, '_, S>,
    live: &mut dyn LiveSocket,
) -> bool {
    match event {
        Event::Text(text) => deliver(sender, live, Message::Text(text)),
        Event::Binary(bytes) => deliver(sender, live, Message::Binary(bytes)),
        other => return apply(other, ping, sender, live),
    }
    true
}

/// Gives a session its message, unless we have begun to close.
#[inline]
fn deliver<S: Stream>(sender: &mut Sender<'_, '_, S>, live: &mut dyn LiveSocket, message: Message<'_>) {
    if !sender.state.closing.delivers() {
        return;
    }
    sender.services.counters.messages += 1;
    let conn = sender.conn;
    if catch(|| live.message(message, &mut Socket::new(sender, conn, None))).is_none() {
        sender.close(CloseCode::ERROR, "");
        sender.services.counters.panics += 1;
    }
}

/// Inflates a message and gives it to the session.
fn deliver_compressed<S: Stream>(
    sender: &mut Sender<'_, '_, S>,
    live: &mut dyn LiveSocket,
    text: bool,
    payload: &[u8],
) {
    let Some(own) = sender.state.codec() else { unreachable!("only an agreed codec lets them through") };
    let Services { limits, codec, .. } = &mut *sender.services;
    let mut inflated = codec.take_inflated();
    let bytes = own.inflate(payload, &mut inflated, codec, limits.message_bytes);
    match bytes.and_then(|bytes| compression::message(text, bytes)) {
        Ok(message) => deliver(sender, live, message),
        Err(failure) => fail(failure, sender, live),
    }
    sender.services.codec.give_inflated(inflated);
}

/// Applies an event that is not a message, or is still compressed. Returns whether it is a sign of life.
#[inline(never)]
fn apply<S: Stream>(
    event: Event<'_>,
    ping: Option<[u8; 8]>,
    sender: &mut Sender<'_, '_, S>,
    live: &mut dyn LiveSocket,
) -> bool {
    let (state, cork) = (&mut *sender.state, &mut *sender.out.cork);
    match event {
        Event::Compressed { text, payload } if state.closing.delivers() => {
            deliver_compressed(sender, live, text, payload);
        }
        Event::Ping(payload) if state.closing.may_send() => encode::encode_pong(cork, payload),
        Event::Close { code, reason } => {
            // RFC 6455 §5.5.1: the answer echoes the code.
            if state.closing.received() {
                encode::encode_close(cork, code, "");
                state.closing.sent();
            }
            end(live, state, code, reason, &mut sender.services.counters.panics);
        }
        // While a ping is unanswered, only its own pong counts.
        Event::Pong(pong) => return ping.is_none_or(|ping| ping == *pong),
        _ => {}
    }
    true
}

/// Sends a Close that names the rule the peer has broken, and reports the end to the session.
#[cold]
fn fail<S: Stream>(failure: Failure, sender: &mut Sender<'_, '_, S>, live: &mut dyn LiveSocket) {
    if failure == Failure::NoMemory {
        // The decoder has no account that could note it.
        sender.services.memory.look_ahead();
    }
    let counters = &mut sender.services.counters;
    counters.count_failed(failure);
    let (code, reason) = (failure.close_code(), failure.to_string());
    if sender.state.closing.failed() {
        encode::encode_close(sender.out.cork, Some(code), &reason);
    }
    end(live, sender.state, Some(code), &reason, &mut counters.panics);
}

/// Reports the end to a session, once.
fn end(
    live: &mut dyn LiveSocket,
    state: &SendState,
    code: Option<CloseCode>,
    reason: &str,
    panics: &mut u64,
) {
    let (code, reason) = state.first_close(code, reason);
    catch_counted(panics, || live.close(code, reason));
}
