//! The bodies of the fuzz targets: one function of bytes each, called by `fuzz/fuzz_targets`.
//!
//! They know no fuzzer. Each panics if and only if a promise is broken. The first bytes of an input say how the others
//! arrive, and every input is valid. Ordinary tests replay `fuzz/corpus`.

mod chunked;
mod connection;
mod envelope;
mod extensions;
mod files;
mod http1;
mod inflate;
mod replies;
mod script;
mod ws;

pub use chunked::chunked;
pub use connection::connection;
pub use envelope::envelope;
pub use extensions::ws_extensions;
pub use files::{file_path, range};
pub use http1::http1_split;
pub use inflate::ws_inflate;
pub use ws::{ws_frames, ws_vs_tungstenite};

/// The maximum number of cuts that an input can ask for.
const CUTS_MAX: usize = 7;

/// Streams up to this length are also played byte by byte.
const BYTEWISE_MAX: usize = 300;

/// Reads the cuts. The low three bits of the first byte are their number, and each following byte is the distance from the
/// previous cut. Returns the cuts in ascending order, the other bits of the first byte, and the rest.
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

/// Returns the pieces of `stream` between `cuts`, which ascend.
fn pieces<'s>(stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut from = 0;
    let ends = cuts.iter().copied().chain([stream.len()]);
    ends.map(|to| &stream[std::mem::replace(&mut from, to)..to]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Runs `target` on each seed of its corpus, and on the first half of each seed.
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
    fn the_corpora_pass() {
        replay("http1_split", http1_split);
        replay("chunked", chunked);
        replay("ws_frames", ws_frames);
        replay("ws_vs_tungstenite", ws_vs_tungstenite);
        replay("connection", connection);
        replay("envelope", envelope);
        replay("range", range);
        replay("file_path", file_path);
    }

    #[test]
    fn the_corpora_of_compression_pass() {
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
