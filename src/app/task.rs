//! A task of an async executor that waits for a response.
//!
//! It knows no executor, only the standard library's [`Waker`], and not what the task waits for. Its invariant: the
//! waker's code, which is the executor's, runs while no lock of this crate is held.

use crate::panics::catch;
use std::task::Waker;

/// Wakes the task, if one waits. Call it after the lock that guarded the waker is released: an executor may poll the task
/// in this very call.
pub(super) fn wake_task(waker: Option<Waker>) {
    if let Some(waker) = waker {
        // This also runs in `Drop`, where a panic could abort the process. Nobody could count it there.
        let _woken = catch(|| waker.wake());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// Counts how often its task was woken.
    #[derive(Default)]
    pub(crate) struct Wakes(AtomicUsize);

    impl Wakes {
        pub(crate) fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_that_panics_harms_nothing() {
        struct Broken;
        impl Wake for Broken {
            fn wake(self: Arc<Self>) {
                panic!("planted");
            }
        }
        wake_task(Some(Waker::from(Arc::new(Broken))));
        let wakes = Arc::new(Wakes::default());
        wake_task(Some(Waker::from(wakes.clone())));
        wake_task(None);
        assert_eq!(wakes.count(), 1);
    }
}
