//! Streams all records as one JSON object, page by page, as fast as the client reads.
//!
//! It knows no route. Its invariant: at most one page is in memory, however many records there are.

use super::records::{PAGE_BYTES, RecordPage, Registry};
use fleeting::{Arena, Error, Offload, Progress, Room, Source, Waker};
use fleeting_store::{Cursor, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most pages without a record in a row. A Redis with very many keys of other applications returns some; a broken one
/// returns them without end. Each takes it an eighth of a second.
const EMPTY_PAGES_MAX: u32 = 1000;

/// The content of `GET /clients`.
pub(super) struct Listing {
    registry: Arc<Registry>,
    /// The threads that call a store that blocks.
    offload: Option<Arc<Offload>>,
    /// The JSON of the current page.
    ready: Vec<u8>,
    /// Bytes of `ready` that have been handed over.
    sent: usize,
    /// Where the next page comes from.
    next: NextPage,
    /// Records that the listing may still contain.
    remaining: usize,
    /// Pages without a record since the last one with any.
    empty_pages: u32,
    /// Whether a record has been listed, so that the next one needs a comma.
    started: bool,
}

enum NextPage {
    At(Cursor),
    Pending(Arc<PendingPage>),
    End,
}

/// A page that another thread fetches.
#[derive(Default)]
struct PendingPage(Mutex<PageState>);

#[derive(Default)]
struct PageState {
    page: Option<Result<RecordPage, StoreError>>,
    waker: Option<Waker>,
}

impl PendingPage {
    fn lock(&self) -> MutexGuard<'_, PageState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complete(&self, page: Result<RecordPage, StoreError>) {
        let mut state = self.lock();
        state.page = Some(page);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Listing {
    /// Starts a listing of at most `limit` records. It fetches the first page at once, so that a failing store is
    /// answered with an error instead of a broken stream.
    pub(super) fn start(
        registry: &Arc<Registry>,
        offload: Option<Arc<Offload>>,
        limit: usize,
        arena: &Arena,
    ) -> Result<Listing, StoreError> {
        let page = registry.list(Cursor::START, limit, arena)?;
        let (registry, ready, next) = (registry.clone(), b"{".to_vec(), NextPage::End);
        let mut listing = Listing {
            registry,
            offload,
            ready,
            sent: 0,
            next,
            remaining: limit,
            empty_pages: 0,
            started: false,
        };
        listing.append(page)?;
        Ok(listing)
    }

    /// Appends a page, and the end of the object after the last one.
    ///
    /// # Errors
    /// If the pages do not end.
    fn append(&mut self, page: RecordPage) -> Result<(), StoreError> {
        let RecordPage { json, records, next } = page;
        if records > 0 && self.started {
            self.ready.push(b',');
        }
        self.ready.extend_from_slice(&json);
        self.started |= records > 0;
        self.remaining -= records;
        self.empty_pages = if records > 0 { 0 } else { self.empty_pages + 1 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(StoreError::Unavailable("its list of keys does not end".into()));
        }
        self.next = match next {
            Some(cursor) if self.remaining > 0 => NextPage::At(cursor),
            _ => {
                self.ready.push(b'}');
                NextPage::End
            }
        };
        Ok(())
    }

    /// Fetches the next page, on another thread if the store blocks.
    fn fetch(&mut self, from: Cursor) -> Result<(), Error> {
        let (registry, limit) = (self.registry.clone(), self.remaining);
        let list = move || registry.list(from, limit, &Arena::new(PAGE_BYTES));
        let Some(offload) = &self.offload else {
            return Ok(self.append(list()?)?);
        };
        let pending = Arc::new(PendingPage::default());
        self.next = NextPage::Pending(pending.clone());
        Ok(offload.run(move || pending.complete(list()))?)
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
            // One page per call, so that other connections get their turn.
            NextPage::End | NextPage::At(_) => return Ok(Progress::More),
            NextPage::Pending(pending) => pending.clone(),
        };
        let mut state = pending.lock();
        let Some(page) = state.page.take() else {
            state.waker = Some(room.waker().clone());
            return Ok(Progress::Later);
        };
        drop(state);
        self.append(page?)?;
        Ok(Progress::More)
    }
}
