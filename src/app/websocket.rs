//! WebSockets as an application sees them.

use super::{ConnId, Error, Request};
use crate::buffer::SlowConsumer;
use crate::pubsub::TopicError;
use crate::ws::{self, CloseCode, Message, Policy};
use std::fmt;
use std::rc::Rc;

/// Serves the WebSockets of a route.
///
/// A [`Session`](WebSocket::Session) belongs to one connection. It is `'static`, so it cannot hold a
/// piece of the upgrade request or of a message: what it keeps, it copies.
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
pub trait WebSocket: 'static {
    /// What the server remembers of one connection.
    type Session: 'static;

    /// A client has passed the opening handshake. What is sent here follows the 101.
    ///
    /// # Errors
    /// Refuses the upgrade: the error is the answer to the request.
    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Self::Session, Error>;

    /// A message has arrived. It borrows the read buffer: copy what shall stay.
    fn message(&self, session: &mut Self::Session, message: Message<'_>, socket: &mut Socket<'_>);

    /// After a send told [`Sent::Backpressure`], everything that was sent has left; what is published may still
    /// wait. Called once for each such time, however many sends told so.
    fn drain(&self, session: &mut Self::Session, socket: &mut Socket<'_>) {
        let _ = (session, socket);
    }

    /// The connection has ended, in whatever way; nothing can be sent any more. `code` and `reason` are
    /// those of the first Close, the peer's or ours (RFC 6455 §7.1.5); `None` if it had no code (1005
    /// elsewhere) or if there was none (1006).
    fn close(&self, session: Self::Session, code: Option<CloseCode>, reason: &str) {
        let _ = (session, code, reason);
    }
}

/// What became of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It leaves with the answers of this turn, or soon after.
    Sent,
    /// It is queued, but the peer has more than `outbox_bytes` to take, publications included:
    /// [`WebSocket::drain`] tells when it has taken what it was sent.
    Backpressure,
    /// It was not sent: the connection is closing, or has been told [`Backpressure`](Sent::Backpressure) and
    /// the peer has not taken anything since. It is counted.
    Dropped,
}

/// The sending side of a WebSocket, for the time of one call.
pub struct Socket<'a> {
    out: &'a mut dyn Outgoing,
    conn: ConnId,
    protocol: Option<&'a str>,
}

/// What a [`Socket`] writes to.
pub(crate) trait Outgoing {
    /// Sends a message.
    fn message(&mut self, message: Message<'_>) -> Sent;
    /// Begins the closing handshake.
    fn close(&mut self, code: CloseCode, reason: &str);
    /// Subscribes to a topic or a filter. Tells whether that is new.
    fn subscribe(&mut self, filter: &str, slow: Option<SlowConsumer>) -> Result<bool, TopicError>;
    /// Ends a subscription. Tells whether there was one.
    fn unsubscribe(&mut self, filter: &str) -> bool;
    /// Publishes to all subscribers; `own`: this connection too, if it is one.
    fn publish(&mut self, topic: &str, message: Message<'_>, own: bool) -> Result<(), TopicError>;
}

impl<'a> Socket<'a> {
    pub(crate) fn new(out: &'a mut dyn Outgoing, conn: ConnId, protocol: Option<&'a str>) -> Socket<'a> {
        Socket { out, conn, protocol }
    }

    /// Sends a message, in one frame. It is copied or on its way when this returns.
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

    /// Begins the closing handshake (RFC 6455 §7.1.2). Messages that still arrive are not delivered.
    /// A reason of more than 123 bytes is cut.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.out.close(code, reason);
    }

