//! What the compiler says about programs that misuse Fleeting.
//!
//! The expected messages come from the toolchain named in the workspace's Cargo.toml. After a change, run these tests with
//! `TRYBUILD=overwrite` and review the differences.

mod escape;
mod mistakes;

/// Finding A15. One run of trybuild has the cases of both folders, because each run builds every dependency again.
#[test]
fn every_escape_is_an_error_and_every_message_names_the_cure() {
    let cases = trybuild::TestCases::new();
    escape::add_to(&cases);
    mistakes::add_to(&cases);
}
