//! All records as one JSON object, page by page, as fast as the client takes them.
//!
//! It knows no route. Its invariant: what is in memory of it is one page, however many records there are.

use super::errors::{busy, refusal};
use super::records::{PAGE_BYTES, RecordPage, Registry};
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
    sent: usize,
    /// What comes next.
    next: NextPage,
    /// Records that may still be told, and whether one was.
    remaining: usize,
    started: bool,
}

enum NextPage {
    At(Cursor),
    Pending(Arc<PendingPage>),
    End,
}

/// A page that another thread gets.
#[derive(Default)]
struct PendingPage(Mutex<Answer>);

#[derive(Default)]
struct Answer {
    page: Option<Result<RecordPage, StoreError>>,
    waker: Option<Waker>,
}

impl PendingPage {
    fn lock(&self) -> MutexGuard<'_, Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, page: Result<RecordPage, StoreError>) {
        let mut answer = self.lock();
        answer.page = Some(page);
        let waker = answer.waker.take();
        drop(answer);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Listing {
    /// With its first page, so that what is wrong is known before anything is sent. At limit `limit` records.
    pub(super) fn begin(
        registry: &Arc<Registry>,
        offload: Option<Arc<Offload>>,
        limit: usize,
        arena: &Arena,
    ) -> Result<Listing, StoreError> {
        let page = registry.list(Cursor::START, limit, arena)?;
        let (registry, ready, next) = (registry.clone(), b"{".to_vec(), NextPage::End);
        let mut listing =
            Listing { registry, offload, ready, sent: 0, next, remaining: limit, started: false };
        listing.append(page);
        Ok(listing)
    }

    fn append(&mut self, page: RecordPage) {
        let RecordPage { json, records, next } = page;
        if records > 0 && self.started {
            self.ready.push(b',');
        }
        self.ready.extend_from_slice(&json);
        self.started |= records > 0;
        self.remaining -= records;
        self.next = match next {
            Some(cursor) if self.remaining > 0 => NextPage::At(cursor),
            _ => {
                self.ready.push(b'}');
                NextPage::End
            }
        };
    }

    /// Gets the next page, or has another thread get it.
    fn fetch(&mut self, from: Cursor) -> Result<(), Error> {
        let (registry, limit) = (self.registry.clone(), self.remaining);
        let list = move || registry.list(from, limit, &Arena::new(PAGE_BYTES));
        let Some(offload) = &self.offload else {
            self.append(list().map_err(refusal)?);
            return Ok(());
        };
        let pending = Arc::new(PendingPage::default());
        self.next = NextPage::Pending(pending.clone());
        offload.run(move || pending.answer(list())).map_err(busy)
    }
}

impl Source for Listing {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        self.sent += room.push(&self.ready[self.sent..]);
        if self.sent < self.ready.len() {
            return Ok(Progress::More);
        }
        self.ready.clear();
        self.sent = 0;
        if let NextPage::At(cursor) = self.next {
            self.fetch(cursor)?;
        }
        let pending = match &self.next {
            NextPage::End if self.ready.is_empty() => return Ok(Progress::End),
            // One page a look: others want theirs.
            NextPage::End | NextPage::At(_) => return Ok(Progress::More),
            NextPage::Pending(pending) => pending.clone(),
        };
        let mut answer = pending.lock();
        let Some(page) = answer.page.take() else {
            answer.waker = Some(room.waker().clone());
            return Ok(Progress::Later);
        };
        drop(answer);
        self.append(page.map_err(refusal)?);
        Ok(Progress::More)
    }
}
