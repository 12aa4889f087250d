//! Colours for terminals.
//!
//! It knows no text. Its invariant: the text says the same without colours.

use std::ffi::OsStr;

/// Whether to use colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Colors {
    enabled: bool,
}

/// The role of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// A failure.
    Bad,
    /// A correct result.
    Good,
    Strong,
    Soft,
}

impl Colors {
    /// Enables colours on a terminal, unless NO_COLOR is set and not empty.
    pub(super) fn new(terminal: bool, no_color: Option<&OsStr>) -> Colors {
        Colors { enabled: terminal && no_color.is_none_or(OsStr::is_empty) }
    }

    pub(super) fn apply(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_string(),
            Tone::Bad => 31,
            Tone::Good => 32,
            Tone::Strong => 1,
            Tone::Soft => 2,
        };
        if self.enabled && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_and_no_no_color() {
        let check = |terminal, no_color: Option<&str>, expected: &str| {
            let colors = Colors::new(terminal, no_color.map(OsStr::new));
            assert_eq!(colors.apply(Tone::Bad, "lost"), expected, "{terminal} {no_color:?}");
        };
        check(true, None, "\x1b[31mlost\x1b[0m");
        check(true, Some(""), "\x1b[31mlost\x1b[0m");
        check(true, Some("1"), "lost");
        check(false, None, "lost");
        assert_eq!(Colors::new(true, None).apply(Tone::Plain, "lost"), "lost");
    }
}
