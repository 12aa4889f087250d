//! The WebSocket protocol (RFC 6455, RFC 7692) without input and output.
//!
//! This module is a *sans-IO* core: it turns bytes into events and messages into bytes, and performs no input or
//! output itself. It knows no socket, no clock and no HTTP parser. Bytes come in as slices and go out into a `Vec`,
//! so it works under any event loop, any async runtime, and a test without a network. The server uses the same
//! functions.
//!
//! The parts, in the order of a connection's life:
//!
//! - [`accept`] checks the client's handshake against a [`Policy`], and [`encode_switching_protocols`] writes the
//!   response. [`Rejected`] is the reason if it refuses a handshake.
//! - [`Decoder`] turns the client's bytes into [`Event`]s. It unmasks in place, validates text, reassembles fragments
//!   and enforces [`Limits`](crate::Limits). [`Failure`] is the reason if a peer breaks a rule.
//! - [`encode_header`], [`encode_ping`], [`encode_pong`] and [`encode_close`] write a server's frames.
//! - [`Closing`] tracks the closing handshake, and so whether the connection may still send and read.
//! - With the feature `deflate`, `Inflater` and `Deflater` handle compressed messages.
//!
//! Its invariant: events and failures depend on the bytes alone, not on how they were cut on the way.
//!
//! # Example
//!
//! A handshake, a masked text frame, and an echo, all without a socket:
//!
//! ```
//! use fleeting::Limits;
//! use fleeting::ws::{self, Decoder, Event, Opcode, Policy, Step};
//!
//! // The request of RFC 6455 §1.3, parsed by any HTTP parser.
//! let request = [
//!     ("Upgrade", "websocket"),
//!     ("Connection", "Upgrade"),
//!     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
//!     ("Sec-WebSocket-Version", "13"),
//!     ("Origin", "http://example.com"),
//! ];
//! let fields = |name: &str| {
//!     let name = name.to_owned();
//!     request.iter().filter(move |field| field.0.eq_ignore_ascii_case(&name)).map(|field| field.1.as_bytes())
//! };
//! let policy = Policy::new();
//! let accepted = ws::accept("GET", true, "example.com", false, fields, &policy)?;
//! assert_eq!(accepted.accept_key.as_ref(), Some(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
//!
//! let mut output = Vec::new();
//! ws::encode_switching_protocols(&mut output, &accepted, b"", b"Sun, 06 Nov 1994 08:49:37 GMT");
//! assert!(output.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! output.clear(); // sent
//!
//! // A masked text frame, "Hello" (RFC 6455 §5.7).
//! let mut input = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
//! let (mut decoder, limits) = (Decoder::new(), Limits::default());
//! match decoder.next(&mut input, &limits) {
//!     Step::Event { event: Event::Text(text), consumed: 11 } => {
//!         ws::encode_header(&mut output, Opcode::Text, true, text.len());
//!         output.extend_from_slice(text.as_bytes());
//!     }
//!     other => panic!("unexpected: {other:?}"),
//! }
//! assert_eq!(output, b"\x81\x05Hello");
//! # Ok::<(), ws::Rejected>(())
//! ```

mod closing;
mod codes;
mod compression;
mod decode;
#[cfg(feature = "deflate")]
pub(crate) mod deflate;
pub(crate) mod encode;
mod extension;
mod failure;
pub(crate) mod handshake;
mod header;
#[cfg(feature = "deflate")]
mod inflated;
mod mask;
mod message;
mod origin;
mod reassembly;
mod rejected;
mod short;
mod tokens;

pub use closing::Closing;
pub use codes::{CloseCode, Opcode};
pub use compression::{Compression, Mode};
pub use decode::{Decoder, Event, Step};
#[cfg(feature = "deflate")]
pub use deflate::{Codec, Deflater, Inflater};
pub use encode::{encode_close, encode_compressed_header, encode_header, encode_ping, encode_pong};
pub use extension::Negotiated;
pub use failure::Failure;
pub use handshake::{Accepted, Policy, accept, accept_connect, encode_agreed, encode_switching_protocols};
#[cfg(feature = "deflate")]
pub use inflated::Inflated;
pub use message::Message;
pub(crate) use origin::is_admitted;
pub use rejected::Rejected;
pub(crate) use short::below as short_below;
