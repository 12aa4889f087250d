//! The limits of a server: what a peer may send ([`Limits`]) and how long it may take ([`Timeouts`]); and which peers are
//! proxies ([`Proxies`]).
//!
//! It knows no socket and no protocol. All are plain values. The builder, a configuration file, the
//! environment and the command line set limits and timeouts under the same names.

mod error;
mod http;
mod io;
mod limits;
mod networks;
mod proxies;
mod table;
mod timeouts;

pub use error::ConfigError;
pub use http::HttpVersions;
pub use io::Io;
pub use limits::Limits;
pub(crate) use limits::{PUSHED_UNSENT_BYTES, READ_BYTES};
pub use networks::Networks;
pub use proxies::{ForwardedFields, Proxies};
pub use table::Setting;
pub use timeouts::Timeouts;
