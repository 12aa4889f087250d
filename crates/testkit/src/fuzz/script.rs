//! The script by which a peer of the engine acts.
//!
//! It knows no stream: [`connection`](super::connection) carries out each [`Act`].

/// How a peer acts, repeated until its whole stream has arrived.
#[derive(Debug)]
pub(super) struct Script<'s> {
    /// The clock runs, timeouts are on, and the peer does not wait for its responses.
    pub(super) impatient: bool,
    /// Steps make room for responses. Otherwise there is always enough.
    pub(super) tight: bool,
    /// The peer's end is reported in one event with its last bytes.
    pub(super) ends_at_once: bool,
    steps: &'s [u8],
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// This many bytes arrive.
    Deliver(usize),
    /// There is room for this many more bytes.
    Room(usize),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// The next read or write is interrupted.
    Interrupt,
    /// An event without a cause.
    Spurious,
    /// The connection fails.
    Reset,
    /// The peer ends its side.
    End,
    /// The server shuts down.
    Shutdown,
    /// The server drops the connection.
    Abort,
}

impl<'s> Script<'s> {
    /// Reads the script at the beginning of `bytes`. The rest is the stream.
    pub(super) fn read(bytes: &'s [u8]) -> (Script<'s>, &'s [u8]) {
        let (first, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
        let (steps, stream) = rest.split_at(rest.len().min(usize::from(first & 0x0f)));
        let script = Script {
            impatient: first & 0x10 != 0,
            tight: first & 0x20 != 0,
            ends_at_once: first & 0x40 != 0,
            steps,
        };
        (script, stream)
    }

    pub(super) fn acts(&self) -> impl Iterator<Item = Act> {
        self.steps.iter().map(|step| {
            let amount = usize::from(step >> 3);
            match step & 7 {
                0 | 1 => Act::Deliver(1 + amount),
                2 => Act::Deliver(32 + 16 * amount),
                3 => Act::Room(1 + amount),
                4 => Act::Room(32 + 64 * amount),
                5 => Act::Wait(500 * amount as u64),
                6 => Act::Interrupt,
                _ if !self.impatient => Act::Spurious,
                _ => match amount {
                    0 => Act::Reset,
                    1 => Act::End,
                    2 => Act::Shutdown,
                    3 => Act::Abort,
                    _ => Act::Spurious,
                },
            }
        })
    }
}
