//! The limits of a server: what a peer may send ([`Limits`]) and how long it may take ([`Timeouts`]).
//!
//! It knows no socket and no protocol. Both are plain values. The builder, a configuration file, the
//! environment and the command line set them under the same names.

mod error;
mod io;
mod limits;
mod table;
mod timeouts;

pub use error::ConfigError;
pub use io::Io;
pub use limits::Limits;
pub(crate) use limits::{PUSHED_UNSENT_BYTES, READ_BYTES};
pub use table::Setting;
pub use timeouts::Timeouts;
