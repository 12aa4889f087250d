//! How the WebSockets of a route are served.

use crate::buffer::SlowConsumer;
use crate::ws::Policy;
use std::time::Duration;

/// Who may connect, how long a connection may be silent or last, and what becomes of those who read too
/// slowly.
///
/// What is not set here is as in [`Timeouts`](crate::Timeouts).
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
    /// The same origin only, the timeouts of the server, [`SlowConsumer::DropNewest`].
    pub fn new() -> SocketOptions {
        SocketOptions::default()
    }

    /// Sets who may connect, and what is agreed on in the handshake.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> SocketOptions {
        self.policy = policy;
        self
    }

    /// Sets what becomes of publications for a connection that reads too slowly, unless a subscription says
    /// otherwise.
    #[must_use]
    pub fn slow_consumer(mut self, slow: SlowConsumer) -> SocketOptions {
        self.slow = slow;
        self
    }

    /// Sends a ping when no frame has come for so long; zero: never.
    #[must_use]
    pub fn ping(mut self, after: Duration) -> SocketOptions {
        self.ping = Some(after);
        self
    }

    /// Closes with 1001 when no frame has come for so long; zero: never. A pong counts if it has the payload
    /// of the ping.
    #[must_use]
    pub fn idle(mut self, after: Duration) -> SocketOptions {
        self.idle = Some(after);
        self
    }

    /// Closes with 1001 when a connection has been open for so long, so that clients spread anew over the
    /// servers there are, and credentials are looked at again; zero, as by default: never.
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
