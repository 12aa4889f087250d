//! Names of topics, and filters that stand for several of them.
//!
//! Knows no table. Invariant: a name holds no `*` and no control character, and a filter has its `*`, if
//! it has one, at the end.

use crate::config::Limits;
use crate::ws::Message;
use std::fmt;

/// Why something cannot be subscribed to or published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is empty.
    Empty,
    /// The name has more than `topic_bytes` bytes; the field says how many it may have.
    TooLong(usize),
    /// The name holds a control character.
    Control,
    /// A `*` that is not at the end of a filter, or in the name of a topic that is published to.
    Wildcard,
    /// The connection has as many subscriptions as it may have; the field says how many.
    TooManySubscriptions(usize),
    /// There are as many topics as there may be; the field says how many.
    TooManyTopics(usize),
    /// The message has more than `message_bytes` bytes; the field says how many it may have.
    MessageTooBig(usize),
    /// The connection is closing.
    Closing,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicError::Empty => f.write_str("the topic's name is empty"),
            TopicError::TooLong(max) => write!(f, "the topic's name may have {max} bytes at most"),
            TopicError::Control => f.write_str("the topic's name holds a control character"),
            TopicError::Wildcard => f.write_str("`*` may only end a filter, such as `prices.*`"),
            TopicError::TooManySubscriptions(max) => {
                write!(f, "a connection may have {max} subscriptions at most")
            }
            TopicError::TooManyTopics(max) => write!(f, "there may be {max} topics at most"),
            TopicError::MessageTooBig(max) => write!(f, "a message may have {max} bytes at most"),
            TopicError::Closing => f.write_str("the connection is closing"),
        }
    }
}

impl std::error::Error for TopicError {}

/// What a subscription is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter<'a> {
    /// The topic of this name.
    Exact(&'a str),
    /// All topics whose names begin so and go on.
    Prefix(&'a str),
}

/// Reads what is subscribed to.
pub(super) fn filter(text: &str, bytes_max: usize) -> Result<Filter<'_>, TopicError> {
    let filter = match text.strip_suffix('*') {
        Some(prefix) => Filter::Prefix(prefix),
        None => Filter::Exact(text),
    };
    let (Filter::Exact(rest) | Filter::Prefix(rest)) = filter;
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > bytes_max {
        return Err(TopicError::TooLong(bytes_max));
    }
    check_characters(rest)?;
    Ok(filter)
}

/// Sees whether something may be subscribed to.
pub(crate) fn check_filter(text: &str, limits: &Limits) -> Result<(), TopicError> {
    filter(text, limits.topic_bytes).map(drop)
}

/// Sees whether a message may be published under this name.
#[inline]
pub(crate) fn check_publication(name: &str, message: Message<'_>, limits: &Limits) -> Result<(), TopicError> {
    check_name(name, limits.topic_bytes)?;
    if message.bytes().len() > limits.message_bytes {
        return Err(TopicError::MessageTooBig(limits.message_bytes));
    }
    Ok(())
}

/// Sees whether something may be published under this name.
#[inline]
fn check_name(name: &str, bytes_max: usize) -> Result<(), TopicError> {
    if name.is_empty() {
        return Err(TopicError::Empty);
    }
    if name.len() > bytes_max {
        return Err(TopicError::TooLong(bytes_max));
    }
    check_characters(name)
}

fn check_characters(name: &str) -> Result<(), TopicError> {
    // All bytes at once first: a name that is in order needs no second look.
    let odd = name.bytes().fold(false, |odd, byte| odd | (byte < 0x20) | (byte == b'*') | (byte >= 0x7f));
    if !odd {
        return Ok(());
    }
    if name.contains('*') {
        return Err(TopicError::Wildcard);
    }
    if name.chars().any(char::is_control) { Err(TopicError::Control) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        fn check(text: &str, expected: Result<Filter<'_>, TopicError>) {
            assert_eq!(filter(text, 12), expected, "{text}");
        }
        check("prices", Ok(Filter::Exact("prices")));
        check("prices.*", Ok(Filter::Prefix("prices.")));
        check("pri*", Ok(Filter::Prefix("pri")));
        check("*", Ok(Filter::Prefix("")));
        check("prix.€", Ok(Filter::Exact("prix.€")));
        check("twelve bytes", Ok(Filter::Exact("twelve bytes")));
        check("", Err(TopicError::Empty));
        check("thirteen byte", Err(TopicError::TooLong(12)));
        check("a*b", Err(TopicError::Wildcard));
        check("**", Err(TopicError::Wildcard));
        check("a\nb", Err(TopicError::Control));
        check("a\u{85}b", Err(TopicError::Control));
        check("a\u{7f}", Err(TopicError::Control));
    }

    #[test]
    fn names() {
        fn check(name: &str, expected: Result<(), TopicError>) {
            assert_eq!(check_name(name, 12), expected, "{name}");
        }
        check("prices.eur", Ok(()));
        check("/a b", Ok(()));
        check("prix.€", Ok(()));
        check("", Err(TopicError::Empty));
        check("prices.*", Err(TopicError::Wildcard));
        check("thirteen byte", Err(TopicError::TooLong(12)));
        check("a\0", Err(TopicError::Control));
    }
}
