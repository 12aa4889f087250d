//! The options of a WebSocket route: plain values that the engine applies.

use crate::buffer::SlowConsumer;
use crate::ws::Policy;
use std::time::Duration;

/// Options of a WebSocket route: which clients may connect, how long a connection may last or be silent, and
/// what happens to publications for a client that reads too slowly. Pass it to
/// [`App::ws_with`](super::App::ws_with).
///
/// Timeouts that are not set here come from [`Timeouts`](crate::Timeouts).
///
/// ```
/// use fleeting::{App, SlowConsumer, SocketOptions, ws::Policy};
/// # use fleeting::{Error, Message, Request, Socket, WebSocket};
/// # struct Prices;
/// # impl WebSocket for Prices {
/// #     type Session = ();
/// #     fn open(&self, _: &Request<'_>, _: &mut Socket<'_>) -> Result<(), Error> { Ok(()) }
/// #     fn message(&self, _: &mut (), _: Message<'_>, _: &mut Socket<'_>) {}
/// # }
/// use std::time::Duration;
///
/// let options = SocketOptions::new()
///     .policy(Policy::new().origin("https://app.example.com"))
///     .slow_consumer(SlowConsumer::Conflate)
///     .ping(Duration::from_secs(10))
///     .lifetime(Duration::from_secs(3600));
/// let app = App::new().ws_with("/prices", options, Prices);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketOptions {
    pub(crate) policy: Policy,
    pub(crate) slow: SlowConsumer,
    pub(crate) ping: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
}

impl SocketOptions {
    /// Makes the default options: the same origin only, the timeouts of the server, and
    /// [`SlowConsumer::DropNewest`].
    pub fn new() -> SocketOptions {
        SocketOptions::default()
    }

    /// Sets which origins may connect, and what the opening handshake negotiates (RFC 6455 §4.2).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> SocketOptions {
        self.policy = policy;
        self
    }

    /// Sets what happens to publications for a client that reads too slowly, unless its subscription sets it
    /// ([`Socket::subscribe_with`](super::Socket::subscribe_with)).
    #[must_use]
    pub fn slow_consumer(mut self, slow: SlowConsumer) -> SocketOptions {
        self.slow = slow;
        self
    }

    /// Sets the time without a frame from the client after which the server sends a ping (RFC 6455 §5.5.2).
    /// Zero turns pings off.
    #[must_use]
    pub fn ping(mut self, after: Duration) -> SocketOptions {
        self.ping = Some(after);
        self
    }

    /// Sets the time without a frame from the client after which the server closes the connection with 1001.
    /// Zero turns the limit off. While a ping is unanswered, a pong counts only if it has the payload of the
    /// ping.
    #[must_use]
    pub fn idle(mut self, after: Duration) -> SocketOptions {
        self.idle = Some(after);
        self
    }

    /// Sets how long a connection may last before the server closes it with 1001. Clients then reconnect,
    /// which spreads them over the servers again and checks their credentials again. Zero, the default, means
    /// no limit.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> SocketOptions {
        self.lifetime = Some(lifetime);
        self
    }
}

impl From<Policy> for SocketOptions {
    fn from(policy: Policy) -> SocketOptions {
        SocketOptions::new().policy(policy)
    }
}