    /// Subscribes this connection to a topic, or to all topics that a filter stands for: `prices.*` is every
    /// topic whose name begins with `prices.` and goes on. The `*` may only be its last character.
    ///
    /// What is published from now on is sent to it, each publication once, however many of its
    /// subscriptions fit. Tells whether the subscription is new.
    ///
    /// ```
    /// # use fleeting::{Error, Message, Request, Socket, WebSocket};
    /// struct Prices;
    ///
    /// impl WebSocket for Prices {
    ///     type Session = ();
    ///
    ///     fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
    ///         let wanted = req.query().unwrap_or("prices.*");
    ///         socket.subscribe(wanted).map_err(|error| Error::bad_request(error.to_string()))?;
    ///         Ok(())
    ///     }
    ///
    ///     fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
    ///         // To all others who want it.
    ///         let _ = socket.publish_to_others("prices.eur", message);
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TopicError`]: a name that cannot be, or one of the limits `topics`, `subscriptions` and `topic_bytes`.
    pub fn subscribe(&mut self, filter: &str) -> Result<bool, TopicError> {
        self.out.subscribe(filter, None)
    }

    /// As [`subscribe`](Socket::subscribe), and says what becomes of these publications when the peer reads
    /// too slowly, whatever the route's options say. Of several subscriptions that fit, that to the topic
    /// itself decides, then that to the longest filter.
    ///
    /// # Errors
    /// As [`subscribe`](Socket::subscribe).
    pub fn subscribe_with(&mut self, filter: &str, slow: SlowConsumer) -> Result<bool, TopicError> {
        self.out.subscribe(filter, Some(slow))
    }

    /// Ends a subscription, named as it was made. What was published before may still arrive. Tells whether
    /// there was one.
    pub fn unsubscribe(&mut self, filter: &str) -> bool {
        self.out.unsubscribe(filter)
    }

    /// Publishes a message to all who have subscribed to the topic, on all workers, this connection included
    /// if it has.
    ///
    /// It leaves at the end of the turn, behind what was sent here directly. What one session publishes
    /// reaches every subscriber in its order.
    ///
    /// # Errors
    /// [`TopicError`]: a name that cannot be, or a message over `message_bytes`. Nobody gets it then.
    pub fn publish(&mut self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        self.out.publish(topic, message, true)
    }

    /// As [`publish`](Socket::publish), but not to this connection.
    ///
    /// # Errors
    /// As [`publish`](Socket::publish).
    pub fn publish_to_others(&mut self, topic: &str, message: Message<'_>) -> Result<(), TopicError> {
        self.out.publish(topic, message, false)
    }

    /// The connection's name.
    pub fn conn_id(&self) -> ConnId {
        self.conn
    }

    /// The subprotocol that was agreed on. Told in [`WebSocket::open`] only; `None` later.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol
    }
}

impl fmt::Debug for Socket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("conn", &self.conn).finish_non_exhaustive()
    }
}

/// A route's WebSocket, its session's type forgotten.
pub(crate) trait Upgrade {
    fn policy(&self) -> &Policy;
    /// The route's number among those of the application.
    fn number(&self) -> u16;
    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Box<Reader>, Error>;
}

/// Where a connection's frames go: their decoder, and behind it the session. They are one allocation,
/// because this is what an idle WebSocket costs.
pub(crate) struct Reader<L: ?Sized = dyn LiveSocket> {
    pub(crate) decoder: ws::Decoder,
    pub(crate) live: L,
}

/// A session and what serves it. Once it has been told of the end, all that it is told is nothing to it.
pub(crate) trait LiveSocket {
    /// Whether it has not been told of the end.
    fn is_open(&self) -> bool;
    fn message(&mut self, message: Message<'_>, socket: &mut Socket<'_>);
    fn drain(&mut self, socket: &mut Socket<'_>);
    fn close(&mut self, code: Option<CloseCode>, reason: &str);
}

pub(super) struct Endpoint<W> {
    pub(super) server: Rc<W>,
    pub(super) policy: ws::Policy,
    pub(super) number: u16,
}

struct LiveSession<W: WebSocket> {
    server: Rc<W>,
    /// `None` once it has been told of the end.
    session: Option<W::Session>,
}

impl<W: WebSocket> Upgrade for Endpoint<W> {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn number(&self) -> u16 {
        self.number
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

    fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        if let Some(session) = self.session.take() {
            self.server.close(session, code, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl WebSocket for Deaf {
        type Session = ();

        fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
            Ok(())
        }

        fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
    }

    #[test]
    fn small() {
        // The decoder, two words for the session: an allocator that rounds up to 64 bytes has 8 for itself.
        assert!(size_of::<Reader<LiveSession<Deaf>>>() <= 56, "{}", size_of::<Reader<LiveSession<Deaf>>>());
    }
}
