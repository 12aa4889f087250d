//! How a client of HTTP/2 behaves: its pace, its windows, its faults, and the form of its frames.

use fleeting_testkit::http2::frames::{Frame, flag};
use fleeting_testkit::random::Random;

/// How a client behaves.
pub struct Habits {
    /// The maximum number of bytes that arrive, or are taken, at once.
    pub sends: usize,
    pub takes: usize,
    /// The number of steps, of a thousand, in which it does something.
    pub pace: usize,
    pub never_takes: bool,
    /// The number of streams that it has open at once.
    pub streams: usize,
    /// It opens more than the server allows.
    pub overruns: bool,
    /// The maximum size of a piece of content, and the maximum by which it opens a window.
    pub piece: usize,
    pub grants: usize,
    pub ends_early: bool,
    /// It does not acknowledge what asks for it.
    pub is_rude: bool,
    /// Steps, of a thousand, in which it resets a stream, ends its side, and resets the connection.
    pub cancels: usize,
    pub ends: usize,
    pub resets: usize,
}

impl Habits {
    /// Chooses habits for a client whose contents have up to `sizes` bytes: the longer they are, the larger its steps.
    pub fn new(random: &mut Random, sizes: usize, faults: bool) -> Habits {
        let fault = |random: &mut Random, per_mille: usize| {
            if faults && random.chance(250) { per_mille } else { 0 }
        };
        Habits {
            sends: random.one_of(if sizes == 500 {
                &[1, 7, 100, 1500]
            } else {
                &[500, 1500, 20_000, 1 << 20]
            }),
            takes: random.one_of(if sizes == 500 { &[1, 40, 1500] } else { &[1000, 20_000, 1 << 20] }),
            pace: random.one_of(&[100, 500, 1000]),
            never_takes: random.chance(40),
            streams: random.one_of(&[1, 2, 6, 24]),
            overruns: random.chance(300),
            piece: random.one_of(&[1, 50, 5000, 16_384]).max(sizes / 40),
            grants: random.one_of(&[1, 300, 20_000]).max(sizes / 40),
            ends_early: random.chance(200),
            is_rude: random.chance(40),
            cancels: fault(random, 100),
            ends: fault(random, 8),
            resets: fault(random, 8),
        }
    }
}

/// Returns the frames that say the same as a HEADERS frame: padded, with a priority, or in several frames.
pub fn disguised(mut frame: Frame, form: usize, pieces: usize) -> Vec<Frame> {
    match form {
        0 => vec![frame.padded(pieces as u8)],
        1 => {
            frame.flags |= flag::PRIORITY;
            frame.payload.splice(..0, *b"\0\0\0\0\x0f");
            vec![frame]
        }
        2 => {
            let block = std::mem::take(&mut frame.payload);
            let mut parts = block.chunks(block.len() / pieces + 1);
            frame.payload = parts.next().unwrap_or_default().to_vec();
            let rest: Vec<&[u8]> = parts.collect();
            let (stream, count) = (frame.stream, rest.len());
            if count > 0 {
                frame.flags &= !flag::END_HEADERS;
            }
            let part = |(at, part): (usize, &&[u8])| Frame::continuation(stream, *part, at + 1 == count);
            let rest = rest.iter().enumerate().map(part).collect::<Vec<_>>();
            [frame].into_iter().chain(rest).collect()
        }
        _ => vec![frame],
    }
}
