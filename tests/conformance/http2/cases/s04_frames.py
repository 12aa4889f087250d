"""Frames: format, sizes, unknown types, flags and reserved bits (RFC 9113 4.1, 4.2, 5.5)."""
import frames as f
import hpack
from frames import FRAME_SIZE_ERROR, PROTOCOL_ERROR, RESERVED, STREAM_CLOSED, frame
from messages import echo, field_block, get, post, request, trailers
from steps import (acks, answer, barrier, closed, either, goaway, oversize, pieces, pong, reset, shut_down, silent,
                   stream_error, windows)
from suite import case

GET = field_block(request())

# --- 4.1: undefined flags and the reserved bit are ignored ---
for name, defined, step, then in (
    ("data", f.END_STREAM | f.PADDED, lambda flags: post(1) + frame(f.DATA, flags | f.END_STREAM, 1, b"x"),
    answer(content=b"x")),
    ("headers", 0x2d, lambda flags: frame(f.HEADERS, flags | f.END_STREAM | f.END_HEADERS, 1, GET), answer()),
    ("priority", 0, lambda flags: frame(f.PRIORITY, flags, 1, f.weight()) + get(1), answer()),
    ("rst-stream", 0, lambda flags: post(1) + frame(f.RST_STREAM, flags, 1, bytes([0, 0, 0, 8])), barrier),
    ("settings", f.ACK, lambda flags: frame(f.SETTINGS, flags, 0), acks(2)),
    ("ping", f.ACK, lambda flags: frame(f.PING, flags, 0, b"abcdefgh"), pong(b"abcdefgh")),
    ("goaway", 0, lambda flags: post(1) + frame(f.GOAWAY, flags, 0, bytes(8)) + f.data(1, b"x", end=True),
    answer(content=b"x")),
    ("window-update", 0, lambda flags: frame(f.WINDOW_UPDATE, flags, 0, bytes([0, 0, 0, 1])) + get(1), answer()),
    ("continuation", f.END_HEADERS, lambda flags: f.headers(1, b"", done=False) + frame(f.CONTINUATION, flags | 4, 1,
    GET), answer()),
):
    case("flags/undefined-" + name, "9113 4.1", "undefined flags of %s are ignored" % name.upper(),
         step(0xff & ~defined), then,
         end="any" if name == "goaway" else "auto")

for name, step, then in (
    ("data", post(1) + frame(f.DATA, 1, RESERVED | 1, b"x"), answer(content=b"x")),
    ("headers", frame(f.HEADERS, 5, RESERVED | 1, GET), answer()),
    ("priority", frame(f.PRIORITY, 0, RESERVED | 1, f.weight()) + get(1), answer()),
    ("rst-stream", post(1) + frame(f.RST_STREAM, 0, RESERVED | 1, bytes([0, 0, 0, 8])), barrier),
    ("settings", frame(f.SETTINGS, 0, RESERVED), acks(2)),
    ("ping", frame(f.PING, 0, RESERVED, b"abcdefgh"), pong(b"abcdefgh")),
    ("window-update", frame(f.WINDOW_UPDATE, 0, RESERVED, bytes([0, 0, 0, 1])) + get(1), answer()),
    ("increment", frame(f.WINDOW_UPDATE, 0, 0, bytes([128, 0, 0, 1])) + get(1), answer()),
    ("continuation", f.headers(1, b"", done=False) + frame(f.CONTINUATION, 4, RESERVED | 1, GET), answer()),
    ("goaway-last", post(1) + frame(f.GOAWAY, 0, 0, b"\x80" + bytes(7)) + f.data(1, b"x", end=True),
    answer(content=b"x")),
):
    case("reserved-bit/" + name, "9113 4.1", "the reserved bit is ignored", step, then,
         end="any" if "goaway" in name else "auto")

