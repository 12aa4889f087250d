//! Frames responses and writes them to the output, refusals and other fixed answers included.
//!
//! It knows no decoder, no connection and no transfer. Its invariant: status lines and framing fields are written only
//! by `http1::encode_head`, with what [`ResponseContext`] says about the connection.

use super::sending::Frame;
use crate::app::{App, Awaited, Body, ConnId, Error, FieldBlock, Response, no_memory};
use crate::engine::context::Services;
use crate::engine::cork::Cork;
use crate::engine::output::Output;
use crate::http1::{self, ConnectionHeader, ContentLength, Refusal, ResponseHead, Version};
use crate::http2;
use crate::transport::Stream;

/// What framing depends on besides the response itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct ResponseContext {
    pub(in crate::engine) version: Version,
    pub(in crate::engine) keep_alive: bool,
    /// The request was HEAD.
    pub(in crate::engine) head_only: bool,
}

/// What follows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum AfterAnswer {
    /// The connection may be used again.
    KeepAlive,
    /// This was the last answer.
    Close,
    /// The answer, or its content, is not there yet. The response's body is still [`Body::Pending`].
    Pending,
}

impl ResponseContext {
    /// Returns the context of the last response on a connection, whose request could not be read.
    pub(in crate::engine) fn last(head_only: bool, is_stream: bool) -> ResponseContext {
        let version = if is_stream { Version::Http2 } else { Version::Http11 };
        ResponseContext { version, keep_alive: false, head_only }
    }

    /// Returns the context of the response on a stream of HTTP/2, which has only one.
    pub(in crate::engine) fn of_stream(head_only: bool) -> ResponseContext {
        ResponseContext::last(head_only, true)
    }

    /// Encodes a response: RFC 9112 §6 for its framing, §9.6 for what becomes of the connection.
    /// A large body is taken out of the response.
    #[inline(always)]
    pub(in crate::engine) fn answer<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &mut Response<'_>,
        date: &[u8; 29],
    ) -> AfterAnswer {
        let bytes = match &response.body {
            Body::Pending(_) => return self.answer_later(out, response, date),
            body => body.len(),
        };
        if out.is_short_for(bytes) && matches!(response.body, Body::Borrowed(_) | Body::Owned(_)) {
            return self.answer_short(out, response, date);
        }
        let keep_alive = self.keep_alive && !response.close;
        let connection = self.connection(keep_alive, response.status);
        let (content, silent) = content_length(response.status, bytes);
        let fields = response.fields.bytes();
        let head = ResponseHead { status: response.status, fields, content, connection, date };
        self.encode(out.cork, &head, response.close);
        if !silent && !self.head_only {
            out.body(&mut response.body);
        }
        if keep_alive { AfterAnswer::KeepAlive } else { AfterAnswer::Close }
    }

    /// The same, out of line: the code of HTTP/1.1's path is short because it is inlined there alone.
    #[inline(never)]
    pub(in crate::engine) fn answer_apart<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &mut Response<'_>,
        date: &[u8; 29],
    ) -> AfterAnswer {
        self.answer(out, response, date)
    }

    #[inline]
    fn connection(&self, keep_alive: bool, status: u16) -> ConnectionHeader {
        match (keep_alive, self.version) {
            // RFC 9113 §8.2.2: HTTP/2 has no fields for it.
            (_, Version::Http2) => ConnectionHeader::Implied,
            // RFC 9110 §15.5.22: a 426 names the protocol to upgrade to.
            (true, Version::Http11) if status == 426 => ConnectionHeader::Upgrade,
            (true, Version::Http11) => ConnectionHeader::Implied,
            (true, Version::Http10) => ConnectionHeader::KeepAlive,
            (false, _) if status == 426 => ConnectionHeader::UpgradeClose,
            (false, _) => ConnectionHeader::Close,
        }
    }

    /// Answers 503 instead: if the peer is slow to take the content, there is no memory for the rest of it.
    #[cold]
    fn answer_short<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &mut Response<'_>,
        date: &[u8; 29],
    ) -> AfterAnswer {
        let close = response.close;
        *response = no_memory().into();
        response.close = close;
        self.answer_apart(out, response, date)
    }

    /// Encodes what is known of a response whose body is pending: nothing if another thread makes the answer, the head
    /// if a source makes the content.
    #[inline(never)]
    fn answer_later<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &mut Response<'_>,
        date: &[u8; 29],
    ) -> AfterAnswer {
        let Body::Pending(pending) = &response.body else {
            unreachable!("only a pending body is answered later");
        };
        let length = match pending.awaited() {
            Some(Awaited::Answer(_)) | None => return AfterAnswer::Pending,
            Some(Awaited::Source(streamed)) => streamed.length,
            Some(Awaited::Events(_)) => None,
        };
        let (empty, silent) = content_length(response.status, 0);
        let has_content = !silent && !self.head_only;
        if has_content && matches!(pending.awaited(), Some(Awaited::Events(_))) {
            // The head depends on whether there is room for the subscription.
            return AfterAnswer::Pending;
        }
        if !has_content {
            // Done before the head is encoded: dropping a source runs the application's code, which may panic.
            response.body = Body::Empty;
        }
        let (context, frame) = self.streaming(length, response.close);
        context.head(out, response, if silent { empty } else { frame.content_length() }, date);
        match context.keep_alive {
            _ if has_content => AfterAnswer::Pending,
            true => AfterAnswer::KeepAlive,
            false => AfterAnswer::Close,
        }
    }

    /// Encodes the head of a response whose content, if it has any, follows in pieces. `self` is what
    /// [`streaming`](ResponseContext::streaming) has returned.
    pub(in crate::engine) fn head<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        response: &Response<'_>,
        content: ContentLength,
        date: &[u8; 29],
    ) {
        let connection = self.connection(self.keep_alive, response.status);
        let fields = response.fields.bytes();
        let head = ResponseHead { status: response.status, fields, content, connection, date };
        self.encode(out.cork, &head, response.close);
    }

    /// Appends a head. In HTTP/2 it names no stream yet, and carries with it whether the response asks for the end of the
    /// connection: that is no matter of its stream.
    #[inline(always)]
    fn encode(&self, cork: &mut Cork, head: &ResponseHead<'_>, close: bool) {
        match self.version {
            Version::Http2 => http2::push_head_frames(cork, head, close),
            Version::Http10 | Version::Http11 => http1::encode_head(cork, head),
        }
    }

    /// Returns how content from a source is framed, and the context of the rest of the response. `close`: the response
    /// asks for the connection to be closed.
    pub(in crate::engine) fn streaming(&self, length: Option<u64>, close: bool) -> (ResponseContext, Frame) {
        let frame = match (length, self.version) {
            (Some(left), _) => Frame::Counted { left },
            (None, Version::Http11) => Frame::Chunks,
            // RFC 9112 §6.3: content without framing ends with the connection.
            (None, Version::Http10) => Frame::Close,
            // It ends with the stream.
            (None, Version::Http2) => Frame::Close,
        };
        let keep_alive = self.keep_alive && !close && frame != Frame::Close;
        (ResponseContext { keep_alive, ..*self }, frame)
    }

    /// Answers a request that cannot be read, or whose content is refused. The caller closes the connection.
    #[cold]
    pub(in crate::engine) fn refuse<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        conn: ConnId,
        refusal: Refusal,
        app: &App,
        services: &mut Services,
    ) {
        self.refuse_begun(out, conn, refusal, &FieldBlock::NONE, app, services);
    }

    /// The same for the rest of an upload that has begun. `fields` are those of its layers.
    #[cold]
    pub(in crate::engine) fn refuse_begun<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        conn: ConnId,
        refusal: Refusal,
        fields: &FieldBlock,
        app: &App,
        services: &mut Services,
    ) {
        services.counters.count_refused(refusal);
        let error = match refusal {
            Refusal::NoMemory => no_memory(),
            refusal => Error::new(refusal.status(), refusal.to_string()),
        };
        self.answer_unread(out, conn, error, fields, app, services);
    }

    /// Answers a client that asks for a tunnel where there is none.
    #[cold]
    pub(in crate::engine) fn refuse_tunnel<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        conn: ConnId,
        app: &App,
        services: &mut Services,
    ) {
        let error = Error::new(501, "There is no WebSocket.");
        self.answer_unread(out, conn, error, &FieldBlock::NONE, app, services);
    }

    /// Sends the last answer of a connection, whose request is not read to its end.
    fn answer_unread<S: Stream>(
        &self,
        out: &mut Output<'_, S>,
        conn: ConnId,
        error: Error,
        fields: &FieldBlock,
        app: &App,
        services: &mut Services,
    ) {
        let mut response = app.error_response(error, &mut services.counters.panics);
        response.fields.put_in_front(fields);
        let (status, before) = (response.status, out.cork.position());
        ResponseContext { keep_alive: false, ..*self }.answer_apart(out, &mut response, services.date.text());
        if services.completions.is_on() {
            services.completions.refused(conn, status, before, out.cork.position());
        }
    }
}

