//! Writes frames as clients and servers send them, valid or not.

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

/// Returns a frame as a client sends it.
pub fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0x80);
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Returns a frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn header(first: u8, length: usize, masked: u8) -> Vec<u8> {
    match length {
        0..126 => vec![first, length as u8 | masked],
        126..65_536 => [&[first, 126 | masked][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127 | masked][..], &(length as u64).to_be_bytes()].concat(),
    }
}
