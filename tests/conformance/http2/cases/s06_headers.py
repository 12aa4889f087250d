"""Field blocks: HEADERS, CONTINUATION and priorities (RFC 9113 4.3, 5.3, 6.2, 6.3, 6.10; RFC 9218)."""
import frames as f
from frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR, LARGEST, PROTOCOL_ERROR, frame
from messages import echo, field_block, get, post, request
from steps import (answer, barrier, closed, either, goaway, ignored_or, pieces, reset, silent)
from suite import case

GET = field_block(request())
PARTS = [GET[:9], GET[9:20], GET[20:]]
FIRST = f.headers(1, PARTS[0], done=False)
REST = GET[9:]

# --- 6.10: CONTINUATION ---
case("continuation/one", "9113 6.10", "a field block may have two frames", FIRST + f.continuation(1, REST), answer())
case("continuation/two", "9113 6.10", "a field block may have three frames",
     FIRST + f.continuation(1, PARTS[1], done=False) + f.continuation(1, PARTS[2]), answer())
case("continuation/empty-headers", "9113 6.10", "HEADERS may be empty",
     f.headers(1, b"", done=False) + f.continuation(1, GET), answer())
case("continuation/empty-end", "9113 6.10", "the last CONTINUATION may be empty",
     f.headers(1, GET, done=False) + f.continuation(1, b""), answer())
case("continuation/empty-middle", "9113 6.10", "a CONTINUATION in the middle may be empty",
     FIRST + f.continuation(1, b"", done=False) + f.continuation(1, REST), answer())
case("continuation/octet-by-octet", "9113 6.10", "a field block may be split anywhere, or the server has had enough",
     f.headers(1, GET[:1], done=False) + b"".join(f.continuation(1, GET[i:i + 1],
     done=i == len(GET) - 1) for i in range(1, len(GET))),
     either(answer(), closed(ENHANCE_YOUR_CALM)))
for at in range(1, len(GET), 6):
    case("continuation/split-at-%d" % at, "9113 4.3", "a field block may be split between any octets",
         f.headers(1, GET[:at], done=False) + f.continuation(1, GET[at:]), answer())
case("continuation/several-writes", "9113 6.10", "the frames of a field block may arrive apart",
     FIRST, lambda conn: conn.pump(0.05), f.continuation(1, REST), answer())
case("continuation/post", "9113 6.10", "END_STREAM is on HEADERS, not on CONTINUATION",
     f.headers(1, field_block(request("POST", "/echo")), end=False, done=False) + frame(f.CONTINUATION, 5,
     1) + f.data(1, b"x", end=True),
     answer(content=b"x"))
case("continuation/trailers", "9113 8.1", "a trailer section may have CONTINUATION",
     post(1) + f.data(1, b"x") + f.headers(1, b"", done=False) + f.continuation(1, field_block([("x-a", "b")])),
     answer(content=b"x"))
case("continuation/large", "9113 6.10", "CONTINUATION may carry more than HEADERS",
     f.headers(1, GET, done=False) + f.continuation(1, field_block([("x-a", "v" * 4000)])), answer(1, "200|431"))
case("continuation/pieces", "9113 6.10", "a field block may arrive octet by octet",
     pieces(FIRST + f.continuation(1, REST)), answer())
case("continuation/two-requests", "9113 4.3", "two field blocks follow each other",
     FIRST + f.continuation(1, REST) + f.headers(3, PARTS[0], done=False) + f.continuation(3, REST), answer(),
     answer(3))
