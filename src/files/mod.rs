//! The steps of serving a file: resolving its path, opening it, and choosing which part of it to send.
//!
//! It knows the fields of requests and the file system, but no routes and no sockets. Only [`Root`] and
//! `open_file` touch the file system. All others are pure functions of text, numbers and a time that is
//! passed in. Its invariant: a path that a client sends opens a regular file beneath one directory, or no
//! file at all.
//!
//! In the order of use:
//!
//! 1. [`resolve`] turns a request's path into a [`RelativePath`].
//! 2. `Codings` lists the content codings that the client prefers; each has its own file.
//! 3. [`Root::open`] opens the file.
//! 4. `Version` identifies what was opened. `decide` compares it with the request's conditions and Range, and decides
//!    whether to send all of the file, a part or nothing.

mod coding;
mod decision;
mod media;
mod path;
mod range;
mod root;
mod version;

pub(crate) use coding::{Coding, Codings};
pub(crate) use decision::{ConditionalRequest, Decision, decide};
pub(crate) use media::{MediaType, MediaTypes, media_type};
pub(crate) use root::{is_shortage, open_file};
pub(crate) use version::Version;

pub use path::{PathError, RelativePath, resolve};
pub use range::{SelectedRange, select_range};
pub use root::{Opened, Root};
pub use version::Stamp;
