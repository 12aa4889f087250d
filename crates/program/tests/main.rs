//! What the program promises, one module each.
//!
//! In builds for AddressSanitizer (`--cfg fleeting_paranoid`, see tests/sanitize) `nodes` is left out: it holds
//! processes to a quarter of a second, and they are several times slower there.

mod census;
mod hub;
mod lesson;
#[cfg(not(fleeting_paranoid))]
mod nodes;
mod program;
mod registry;
