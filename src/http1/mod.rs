//! An HTTP/1.1 server core without I/O: it parses requests and writes response heads.
//!
//! The caller owns the socket and the buffers. It passes the bytes that have arrived to a [`Decoder`], acts
//! on the step that comes back, and sends what [`encode_head`] and the other encoders have appended to its
//! output. Nothing here knows a socket, a clock, a route or a handler, so the core fits any event loop, and
//! tests need no network.
//!
//! ```text
//!   bytes -> Decoder::head -> Head ----> the caller decides ----> Decoder::content -> content, trailers
//!               |  |                            |
//!               |  |                            |-> Decoder::stream, Decoder::piece -> pieces, trailers
//!               |  `-> Incomplete: read more    `-> Decoder::discard: answered early, skip the content
//!               `----> Refused: answer with its status and close
//! ```
//!
//! - *Zero-copy.* Heads and contents are slices of the caller's buffer. The table of fields lies in an
//!   [`Arena`](crate::Arena) that the caller resets between requests. A decoder holds numbers, never bytes.
//! - *The cut does not matter.* Steps are a function of the byte stream: however it is cut into reads, the
//!   same heads, contents and refusals come out. A refusal depends only on the shortest prefix that causes
//!   it.
//! - *Strict framing.* A request whose length is in doubt is refused, never guessed (RFC 9112 §6.3, §11.2):
//!   bare LF, repeated Content-Length or Host, Content-Length beside Transfer-Encoding, and the like. Each
//!   [`Refusal`] carries a status and a metric label.
//! - *Bounded.* [`Limits`](crate::Limits) bounds the head, the fields, the target, the content, the chunk
//!   extensions and the trailers. Each is checked before memory is taken.
//!
//! # Example
//!
//! Bytes go in, bytes come out, and no socket is involved:
//!
//! ```
//! use fleeting::http1::{
//!     self, ConnectionHeader, ContentLength, ContentStep, Decoder, HeadStep, Method, Refusal, ResponseHead,
//!     Version,
//! };
//! use fleeting::{Arena, Limits};
//!
//! #[derive(PartialEq, Debug)]
//! enum Next {
//!     /// Read, append the bytes to `input`, and call `answer` again.
//!     Read,
//!     /// Send `output` and close.
//!     Close,
//! }
//!
//! /// Answers all requests in `input`. The bytes that it leaves there belong to an incomplete request.
//! fn answer(
//!     decoder: &mut Decoder,
//!     arena: &mut Arena,
//!     limits: &Limits,
//!     input: &mut Vec<u8>,
//!     output: &mut Vec<u8>,
//! ) -> Next {
//!     loop {
//!         arena.reset(); // nothing borrows the previous request any more
//!         match decoder.head(input, arena, limits) {
//!             // Keep the first `filled` bytes and forget the others.
//!             HeadStep::Incomplete { filled } => {
//!                 input.truncate(filled);
//!                 return Next::Read;
//!             }
//!             // An empty line between two requests.
//!             HeadStep::Skip(bytes) => drop(input.drain(..bytes)),
//!             HeadStep::Refused(refusal) => {
//!                 refuse(output, refusal);
//!                 return Next::Close;
//!             }
//!             // Only discarded content can break; its request has been answered.
//!             HeadStep::Broken(_) => return Next::Close,
//!             HeadStep::Head { head, rest, resumed } => match decoder.content(head, rest, arena, limits) {
//!                 ContentStep::Incomplete { filled } => {
//!                     if head.expects_continue && !resumed {
//!                         output.extend_from_slice(http1::CONTINUE);
//!                     }
//!                     input.truncate(filled);
//!                     return Next::Read;
//!                 }
//!                 ContentStep::Refused(refusal) => {
//!                     refuse(output, refusal);
//!                     return Next::Close;
//!                 }
//!                 ContentStep::Whole { content, consumed, .. } => {
//!                     let text = format!("{} has {} bytes", head.target.path(), content.len());
//!                     let connection = match head.version {
//!                         Version::Http11 if head.keep_alive => ConnectionHeader::Implied,
//!                         _ => ConnectionHeader::Close,
//!                     };
//!                     respond(output, 200, &text, connection, head.method != Method::Head);
//!                     if connection == ConnectionHeader::Close {
//!                         return Next::Close;
//!                     }
//!                     input.drain(..consumed);
//!                 }
//!             },
//!         }
//!     }
//! }
//!
//! fn refuse(out: &mut Vec<u8>, refusal: Refusal) {
//!     respond(out, refusal.status(), &refusal.to_string(), ConnectionHeader::Close, true);
//! }
//!
//! fn respond(out: &mut Vec<u8>, status: u16, text: &str, connection: ConnectionHeader, has_content: bool) {
//!     let date = b"Sun, 06 Nov 1994 08:49:37 GMT"; // a server formats it once a second
//!     let mut head = ResponseHead::new(status, ContentLength::Known(text.len() as u64), date);
//!     head.connection = connection;
//!     http1::encode_head(out, &head);
//!     if has_content {
//!         out.extend_from_slice(text.as_bytes());
//!     }
//! }
//!
//! let (mut decoder, mut arena, limits) = (Decoder::new(), Arena::new(4096), Limits::default());
//! let (mut input, mut output) = (Vec::new(), Vec::new());
//!
//! // The first read ends in the middle of the content.
//! input.extend_from_slice(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
//! assert_eq!(answer(&mut decoder, &mut arena, &limits, &mut input, &mut output), Next::Read);
//! assert!(output.is_empty());
//!
//! // The second one brings the rest, and a request that is refused.
//! input.extend_from_slice(b"loGET / HTTP/1.1\r\n\r\n");
//! assert_eq!(answer(&mut decoder, &mut arena, &limits, &mut input, &mut output), Next::Close);
//! let output = String::from_utf8(output)?;
//! assert!(output.starts_with("HTTP/1.1 200 OK\r\n"));
//! assert!(output.contains("\r\n\r\n/x has 5 bytes"));
//! assert!(output.contains("HTTP/1.1 400 Bad Request\r\n")); // no Host
//! # Ok::<(), std::string::FromUtf8Error>(())
//! ```

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

pub(crate) use authority::{check_in as check_authority, is_authority};
pub(crate) use block::{BYTES as BLOCK_BYTES, Block, find};
pub(crate) use characters::is_token;
pub use decoder::Decoder;
pub use encode::{
    CONTINUE, ConnectionHeader, ContentLength, FieldError, ResponseHead, encode_chunk_size, encode_field,
    encode_head, encode_last_chunk,
};
pub(crate) use encode::{SIZE_LINE_MAX, chunk_size_line, push_decimal};
pub use fields::{FieldIter, FieldValues, Fields};
pub(crate) use fields::{FieldSpan, Span};
pub(crate) use framing_fields::FramingFields;
pub use head::{Framing, Head, Version};
pub use method::Method;
#[doc(hidden)]
pub use parse::assert_lexer_agrees;
pub use refusal::Refusal;
pub use step::{Awaits, ContentStep, HeadStep, PieceStep};
pub use target::{Target, TargetForm};
pub(crate) use target::{TargetSpans, split as split_target, split_origin_form};
pub(crate) use trailers::{DROPPED as DROPPED_TRAILERS, REFUSED as REFUSED_TRAILERS};
