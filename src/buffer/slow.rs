//! What becomes of publications for who reads too slowly.

use std::fmt;
use std::str::FromStr;

/// What is done with a publication when its subscriber's outbox has no room for it.
///
/// Whatever is done is counted, and a message that has begun to leave is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// The new one is dropped.
    #[default]
    DropNewest,
    /// The oldest that still wait are dropped, until there is room; if none can be made, the new one is.
    DropOldest,
    /// Of each topic only the latest waits, also while there is room; if there is none for it, it is dropped,
    /// and the one before stays.
    Conflate,
    /// All that wait are dropped and the WebSocket is closed with 1013 (Try Again Later).
    Close,
}

impl SlowConsumer {
    /// All of them.
    pub const ALL: [SlowConsumer; 4] =
        [SlowConsumer::DropNewest, SlowConsumer::DropOldest, SlowConsumer::Conflate, SlowConsumer::Close];

    /// Its name in settings.
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

    /// Reads the [`name`](SlowConsumer::name).
    fn from_str(name: &str) -> Result<SlowConsumer, String> {
        let found = SlowConsumer::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| {
            let names = SlowConsumer::ALL.map(SlowConsumer::name).join(", ");
            format!("unknown policy `{name}`; there are: {names}")
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
