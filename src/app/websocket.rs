//! WebSockets as an application sees them.
//!
//! It knows neither frames nor connections: it sends through a [`Socket`]. Its invariant: a session that was opened is
//! closed exactly once.

use super::{ConnId, Error, Request};
use crate::buffer::SlowConsumer;
use crate::pubsub::TopicError;
use crate::ws::{self, CloseCode, Message, Policy};
use std::fmt;
use std::rc::Rc;

/// Serves the WebSockets (RFC 6455) of a route. Pass it to [`App::ws`](super::App::ws) or
/// [`App::ws_with`](super::App::ws_with).
///
/// A [`Session`](WebSocket::Session) belongs to one connection. It is `'static`, so it cannot hold a piece of
/// the upgrade request or of a message; it has to copy what it keeps.
///
/// ```
/// use fleeting::{App, Error, Message, Request, Socket, WebSocket};
///
/// struct Echo;
///
/// impl WebSocket for Echo {
///     type Session = ();
///
///     fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
///         Ok(())
///     }
///
///     fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
///         socket.send(message);
///     }
/// }
///
/// let app = App::new().ws("/ws", Echo);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve WebSockets",
    label = "the trait `WebSocket` is not implemented for this",
    note = "implement `fleeting::WebSocket` for a type: `open` accepts a client and returns its session, `message` \
            is called with each message",
    note = "answer plain requests with `App::get`"
)]
pub trait WebSocket: 'static {
    /// The state of one connection. It outlives the request, so it owns its data: store `Box<str>`, which
    /// [`keep`](crate::Keep::keep) returns, not `&str`.
    type Session: 'static;

    /// Called when a client has passed the opening handshake (RFC 6455 §4.2). Messages sent here follow the 101.
    ///
    /// # Errors
    /// An [`Error`] refuses the upgrade and becomes the answer to the request.
    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Self::Session, Error>;

    /// Called when a message has arrived. It borrows the read buffer, so copy what the session keeps.
    fn message(&self, session: &mut Self::Session, message: Message<'_>, socket: &mut Socket<'_>);

    /// Called after a send returned [`Sent::Backpressure`], once every message that the session sent has left.
    /// Publications may still be queued. It is called once for each backlog, however many sends returned
    /// `Backpressure`.
    fn drain(&self, session: &mut Self::Session, socket: &mut Socket<'_>) {
        let _ = (session, socket);
    }

    /// Called when publications for this connection were dropped because its client reads too slowly, or because the mailbox
    /// of its worker was full: `publications` of them, between the last message that has left and the next. What is sent here comes before that message, so a client
    /// learns of a loss where it is.
    ///
    /// It is called once for each loss, as soon as everything before it has left, even if nothing follows. A mailbox that is
    /// full tells the losses of 64 topics apart; those of more topics count for all subscribers of the worker. Messages that
    /// [`SlowConsumer::Conflate`] has replaced are not lost. It is not called once the closing handshake has begun: a client
    /// that is [closed](SlowConsumer::Close) for being too slow learns that from the close code, 1013.
    ///
    /// ```
    /// # use fleeting::{Error, Message, Request, Socket, WebSocket};
    /// struct Prices;
    ///
    /// impl WebSocket for Prices {
    ///     type Session = ();
    ///
    ///     fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
    ///         socket.subscribe("prices.*")?;
    ///         Ok(())
    ///     }
    ///
    ///     fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
    ///
    ///     fn dropped(&self, _session: &mut (), publications: u64, socket: &mut Socket<'_>) {
    ///         socket.text(&format!("{publications} prices are missing"));
    ///     }
    /// }
    /// ```
    fn dropped(&self, session: &mut Self::Session, publications: u64, socket: &mut Socket<'_>) {
        let _ = (session, publications, socket);
    }

    /// Called when the connection has ended, for any reason. Nothing more can be sent to it. To tell other clients, keep
    /// the [`Handle`](crate::Handle) of the [`WorkerContext`](crate::WorkerContext) and publish with it.
    ///
    /// `code` and `reason` are those of the first Close frame, the peer's or ours (RFC 6455 §7.1.5). `code` is
    /// `None` if that frame had no code (reported as 1005 elsewhere) or if there was no Close frame (1006).
    fn close(&self, session: Self::Session, code: Option<CloseCode>, reason: &str) {
        let _ = (session, code, reason);
    }
}

