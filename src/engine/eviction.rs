//! Which connection gives way to a new one.
//!
//! It knows no limit and no turn. Its invariant: only a connection with nothing under way gives way. First those that linger
//! after their last answer, then those between two requests or before their first; of both, the one that has waited for longest.

use super::conn::Conn;
use super::table::Table;
use crate::app::ConnId;
use crate::transport::Stream;

/// The connections that give way next, found in advance because finding one means to look at all.
#[derive(Default)]
pub(super) struct Eviction {
    lingering: Candidates,
    idle: Candidates,
    /// When they were found, in milliseconds.
    searched: u64,
}

/// Connections, each with the time since which it waits, in milliseconds; the one that has waited for longest comes last.
type Candidates = Vec<(u64, ConnId)>;

/// Milliseconds for which a connection must have waited before it gives way: the next request of a client that works
/// without a pause is under way, and so is the end of one that has its last answer.
const WAIT_MS_MIN: u64 = 100;
/// Candidates of each kind that are kept.
const CANDIDATES_MAX: usize = 64;

impl Eviction {
    /// Returns the connection that is to give way, and since when it waits, if there is one.
    pub(super) fn next<S: Stream>(
        &mut self,
        table: &mut Table<Conn<S>>,
        now_ms: u64,
    ) -> Option<(ConnId, u64)> {
        // Those that have come to linger since the search have waited for less.
        let mut has_searched = now_ms.saturating_sub(self.searched) >= WAIT_MS_MIN;
        if has_searched {
            self.search(table, now_ms);
        }
        loop {
            for candidates in [&mut self.lingering, &mut self.idle] {
                while let Some((since, id)) = candidates.last().copied() {
                    let waits =
                        table.find(id).is_some_and(|conn| conn.may_give_way() && conn.timer.since == since);
                    if waits && since.saturating_add(WAIT_MS_MIN) > now_ms {
                        break;
                    }
                    candidates.pop();
                    if waits {
                        return Some((id, since));
                    }
                }
            }
            if has_searched {
                return None;
            }
            self.search(table, now_ms);
            has_searched = true;
        }
    }

    fn search<S: Stream>(&mut self, table: &Table<Conn<S>>, now_ms: u64) {
        self.searched = now_ms;
        find(&mut self.lingering, table, Conn::is_lingering);
        find(&mut self.idle, table, Conn::is_idle);
    }
}

fn find<S: Stream>(candidates: &mut Candidates, table: &Table<Conn<S>>, wanted: impl Fn(&Conn<S>) -> bool) {
    candidates.clear();
    // A stream of HTTP/2 has no place of its own.
    let has_place = |conn: &Conn<S>| !conn.io.stream.is_multiplexed();
    let waiting = table.records().filter(|(_, conn)| has_place(conn) && wanted(conn));
    candidates.extend(waiting.map(|(index, conn)| (conn.timer.since, table.id(index))));
    if candidates.len() > CANDIDATES_MAX {
        candidates.select_nth_unstable_by_key(CANDIDATES_MAX, |(since, _)| *since);
        candidates.truncate(CANDIDATES_MAX);
        candidates.shrink_to(CANDIDATES_MAX);
    }
    candidates.sort_unstable_by_key(|(since, _)| std::cmp::Reverse(*since));
}