/// Returns how content of this length is framed, and whether a response with this status has none (RFC 9110 §6.4.1). RFC
/// 9110 §8.6: a 204 has no Content-Length, and a 304 may only have that of the 200 it stands for. A 205 states that it is
/// empty (§15.3.6).
#[inline]
pub(in crate::engine) fn content_length(status: u16, bytes: u64) -> (ContentLength, bool) {
    match status {
        204 | 304 => (ContentLength::None, true),
        205 => (ContentLength::Known(0), true),
        _ => (ContentLength::Known(bytes), false),
    }
}

/// Asks a client for the content that it holds back (RFC 9110 §10.1.1).
#[cold]
pub(in crate::engine) fn ask_for_content<S: Stream>(version: Version, out: &mut Output<'_, S>) {
    out.cork.extend_from_slice(if version == Version::Http2 { http2::CONTINUE } else { http1::CONTINUE });
}

/// Whether a client that has sent CONNECT takes an answer for an open tunnel. A deferred answer counts as 200.
pub(in crate::engine) fn opens_tunnel(answer: &Result<Response<'_>, Error>) -> bool {
    answer.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status))
}

/// Whether the request that begins with these bytes is HEAD. Its answer has no content (RFC 9110 §9.3.2), even if the
/// request is refused, or its content is refused or never arrives.
pub(in crate::engine) fn is_head(request: &[u8]) -> bool {
    request.starts_with(b"HEAD ")
}

/// Answers a request that was not finished in time (RFC 9110 §15.5.9). `fields` are those of its layers, if it is an upload
/// that has begun.
pub(in crate::engine) fn request_timed_out<S: Stream>(
    out: &mut Output<'_, S>,
    conn: ConnId,
    head_only: bool,
    fields: &FieldBlock,
    app: &App,
    services: &mut Services,
) {
    let error = Error::new(408, "The request took too long to arrive.");
    ResponseContext::last(head_only, out.io.stream.is_multiplexed())
        .answer_unread(out, conn, error, fields, app, services);
}