/// The result of sending a message with [`Socket::send`].
///
/// ```
/// use fleeting::{Sent, Socket};
///
/// /// Sends rows from `next` on, until the client has to catch up. Call it again in `WebSocket::drain`.
/// fn send_rows(rows: &[String], next: &mut usize, socket: &mut Socket<'_>) {
///     while *next < rows.len() {
///         let sent = socket.text(&rows[*next]);
///         *next += 1;
///         if sent != Sent::Sent {
///             return;
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The message leaves at the end of this turn, or soon after.
    Sent,
    /// The message is queued, but more than [`outbox_bytes`](crate::Limits::outbox_bytes) are queued now,
    /// publications included. [`WebSocket::drain`] is called when the session's messages have left.
    Backpressure,
    /// The message was dropped, and counted. The connection is closing, or an earlier send returned
    /// [`Backpressure`](Sent::Backpressure) and the queue has not drained since.
    Dropped,
}

/// The sending side of a WebSocket, borrowed for one call of a [`WebSocket`] method. Another thread sends
/// through a [`Handle`](crate::Handle) and the [`ConnId`].
pub struct Socket<'a> {
    out: &'a mut dyn Outgoing,
    conn: ConnId,
    protocol: Option<&'a str>,
}

/// The engine's side of a [`Socket`].
pub(crate) trait Outgoing {
    /// Sends a message.
    fn message(&mut self, message: Message<'_>) -> Sent;
    /// Begins the closing handshake.
    fn close(&mut self, code: CloseCode, reason: &str);
    /// Subscribes to a topic or a filter. Returns whether the subscription is new.
    fn subscribe(&mut self, filter: &str, slow: Option<SlowConsumer>) -> Result<bool, TopicError>;
    /// Ends a subscription. Returns whether there was one.
    fn unsubscribe(&mut self, filter: &str) -> bool;
    /// Publishes to all subscribers of a topic. This connection is one of them only if `to_self` is set.
    fn publish(&mut self, topic: &str, message: Message<'_>, to_self: bool) -> Result<(), TopicError>;
}

impl<'a> Socket<'a> {
    pub(crate) fn new(out: &'a mut dyn Outgoing, conn: ConnId, protocol: Option<&'a str>) -> Socket<'a> {
        Socket { out, conn, protocol }
    }

    /// Sends a message in one frame. The message is borrowed only during this call.
    pub fn send(&mut self, message: Message<'_>) -> Sent {
        self.out.message(message)
    }

    /// Sends a text message.
    pub fn text(&mut self, text: &str) -> Sent {
        self.send(Message::Text(text))
    }

    /// Sends a binary message.
    pub fn binary(&mut self, bytes: &[u8]) -> Sent {
        self.send(Message::Binary(bytes))
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2). Messages that arrive afterwards are not delivered. A reason
    /// longer than 123 bytes is truncated (RFC 6455 §5.5.1).
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.out.close(code, reason);
    }