# --- 5.5: unknown frame types ---
for kind in (0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x11, 0x20, 0x40, 0x80, 0xbb, 0xfe, 0xff):
    case("unknown-type/%02x" % kind, "9113 5.5", "a frame of an unknown type is ignored",
         frame(kind, 0, 0, b"content") + frame(kind, 0xff, 0) + get(1), answer())
for name, steps in {
    "idle-stream": (frame(0xbb, 0, 1, b"x") + get(1), answer()),
    "open-stream": (post(1) + frame(0xbb, 0, 1, b"x") + f.data(1, b"y", end=True), answer(content=b"y")),
    "end-stream-flag": (post(1) + frame(0xbb, 1, 1, b"x") + f.data(1, b"y", end=True), answer(content=b"y")),
    "closed-stream": (get(1), answer(), frame(0xbb, 0, 1, b"x"), barrier),
    "even-stream": (frame(0xbb, 0, 2, b"x") + get(1), answer()),
    "far-stream": (frame(0xbb, 0, f.LARGEST, b"x") + get(1), answer()),
    "empty": (frame(0xbb, 0, 0) + get(1), answer()),
    "16384": (frame(0xbb, 0, 0, bytes(16384)) + get(1), answer()),
    "twenty": (frame(0xbb, 0xff, 3, b"x" * 100) * 20 + get(5), answer(5)),
    "no-window": (frame(0xbb, 0, 1, bytes(16384)) * 5 + get(1), answer()),
}.items():
    case("unknown-type/" + name, "9113 5.5", "a frame of an unknown type is ignored", *steps)
case("unknown-type/in-field-block", "9113 5.5, 6.10", "a frame of an unknown type inside a field block is an error",
     f.headers(1, GET[:5], done=False) + frame(0xbb, 0, 1, b"x") + f.continuation(1, GET[5:]), goaway(PROTOCOL_ERROR))
case("unknown-type/oversized", "9113 4.2", "a frame of an unknown type is not larger than SETTINGS_MAX_FRAME_SIZE",
     oversize(0xbb, 0, 0), goaway(FRAME_SIZE_ERROR))

# --- 4.2: SETTINGS_MAX_FRAME_SIZE ---
case("frame-size/data-16384", "9113 4.2", "DATA of 16,384 octets is accepted",
     echo(1, b"x" * 16384), windows(1, 20000), answer(content=b"x" * 16384))
case("frame-size/data-padded-16384", "9113 4.2", "DATA of 16,384 octets with padding is accepted",
     post(1) + f.data(1, b"x" * 16128, end=True, pad=255), windows(1, 20000), answer(content=b"x" * 16128))
case("frame-size/headers-16384", "9113 4.2", "HEADERS of 16,384 octets is well-formed; the fields may be too many",
     f.headers(1, GET + field_block([("x-large", "v" * (16384 - len(GET) - 12))])), answer(1, "200|431"))
for name, kind, flags, stream, before in (
    ("data", f.DATA, 0, 1, post(1)), ("headers", f.HEADERS, 5, 1, b""), ("priority", f.PRIORITY, 0, 1, b""),
    ("rst-stream", f.RST_STREAM, 0, 1, post(1)), ("settings", f.SETTINGS, 0, 0, b""), ("ping", f.PING, 0, 0, b""),
    ("goaway", f.GOAWAY, 0, 0, b""), ("window-update", f.WINDOW_UPDATE, 0, 0, b""),
    ("continuation", f.CONTINUATION, 4, 1, f.headers(1, b"", done=False)), ("push-promise", f.PUSH_PROMISE, 4, 1, b""),
    ("settings-ack", f.SETTINGS, 1, 0, b""), ("padded-data", f.DATA, 8, 1, post(1)),
):
    expected = {"data": stream_error(1, FRAME_SIZE_ERROR), "padded-data": stream_error(1, FRAME_SIZE_ERROR),
                "priority": stream_error(1, FRAME_SIZE_ERROR),
                "push-promise": goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR)}.get(name, goaway(FRAME_SIZE_ERROR))
    case("frame-size/oversized-" + name, "9113 4.2", "a frame larger than SETTINGS_MAX_FRAME_SIZE is an error",
         before, oversize(kind, flags, stream, b"\x90" if name == "continuation" else b"\0"), expected,
         end="any" if name in ("data", "padded-data", "priority") else "auto")
