"""Streams: states, identifiers and concurrency (RFC 9113 5.1, 5.1.1, 5.1.2)."""
import frames as f
from frames import CANCEL, INITIAL_WINDOW_SIZE, LARGEST, NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED
from messages import echo, field_block, get, post, request, trailers
from steps import (answer, barrier, content, either, goaway, ignored_or, malformed, reset, silent, stream_error,
    too_many_streams,
                   upload, windows)
from suite import case

GET = field_block(request())
UPPER = post(1, ("Upper", "x"))     # malformed
BLOCKED = [(INITIAL_WINDOW_SIZE, 0)]

# --- stream 0 and other streams ---
for name, octets in {
    "data": f.data(0, b"x"), "data-empty": f.data(0, end=True), "headers": f.headers(0, GET), "priority": f.priority(0),
    "rst-stream": f.rst_stream(0), "continuation": f.continuation(0, GET), "push-promise": f.push_promise(0, 2, GET),
}.items():
    case("stream-0/" + name, "9113 6", "a frame that belongs to a stream is an error on stream 0",
         octets, goaway(PROTOCOL_ERROR))
for number in (1, 2, 3):
    for name, octets in {
        "settings": f.settings(stream=number), "settings-ack": f.settings(stream=number, flags=1),
        "ping": f.ping(stream=number), "goaway": f.goaway(stream=number),
    }.items():
        case("stream-%d/%s" % (number, name), "9113 6",
             "a frame that belongs to the connection is an error on a stream",
             octets, goaway(PROTOCOL_ERROR))
for name, octets in {"settings": f.settings(stream=1), "ping": f.ping(stream=1), "goaway": f.goaway(stream=1)}.items():
    case("stream-open/" + name, "9113 6", "a frame that belongs to the connection is an error on an open stream",
         post(1) + octets, goaway(PROTOCOL_ERROR))

# --- 5.1: idle ---
for name, octets in {
    "data": f.data(1, b"x"), "data-end": f.data(1, b"x", end=True), "rst-stream": f.rst_stream(1),
    "window-update": f.window_update(1, 100), "continuation": f.continuation(1, GET),
    "push-promise": f.push_promise(1, 2, GET), "window-update-zero": f.window_update(1, 0),
    "rst-stream-higher": get(1) + f.rst_stream(3), "window-update-higher": get(1) + f.window_update(5, 1),
    "data-higher": get(1) + f.data(3, b"x"),
}.items():
    # 6.1 names STREAM_CLOSED for DATA, 5.1 PROTOCOL_ERROR.
    codes = (PROTOCOL_ERROR, STREAM_CLOSED) if "data" in name else (PROTOCOL_ERROR,)
    case("idle/" + name, "9113 5.1", "only HEADERS and PRIORITY are allowed on an idle stream", octets, goaway(*codes))
for name, octets in {"data": f.data(2, b"x"), "rst-stream": f.rst_stream(2),
    "window-update": f.window_update(2, 1)}.items():
    codes = (PROTOCOL_ERROR, STREAM_CLOSED) if "data" in name else (PROTOCOL_ERROR,)
    case("idle/even-" + name, "9113 5.1", "a stream that the server has not opened is idle", octets, goaway(*codes))
case("idle/priority", "9113 5.1, 6.3", "PRIORITY is allowed on an idle stream", f.priority(1) + get(1), answer())
case("idle/priority-higher", "9113 5.1, 6.3", "PRIORITY on an idle stream does not open it", f.priority(99) + get(1),
     answer())
case("idle/priority-even", "9113 5.1, 6.3", "PRIORITY on an even idle stream is ignored", f.priority(2) + get(1),
     answer())

# --- 5.1: half-closed (remote). The response is kept back by a window of 0. ---
for name, octets in {
    "data": f.data(1, b"x"), "data-end": f.data(1, end=True), "headers": f.headers(1, GET),
    "trailers": trailers(1, ("x-a", "b")), "continuation": f.continuation(1, GET),
}.items():
    expected = stream_error(1, STREAM_CLOSED)
    if name in ("headers", "trailers"):
        # 5.1.1 also applies: the identifier is not greater than all before it.
        expected = either(reset(1, STREAM_CLOSED), goaway(STREAM_CLOSED, PROTOCOL_ERROR))
    if name == "continuation":
        expected = either(reset(1, STREAM_CLOSED), goaway(STREAM_CLOSED, PROTOCOL_ERROR))
    case("half-closed/" + name, "9113 5.1", "a frame after END_STREAM is an error",
         get(1), answer(ended=False), octets, expected, settings=BLOCKED)
    if name != "continuation":
        case("half-closed/after-content-" + name, "9113 5.1", "a frame after END_STREAM is an error",
             echo(1, b"content"), answer(ended=False), octets, expected, settings=BLOCKED)
