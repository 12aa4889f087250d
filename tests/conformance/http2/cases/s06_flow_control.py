"""Flow control: WINDOW_UPDATE and windows (RFC 9113 5.2, 6.9). The connection checks every DATA frame of the server."""
import frames as f
from frames import (FLOW_CONTROL_ERROR, INITIAL_WINDOW_SIZE, LARGEST, MAX_FRAME_SIZE, PROTOCOL_ERROR, settings,
                    window_update)
from messages import echo, get, post
from steps import (acks, answer, barrier, content, either, goaway, overrun, reset, silent, stream_error, upload,
    windows)
from suite import case

TEN = b"0123456789"


def window(size):
    return [(INITIAL_WINDOW_SIZE, size)]


def send(stream, content):
    """The steps of a POST whose content may be larger than the server's windows."""
    return post(stream), upload(stream, content)


# --- 6.9: increments ---
case("window-update/zero-connection", "9113 6.9", "an increment of 0 is a connection error on stream 0",
     window_update(0, 0), goaway(PROTOCOL_ERROR))
case("window-update/zero-open", "9113 6.9", "an increment of 0 is a stream error",
     post(1) + window_update(1, 0), stream_error(1, PROTOCOL_ERROR))
case("window-update/zero-half-closed", "9113 6.9", "an increment of 0 is a stream error while a response is blocked",
     get(1), answer(ended=False), window_update(1, 0), stream_error(1, PROTOCOL_ERROR), settings=window(0))
case("window-update/zero-reserved-bit", "9113 6.9", "the reserved bit does not count for the increment",
     post(1) + f.frame(f.WINDOW_UPDATE, 0, 1, b"\x80\0\0\0"), stream_error(1, PROTOCOL_ERROR))
for increment in (1, 1000, LARGEST - 65535):
    case("window-update/connection-%d" % increment, "9113 6.9", "the connection's window can be enlarged",
         window_update(0, increment) + get(1), answer())
    case("window-update/stream-%d" % increment, "9113 6.9", "a stream's window can be enlarged",
         post(1) + window_update(1, increment) + f.data(1, b"x", end=True), answer(content=b"x"))
case("window-update/many", "9113 6.9", "increments add up",
     get(1), answer(ended=False), window_update(1, 1) * 27, content(1, 27, more=True), settings=window(0))

# --- 6.9.1: overflow ---
for name, octets in {
    "connection": window_update(0, LARGEST), "connection-by-1": window_update(0, LARGEST - 65534),
    "connection-twice": window_update(0, 1 << 30) * 2,
    "connection-sum": window_update(0, LARGEST - 65535) + window_update(0, 1),
}.items():
    case("window-update/overflow-" + name, "9113 6.9.1", "a connection's window beyond 2^31-1 is an error", octets,
         goaway(FLOW_CONTROL_ERROR))
for name, octets in {
    "stream": window_update(1, LARGEST), "stream-by-1": window_update(1, LARGEST - 65534),
    "stream-twice": window_update(1, 1 << 30) * 2,
}.items():
    case("window-update/overflow-" + name, "9113 6.9.1", "a stream's window beyond 2^31-1 is an error",
         post(1) + octets, stream_error(1, FLOW_CONTROL_ERROR))
case("window-update/overflow-blocked-stream", "9113 6.9.1",
     "a stream's window beyond 2^31-1 is an error while data waits",
     *send(1, TEN * 7000), content(1, 65535), window_update(1, LARGEST) + window_update(1, 1),
     stream_error(1, FLOW_CONTROL_ERROR))
case("window-update/overflow-by-settings", "9113 6.9.2", "SETTINGS that makes a window larger than 2^31-1 is an error",
     post(1) + window_update(1, 1) + settings((INITIAL_WINDOW_SIZE, LARGEST)), goaway(FLOW_CONTROL_ERROR))
case("window-update/largest-by-settings", "9113 6.9.2", "a window of exactly 2^31-1 is allowed",
     post(1) + settings((INITIAL_WINDOW_SIZE, LARGEST)) + f.data(1, b"x", end=True), acks(2), answer(content=b"x"))
case("window-update/largest-after-settings", "9113 6.9.2", "an update beyond a window of 2^31-1 is an error",
     post(1) + settings((INITIAL_WINDOW_SIZE, LARGEST)), acks(2), window_update(1, 1),
     stream_error(1, FLOW_CONTROL_ERROR))

# --- 6.9: the server respects the stream's window ---
for size in (1, 2, 5, 9):
    case("flow/stream-window-%d" % size, "9113 6.9.1", "the server sends exactly what the stream's window allows",
         echo(1, TEN), content(1, size), window_update(1, 10 - size), answer(content=TEN), settings=window(size))
case("flow/stream-window-exact", "9113 6.9.1", "a window as large as the content suffices for END_STREAM",
     echo(1, TEN), answer(content=TEN), settings=window(10))
