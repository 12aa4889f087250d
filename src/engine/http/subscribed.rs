//! A response whose content is what is published from now on: a stream of server-sent events.
//!
//! It knows no decoder and no connection record. Its invariant: its connection is subscribed from before the head leaves
//! until the stream ends, and its client is told of every lost publication, in an event before the next one.

use super::sending::Frame;
use crate::app::{COMMENT, ConnId, Response, TopicEvents, encode_event};
use crate::buffer::SlowConsumer;
use crate::engine::context::Services;
use crate::engine::output::Output;
use crate::engine::publisher::Recipient;
use crate::http1;
use crate::panics::catch_counted;
use crate::pubsub::{Encoding, Entry, Kind, SubscriberId, TopicError};
use crate::transport::Stream;
use crate::ws::Message;

/// A stream of events.
pub(in crate::engine) struct Subscribed {
    /// `None` once its head has been sent.
    response: Option<Response<'static>>,
    events: TopicEvents,
    frame: Frame,
    /// `Some` while the connection is subscribed.
    subscriber: Option<SubscriberId>,
    /// A comment is due.
    quiet: bool,
    /// The stream ends once everything that is queued has left.
    ending: bool,
}

impl Subscribed {
    /// Makes the stream that `response` begins.
    pub(super) fn new(events: TopicEvents, response: Response<'static>, frame: Frame) -> Subscribed {
        Subscribed { response: Some(response), events, frame, subscriber: None, quiet: false, ending: false }
    }

    /// Returns the response whose head is due, once.
    pub(super) fn take_response(&mut self) -> Option<Response<'static>> {
        self.response.take()
    }

    /// Returns how the events are framed.
    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// Subscribes the connection.
    pub(super) fn subscribe(&mut self, conn: ConnId, services: &mut Services) -> Result<(), TopicError> {
        let encoding = match self.frame {
            Frame::Chunks => Encoding::EVENTS,
            Frame::Counted { .. } | Frame::Close => Encoding::BARE_EVENTS,
        };
        let recipient = (Recipient::Conn(conn), encoding);
        let (TopicEvents { filter, options }, topics) = (&self.events, &mut services.publisher.topics);
        topics.subscribe(&mut self.subscriber, recipient, filter, options.slow, &services.limits).map(drop)
    }

    /// Whether a publication that waits may be replaced by a newer one.
    pub(super) fn conflates(&self) -> bool {
        self.events.options.slow == SlowConsumer::Conflate
    }

    /// Ends the subscription.
    pub(super) fn leave(&mut self, services: &mut Services) {
        if let Some(subscriber) = self.subscriber.take() {
            services.counters.dropped_closing += services.publisher.topics.leave(subscriber);
        }
    }

    /// Makes a comment due, which shows the client that the stream is alive.
    pub(super) fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Asks for the end of the stream.
    pub(super) fn ending(&mut self) {
        self.ending = true;
    }

    /// Sends what is due besides publications. Returns whether the stream has ended.
    pub(super) fn go_on<S: Stream>(&mut self, out: &mut Output<'_, S>, services: &mut Services) -> bool {
        let waits = out.io.outbox.is_some();
        if self.ending || services.shutting_down {
            self.leave(services);
            // What is queued leaves first: it may include a gap, which only this stream can tell.
            if !waits && self.frame == Frame::Chunks {
                http1::encode_last_chunk(out.cork);
            }
            return !waits;
        }
        if std::mem::take(&mut self.quiet) && !waits {
            self.comment(out);
        }
        false
    }

    /// Sends an empty comment, which browsers ignore.
    pub(super) fn comment<S: Stream>(&self, out: &mut Output<'_, S>) {
        framed(self.frame == Frame::Chunks, out.cork, |out| out.extend_from_slice(COMMENT));
    }

    /// Appends an event that tells the client how many publications were dropped.
    pub(super) fn tell_gap(&self, publications: u64, panics: &mut u64, out: &mut Vec<u8>) {
        let options = &self.events.options;
        // The text is the application's, and may panic. The client is told all the same.
        let data = catch_counted(panics, || options.gap_data(publications));
        let data = data.unwrap_or_else(|| publications.to_string());
        framed(self.frame == Frame::Chunks, out, |out| encode_event(Some("gap"), &data, out));
    }
}

/// Appends the event of a publication or an announcement. Only text has one.
pub(in crate::engine) fn encode_published(encoding: Encoding, entry: Entry<'_>, out: &mut Vec<u8>) {
    let name = (entry.kind == Kind::Announcement).then_some(entry.name);
    let Message::Text(text) = entry.message else { unreachable!("a batch needs no event of bytes") };
    framed(encoding == Encoding::EVENTS, out, |out| encode_event(name, text, out));
}

/// Appends what `put` appends, as a chunk if `chunks` is set (RFC 9112 §7.1).
fn framed(chunks: bool, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    if chunks {
        let end = out.len();
        http1::encode_chunk_size(out, end - start);
        // The size comes first.
        let size = out.len() - end;
        out[start..].rotate_right(size);
        out.extend_from_slice(b"\r\n");
    }
}
