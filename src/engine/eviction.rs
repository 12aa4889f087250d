//! Which connection gives way to a new one.
//!
//! It knows no limit and no turn. Its invariant: only a connection between two requests, or before its first, gives way, and
//! of those the one that has been idle for longest.

use super::conn::Conn;
use super::table::Table;
use crate::app::ConnId;

/// The connections that have been idle for longest, found in advance because finding one means to look at all.
#[derive(Default)]
pub(super) struct Eviction {
    /// When each became idle, in milliseconds, and its name; the longest idle comes last.
    candidates: Vec<(u64, ConnId)>,
}

/// Milliseconds for which a connection must have been idle before it gives way: the next request of a client that works
/// without a pause is under way.
const IDLE_MS_MIN: u64 = 100;
/// Candidates that are kept.
const CANDIDATES_MAX: usize = 64;

impl Eviction {
    /// Returns the connection that has been idle for longest, and since when, if there is one that may give way.
    pub(super) fn next<S>(&mut self, table: &mut Table<Conn<S>>, now_ms: u64) -> Option<(ConnId, u64)> {
        let mut has_searched = false;
        loop {
            // Connections that have become idle since the search were busy then, so they are not idle for longer.
            while let Some((since, id)) = self.candidates.pop() {
                if table.find(id).is_some_and(|conn| conn.is_idle() && conn.timer.since == since) {
                    return Some((id, since));
                }
            }
            if has_searched {
                return None;
            }
            self.search(table, now_ms);
            has_searched = true;
        }
    }

    fn search<S>(&mut self, table: &Table<Conn<S>>, now_ms: u64) {
        let idle = table
            .records()
            .filter(|(_, conn)| conn.timer.since.saturating_add(IDLE_MS_MIN) <= now_ms && conn.is_idle())
            .map(|(index, conn)| (conn.timer.since, table.id(index)));
        self.candidates.extend(idle);
        if self.candidates.len() > CANDIDATES_MAX {
            self.candidates.select_nth_unstable_by_key(CANDIDATES_MAX, |(since, _)| *since);
            self.candidates.truncate(CANDIDATES_MAX);
            self.candidates.shrink_to(CANDIDATES_MAX);
        }
        self.candidates.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
    }
}
