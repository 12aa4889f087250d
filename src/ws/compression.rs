//! A route's settings for compression: whether messages are compressed, and how much memory and time it takes.
//!
//! It knows no handshake and no codec: these are the route's settings, before a client has agreed. Its invariant: every
//! value is within the range that its setter names.

use crate::config::ConfigError;
use std::str::FromStr;

/// A route's settings for permessage-deflate (RFC 7692). The default is off.
///
/// ```
/// use fleeting::ws::Compression;
///
/// let compression = Compression::dedicated().window(10).level(1);
/// # #[cfg(feature = "deflate")]
/// assert_eq!("dedicated,window=10,level=1".parse(), Ok(compression));
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

/// Whether messages are compressed, and whether connections share a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Nothing is compressed.
    Off,
    /// Each message is compressed by itself, in both directions (no context takeover). Connections hold no
    /// windows: a worker has one codec for all of them.
    Shared,
    /// A message may refer to earlier ones (context takeover). Each connection has windows of its own.
    Dedicated,
}

/// A short message repeats too little within itself: JSON of 64 bytes grows by five, JSON of 128 bytes shrinks by a
/// quarter. RFC 7692 §6 leaves the choice to the sender.
const THRESHOLD_SHARED_BYTES: usize = 128;
/// With references to earlier messages, short ones shrink too. Below this, the saving is less than the headers of
/// the segment that carries the message.
const THRESHOLD_DEDICATED_BYTES: usize = 64;
/// The level with the lowest latency: it uses fixed codes and makes one attempt at a match. Level 2 takes several times
/// as long.
const LEVEL: u8 = 1;
const WINDOW_BITS: u8 = 15;
/// zlib cannot make a raw stream with a window of 2^8.
const WINDOW_BITS_MIN: u8 = 9;

const EXPECTED: &str = "off, shared or dedicated, then any of window=9 to window=15, level=1 to level=9 and \
     threshold=BYTES, separated by commas";
const NOT_BUILT: &str = "off: this program was built without the feature `deflate`";

impl Compression {
    /// Returns settings without compression.
    pub const fn off() -> Compression {
        Compression::new(Mode::Off)
    }

    /// Returns settings without context takeover: see [`Mode::Shared`].
    pub const fn shared() -> Compression {
        Compression::new(Mode::Shared)
    }

    /// Returns settings with context takeover: see [`Mode::Dedicated`].
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

    /// Sets the size of the window as a power of two: how far back a match may refer. 9 to 15, by default 15;
    /// other values are clamped. It applies to the server's messages. Clients that allow it are asked to use it too.
    #[must_use]
    pub fn window(mut self, bits: u8) -> Compression {
        self.window_bits = bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS);
        self
    }

    /// Sets the least size in bytes of a message that is compressed. By default 128, or 64 with context takeover.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Compression {
        self.threshold_bytes = bytes;
        self
    }

    /// Sets the effort of the search for matches: 1 to 9, by default 1; other values are clamped.
    #[must_use]
    pub fn level(mut self, level: u8) -> Compression {
        self.level = level.clamp(1, 9);
        self
    }

    /// Returns the mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the value set with [`window`](Compression::window).
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Returns the value set with [`threshold`](Compression::threshold).
    pub fn threshold_bytes(&self) -> usize {
        self.threshold_bytes
    }

    /// Returns the value set with [`level`](Compression::level).
    pub fn effort(&self) -> u8 {
        self.level
    }

    /// Returns the most bytes of memory that one connection's windows take: 0 unless the mode is
    /// [`Mode::Dedicated`]. A window is allocated with the first compressed message of its direction.
    ///
    /// Most of it does not depend on the window: the sender's hash table takes 128 KiB for any window.
    pub fn connection_bytes(&self) -> usize {
        match self.mode {
            Mode::Dedicated => INFLATE_BYTES + deflate_bytes(self.window_bits),
            Mode::Off | Mode::Shared => 0,
        }
    }
}

/// zlib's memory level: it collects 2^(level + 6) symbols before it writes a block. The buffer is cleared for each
/// block, so the usual level of 8 slows small messages down. Below this level, large messages grow.
pub(super) const MEMORY_LEVEL: u8 = 5;

/// A receiver's memory: always the largest window, the tables of the codes, and the state.
const INFLATE_BYTES: usize = (32 << 10) + 64 + TABLES_BYTES;
const TABLES_BYTES: usize = 16 << 10;

/// Returns a sender's memory: two windows of bytes, one of links, the hash table, the symbols, and the state.
const fn deflate_bytes(window_bits: u8) -> usize {
    const STATE_BYTES: usize = 8 << 10;
    let symbols = 1 << (MEMORY_LEVEL + 6);
    (4 << window_bits) + (128 << 10) + 7 * symbols + STATE_BYTES
}

/// Returns the most bytes that a message of `bytes` bytes can have after compression. Data that cannot be compressed
/// grows: each stored block has a header (RFC 1951 §3.2.4), and fixed codes use nine bits for some bytes. A message
/// within the limit must be accepted, compressed or not.
pub(crate) fn with_overhead(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 8 + 64)
}

impl Default for Compression {
    fn default() -> Compression {
        Compression::off()
    }
}

impl FromStr for Compression {
    type Err = ConfigError;

    /// Reads a mode, followed by any of `window=`, `level=` and `threshold=`, separated by commas.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`].
    fn from_str(text: &str) -> Result<Compression, ConfigError> {
        let bad = || ConfigError::BadValue(text.into(), EXPECTED);
        let mut words = text.split(',').map(str::trim);
        let mut compression = match words.next() {
            Some("off") => Compression::off(),
            Some("shared") => Compression::shared(),
            Some("dedicated") => Compression::dedicated(),
            _ => return Err(bad()),
        };
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(bad)?;
            let number: usize = value.parse().map_err(|_| bad())?;
            let small = u8::try_from(number);
            compression = match (name, small) {
                ("window", Ok(bits @ WINDOW_BITS_MIN..=WINDOW_BITS)) => compression.window(bits),
                ("level", Ok(level @ 1..=9)) => compression.level(level),
                ("threshold", _) => compression.threshold(number),
                _ => return Err(bad()),
            };
        }
        if compression.mode != Mode::Off && cfg!(not(feature = "deflate")) {
            return Err(ConfigError::BadValue(text.into(), NOT_BUILT));
        }
        Ok(compression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_text() {
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
    fn windows_take_the_stated_memory() {
        use crate::ws::deflate::{Deflater, Inflated, Inflater};
        for bits in 9..=15 {
            let compression = Compression::dedicated().window(bits);
            let mut compressed = Vec::with_capacity(1000);
            // This memory does not belong to a connection.
            let mut inflated = Inflated::new();
            Inflater::new().message(b"\x00", false, &mut inflated, 5).unwrap();
            let allocated = |work: &mut dyn FnMut()| allocation_counter::measure(work).bytes_current as usize;
            let (mut deflater, mut inflater) = (None, Inflater::new());
            let sender = allocated(&mut || {
                let deflater = deflater.insert(Deflater::new(bits, 1));
                deflater.message(b"hello", true, &mut compressed);
            });
            let receiver = allocated(&mut || {
                inflater.message(&compressed, true, &mut inflated, 5).unwrap();
            });
            let (stated, found) = (compression.connection_bytes(), sender + receiver);
            assert!(
                found <= stated && stated - found < stated / 20,
                "window {bits}: {found}, stated {stated}"
            );
        }
        assert_eq!(Compression::shared().connection_bytes(), 0);
    }
}
