//! Requests to handlers, answers to the cork.
//!
//! One request is one pass through `next`: decode, route, call, encode. The arena is reset after each,
//! pipelined ones included.

use crate::app::{
    Awaited, Body, ConnId, Early, Error, FieldBlock, Request, RequestParts, Resolved, Response, Uploads,
};
use crate::arena::OVERWRITTEN;
use crate::engine::conn::{Conn, Protocol};
use crate::engine::context::{Desk, Ran, Stop};
use crate::engine::counters::Counters;
use crate::engine::http::receiving::{self, Unopened};
use crate::engine::http::sending::{Frame, Sending};
use crate::engine::http::transfer::{self, Deferred, Stage, Transfer};
use crate::engine::output::Output;
use crate::engine::websocket::socket::{self as websocket, Means};
use crate::http1::{
    self, ConnectionHeader, ContentLength, ContentStep, Framing, HeadStep, Method, ResponseHead, Version,
};
use crate::panics::catch_counted;
use crate::transport::Stream;

/// Content that is read and thrown away after an early answer, to keep the connection.
pub(in crate::engine) const DISCARD_BYTES_MAX: u64 = 256 << 10;

/// What one pass came to.
enum Step {
    /// The first `filled` bytes of the input must come again with more behind them.
    Starved { filled: usize },
    /// So many bytes are of no use.
    Skipped(usize),
    /// Nothing more can be understood, and there is nothing to say.
    Broken,
    /// A request was answered; so many bytes are done with.
    Answered { consumed: usize, keep_alive: bool },
    /// A request has made the connection something else: a WebSocket, or a transfer.
    Changed { consumed: usize },
}

/// Answers what is whole in `input`, at most `budget` requests.
///
/// What most requests do is kept together here and in what is inlined here, and what few do is called:
/// after each system call this code comes from the second-level cache, so its length counts.
#[inline(never)]
pub(in crate::engine) fn run<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    input: &mut [u8],
    budget: &mut usize,
    desk: &mut Desk,
) -> Ran {
    let (mut from, mut to) = (0, input.len());
    let before = *budget;
    let stop = loop {
        if from == to {
            break Stop::Starved;
        }
        if conn.io.outbox.is_some() || conn.io.broken {
            break Stop::Blocked;
        }
        if *budget == 0 {
            break Stop::Budget;
        }
        let step = next(conn, id, &mut input[from..to], desk);
        desk.arena.reset();
        let consumed = match step {
            Step::Starved { filled } => {
                to = from + filled;
                break Stop::Starved;
            }
            Step::Skipped(bytes) => {
                from += bytes;
                continue;
            }
            Step::Broken => break Stop::Over,
            Step::Answered { consumed, .. } | Step::Changed { consumed } => consumed,
        };
        if cfg!(debug_assertions) {
            input[from..from + consumed].fill(OVERWRITTEN);
        }
        from += consumed;
        *budget -= 1;
        match step {
            Step::Answered { keep_alive: false, .. } => break Stop::Over,
            Step::Changed { .. } => break Stop::Changed,
            _ => {}
        }
    };
    Ran { from, to, stop, fresh: *budget < before }
}

