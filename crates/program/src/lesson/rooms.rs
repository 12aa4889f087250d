//! Rooms: a set of the four versions for each visitor of the page, so that no visitor sees or clears another's maps.
//!
//! A room begins with the first request that names it. Nobody owns one: its name, which the page draws at random, is
//! the only key. This file knows no request. Its invariants: there are at most [`ROOMS_MAX`] rooms besides the one
//! without a name, and a room whose WebSocket is open is removed only if its network has more rooms than the one that
//! needs the place.

use super::mode::Mode;
use super::versions::Version;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The maximum number of rooms with a name.
pub(super) const ROOMS_MAX: usize = 256;
/// How long a room without an open WebSocket is kept after its last request.
pub(super) const ROOM_LIFE: Duration = Duration::from_secs(15 * 60);

/// All rooms. All workers share them.
pub(crate) struct Lesson {
    /// The room of requests that name none.
    unnamed: Arc<Room>,
    named: Mutex<HashMap<Box<str>, Lease>>,
}

/// A room, the network that began it, and the time of its last request.
struct Lease {
    room: Arc<Room>,
    network: Network,
    used: Instant,
}

impl Lease {
    /// Returns whether a WebSocket's session, or a request at this moment, has the room.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.room) > 1
    }
}

/// What one visitor's addresses have in common: an IPv4 address, or the first 64 bits of an IPv6 address (RFC 6177 §2).
/// Behind a proxy that is not trusted all visitors have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(Option<IpAddr>);

impl Network {
    pub(super) fn of(client: Option<IpAddr>) -> Network {
        Network(client.map(|client| match client {
            IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() & !u128::from(u64::MAX)).into()),
            addr => addr,
        }))
    }
}

/// The four versions, without records at first.
pub(super) struct Room {
    versions: [Version; Mode::ALL.len()],
}

impl Room {
    fn new() -> Room {
        Room { versions: Mode::ALL.map(Version::new) }
    }

    pub(super) fn version(&self, mode: Mode) -> &Version {
        &self.versions[mode as usize]
    }
}

impl Lesson {
    pub(crate) fn new() -> Lesson {
        Lesson { unnamed: Arc::new(Room::new()), named: Mutex::default() }
    }

    /// Returns the room of this name, or the one without a name. Returns `None` if the room would be new and none gives
    /// way to it.
    pub(super) fn room(&self, name: Option<&str>, network: Network, now: Instant) -> Option<Arc<Room>> {
        let Some(name) = name else { return Some(self.unnamed.clone()) };
        let mut rooms = self.named();
        if let Some(lease) = rooms.get_mut(name) {
            lease.used = now;
            return Some(lease.room.clone());
        }
        rooms.retain(|_, lease| now.duration_since(lease.used) < ROOM_LIFE || lease.is_held());
        if rooms.len() >= ROOMS_MAX {
            let giving_way = giving_way(&rooms, network)?;
            if let Some(lease) = rooms.remove(&giving_way) {
                // Its WebSockets may keep it, but no records.
                Mode::ALL.iter().for_each(|mode| lease.room.version(*mode).app.clear());
            }
        }
        let room = Arc::new(Room::new());
        rooms.insert(name.into(), Lease { room: room.clone(), network, used: now });
        Some(room)
    }

