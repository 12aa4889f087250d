//! An HTTP/2 server core without I/O (RFC 9113, RFC 7541, RFC 8441).
//!
//! Field blocks become the same [`Head`](crate::http1::Head) that HTTP/1.1 has, and response heads become field blocks, so
//! what lies above does not see a difference. Nothing here knows a socket, a route or a handler.
//!
//! ```text
//!   block -> Decoder::decode -> Section -> head::read, head::trailers -> Head, Fields
//!   ResponseHead -> response::encode_head -> block
//! ```

pub mod hpack;
mod section;

pub use section::Section;
