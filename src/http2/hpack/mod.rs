//! HPACK, the compression of header sections (RFC 7541).
//!
//! It knows octets, names and values, and gives none of them a meaning. The decoder keeps a dynamic table for the
//! connection. The encoder keeps no state: it refers to the static table only, and adds nothing to the peer's table.

mod decoder;
pub mod encoder;
mod error;
pub(super) mod huffman;
mod integer;
mod static_table;
mod table;

pub use decoder::{Decoder, TABLE_BYTES};
pub use error::HpackError;
