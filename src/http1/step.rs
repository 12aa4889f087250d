//! The steps that a [`Decoder`](super::Decoder) returns, and what the caller does for each.
//!
//! It knows no state. Its invariant: every step asks for bytes, consumes some, or ends the connection.
//!
//! The enums of steps are exhaustive on purpose: a caller that misses a step would mistreat a connection.

use super::{Fields, Head, Refusal};

/// A result of [`Decoder::head`](super::Decoder::head).
#[derive(Debug)]
pub enum HeadStep<'r> {
    /// More bytes are needed. Keep the first `filled` bytes of the input, drop the rest, and call again when
    /// more have arrived behind them. `filled` is less than the input's length if chunks were decoded in
    /// place, because the decoded content is shorter.
    Incomplete {
        /// The number of bytes to keep.
        filled: usize,
    },
    /// The first bytes need no answer: they are an empty line before a request, or discarded content. Consume
    /// them and call again with the rest. The number is never 0.
    Skip(usize),
    /// A request head. Call [`content`](super::Decoder::content), [`stream`](super::Decoder::stream) or
    /// [`discard`](super::Decoder::discard), or close.
    Head {
        /// The head.
        head: &'r Head<'r>,
        /// What follows the head in the input.
        rest: &'r mut [u8],
        /// This head was returned before, and its content was incomplete. Now the content is complete. The
        /// caller's earlier decision about the request still holds, and `100 Continue` is not sent again.
        resumed: bool,
    },
    /// The bytes are not a request that can be served: answer with the refusal's status and close.
    Refused(Refusal),
    /// Discarded content broke its framing or exceeded the bound. Its request has been answered: close
    /// without another answer.
    Broken(Refusal),
}

/// A result of [`Decoder::content`](super::Decoder::content).
#[derive(Debug)]
pub enum ContentStep<'r> {
    /// The request is complete.
    Whole {
        /// The content, without the framing of chunks.
        content: &'r [u8],
        /// The trailer fields of chunked content.
        trailers: Fields<'r>,
        /// The length of the request in bytes, counted from the start of its head.
        consumed: usize,
    },
    /// More bytes are needed. Keep the head and what follows it, as for [`HeadStep::Incomplete`], and call
    /// [`Decoder::head`](super::Decoder::head) when more have arrived. It returns the head again once
    /// the content is complete.
    Incomplete {
        /// The number of bytes to keep, counted from the start of the head.
        filled: usize,
    },
    /// The content cannot be read: answer with the refusal's status and close.
    Refused(Refusal),
}

/// A result of [`Decoder::piece`](super::Decoder::piece). `consumed` counts from the start of its input.
#[derive(Debug)]
pub enum PieceStep<'r> {
    /// A part of the content. Consume `consumed` bytes and call again with the rest.
    Piece {
        /// The part, which is never empty.
        bytes: &'r [u8],
        /// The number of bytes to consume: up to the end of the part.
        consumed: usize,
    },
    /// The content has ended. Consume `consumed` bytes and continue with
    /// [`Decoder::head`](super::Decoder::head).
    End {
        /// The trailer fields of chunked content.
        trailers: Fields<'r>,
        /// The number of bytes to consume: up to the end of the request.
        consumed: usize,
    },
    /// More bytes are needed. Consume `consumed` bytes, and call again with the rest and what arrives
    /// behind it.
    Incomplete {
        /// The number of bytes to consume.
        consumed: usize,
    },
    /// The rest of the content cannot be read: answer with the refusal's status and close.
    Refused(Refusal),
}

/// What a connection waits for. The caller chooses the connection's deadline by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Awaits {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a request's content.
    Content,
    /// The rest of content that is discarded.
    Discard,
    /// Nothing: the bytes were refused, and the caller closes the connection.
    Close,
}
