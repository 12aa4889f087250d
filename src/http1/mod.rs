//! HTTP/1.1 as a state machine over bytes: request heads, framing, chunks and response heads.
//!
//! [`Decoder`] is told which bytes of a connection have arrived and says what they are; [`encode_head`]
//! and its companions write what goes back. Nothing here knows a socket, a clock, a route or a handler,
//! and a decoder holds no bytes: only numbers say where in the stream it is.
//!
//! ```text
//!   bytes -> Decoder::head -> Head ----> the caller decides ----> Decoder::content -> content, trailers
//!               |  |                            |
//!               |  |                            |-> Decoder::stream, Decoder::piece -> pieces, trailers
//!               |  `-> Incomplete: read more    `-> Decoder::discard: answered early, throw it away
//!               `----> Refused: answer with its status and close
//! ```
//!
//! The invariant is that events are a function of the byte stream: however it is cut into reads, the
//! same heads, contents and refusals come out, and a refusal is that of the shortest prefix that
//! deserves one. It is tested for every cut of a corpus (`trace`).

mod authority;
mod block;
mod characters;
mod chunks;
mod decoder;
mod encode;
mod fields;
mod framing_fields;
mod head;
mod lex;
mod method;
mod parse;
mod refusal;
mod scan;
mod status;
mod step;
mod target;
mod trailers;

pub use decoder::Decoder;
pub use encode::{
    CONTINUE, ConnectionHeader, ContentLength, FieldError, ResponseHead, encode_chunk_size, encode_field,
    encode_head, encode_last_chunk,
};
pub use fields::{FieldIter, FieldValues, Fields};
pub use head::{Framing, Head, Version};
pub use method::Method;
#[doc(hidden)]
pub use parse::assert_lexer_agrees;
pub use refusal::Refusal;
pub use step::{Awaits, ContentStep, HeadStep, PieceStep};
pub use target::{Target, TargetForm};
