//! The numbers on the wire: opcodes and close codes.
//!
//! It knows no frame and no connection. Its invariant: every [`CloseCode`] may be sent, so that it need not be checked
//! again, and no [`Opcode`] is reserved.

use std::fmt;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The type of a frame (RFC 6455 §5.2). Reserved values have no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of the message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A request for a pong.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

impl Opcode {
    /// Returns whether frames of this type are control frames: at most 125 bytes, never fragmented (RFC 6455
    /// §5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    pub(super) fn from_wire(opcode: OpCode) -> Option<Opcode> {
        match opcode {
            OpCode::Data(Data::Continue) => Some(Opcode::Continuation),
            OpCode::Data(Data::Text) => Some(Opcode::Text),
            OpCode::Data(Data::Binary) => Some(Opcode::Binary),
            OpCode::Control(Control::Close) => Some(Opcode::Close),
            OpCode::Control(Control::Ping) => Some(Opcode::Ping),
            OpCode::Control(Control::Pong) => Some(Opcode::Pong),
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => None,
        }
    }

    pub(super) fn to_wire(self) -> OpCode {
        OpCode::from(self as u8)
    }
}

/// The reason for closing a connection, as a Close frame carries it (RFC 6455 §7.4).
///
/// Every value is a code that may be sent.
///
/// ```
/// use fleeting::ws::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
/// assert_eq!(CloseCode::new(1005), None); // means "no code", and is never sent
/// assert_eq!(CloseCode::new(4001).map(CloseCode::get), Some(4001));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server shuts down, or the browser has left the page.
    pub const AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// 1003: the server does not accept this type of data.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007: the data does not match its type, such as text that is not UTF-8.
    pub const INVALID: CloseCode = CloseCode(1007);
    /// 1008: the message violates a policy.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: the message is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011: the server met an unexpected condition.
    pub const ERROR: CloseCode = CloseCode(1011);
    /// 1012: the server restarts.
    pub const RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded; try again later.
    pub const TRY_AGAIN: CloseCode = CloseCode(1013);

    /// Returns the code if a Close frame may carry it: it is registered (1000 to 1003, 1007 to 1014), or in the ranges
    /// for libraries and applications (3000 to 4999).
    pub const fn new(code: u16) -> Option<CloseCode> {
        // RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 must not be sent. §7.4.2: the rest of 1000
        // to 2999 is reserved too. IANA registered 1012 to 1014 later.
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_accepted() {
        fn check(code: u16, expected: bool) {
            assert_eq!(CloseCode::new(code).is_some(), expected, "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014] {
            check(code, true);
        }
        for code in [3000, 3999, 4000, 4999] {
            check(code, true);
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            check(code, false);
        }
    }

    #[test]
    fn opcodes_convert_both_ways() {
        for byte in 0..16u8 {
            let known = Opcode::from_wire(OpCode::from(byte));
            assert_eq!(known.is_some(), matches!(byte, 0..=2 | 8..=10), "{byte}");
            if let Some(opcode) = known {
                assert_eq!(u8::from(opcode.to_wire()), byte);
                assert_eq!(opcode.is_control(), byte >= 8);
            }
        }
    }
}
