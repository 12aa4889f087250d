//! Whether a route's messages are compressed, and how much memory and time that may take.
//!
//! Knows no handshake and no codec: it is what a route wants, not what a client agreed to. Invariant:
//! a value that exists is within the ranges that its setters name.

use crate::config::ConfigError;
use std::str::FromStr;

/// What a route wants of permessage-deflate (RFC 7692). The default is none of it.
///
/// ```
/// use fleeting::ws::Compression;
///
/// let wanted = Compression::dedicated().window(10).level(1);
/// # #[cfg(feature = "deflate")]
/// assert_eq!("dedicated,window=10,level=1".parse(), Ok(wanted));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Compression {
    mode: Mode,
    /// 9 to 15.
    window_bits: u8,
    /// 1 to 9.
    level: u8,
    threshold_bytes: usize,
}

/// Whose the windows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing is compressed.
    Off,
    /// Each message stands alone, in both directions (no context takeover): connections hold nothing,
    /// a worker has one codec for all of them.
    Shared,
    /// A message may refer to those before it (context takeover): each connection has windows of its own.
    Dedicated,
}

/// A message that stands alone has to have some length before it repeats itself: JSON of 64 bytes grows by
/// five, of 128 it loses a quarter. RFC 7692 §6 leaves the choice to the sender.
const THRESHOLD_SHARED_BYTES: usize = 128;
/// One that may refer to others is worth it from the start; what is saved on less than this is less than
/// the headers of the segment that it is sent in.
const THRESHOLD_DEDICATED_BYTES: usize = 64;
/// The level of latency: fixed codes, one look for a match. The next one up costs several times the time.
const LEVEL: u8 = 1;
const WINDOW_BITS: u8 = 15;
/// zlib cannot make a raw stream with a window of 2^8.
const WINDOW_BITS_MIN: u8 = 9;

const EXPECTED: &str = "off, shared or dedicated, then any of window=9 to window=15, level=1 to level=9 and \
     threshold=BYTES, with commas between";
const NOT_BUILT: &str = "off: this was built without the feature `deflate`";

impl Compression {
    /// No compression.
    pub const fn off() -> Compression {
        Compression::new(Mode::Off)
    }

    /// No context takeover: see [`Mode::Shared`].
    pub const fn shared() -> Compression {
        Compression::new(Mode::Shared)
    }

    /// Context takeover: see [`Mode::Dedicated`].
    pub const fn dedicated() -> Compression {
        Compression::new(Mode::Dedicated)
    }

    const fn new(mode: Mode) -> Compression {
        let threshold_bytes = match mode {
            Mode::Off | Mode::Shared => THRESHOLD_SHARED_BYTES,
            Mode::Dedicated => THRESHOLD_DEDICATED_BYTES,
        };
        Compression { mode, window_bits: WINDOW_BITS, level: LEVEL, threshold_bytes }
    }

    /// How far back a match may be, as a power of two, 9 to 15 (the default); what is outside is moved to
    /// the nearest. It is for what is sent, and asked of the client where it lets itself be asked.
    #[must_use]
    pub fn window(mut self, bits: u8) -> Compression {
        self.window_bits = bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS);
        self
    }

    /// Bytes that a message must have to be sent compressed; by default 128, or 64 if it may refer to others.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Compression {
        self.threshold_bytes = bytes;
        self
    }

    /// How hard to look for matches, 1 (the default) to 9; what is outside is moved to the nearest.
    #[must_use]
    pub fn level(mut self, level: u8) -> Compression {
        self.level = level.clamp(1, 9);
        self
    }

    /// Whose the windows are.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// As by [`window`](Compression::window).
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// As by [`threshold`](Compression::threshold).
    pub fn threshold_bytes(&self) -> usize {
        self.threshold_bytes
    }

    /// As by [`level`](Compression::level).
    pub fn effort(&self) -> u8 {
        self.level
    }

    /// Bytes of memory that one connection's windows take, at most: both are there once a compressed
    /// message has come and one has gone. 0 unless they are [`Mode::Dedicated`].
    ///
    /// Most of it does not depend on `window`: the sender's hash table has 128 KiB, whatever it is for.
    pub fn connection_bytes(&self) -> usize {
        match self.mode {
            Mode::Dedicated => INFLATE_BYTES + deflate_bytes(self.window_bits),
            Mode::Off | Mode::Shared => 0,
        }
    }
}