#[inline]
fn next<S: Stream>(conn: &mut Conn<S>, id: ConnId, input: &mut [u8], desk: &mut Desk) -> Step {
    let Protocol::Http(decoder) = &mut conn.protocol else {
        unreachable!("only an HTTP connection is run here");
    };
    let Desk { app, limits, arena, cork, counters, date, exchange, codec, shutting_down, wake, .. } = desk;
    let mut out = Output::new(&mut conn.io, cork);
    let date = date.text();
    let length = input.len();

    let (head, rest, resumed) = match decoder.head(input, arena, limits) {
        HeadStep::Head { head, rest, resumed } => (head, rest, resumed),
        HeadStep::Incomplete { filled } => return Step::Starved { filled },
        HeadStep::Skip(bytes) => return Step::Skipped(bytes),
        HeadStep::Broken(refusal) => {
            counters.count_refused(refusal);
            return Step::Broken;
        }
        HeadStep::Refused(refusal) => {
            counters.count_refused(refusal);
            let terms = Terms { head_only: is_head(input), ..Terms::last(Version::Http11) };
            refuse(&mut out, refusal, &terms, date);
            return Step::Answered { consumed: length, keep_alive: false };
        }
    };
    let resolved = app.resolve(head, arena);
    let mut terms = Terms {
        version: head.version,
        keep_alive: head.keep_alive && !*shutting_down,
        head_only: head.method == Method::Head,
    };

    if let Resolved::Early(early) = resolved {
        counters.early_answers += 1;
        // A client that waits for 100 may or may not send its content now: only an end is clear.
        terms.keep_alive &= !head.expects_continue && head.method != Method::Connect;
        terms.keep_alive = decoder.discard(head, DISCARD_BYTES_MAX) && terms.keep_alive;
        let keep_alive = answer_early(&mut out, early, &terms, date);
        return Step::Answered { consumed: head.len, keep_alive };
    }
    if let Resolved::Upload(uploads, params) = resolved {
        let (content, trailers): (&[u8], _) = (&[], Default::default());
        let parts = RequestParts { head, content, trailers, params, arena, conn: id, peer: &conn.peer };
        let step = open_upload(uploads, parts, length, &mut out, decoder, &mut terms, counters, date);
        return match step {
            Ok(transfer) => {
                transfer::hold(&mut conn.protocol, transfer, id, wake);
                Step::Changed { consumed: head.len }
            }
            Err(answered) => answered,
        };
    }
    // Content that is too large is not asked for.
    let welcome = !matches!(head.framing, Framing::Length(length) if length > limits.body_bytes as u64);
    if !resumed && head.expects_continue && welcome {
        out.cork.extend_from_slice(http1::CONTINUE);
    }

    let (content, trailers, consumed) = match decoder.content(head, rest, arena, limits) {
        ContentStep::Incomplete { filled } => return Step::Starved { filled },
        ContentStep::Refused(refusal) => {
            counters.count_refused(refusal);
            terms.keep_alive = false;
            refuse(&mut out, refusal, &terms, date);
            return Step::Answered { consumed: length, keep_alive: false };
        }
        ContentStep::Whole { content, trailers, consumed } => (content, trailers, consumed),
    };
    counters.requests += 1;
    let request = |params| {
        Request::new(RequestParts { head, content, trailers, params, arena, conn: id, peer: &conn.peer })
    };
    let mut response = match resolved {
        Resolved::Handler(handler, params) => {
            let request = request(params);
            // What the handler returns is encoded where it lies: it is large, and moving it costs as much
            // as routing.
            let answered = catch_counted(&mut counters.panics, || match handler.call(&request) {
                Ok(ref mut response) => terms.answer(&mut out, response, date),
                Err(error) => terms.answer(&mut out, &mut error.into(), date),
            });
            match answered {
                Some(Answered::Keeps) => return Step::Answered { consumed, keep_alive: true },
                Some(Answered::Closes) => return Step::Answered { consumed, keep_alive: false },
                Some(Answered::Held(transfer)) => {
                    transfer::hold(&mut conn.protocol, transfer, id, wake);
                    return Step::Changed { consumed };
                }
                None => {}
            }
            Error::internal("The handler failed.").into()
        }
        Resolved::Upgrade(..) if *shutting_down => Error::unavailable("The server is shutting down.").into(),
        Resolved::Upgrade(upgrade, params) => {
            let means = Means { limits, counters, exchange, codec };
            match websocket::open(upgrade, &request(params), &mut out, means, date) {
                Ok(socket) => {
                    conn.protocol = Protocol::WebSocket(socket);
                    conn.timer.hear();
                    return Step::Changed { consumed };
                }
                Err(response) => response,
            }
        }
        Resolved::Early(_) | Resolved::Upload(..) => unreachable!("answered above"),
    };
    let keep_alive = terms.answer(&mut out, &mut response, date).keeps();
    Step::Answered { consumed, keep_alive }
}

