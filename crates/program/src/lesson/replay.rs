//! Two tabs and one server: what happens, in its order.
//!
//! It knows no version from another, and nothing of the server but what it answers. Its invariant: each step is
//! over, on both sides, before the next one begins.

use super::Mode;
use super::outcome::{FIRST, Outcome, SECOND, VISITORS};
use super::peer::{Answer, Tab, ask};
use super::routes::{Call, Hello, routes};
use super::stage::{Lesson, Told};
use fleeting::{App, Server};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

type Played<T> = Result<T, Box<dyn Error>>;

/// Starts a server on a free port, plays the tabs against one of its versions, and ends it.
pub(super) fn play(mode: Mode) -> Played<Outcome> {
    let lesson = Arc::new(Lesson::new());
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .serve(move |worker| routes(App::new(), &worker.handle, &lesson))?;
    let played = Stage { addr: server.local_addrs()[0], mode }.play();
    server.handle().shutdown();
    server.run()?;
    played
}

/// Where the tabs are.
struct Stage {
    addr: SocketAddr,
    mode: Mode,
}

impl Stage {
    fn play(&self) -> Played<Outcome> {
        // The first tab stores its id and opens its WebSocket.
        self.post(FIRST)?;
        let first = self.open(FIRST)?;
        let stored = self.list()?.pop().ok_or("nothing was stored")?;

        // The second stores its own. Then the first one's WebSocket closes, and the second opens its own.
        self.post(SECOND)?;
        first.close()?;
        let mut second = self.open(SECOND)?;
        let map = self.list()?;

        // Each record's connection is sent whom it is for.
        expect(202, self.ask("POST", "messages", None)?)?;
        let got_by_second = gotten(&mut second)?;

        // The first one's record is looked for, by the name it was stored under and by what its key reads as.
        let found = self.find(FIRST)?;
        let reads = map.iter().find(|told| told.stored_key == FIRST).map(|told| told.key.as_str());
        let found_as_read = reads.filter(|name| *name != FIRST).map(|name| self.find(name)).transpose()?;

        // Both go for good.
        second.close()?;
        let deleted = self.delete(FIRST)?;
        self.delete(SECOND)?;
        let left = self.list()?.len();

        // So do others after them, two at a time.
        for number in (0..VISITORS).step_by(2) {
            let pair = [number, number + 1].map(|number| format!("visitor-{number:02}"));
            pair.iter().try_for_each(|id| self.post(id))?;
            pair.iter().try_for_each(|id| self.delete(id).map(drop))?;
        }
        let left_in_the_end = self.list()?.len();
        let mode = self.mode;
        Ok(Outcome { mode, stored, map, found, found_as_read, deleted, left, left_in_the_end, got_by_second })
    }

    fn ask(&self, method: &str, path: &str, id: Option<&str>) -> Played<Answer> {
        Ok(ask(self.addr, method, &format!("/lesson/{}/{path}", self.mode), id)?)
    }

    fn post(&self, id: &str) -> Played<()> {
        expect(201, self.ask("POST", "clients", Some(id))?).map(drop)
    }

    fn list(&self) -> Played<Vec<Told>> {
        Ok(serde_json::from_str(&expect(200, self.ask("GET", "clients", None)?)?)?)
    }

    fn find(&self, id: &str) -> Played<bool> {
        there(200, self.ask("GET", &format!("clients/{id}"), None)?)
    }

    fn delete(&self, id: &str) -> Played<bool> {
        there(204, self.ask("DELETE", &format!("clients/{id}"), None)?)
    }

    /// A tab's WebSocket, its greeting read.
    fn open(&self, id: &str) -> Played<Tab> {
        let mut tab = Tab::open(self.addr, &format!("/lesson/{}/ws?id={id}", self.mode))?;
        let hello: Hello = read(&tab.next()?)?;
        if hello.client != id {
            return Err(format!("{id} is greeted as {}", hello.client).into());
        }
        Ok(tab)
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Played<T> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text}").into())
}