case("frame-size/claim-only", "9113 4.2", "a frame header that claims 2^24-1 octets is refused before they arrive",
     frame(f.SETTINGS, 0, 0, b"", length=(1 << 24) - 1), goaway(FRAME_SIZE_ERROR))

# --- fixed sizes ---
for name, kind, stream, sizes, before, expected in (
    ("priority", f.PRIORITY, 1, (0, 1, 4, 6, 10), post(1), stream_error(1, FRAME_SIZE_ERROR)),
    ("rst-stream", f.RST_STREAM, 1, (0, 1, 3, 5, 8), post(1), goaway(FRAME_SIZE_ERROR)),
    ("settings", f.SETTINGS, 0, (1, 2, 3, 4, 5, 7, 11, 13), b"", goaway(FRAME_SIZE_ERROR)),
    ("ping", f.PING, 0, (0, 1, 7, 9, 16), b"", goaway(FRAME_SIZE_ERROR)),
    ("goaway", f.GOAWAY, 0, (0, 1, 4, 7), b"", goaway(FRAME_SIZE_ERROR)),
    ("window-update", f.WINDOW_UPDATE, 0, (0, 1, 3, 5, 8), b"", goaway(FRAME_SIZE_ERROR)),
    ("stream-window-update", f.WINDOW_UPDATE, 1, (0, 3, 5), post(1), goaway(FRAME_SIZE_ERROR)),
):
    for size in sizes:
        case("frame-size/%s-%d" % (name, size), "9113 4.2, 6", "%s has a fixed size" % name.upper(),
             before, frame(kind, 0, stream, b"\0" * (size - 1) + b"\1" * min(1, size)), expected)
for size in (1, 2, 4):
    case("frame-size/headers-priority-%d" % size, "9113 4.2, 6.2", "HEADERS is too short for its priority",
         frame(f.HEADERS, 0x25, 1, bytes(size)), goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR))
case("frame-size/headers-priority-0", "9113 4.2, 6.2", "HEADERS is too short for its priority",
     frame(f.HEADERS, 0x25, 1), goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR))
for name, kind, before in (("data", f.DATA, post(1)), ("headers", f.HEADERS, b"")):
    case("frame-size/%s-no-pad-length" % name, "9113 4.2, 6", "a frame with the flag PADDED has a Pad Length",
         before, frame(kind, 0x0d, 1), goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR))

# --- padding ---
for pad in (0, 1, 7, 100, 255):
    case("padding/data-%d" % pad, "9113 6.1", "padding is not content",
         post(1) + f.data(1, b"content", end=True, pad=pad), answer(content=b"content"))
    case("padding/headers-%d" % pad, "9113 6.2", "padding is not part of the field block",
         f.headers(1, GET, pad=pad), answer())
for content, pad in ((b"", 1), (b"", 255), (b"x", 2), (b"x" * 10, 11), (b"x" * 10, 200)):
    raw = bytes([pad]) + content
    case("padding/data-too-long-%d-%d" % (len(content), pad), "9113 6.1", "padding longer than the payload is an error",
         post(1) + frame(f.DATA, 9, 1, raw), goaway(PROTOCOL_ERROR))
for pad in (len(GET) + 1, 255):
    case("padding/headers-too-long-%d" % pad, "9113 6.2", "padding longer than the payload is an error",
         frame(f.HEADERS, 0x0d, 1, bytes([pad]) + GET), goaway(PROTOCOL_ERROR))
case("padding/headers-too-long-with-priority", "9113 6.2", "padding must fit beside the priority",
     frame(f.HEADERS, 0x2d, 1, bytes([len(GET) + 1]) + f.weight() + GET), goaway(PROTOCOL_ERROR))
