//! An HTTP/2 server core without I/O (RFC 9113, RFC 7541, RFC 8441).
//!
//! Field blocks become the same [`Head`](crate::http1::Head) that HTTP/1.1 has, and response heads become field blocks, so
//! what lies above does not see a difference. Nothing here knows a socket, a route or a handler.
//!
//! ```text
//!   block -> Decoder::decode -> Section -> head::read, head::trailers -> RequestHead, Fields
//!   ResponseHead -> response::encode_head -> block
//!   bytes -> Connection::next -> Step; Connection::send_head, Connection::send_content -> bytes
//! ```

mod bucket;
mod connection;
mod field;
mod frame;
pub mod head;
mod head_fields;
pub mod hpack;
mod malformed;
mod receive;
pub mod response;
mod section;
mod send;
mod settings;
mod streams;
#[cfg(test)]
mod tests;

pub use bucket::Bucket;
pub use connection::{BlockRole, Connection, Step};
pub use frame::{
    ErrorCode, FRAME_BYTES, FRAME_HEAD_BYTES, FrameHead, PREFACE, begins_block, flag, is_content, kind,
    push_data, push_frame, push_goaway, push_reset, push_settings, push_window_update, setting,
};
pub use head::RequestHead;
pub use malformed::{HeadError, Malformed};
pub use section::Section;
pub use send::{CONTINUE, closes, is_interim, push_head_frames, split_head};
pub use streams::{Stream, Streams};
