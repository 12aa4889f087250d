//! The bodies of the fuzz targets in `fuzz/fuzz_targets`, each a function of the input's bytes.
//!
//! They know no fuzzer. Each panics if and only if a promise is broken. The first bytes of an input say how the others
//! arrive. Every input is valid. Ordinary tests replay `fuzz/corpus`.

mod chunked;
mod connection;
mod cuts;
mod envelope;
#[cfg(feature = "deflate")]
mod extensions;
mod files;
mod hpack;
mod http1;
mod http2_connection;
mod http2_frames;
mod http2_requests;
#[cfg(feature = "deflate")]
mod inflate;
mod multipart;
mod replies;
mod script;
#[cfg(feature = "tls")]
mod tls;
mod ws;

pub use chunked::chunked;
pub use connection::connection;
pub use envelope::envelope;
#[cfg(feature = "deflate")]
pub use extensions::ws_extensions;
pub use files::{file_path, range};
pub use hpack::{Opinion, Third, hpack, hpack_with};
pub use http1::http1_split;
pub use http2_connection::http2_connection;
pub use http2_frames::http2_frames;
#[cfg(feature = "deflate")]
pub use inflate::ws_inflate;
pub use multipart::{FORM_TYPE, ReadPart, multipart, naive_form, read_form};
#[cfg(feature = "tls")]
pub use tls::tls_bytes;
pub use ws::{ws_frames, ws_vs_tungstenite};

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
        replay("multipart", multipart);
        replay("hpack", hpack);
        replay("http2_frames", http2_frames);
        replay("http2_connection", http2_connection);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_corpus_of_tls_passes() {
        replay("tls_bytes", tls_bytes);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn the_corpora_of_compression_pass() {
        replay("ws_extensions", ws_extensions);
        replay("ws_inflate", ws_inflate);
    }
}
