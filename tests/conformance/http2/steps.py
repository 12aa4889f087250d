"""The steps of a case: what is sent besides plain bytes, and what is expected.

A step is bytes, which are sent, or a function of the connection. A function that is not satisfied raises `Unmet`.
"""
import re
import socket
import struct
import time

from connection import WAIT
from frames import (FLOW_CONTROL_ERROR, LARGEST, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, NO_ERROR, PROTOCOL_ERROR,
                    REFUSED_STREAM, code_name, data, frame, headers, ping, window_update)
from messages import field_block, request


class Unmet(Exception):
    """The server did not do what the case expects."""


class Expect:
    """An expectation. `check` returns None if it is met, and otherwise the reason.

    `final`: waiting longer will not help. `over`: the connection is expected to have ended.
    """

    def __init__(self, text, check, final=lambda conn: False, over=False):
        self.text, self.check, self.final, self.over = text, check, final, over

    def options(self):
        return [self]

    def __call__(self, conn):
        met = lambda: next((e for e in self.options() if e.check(conn) is None), None)  # noqa: E731
        conn.wait(lambda: met() or self.final(conn))
        if not (chosen := met()):
            raise Unmet("expected %s" % self.text)
        conn.over = conn.over or chosen.over


class either(Expect):
    """One of these expectations."""

    def __init__(self, *expectations):
        self.all = [e for expectation in expectations for e in expectation.options()]
        super().__init__(" or ".join(e.text for e in self.all), None)

    def options(self):
        return self.all


def codes_text(codes):
    return "|".join(map(code_name, codes))


def goaway(*codes):
    """A connection error (RFC 9113 5.4.1): GOAWAY with one of these codes, then the end of the connection."""
    return Expect("GOAWAY %s and the end" % codes_text(codes),
                  lambda c: None if c.eof and c.goaway in codes else "no GOAWAY", over=True)


def closed(*codes):
    """The connection ends. If there is a GOAWAY, it has one of these codes; without codes, any."""
    return Expect("the end of the connection",
                  lambda c: None if c.eof and (c.goaway is None or not codes or c.goaway in codes) else "open",
                  over=True)


def http1():
    """An answer in HTTP/1.1."""
    return Expect("an HTTP/1.1 answer", lambda c: None if c.http1 else "none")


def reset(stream, *codes):
    """A stream error (RFC 9113 5.4.2): RST_STREAM with one of these codes."""
    def check(conn):
        if conn.escalation and conn.eof and conn.goaway in codes:
            conn.over = True
            return None
        return None if stream in conn.streams and conn.streams[stream].reset in codes else "no RST_STREAM"
    return Expect("RST_STREAM %s on stream %d" % (codes_text(codes), stream), check)


def answer(stream=1, status="200", content=None, fields=(), absent=(), length=None, ended=True):
    """A response. A status is a regular expression, and so are the values of `fields`."""
    def check(conn):
        got = conn.streams.get(stream)
        if not got or not got.fields or ended and not got.ended:
            return "no response"
        if not re.fullmatch(status, got.status):
            return "status %s" % got.status
        if content is not None and bytes(got.content) != content or length is not None and len(got.content) != length:
            return "content"
        for name, pattern in dict(fields).items():
            if not re.fullmatch(pattern, ", ".join(got.all(name)), re.S):
                return "field %s" % name
        if any(got.all(name) for name in absent):
            return "a field that must be absent"
        declared = got.all("content-length")
        if declared and ended and got.content and int(declared[0]) != len(got.content):
            return "content-length"
        return None
    what = "%s on stream %d" % (status, stream)
    what += " with %d octets" % len(content) if content is not None else ""
    what += " with %s" % dict(fields) if fields else ""
    return Expect(what, check,
        lambda c: stream in c.streams and (c.streams[stream].ended or c.streams[stream].reset is not None))


def interim(stream, status):
    """An informational response."""
    def check(conn):
        got = conn.streams.get(stream)
        seen = [dict(f)[b":status"].decode() for f in got.informational] if got else []
        return None if status in seen else "no %s" % status
    return Expect("%s on stream %d" % (status, stream), check)


def stream_error(stream, *codes):
    """A stream error. 5.4.1 allows a connection error instead, which only some cases accept."""
    return either(reset(stream, *codes), goaway(*codes))


def malformed(stream=1):
    """The reaction to a malformed request (RFC 9113 8.1.1): a stream error, or a 4xx response before it."""
    return either(reset(stream, PROTOCOL_ERROR), answer(stream, "4..", ended=False))


def refused_field(stream=1):
    """A request that the server may take as malformed, or answer."""
    return either(reset(stream, PROTOCOL_ERROR), answer(stream, "4..", ended=False), answer(stream, "2.."))


