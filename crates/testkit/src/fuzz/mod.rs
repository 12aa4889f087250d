//! What the fuzz targets do: one function of bytes each, called by `fuzz/fuzz_targets`.
//!
//! They know no fuzzer. Each panics on what must not be, and only then. The first bytes of an input say
//! how the others arrive; every input means something. Ordinary tests replay `fuzz/corpus`.

mod chunked;
mod connection;
mod envelope;
#[cfg(feature = "deflate")]
mod extensions;
mod files;
mod http1;
#[cfg(feature = "deflate")]
mod inflate;
mod peer;
mod replies;
mod ws;

pub use chunked::chunked;
pub use connection::connection;
pub use envelope::envelope;
#[cfg(feature = "deflate")]
pub use extensions::ws_extensions;
pub use files::{file_path, range};
pub use http1::http1_split;
#[cfg(feature = "deflate")]
pub use inflate::ws_inflate;
pub use ws::{ws_frames, ws_vs_tungstenite};

/// Places at which an input says that its rest is to be cut.
const CUTS_MAX: usize = 7;

/// Streams up to this length are also played a byte at a time.
const BYTEWISE_MAX: usize = 300;

/// Reads the cuts: the first byte tells in its low three bits how many, each of the next how far it is
/// from the one before. Returns them, ascending, the first byte's other bits, and the rest.
fn cuts(bytes: &[u8]) -> (Vec<usize>, u8, &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return (Vec::new(), 0, bytes) };
    let (gaps, stream) = rest.split_at(rest.len().min(usize::from(first) & CUTS_MAX));
    let mut at = 0;
    let places = gaps.iter().map(|gap| {
        at += usize::from(*gap);
        at.min(stream.len())
    });
    (places.collect(), first >> 3, stream)
}

/// The pieces of `stream` between `cuts`, which ascend.
fn pieces<'s>(stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut from = 0;
    let ends = cuts.iter().copied().chain([stream.len()]);
    ends.map(|to| &stream[std::mem::replace(&mut from, to)..to]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Runs `target` on each seed of its corpus, and on what is left when a seed is cut short.
    fn replay(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut seeds = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let ended = std::panic::catch_unwind(|| {
                target(&bytes);
                target(&bytes[..bytes.len() / 2]);
            });
            assert!(ended.is_ok(), "{} does not pass", path.display());
            seeds += 1;
        }
        assert!(seeds >= 10, "{}: only {seeds} seeds", folder.display());
    }

    #[test]
    fn corpora_pass() {
        replay("http1_split", http1_split);
        replay("chunked", chunked);
        replay("ws_frames", ws_frames);
        replay("ws_vs_tungstenite", ws_vs_tungstenite);
        replay("connection", connection);
        replay("envelope", envelope);
        replay("range", range);
        replay("file_path", file_path);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn corpora_of_compression_pass() {
        replay("ws_extensions", ws_extensions);
        replay("ws_inflate", ws_inflate);
    }

    #[test]
    fn cuts_are_read() {
        assert_eq!(cuts(b""), (vec![], 0, &b""[..]));
        assert_eq!(cuts(b"\x00abc"), (vec![], 0, &b"abc"[..]));
        assert_eq!(cuts(b"\x0a\x01\x01abc"), (vec![1, 2], 1, &b"abc"[..]));
        assert_eq!(cuts(b"\x02\x02\x05abc"), (vec![2, 3], 0, &b"abc"[..]));
        assert_eq!(pieces(b"abc", &[1, 1, 3]), [&b"a"[..], b"", b"bc", b""]);
        assert_eq!(pieces(b"abc", &[]), [b"abc"]);
    }
}
