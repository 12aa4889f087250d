//! Frames to sessions, messages to the cork.

use crate::app::{
    ConnId, Error, LiveSocket, Message, Outgoing, Reader, Request, Response, Sent, Socket, Upgrade,
};
use crate::arena::OVERWRITTEN;
use crate::buffer::{Outbox, SlowConsumer};
use crate::config::Limits;
use crate::engine::conn::{Conn, Protocol};
use crate::engine::context::{Desk, Ran, Stop};
use crate::engine::counters::Counters;
use crate::engine::http::requests as http;
use crate::engine::output::Output;
use crate::engine::publisher::{Exchange, Target};
use crate::engine::websocket::compression::{self, Codec, SocketCodec};
use crate::http1::Version;
use crate::panics::{catch, catch_counted};
use crate::pubsub::{Encoding, SubscriberId, TopicError};
use crate::transport::Stream;
use crate::ws::{self, CloseCode, Closing, Event, Step};

/// The state of an open WebSocket.
pub(in crate::engine) struct OpenSocket {
    reader: Box<Reader>,
    speech: Speech,
    /// There if messages may be compressed.
    codec: Option<Box<SocketCodec>>,
}

/// What decides whether something may be sent.
#[derive(Default)]
struct Speech {
    closing: Closing,
    /// What the Close said that we began with, if we began. Few have, and not for long: it is one pointer.
    began_with: Option<Box<(CloseCode, Box<str>)>>,
    /// A send has told `Backpressure`, and `drain` has not been called since.
    drain_due: bool,
    /// The number of its route.
    route: u16,
    /// Its name among those who have subscribed to topics, if it has ever.
    subscriber: Option<SubscriberId>,
}

/// What a session may need of its worker to do what it is asked to.
pub(in crate::engine) struct Means<'a> {
    pub(in crate::engine) limits: &'a Limits,
    pub(in crate::engine) counters: &'a mut Counters,
    pub(in crate::engine) exchange: &'a mut Exchange,
    pub(in crate::engine) codec: &'a mut Codec,
}

impl Speech {
    fn leave(&mut self, exchange: &mut Exchange, counters: &mut Counters) {
        if let Some(who) = self.subscriber.take() {
            counters.dropped_closing += exchange.topics.leave(who);
        }
    }

    /// What the first Close said (RFC 6455 §7.1.5, §7.1.6): ours if we began, else the one given.
    fn first_close<'a>(&'a self, code: Option<CloseCode>, reason: &'a str) -> (Option<CloseCode>, &'a str) {
        self.began_with.as_deref().map_or((code, reason), |(code, reason)| (Some(*code), reason))
    }
}

impl OpenSocket {
    /// How long the frame under way is.
    pub(in crate::engine) fn wants(&self) -> usize {
        self.reader.decoder.wants()
    }

    /// Whether neither side has begun to close.
    pub(in crate::engine) fn is_open(&self) -> bool {
        self.speech.closing == Closing::Open
    }

    /// Whether the session waits to be told that all it sent has left.
    pub(in crate::engine) fn drain_is_due(&self) -> bool {
        self.speech.drain_due
    }

    /// The number of its route.
    pub(in crate::engine) fn route(&self) -> u16 {
        self.speech.route
    }

    /// It is sent a publication that was compressed for many.
    pub(in crate::engine) fn was_sent_foreign(&mut self) {
        if let Some(codec) = &mut self.codec {
            codec.was_sent_foreign();
        }
    }

    /// Ends its subscriptions.
    pub(in crate::engine) fn leave(&mut self, desk: &mut Desk) {
        self.speech.leave(&mut desk.exchange, &mut desk.counters);
    }

    /// Tells the session of the end, once.
    pub(in crate::engine) fn end(&mut self, code: Option<CloseCode>, reason: &str, counters: &mut Counters) {
        end(&mut self.reader.live, &self.speech, code, reason, counters);
    }
}

