//! Streams a long list as one JSON array or object, page by page, as fast as the client reads.
//!
//! It knows no entries, only where their pages come from. Its invariant: at most one page is in memory, however many
//! entries there are.

use fleeting::{Error, Progress, Room, Source, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most pages without an entry in a row. A Redis with very many keys of other applications returns some; a broken one
/// returns them without end. Each takes it an eighth of a second.
const EMPTY_PAGES_MAX: u32 = 1000;

/// Where the pages of a list come from.
pub(crate) trait Pages: Send + 'static {
    /// Where a page begins.
    type Place: Send + 'static;

    /// Makes the page at `place`, with at most `entries_max` entries, and hands it to [`Ordered::complete`], at once or from
    /// another thread.
    ///
    /// # Errors
    /// The page cannot be made. The response is cut off.
    fn order(
        &self,
        place: Self::Place,
        entries_max: usize,
        ordered: Ordered<Self::Place>,
    ) -> Result<(), Error>;
}

/// Some entries of a list.
pub(crate) struct Page<P> {
    /// The entries as JSON, separated by commas.
    pub(crate) json: Vec<u8>,
    /// Their number.
    pub(crate) entries: usize,
    /// Where the next page begins; `None` if this is the last.
    pub(crate) next: Option<P>,
}

/// The content of a response that lists entries.
pub(crate) struct Listing<P: Pages> {
    pages: P,
    /// What ends the list: `]` or `}`.
    end: u8,
    /// The JSON of the current page.
    ready: Vec<u8>,
    /// Bytes of `ready` that have been handed over.
    sent: usize,
    next: NextPage<P::Place>,
    /// Entries that the list may still contain.
    remaining: usize,
    /// Pages without an entry since the last one with any.
    empty_pages: u32,
    /// Whether an entry has been listed, so that the next one needs a comma.
    started: bool,
}

enum NextPage<P> {
    At(P),
    Ordered(Arc<Mutex<PageState<P>>>),
    End,
}

struct PageState<P> {
    page: Option<Result<Page<P>, Error>>,
    waker: Option<Waker>,
}

/// A page that was ordered.
pub(crate) struct Ordered<P>(Arc<Mutex<PageState<P>>>);

impl<P> Ordered<P> {
    /// Hands the page over.
    pub(crate) fn complete(self, page: Result<Page<P>, Error>) {
        let mut state = lock(&self.0);
        state.page = Some(page);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<P>(state: &Mutex<PageState<P>>) -> MutexGuard<'_, PageState<P>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Pages> Listing<P> {
    /// Makes a JSON array of at most `entries_max` entries, from the page at `first` on.
    pub(crate) fn array(pages: P, first: P::Place, entries_max: usize) -> Listing<P> {
        Listing::new(pages, [b'[', b']'], NextPage::At(first), entries_max)
    }

    /// Makes a JSON object of at most `entries_max` entries. Its first page exists already, so that an error in making it
    /// was an answer instead of a broken stream.
    pub(crate) fn object(pages: P, first: Page<P::Place>, entries_max: usize) -> Listing<P> {
        let mut listing = Listing::new(pages, [b'{', b'}'], NextPage::End, entries_max);
        listing.append(first).expect("one page is not too many");
        listing
    }

    fn new(pages: P, [begin, end]: [u8; 2], next: NextPage<P::Place>, entries_max: usize) -> Listing<P> {
        let (ready, sent, remaining) = (vec![begin], 0, entries_max);
        Listing { pages, end, ready, sent, next, remaining, empty_pages: 0, started: false }
    }

    /// Appends a page, and the end of the list after the last one.
    ///
    /// # Errors
    /// If the pages do not end.
    fn append(&mut self, page: Page<P::Place>) -> Result<(), Error> {
        let Page { json, entries, next } = page;
        if entries > 0 && self.started {
            self.ready.push(b',');
        }
        self.ready.extend_from_slice(&json);
        self.started |= entries > 0;
        self.remaining -= entries;
        self.empty_pages = if entries > 0 { 0 } else { self.empty_pages + 1 };
        if self.empty_pages > EMPTY_PAGES_MAX {
            return Err(Error::unavailable("The list does not end."));
        }
        self.next = match next {
            Some(place) if self.remaining > 0 => NextPage::At(place),
            _ => {
                self.ready.push(self.end);
                NextPage::End
            }
        };
        Ok(())
    }

    /// Orders the page at `place`.
    fn order(&mut self, place: P::Place) -> Result<Arc<Mutex<PageState<P::Place>>>, Error> {
        let state = Arc::new(Mutex::new(PageState { page: None, waker: None }));
        self.pages.order(place, self.remaining, Ordered(state.clone()))?;
        Ok(state)
    }
}

impl<P: Pages> Source for Listing<P> {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        self.sent += room.push(&self.ready[self.sent..]);
        if self.sent < self.ready.len() {
            return Ok(Progress::More);
        }
        self.ready.clear();
        self.sent = 0;
        // One page per call, so that other connections get their turn.
        let state = match std::mem::replace(&mut self.next, NextPage::End) {
            NextPage::End => return Ok(Progress::End),
            NextPage::At(place) => self.order(place)?,
            NextPage::Ordered(state) => state,
        };
        let page = {
            let mut state = lock(&state);
            let page = state.page.take();
            if page.is_none() {
                state.waker = Some(room.waker().clone());
            }
            page
        };
        match page {
            Some(page) => {
                self.append(page?)?;
                Ok(Progress::More)
            }
            None => {
                self.next = NextPage::Ordered(state);
                Ok(Progress::Later)
            }
        }
    }
}

/// Reads the query's `limit`: how many entries are wanted.
///
/// # Errors
/// A 400 if it is no number from 1.
pub(crate) fn limit(value: Option<&str>) -> Result<usize, Error> {
    match value.map(str::parse) {
        None => Ok(usize::MAX),
        Some(Ok(limit)) if limit > 0 => Ok(limit),
        Some(_) => Err(Error::bad_request("`limit` should be a number from 1.")),
    }
}