case("half-closed/window-update", "9113 5.1", "WINDOW_UPDATE after END_STREAM is accepted",
     get(1), answer(ended=False), f.window_update(1, 5), content(1, 5), f.window_update(1, 1000), answer(),
     settings=BLOCKED)
case("half-closed/priority", "9113 5.1", "PRIORITY after END_STREAM is accepted",
     get(1), answer(ended=False), f.priority(1), f.window_update(1, 1000), answer(), settings=BLOCKED)
case("half-closed/rst-stream", "9113 5.1", "RST_STREAM after END_STREAM ends the response",
     get(1), answer(ended=False), f.rst_stream(1), barrier, settings=BLOCKED)
case("half-closed/rst-stream-no-error", "9113 5.1", "RST_STREAM with NO_ERROR after END_STREAM ends the response",
     get(1), answer(ended=False), f.rst_stream(1, NO_ERROR), barrier, settings=BLOCKED)

# --- 5.1: closed ---
LATE = {
    "data": f.data(1, b"x"), "data-end": f.data(1, end=True), "headers": f.headers(1, GET),
    "trailers": trailers(1, ("x-a", "b")),
}
for name, octets in LATE.items():
    codes = (STREAM_CLOSED,) if "data" in name else (STREAM_CLOSED, PROTOCOL_ERROR)
    case("closed/" + name, "9113 5.1", "a frame on a stream that both sides have ended is an error",
         get(1), answer(), octets, either(reset(1, STREAM_CLOSED), goaway(*codes)))
    case("closed/later-" + name, "9113 5.1", "a frame on a stream that ended before others is an error",
         get(1), answer(), get(3) + get(5), answer(3), answer(5), octets,
         either(reset(1, STREAM_CLOSED), goaway(*codes)))
    # 6.1 requires a stream error, but 6.4 forbids frames on a stream after its RST_STREAM was received.
    case("closed/reset-" + name, "9113 5.1, 6.1, 6.4", "a frame after the client's RST_STREAM is ignored or an error",
         post(1) + f.rst_stream(1), barrier, octets, ignored_or(1, *codes))
case("closed/continuation", "9113 6.10", "CONTINUATION on a closed stream is an error",
     get(1), answer(), f.continuation(1, GET), goaway(PROTOCOL_ERROR, STREAM_CLOSED))
case("closed/window-update", "9113 5.1", "WINDOW_UPDATE on a closed stream is ignored",
     get(1), answer(), f.window_update(1, 100), barrier)
case("closed/rst-stream", "9113 5.1", "RST_STREAM on a closed stream is ignored", get(1), answer(), f.rst_stream(1),
     barrier)
case("closed/priority", "9113 5.1", "PRIORITY on a closed stream is ignored", get(1), answer(), f.priority(1), barrier)
case("closed/reset-window-update", "9113 5.1", "WINDOW_UPDATE after RST_STREAM is an error of the stream or ignored",
     post(1) + f.rst_stream(1) + f.window_update(1, 9), ignored_or(1, STREAM_CLOSED))
case("closed/reset-priority", "9113 5.1", "PRIORITY after RST_STREAM is ignored",
     post(1) + f.rst_stream(1) + f.priority(1), barrier)
case("closed/reset-twice", "9113 5.4.2", "a second RST_STREAM is ignored, or an error",
     post(1) + f.rst_stream(1) * 2, ignored_or(1, STREAM_CLOSED))
case("closed/never-used", "9113 5.1.1", "a lower stream that was skipped is closed: HEADERS on it is an error",
     get(5), answer(5), get(3), goaway(PROTOCOL_ERROR, STREAM_CLOSED))
case("closed/skipped-data", "9113 5.1.1", "a lower stream that was skipped is closed: DATA on it is an error",
     get(5), answer(5), f.data(3, b"x"), either(reset(3, STREAM_CLOSED), goaway(STREAM_CLOSED, PROTOCOL_ERROR)),
     end="any")
case("closed/skipped-window-update", "9113 5.1.1",
     "a lower stream that was skipped is closed: WINDOW_UPDATE on it is ignored",
     get(5), answer(5), f.window_update(3, 10), barrier)
case("closed/after-server-reset", "9113 5.1", "frames that cross the server's RST_STREAM are discarded",
     UPPER, malformed(),
     f.data(1, b"x") + f.rst_stream(1), either(reset(1, PROTOCOL_ERROR, STREAM_CLOSED, NO_ERROR),
     answer(1, "4..", ended=False)))
case("closed/data-crosses-malformed", "9113 5.1", "DATA that crosses the server's RST_STREAM is discarded",
     UPPER + f.data(1, b"x" * 1000) + f.data(1, b"y", end=True) + echo(3, b"z"), malformed(), answer(3, content=b"z"))

# --- 5.1.1: identifiers ---
for number in (2, 4, 100, LARGEST - 1):
    case("identifier/even-%d" % number, "9113 5.1.1", "a client's streams are odd", get(number), goaway(PROTOCOL_ERROR))
