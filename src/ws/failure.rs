//! The rules a WebSocket peer can break: a close code, a metric label and a sentence for each.
//!
//! It knows no bytes. Its invariant: every reason is one line of the table.

use super::CloseCode;
use crate::buffer::NoMemory;
use crate::reasons::reasons;

reasons! {
    /// Why a WebSocket connection fails (RFC 6455 §7.1.7).
    pub enum Failure;
    /// Returns the close code to send (RFC 6455 §7.4.1).
    fn close_code() -> CloseCode;

    /// A reserved bit is set that no negotiated extension defines for this frame.
    ReservedBits = CloseCode::PROTOCOL, "reserved_bits",
        "a reserved bit is set that no negotiated extension defines here";
    /// A reserved opcode.
    ReservedOpcode = CloseCode::PROTOCOL, "reserved_opcode", "the opcode is reserved";
    /// A client's frame without a mask.
    Unmasked = CloseCode::PROTOCOL, "unmasked", "a client's frames must be masked";
    /// The payload length is written in more bytes than it needs.
    LengthNotMinimal = CloseCode::PROTOCOL, "length_not_minimal",
        "the payload length is not written in its shortest form";
    /// The 64-bit payload length has its highest bit set.
    LengthHighBit = CloseCode::PROTOCOL, "length_high_bit", "the payload length has its highest bit set";
    /// A control frame of more than 125 bytes.
    ControlTooLong = CloseCode::PROTOCOL, "control_too_long",
        "a control frame has more than 125 bytes of payload";
    /// A control frame without the FIN bit.
    ControlFragmented = CloseCode::PROTOCOL, "control_fragmented", "a control frame must not be fragmented";
    /// A continuation frame outside of a fragmented message.
    NothingToContinue = CloseCode::PROTOCOL, "nothing_to_continue", "there is no message to continue";
    /// A new message before the previous one is finished.
    MessageUnfinished = CloseCode::PROTOCOL, "message_unfinished",
        "a new message begins before the previous one is finished";
    /// A Close frame with one byte of payload, too short for a code.
    CloseTooShort = CloseCode::PROTOCOL, "close_too_short",
        "the close frame has one byte of payload, too short for a code";
    /// A Close frame with a code that must not be sent.
    CloseCodeInvalid = CloseCode::PROTOCOL, "close_code_invalid", "the close code must not be sent";
    /// A Close frame whose reason is not UTF-8.
    CloseReasonInvalid = CloseCode::INVALID, "close_reason_invalid", "the close reason is not UTF-8";
    /// A text message that is not UTF-8.
    TextInvalid = CloseCode::INVALID, "text_invalid", "the text is not UTF-8";
    /// A frame longer than the limit `frame_bytes`.
    FrameTooBig = CloseCode::TOO_BIG, "frame_too_big", "the frame is larger than this server accepts";
    /// A message longer than the limit `message_bytes`.
    MessageTooBig = CloseCode::TOO_BIG, "message_too_big", "the message is larger than this server accepts";
    /// A message of more frames than the limit `fragments`.
    TooManyFragments = CloseCode::POLICY, "too_many_fragments",
        "the message has more fragments than this server accepts";
    /// A compressed message that cannot be inflated, or is cut short.
    // RFC 7692 names no close code for this. It is not 1002, because the framing is right: the payload is not
    // of the type that the header claims.
    DeflateInvalid = CloseCode::INVALID, "deflate_invalid", "the compressed message cannot be inflated";
    /// The server's buffers have all the memory that the limit `memory` allows.
    NoMemory = CloseCode::TRY_AGAIN, "no_memory", "the server is short of memory";
}

impl From<NoMemory> for Failure {
    fn from(_: NoMemory) -> Failure {
        Failure::NoMemory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_own_index_label_and_sentence() {
        crate::reasons::check(Failure::ALL, Failure::index, Failure::label);
        for failure in Failure::ALL {
            assert!(failure.to_string().len() <= 123, "{failure} does not fit into a Close frame");
            assert!(CloseCode::new(failure.close_code().get()).is_some());
        }
    }
}
