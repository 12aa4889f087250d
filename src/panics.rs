//! Catches panics of the application's code.
//!
//! It knows nothing about the code it runs. Its invariant: every panic that is caught is counted exactly once,
//! by the caller of [`catch`] or in the counter given to [`catch_counted`].

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; returns `None` if it panicked.
#[inline]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// As [`catch`], and adds a panic to `panics`.
#[inline]
pub(crate) fn catch_counted<T>(panics: &mut u64, call: impl FnOnce() -> T) -> Option<T> {
    let result = catch(call);
    *panics += u64::from(result.is_none());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_counted() {
        let mut panics = 0;
        assert_eq!(catch_counted(&mut panics, || 1), Some(1));
        assert_eq!(panics, 0);
        assert_eq!(catch_counted::<()>(&mut panics, || panic!("planted")), None);
        assert_eq!(panics, 1);
        assert_eq!(catch::<()>(|| panic!("planted")), None);
    }
}