/// Begins an upload, or answers why not.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "they are what `next` has in its hands")]
fn open_upload<S: Stream>(
    uploads: &dyn Uploads,
    parts: RequestParts<'_>,
    length: usize,
    out: &mut Output<'_, S>,
    decoder: &mut http1::Decoder,
    terms: &mut Terms,
    counters: &mut Counters,
    date: &[u8; 29],
) -> Result<Box<Transfer>, Step> {
    let head = parts.head;
    match receiving::open(uploads, &Request::new(parts), decoder, counters) {
        Ok(upload) => {
            if head.expects_continue {
                out.cork.extend_from_slice(http1::CONTINUE);
            }
            Ok(Transfer::new(*terms, Stage::Receiving(upload)))
        }
        Err(Unopened::Refused(refusal)) => {
            counters.count_refused(refusal);
            refuse(out, refusal, &Terms { keep_alive: false, ..*terms }, date);
            Err(Step::Answered { consumed: length, keep_alive: false })
        }
        Err(Unopened::Error(error)) => {
            // As for any early answer: a client that waits for 100 may or may not send its content now.
            terms.keep_alive &= !head.expects_continue;
            terms.keep_alive = decoder.discard_rest(DISCARD_BYTES_MAX) && terms.keep_alive;
            let keep_alive = terms.answer(out, &mut error.into(), date).keeps();
            Err(Step::Answered { consumed: head.len, keep_alive })
        }
    }
}

/// What a response must heed beside what it says.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Terms {
    version: Version,
    pub(in crate::engine) keep_alive: bool,
    /// The request was HEAD.
    head_only: bool,
}

/// What becomes of a connection with an answer.
pub(in crate::engine) enum Answered {
    /// It may be used again.
    Keeps,
    /// This was the last one.
    Closes,
    /// The answer is not there yet, or not all of it.
    Held(Box<Transfer>),
}

impl Answered {
    /// Of an answer that is there.
    #[inline]
    fn keeps(&self) -> bool {
        matches!(self, Answered::Keeps)
    }
}

impl Terms {
    /// Of a connection that ends with this response.
    fn last(version: Version) -> Terms {
        Terms { version, keep_alive: false, head_only: false }
    }

    /// Encodes a response: RFC 9112 §6 for what frames it, §9.6 for what becomes of the connection.
    /// A body that is large is taken out of the response.
    #[inline]
    pub(in crate::engine) fn answer<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &mut Response<'_>,
        date: &[u8; 29],
    ) -> Answered {
        let bytes = match &response.body {
            Body::Pending(_) => return self.answer_later(out, response, date),
            body => body.len(),
        };
        let keep_alive = self.keep_alive && !response.close;
        let connection = self.connection(keep_alive, response.status);
        // RFC 9110 §8.6: 204 has no Content-Length, and that of a 304 is the one a 200 would have.
        let silent = matches!(response.status, 204 | 304);
        let content = if silent { ContentLength::None } else { ContentLength::Known(bytes) };
        let fields = response.fields.bytes();
        let head = ResponseHead { status: response.status, fields, content, connection, date };
        http1::encode_head(out.cork, &head);
        if !silent && !self.head_only {
            out.body(&mut response.body);
        }
        if keep_alive { Answered::Keeps } else { Answered::Closes }
    }

    #[inline]
    fn connection(&self, keep_alive: bool, status: u16) -> ConnectionHeader {
        match (keep_alive, self.version) {
            // RFC 9110 §15.5.22: 426 names what to upgrade to.
            (true, Version::Http11) if status == 426 => ConnectionHeader::Upgrade,
            (true, Version::Http11) => ConnectionHeader::Implied,
            (true, Version::Http10) => ConnectionHeader::KeepAlive,
            (false, _) => ConnectionHeader::Close,
        }
    }

    /// Encodes as much as is there of a response that is not there in one piece.
    #[inline(never)]
    fn answer_later<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &mut Response<'_>,
        date: &[u8; 29],
    ) -> Answered {
        let Body::Pending(pending) = std::mem::replace(&mut response.body, Body::Empty) else {
            return self.answer(out, response, date);
        };
        let streamed = match pending.into_awaited() {
            Awaited::Answer(promise) => {
                let fields = std::mem::replace(&mut response.fields, FieldBlock::Fixed(b""));
                let deferred = Deferred { promise, fields, close: response.close };
                return Answered::Held(Transfer::new(*self, Stage::Deferred(deferred)));
            }
            Awaited::Source(streamed) => streamed,
        };
        let silent = matches!(response.status, 204 | 304);
        let (content, frame) = match (streamed.length, self.version) {
            (Some(left), _) => (ContentLength::Known(left), Frame::Counted { left }),
            (None, Version::Http11) => (ContentLength::Chunked, Frame::Chunks),
            // RFC 9112 §6.3: what has no framing ends with the connection.
            (None, Version::Http10) => (ContentLength::None, Frame::Close),
        };
        let keep_alive = self.keep_alive && !response.close && frame != Frame::Close;
        // One that is not asked is dropped first: that is the application's code, and may panic.
        let streamed = Some(streamed).filter(|_| !silent && !self.head_only);
        let connection = self.connection(keep_alive, response.status);
        let content = if silent { ContentLength::None } else { content };
        let fields = response.fields.bytes();
        let head = ResponseHead { status: response.status, fields, content, connection, date };
        http1::encode_head(out.cork, &head);
        match streamed {
            Some(streamed) => {
                let terms = Terms { keep_alive, ..*self };
                Answered::Held(Transfer::new(terms, Stage::Sending(Sending::new(streamed, frame))))
            }
            None if keep_alive => Answered::Keeps,
            None => Answered::Closes,
        }
    }
}

