//! The numbers on the wire: opcodes and close codes.
//!
//! Knows no frame and no connection. Invariant: a [`CloseCode`] that exists may be sent, so nothing
//! downstream has to check it again; an [`Opcode`] is never a reserved one.

use std::fmt;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// What a frame is (RFC 6455 §5.2), without the reserved values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further piece of the message begun before.
    Continuation = 0x0,
    /// A text message, or its first piece.
    Text = 0x1,
    /// A binary message, or its first piece.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A question whether the peer is there.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

impl Opcode {
    /// Whether it is a control opcode: at most 125 bytes, never fragmented (RFC 6455 §5.5).
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

/// Why a connection is closed, as a Close frame says it (RFC 6455 §7.4).
///
/// Only codes that may stand in a frame can be made.
///
/// ```
/// use fleeting::ws::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
/// assert_eq!(CloseCode::new(1005), None); // "no code": said by sending none
/// assert_eq!(CloseCode::new(4001).map(CloseCode::get), Some(4001));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server goes down, or the browser left the page.
    pub const AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// 1003: a kind of data that is not accepted here.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007: the data does not match its type, such as text that is not UTF-8.
    pub const INVALID: CloseCode = CloseCode(1007);
    /// 1008: the message goes against a policy.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: the message is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1011: the server met something it did not expect.
    pub const ERROR: CloseCode = CloseCode(1011);
    /// 1012: the server restarts.
    pub const RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded; try again later.
    pub const TRY_AGAIN: CloseCode = CloseCode(1013);

    /// The code, if it may stand in a Close frame: registered for that (1000 to 1003, 1007 to 1014) or
    /// in the ranges for libraries and applications (3000 to 4999).
    pub const fn new(code: u16) -> Option<CloseCode> {
        // RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 must not be sent. §7.4.2: the rest
        // of 1000-2999 is reserved too. 1012 to 1014 were registered with IANA later.
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// The number.
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
    fn codes_that_may_be_sent() {
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
    fn opcodes_there_and_back() {
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
