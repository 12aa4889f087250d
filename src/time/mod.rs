//! Time as the engine sees it: a point that is passed in, a cached date, a wheel of deadlines.
//!
//! Only [`Clock`] reads the machine's clocks; everything else is told the time, so that a
//! simulator can be anywhere in it.

mod clock;
mod date;
mod http_date;
mod wheel;

pub use clock::{Clock, Now};
pub use date::DateCache;
pub use http_date::parse_http_date;
pub use wheel::{Due, Tick, Wheel};
