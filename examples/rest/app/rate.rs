//! How often an address may ask: a token bucket for each.
//!
//! It knows no request and no clock. Its invariant: it never holds more than [`PEERS_MAX`] buckets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Requests that may come at once.
pub const BURST: u32 = 100;
/// After that, one request may come in this time.
pub const INTERVAL: Duration = Duration::from_millis(50);
/// Addresses that are remembered.
pub const PEERS_MAX: usize = 10_000;

/// The buckets of one worker.
#[derive(Default)]
pub struct RateLimit {
    /// When each bucket is full again. That is all that has to be known about a bucket.
    full_at: HashMap<IpAddr, Instant>,
}

impl RateLimit {
    /// Takes a token.
    ///
    /// # Errors
    /// How long it takes until there is a token.
    pub fn take(&mut self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.get(&peer).map_or(now, |full_at| now.max(*full_at)) + INTERVAL;
        let too_late = (full_at - now).saturating_sub(INTERVAL * BURST);
        if !too_late.is_zero() {
            return Err(too_late);
        }
        if self.full_at.len() >= PEERS_MAX && !self.full_at.contains_key(&peer) {
            self.make_room(now);
        }
        self.full_at.insert(peer, full_at);
        Ok(())
    }

    /// Forgets full buckets, because a new one is full too. If most are not, it forgets all of them: an attack from so
    /// many addresses is not what this limit can stop, and looking through them for each request would help it.
    fn make_room(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() > PEERS_MAX / 2 {
            self.full_at.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_with_time() {
        let (mut limit, peer, now) = (RateLimit::default(), IpAddr::from([127, 0, 0, 1]), Instant::now());
        for _ in 0..BURST {
            assert_eq!(limit.take(peer, now), Ok(()));
        }
        assert_eq!(limit.take(peer, now), Err(INTERVAL));
        assert_eq!(limit.take(peer, now + INTERVAL / 5), Err(INTERVAL / 5 * 4));
        assert_eq!(limit.take(IpAddr::from([127, 0, 0, 2]), now), Ok(()), "another address");
        assert_eq!(limit.take(peer, now + INTERVAL), Ok(()));
        assert_eq!(limit.take(peer, now + INTERVAL), Err(INTERVAL));
        // However long an address is silent, no more than a burst gathers.
        let later = now + INTERVAL * BURST * 100;
        let taken = (0..BURST * 2).filter(|_| limit.take(peer, later).is_ok()).count();
        assert_eq!(taken, BURST as usize);
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (mut limit, now) = (RateLimit::default(), Instant::now());
        for number in 0..3 * PEERS_MAX as u32 {
            // Three of four buckets are full again when there is no room.
            let at = if number % 4 == 0 { now + INTERVAL } else { now };
            assert_eq!(limit.take(IpAddr::from(number.to_be_bytes()), at), Ok(()));
            assert!(limit.full_at.len() <= PEERS_MAX);
        }
    }
}