/// zlib's level of memory: 2^(level + 6) symbols gather before a block is written. That buffer is cleared
/// for each block, so that its usual 8 costs small messages time; below this one large messages grow.
pub(super) const MEMORY_LEVEL: u8 = 5;

/// A receiver's: the largest window, always, the codes' tables and the state.
const INFLATE_BYTES: usize = (32 << 10) + 64 + TABLES_BYTES;
const TABLES_BYTES: usize = 16 << 10;

/// A sender's: two windows of bytes, one of links, the hash table, the symbols, the state.
const fn deflate_bytes(window_bits: u8) -> usize {
    const STATE_BYTES: usize = 8 << 10;
    let symbols = 1 << (MEMORY_LEVEL + 6);
    (4 << window_bits) + (128 << 10) + 7 * symbols + STATE_BYTES
}

impl Default for Compression {
    fn default() -> Compression {
        Compression::off()
    }
}

impl FromStr for Compression {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Compression, ConfigError> {
        let bad = || ConfigError::BadValue(text.into(), EXPECTED);
        let mut words = text.split(',').map(str::trim);
        let mut wanted = match words.next() {
            Some("off") => Compression::off(),
            Some("shared") => Compression::shared(),
            Some("dedicated") => Compression::dedicated(),
            _ => return Err(bad()),
        };
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(bad)?;
            let number: usize = value.parse().map_err(|_| bad())?;
            let small = u8::try_from(number);
            wanted = match (name, small) {
                ("window", Ok(bits @ WINDOW_BITS_MIN..=WINDOW_BITS)) => wanted.window(bits),
                ("level", Ok(level @ 1..=9)) => wanted.level(level),
                ("threshold", _) => wanted.threshold(number),
                _ => return Err(bad()),
            };
        }
        if wanted.mode != Mode::Off && cfg!(not(feature = "deflate")) {
            return Err(ConfigError::BadValue(text.into(), NOT_BUILT));
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        fn check(text: &str, expected: Option<Compression>) {
            let off = expected.is_none_or(|expected| expected.mode == Mode::Off);
            let expected = expected.filter(|_| off || cfg!(feature = "deflate"));
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        check("off", Some(Compression::default()));
        check("shared", Some(Compression::shared()));
        check("dedicated", Some(Compression::dedicated()));
        check(
            "dedicated,window=10,threshold=64,level=1",
            Some(Compression::dedicated().window(10).threshold(64).level(1)),
        );
        check("shared, level=9, window=15", Some(Compression::shared().level(9)));
        check("shared,threshold=0", Some(Compression::shared().threshold(0)));
        check("off,window=9", Some(Compression::off().window(9)));
        for wrong in [
            "",
            "on",
            "Shared",
            "shared,",
            "shared,window",
            "shared,window=",
            "shared,window=8",
            "shared,window=16",
            "shared,window=265",
            "shared,level=0",
            "shared,level=10",
            "shared,depth=1",
            "window=9",
            "shared window=9",
            "shared,threshold=-1",
            "shared,threshold=1KiB",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn values_stay_in_their_ranges() {
        let check = |bits: u8, level: u8, expected| {
            let found = Compression::shared().window(bits).level(level);
            assert_eq!((found.window_bits(), found.effort()), expected);
        };
        check(0, 0, (9, 1));
        check(8, 5, (9, 5));
        check(255, 255, (15, 9));
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn the_windows_take_what_is_said() {
        use crate::ws::deflate::{Deflater, Inflated, Inflater};
        for bits in 9..=15 {
            let wanted = Compression::dedicated().window(bits);
            let mut compressed = Vec::with_capacity(1000);
            // Its memory is not one connection's.
            let mut inflated = Inflated::new();
            Inflater::new().message(b"\x00", false, &mut inflated, 5).unwrap();
            let taken = |work: &mut dyn FnMut()| allocation_counter::measure(work).bytes_current as usize;
            let (mut deflater, mut inflater) = (None, Inflater::new());
            let sender = taken(&mut || {
                let deflater = deflater.insert(Deflater::new(bits, 1));
                deflater.message(b"hello", true, &mut compressed);
            });
            let receiver = taken(&mut || {
                inflater.message(&compressed, true, &mut inflated, 5).unwrap();
            });
            let (said, found) = (wanted.connection_bytes(), sender + receiver);
            assert!(found <= said && said - found < said / 20, "window {bits}: {found}, said {said}");
        }
        assert_eq!(Compression::shared().connection_bytes(), 0);
    }
}
