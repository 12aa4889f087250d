//! Rules of HTTP that handlers and files share, whatever the protocol's version: preferences and conditions (RFC 9110).
//!
//! It knows fields and their values, but no request, no response and no file. All of it is functions of bytes, and of a
//! time that is passed in.

mod entity_tag;
mod preconditions;
mod weights;

pub use entity_tag::EntityTag;
pub use preconditions::Validators;
pub(crate) use preconditions::{Precondition, evaluate};
pub(crate) use weights::{Member, members, parameters};