def acks(count):
    """This many acknowledgements of SETTINGS in total; the first is for the preface."""
    return Expect("%d SETTINGS acknowledgements" % count, lambda c: None if c.acks >= count else "%d" % c.acks)


def pong(*payloads):
    """Answers to PING with exactly these payloads, in this order."""
    return Expect("PING ACK", lambda c: None if c.pongs == list(payloads) else "%r" % c.pongs,
                  lambda c: len(c.pongs) >= len(payloads))


def barrier(conn, payload=b"barrier!"):
    """Waits until the server has processed everything sent so far: a PING is answered."""
    count = len(conn.pongs)
    conn.send(ping(payload))
    if not conn.wait(lambda: len(conn.pongs) > count):
        raise Unmet("expected an answer to PING")
    if conn.pongs.pop() != payload:
        raise Unmet("expected the payload of the PING")


def ignored_or(stream, *codes):
    """The server ignores what was sent, or treats it as a stream or connection error with one of these codes."""
    def step(conn):
        count = len(conn.pongs)
        conn.send(ping(b"ignored?"))
        conn.wait(lambda: len(conn.pongs) > count)
        if conn.goaway is not None and conn.goaway in codes and conn.wait(lambda: conn.eof):
            conn.over = True
        elif len(conn.pongs) == count or conn.goaway is not None:
            raise Unmet("expected an answer to PING, or GOAWAY %s" % codes_text(codes))
        elif stream in conn.streams and conn.streams[stream].reset not in (None, *codes):
            raise Unmet("expected nothing or RST_STREAM %s" % codes_text(codes))
    return step


def silent(stream=1):
    """No frame on the stream, up to a PING."""
    def step(conn):
        barrier(conn)
        conn.wait(lambda: False, 0.1)
        if stream in conn.streams and conn.streams[stream].summary() != "nothing":
            raise Unmet("expected nothing on stream %d" % stream)
    return step


def content(stream, count, more=False):
    """Exactly this many octets of content so far; the server stops there."""
    def step(conn):
        got = conn.stream(stream)
        if not conn.wait(lambda: len(got.content) >= count):
            raise Unmet("expected %d octets on stream %d" % (count, stream))
        if not more:
            barrier(conn)
            conn.wait(lambda: len(got.content) > count, 0.1)
            if len(got.content) != count or got.ended:
                raise Unmet("expected exactly %d octets on stream %d" % (count, stream))
    return step


def upload(stream, content, end=True, pad=None, size=16384):
    """Sends content within the windows, as the server replenishes them."""
    def step(conn):
        at, cost = 0, 0 if pad is None else pad + 1
        while at < len(content) or not content:
            room = lambda: min(conn.sendable, conn.stream(stream).sendable, size) - cost  # noqa: E731
            if not conn.wait(lambda: room() > 0 or conn.stream(stream).reset is not None) or room() <= 0:
                raise Unmet("expected WINDOW_UPDATE, after %d octets" % at)
            part = content[at:at + room()]
            at += len(part)
            conn.send(data(stream, part, end and at == len(content), pad))
            if not content:
                break
    return step


def replenish(conn, stream, least=1000):
    """Opens the windows for a response of at least this size."""
    if conn.window < least:
        conn.send(window_update(0, least - conn.window))
    if conn.stream(stream).window < least:
        conn.send(window_update(stream, least - conn.stream(stream).window))


def alive(conn, number=None):
    """The connection serves another request."""
    if number is None:
        number = max([999, *conn.streams]) + 2
    conn.send(headers(number, field_block(request())))
    replenish(conn, number, 4096)
    answer(number)(conn)


def not_modified(conn):
    """Asks for a page again with its ETag, if it has one. The connection checks that a 304 has no content."""
    conn.send(headers(1, field_block(request("GET", "/"))))
    replenish(conn, 1, 1 << 20)
    answer(1)(conn)
    if tags := conn.stream(1).all("etag"):
        conn.send(headers(3, field_block(request("GET", "/", ("if-none-match", tags[0])))))
        answer(3, "304", content=b"")(conn)


def windows(stream, size):
    """Enlarges both windows to at least this size."""
    return lambda conn: replenish(conn, stream, size)


def shut_down(conn):
    """Ends the sending side."""
    try:
        socket.socket.shutdown(conn.sock, socket.SHUT_WR)      # of TCP, without close_notify
    except OSError:
        pass


def pieces(octets, size=1, pause=0.0005):
    """Sends bytes in pieces."""
    def step(conn):
        for at in range(0, len(octets), size):
            conn.send(octets[at:at + size])
            conn.pump(pause)
    return step


