//! All records as one JSON object, page by page, as fast as the client takes them.
//!
//! It knows no route. Its invariant: what is in memory of it is one page, however many records there are.

use super::handlers::{busy, refusal};
use super::{Listed, PAGE_BYTES, Registry};
use fleeting::{Arena, Error, Offload, Progress, Room, Source, Waker};
use fleeting_store::{Cursor, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The content of `GET /clients`.
pub(super) struct Listing {
    registry: Arc<Registry>,
    /// Who asks a store that waits.
    offload: Option<Arc<Offload>>,
    /// Bytes on their way.
    ready: Vec<u8>,
    /// Index into `ready`: what is before it has found room.
    taken: usize,
    /// What comes next.
    next: Next,
    /// Records that may still be told, and whether one was.
    left: usize,
    begun: bool,
}

enum Next {
    From(Cursor),
    Asked(Arc<Asked>),
    End,
}

/// A page that another thread gets.
#[derive(Default)]
struct Asked(Mutex<Answer>);

#[derive(Default)]
struct Answer {
    listed: Option<Result<Listed, StoreError>>,
    waker: Option<Waker>,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, listed: Result<Listed, StoreError>) {
        let mut answer = self.lock();
        answer.listed = Some(listed);
        let waker = answer.waker.take();
        drop(answer);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Listing {
    /// With its first page, so that what is wrong is known before anything is sent. At most `most` records.
    pub(super) fn begin(
        registry: &Arc<Registry>,
        offload: Option<Arc<Offload>>,
        most: usize,
        arena: &Arena,
    ) -> Result<Listing, StoreError> {
        let listed = registry.list(Cursor::START, most, arena)?;
        let (registry, ready, next) = (registry.clone(), b"{".to_vec(), Next::End);
        let mut listing = Listing { registry, offload, ready, taken: 0, next, left: most, begun: false };
        listing.take_in(listed);
        Ok(listing)
    }

    fn take_in(&mut self, listed: Listed) {
        let Listed { json, records, next } = listed;
        if records > 0 && self.begun {
            self.ready.push(b',');
        }
        self.ready.extend_from_slice(&json);
        self.begun |= records > 0;
        self.left -= records;
        self.next = match next {
            Some(cursor) if self.left > 0 => Next::From(cursor),
            _ => {
                self.ready.push(b'}');
                Next::End
            }
        };
    }

    /// Gets the next page, or has another thread get it.
    fn ask(&mut self, from: Cursor) -> Result<(), Error> {
        let (registry, most) = (self.registry.clone(), self.left);
        let list = move || registry.list(from, most, &Arena::new(PAGE_BYTES));
        let Some(offload) = &self.offload else {
            self.take_in(list().map_err(refusal)?);
            return Ok(());
        };
        let asked = Arc::new(Asked::default());
        self.next = Next::Asked(asked.clone());
        offload.run(move || asked.answer(list())).map_err(busy)
    }
}

impl Source for Listing {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        self.taken += room.push(&self.ready[self.taken..]);
        if self.taken < self.ready.len() {
            return Ok(Progress::More);
        }
        self.ready.clear();
        self.taken = 0;
        if let Next::From(cursor) = self.next {
            self.ask(cursor)?;
        }
        let asked = match &self.next {
            Next::End if self.ready.is_empty() => return Ok(Progress::End),
            // One page a look: others want theirs.
            Next::End | Next::From(_) => return Ok(Progress::More),
            Next::Asked(asked) => asked.clone(),
        };
        let mut answer = asked.lock();
        let Some(listed) = answer.listed.take() else {
            answer.waker = Some(room.waker().clone());
            return Ok(Progress::Later);
        };
        drop(answer);
        self.take_in(listed.map_err(refusal)?);
        Ok(Progress::More)
    }
}
