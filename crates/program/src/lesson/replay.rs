//! Replays two browser tabs against one server.
//!
//! It treats all versions alike, and knows only what the server answers. Its invariant: each step has ended on both
//! sides before the next one begins.

use super::client::{Answer, Tab, request};
use super::mode::Mode;
use super::outcome::{FIRST, Outcome, SECOND, VISITORS};
use super::rooms::Lesson;
use super::routes::{ClientStatus, Notification, routes};
use super::versions::RecordView;
use fleeting::{App, Server};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

type ReplayResult<T> = Result<T, Box<dyn Error>>;

/// Starts a server on a free port, replays the tabs against one version, and stops the server.
pub(super) fn replay(mode: Mode) -> ReplayResult<Outcome> {
    let lesson = Arc::new(Lesson::new());
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .serve(move |worker| routes(App::new(), &worker.handle, &lesson))?;
    let outcome = Replay { addr: server.local_addrs()[0], mode }.run();
    server.handle().shutdown();
    server.run()?;
    outcome
}

/// The server and the version that the tabs use.
struct Replay {
    addr: SocketAddr,
    mode: Mode,
}

impl Replay {
    fn run(&self) -> ReplayResult<Outcome> {
        // The first tab stores its id and opens its WebSocket.
        self.post(FIRST)?;
        let first = self.open(FIRST)?;
        let stored = self.list()?.pop().ok_or("the map is empty after the first client was stored")?;

        // The second tab stores its id. The first one's WebSocket closes, and then the second opens its own.
        self.post(SECOND)?;
        first.close()?;
        let mut second = self.open(SECOND)?;
        let map = self.list()?;

        // The server sends a notification to each record's connection.
        expect(202, self.request("POST", "messages", None)?)?;
        let received_by_second = received(&mut second)?;

        // Look up the first tab's record, by the id it was stored under and by what its key reads as now.
        let found = self.find(FIRST)?;
        let current = map.iter().find(|record| record.stored_key == FIRST).map(|record| record.key.as_str());
        let found_by_current_key =
            current.filter(|key| *key != FIRST).map(|key| self.find(key)).transpose()?;

        // Both clients leave and are deleted.
        second.close()?;
        let deleted = self.delete(FIRST)?;
        self.delete(SECOND)?;
        let left = self.list()?.len();

        // Visitors come and are deleted, two at a time.
        for number in (0..VISITORS).step_by(2) {
            let pair = [number, number + 1].map(|number| format!("visitor-{number:02}"));
            pair.iter().try_for_each(|id| self.post(id))?;
            pair.iter().try_for_each(|id| self.delete(id).map(drop))?;
        }
        let left_at_end = self.list()?.len();
        let mode = self.mode;
        Ok(Outcome {
            mode,
            stored,
            map,
            found,
            found_by_current_key,
            deleted,
            left,
            left_at_end,
            received_by_second,
        })
    }

    fn request(&self, method: &str, path: &str, id: Option<&str>) -> ReplayResult<Answer> {
        Ok(request(self.addr, method, &format!("/lesson/{}/{path}", self.mode), id)?)
    }

    fn post(&self, id: &str) -> ReplayResult<()> {
        expect(201, self.request("POST", "clients", Some(id))?).map(drop)
    }

    fn list(&self) -> ReplayResult<Vec<RecordView>> {
        Ok(serde_json::from_str(&expect(200, self.request("GET", "clients", None)?)?)?)
    }

    fn find(&self, id: &str) -> ReplayResult<bool> {
        exists(200, self.request("GET", &format!("clients/{id}"), None)?)
    }

    fn delete(&self, id: &str) -> ReplayResult<bool> {
        exists(204, self.request("DELETE", &format!("clients/{id}"), None)?)
    }

