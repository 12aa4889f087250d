//! Does something at the end of a scope, even if the test panics in between.

/// Calls its closure when dropped, for example to stop other threads.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
