//! The closing handshake (RFC 6455 §7): which side has sent a Close frame.
//!
//! It knows no clock and writes nothing. The caller sends the frames, and times out a peer that does not answer. Its
//! invariant: at most one Close is sent, nothing is sent after it, and nothing is read after the peer's Close.

/// The state of a connection's closing handshake.
///
/// ```text
///          sent()            received()
///   Open ---------> Sent  ----------------> Done    we began
///    |  received()            sent()
///    +------------> Received -------------> Done    the peer began
///    |  failed()
///    +------------------------------------> Done    the peer broke a rule
/// ```
///
/// ```
/// use fleeting::ws::Closing;
///
/// let mut closing = Closing::default();
/// assert!(closing.may_send());
/// assert!(closing.received()); // the peer's Close came: ours must follow
/// assert!(!closing.may_send() && closing.may_send_close());
/// closing.sent();
/// assert_eq!(closing, Closing::Done);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closing {
    /// Neither side has sent a Close.
    #[default]
    Open,
    /// We have sent a Close and wait for the peer's Close. All frames before it are ignored.
    Sent,
    /// The peer has sent a Close, and ours must follow.
    Received,
    /// Both sides have sent a Close, or the connection has failed. We close TCP first (RFC 6455 §7.1.1).
    Done,
}

impl Closing {
    /// Returns whether messages, pings and pongs may be sent. They may not after a Close (RFC 6455 §5.5.1).
    pub fn may_send(self) -> bool {
        self == Closing::Open
    }

    /// Returns whether a Close may be sent, first or in reply.
    pub fn may_send_close(self) -> bool {
        matches!(self, Closing::Open | Closing::Received)
    }

    /// Returns whether the peer's bytes are still decoded. If not, the caller drops them.
    pub fn may_read(self) -> bool {
        matches!(self, Closing::Open | Closing::Sent)
    }

    /// Returns whether decoded messages go to the handler. After our Close only the peer's Close matters.
    pub fn delivers(self) -> bool {
        self == Closing::Open
    }

    /// Records that our Close frame was sent.
    pub fn sent(&mut self) {
        *self = match self {
            Closing::Open | Closing::Sent => Closing::Sent,
            Closing::Received | Closing::Done => Closing::Done,
        };
    }

    /// Records the peer's Close frame. Returns whether a Close must be sent in reply. It repeats the peer's code, if
    /// there is one (RFC 6455 §5.5.1).
    #[must_use = "a Close may have to be sent in reply"]
    pub fn received(&mut self) -> bool {
        *self = match self {
            Closing::Open | Closing::Received => Closing::Received,
            Closing::Sent | Closing::Done => Closing::Done,
        };
        *self == Closing::Received
    }

    /// Records that the peer broke a rule. Returns whether a Close with the failure's code must be sent before the end.
    /// The peer's answer is not awaited (RFC 6455 §7.1.7).
    #[must_use = "a Close may have to be sent before the end"]
    pub fn failed(&mut self) -> bool {
        let must_close = self.may_send_close();
        *self = Closing::Done;
        must_close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_leads_to_its_state() {
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
    fn each_state_has_its_permissions() {
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
