//! A list of topics, page by page.
//!
//! It knows no table of topics. Its invariant: a page is bounded, and nothing is missing between its end and the beginning of
//! the next.

/// A topic or a filter, with its counts on one worker or several.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicCount {
    /// The name, or the filter with its `*`.
    pub name: Box<str>,
    /// The number of its subscribers.
    pub subscribers: usize,
    /// The number of publications that it matched since it got its first subscriber.
    pub published: u64,
}

/// Some topics and filters, as [`Handle::count_topics`](crate::Handle::count_topics) lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TopicPage {
    /// The topics, in the order of their names.
    pub topics: Vec<TopicCount>,
    /// The name after which the next page begins; `None` if this is the last page.
    pub next: Option<Box<str>>,
}

/// Topics of a page, at most.
const PAGE_TOPICS: usize = 256;
/// A page whose names have more bytes than this gets no more.
const PAGE_NAME_BYTES: usize = 32 << 10;

impl TopicPage {
    /// Makes a page of as many topics as it may have. They come in the order of their names.
    pub(super) fn of(topics: impl Iterator<Item = TopicCount>) -> TopicPage {
        let mut page = TopicPage::default();
        let mut name_bytes = 0;
        for topic in topics {
            if page.topics.len() == PAGE_TOPICS || name_bytes > PAGE_NAME_BYTES {
                page.next = page.topics.last().map(|last| last.name.clone());
                break;
            }
            name_bytes += topic.name.len();
            page.topics.push(topic);
        }
        page
    }

    /// Adds another worker's page of the same place. Subscribers are added up. Publications reach every worker, so the
    /// largest count is the right one.
    pub(crate) fn merge(&mut self, other: TopicPage) {
        // What follows the end of either page may be incomplete.
        let ends = [&self.next, &other.next].into_iter().flatten();
        let end = ends.min_by(|one, two| order(one).cmp(&order(two))).cloned();
        let mut topics = Vec::with_capacity(self.topics.len().max(other.topics.len()));
        let mut theirs = other.topics.into_iter().peekable();
        let mut push = |topic: TopicCount| match &end {
            Some(end) if order(&topic.name) > order(end) => {}
            _ => topics.push(topic),
        };
        for mut own in self.topics.drain(..) {
            while let Some(before) = theirs.next_if(|their| order(&their.name) < order(&own.name)) {
                push(before);
            }
            if let Some(same) = theirs.next_if(|their| their.name == own.name) {
                own.subscribers += same.subscribers;
                own.published = own.published.max(same.published);
            }
            push(own);
        }
        theirs.for_each(push);
        (self.topics, self.next) = (topics, end);
        if self.topics.len() > PAGE_TOPICS {
            self.topics.truncate(PAGE_TOPICS);
            self.next = self.topics.last().map(|last| last.name.clone());
        }
    }
}

/// Returns what topics and filters are ordered by.
pub(super) fn order(name: &str) -> (&str, bool) {
    name.strip_suffix('*').map_or((name, false), |prefix| (prefix, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, subscribers: usize, published: u64) -> TopicCount {
        TopicCount { name: name.into(), subscribers, published }
    }

    /// Finding B9.
    #[test]
    fn the_pages_of_several_workers_make_one() {
        let page = |names: &str, next: Option<&str>| TopicPage {
            topics: names.split(' ').filter(|name| !name.is_empty()).map(|name| count(name, 1, 7)).collect(),
            next: next.map(Into::into),
        };
        let check = |one: TopicPage, two: TopicPage, names: &str, next: Option<&str>| {
            for (mut own, other) in [(one.clone(), two.clone()), (two, one)] {
                own.merge(other);
                let found: Vec<_> =
                    own.topics.iter().map(|topic| format!("{}{}", topic.name, topic.subscribers)).collect();
                assert_eq!((found.join(" ").as_str(), own.next.as_deref()), (names, next));
                assert!(own.topics.iter().all(|topic| topic.published == 7));
            }
        };
        check(page("a c", None), page("a b d", None), "a2 b1 c1 d1", None);
        check(page("", None), page("a b", Some("b")), "a1 b1", Some("b"));
        // `d` may have subscribers that the first page has no room for.
        check(page("a c", Some("c")), page("a b d", None), "a2 b1 c1", Some("c"));
        check(page("a c", Some("c")), page("a b", Some("b")), "a2 b1", Some("b"));
        check(page("a* a.b", None), page("a a*", None), "a1 a*2 a.b1", None);
        let many = |from: usize| {
            (from..from + 200).map(|number| format!("{number:04}")).collect::<Vec<_>>().join(" ")
        };
        let mut own = page(&many(0), None);
        own.merge(page(&many(200), None));
        assert_eq!((own.topics.len(), own.next.as_deref()), (256, Some("0255")));
    }
}