/// The last answer, to what is no request or has content that is not to be had.
#[cold]
pub(in crate::engine) fn refuse<S: Stream>(
    out: &mut Output<'_, S>,
    refusal: http1::Refusal,
    terms: &Terms,
    date: &[u8; 29],
) {
    let mut response = Error::new(refusal.status(), refusal.to_string()).into();
    terms.answer(out, &mut response, date);
}

/// Whether the request that begins so is HEAD. Its answer has no content (RFC 9110 §9.3.2), also if it is
/// refused, or has content that is refused or never comes.
pub(in crate::engine) fn is_head(request: &[u8]) -> bool {
    request.starts_with(b"HEAD ")
}

/// The answer to a request that was not finished in time (RFC 9110 §15.5.9).
pub(in crate::engine) fn timed_out<S: Stream>(out: &mut Output<'_, S>, head_only: bool, date: &[u8; 29]) {
    let mut response = Error::new(408, "The request took too long to arrive.").into();
    Terms { head_only, ..Terms::last(Version::Http11) }.answer(out, &mut response, date);
}

#[inline(never)]
fn answer_early<'a, S: Stream>(
    out: &mut Output<'_, S>,
    early: Early<'a>,
    terms: &Terms,
    date: &[u8; 29],
) -> bool {
    let with_allow =
        |response: Response<'a>, allow: &str| response.header("allow", allow).unwrap_or_else(Response::from);
    let mut response: Response<'a> = match early {
        Early::NotFound => Error::not_found("There is nothing at this path.").into(),
        Early::MethodNotAllowed(allow) => {
            with_allow(Error::new(405, "The method is not allowed here.").into(), allow)
        }
        Early::Options(allow) => with_allow(Response::empty(204), allow),
        Early::MethodUnknown => Error::new(501, "The method is not known.").into(),
        Early::BadParameter => Error::bad_request("The path is not UTF-8 once decoded.").into(),
    };
    terms.answer(out, &mut response, date).keeps()
}

/// The response to a handshake that was refused.
pub(in crate::engine) fn rejected(rejected: crate::ws::Rejected) -> Response<'static> {
    let mut response = Response::from(Error::new(rejected.status(), rejected.to_string()));
    for (name, value) in rejected.fields() {
        // Upgrade and Connection do not go in here: the encoder writes them with every 426.
        let _ = response.fields.push(name, value.as_bytes());
    }
    response
}
