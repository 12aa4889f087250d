//! What a [`Decoder`](super::Decoder) says of the bytes it is shown, and what the caller does then.
//!
//! It knows no state. Its invariant: every step either asks for bytes, consumes some, or ends the
//! connection.

use super::{Fields, Head, Refusal};

/// What [`Decoder::head`](super::Decoder::head) found.
#[derive(Debug)]
pub enum HeadStep<'r> {
    /// More bytes are needed. The first `filled` bytes of the input are to be kept, and those behind
    /// them forgotten: chunks have been decoded in place, and the input has become shorter.
    Incomplete {
        /// Bytes to keep, and to show again when more have come.
        filled: usize,
    },
    /// The first bytes, so many, belong to no request (an empty line before one, discarded content):
    /// consume them and call again with what is left. Never zero.
    Skip(usize),
    /// A request.
    Head {
        /// What it says.
        head: &'r Head<'r>,
        /// What follows the head in the input.
        rest: &'r mut [u8],
        /// This head was told before, and [`Decoder::content`](super::Decoder::content) was incomplete. Now it will not be: what
        /// was decided about this request still holds, and `100 Continue` is not sent again.
        resumed: bool,
    },
    /// The bytes are no request: answer so and close.
    Refused(Refusal),
    /// Content that was being discarded broke its framing, or the bound. Its request has been answered:
    /// close without another answer.
    Broken(Refusal),
}

/// What [`Decoder::content`](super::Decoder::content) found.
#[derive(Debug)]
pub enum ContentStep<'r> {
    /// The request is complete.
    Whole {
        /// The content, chunks decoded.
        content: &'r [u8],
        /// The trailer fields of chunked content.
        trailers: Fields<'r>,
        /// Bytes of this request, counted from the start of the input that [`Decoder::head`](super::Decoder::head) was given.
        consumed: usize,
    },
    /// More bytes are needed: as for [`HeadStep::Incomplete`], `filled` counts from the start of the
    /// input that [`Decoder::head`](super::Decoder::head) was given. Call [`Decoder::head`](super::Decoder::head) when there are more.
    Incomplete {
        /// Bytes to keep, and to show again when more have come.
        filled: usize,
    },
    /// The content is not to be had: answer so and close.
    Refused(Refusal),
}

/// What [`Decoder::piece`](super::Decoder::piece) found. `consumed` counts from the start of its input.
#[derive(Debug)]
pub enum PieceStep<'r> {
    /// Some of the content, never nothing: consume so many bytes and call again with what is left.
    Piece {
        /// The bytes, where they lie in the input.
        bytes: &'r [u8],
        /// Bytes up to their end.
        consumed: usize,
    },
    /// The content has ended, and the next request follows.
    End {
        /// The trailer fields of chunked content.
        trailers: Fields<'r>,
        /// Bytes up to the end of the request.
        consumed: usize,
    },
    /// More bytes are needed; those behind the ones consumed are to be shown again.
    Incomplete {
        /// Bytes that are done with.
        consumed: usize,
    },
    /// The rest of the content is not to be had: answer so and close.
    Refused(Refusal),
}

/// What a connection is waiting for; it decides which deadline applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Awaits {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a request's content.
    Content,
    /// The rest of content that nobody wants.
    Discard,
    /// Nothing: bytes were refused.
    Close,
}
