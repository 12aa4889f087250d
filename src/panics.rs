//! Catches panics of the application's code.
//!
//! It knows nothing about the code it runs. Its invariant: every caught panic is counted exactly once, either
//! by the caller of [`catch`] or by [`catch_counted`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; returns `None` if it panicked.
#[inline]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(payload) => {
            drop_payload(payload);
            None
        }
    }
}

/// Drops what a panic carried. The payload's own `drop` may panic with a payload of which the same is true, so after
/// [`PAYLOADS`] of them the next is leaked.
#[cold]
fn drop_payload(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PAYLOADS {
        match catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    std::mem::forget(payload);
}

/// How many payloads of one panic are dropped.
const PAYLOADS: u32 = 8;

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

    /// Finding A9.
    #[test]
    fn a_payload_may_panic_when_it_is_dropped() {
        struct Bomb(u32);
        impl Drop for Bomb {
            fn drop(&mut self) {
                if self.0 > 0 {
                    std::panic::panic_any(Bomb(self.0 - 1));
                }
            }
        }
        for more in 0..3 {
            let mut panics = 0;
            assert_eq!(catch_counted::<()>(&mut panics, || std::panic::panic_any(Bomb(more))), None);
            assert_eq!(panics, 1);
        }
    }
}
