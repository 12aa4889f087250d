//! The policies for subscribers that read too slowly.
//!
//! It knows no queue: `policy.rs` applies the policies. Its invariant: every policy has a name, which is read back as
//! the same policy.

use std::fmt;
use std::str::FromStr;

/// What happens to a publication when its subscriber's outbox has no room for it.
///
/// The limit is [`outbox_bytes`](crate::Limits::outbox_bytes). Every message that is dropped or replaced is counted. A
/// message that has begun to leave is never dropped.
///
/// ```
/// use fleeting::SlowConsumer;
///
/// assert_eq!("conflate".parse(), Ok(SlowConsumer::Conflate));
/// assert_eq!(SlowConsumer::default(), SlowConsumer::DropNewest);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// The new message is dropped.
    #[default]
    DropNewest,
    /// The oldest waiting messages with this policy are dropped until there is room. If dropping all of them would not
    /// make enough room, only the new message is dropped.
    DropOldest,
    /// Only the latest message of each topic waits, even while there is room. If there is no room for it, it is
    /// dropped and the one before it stays.
    Conflate,
    /// All waiting messages are dropped and the WebSocket is closed with 1013 (Try Again Later).
    Close,
}

impl SlowConsumer {
    /// All policies.
    pub const ALL: [SlowConsumer; 4] =
        [SlowConsumer::DropNewest, SlowConsumer::DropOldest, SlowConsumer::Conflate, SlowConsumer::Close];

    /// Returns the name of the policy in settings.
    pub const fn name(self) -> &'static str {
        match self {
            SlowConsumer::DropNewest => "drop-newest",
            SlowConsumer::DropOldest => "drop-oldest",
            SlowConsumer::Conflate => "conflate",
            SlowConsumer::Close => "close",
        }
    }
}

impl fmt::Display for SlowConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SlowConsumer {
    type Err = String;

    /// Reads a policy's [`name`](SlowConsumer::name).
    ///
    /// # Errors
    /// A sentence that lists the valid names.
    fn from_str(name: &str) -> Result<SlowConsumer, String> {
        let found = SlowConsumer::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| {
            let names = SlowConsumer::ALL.map(SlowConsumer::name).join(", ");
            format!("unknown policy `{name}`; expected one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for policy in SlowConsumer::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("drop".parse::<SlowConsumer>().unwrap_err().contains("drop-oldest"));
    }
}
