//! Warnings that a capacity is nearly used up, without repetition.
//!
//! It measures nothing itself. Its invariant: a capacity is warned about again only after its use was below
//! [`REARM_PERCENT`].

use std::collections::HashSet;

/// Percent of a capacity at which a warning is due.
const WARN_PERCENT: u64 = 90;
/// Percent below which the next warning becomes possible.
const REARM_PERCENT: u64 = 80;

/// The warnings given.
#[derive(Debug, Default)]
pub(super) struct CapacityWarnings {
    /// Capacities that were warned about and have not been below [`REARM_PERCENT`] since.
    warned: HashSet<String>,
}

impl CapacityWarnings {
    /// Returns a warning for the log if `used` of `max` has just reached [`WARN_PERCENT`].
    pub(super) fn check(&mut self, capacity: &str, used: u64, max: u64) -> Option<String> {
        let (used_hundredfold, max) = (u128::from(used) * 100, u128::from(max));
        if used_hundredfold < u128::from(REARM_PERCENT) * max {
            self.warned.remove(capacity);
        }
        if used_hundredfold < u128::from(WARN_PERCENT) * max || !self.warned.insert(capacity.to_string()) {
            return None;
        }
        let percent = used_hundredfold / max.max(1);
        Some(format!("warning: {capacity}: {used} of {max} in use ({percent} %)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_is_warned_about_once_until_it_is_well_below_again() {
        let mut warnings = CapacityWarnings::default();
        let mut expect = |capacity: &str, used: u64, warns: bool| {
            assert_eq!(warnings.check(capacity, used, 1000).is_some(), warns, "{capacity} {used}");
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
    fn a_warning_names_the_capacity_and_its_use() {
        let warning =
            CapacityWarnings::default().check("entries of the store", u64::MAX - 1, u64::MAX).unwrap();
        assert!(warning.starts_with("warning: entries of the store: 18446744073709551614 of"), "{warning}");
        assert!(warning.ends_with(" in use (99 %)"), "{warning}");
        assert_eq!(
            CapacityWarnings::default().check("none", 0, 0).unwrap(),
            "warning: none: 0 of 0 in use (0 %)"
        );
    }
}
