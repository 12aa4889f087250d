"""Floods: what costs a server more than its client (RFC 9113 10.5).

A server may send GOAWAY with ENHANCE_YOUR_CALM, close the connection, or keep up, if what it queues is bounded.
"""
import frames as f
from frames import ENHANCE_YOUR_CALM, INTERNAL_ERROR, PROTOCOL_ERROR, frame
from messages import field_block, get, post, request
from steps import abort, answer, barrier, closed, deaf_flood, either, flood, reset, shut_down
from suite import case

COUNT = 20000
GET = field_block(request())
CALM = (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, INTERNAL_ERROR)

# --- the server keeps up, or ends the connection ---
for name, octets in {
    "ping": f.ping() * COUNT, "settings": f.settings((1, 4096)) * COUNT, "settings-empty": f.settings() * COUNT,
    "priority": f.priority(1) * COUNT, "priority-many-streams": b"".join(f.priority(2 * i + 1,
    f.weight(2 * i + 3)) for i in range(COUNT)),
    "window-update": f.window_update(0, 1) * COUNT, "unknown-type": frame(0xbb, 0, 0) * COUNT,
    "ping-ack": f.ping(flags=f.ACK) * COUNT, "settings-ack": f.settings(flags=f.ACK) * COUNT,
    "priority-update": f.priority_update(1) * COUNT,
    "priority-update-many-streams": b"".join(f.priority_update(2 * i + 1, b"u=1") for i in range(COUNT)),
}.items():
    case("flood/" + name, "9113 10.5", "20,000 frames are processed, or end the connection", flood(octets))
case("flood/data-empty", "9113 10.5", "20,000 empty DATA frames are processed, or end the connection",
     flood(post(1) + f.data(1) * COUNT))
case("flood/data-padding-only", "9113 10.5", "DATA frames of padding are processed, or end the connection",
     flood(post(1) + f.data(1, pad=0) * 2000))
case("flood/window-update-stream", "9113 10.5", "20,000 WINDOW_UPDATE frames are processed, or end the connection",
     flood(post(1) + f.window_update(1, 1) * COUNT))
case("flood/data-one-octet", "9113 10.5", "20,000 DATA frames of 1 octet are content, or end the connection",
     flood(post(1) + f.data(1, b"x") * COUNT))
case("flood/reset", "9113 10.5, 5.1.2", "20,000 requests that are reset at once are processed, or end the connection",
     flood(b"".join(f.headers(n, GET) + f.rst_stream(n) for n in range(1, 2 * COUNT, 2))))
case("flood/reset-upload", "9113 10.5, 5.1.2",
     "20,000 uploads that are reset at once are processed, or end the connection",
     flood(b"".join(post(n) + f.rst_stream(n) for n in range(1, 2 * COUNT, 2))))
case("flood/malformed", "9113 10.5", "20,000 malformed requests are refused, or end the connection",
     flood(b"".join(f.headers(n, b"\x82") for n in range(1, 2 * COUNT, 2))))
case("flood/reset-by-window-update", "9113 10.5",
     "requests that make the server reset streams are refused, or end the connection",
     flood(b"".join(post(n) + f.window_update(n, 0) for n in range(1, 2 * COUNT, 2))))
case("flood/requests", "9113 10.5, 5.1.2", "requests beyond the limit of streams are refused, or end the connection",
     flood(b"".join(post(n) for n in range(1, 10001, 2))), end="any")
case("flood/initial-window-size", "9113 10.5",
     "20,000 changes of the initial window size are processed, or end the connection",
     flood(b"".join(post(n) for n in range(1, 101,
     2)) + b"".join(f.settings((f.INITIAL_WINDOW_SIZE, 60000 + i % 2)) for i in range(COUNT))))

# --- what would have no bound must end ---
case("flood/continuation", "9113 10.5, 6.10", "a field block without an end ends the connection",
     f.headers(1, GET, done=False), flood(f.continuation(1, b"\x00\x03x-a\x10" + b"v" * 16, done=False) * COUNT,
     must_end=True, codes=CALM))
for name, block in {"empty": b"", "one-octet": b"\x90"}.items():
    case("flood/continuation-" + name, "9113 10.5, 6.10",
         "20,000 small CONTINUATION frames are processed, or end the connection",
         f.headers(1, GET, done=False), flood(f.continuation(1, block, done=False) * COUNT, sync=False),
         f.continuation(1, b""),
         either(closed(*CALM), answer(1, "200|431|400", ended=False), reset(1, *CALM)), end="any")
case("flood/continuation-large", "9113 10.5, 6.10", "a field block of 32 MiB ends the connection",
     f.headers(1, GET, done=False), flood(f.continuation(1, b"\x90" * 16384, done=False) * 2000, must_end=True,
     codes=CALM))
case("flood/table-size-updates", "9113 10.5", "table size updates without an end end the connection",
     f.headers(1, b"", done=False), flood(f.continuation(1, b"\x20" * 16384, done=False) * 200, must_end=True,
                                          codes=(*CALM, f.COMPRESSION_ERROR)))

# --- answers that are not read ---
for name, unit in {
    "ping": f.ping() * 100, "settings": f.settings() * 100,
}.items():
    case("deaf/" + name, "9113 10.5", "answers are not queued without a bound while the client does not read",
         deaf_flood(unit, 40 << 20), receive_buffer=4096)
case("deaf/responses", "9113 10.5", "responses are not queued without a bound while the client does not read",
     deaf_flood(b"".join(get(n, "/", ("x-a", "v" * 1000)) for n in range(1, 60001, 2)), 1 << 25), receive_buffer=4096)

# --- a client that goes away ---
case("gone/half-closed", "9113 5.4.1",
     "a request is answered although the client has ended its sending side, or the connection is closed",
     get(1), shut_down, lambda conn: conn.wait(lambda: conn.eof), end="any")
case("gone/aborted-upload", "9113 5.4.1", "the connection may break inside an upload", post(1) + f.data(1, b"x" * 1000),
     abort, end="any")
case("gone/aborted-response", "9113 5.4.1", "the connection may break while a response is blocked",
     get(1), answer(ended=False), abort, settings=[(f.INITIAL_WINDOW_SIZE, 0)], end="any")
case("gone/aborted-handshake", "9113 3.4", "the connection may break after the preface", f.PREFACE, abort, start=False,
     end="any")
case("gone/slow-reader", "9113 5.2", "a slow reader is served in the end",
     get(1), lambda conn: conn.wait(lambda: False, 0.3), answer(), barrier)
