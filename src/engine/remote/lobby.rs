//! How many connections a worker has and may have, and the clients that other workers have sent to it.
//!
//! It knows no engine. Its invariant: a place is taken before a client is sent, so no worker is sent more than it has room
//! for.

use crate::transport::Socket;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A client that was accepted and has no connection record yet.
pub(in crate::engine) struct Arrival {
    pub(in crate::engine) socket: Socket,
    pub(in crate::engine) peer: Option<SocketAddr>,
    /// The number of the listening socket, which is the same on every worker.
    pub(in crate::engine) listener: usize,
    /// A place among the worker's connections is taken for it.
    pub(in crate::engine) has_place: bool,
}

/// The places of one worker's connections.
pub(in crate::engine) struct Lobby {
    places: AtomicUsize,
    /// More than `places` if more were accepted than the limit allows, or if it was closed.
    taken: AtomicUsize,
    /// `None` once the worker is gone.
    arrivals: Mutex<Option<Vec<Arrival>>>,
}

impl Lobby {
    /// Makes one without places: nobody is sent to a worker that has not started.
    pub(super) fn new() -> Lobby {
        let (places, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Lobby { places, taken, arrivals: Mutex::new(Some(Vec::new())) }
    }

    /// Lets it have this many places. With none, no other worker sends a client.
    pub(in crate::engine) fn open(&self, places: usize) {
        self.places.store(places, Ordering::Relaxed);
    }

    /// Returns how many places are taken: by connections, and for clients that are on the way here.
    pub(in crate::engine) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(in crate::engine) fn has_place(&self) -> bool {
        self.taken() < self.places.load(Ordering::Relaxed)
    }

    /// Takes a place, if there is one.
    pub(in crate::engine) fn take_place(&self) -> bool {
        let places = self.places.load(Ordering::Relaxed);
        let take = |taken: usize| (taken < places).then(|| taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Takes a place even if there is none.
    pub(in crate::engine) fn occupy(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a place back.
    pub(in crate::engine) fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts in a client that has a place here. If the worker is gone, the client is returned.
    pub(in crate::engine) fn put(&self, arrival: Arrival) -> Result<(), Arrival> {
        match &mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(arrivals) => {
                arrivals.push(arrival);
                Ok(())
            }
            None => Err(arrival),
        }
    }

    /// Takes out the clients that were put in.
    pub(in crate::engine) fn take_arrivals(&self) -> Vec<Arrival> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Turns away the clients that wait, and all others: the worker is gone.
    pub(super) fn close(&self) {
        self.open(0);
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
