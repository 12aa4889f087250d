"""SETTINGS, PING, GOAWAY and PUSH_PROMISE (RFC 9113 6.5 to 6.8)."""
import frames as f
from frames import (ENABLE_CONNECT_PROTOCOL, ENABLE_PUSH, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, HEADER_TABLE_SIZE,
                    INITIAL_WINDOW_SIZE, LARGEST, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE,
                    NO_RFC7540_PRIORITIES, PROTOCOL_ERROR, frame, settings)
from messages import echo, field_block, get, post, request
from steps import (Expect, acks, answer, barrier, closed, content, either, goaway, ignored_or, pong, upload, windows)
from suite import case

GET = field_block(request())

# --- 6.5: acknowledgement ---
for size in (1, 5, 6, 12):
    case("settings/ack-with-%d-octets" % size, "9113 6.5", "an acknowledgement has no payload",
         frame(f.SETTINGS, f.ACK, 0, f.setting(1, 4096)[:size].ljust(size, b"\0")), goaway(FRAME_SIZE_ERROR))
case("settings/empty", "9113 6.5", "an empty SETTINGS is acknowledged", settings(), acks(2))
case("settings/ten", "9113 6.5.3", "each SETTINGS is acknowledged", settings((1, 4096)) * 10, acks(11))
case("settings/not-acknowledged-twice", "9113 6.5.3", "SETTINGS is acknowledged once", settings(), acks(2), barrier)
case("settings/ack-unsolicited", "9113 6.5", "an acknowledgement of nothing is ignored or an error",
     settings(flags=1), ignored_or(1, PROTOCOL_ERROR))
case("settings/during-request", "9113 6.5", "SETTINGS may come between the frames of a request",
     post(1) + settings((MAX_HEADER_LIST_SIZE, 65536)) + f.data(1, b"x", end=True), answer(content=b"x"), acks(2))
case("settings/in-field-block", "9113 6.2", "SETTINGS inside a field block is an error",
     f.headers(1, GET[:4], done=False) + settings() + f.continuation(1, GET[4:]), goaway(PROTOCOL_ERROR))
case("settings/ack-in-field-block", "9113 6.2", "an acknowledgement inside a field block is an error",
     f.headers(1, GET[:4], done=False) + settings(flags=1) + f.continuation(1, GET[4:]), goaway(PROTOCOL_ERROR))

# --- 6.5.2: values ---
for name, identifier, values in (
    ("header-table-size", HEADER_TABLE_SIZE, (0, 1, 31, 32, 100, 4095, 4096, 4097, 65536, 0xffffffff)),
    ("enable-push", ENABLE_PUSH, (0,)),
    ("max-concurrent-streams", MAX_CONCURRENT_STREAMS, (0, 1, 100, 0xffffffff)),
    ("initial-window-size", INITIAL_WINDOW_SIZE, (65535, 65536, 1 << 20, LARGEST)),
    ("max-frame-size", MAX_FRAME_SIZE, (16384, 16385, 65536, (1 << 24) - 1)),
    ("max-header-list-size", MAX_HEADER_LIST_SIZE, (4096, 1 << 20, 0xffffffff)),
    ("enable-connect-protocol", ENABLE_CONNECT_PROTOCOL, (0, 1)),
    ("no-rfc7540-priorities", NO_RFC7540_PRIORITIES, (0, 1)),
):
    for value in values:
        case("settings/%s-%d" % (name, value), "9113 6.5.2", "the value is allowed, and in force from the preface on",
             get(1), answer(), settings=[(identifier, value)])
        if value not in (0, 1):
            case("settings/%s-later-%d" % (name, value), "9113 6.5.3", "the value is allowed in a later SETTINGS",
                 settings((identifier, value)), acks(2), get(1), answer())
