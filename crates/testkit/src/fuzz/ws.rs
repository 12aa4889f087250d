//! Cuts a stream of frames in different ways, and compares its meaning with tungstenite's.

use super::cuts::cuts;
use crate::ws::{differential, trace};

/// Panics unless the frames mean the same whole, cut as the input says, and byte by byte.
pub fn ws_frames(bytes: &[u8]) {
    let (cuts, variant, stream) = cuts(bytes);
    // Small, so that the input reaches them.
    let limits = match variant & 1 {
        0 => crate::limits! { frame_bytes: 300, message_bytes: 500, fragments: 6 },
        _ => crate::limits! { frame_bytes: 8, message_bytes: 10, fragments: 3 },
    };
    trace::check_cuts(stream, &cuts, &limits);
}

/// Panics unless tungstenite reads the same from the frames, apart from the known differences.
pub fn ws_vs_tungstenite(bytes: &[u8]) {
    differential::compare(bytes);
}
