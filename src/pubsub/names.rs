//! Names of topics, and filters that match several of them.
//!
//! It knows no table. Its invariant: a valid name has no `*` and no control character; a valid filter has a `*` only
//! at its end.

use crate::config::Limits;
use crate::ws::Message;
use std::fmt;

/// Why a subscription or a publication is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is empty.
    Empty,
    /// The name is longer than the limit `topic_bytes`, which the field holds.
    TooLong(usize),
    /// The name contains a control character.
    Control,
    /// A `*` stands before the end of a filter.
    Wildcard,
    /// The name of a topic to publish to contains a `*`, so it is a filter.
    Filter,
    /// The connection has reached the limit `subscriptions`, which the field holds.
    TooManySubscriptions(usize),
    /// The worker has reached the limit `topics`, which the field holds.
    TooManyTopics(usize),
    /// The message is longer than the limit `message_bytes`, which the field holds.
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
            TopicError::Filter => {
                f.write_str("a filter cannot be published to: the name of a topic has no `*`")
            }
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

/// The topics that a subscription covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter<'a> {
    /// The topic of this name.
    Exact(&'a str),
    /// All topics whose names are longer than this and begin with it.
    Prefix(&'a str),
}

/// Reads the name or filter of a subscription.
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
    check_characters(rest, TopicError::Wildcard)?;
    Ok(filter)
}

/// Checks the name or filter of a subscription.
pub(crate) fn check_filter(text: &str, limits: &Limits) -> Result<(), TopicError> {
    filter(text, limits.topic_bytes).map(drop)
}

/// Checks the name and the message of a publication.
#[inline]
pub(crate) fn check_publication(name: &str, message: Message<'_>, limits: &Limits) -> Result<(), TopicError> {
    check_name(name, limits.topic_bytes)?;
    if message.bytes().len() > limits.message_bytes {
        return Err(TopicError::MessageTooBig(limits.message_bytes));
    }
    Ok(())
}

/// Checks the name of a topic to publish to.
#[inline]
fn check_name(name: &str, bytes_max: usize) -> Result<(), TopicError> {
    if name.is_empty() {
        return Err(TopicError::Empty);
    }
    if name.len() > bytes_max {
        return Err(TopicError::TooLong(bytes_max));
    }
    check_characters(name, TopicError::Filter)
}

/// Checks that there is neither a `*`, for which the error is `wildcard`, nor a control character.
fn check_characters(name: &str, wildcard: TopicError) -> Result<(), TopicError> {
    // One pass over all bytes clears most names. Only suspicious ones are looked at again.
    let suspicious =
        name.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'*') | (byte >= 0x7f));
    if !suspicious {
        return Ok(());
    }
    if name.contains('*') {
        return Err(wildcard);
    }
    if name.chars().any(char::is_control) { Err(TopicError::Control) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_accepted_or_refused() {
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

    /// Finding B12.
    #[test]
    fn names_are_accepted_or_refused() {
        fn check(name: &str, expected: Result<(), TopicError>) {
            assert_eq!(check_name(name, 12), expected, "{name}");
        }
        check("prices.eur", Ok(()));
        check("/a b", Ok(()));
        check("prix.€", Ok(()));
        check("", Err(TopicError::Empty));
        check("prices.*", Err(TopicError::Filter));
        check("a*b", Err(TopicError::Filter));
        check("thirteen byte", Err(TopicError::TooLong(12)));
        check("a\0", Err(TopicError::Control));
    }
}
