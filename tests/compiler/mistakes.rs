//! The compiler's message for a usual mistake points at the user's line and names the cure.

/// Adds a case for each mistake.
pub fn add_to(cases: &trybuild::TestCases) {
    cases.compile_fail("mistakes/*.rs");
}
