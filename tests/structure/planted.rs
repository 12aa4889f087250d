//! Compares the violations that a rule finds in planted source text with the expected ones.

/// Fails unless there are as many violations as expected texts, and each contains its text.
#[track_caller]
pub fn expect_violations(violations: Vec<String>, expected: &[&str]) {
    assert_eq!(violations.len(), expected.len(), "{violations:#?}");
    for (got, want) in violations.iter().zip(expected) {
        assert!(got.contains(want), "{got} does not contain {want}");
    }
}
