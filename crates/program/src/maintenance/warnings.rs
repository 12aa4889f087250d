//! Who says in the log that a bound is near, and does not say it again and again.
//!
//! It knows no figure but those it is shown. Its invariant: of one bound there is a warning only when it has been
//! well below since the last one.

use std::collections::HashSet;

/// Percent of a bound that are too near, and those that are well below again.
const NEAR: u64 = 90;
const BELOW: u64 = 80;

/// What has been said.
#[derive(Debug, Default)]
pub(super) struct CapacityWarnings {
    /// The bounds that were near, and have not been well below since.
    near: HashSet<String>,
}

impl CapacityWarnings {
    /// A sentence for the log, if `used` of `max` has just become too much.
    pub(super) fn check(&mut self, what: &str, used: u64, max: u64) -> Option<String> {
        let (used_hundredfold, max) = (u128::from(used) * 100, u128::from(max));
        if used_hundredfold < u128::from(BELOW) * max {
            self.near.remove(what);
        }
        if used_hundredfold < u128::from(NEAR) * max || !self.near.insert(what.to_string()) {
            return None;
        }
        let percent = used_hundredfold / max.max(1);
        Some(format!("warning: {what}: {used} of {max}, {percent} % of what there may be"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_told_of_once_until_it_is_far_again() {
        let mut warnings = CapacityWarnings::default();
        let mut expect = |what: &str, used: u64, told: bool| {
            assert_eq!(warnings.check(what, used, 1000).is_some(), told, "{what} {used}");
        };
        expect("a", 0, false);
        expect("a", 899, false);
        expect("a", 900, true);
        expect("a", 1000, false);
        expect("b", 950, true);
        expect("a", 850, false);
        expect("a", 990, false);
        expect("a", 800, false);
        expect("a", 900, false);
        expect("a", 799, false);
        expect("a", 900, true);
        expect("b", 950, false);
    }

    #[test]
    fn what_is_told() {
        let told = CapacityWarnings::default().check("entries of the store", u64::MAX - 1, u64::MAX).unwrap();
        assert!(told.starts_with("warning: entries of the store: 18446744073709551614 of"), "{told}");
        assert!(told.contains(", 99 % of"), "{told}");
        assert_eq!(
            CapacityWarnings::default().check("none", 0, 0).unwrap(),
            "warning: none: 0 of 0, 0 % of what there may be"
        );
    }
}
