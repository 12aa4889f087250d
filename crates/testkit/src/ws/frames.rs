//! Frames as a client sends them.

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
    let mut stream = Vec::new();
    for (index, Frame { first, payload }) in frames.iter().enumerate() {
        let mask = (0x37fa_213d ^ (index as u32).wrapping_mul(0x9e37_79b9)).to_be_bytes();
        stream.push(*first);
        match payload.len() {
            len @ 0..126 => stream.push(0x80 | len as u8),
            len @ 126..65536 => {
                stream.push(0xfe);
                stream.extend((len as u16).to_be_bytes());
            }
            len => {
                stream.push(0xff);
                stream.extend((len as u64).to_be_bytes());
            }
        }
        stream.extend(mask);
        let start = stream.len();
        stream.extend_from_slice(payload);
        for (at, byte) in stream[start..].iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
    }
    stream
}