    /// Opens a tab's WebSocket and reads its first message.
    fn open(&self, id: &str) -> ReplayResult<Tab> {
        let mut tab = Tab::open(self.addr, &format!("/lesson/{}/ws?id={id}", self.mode))?;
        let status: ClientStatus = parse(&tab.next()?)?;
        if status.client != id {
            return Err(format!("{id}'s WebSocket belongs to {}", status.client).into());
        }
        Ok(tab)
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> ReplayResult<T> {
    serde_json::from_str(text).map_err(|error| format!("{error} in: {text}").into())
}

/// Returns the content of an answer that must have this status.
fn expect(status: u16, answer: Answer) -> ReplayResult<String> {
    if answer.status == status {
        Ok(answer.content)
    } else {
        Err(format!("expected the status {status}, got {answer:?}").into())
    }
}

/// Returns false for a 404, and true for an answer with this status.
fn exists(status: u16, answer: Answer) -> ReplayResult<bool> {
    if answer.status == 404 { Ok(false) } else { expect(status, answer).map(|_| true) }
}

/// Returns the `for` members of the notifications that have arrived. The answer to a message sent now arrives after
/// them.
fn received(tab: &mut Tab) -> ReplayResult<Vec<String>> {
    tab.send("Who am I?")?;
    let mut recipients = Vec::new();
    loop {
        let text = tab.next()?;
        match parse::<Notification>(&text) {
            Ok(notification) => recipients.push(notification.r#for),
            Err(_) => return parse::<ClientStatus>(&text).map(|_| recipients),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Failures, differences, lock_changed_nothing};
    use super::*;

    fn outcome(mode: Mode) -> Outcome {
        replay(mode).unwrap_or_else(|error| panic!("{mode}: {error}"))
    }

    #[test]
    fn fiber_shows_all_four_failures() {
        let outcome = outcome(Mode::Fiber);
        assert_eq!(outcome.failures().all(), [true; 4], "{outcome:?}");
        // The second id has overwritten the beginning of the first.
        let first = outcome.first().expect("the first record is in the map");
        assert_eq!((&*first.key, &*first.value), ("bobce", "bobce"));
        assert_eq!((&*first.stored_key, &*first.stored_value, first.intact), (FIRST, FIRST, false));
        assert_eq!(
            (outcome.found, outcome.found_by_current_key, outcome.deleted),
            (false, Some(false), false)
        );
        assert_eq!((outcome.left, outcome.left_at_end), (1, 1 + VISITORS / 2));
        assert_eq!(
            (outcome.connection_of_first(), &*outcome.received_by_second),
            (Some(SECOND), &[FIRST, SECOND].map(String::from)[..])
        );
        // Before the second client came, the record was intact.
        assert!(outcome.stored.intact && outcome.stored.found, "{outcome:?}");
        assert_eq!(outcome.stored.connection.as_deref(), Some(FIRST));
    }

    #[test]
    fn a_lock_leaves_the_first_three_failures() {
        let outcomes = [outcome(Mode::Fiber), outcome(Mode::FiberMutex)];
        assert_eq!(outcomes[1].failures().all(), [true, true, true, false], "{outcomes:?}");
        assert_eq!(lock_changed_nothing(&outcomes), Some(true));
    }

    #[test]
    fn copies_leave_the_third_failure() {
        let outcome = outcome(Mode::FiberCopy);
        assert_eq!(outcome.failures().all(), [false, false, true, false], "{outcome:?}");
        assert!(outcome.map.iter().all(|record| record.intact && record.found), "{outcome:?}");
        assert!(outcome.deleted);
        assert_eq!((outcome.left, outcome.left_at_end), (0, 0));
        assert_eq!(outcome.received_by_second, [FIRST, SECOND]);
    }

    #[test]
    fn arena_shows_no_failure() {
        let outcome = outcome(Mode::Arena);
        assert_eq!(outcome.failures().all(), [false; 4], "{outcome:?}");
        assert_eq!(outcome.map.len(), 2);
        assert!(outcome.map.iter().all(|record| record.intact && record.found), "{outcome:?}");
        assert_eq!((outcome.found, outcome.found_by_current_key, outcome.deleted), (true, None, true));
        assert_eq!((outcome.left, outcome.left_at_end), (0, 0));
        // The first connection's id is stale: a message to it reaches nobody.
        assert_eq!(
            (outcome.connection_of_first(), &*outcome.received_by_second),
            (None, &[SECOND.to_string()][..])
        );
    }

    #[test]
    fn every_version_shows_the_expected_failures() {
        let outcomes = Mode::ALL.map(outcome);
        assert_eq!(differences(&outcomes), Vec::<String>::new());
        for outcome in &outcomes {
            assert_eq!(outcome.failures(), Failures::expected(outcome.mode));
        }
    }
}
