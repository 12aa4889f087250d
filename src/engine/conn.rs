//! The record of one connection, and the table of what it may do.
//!
//! The record has no lifetime parameter: it holds offsets and owned data. Slices of the input exist only within a turn.
//! Its invariant: a connection's [`State`] and its outbox alone decide whether it is read, what it is sent and which
//! deadline it has.
//!
//! | state | what it is | read | sent | deadline | next turn |
//! | --- | --- | --- | --- | --- | --- |
//! | `Requests` | between requests, or in one | parsed | answers | `first_byte` or `tls`, `idle`, `head`, `body_stall`, `linger` (discarding) | with input |
//! | `Deferred` | another thread makes the answer | no | nothing yet | `answer` | on an event |
//! | `Receiving` | an upload | parsed | the answer | `body_stall` | with input |
//! | `Paused` | an upload that its session has paused | no | nothing yet | none | on an event |
//! | `Sending` | content from a source | no | content | none; `ping` if the source is endless | at once; on an event if parked |
//! | `Subscribed` | a stream of publications as events | no | publications, comments | `ping` | on an event |
//! | `Open` | a WebSocket | parsed | messages, publications | `ping`, `ws_idle`, `message_stall`, lifetime | with input |
//! | `Open`, draining | its session waits for `drain` | no | publications | `ping`, `ws_idle`, lifetime | at once |
//! | `Closing` | a WebSocket after the first Close | parsed | the Close | `close` | with input |
//! | `Closing`, draining | the same, and its session waits for `drain` | no | the Close | `close` | at once |
//! | `Frames` | HTTP/2; its open streams have records, and states, of their own | parsed | frames of its streams | `idle`, `head`, `body_stall`; none while streams are open | with input |
//! | `Last` | its last answer is queued | no | what is queued | `write_stall` | with input |
//! | `Lingering` | its last answer has left | thrown away | nothing | `linger` | with input |
//! | `Broken` | its stream has failed | no | nothing | closed in this turn | - |
//!
//! An outbox overrides the table in two ways. While it holds anything, the deadline is `write_stall`; an open
//! WebSocket's lifetime and, while it is read, `message_stall` still apply. While it holds answers, nothing is parsed, and
//! the next turn comes at once if a turn's share of a file has been sent, else on an event. Publications alone do not stop
//! reading: a slow subscriber may have some queued all the time, and must still be able to unsubscribe, answer a ping and
//! close.
//!
//! The end of the peer's side ends `Deferred`, and `Sending` without an end, unless half-close is honoured: what is
//! queued still leaves. In every other state the end is read after all input, and what is under way is completed.

use super::cork::Cork;
use super::http::requests::Switch;
use super::http::transfer::{Stage, Transfer};
use super::http2::mux::Mux;
use super::http2::post::Post;
use super::output::{Io, Output};
use super::pace::MessageClock;
use super::timer::{Timer, Waiting};
use super::websocket::socket::OpenSocket;
use crate::buffer::{Inbox, Outbox, Pool};
use crate::http1::{Awaits, Decoder};
use crate::http2::is_content;
use crate::transport::{Peer, Stream};
use std::cell::RefCell;
use std::rc::Rc;

/// A connection between two turns.
pub(super) struct Conn<S> {
    pub(super) io: Io<S>,
    pub(super) peer: Peer,
    /// Written by `turn` only.
    pub(super) protocol: Protocol,
    pub(super) writing: Writing,
    pub(super) source: Source,
    /// Input that has arrived and is not consumed; `None` if there is none.
    pub(super) inbox: Option<Box<Inbox>>,
    /// The inbox may still hold something complete: work on it stopped because the budget was spent, or because the
    /// peer must first take what it was sent.
    pub(super) unfinished: bool,
    /// On the list of connections that get a turn without an event.
    pub(super) runnable: bool,
    pub(super) timer: Timer,
    /// When it became a WebSocket, if its route has a lifetime: in units of
    /// [`OPENED_MS`](super::deadlines::OPENED_MS), plus one; 0 if not noted.
    pub(super) opened: u32,
}