/// Judges a handshake and opens the session. What the session sends first follows the 101 in the cork.
pub(in crate::engine) fn open<'r, S: Stream>(
    upgrade: &dyn Upgrade,
    request: &Request<'r>,
    out: &mut Output<'_, S>,
    means: Means<'_>,
    date: &[u8; 29],
) -> Result<OpenSocket, Response<'r>> {
    let head = request.head();
    if !head.framing.is_empty() {
        return Err(Response::from(Error::bad_request("A handshake has no content.")).close());
    }
    let (method, http11) = (head.method.as_str(), head.version >= Version::Http11);
    let fields = |name: &'static str| head.fields.values(name);
    let accepted = ws::handshake::accept(method, http11, head.host(), fields, upgrade.policy())
        .map_err(http::rejected)?;

    let before = out.cork.len();
    ws::handshake::encode_switching_protocols(out.cork, &accepted, &[], date);
    let mut speech = Speech { route: upgrade.number(), ..Speech::default() };
    // Nothing leaves before it is known that the session takes the connection.
    out.held = true;
    let id = request.conn_id();
    let mut codec =
        accepted.deflate.map(|agreed| SocketCodec::new(agreed, upgrade.policy().wanted_compression()));
    let mut sender = Sender { out, speech: &mut speech, codec: codec.as_deref_mut(), id, means };
    let opened = catch(|| upgrade.open(request, &mut Socket::new(&mut sender, id, accepted.protocol)));
    let Sender { out, speech, means: Means { counters, exchange, .. }, .. } = sender;
    counters.panics += u64::from(opened.is_none());
    out.held = false;
    let error = match opened {
        Some(Ok(mut reader)) => {
            counters.websockets += 1;
            let speech = std::mem::take(speech);
            if codec.is_some() {
                reader.decoder = ws::Decoder::with_deflate();
            }
            return Ok(OpenSocket { reader, speech, codec });
        }
        Some(Err(error)) => error,
        None => Error::internal("The handler failed."),
    };
    speech.leave(exchange, counters);
    out.cork.truncate(before);
    Err(error.into())
}

/// Answers what is whole in `input`.
#[inline(never)]
pub(in crate::engine) fn run<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    input: &mut [u8],
    desk: &mut Desk,
) -> Ran {
    let Protocol::WebSocket(open) = &mut conn.protocol else {
        unreachable!("only a WebSocket is run here");
    };
    let Desk { limits, cork, counters, exchange, codec, .. } = desk;
    let limits = &*limits;
    let mut out = Output::new(&mut conn.io, cork);
    let OpenSocket { reader, speech, codec: own } = open;
    let Reader { decoder, live } = &mut **reader;
    let means = Means { limits, counters, exchange, codec };
    let mut sender = Sender { out: &mut out, speech, codec: own.as_deref_mut(), id, means };
    let (mut from, mut alive) = (0, false);
    let stop = loop {
        if !sender.speech.closing.may_read() {
            from = input.len();
            break Stop::Over;
        }
        // Who was told of backpressure is first told of its end.
        if sender.out.is_blocked() || sender.speech.drain_due {
            break Stop::Blocked;
        }
        let (event, consumed) = match decoder.short(&mut input[from..], limits) {
            Some(short) => short,
            None => match decoder.next(&mut input[from..], limits) {
                Step::Incomplete => break Stop::Starved,
                Step::Event { event, consumed } => (event, consumed),
                Step::Failed(failure) => {
                    fail(failure, &mut sender, live);
                    continue;
                }
            },
        };
        match event {
            Event::Text(text) => tell(&mut sender, live, Message::Text(text)),
            Event::Binary(bytes) => tell(&mut sender, live, Message::Binary(bytes)),
            other => heed(other, &mut sender, live),
        }
        alive |= !matches!(event, Event::Pong(payload) if !conn.timer.is_answered_by(payload));
        if cfg!(debug_assertions) {
            input[from..from + consumed].fill(OVERWRITTEN);
        }
        from += consumed;
    };
    if stop == Stop::Starved && from == input.len() {
        decoder.release();
    }
    // A frame that is not all there yet is a sign of life too.
    alive |= from < input.len();
    if alive {
        conn.timer.hear();
    }
    Ran { from, to: input.len(), stop, fresh: alive }
}

/// Gives a session its message, unless we have begun to close.
#[inline]
fn tell<S: Stream>(sender: &mut Sender<'_, '_, S>, live: &mut dyn LiveSocket, message: Message<'_>) {
    if !sender.speech.closing.delivers() {
        return;
    }
    sender.means.counters.messages += 1;
    let id = sender.id;
    if catch(|| live.message(message, &mut Socket::new(sender, id, None))).is_none() {
        sender.close(CloseCode::ERROR, "");
        sender.means.counters.panics += 1;
    }
}