for name, identifier, value, codes in (
    ("enable-push-2", ENABLE_PUSH, 2, [PROTOCOL_ERROR]),
    ("enable-push-max", ENABLE_PUSH, 0xffffffff, [PROTOCOL_ERROR]),
    ("initial-window-size-2-31", INITIAL_WINDOW_SIZE, 1 << 31, [FLOW_CONTROL_ERROR]),
    ("initial-window-size-max", INITIAL_WINDOW_SIZE, 0xffffffff, [FLOW_CONTROL_ERROR]),
    ("max-frame-size-0", MAX_FRAME_SIZE, 0, [PROTOCOL_ERROR]),
    ("max-frame-size-16383", MAX_FRAME_SIZE, 16383, [PROTOCOL_ERROR]),
    ("max-frame-size-2-24", MAX_FRAME_SIZE, 1 << 24, [PROTOCOL_ERROR]),
    ("max-frame-size-max", MAX_FRAME_SIZE, 0xffffffff, [PROTOCOL_ERROR]),
):
    case("settings/bad-" + name, "9113 6.5.2", "the value is an error", settings((identifier, value)), goaway(*codes))
    case("settings/bad-%s-among-others" % name, "9113 6.5.3", "the value is an error, whatever follows it",
         settings((HEADER_TABLE_SIZE, 4096), (identifier, value), (MAX_HEADER_LIST_SIZE, 65536)), goaway(*codes))
    case("settings/bad-%s-replaced" % name, "9113 6.5.3", "the value is an error, or replaced by the next one",
         settings((identifier, value), (identifier, {ENABLE_PUSH: 0}.get(identifier, 65535))), ignored_or(1, *codes))
case("settings/bad-enable-push-first", "9113 3.4, 6.5.2", "the value is an error in the first SETTINGS",
     f.PREFACE + settings((ENABLE_PUSH, 2)), closed(PROTOCOL_ERROR), start=False)
case("settings/bad-window-first", "9113 3.4, 6.5.2", "the value is an error in the first SETTINGS",
     f.PREFACE + settings((INITIAL_WINDOW_SIZE, 1 << 31)), closed(FLOW_CONTROL_ERROR), start=False)
case("settings/enable-connect-protocol-2", "8441 3", "the value 2 is an error or ignored",
     settings((ENABLE_CONNECT_PROTOCOL, 2)), ignored_or(1, PROTOCOL_ERROR))
case("settings/enable-connect-protocol-1-0", "8441 3", "withdrawing the value 1 is an error or ignored",
     settings((ENABLE_CONNECT_PROTOCOL, 1)) + settings((ENABLE_CONNECT_PROTOCOL, 0)), ignored_or(1, PROTOCOL_ERROR))
case("settings/no-rfc7540-priorities-2", "9218 2.1", "the value 2 is an error or ignored",
     settings((NO_RFC7540_PRIORITIES, 2)), ignored_or(1, PROTOCOL_ERROR))
case("settings/enable-push-1", "9113 6.5.2", "a client may allow pushes",
     settings((ENABLE_PUSH, 1)), acks(2), get(1), answer())
case("settings/reserved-7", "9113 6.5.2", "the unassigned setting 7 is ignored", settings((7, 1)), acks(2))
for identifier in (0, 0x0a, 0xf000, 0xffff):
    case("settings/unknown-%x" % identifier, "9113 6.5.2", "an unknown setting is ignored",
         settings((identifier, 0xffffffff)), acks(2), get(1), answer())
case("settings/unknown-100", "9113 6.5.2", "a hundred unknown settings are ignored or too many",
     settings(*[(0x1000 + i, i) for i in range(100)]), either(acks(2), goaway(f.ENHANCE_YOUR_CALM)))

# --- 6.5.3: order ---
case("settings/order-last-wins", "9113 6.5.3", "values are processed in order",
     get(1), answer(), settings=[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 5), (INITIAL_WINDOW_SIZE, 1000)])
case("settings/order-small-last", "9113 6.5.3", "values are processed in order",
     get(1), content(1, 5), f.window_update(1, 1000), answer(),
     settings=[(INITIAL_WINDOW_SIZE, 1000), (INITIAL_WINDOW_SIZE, 5)])
