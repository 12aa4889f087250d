//! The compiler's message for a usual mistake points at the user's line and names the cure.

/// Finding A15.
#[test]
fn messages_name_the_cure() {
    trybuild::TestCases::new().compile_fail("mistakes/*.rs");
}
