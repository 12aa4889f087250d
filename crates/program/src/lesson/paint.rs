//! Colours, where there is a terminal and nobody has asked for none.
//!
//! It knows no text. Its invariant: what is painted says the same without colours.

use std::ffi::OsStr;

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// As it should not be.
    Bad,
    /// As it should be.
    Good,
    Strong,
    Soft,
}

impl Paint {
    /// Colours on a terminal, unless NO_COLOR is set to something.
    pub(super) fn new(terminal: bool, no_color: Option<&OsStr>) -> Paint {
        Paint { on: terminal && no_color.is_none_or(OsStr::is_empty) }
    }

    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_string(),
            Tone::Bad => 31,
            Tone::Good => 32,
            Tone::Strong => 1,
            Tone::Soft => 2,
        };
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let check = |terminal, no_color: Option<&str>, expected: &str| {
            let paint = Paint::new(terminal, no_color.map(OsStr::new));
            assert_eq!(paint.paint(Tone::Bad, "lost"), expected, "{terminal} {no_color:?}");
        };
        check(true, None, "\x1b[31mlost\x1b[0m");
        check(true, Some(""), "\x1b[31mlost\x1b[0m");
        check(true, Some("1"), "lost");
        check(false, None, "lost");
        assert_eq!(Paint::new(true, None).paint(Tone::Plain, "lost"), "lost");
    }
}