case("settings/unknown-between", "9113 6.5.2", "known settings after unknown ones count",
     get(1), content(1, 3), f.window_update(1, 1000), answer(),
     settings=[(0xabcd, 9), (INITIAL_WINDOW_SIZE, 3), (0xabce, 9)])
case("settings/before-request-in-one-write", "9113 6.5.3", "a setting counts for the request after it",
     settings((INITIAL_WINDOW_SIZE, 7)) + get(1), content(1, 7), f.window_update(1, 1000), answer())

# --- MAX_FRAME_SIZE and MAX_HEADER_LIST_SIZE of the client. The connection checks the size of each frame. ---
case("settings/respects-max-frame-size", "9113 4.2", "DATA is not larger than SETTINGS_MAX_FRAME_SIZE",
     post(1), windows(1, 1 << 18), upload(1, b"x" * 100000), answer(length=100000))
case("settings/larger-max-frame-size", "9113 4.2", "larger frames are allowed, not required",
     post(1), windows(1, 1 << 18), upload(1, b"x" * 100000), answer(length=100000), settings=[(MAX_FRAME_SIZE, 50000)])
case("settings/shrinks-max-frame-size", "9113 6.5.3",
     "a smaller SETTINGS_MAX_FRAME_SIZE counts once it is acknowledged",
     settings((MAX_FRAME_SIZE, 16384)), acks(2), post(1), upload(1, b"x" * 60000), windows(1, 1 << 18),
     answer(length=60000),
     settings=[(MAX_FRAME_SIZE, 60000)])

# --- HEADER_TABLE_SIZE: the decoder checks that the server's encoder obeys. ---
for size in (0, 64, 200, 4096):
    case("settings/table-size-%d-between" % size, "7541 4.2", "the encoder obeys a smaller SETTINGS_HEADER_TABLE_SIZE",
         get(1) + get(3, "/"), answer(), answer(3), settings((HEADER_TABLE_SIZE, size)), acks(2),
         get(5) + get(7, "/") + get(9), answer(5), answer(7), answer(9))
case("settings/table-size-0-then-4096", "7541 4.2", "the encoder announces the smallest size between two blocks",
     get(1), answer(), settings((HEADER_TABLE_SIZE, 0)) + settings((HEADER_TABLE_SIZE, 4096)), acks(3), get(3),
     answer(3), get(5), answer(5))
case("settings/table-size-grows", "7541 4.2", "a larger table is allowed, not required",
     settings((HEADER_TABLE_SIZE, 65536)), acks(2), get(1) + get(3) + get(5), answer(), answer(3), answer(5))
case("settings/table-size-0-first", "7541 4.2", "the encoder obeys a table of size 0 from the preface on",
     get(1) + get(3), answer(), answer(3), settings=[(HEADER_TABLE_SIZE, 0)])

# --- 6.7: PING ---
for name, payload in {"zeros": bytes(8), "ones": b"\xff" * 8, "text": b"abcdefgh", "counting": bytes(range(8))}.items():
    case("ping/" + name, "9113 6.7", "the acknowledgement has the payload", f.ping(payload), pong(payload))
case("ping/order", "9113 6.7", "PINGs are answered in order",
     b"".join(f.ping(b"%08d" % i) for i in range(20)), pong(*[b"%08d" % i for i in range(20)]))
case("ping/ack-unsolicited", "9113 6.7", "an acknowledgement is not answered",
     f.ping(b"unwanted", f.ACK) + f.ping(b"expected"),
     pong(b"expected"))
case("ping/during-upload", "9113 6.7", "PING is answered while an upload is incomplete",
     post(1) + f.data(1, b"a") + f.ping(b"duringup"), pong(b"duringup"), f.data(1, b"b", end=True),
     answer(content=b"ab"))