case("flow/stream-window-0", "9113 6.9.1", "with a window of 0 only HEADERS is sent",
     echo(1, TEN), answer(ended=False), content(1, 0), window_update(1, 10), answer(content=TEN), settings=window(0))
case("flow/one-by-one", "9113 6.9.1", "a window that opens by 1 octet passes 1 octet",
     echo(1, TEN), answer(ended=False), *[step for i in range(1, 10) for step in (window_update(1, 1), content(1, i))],
     window_update(1, 1), answer(content=TEN), settings=window(0))
case("flow/steps-of-1000", "9113 6.9.1", "a window that opens in steps passes content in steps",
     echo(1, TEN * 500), *[step for i in range(1000, 5000, 1000) for step in (content(1, i), window_update(1, 1000))],
     answer(content=TEN * 500), settings=window(1000))
case("flow/no-content-no-window", "9113 6.9", "a response without content needs no window",
     echo(1, b""), answer(content=b""), settings=window(0))
case("flow/head-no-window", "9113 6.9", "a response to HEAD needs no window",
     f.headers(1, get(1)[9:].replace(b"\x03GET", b"\x04HEAD")), answer(content=b""), settings=window(0))
case("flow/two-streams", "9113 6.9.1", "each stream has its own window",
     echo(1, TEN) + echo(3, TEN), content(1, 4), content(3, 4), window_update(3, 6), answer(3, content=TEN),
     content(1, 4),
     window_update(1, 6), answer(1, content=TEN), settings=window(4))
case("flow/reset-while-blocked", "9113 5.2", "a blocked response can be reset",
     echo(1, TEN), content(1, 3), f.rst_stream(1), echo(3, b"abc"), answer(3, content=b"abc"), settings=window(3))
case("flow/update-before-response", "9113 6.9", "an update may precede the response",
     post(1) + window_update(1, 10) + f.data(1, TEN, end=True), answer(content=TEN), settings=window(0))

# --- the connection's window ---
case("flow/connection-window", "9113 6.9.1", "the server sends exactly what the connection's window allows",
     *send(1, TEN * 7000), content(1, 65535), window_update(0, 1), content(1, 65536), window_update(0, 10000),
     answer(content=TEN * 7000), settings=window(1 << 20))
case("flow/connection-window-shared", "9113 6.9.1", "the streams share the connection's window",
     *send(1, TEN * 4000), *send(3, TEN * 4000), lambda conn: conn.wait(lambda: conn.window == 0), barrier,
     window_update(0, 14465), answer(1, content=TEN * 4000), answer(3, content=TEN * 4000), settings=window(1 << 20))
case("flow/connection-one-by-one", "9113 6.9.1", "the connection's window opens by 1 octet",
     *send(1, TEN * 6554), content(1, 65535), *[step for i in range(65536, 65540) for step in (window_update(0, 1),
     content(1, i))],
     window_update(0, 1), answer(content=TEN * 6554), settings=window(1 << 20))
case("flow/connection-window-and-reset", "9113 5.2", "a reset does not give the connection's window back",
     *send(1, TEN * 7000), content(1, 65535), f.rst_stream(1), echo(3, TEN), answer(3, ended=False), content(3, 0),
     window_update(0, 10), answer(3, content=TEN), settings=window(1 << 20))
case("flow/initial-size-is-not-the-connections", "9113 6.9.2", "SETTINGS does not change the connection's window",
     settings((INITIAL_WINDOW_SIZE, 1 << 20)), acks(2), *send(1, TEN * 7000), content(1, 65535), window_update(0, 5000),
     answer(length=70000))
case("flow/both-windows", "9113 6.9.1", "both windows must be open",
     *send(1, TEN * 7000), content(1, 65535), window_update(1, 4465), content(1, 65535), window_update(0, 4465),
     answer(length=70000))

# --- 6.9.2: changes of INITIAL_WINDOW_SIZE ---
case("flow/settings-enlarge", "9113 6.9.2", "a larger initial size enlarges the windows of open streams",
     echo(1, TEN), content(1, 2), settings((INITIAL_WINDOW_SIZE, 5)), content(1, 5),
     settings((INITIAL_WINDOW_SIZE, 10)),
     answer(content=TEN), settings=window(2))
case("flow/settings-enlarge-from-0", "9113 6.9.2", "a larger initial size opens closed windows",
     echo(1, TEN) + echo(3, TEN), content(1, 0), content(3, 0), settings((INITIAL_WINDOW_SIZE, 100)),
     answer(content=TEN),
     answer(3, content=TEN), settings=window(0))
case("flow/settings-shrink", "9113 6.9.2", "a smaller initial size makes a window negative",
     echo(1, TEN), content(1, 6), settings((INITIAL_WINDOW_SIZE, 2)), acks(2), window_update(1, 4), content(1, 6),
     window_update(1, 1), content(1, 7), window_update(1, 3), answer(content=TEN), settings=window(6))
