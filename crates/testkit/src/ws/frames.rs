//! Writes several frames as a client sends them, valid or not.

pub use fleeting::testing::wire::{client_frame, server_frame};

/// An unencoded frame: its first byte and its payload.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    first: u8,
    payload: &'a [u8],
}

/// Returns a frame with `first` (FIN, reserved bits, opcode) as its first byte.
pub fn frame(first: u8, payload: &[u8]) -> Frame<'_> {
    Frame { first, payload }
}

/// Returns the frames as a client sends them, each with a mask of its own.
pub fn masked(frames: &[Frame<'_>]) -> Vec<u8> {
    let encoded = frames.iter().enumerate().map(|(index, Frame { first, payload })| {
        let mask = 0x37fa_213d ^ (index as u32).wrapping_mul(0x9e37_79b9);
        client_frame(*first, payload, mask.to_be_bytes())
    });
    encoded.collect::<Vec<_>>().concat()
}