case("ping/without-window", "9113 6.9", "PING is answered while no window is open",
     get(1), answer(ended=False), f.ping(b"nowindow"), pong(b"nowindow"), f.window_update(1, 100), answer(),
     settings=[(INITIAL_WINDOW_SIZE, 0)])
case("ping/in-field-block", "9113 6.2", "PING inside a field block is an error",
     f.headers(1, GET[:4], done=False) + f.ping() + f.continuation(1, GET[4:]), goaway(PROTOCOL_ERROR))

# --- 6.8: GOAWAY. Streams in flight are finished; then the server may close the connection. ---
case("goaway/in-flight", "9113 6.8", "a stream in flight is finished",
     post(1) + f.data(1, b"a") + f.goaway() + f.data(1, b"b", end=True), answer(content=b"ab"), end="any")
case("goaway/two-in-flight", "9113 6.8", "streams in flight are finished",
     post(1) + post(3) + f.goaway() + f.data(3, b"3", end=True) + f.data(1, b"1", end=True),
     answer(1, content=b"1"), answer(3, content=b"3"), end="any")
case("goaway/after-request", "9113 6.8", "a request before GOAWAY is answered", get(1) + f.goaway(), answer(),
     end="any")
case("goaway/response-with-window", "9113 6.8", "a response in flight is finished when the window opens",
     get(1), answer(ended=False), f.goaway(), f.window_update(1, 1000), answer(), settings=[(INITIAL_WINDOW_SIZE, 0)],
     end="any")
case("goaway/debug-data", "9113 6.8", "GOAWAY may have debug data",
     post(1) + f.goaway(debug=b"debug" * 50) + f.data(1, b"b", end=True),
     answer(content=b"b"), end="any")
case("goaway/last-stream", "9113 6.8", "a last stream that the server never opened is an error or ignored",
     post(1) + f.goaway(last=LARGEST) + f.data(1, b"b", end=True), either(answer(content=b"b"), goaway(PROTOCOL_ERROR)),
     end="any")
case("goaway/twice", "9113 6.8", "GOAWAY may be repeated",
     post(1) + f.goaway() + f.goaway(2) + f.data(1, b"b", end=True), answer(content=b"b"), end="any")
case("goaway/unknown-code", "9113 7", "an unknown error code is no error of its own",
     get(1), answer(), f.goaway(0xabcdef), Expect("the end or nothing", lambda c: None), end="any")
case("goaway/idle", "9113 6.8", "after GOAWAY without streams the connection ends or serves on",
     f.goaway(), either(closed(), Expect("an open connection", lambda c: None)), end="any")
case("goaway/in-field-block", "9113 6.2", "GOAWAY inside a field block is an error",
     f.headers(1, GET[:4], done=False) + f.goaway() + f.continuation(1, GET[4:]), closed(PROTOCOL_ERROR))

# --- 8.4: a client cannot push ---
for name, octets in {
    "idle": f.push_promise(1, 2, GET), "open": post(1) + f.push_promise(1, 2, GET),
    "closed": get(1) + f.push_promise(1, 2, GET),
    "odd": post(1) + f.push_promise(1, 3, GET), "no-end-headers": post(1) + f.push_promise(1, 2, GET, 0),
    "empty": post(1) + frame(f.PUSH_PROMISE, 4, 1, bytes(4)),
}.items():
    case("push-promise/" + name, "9113 8.4", "PUSH_PROMISE from a client is an error", octets, goaway(PROTOCOL_ERROR))
case("push-promise/short", "9113 8.4", "PUSH_PROMISE from a client is an error, whatever its size",
     post(1) + frame(f.PUSH_PROMISE, 4, 1, bytes(3)), goaway(PROTOCOL_ERROR, FRAME_SIZE_ERROR))


case("settings/echo-after-all", "9113 6.5", "content is intact after changes of settings",
     settings((INITIAL_WINDOW_SIZE, 100)), acks(2), settings((INITIAL_WINDOW_SIZE, 70000)), acks(3),
     echo(1, b"y" * 30000),
     answer(content=b"y" * 30000))
