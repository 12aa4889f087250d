//! The sending side of a WebSocket, as its session sees it.
//!
//! It knows no decoder and no session. Its invariant: nothing is sent after a Close, and once a send has returned
//! `Backpressure`, further messages are dropped until there is room again.

use super::compression::SocketCodec;
use crate::app::{ConnId, Outgoing, Sent};
use crate::buffer::SlowConsumer;
use crate::engine::context::Services;
use crate::engine::output::Output;
use crate::engine::publisher::Recipient;
use crate::pubsub::{Encoding, SubscriberId, TopicError};
use crate::transport::Stream;
use crate::ws::{CloseCode, Closing, Message, encode};

/// The state that decides whether something may be sent.
pub(in crate::engine) struct SendState {
    pub(in crate::engine) closing: Closing,
    /// Boxed, because most sockets need none.
    extra: Option<Box<Extra>>,
    /// A send has returned `Backpressure`, and `drain` has not been called since.
    pub(in crate::engine) drain_due: bool,
    /// The number of its route.
    pub(in crate::engine) route: u16,
    /// Its id as a subscriber, if it has ever subscribed to a topic.
    subscriber: Option<SubscriberId>,
}

/// What some sockets need besides, one at a time: once we have sent a Close, nothing is compressed or inflated any more.
enum Extra {
    /// Messages may be compressed, until we begin the closing handshake.
    Codec(SocketCodec),
    /// We have begun the closing handshake: what our Close said.
    SentClose { code: CloseCode, reason: Box<str> },
}

/// What a session sends through during one call.
pub(in crate::engine) struct Sender<'a, 'o, S> {
    pub(in crate::engine) out: &'a mut Output<'o, S>,
    pub(in crate::engine) state: &'a mut SendState,
    /// Messages are compressed, if the socket has a codec.
    pub(in crate::engine) compresses: bool,
    pub(in crate::engine) conn: ConnId,
    pub(in crate::engine) services: &'a mut Services,
    /// The session gets no more messages in this turn: it has seen backpressure, or has filled the batch.
    pub(in crate::engine) stops: bool,
}

impl SendState {
    /// `codec`: what compresses its messages, if that was agreed on.
    pub(in crate::engine) fn new(route: u16, codec: Option<SocketCodec>) -> SendState {
        let extra = codec.map(|codec| Box::new(Extra::Codec(codec)));
        SendState { closing: Closing::Open, extra, drain_due: false, route, subscriber: None }
    }

    /// Returns what compresses and inflates messages; `None` if they are not compressed, or if we have begun the closing
    /// handshake.
    #[inline]
    pub(super) fn codec(&mut self) -> Option<&mut SocketCodec> {
        match self.extra.as_deref_mut()? {
            Extra::Codec(codec) => Some(codec),
            Extra::SentClose { .. } => None,
        }
    }

    /// Ends all subscriptions. Returns whether there has ever been one.
    pub(in crate::engine) fn leave(&mut self, services: &mut Services) -> bool {
        let Some(subscriber) = self.subscriber.take() else { return false };
        services.counters.dropped_closing += services.publisher.topics.leave(subscriber);
        true
    }

    /// Returns what the first Close said (RFC 6455 §7.1.5, §7.1.6): ours if we began, else the one given.
    pub(in crate::engine) fn first_close<'a>(
        &'a self,
        code: Option<CloseCode>,
        reason: &'a str,
    ) -> (Option<CloseCode>, &'a str) {
        match self.extra.as_deref() {
            Some(Extra::SentClose { code, reason }) => (Some(*code), reason),
            _ => (code, reason),
        }
    }
}

impl<S: Stream> Sender<'_, '_, S> {
    /// Whether there is no room: more than `outbox_bytes` is queued, even after the stream was offered the cork.
    #[inline(never)]
    fn is_full(&mut self) -> bool {
        let outbox_bytes = self.services.limits.outbox_bytes;
        if !self.out.held && self.out.queued_bytes() > outbox_bytes {
            // The stream has not been offered what is in the cork.
            self.out.flush();
        }
        self.out.queued_bytes() > outbox_bytes
    }

    /// Sends a message compressed, if that is worth it. Returns whether it did.
    #[inline(never)]
    fn send_compressed(&mut self, message: Message<'_>) -> bool {
        let Some(own) = self.state.codec().filter(|_| self.compresses) else { return false };
        let Some(payload) = own.compress(message.bytes(), &mut self.services.codec) else { return false };
        encode::encode_compressed_header(self.out.cork, message.opcode(), true, payload.len());
        self.out.bytes(payload);
        true
    }
}

impl<S: Stream> Outgoing for Sender<'_, '_, S> {
    #[inline]
    fn message(&mut self, message: Message<'_>) -> Sent {
        let state = &*self.state;
        if !state.closing.may_send() || self.out.io.broken || (state.drain_due && self.is_full()) {
            self.services.counters.dropped += 1;
            return Sent::Dropped;
        }
        if self.state.extra.is_none() || !self.send_compressed(message) {
            encode::encode_header(self.out.cork, message.opcode(), true, message.bytes().len());
            self.out.bytes(message.bytes());
        }
        if self.out.queued_bytes() > self.services.limits.outbox_bytes {
            self.state.drain_due = true;
            self.stops = true;
            Sent::Backpressure
        } else {
            Sent::Sent
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        if self.state.closing == Closing::Open {
            encode::encode_close(self.out.cork, Some(code), reason);
            self.state.closing.sent();
            self.state.extra = Some(Box::new(Extra::SentClose { code, reason: reason.into() }));
        }
    }

    fn subscribe(&mut self, filter: &str, slow: Option<SlowConsumer>) -> Result<bool, TopicError> {
        if self.state.closing != Closing::Open {
            return Err(TopicError::Closing);
        }
        let slow = slow.unwrap_or_else(|| self.services.publisher.slow_of(self.state.route));
        if slow == SlowConsumer::Conflate {
            self.services.limit_unsent(&mut self.out.io.stream);
        }
        let Services { publisher, limits, .. } = &mut *self.services;
        let encoding = self.state.codec().map_or(Encoding::PLAIN, |codec| codec.encoding());
        let recipient = (Recipient::Conn(self.conn), encoding);
        publisher.topics.subscribe(&mut self.state.subscriber, recipient, filter, slow, limits)
    }

    fn unsubscribe(&mut self, filter: &str) -> bool {
        let topics = &mut self.services.publisher.topics;
        self.state.subscriber.is_some_and(|subscriber| topics.unsubscribe(subscriber, filter))
    }

    fn publish(&mut self, topic: &str, message: Message<'_>, own: bool) -> Result<(), TopicError> {
        let Services { limits, counters, publisher, .. } = &mut *self.services;
        let except = self.state.subscriber.filter(|_| !own);
        publisher.publish(topic, message, except, limits, counters)?;
        self.stops |= publisher.topics.is_full();
        Ok(())
    }
}
