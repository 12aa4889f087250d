//! Catches panics of the application's code.
//!
//! It knows nothing about the code it runs. Its invariant: every caught panic is counted exactly once, either
//! by the caller of [`catch`] or by [`catch_counted`].

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; returns `None` if it panicked.
#[inline]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// Does the same as [`catch`], and adds 1 to `panics` if the call panicked.
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