def oversize(kind, flags, stream, fill=b"\0", prefix=b""):
    """Sends a frame one octet larger than the server's SETTINGS_MAX_FRAME_SIZE, if there is such a frame."""
    def step(conn):
        size = conn.peer.get(MAX_FRAME_SIZE, 16384) + 1
        if size < 1 << 24:
            conn.send(frame(kind, flags, stream, prefix + fill * (size - len(prefix))))
    return step


def overrun(stream, other=None):
    """Sends more DATA than a window allows, then expects FLOW_CONTROL_ERROR.

    The server may have enlarged the window meanwhile. If it did so before each frame, nothing was beyond the window.
    `other` is a list of streams that take turns, to exceed the window of the connection.
    """
    def step(conn):
        turns, sent = other or [stream], 0
        total = conn.sendable if other else conn.stream(stream).sendable
        if total > 1 << 24:
            return
        while sent <= total:
            burst = b"".join(data(s, bytes(16384)) for s in turns * (1 if other else 4))
            conn.send(burst)
            sent += 16384 * len(turns) * (1 if other else 4)
        conn.wait(lambda: conn.eof or any(conn.stream(s).reset is not None for s in turns), 1.0)
        if conn.goaway is not None or conn.eof:
            if conn.goaway != FLOW_CONTROL_ERROR or not conn.wait(lambda: conn.eof):
                raise Unmet("expected FLOW_CONTROL_ERROR")
            conn.over = True
        elif any(conn.stream(s).reset is not None for s in turns):
            if not all(conn.stream(s).reset in (None, FLOW_CONTROL_ERROR) for s in turns):
                raise Unmet("expected FLOW_CONTROL_ERROR")
        else:
            barrier(conn)
            if conn.sendable < 0 or any(conn.stream(s).sendable < 0 for s in turns):
                raise Unmet("expected FLOW_CONTROL_ERROR, or windows that cover what was sent")
    return step


def too_many_streams(conn):
    """Opens as many streams as the server allows, and one more."""
    limit = conn.peer.get(MAX_CONCURRENT_STREAMS, LARGEST)
    if limit > 2000:
        return
    block = field_block(request("POST", "/echo"))
    numbers = range(1, 2 * limit + 2, 2)
    conn.send(b"".join(headers(n, block, end=False) for n in numbers))
    stream_error(numbers[-1], REFUSED_STREAM, PROTOCOL_ERROR)(conn)
    if conn.over:
        return
    if any(conn.stream(n).reset is not None for n in numbers[:-1]):
        raise Unmet("expected only the last stream to be refused")
    conn.send(b"".join(data(n, b"x", end=True) for n in numbers[:-1]))
    for n in numbers[:-1]:
        answer(n, content=b"x")(conn)


def flood(octets, must_end=False, codes=(), sync=True):
    """Sends a flood. The server ends the connection, with GOAWAY of any kind or without, or it still serves requests.

    With `must_end` only the former is accepted: processing it all would cost memory without a bound. `sync` is False
    if a PING cannot follow.
    """
    def step(conn):
        at = 0
        while at < len(octets) and not conn.eof and not conn.broken_pipe:
            conn.send(octets[at:at + (1 << 17)])
            at += 1 << 17
        if sync and not must_end:
            conn.send(ping(b"flooded?"))
            conn.wait(lambda: conn.eof or b"flooded?" in conn.pongs, 4 * WAIT)
        conn.wait(lambda: conn.eof, WAIT if must_end else 0.2)
        if conn.goaway not in (None, NO_ERROR):
            conn.wait(lambda: conn.eof)
        if conn.eof or conn.broken_pipe:
            conn.over = True
        elif must_end or conn.goaway not in (None, NO_ERROR):
            raise Unmet("expected the end of the connection")
        if codes and conn.goaway is not None and conn.goaway not in codes:
            raise Unmet("expected GOAWAY %s" % codes_text(codes))
    return step


def deaf_flood(unit, limit):
    """Sends frames that must be answered, and does not read. The server stops reading, or ends the connection.

    Otherwise it would queue the answers without a bound.
    """
    def step(conn):
        octets = unit * max(1, limit // len(unit))
        sent = conn.send_deaf(octets, 6)
        if sent == len(octets) and not conn.broken_pipe:
            # A server that has ended the connection may discard what still arrives.
            conn.parse = conn.data.clear
            if not conn.wait(lambda: conn.eof):
                raise Unmet("expected the server to stop reading, it took %d octets" % sent)
        conn.eof = True
        conn.over = True
    return step


def drain(conn, seconds=0.2):
    """Reads for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not conn.eof:
        conn.pump(end - time.monotonic())


def abort(conn):
    """Resets the TCP connection."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.over = True
