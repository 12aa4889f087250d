//! What a peer can do wrong once it speaks WebSocket.
//!
//! Knows no bytes, only names, close codes and sentences. Invariant: one variant per reason, and every
//! reason has exactly one close code and one label.

use super::CloseCode;
use std::fmt;

/// Why a connection is failed (RFC 6455 §7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// A reserved bit was set and no extension gives it a meaning, or not there.
    ReservedBits,
    /// An opcode that has no meaning yet.
    ReservedOpcode,
    /// A client's frame came without a mask.
    Unmasked,
    /// The payload length was written longer than it needs to be.
    LengthNotMinimal,
    /// The 64-bit payload length had its highest bit set.
    LengthHighBit,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A control frame without the FIN bit.
    ControlFragmented,
    /// A continuation with nothing to continue.
    NothingToContinue,
    /// A new message before the last one was finished.
    MessageUnfinished,
    /// A Close frame with one byte of payload, too short for a code.
    CloseTooShort,
    /// A Close frame with a code that must not be sent.
    CloseCodeInvalid,
    /// A Close frame whose reason is not UTF-8.
    CloseReasonInvalid,
    /// A text message that is not UTF-8.
    TextInvalid,
    /// A frame over `frame_bytes`.
    FrameTooBig,
    /// A message over `message_bytes`.
    MessageTooBig,
    /// A message in more frames than `fragments`.
    TooManyFragments,
    /// A compressed message that cannot be inflated, or breaks off.
    DeflateInvalid,
}

impl Failure {
    /// Every failure, in the order of [`index`](Failure::index).
    pub const ALL: &'static [Failure] = &[
        Failure::ReservedBits,
        Failure::ReservedOpcode,
        Failure::Unmasked,
        Failure::LengthNotMinimal,
        Failure::LengthHighBit,
        Failure::ControlTooLong,
        Failure::ControlFragmented,
        Failure::NothingToContinue,
        Failure::MessageUnfinished,
        Failure::CloseTooShort,
        Failure::CloseCodeInvalid,
        Failure::CloseReasonInvalid,
        Failure::TextInvalid,
        Failure::FrameTooBig,
        Failure::MessageTooBig,
        Failure::TooManyFragments,
        Failure::DeflateInvalid,
    ];

    /// Its place in [`ALL`](Failure::ALL), for an array of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The code to close with (RFC 6455 §7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Failure::ReservedBits
            | Failure::ReservedOpcode
            | Failure::Unmasked
            | Failure::LengthNotMinimal
            | Failure::LengthHighBit
            | Failure::ControlTooLong
            | Failure::ControlFragmented
            | Failure::NothingToContinue
            | Failure::MessageUnfinished
            | Failure::CloseTooShort
            | Failure::CloseCodeInvalid => CloseCode::PROTOCOL,
            // RFC 7692 names no code for data that cannot be inflated. It is no fault of framing, which
            // would be 1002: the payload is not of the type that its header claims.
            Failure::CloseReasonInvalid | Failure::TextInvalid | Failure::DeflateInvalid => {
                CloseCode::INVALID
            }
            Failure::FrameTooBig | Failure::MessageTooBig => CloseCode::TOO_BIG,
            Failure::TooManyFragments => CloseCode::POLICY,
        }
    }

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Failure::ReservedBits => "reserved_bits",
            Failure::ReservedOpcode => "reserved_opcode",
            Failure::Unmasked => "unmasked",
            Failure::LengthNotMinimal => "length_not_minimal",
            Failure::LengthHighBit => "length_high_bit",
            Failure::ControlTooLong => "control_too_long",
            Failure::ControlFragmented => "control_fragmented",
            Failure::NothingToContinue => "nothing_to_continue",
            Failure::MessageUnfinished => "message_unfinished",
            Failure::CloseTooShort => "close_too_short",
            Failure::CloseCodeInvalid => "close_code_invalid",
            Failure::CloseReasonInvalid => "close_reason_invalid",
            Failure::TextInvalid => "text_invalid",
            Failure::FrameTooBig => "frame_too_big",
            Failure::MessageTooBig => "message_too_big",
            Failure::TooManyFragments => "too_many_fragments",
            Failure::DeflateInvalid => "deflate_invalid",
        }
    }

    /// What was wrong, in a sentence that fits into a Close frame's reason.
    pub const fn sentence(self) -> &'static str {
        match self {
            Failure::ReservedBits => "a reserved bit is set, and no extension agreed on means it here",
            Failure::ReservedOpcode => "the opcode is reserved",
            Failure::Unmasked => "a client's frames must be masked",
            Failure::LengthNotMinimal => "the payload length is not written in its shortest form",
            Failure::LengthHighBit => "the payload length has its highest bit set",
            Failure::ControlTooLong => "a control frame may have 125 bytes at most",
            Failure::ControlFragmented => "a control frame must not be fragmented",
            Failure::NothingToContinue => "there is no message to continue",
            Failure::MessageUnfinished => "a new message began before the last one was finished",
            Failure::CloseTooShort => "a close frame's payload is empty or begins with a code of two bytes",
            Failure::CloseCodeInvalid => "the close code must not be sent",
            Failure::CloseReasonInvalid => "the close reason is not UTF-8",
            Failure::TextInvalid => "the text is not UTF-8",
            Failure::FrameTooBig => "the frame is larger than is accepted here",
            Failure::MessageTooBig => "the message is larger than is accepted here",
            Failure::TooManyFragments => "the message has more fragments than are accepted here",
            Failure::DeflateInvalid => "the compressed message cannot be inflated",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place_label_and_sentence() {
        for (index, failure) in Failure::ALL.iter().copied().enumerate() {
            assert_eq!(failure.index(), index);
            let debug = format!("{failure:?}");
            let label = failure.label();
            assert_eq!(label.replace('_', ""), debug.to_lowercase());
            assert!(failure.to_string().len() <= 123, "{failure}");
            assert!(CloseCode::new(failure.close_code().get()).is_some());
            for other in &Failure::ALL[..index] {
                assert_ne!(other.sentence(), failure.sentence());
            }
        }
    }
}
