//! Rooms: a set of the four versions for each visitor of the page, so that no visitor sees or clears another's maps.
//!
//! A room begins with the first request that names it. Nobody owns one: its name, which the page draws at random, is
//! the only key. This file knows no request. Its invariants: there are at most [`ROOMS_MAX`] rooms besides the one
//! without a name, and a room whose WebSocket is open is never removed.

use super::mode::Mode;
use super::versions::Version;
use std::collections::HashMap;
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

/// A room and the time of its last request.
struct Lease {
    room: Arc<Room>,
    used: Instant,
}

impl Lease {
    /// Returns whether a WebSocket's session, or a request at this moment, has the room.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.room) > 1
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

    /// Returns the room of this name, or the one without a name. Returns `None` if the room would be new and a
    /// WebSocket is open in every room.
    pub(super) fn room(&self, name: Option<&str>, now: Instant) -> Option<Arc<Room>> {
        let Some(name) = name else { return Some(self.unnamed.clone()) };
        let mut rooms = self.named();
        if let Some(lease) = rooms.get_mut(name) {
            lease.used = now;
            return Some(lease.room.clone());
        }
        rooms.retain(|_, lease| now.duration_since(lease.used) < ROOM_LIFE || lease.is_held());
        if rooms.len() >= ROOMS_MAX {
            let idle = rooms.iter().filter(|(_, lease)| !lease.is_held());
            let oldest = idle.min_by_key(|(_, lease)| lease.used).map(|(name, _)| name.clone())?;
            rooms.remove(&oldest);
        }
        let room = Arc::new(Room::new());
        rooms.insert(name.into(), Lease { room: room.clone(), used: now });
        Some(room)
    }

    fn named(&self) -> MutexGuard<'_, HashMap<Box<str>, Lease>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(lesson: &Lesson) -> usize {
        lesson.named().len()
    }

    /// Finding F11.
    #[test]
    fn rooms_share_no_records() {
        let (lesson, now) = (Lesson::new(), Instant::now());
        let room = |name| lesson.room(name, now).unwrap();
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
        let held = lesson.room(Some("held"), start).unwrap();
        let at = |second| start + Duration::from_secs(second);
        for number in 1..=ROOMS_MAX as u64 {
            assert!(lesson.room(Some(&format!("room-{number}")), at(number)).is_some());
        }
        assert_eq!(count(&lesson), ROOMS_MAX);
        // `room-1` was the oldest without a WebSocket.
        let names: Vec<_> = lesson.named().keys().cloned().collect();
        assert!(names.contains(&"held".into()) && !names.contains(&"room-1".into()), "{names:?}");
        assert!(Arc::ptr_eq(&held, &lesson.room(Some("held"), at(0)).unwrap()));
        // After their life all others are gone.
        let later = at(ROOMS_MAX as u64) + ROOM_LIFE;
        lesson.room(Some("new"), later).unwrap();
        assert_eq!(count(&lesson), 2);
    }

    #[test]
    fn no_room_is_made_while_a_websocket_is_open_in_every_room() {
        let (lesson, now) = (Lesson::new(), Instant::now());
        let open = |number| lesson.room(Some(&format!("room-{number}")), now);
        let mut sessions: Vec<_> = (0..ROOMS_MAX).map(open).collect();
        assert!(sessions.iter().all(Option::is_some));
        assert!(lesson.room(Some("more"), now + ROOM_LIFE).is_none());
        assert!(lesson.room(None, now).is_some());
        sessions.pop();
        assert!(lesson.room(Some("more"), now).is_some());
        assert_eq!(count(&lesson), ROOMS_MAX);
    }
}