/// The protocol that handles the connection's input.
pub(super) enum Protocol {
    /// Nothing has arrived but, perhaps, the beginning of HTTP/2's preface, which is accepted here. It holds what the streams of
    /// the worker share.
    Opening(Rc<Post>),
    Http(Decoder),
    /// A request whose content or answer does not pass in one piece.
    Transfer(Box<Transfer>),
    /// With the time at which the message that it is receiving began.
    WebSocket(OpenSocket, MessageClock),
    /// The frames of HTTP/2. Each of its streams that is open has a record of its own.
    Http2(Rc<RefCell<Mux>>),
}

/// The sending side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Answers may follow.
    Open,
    /// Nothing follows what is queued.
    Last,
    /// Everything has left, and our sending side is shut down. What the peer still sends is read and thrown away, so
    /// that the last answer is not lost to a reset (RFC 9112 §9.6).
    Lingering,
}

/// The receiving side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The stream is drained; an event will come when it holds something.
    Drained,
    /// There may be something to read.
    Ready,
    /// The same, and urgent data is among it. A read stops there, so a short one does not drain the stream.
    Urgent,
    /// The peer has ended its side: the end is yet to be read.
    Ending,
    /// The end has been read.
    Ended,
}

/// A row of the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Requests(Awaits),
    Deferred,
    Receiving,
    Paused,
    Sending { parked: bool },
    Subscribed,
    Open { draining: bool },
    Closing { draining: bool },
    Frames(FramesAwaited),
    Last,
    Lingering,
    Broken,
}

/// What a connection of HTTP/2 waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FramesAwaited {
    /// A request: no stream is open.
    Request,
    /// The rest of a field block, or of a frame that is not content.
    Head,
    /// The rest of a frame with content.
    Content,
    /// Its streams, each of which has a deadline of its own.
    Streams,
}

/// The columns of the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) reads: Reads,
    /// Publications may be sent, or queued.
    pub(super) takes_publications: bool,
    /// What is waited for while there is no outbox.
    pub(super) waits_for: Waiting,
    pub(super) next_turn: NextTurn,
}

/// What happens to the peer's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Parsed,
    ThrownAway,
    /// It stays in the stream.
    No,
}

/// When a connection gets its next turn, while it is not blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextTurn {
    OnEvent,
    /// There is something to do that no event will announce.
    AtOnce,
    /// At once if there is input that was not worked through, else on an event.
    WithInput,
}

impl State {
    #[inline(always)]
    pub(super) const fn row(self) -> Row {
        use NextTurn::{AtOnce, OnEvent, WithInput};
        use Reads::{No, Parsed, ThrownAway};
        let (reads, takes_publications, waits_for, next_turn) = match self {
            State::Requests(awaits) => {
                let waits_for = match awaits {
                    Awaits::Request => Waiting::Request,
                    Awaits::Head => Waiting::Head,
                    Awaits::Content => Waiting::Content,
                    Awaits::Discard | Awaits::Close => Waiting::Discard,
                };
                (Parsed, false, waits_for, WithInput)
            }
            State::Deferred => (No, false, Waiting::Answer, OnEvent),
            State::Receiving => (Parsed, false, Waiting::Content, WithInput),
            State::Paused => (No, false, Waiting::Application, OnEvent),
            State::Sending { parked: true } => (No, false, Waiting::Application, OnEvent),
            State::Sending { parked: false } => (No, false, Waiting::Application, AtOnce),
            State::Subscribed => (No, true, Waiting::Application, OnEvent),
            State::Open { draining: false } => (Parsed, true, Waiting::Frame, WithInput),
            State::Open { draining: true } => (No, true, Waiting::Frame, AtOnce),
            State::Closing { draining: false } => (Parsed, false, Waiting::Close, WithInput),
            State::Closing { draining: true } => (No, false, Waiting::Close, AtOnce),
            State::Frames(awaited) => {
                let waits_for = match awaited {
                    FramesAwaited::Request => Waiting::Request,
                    FramesAwaited::Head => Waiting::Head,
                    FramesAwaited::Content => Waiting::Content,
                    FramesAwaited::Streams => Waiting::Streams,
                };
                (Parsed, false, waits_for, WithInput)
            }
            State::Last | State::Broken => (No, false, Waiting::Write, WithInput),
            State::Lingering => (ThrownAway, false, Waiting::Linger, WithInput),
        };
        Row { reads, takes_publications, waits_for, next_turn }
    }
}

