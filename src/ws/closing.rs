//! The closing handshake (RFC 6455 §7): who has sent a Close frame.
//!
//! Knows no clock and writes nothing: the caller sends what is due and times out a peer that does not
//! answer. Invariant: at most one Close is sent, nothing is sent after it, and nothing is read after
//! the peer's.

/// Where a connection is on its way to the end.
///
/// ```text
///          sent()            received()
///   Open ---------> Sent  ----------------> Done    we began
///    |  received()            sent()
///    +------------> Received -------------> Done    the peer began
///    |  failed()
///    +------------------------------------> Done    the peer broke a rule
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closing {
    /// Neither side has sent a Close.
    #[default]
    Open,
    /// We have; the peer's is awaited, and what comes before it is ignored.
    Sent,
    /// The peer has; ours is due.
    Received,
    /// Both have, or the connection was failed: TCP is to be closed, by us first (RFC 6455 §7.1.1).
    Done,
}

impl Closing {
    /// Whether messages, pings and pongs may be sent (RFC 6455 §5.5.1: not after a Close).
    pub fn may_send(self) -> bool {
        self == Closing::Open
    }

    /// Whether a Close may be sent, as our first or in reply.
    pub fn may_send_close(self) -> bool {
        matches!(self, Closing::Open | Closing::Received)
    }

    /// Whether what the peer sends is still to be decoded; if not, bytes are dropped unseen.
    pub fn may_read(self) -> bool {
        matches!(self, Closing::Open | Closing::Sent)
    }

    /// Whether what is decoded goes to the handler. Once our Close is out only the peer's counts.
    pub fn delivers(self) -> bool {
        self == Closing::Open
    }

    /// Our Close frame was put on its way.
    pub fn sent(&mut self) {
        *self = match self {
            Closing::Open | Closing::Sent => Closing::Sent,
            Closing::Received | Closing::Done => Closing::Done,
        };
    }

    /// The peer's Close frame came. Says whether a Close is due in reply: with the code that it had
    /// (RFC 6455 §5.5.1), or without one if it had none.
    #[must_use = "a Close may be due in reply"]
    pub fn received(&mut self) -> bool {
        *self = match self {
            Closing::Open | Closing::Received => Closing::Received,
            Closing::Sent | Closing::Done => Closing::Done,
        };
        *self == Closing::Received
    }

    /// The peer broke a rule. Says whether a Close with the reason is due before the end; nothing the
    /// peer sends is awaited (RFC 6455 §7.1.7).
    #[must_use = "a Close may be due before the end"]
    pub fn failed(&mut self) -> bool {
        let due = self.may_send_close();
        *self = Closing::Done;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move() {
        fn check(from: Closing, sent: Closing, received: (Closing, bool), failed: bool) {
            let mut state = from;
            state.sent();
            assert_eq!(state, sent, "{from:?}");
            let mut state = from;
            assert_eq!((state.received(), state), (received.1, received.0), "{from:?}");
            let mut state = from;
            assert_eq!((state.failed(), state), (failed, Closing::Done), "{from:?}");
        }
        check(Closing::Open, Closing::Sent, (Closing::Received, true), true);
        check(Closing::Sent, Closing::Sent, (Closing::Done, false), false);
        check(Closing::Received, Closing::Done, (Closing::Received, true), true);
        check(Closing::Done, Closing::Done, (Closing::Done, false), false);
    }

    #[test]
    fn what_may_be_done() {
        fn check(state: Closing, expected: [bool; 4]) {
            let found = [state.may_send(), state.may_send_close(), state.may_read(), state.delivers()];
            assert_eq!(found, expected, "{state:?}");
        }
        check(Closing::Open, [true, true, true, true]);
        check(Closing::Sent, [false, false, true, false]);
        check(Closing::Received, [false, true, false, false]);
        check(Closing::Done, [false, false, false, false]);
    }
}