for name, octets in {
    "unexpected-idle": f.continuation(1, GET), "unexpected-after-headers": get(1) + f.continuation(1, GET),
    "unexpected-after-open": post(1) + f.continuation(1, GET),
    "unexpected-after-data": post(1) + f.data(1, b"x") + f.continuation(1, GET),
    "after-end-headers": FIRST + f.continuation(1, REST) + f.continuation(1, b""),
    "other-stream": FIRST + f.continuation(3, REST), "stream-0": FIRST + f.continuation(0, REST),
    "then-data": FIRST + f.data(1, b"x"), "then-headers": FIRST + f.headers(1, REST),
    "then-headers-other": FIRST + get(3),
    "then-priority": FIRST + f.priority(1) + f.continuation(1, REST),
    "then-priority-other": FIRST + f.priority(3) + f.continuation(1, REST),
    "then-rst-stream": FIRST + f.rst_stream(1), "then-window-update": FIRST + f.window_update(1, 1) + f.continuation(1,
    REST),
    "then-window-update-0": FIRST + f.window_update(0, 1) + f.continuation(1, REST),
    "then-push-promise": FIRST + f.push_promise(1, 2, GET),
    "then-data-other": post(3) + FIRST + f.data(3, b"x") + f.continuation(1, REST),
    "then-priority-update": FIRST + f.priority_update(1) + f.continuation(1, REST),
    "trailers-interrupted": post(1) + f.headers(1, b"", done=False) + f.data(1, b"x"),
    "second-part-interrupted": FIRST + f.continuation(1, PARTS[1], done=False) + f.ping() + f.continuation(1, PARTS[2]),
}.items():
    codes = [PROTOCOL_ERROR, COMPRESSION_ERROR] if name in ("other-stream", "stream-0") else [PROTOCOL_ERROR]
    case("continuation/" + name, "9113 6.10", "nothing may interrupt a field block, and CONTINUATION needs one", octets,
         goaway(*codes[:1]))
case("continuation/compression-after-reset", "9113 4.3", "the field block of a refused request still updates the table",
     f.headers(1, field_block(request("POST", "/echo", ("Upper", "x"))) + b"\x40\x03x-a\x01b", end=True),
     either(reset(1, PROTOCOL_ERROR), answer(1, "4..", ended=False)), f.headers(3, GET + b"\xbe"), answer(3))

# --- 6.2: HEADERS ---
case("headers/priority-flag", "9113 5.3.2", "the priority of HEADERS is ignored",
     f.headers(1, GET, priority=f.weight(0, 255)), answer())
case("headers/priority-exclusive", "9113 5.3.2", "the priority of HEADERS is ignored",
     f.headers(1, GET, priority=f.weight(0, 0, exclusive=True)), answer())
case("headers/priority-on-other", "9113 5.3.2", "the priority of HEADERS is ignored",
     f.headers(3, GET, priority=f.weight(1)), answer(3))
case("headers/priority-on-later", "9113 5.3.2", "a priority may name a stream that does not exist",
     f.headers(1, GET, priority=f.weight(LARGEST)), answer())
case("headers/priority-on-itself", "9113 5.3.2",
     "a dependency on itself was an error in RFC 7540 and is ignored or an error now",
     f.headers(1, GET, priority=f.weight(1)), either(answer(), reset(1, PROTOCOL_ERROR), goaway(PROTOCOL_ERROR)))
case("headers/priority-in-trailers", "9113 6.2", "a trailer section may have a priority",
     post(1) + f.data(1, b"x") + f.headers(1, field_block([("x-a", "b")]), priority=f.weight()), answer(content=b"x"))
case("headers/empty-block", "9113 8.3.1", "a request without fields is malformed", f.headers(1, b""),
     either(reset(1, PROTOCOL_ERROR), answer(1, "4..", ended=False)))

# --- 6.3: PRIORITY ---
for name, octets in {
    "idle": f.priority(1), "exclusive": f.priority(1, f.weight(0, 255, exclusive=True)),
    "other": f.priority(3, f.weight(1)),
    "later": f.priority(1, f.weight(LARGEST)), "even": f.priority(2), "even-dependency": f.priority(1, f.weight(2)),
    "ten": b"".join(f.priority(n) for n in range(3, 23, 2)), "far": f.priority(LARGEST),
}.items():
    case("priority/" + name, "9113 5.3.2, 6.3", "PRIORITY is ignored", octets + get(1), answer())
case("priority/open", "9113 6.3", "PRIORITY on an open stream is ignored",
     post(1) + f.priority(1) + f.data(1, b"x", end=True), answer(content=b"x"))
case("priority/closed", "9113 6.3", "PRIORITY on a closed stream is ignored", get(1), answer(), f.priority(1) * 3,
     barrier)
case("priority/opens-nothing", "9113 5.1", "PRIORITY does not close lower streams", f.priority(9) + get(1) + get(3),
     answer(), answer(3))
