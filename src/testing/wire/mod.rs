//! What a client reads: responses (RFC 9112) and frames (RFC 6455), bytes in, values out.
//!
//! It knows no connection, and shares no code with the encoders that it reads from. Its invariant: it accepts only what
//! a strict client accepts, and says what is wrong with the rest.

mod frames;
mod head;
mod reader;

pub use frames::{Frame, client_frame, frame, server_frame};
pub use head::{Chunk, Framing, Head, Malformed, chunk};
pub(super) use head::{field_lines, is_token};
pub use reader::Reader;