impl<S> Conn<S> {
    pub(super) fn new(stream: S, peer: Peer) -> Conn<S> {
        Conn {
            io: Io { stream, outbox: None, broken: false },
            peer,
            protocol: Protocol::Http(Decoder::new()),
            writing: Writing::Open,
            source: Source::Drained,
            inbox: None,
            unfinished: false,
            runnable: false,
            timer: Timer::default(),
            opened: 0,
        }
    }

    /// Returns the connection's row of the table.
    #[inline(always)]
    pub(super) fn state(&self) -> State {
        if self.io.broken {
            return State::Broken;
        }
        match self.writing {
            Writing::Open => {}
            Writing::Last => return State::Last,
            Writing::Lingering => return State::Lingering,
        }
        match &self.protocol {
            Protocol::Opening(_) if self.inbox.is_some() => State::Requests(Awaits::Head),
            Protocol::Opening(_) => State::Requests(Awaits::Request),
            Protocol::Http(decoder) => State::Requests(decoder.awaits()),
            Protocol::Transfer(transfer) => match transfer.stage() {
                Stage::Deferred(_) => State::Deferred,
                Stage::Receiving(receiving) if receiving.is_paused() => State::Paused,
                Stage::Receiving(_) => State::Receiving,
                Stage::Sending(sending) => State::Sending { parked: sending.is_parked() },
                Stage::Subscribed(_) => State::Subscribed,
            },
            Protocol::WebSocket(socket, _) => {
                let draining = socket.drain_is_due();
                if socket.is_open() { State::Open { draining } } else { State::Closing { draining } }
            }
            Protocol::Http2(mux) => State::Frames(frames_awaited(&mux.borrow(), self.inbox.as_deref())),
        }
    }