/// The content of an answer of this status.
fn expect(status: u16, answer: Answer) -> Played<String> {
    if answer.status == status { Ok(answer.content) } else { Err(format!("{answer:?}").into()) }
}

/// Whether there is such a record.
fn there(status: u16, answer: Answer) -> Played<bool> {
    if answer.status == 404 { Ok(false) } else { expect(status, answer).map(|_| true) }
}

/// Those whom the messages were for that have come. What is answered now comes behind them.
fn gotten(tab: &mut Tab) -> Played<Vec<String>> {
    tab.send("Who am I?")?;
    let mut whom = Vec::new();
    loop {
        let text = tab.next()?;
        match read::<Call>(&text) {
            Ok(call) => whom.push(call.r#for),
            Err(_) => return read::<Hello>(&text).map(|_| whom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Failures, differences, lock_changed_nothing};
    use super::*;

    fn played(mode: Mode) -> Outcome {
        play(mode).unwrap_or_else(|error| panic!("{mode}: {error}"))
    }

    #[test]
    fn all_four_failures_in_fiber() {
        let outcome = played(Mode::Fiber);
        assert_eq!(outcome.failures().all(), [true; 4], "{outcome:?}");
        // What the second one's id leaves of the first one's.
        let first = outcome.first().expect("it is in the map");
        assert_eq!((&*first.key, &*first.value), ("bobce", "bobce"));
        assert_eq!((&*first.stored_key, &*first.stored_value, first.intact), (FIRST, FIRST, false));
        assert_eq!((outcome.found, outcome.found_as_read, outcome.deleted), (false, Some(false), false));
        assert_eq!((outcome.left, outcome.left_in_the_end), (1, 1 + VISITORS / 2));
        assert_eq!(
            (outcome.identity(), &*outcome.got_by_second),
            (Some(SECOND), &[FIRST, SECOND].map(String::from)[..])
        );
        // Before that, all was well.
        assert!(outcome.stored.intact && outcome.stored.found, "{outcome:?}");
        assert_eq!(outcome.stored.connection.as_deref(), Some(FIRST));
    }

    #[test]
    fn the_first_three_in_fiber_with_a_lock() {
        let outcomes = [played(Mode::Fiber), played(Mode::FiberMutex)];
        assert_eq!(outcomes[1].failures().all(), [true, true, true, false], "{outcomes:?}");
        assert_eq!(lock_changed_nothing(&outcomes), Some(true));
    }

    #[test]
    fn the_third_alone_in_fiber_with_copies() {
        let outcome = played(Mode::FiberCopy);
        assert_eq!(outcome.failures().all(), [false, false, true, false], "{outcome:?}");
        assert!(outcome.map.iter().all(|told| told.intact && told.found), "{outcome:?}");
        assert!(outcome.deleted);
        assert_eq!((outcome.left, outcome.left_in_the_end), (0, 0));
        assert_eq!(outcome.got_by_second, [FIRST, SECOND]);
    }

    #[test]
    fn none_in_arena() {
        let outcome = played(Mode::Arena);
        assert_eq!(outcome.failures().all(), [false; 4], "{outcome:?}");
        assert_eq!(outcome.map.len(), 2);
        assert!(outcome.map.iter().all(|told| told.intact && told.found), "{outcome:?}");
        assert_eq!((outcome.found, outcome.found_as_read, outcome.deleted), (true, None, true));
        assert_eq!((outcome.left, outcome.left_in_the_end), (0, 0));
        // Its connection's name is stale: what is sent to it reaches nobody.
        assert_eq!((outcome.identity(), &*outcome.got_by_second), (None, &[SECOND.to_string()][..]));
    }

    #[test]
    fn it_comes_out_as_expected() {
        let outcomes = Mode::ALL.map(played);
        assert_eq!(differences(&outcomes), Vec::<String>::new());
        for outcome in &outcomes {
            assert_eq!(outcome.failures(), Failures::expected(outcome.mode));
        }
    }
}