for name, octets in {"idle": f.priority(1, f.weight(1)), "open": post(1) + f.priority(1, f.weight(1))}.items():
    case("priority/itself-" + name, "9113 5.3.2", "a dependency on itself is ignored or an error",
         octets, ignored_or(1, PROTOCOL_ERROR))
case("priority/idle-wrong-size", "9113 6.3", "PRIORITY of a wrong size is an error on an idle stream too",
     frame(f.PRIORITY, 0, 1, bytes(4)), either(reset(1, FRAME_SIZE_ERROR), goaway(FRAME_SIZE_ERROR)), end="any")

# --- RFC 9218 7.1: PRIORITY_UPDATE. A server that does not know it ignores it. ---
for name, octets in {
    "idle": f.priority_update(1), "later": f.priority_update(99), "empty-value": f.priority_update(1, b""),
    "incremental": f.priority_update(1, b"u=0, i"), "unknown-parameter": f.priority_update(1, b"u=7, x=?1"),
    "twice": f.priority_update(1) * 2,
}.items():
    case("priority-update/" + name, "9218 7.1", "PRIORITY_UPDATE is accepted", octets + get(1), answer())
case("priority-update/open", "9218 7.1", "PRIORITY_UPDATE is accepted for an open stream",
     post(1) + f.priority_update(1, b"u=1") + f.data(1, b"x", end=True), answer(content=b"x"))
case("priority-update/closed", "9218 7.1", "PRIORITY_UPDATE for a closed stream is ignored", get(1), answer(),
     f.priority_update(1), barrier)
case("priority-update/malformed-value", "9218 7.1", "a value that does not parse is ignored or an error",
     f.priority_update(1, b"u=;;;\xff"), ignored_or(1, PROTOCOL_ERROR))
case("priority-update/on-stream-1", "9218 7.1", "PRIORITY_UPDATE belongs to stream 0, or is unknown",
     post(1) + f.priority_update(1, stream=1), ignored_or(1, PROTOCOL_ERROR))
case("priority-update/on-idle-stream", "9218 7.1", "PRIORITY_UPDATE belongs to stream 0, or is unknown",
     f.priority_update(1, stream=1), ignored_or(1, PROTOCOL_ERROR))
case("priority-update/stream-0", "9218 7.1", "PRIORITY_UPDATE for stream 0 is an error, or unknown",
     f.priority_update(0), ignored_or(1, PROTOCOL_ERROR))
for size in (0, 1, 3):
    case("priority-update/%d-octets" % size, "9218 7.1", "PRIORITY_UPDATE is too short, or unknown",
         frame(f.PRIORITY_UPDATE, 0, 0, bytes(size)), ignored_or(1, FRAME_SIZE_ERROR, PROTOCOL_ERROR))
for value in ("u=0", "u=7, i", "i=?0", "nonsense;;", ""):
    case("priority-field/" + (value.replace("=", "").replace(", ", "-").replace("?", "").replace(";", "") or "empty"),
         "9218 5",
         "the field priority is accepted, whatever it contains", get(1, "/json", ("priority", value)), answer())

# --- 6.4: RST_STREAM ---
case("rst-stream/upload", "9113 6.4", "RST_STREAM ends an upload", post(1) + f.data(1, b"x") + f.rst_stream(1),
     silent(1))
case("rst-stream/after-request", "9113 6.4", "RST_STREAM may cross the response", get(1) + f.rst_stream(1), barrier)
case("rst-stream/then-same-requests", "9113 6.4", "RST_STREAM leaves other streams alone",
     echo(1, b"1") + post(3) + f.rst_stream(3) + echo(5, b"5"), answer(content=b"1"), answer(5, content=b"5"))
case("rst-stream/malformed-size", "9113 6.4", "RST_STREAM of a wrong size is a connection error",
     post(1) + frame(f.RST_STREAM, 0, 1, bytes(6)), goaway(FRAME_SIZE_ERROR))
case("rst-stream/trailing-data", "9113 5.1", "several frames after RST_STREAM are ignored or errors",
     post(1) + f.rst_stream(1) + f.data(1, b"x") * 3, ignored_or(1, f.STREAM_CLOSED))