    /// Whether answers are queued that the peer has yet to take.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        self.io.outbox.as_ref().is_some_and(|outbox| outbox.holds_answers())
    }

    /// Whether more requests or messages can be answered in this turn, if there are any.
    #[inline]
    pub(super) fn can_answer(&self) -> bool {
        self.state().row().reads == Reads::Parsed && !self.is_blocked()
    }

    /// Whether publications may be sent to it, or queued.
    #[inline]
    pub(super) fn takes_publications(&self) -> bool {
        self.state().row().takes_publications
    }

    /// Returns what the connection waits for.
    #[inline(always)]
    pub(super) fn waiting(&self) -> Waiting {
        match self.state().row().waits_for {
            Waiting::Linger => Waiting::Linger,
            _ if self.io.outbox.is_some() => Waiting::Write,
            Waiting::Application if self.is_endless() => Waiting::Quiet,
            waits_for => waits_for,
        }
    }

    /// Whether there is something to do that no event will announce.
    #[inline(always)]
    pub(super) fn wants_turn(&self) -> bool {
        if let Some(outbox) =
            self.io.outbox.as_ref().filter(|outbox| outbox.holds_answers() || outbox.is_paused())
        {
            return outbox.is_paused();
        }
        match self.state().row().next_turn {
            NextTurn::OnEvent => false,
            NextTurn::AtOnce => true,
            NextTurn::WithInput => self.unfinished || self.may_read(),
        }
    }

    /// Whether nothing is under way: neither a request nor an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == Waiting::Request && self.inbox.is_none() && !self.may_read()
    }

    /// Whether the end of its client is waited for. A stream of HTTP/2 ends with its response, unless a WebSocket was opened
    /// on it.
    pub(super) fn lingers(&self) -> bool
    where
        S: Stream,
    {
        self.io.stream.lingers()
            && (!self.io.stream.is_multiplexed() || matches!(self.protocol, Protocol::WebSocket(..)))
    }

    /// Whether all that its client asked for has left, and only the client's end is waited for.
    pub(super) fn is_lingering(&self) -> bool {
        self.state() == State::Lingering
    }

    /// Whether something is lost if it is cut off. A peer that has its whole answer and is slow to close loses nothing, and what
    /// a connection of HTTP/2 loses is lost by its streams, if it has any.
    pub(super) fn loses_something(&self) -> bool {
        match &self.protocol {
            Protocol::Http2(mux) if !mux.borrow().core.streams.is_empty() => false,
            _ => self.waiting() != Waiting::Linger,
        }
    }

    /// Whether it may be closed to make room for another: nothing is under way.
    pub(super) fn may_give_way(&self) -> bool {
        self.is_idle() || self.is_lingering()
    }

    /// Whether a read may return something.
    #[inline]
    pub(super) fn may_read(&self) -> bool {
        matches!(self.source, Source::Ready | Source::Urgent | Source::Ending)
    }

    /// Whether the peer has ended its side while the application has yet to make what it waits for: a deferred answer,
    /// or the rest of a stream that has no end.
    #[inline]
    pub(super) fn is_left(&self) -> bool {
        matches!(self.source, Source::Ending | Source::Ended)
            && (self.state() == State::Deferred || self.writing == Writing::Open && self.is_endless())
    }

    /// Whether it sends a stream that goes on until its client leaves.
    pub(super) fn is_endless(&self) -> bool {
        matches!(&self.protocol, Protocol::Transfer(transfer) if transfer.is_endless())
    }

    /// Whether it gets a turn without an event: it is on the runnable list, and can go on without the peer.
    #[inline]
    pub(super) fn has_turn(&self) -> bool {
        self.runnable && self.io.outbox.as_ref().is_none_or(|outbox| outbox.is_paused())
    }

    /// Returns how many bytes of input are needed before something is complete; 0 if unknown.
    pub(super) fn wants(&self) -> usize {
        match &self.protocol {
            Protocol::Opening(_) => 0,
            Protocol::Http(decoder) => decoder.wants(),
            Protocol::Transfer(_) => 0,
            Protocol::WebSocket(open, _) => open.wants(),
            Protocol::Http2(mux) => mux.borrow().wants,
        }
    }

    /// Returns how many bytes have arrived of the message that a WebSocket is receiving. `None` if there is no such message,
    /// or if the connection is not being read.
    #[inline]
    pub(super) fn message_arrived(&self) -> Option<usize> {
        let Protocol::WebSocket(open, _) = &self.protocol else { return None };
        let rest = self.inbox.as_ref().map_or(0, |inbox| inbox.len());
        let fragments = open.fragment_bytes();
        if rest == 0 && fragments.is_none() || !open.is_open() || !self.can_answer() {
            return None;
        }
        Some(rest + fragments.unwrap_or(0))
    }

    /// Returns the bytes in memory that the peer has not taken.
    pub(super) fn queued_bytes(&self) -> usize {
        self.io.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Returns its outbox, one of the cork's if there is none.
    pub(super) fn outbox(&mut self, cork: &mut Cork) -> &mut Outbox {
        self.io.outbox.get_or_insert_with(|| cork.outboxes.take())
    }

    /// Returns its inbox to the worker's pool.
    pub(super) fn give_back(&mut self, pool: &Pool) {
        if let Some(inbox) = self.inbox.take() {
            pool.give(inbox);
        }
    }
}

impl From<Switch> for Protocol {
    #[inline]
    fn from(switch: Switch) -> Protocol {
        match switch {
            Switch::Transfer(transfer) => Protocol::Transfer(transfer),
            Switch::WebSocket(open) => Protocol::WebSocket(open, MessageClock::default()),
        }
    }
}

/// Returns what a connection of HTTP/2 waits for, whose input is in `inbox`.
#[inline(never)]
fn frames_awaited(mux: &Mux, inbox: Option<&Inbox>) -> FramesAwaited {
    match inbox {
        _ if mux.core.is_gathering() => FramesAwaited::Head,
        Some(inbox) if is_content(inbox.bytes()) => FramesAwaited::Content,
        Some(_) => FramesAwaited::Head,
        None if mux.core.streams.is_empty() => FramesAwaited::Request,
        None => FramesAwaited::Streams,
    }
}

