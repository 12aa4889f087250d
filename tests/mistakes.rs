//! The compiler's message for a usual mistake points at the user's line and names the cure.
//!
//! The expected messages come from the toolchain named in Cargo.toml. After a change, run this test with
//! `TRYBUILD=overwrite` and review the differences.

/// Finding A15.
#[test]
fn messages_name_the_cure() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
