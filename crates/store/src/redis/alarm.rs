//! Lets a store and a broker with the same options wake each other when one of them has lost its server.
//!
//! It knows neither. Invariant: an alarm changes nothing by itself; the receiver checks where the address leads.

use super::url::RedisUrl;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The stores and brokers that share their options. Clones are the same alarm.
#[derive(Clone, Default)]
pub(super) struct Alarm(Arc<Mutex<Vec<Listener>>>);

struct Listener {
    url: RedisUrl,
    wake: Weak<dyn Wake>,
}

/// A store or a broker.
pub(super) trait Wake: Send + Sync {
    /// Looks soon where the address leads, on another thread.
    fn look_soon(&self);
}

impl Alarm {
    /// Lets `wake` hear the alarms for `url` from now on.
    pub(super) fn listen(&self, url: &RedisUrl, wake: Weak<dyn Wake>) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.wake.strong_count() > 0);
        listeners.push(Listener { url: url.clone(), wake });
    }

    /// Wakes all that use `url`. The caller holds no lock of its own.
    pub(super) fn raise(&self, url: &RedisUrl) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let concerned = listeners.iter().filter(|listener| listener.url == *url);
        let concerned: Vec<_> = concerned.filter_map(|listener| listener.wake.upgrade()).collect();
        drop(listeners);
        concerned.iter().for_each(|listener| listener.look_soon());
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").finish_non_exhaustive()
    }
}
