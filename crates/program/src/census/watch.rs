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
pub(super) struct Watch {
    /// The bounds that were near, and have not been well below since.
    near: HashSet<String>,
}

impl Watch {
    /// A sentence for the log, if `used` of `max` has just become too much.
    pub(super) fn look(&mut self, what: &str, used: u64, max: u64) -> Option<String> {
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
        let mut watch = Watch::default();
        let mut check = |what: &str, used: u64, told: bool| {
            assert_eq!(watch.look(what, used, 1000).is_some(), told, "{what} {used}");
        };
        check("a", 0, false);
        check("a", 899, false);
        check("a", 900, true);
        check("a", 1000, false);
        check("b", 950, true);
        check("a", 850, false);
        check("a", 990, false);
        check("a", 800, false);
        check("a", 900, false);
        check("a", 799, false);
        check("a", 900, true);
        check("b", 950, false);
    }

    #[test]
    fn what_is_told() {
        let told = Watch::default().look("entries of the store", u64::MAX - 1, u64::MAX).unwrap();
        assert!(told.starts_with("warning: entries of the store: 18446744073709551614 of"), "{told}");
        assert!(told.contains(", 99 % of"), "{told}");
        assert_eq!(
            Watch::default().look("none", 0, 0).unwrap(),
            "warning: none: 0 of 0, 0 % of what there may be"
        );
    }
}
