//! What a protocol returns after its turn: how far it got, and what the connection becomes.
//!
//! It knows no protocol. Its invariant: only a protocol that will go on gives a reason for stopping.

/// How far the input of a turn was worked through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Bytes `from..to` of the input must be shown again: `from <= to`.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Something was completed, or the peer gave a sign of life: the wait starts over.
    pub(super) fresh: bool,
}

/// What a connection becomes after a protocol has run. `T` is what its protocol may change to.
pub(super) enum Next<T> {
    /// The same protocol goes on when there is more to do.
    Same(StopReason),
    /// It changes to another protocol.
    Change(T),
    /// Nothing more will be answered.
    Close,
}

/// Why a protocol that goes on has stopped for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// What is left of the input is not complete.
    NeedsInput,
    /// This connection has had its share of the turn.
    BudgetSpent,
    /// The peer must first take what it was sent, subscribers what was published, or the application must go on.
    PeerBlocked,
}

/// Whether a connection stays open after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    KeepOpen,
    Close,
}

impl<T> Next<T> {
    /// Converts what the protocol changes to.
    #[inline]
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Next<U> {
        match self {
            Next::Same(reason) => Next::Same(reason),
            Next::Change(to) => Next::Change(change(to)),
            Next::Close => Next::Close,
        }
    }
}