case("padding/headers-with-priority", "9113 6.2", "padding and priority may be combined",
     f.headers(1, GET, pad=9, priority=f.weight()), answer())
case("padding/data-only-padding", "9113 6.1", "DATA may consist of padding only",
     post(1) + f.data(1, b"", pad=200) + f.data(1, b"x", end=True), answer(content=b"x"))
case("padding/data-only-padding-end", "9113 6.1", "DATA with END_STREAM may consist of padding only",
     post(1) + f.data(1, b"x") + f.data(1, b"", end=True, pad=0), answer(content=b"x"))
case("padding/headers-empty-block", "9113 6.2", "HEADERS may consist of padding only; the block may follow",
     f.headers(1, b"", done=False, pad=100) + f.continuation(1, GET), answer())
case("padding/not-zero-data", "9113 6.1", "padding that is not zero is an error or ignored",
     post(1) + frame(f.DATA, 9, 1, f.padded(b"x", 5, b"\1")), either(answer(content=b"x"), goaway(PROTOCOL_ERROR)))
case("padding/not-zero-headers", "9113 6.2", "padding that is not zero is an error or ignored",
     frame(f.HEADERS, 0x0d, 1, f.padded(GET, 5, b"\xff")), either(answer(), goaway(PROTOCOL_ERROR)))
case("padding/trailers", "9113 6.2", "a trailer section may have padding",
     post(1) + f.data(1, b"x") + f.headers(1, field_block([("x-end", "1")]), pad=20), answer(content=b"x"))
case("padding/continuation-has-none", "9113 6.10", "CONTINUATION has no padding: the flag is ignored",
     f.headers(1, b"", done=False) + frame(f.CONTINUATION, 0x0c, 1, GET), answer())

# --- pieces ---
case("frames/byte-by-byte", "9113 4.1", "frames may arrive in pieces of one octet",
     pieces(echo(1, b"hello") + get(3)), answer(content=b"hello"), answer(3))
case("frames/three-by-three", "9113 4.1", "frames may arrive in pieces of three octets",
     pieces(echo(1, b"hello" * 9) + get(3), 3), answer(content=b"hello" * 9), answer(3))
for at in (1, 3, 4, 5, 8, 9, 10):
    case("frames/cut-at-%d" % at, "9113 4.1", "a frame may arrive in two parts",
         get(1)[:at], lambda conn: conn.pump(0.03), get(1)[at:], answer())
case("frames/ends-inside-frame", "9113 5.4.1", "the connection ends inside a frame",
     get(1)[:7], shut_down, closed())
case("frames/empty-data-then-end", "9113 6.1", "empty DATA frames are allowed",
     post(1) + f.data(1) * 3 + f.data(1, b"x") + f.data(1) * 3 + f.data(1, end=True), answer(content=b"x"))
case("frames/huffman-request", "7541 5.2", "a request may be encoded with Huffman codes",
     f.headers(1, field_block(request(), huffman=True)), answer())
case("frames/never-indexed-request", "7541 6.2.3", "a request may be encoded as never indexed",
     f.headers(1, field_block(request(), hpack.NEVER)), answer())
case("frames/trailers-stay-in-step", "9113 8.1", "the connection stays in step after trailers",
     post(1) + f.data(1, b"x") + trailers(1, ("x-t", "1")), answer(content=b"x"), get(3), answer(3))
case("frames/reset-is-silent", "9113 5.4.2", "a reset stream has no response",
     post(1) + f.rst_stream(1), silent(1), post(3) + f.data(3, b"x", end=True), answer(3, content=b"x"))
case("frames/data-on-closed", "9113 6.1", "DATA after the end of a stream is an error",
     echo(1, b"x"), answer(content=b"x"), f.data(1, b"late"), either(reset(1, STREAM_CLOSED), goaway(STREAM_CLOSED)))