case("identifier/even-after-odd", "9113 5.1.1", "a client's streams are odd", get(1), answer(), get(2),
     goaway(PROTOCOL_ERROR))
for first, second in ((3, 1), (5, 3), (101, 99), (LARGEST - 2, 1)):
    case("identifier/decreasing-%d-%d" % (first, second), "9113 5.1.1", "identifiers increase",
         get(first), answer(first), get(second), goaway(PROTOCOL_ERROR, STREAM_CLOSED))
case("identifier/decreasing-while-open", "9113 5.1.1", "identifiers increase while a stream is open",
     post(5) + get(3), goaway(PROTOCOL_ERROR, STREAM_CLOSED))
case("identifier/reuse", "9113 5.1.1", "identifiers are not used again",
     get(1), answer(), get(1), either(reset(1, STREAM_CLOSED), goaway(PROTOCOL_ERROR, STREAM_CLOSED)))
case("identifier/reuse-while-open", "9113 8.1",
     "a second field block without END_STREAM on an open stream is malformed",
     post(1) + post(1), stream_error(1, PROTOCOL_ERROR))
case("identifier/gap", "9113 5.1.1", "identifiers may be skipped", get(1) + get(9) + get(1001), answer(), answer(9),
     answer(1001))
case("identifier/starts-high", "9113 5.1.1", "the first stream may have any odd identifier", get(77), answer(77))
case("identifier/largest", "9113 5.1.1", "the largest identifier can be used", get(LARGEST), answer(LARGEST), end="any")
case("identifier/largest-upload", "9113 5.1.1", "content can be sent on the largest identifier",
     echo(LARGEST, b"x"), answer(LARGEST, content=b"x"), barrier, end="any")

# --- 5.1.2: concurrency ---
NUMBERS = range(1, 201, 2)
case("concurrency/100-get", "9113 5.1.2", "100 requests at once are answered",
     b"".join(get(n) for n in NUMBERS), *[answer(n) for n in NUMBERS])
case("concurrency/100-post", "9113 5.1.2", "100 uploads at once are answered",
     b"".join(post(n) for n in NUMBERS) + b"".join(f.data(n, b"n%d" % n, end=True) for n in reversed(NUMBERS)),
     *[answer(n, content=b"n%d" % n) for n in NUMBERS])
case("concurrency/one-more", "9113 5.1.2", "a stream beyond SETTINGS_MAX_CONCURRENT_STREAMS is refused",
     too_many_streams)
case("concurrency/closed-do-not-count", "9113 5.1.2", "closed streams do not count",
     *[step for round in range(4) for step in (
         b"".join(get(n + 200 * round) for n in NUMBERS), *[answer(n + 200 * round) for n in NUMBERS])])
case("concurrency/reset-do-not-count", "9113 5.1.2",
     "reset streams do not count; a moderate number of resets is tolerated",
     *[post(n) + f.rst_stream(n, CANCEL) for n in range(1, 121, 2)], get(121), answer(121))
case("concurrency/interleaved-uploads", "9113 5.1.2", "DATA of several streams may alternate",
     b"".join(post(n) for n in (1, 3, 5, 7)) + b"".join(f.data(n, b"%d," % n) for _ in range(20) for n in (1, 3, 5, 7))
     + b"".join(f.data(n, end=True) for n in (7, 5, 3, 1)),
     *[answer(n, content=b"%d," % n * 20) for n in (1, 3, 5, 7)])
case("concurrency/get-during-upload", "9113 5.1.2", "a request is answered while an upload is incomplete",
     post(1) + f.data(1, b"a") + get(3), answer(3), f.data(1, b"b", end=True), answer(content=b"ab"))
case("concurrency/blocked-response", "9113 5.2.2", "a response without a window does not block others",
     echo(1, b"x" * 3000), answer(ended=False), get(3) + f.window_update(3, 1000), answer(3), windows(1, 4000),
     answer(content=b"x" * 3000), settings=BLOCKED)
case("concurrency/upload-out-of-order", "9113 5.1.2", "later streams may end first",
     post(1) + post(3) + post(5) + f.data(5, b"5", end=True), answer(5, content=b"5"), f.data(3, b"3", end=True),
     answer(3, content=b"3"), upload(1, b"1"), answer(1, content=b"1"))
case("concurrency/reset-one-of-three", "9113 5.4.2", "RST_STREAM concerns one stream",
     post(1) + post(3) + post(5) + f.rst_stream(3) + f.data(1, b"1", end=True) + f.data(5, b"5", end=True),
     answer(1, content=b"1"), answer(5, content=b"5"), silent(3))
for code in (0, 1, 2, 7, 8, 11, 13, 14, 0xff, 0xffffffff):
    case("reset-code/%x" % code, "9113 7", "RST_STREAM with any code ends the stream; an unknown code is no error",
         post(1) + f.rst_stream(1, code), silent(1))
