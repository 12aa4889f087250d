//! Time: the machine's clocks, the dates in fields, and the engine's timer wheel.
//!
//! Only [`Clock`] reads the machine's clocks. Everything else gets the time as an argument, so that the
//! simulator can choose it.

mod clock;
mod date;
mod http_date;
mod wheel;

pub use clock::{Clock, Now};
pub use date::DateCache;
pub use http_date::parse_http_date;
pub(crate) use wheel::{Tick, Wheel};
