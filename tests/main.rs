//! Promises of the whole, one module each.

#[cfg(feature = "cli")]
mod program;
mod escape;
mod tidy;