/// Inflates a message and gives it to the session.
fn tell_compressed<S: Stream>(
    sender: &mut Sender<'_, '_, S>,
    live: &mut dyn LiveSocket,
    text: bool,
    payload: &[u8],
) {
    let Some(own) = &mut sender.codec else { unreachable!("they come only to who has agreed to them") };
    let Means { limits, codec, .. } = &mut sender.means;
    let mut inflated = codec.take_inflated();
    let bytes = own.inflate(payload, &mut inflated, codec, limits.message_bytes);
    match bytes.and_then(|bytes| compression::message(text, bytes)) {
        Ok(message) => tell(sender, live, message),
        Err(failure) => fail(failure, sender, live),
    }
    sender.means.codec.give_inflated(inflated);
}

/// Does what an event calls for that is no message, or none yet.
#[inline(never)]
fn heed<S: Stream>(event: Event<'_>, sender: &mut Sender<'_, '_, S>, live: &mut dyn LiveSocket) {
    let (speech, cork) = (&mut *sender.speech, &mut *sender.out.cork);
    match event {
        Event::Compressed { text, payload } if speech.closing.delivers() => {
            tell_compressed(sender, live, text, payload);
        }
        Event::Ping(payload) if speech.closing.may_send() => ws::encode::encode_pong(cork, payload),
        Event::Close { code, reason } => {
            // RFC 6455 §5.5.1: the answer echoes the code.
            if speech.closing.received() {
                ws::encode::encode_close(cork, code, "");
                speech.closing.sent();
            }
            end(live, speech, code, reason, sender.means.counters);
        }
        _ => {}
    }
}

/// The peer has broken a rule: says which, and tells the session of the end.
#[cold]
fn fail<S: Stream>(failure: ws::Failure, sender: &mut Sender<'_, '_, S>, live: &mut dyn LiveSocket) {
    sender.means.counters.count_failed(failure);
    let (code, reason) = (failure.close_code(), failure.to_string());
    if sender.speech.closing.failed() {
        ws::encode::encode_close(sender.out.cork, Some(code), &reason);
    }
    end(live, sender.speech, Some(code), &reason, sender.means.counters);
}

/// Tells a session of the end, once.
fn end(
    live: &mut dyn LiveSocket,
    speech: &Speech,
    code: Option<CloseCode>,
    reason: &str,
    counters: &mut Counters,
) {
    let (code, reason) = speech.first_close(code, reason);
    catch_counted(&mut counters.panics, || live.close(code, reason));
}

/// Bytes of a server's frame before its payload, at most.
const HEADER_BYTES_MAX: usize = 10;

/// Sends what nobody asked for: a message from a [`Handle`](crate::Handle).
pub(in crate::engine) fn send<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    message: Message<'_>,
    desk: &mut Desk,
) {
    let bytes = message.bytes().len();
    let frame_bytes = HEADER_BYTES_MAX
        + match &conn.protocol {
            Protocol::WebSocket(OpenSocket { codec: Some(own), .. }) => own.bytes_max(bytes),
            _ => bytes,
        };
    let empty = Outbox::default();
    let queued = conn.io.outbox.as_deref().unwrap_or(&empty).memory_bytes_with(frame_bytes);
    let fits = queued <= desk.limits.outbox_bytes;
    speak(conn, id, desk, |sender, _| {
        if fits {
            // In one piece, which is what was reckoned with.
            sender.out.held = true;
            sender.message(message);
        } else {
            sender.means.counters.dropped += 1;
        }
    });
}

/// Begins the closing handshake; does nothing if it has begun.
pub(in crate::engine) fn close<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    code: CloseCode,
    reason: &str,
    desk: &mut Desk,
) {
    speak(conn, id, desk, |sender, _| sender.close(code, reason));
}

/// Asks the peer whether it is still there.
pub(in crate::engine) fn ping<S: Stream>(conn: &mut Conn<S>, id: ConnId, desk: &mut Desk) {
    conn.timer.pinged = true;
    let payload = conn.timer.ping_payload();
    speak(conn, id, desk, |sender, _| ws::encode::encode_ping(sender.out.cork, &payload));
}

/// Tells the session that all it sent has left, if it was told of backpressure. That may be so in a
/// turn without an outbox: the cork alone was over the mark, and the stream took all of it.
#[inline]
pub(in crate::engine) fn drained<S: Stream>(conn: &mut Conn<S>, id: ConnId, desk: &mut Desk) {
    let Protocol::WebSocket(open) = &mut conn.protocol else { return };
    if !std::mem::take(&mut open.speech.drain_due) {
        return;
    }
    let mut panicked = false;
    speak(conn, id, desk, |sender, live| {
        panicked = catch(|| live.drain(&mut Socket::new(&mut *sender, id, None))).is_none();
        if panicked {
            sender.close(CloseCode::ERROR, "");
        }
    });
    desk.counters.panics += u64::from(panicked);
}