    /// Subscribes this connection to a topic, or to all topics that match a filter. The filter `prices.*` matches every
    /// topic whose name begins with `prices.` and has at least one more character. The `*` must be the last character
    /// of a filter.
    ///
    /// Publications from now on are sent to this connection, each one once, however many of its subscriptions
    /// match. Returns whether the subscription is new.
    ///
    /// ```
    /// # use fleeting::{Error, Message, Request, Socket, WebSocket};
    /// struct Prices;
    ///
    /// impl WebSocket for Prices {
    ///     type Session = ();
    ///
    ///     fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
    ///         let filter = req.query().unwrap_or("prices.*");
    ///         socket.subscribe(filter)?; // 400, or 503 if a limit is reached
    ///         Ok(())
    ///     }
    ///
    ///     fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
    ///         // To all other subscribers.
    ///         let _ = socket.publish_to_others("prices.eur", message);
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TopicError`] if the name is invalid, or if one of the limits [`topics`](crate::Limits::topics),
    /// [`subscriptions`](crate::Limits::subscriptions) and [`topic_bytes`](crate::Limits::topic_bytes) is
    /// reached.
    pub fn subscribe(&mut self, filter: &str) -> Result<bool, TopicError> {
        self.out.subscribe(filter, None)
    }

    /// The same as [`subscribe`](Socket::subscribe), and sets what happens to these publications if the peer reads
    /// too slowly, in place of the route's [`slow_consumer`](super::SocketOptions::slow_consumer). If several
    /// subscriptions match, the one to the topic itself decides, then the one with the longest filter.
    ///
    /// # Errors
    /// The same as those of [`subscribe`](Socket::subscribe).
    pub fn subscribe_with(&mut self, filter: &str, slow: SlowConsumer) -> Result<bool, TopicError> {
        self.out.subscribe(filter, Some(slow))
    }

    /// Ends a subscription. `filter` is the text that was passed to [`subscribe`](Socket::subscribe). Earlier
    /// publications may still arrive. Returns whether there was such a subscription.
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        self.out.unsubscribe(filter)
    }

    /// Publishes a message to all subscribers of the topic, on all workers. This connection gets it too if it
    /// is subscribed.
    ///
    /// The message leaves at the end of the turn, after messages sent directly. Publications of one session
    /// reach every subscriber in the order in which they were made.
    ///
    /// # Errors
    /// [`TopicError`] if the name is invalid, or if the message exceeds
    /// [`message_bytes`](crate::Limits::message_bytes). Nothing is published then.
    pub fn publish(&mut self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        self.out.publish(topic, message, true)
    }

    /// The same as [`publish`](Socket::publish), except that this connection does not get the message.
    ///
    /// # Errors
    /// The same as those of [`publish`](Socket::publish).
    pub fn publish_to_others(&mut self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        self.out.publish(topic, message, false)
    }

    /// Returns the connection's identifier.
    pub fn conn_id(&self) -> ConnId {
        self.conn
    }

    /// Returns the subprotocol that was negotiated (RFC 6455 §1.9), in [`WebSocket::open`] only. Later calls
    /// return `None`, so a session that needs it has to keep it.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol
    }
}

impl fmt::Debug for Socket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("conn", &self.conn).finish_non_exhaustive()
    }
}

/// A WebSocket route whose session type is erased.
pub(crate) trait Upgrade {
    fn policy(&self) -> &Policy;
    /// Returns the index of the route among the application's WebSocket routes.
    fn number(&self) -> u16;
    /// Adds `by` to the number, for a route of a nested application.
    fn renumber(&mut self, by: u16);
    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Box<Reader>, Error>;
}

/// The receiving side of a connection: the decoder, followed by the session. They share one allocation, because every
/// idle WebSocket keeps it.
pub(crate) struct Reader<L: ?Sized = dyn LiveSocket> {
    pub(crate) decoder: ws::Decoder,
    pub(crate) live: L,
}

/// A session and the [`WebSocket`] that serves it. After `close`, further calls are ignored.
pub(crate) trait LiveSocket {
    /// Whether `close` has not been called yet.
    fn is_open(&self) -> bool;
    fn message(&mut self, message: Message<'_>, socket: &mut Socket<'_>);
    fn drain(&mut self, socket: &mut Socket<'_>);
    fn dropped(&mut self, publications: u64, socket: &mut Socket<'_>);
    fn close(&mut self, code: Option<CloseCode>, reason: &str);
}

/// The [`WebSocket`] of a route.
pub(super) struct SocketRoute<W> {
    pub(super) server: Rc<W>,
    pub(super) policy: Policy,
    pub(super) number: u16,
}

struct LiveSession<W: WebSocket> {
    server: Rc<W>,
    /// `None` after `close`.
    session: Option<W::Session>,
}

impl<W: WebSocket> Upgrade for SocketRoute<W> {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn number(&self) -> u16 {
        self.number
    }

    fn renumber(&mut self, by: u16) {
        self.number += by;
    }

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Box<Reader>, Error> {
        let session = Some(self.server.open(req, socket)?);
        let live = LiveSession { server: self.server.clone(), session };
        Ok(Box::new(Reader { decoder: ws::Decoder::new(), live }))
    }
}

impl<W: WebSocket> LiveSocket for LiveSession<W> {
    fn is_open(&self) -> bool {
        self.session.is_some()
    }

    fn message(&mut self, message: Message<'_>, socket: &mut Socket<'_>) {
        if let Some(session) = &mut self.session {
            self.server.message(session, message, socket);
        }
    }

    fn drain(&mut self, socket: &mut Socket<'_>) {
        if let Some(session) = &mut self.session {
            self.server.drain(session, socket);
        }
    }

    fn dropped(&mut self, publications: u64, socket: &mut Socket<'_>) {
        if let Some(session) = &mut self.session {
            self.server.dropped(session, publications, socket);
        }
    }

    fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        if let Some(session) = self.session.take() {
            self.server.close(session, code, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl WebSocket for Silent {
        type Session = ();

        fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
            Ok(())
        }

        fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
    }

    #[test]
    fn a_reader_fits_into_56_bytes() {
        // The decoder, and two words for the session. An allocator that rounds up to 64 bytes has 8 for itself.
        let bytes = size_of::<Reader<LiveSession<Silent>>>();
        assert!(bytes <= 56, "{bytes}");
    }
}