case("flow/settings-shrink-and-enlarge", "9113 6.9.2", "a negative window becomes positive by SETTINGS",
     echo(1, TEN), content(1, 6), settings((INITIAL_WINDOW_SIZE, 0)), acks(2), settings((INITIAL_WINDOW_SIZE, 7)),
     acks(3),
     content(1, 7), settings((INITIAL_WINDOW_SIZE, 10)), answer(content=TEN), settings=window(6))
case("flow/settings-negative-half-way", "9113 6.9.2", "an update that leaves a window negative sends nothing",
     echo(1, TEN * 100), content(1, 500), settings((INITIAL_WINDOW_SIZE, 0)), acks(2), window_update(1, 499),
     content(1, 500),
     window_update(1, 1), content(1, 500), window_update(1, 1), content(1, 501), window_update(1, 499),
     answer(content=TEN * 100),
     settings=window(500))
case("flow/settings-and-update", "9113 6.9.2", "updates stay in force when the initial size changes",
     post(1) + window_update(1, 3), barrier, settings((INITIAL_WINDOW_SIZE, 4)), acks(2), f.data(1, TEN, end=True),
     content(1, 7),
     window_update(1, 3), answer(content=TEN), settings=window(0))
case("flow/settings-only-new-streams", "9113 6.9.2", "a new stream has the new initial size",
     settings((INITIAL_WINDOW_SIZE, 3)), acks(2), echo(1, TEN), content(1, 3), window_update(1, 7), answer(content=TEN))
case("flow/settings-two-values", "9113 6.9.2", "two values in one SETTINGS change the window twice",
     echo(1, TEN), content(1, 5), settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 5)), acks(2),
     window_update(1, 5), answer(content=TEN),
     settings=window(5))

# --- 5.2: the server replenishes its windows ---
for size in (0, 1, 16384, 65535, 65536, 200000, 1 << 20):
    case("flow/upload-%d" % size, "9113 5.2", "the server opens its windows as it takes an upload",
         post(1), windows(1, size + 1), upload(1, b"u" * size), answer(length=size))
case("flow/upload-three-times", "9113 5.2", "the connection's window is replenished for later streams",
     *[step for n in (1, 3, 5) for step in (post(n), upload(n, b"u" * 60000), windows(n, 60000),
     answer(n, length=60000))])
case("flow/upload-small-frames", "9113 5.2", "windows are replenished for small frames",
     post(1), upload(1, b"s" * 70000, size=100), windows(1, 70000), answer(length=70000))
case("flow/upload-padded", "9113 6.1", "padding counts, and is given back",
     post(1), upload(1, b"p" * 70000, pad=255, size=600), windows(1, 70000), answer(length=70000))
case("flow/upload-only-padding", "9113 6.1", "padding alone uses windows, and is given back",
     post(1), upload(1, b"p" * 700, pad=255, size=257), windows(1, 1000), answer(length=700))
case("flow/upload-reset", "9113 5.2", "content of reset streams is given back to the connection's window",
     *[step for n in range(1, 13, 2) for step in (post(n), upload(n, b"r" * 30000, end=False), f.rst_stream(n))],
     post(13), upload(13, b"r" * 60000), windows(13, 60000), answer(13, length=60000))
case("flow/upload-not-found", "9113 5.2", "content that nothing reads is given back, or the stream is reset",
     *[step for n in range(1, 13, 2) for step in (
         post(n, path="/no-such-thing"), f.data(n, b"r" * 16000, end=True), answer(n, "404"))])
case("flow/upload-interleaved", "9113 5.2", "two uploads share the connection's window",
     post(1) + post(3), *[upload(n, b"i" * 20000, end=False) for _ in range(4) for n in (1, 3)],
     *[step for n in (1, 3) for step in (f.data(n, end=True), windows(n, 80000), answer(n, length=80000))])
case("flow/large-response", "9113 5.2", "a response of 1 MiB arrives when the windows are large",
     post(1), windows(1, 1 << 21), upload(1, TEN * 104858), answer(content=TEN * 104858),
     settings=[(INITIAL_WINDOW_SIZE, 1 << 21), (MAX_FRAME_SIZE, 1 << 20)])

# --- 6.9.1: DATA beyond the server's windows ---
case("flow/beyond-stream-window", "9113 6.9.1", "DATA beyond the stream's window is an error", post(1), overrun(1))
case("flow/beyond-connection-window", "9113 6.9.1", "DATA beyond the connection's window is an error",
     b"".join(post(n) for n in range(1, 9, 2)), overrun(1, [1, 3, 5, 7]))
case("flow/beyond-window-of-404", "9113 6.9.1", "DATA beyond the window of a stream that nothing reads is an error",
     post(1, path="/no-such-thing"), either(answer(1, "404", ended=False), reset(1, 0), acks(1)), end="any")
case("flow/window-empty-data", "9113 6.9", "DATA without octets needs no window", post(1),
     upload(1, b"x" * 60000, end=False),
     f.data(1, end=True), windows(1, 60000), answer(length=60000))
case("flow/silent-without-request", "9113 6.9", "updates alone cause nothing", window_update(0, 5) * 5, silent(1))
