//! What the compiler says about programs that misuse Fleeting.
//!
//! The expected messages come from the toolchain named in the workspace's Cargo.toml. After a change, run these tests with
//! `TRYBUILD=overwrite` and review the differences.

mod escape;
mod mistakes;