    fn named(&self) -> MutexGuard<'_, HashMap<Box<str>, Lease>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name of the room that gives way to a new one of `network`, so that a visitor who fills the rooms takes
/// none from the others: one of the network with the most rooms, first those without a WebSocket, then the oldest.
fn giving_way(rooms: &HashMap<Box<str>, Lease>, network: Network) -> Option<Box<str>> {
    let mut counts = HashMap::<Network, usize>::from([(network, 1)]);
    rooms.values().for_each(|lease| *counts.entry(lease.network).or_default() += 1);
    let order = |lease: &Lease| (std::cmp::Reverse(counts[&lease.network]), lease.is_held(), lease.used);
    let (name, lease) = rooms.iter().min_by_key(|(_, lease)| order(lease))?;
    (!lease.is_held() || counts[&lease.network] > counts[&network]).then(|| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Network = Network(None);

    fn network(addr: &str) -> Network {
        Network::of(Some(addr.parse().unwrap()))
    }

    fn count(lesson: &Lesson) -> usize {
        lesson.named().len()
    }

    /// Finding F11.
    #[test]
    fn rooms_share_no_records() {
        let (lesson, now) = (Lesson::new(), Instant::now());
        let room = |name| lesson.room(name, ONE, now).unwrap();
        for name in [None, Some("a"), Some("b")] {
            assert!(room(name).version(Mode::Arena).post("alice"));
        }
        room(Some("a")).version(Mode::Arena).app.clear();
        let records = |name| room(name).version(Mode::Arena).records().len();
        assert_eq!([None, Some("a"), Some("b")].map(records), [1, 0, 1]);
    }

    #[test]
    fn an_unused_room_gives_way_and_one_with_a_websocket_stays() {
        let (lesson, start) = (Lesson::new(), Instant::now());
        let held = lesson.room(Some("held"), ONE, start).unwrap();
        let at = |second| start + Duration::from_secs(second);
        for number in 1..=ROOMS_MAX as u64 {
            assert!(lesson.room(Some(&format!("room-{number}")), ONE, at(number)).is_some());
        }
        assert_eq!(count(&lesson), ROOMS_MAX);
        // `room-1` was the oldest without a WebSocket.
        let names: Vec<_> = lesson.named().keys().cloned().collect();
        assert!(names.contains(&"held".into()) && !names.contains(&"room-1".into()), "{names:?}");
        assert!(Arc::ptr_eq(&held, &lesson.room(Some("held"), ONE, at(0)).unwrap()));
        // After their life all others are gone.
        let later = at(ROOMS_MAX as u64) + ROOM_LIFE;
        lesson.room(Some("new"), ONE, later).unwrap();
        assert_eq!(count(&lesson), 2);
    }

    #[test]
    fn no_room_is_made_while_a_websocket_is_open_in_every_room() {
        let (lesson, now) = (Lesson::new(), Instant::now());
        let open = |number| lesson.room(Some(&format!("room-{number}")), ONE, now);
        let mut sessions: Vec<_> = (0..ROOMS_MAX).map(open).collect();
        assert!(sessions.iter().all(Option::is_some));
        assert!(lesson.room(Some("more"), ONE, now + ROOM_LIFE).is_none());
        assert!(lesson.room(None, ONE, now).is_some());
        sessions.pop();
        assert!(lesson.room(Some("more"), ONE, now).is_some());
        assert_eq!(count(&lesson), ROOMS_MAX);
    }

    /// Finding F11, its kind: one visitor takes every room.
    #[test]
    fn the_network_with_the_most_rooms_gives_way() {
        let (lesson, start) = (Lesson::new(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let (many, other) = (network("192.0.2.1"), network("192.0.2.2"));
        let visitor = lesson.room(Some("visitor"), other, at(0)).unwrap();
        assert!(visitor.version(Mode::Arena).post("alice"));
        drop(visitor);
        let mut sessions: Vec<_> = (1..ROOMS_MAX as u64)
            .map(|number| lesson.room(Some(&format!("room-{number}")), many, at(number)).unwrap())
            .collect();
        assert!(sessions[0].version(Mode::Arena).post("bob"));
        // All of its rooms are held, and the visitor's is the oldest and is not.
        assert!(lesson.room(Some("more"), many, at(300)).is_none());
        let records = |room: &Room| room.version(Mode::Arena).records().len();
        // A third visitor takes the oldest of many.
        assert!(lesson.room(Some("third"), network("2001:db8::1"), at(300)).is_some());
        assert!(!lesson.named().contains_key("room-1"));
        assert_eq!(records(&sessions[0]), 0);
        assert_eq!(records(&lesson.room(Some("visitor"), other, at(300)).unwrap()), 1);
        // One without a WebSocket comes first.
        sessions.pop();
        assert!(lesson.room(Some("more"), many, at(301)).is_some());
        assert!(!lesson.named().contains_key(&*format!("room-{}", ROOMS_MAX - 1)));
        assert_eq!(count(&lesson), ROOMS_MAX);
    }

    #[test]
    fn networks_are_ipv4_addresses_and_halves_of_ipv6_addresses() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
