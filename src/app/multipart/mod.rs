//! Multipart forms: fields and files in one content, each part with a head of its own (RFC 7578, RFC 2046 §5.1).
//!
//! It knows requests and uploads, but no file: the application decides where a part goes. Its invariant: however the
//! content is cut into pieces, the same parts come out, and nothing of a part is in memory but its head.
//!
//! [`reader`] is the format without input and output. [`upload`] feeds it with the pieces of an upload, [`content`] with
//! content that is in memory.
//!
//! It is written by hand because no maintained crate reads the format from slices without an executor. `multer` and
//! its relatives read an async stream of `Bytes` and own what they return; `multiparty`, which decodes as bytes arrive,
//! needs `Bytes` as well and has not gone beyond its first version.

mod boundary;
mod content;
mod head;
mod limits;
mod reader;
mod upload;

pub use content::{FormPart, FormParts};
pub use head::PartHead;
pub use limits::MultipartLimits;
pub use reader::{FormPiece, MultipartReader};
pub use upload::Multipart;