impl<S: Stream> Conn<S> {
    /// Returns its sending side, which writes through `cork`.
    #[inline]
    pub(super) fn output<'a>(&'a mut self, cork: &'a mut Cork) -> Output<'a, S> {
        Output::new(&mut self.io, cork)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Memory, Piece, Published, SlowConsumer};

    /// Every state.
    const STATES: [State; 22] = [
        State::Requests(Awaits::Request),
        State::Requests(Awaits::Head),
        State::Requests(Awaits::Content),
        State::Requests(Awaits::Discard),
        State::Requests(Awaits::Close),
        State::Deferred,
        State::Receiving,
        State::Paused,
        State::Sending { parked: false },
        State::Sending { parked: true },
        State::Subscribed,
        State::Open { draining: false },
        State::Open { draining: true },
        State::Closing { draining: false },
        State::Closing { draining: true },
        State::Frames(FramesAwaited::Request),
        State::Frames(FramesAwaited::Head),
        State::Frames(FramesAwaited::Content),
        State::Frames(FramesAwaited::Streams),
        State::Last,
        State::Lingering,
        State::Broken,
    ];

    fn conn() -> Conn<i32> {
        Conn::new(0, Peer::None)
    }

    #[test]
    fn a_record_takes_at_most_120_bytes() {
        // An `i32` stands for the stream, which is a descriptor.
        assert!(size_of::<Conn<i32>>() <= 120, "{}", size_of::<Conn<i32>>());
    }

    #[test]
    fn the_columns_of_the_table_agree() {
        for state in STATES {
            let row = state.row();
            // Events are edge-triggered: a connection that waits for one must not leave input unread that it would
            // parse.
            if row.next_turn == NextTurn::OnEvent {
                assert_eq!(row.reads, Reads::No, "{state:?}");
            }
            let subscribes = matches!(state, State::Open { .. } | State::Subscribed);
            assert_eq!(row.takes_publications, subscribes, "{state:?}");
            assert_eq!(row.waits_for == Waiting::Linger, row.reads == Reads::ThrownAway, "{state:?}");
            // While the application is waited for, nothing more is parsed.
            if matches!(row.waits_for, Waiting::Application | Waiting::Answer) {
                assert_eq!(row.reads, Reads::No, "{state:?}");
            }
        }
    }

    #[test]
    fn a_new_connection_is_idle_and_waits_for_a_request() {
        let mut conn = conn();
        assert_eq!(conn.state(), State::Requests(Awaits::Request));
        assert!(conn.is_idle() && conn.can_answer() && !conn.wants_turn() && !conn.takes_publications());
        assert_eq!(conn.waiting(), Waiting::Request);
        conn.source = Source::Ready;
        assert!(!conn.is_idle() && conn.wants_turn());
    }

    #[test]
    fn an_ending_connection_ignores_the_state_of_its_protocol() {
        let mut conn = conn();
        conn.writing = Writing::Last;
        assert_eq!(conn.state(), State::Last);
        assert!(!conn.can_answer() && !conn.is_idle());
        conn.writing = Writing::Lingering;
        assert_eq!((conn.state(), conn.waiting()), (State::Lingering, Waiting::Linger));
        assert!(!conn.can_answer() && !conn.is_idle() && conn.may_give_way());
        conn.io.broken = true;
        assert_eq!(conn.state(), State::Broken);
        assert!(!conn.can_answer());
    }

    #[test]
    fn queued_answers_stop_reading_and_queued_publications_do_not() {
        let mut conn = conn();
        conn.source = Source::Ready;
        let mut cork = Cork::new(0, Memory::new(1 << 20));
        conn.outbox(&mut cork)
            .push_begun(Published::new((*b"name frame").into(), 4, SlowConsumer::DropNewest), 1);
        assert!(!conn.is_blocked() && conn.can_answer() && conn.wants_turn() && !conn.is_idle());
        assert_eq!(conn.waiting(), Waiting::Write);
        conn.outbox(&mut cork).push(Piece::Static(b"answer"), 0);
        assert!(conn.is_blocked() && !conn.can_answer() && !conn.wants_turn());
        assert_eq!(conn.waiting(), Waiting::Write);
    }
}