/// Lets `say` send on an open WebSocket; for any other connection it does nothing.
fn speak<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    desk: &mut Desk,
    say: impl FnOnce(&mut Sender<'_, '_, S>, &mut dyn LiveSocket),
) {
    let Protocol::WebSocket(open) = &mut conn.protocol else { return };
    let OpenSocket { reader, speech, codec: own } = open;
    if !reader.live.is_open() {
        return;
    }
    let Desk { limits, cork, counters, exchange, codec, .. } = desk;
    let mut out = Output::new(&mut conn.io, cork);
    let means = Means { limits, counters, exchange, codec };
    say(&mut Sender { out: &mut out, speech, codec: own.as_deref_mut(), id, means }, &mut reader.live);
}

/// The sending side that a session sees.
struct Sender<'a, 'o, S> {
    out: &'a mut Output<'o, S>,
    speech: &'a mut Speech,
    codec: Option<&'a mut SocketCodec>,
    id: ConnId,
    means: Means<'a>,
}

impl<S: Stream> Sender<'_, '_, S> {
    /// Whether there is no room: the peer has been sent too much, and has taken nothing of it since the
    /// session was told so.
    #[inline(never)]
    fn is_full(&mut self) -> bool {
        let outbox_bytes = self.means.limits.outbox_bytes;
        if !self.out.held && self.out.queued_bytes() > outbox_bytes {
            // Nobody has asked the stream yet for what is in the cork.
            self.out.flush();
        }
        self.out.queued_bytes() > outbox_bytes
    }

    /// Sends a message compressed, if it is worth it.
    #[inline(never)]
    fn send_compressed(&mut self, message: Message<'_>) -> bool {
        let Some(own) = &mut self.codec else { return false };
        let Some(payload) = own.compress(message.bytes(), self.means.codec) else { return false };
        ws::encode::encode_compressed_header(self.out.cork, message.opcode(), true, payload.len());
        self.out.bytes(payload);
        true
    }
}

impl<S: Stream> Outgoing for Sender<'_, '_, S> {
    #[inline]
    fn message(&mut self, message: Message<'_>) -> Sent {
        if !self.speech.closing.may_send() || self.out.io.broken || (self.speech.drain_due && self.is_full())
        {
            self.means.counters.dropped += 1;
            return Sent::Dropped;
        }
        if self.codec.is_none() || !self.send_compressed(message) {
            ws::encode::encode_header(self.out.cork, message.opcode(), true, message.bytes().len());
            self.out.bytes(message.bytes());
        }
        if self.out.queued_bytes() > self.means.limits.outbox_bytes {
            self.speech.drain_due = true;
            Sent::Backpressure
        } else {
            Sent::Sent
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        if self.speech.closing == Closing::Open {
            ws::encode::encode_close(self.out.cork, Some(code), reason);
            self.speech.closing.sent();
            self.speech.began_with = Some(Box::new((code, reason.into())));
        }
    }

    fn subscribe(&mut self, filter: &str, slow: Option<SlowConsumer>) -> Result<bool, TopicError> {
        if self.speech.closing != Closing::Open {
            return Err(TopicError::Closing);
        }
        let slow = slow.unwrap_or_else(|| self.means.exchange.slow_of(self.speech.route));
        let encoding = self.codec.as_ref().map_or(Encoding::PLAIN, |codec| codec.encoding());
        let (who, whom) = (&mut self.speech.subscriber, (Target::Conn(self.id), encoding));
        self.means.exchange.topics.subscribe(who, whom, filter, slow, self.means.limits)
    }

    fn unsubscribe(&mut self, filter: &str) -> bool {
        self.speech.subscriber.is_some_and(|who| self.means.exchange.topics.unsubscribe(who, filter))
    }

    fn publish(&mut self, topic: &str, message: Message<'_>, own: bool) -> Result<(), TopicError> {
        let Means { limits, counters, exchange, .. } = &mut self.means;
        let except = self.speech.subscriber.filter(|_| !own);
        exchange.publish(topic, message, except, limits, counters)
    }
}
