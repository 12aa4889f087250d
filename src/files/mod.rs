//! What it takes to answer with a file: where it is, whether it may be had, which part of it is asked for.
//!
//! It knows requests' fields and the file system, no routes and no sockets. All but [`Root`] is pure: a
//! function of text, numbers and a time that is passed in. Its invariant: what a client sends chooses
//! among the regular files beneath one directory, and never leads out of it.

mod coding;
mod media;
mod path;
mod preconditions;
mod range;
mod root;
mod validators;

pub(crate) use coding::{Coding, Codings};
pub(crate) use media::{MediaType, media_type};
pub(crate) use preconditions::{ConditionalRequest, Decision, evaluate};
pub(crate) use root::{is_shortage, open_file};

pub use path::{PathError, RelativePath, resolve};
pub use range::{SelectedRange, select_range};
pub use root::{Opened, Root};
pub use validators::Validators;
