//! An HTTP/2 server core without I/O (RFC 9113, RFC 7541, RFC 8441).
//!
//! Field blocks become the same [`Head`](crate::http1::Head) that HTTP/1.1 has, and response heads become field blocks, so
//! what lies above does not see a difference. Nothing here knows a socket, a route or a handler.
//!
//! ```text
//!   block -> Decoder::decode -> Section -> head::read, head::trailers -> RequestHead, Fields
//!   ResponseHead -> response::encode_head -> block
//! ```

mod field;
pub mod head;
pub mod hpack;
mod malformed;
pub mod response;
mod section;

pub use head::RequestHead;
pub use malformed::{HeadError, Malformed};
pub use section::Section;
