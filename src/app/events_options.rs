//! The options of a stream of publications as server-sent events, and such a stream before it begins.
//!
//! It does not know how an event is encoded. Its invariant: it borrows nothing, so it can wait until the stream begins.

use crate::buffer::SlowConsumer;
use std::fmt;

/// Options of a stream of [`events`](crate::Handle::events_with): what happens to publications for a client that reads too
/// slowly, and the text of the event that reports how many were dropped.
///
/// ```
/// use fleeting::{EventsOptions, SlowConsumer};
///
/// let options = EventsOptions::new()
///     .slow_consumer(SlowConsumer::Conflate)
///     .gap(|publications| format!("{{\"missing\":{publications}}}"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct EventsOptions {
    pub(crate) slow: SlowConsumer,
    gap: Option<fn(u64) -> String>,
}

impl EventsOptions {
    /// Makes the default options: [`SlowConsumer::DropNewest`], and the number of dropped publications as the data of the
    /// event `gap`.
    pub fn new() -> EventsOptions {
        EventsOptions::default()
    }

    /// Sets what happens to publications for a client that reads too slowly. With [`SlowConsumer::Close`] the stream ends
    /// after an event `gap`.
    #[must_use]
    pub fn slow_consumer(mut self, slow: SlowConsumer) -> EventsOptions {
        self.slow = slow;
        self
    }

    /// Sets the data of the event `gap`, made from the number of publications that were dropped.
    #[must_use]
    pub fn gap(mut self, data: fn(u64) -> String) -> EventsOptions {
        self.gap = Some(data);
        self
    }

    /// Returns the data of the event `gap`.
    pub(crate) fn gap_data(&self, publications: u64) -> String {
        self.gap.map_or_else(|| publications.to_string(), |data| data(publications))
    }
}

/// A stream of events that has not begun.
pub(crate) struct TopicEvents {
    pub(crate) filter: Box<str>,
    pub(crate) options: EventsOptions,
}

impl fmt::Debug for TopicEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicEvents").field("filter", &self.filter).finish_non_exhaustive()
    }
}
