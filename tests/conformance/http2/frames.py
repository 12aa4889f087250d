"""Frames of HTTP/2 as bytes (RFC 9113 4 and 6, RFC 9218 7.1).

The functions build whatever they are asked for, right or wrong: a case decides what is sent.
"""
import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
TYPES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
         "WINDOW_UPDATE", "CONTINUATION"]

# Flags. END_STREAM and ACK share a bit: they belong to different frame types.
END_STREAM = ACK = 0x01
END_HEADERS, PADDED, PRIORITY_FLAG = 0x04, 0x08, 0x20

# Error codes, RFC 9113 7.
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY,
 HTTP_1_1_REQUIRED) = range(14)

# Settings, RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1.
(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
RESERVED = 1 << 31      # the bit before a stream identifier
LARGEST = (1 << 31) - 1  # the largest stream identifier, window and increment


def code_name(code):
    return CODES[code] if code < len(CODES) else "code %#x" % code


def type_name(kind):
    return TYPES[kind] if kind < len(TYPES) else "type %#x" % kind


def frame(kind, flags, stream, payload=b"", length=None):
    """A frame. `length` claims another length than that of the payload."""
    size = len(payload) if length is None else length
    return struct.pack(">IBI", size << 8 | kind, flags, stream) + payload


def padded(payload, pad, fill=b"\0"):
    """The payload of a frame with the flag PADDED."""
    return bytes([pad]) + payload + fill * pad


def data(stream, content=b"", end=False, pad=None, flags=0):
    flags |= END_STREAM if end else 0
    if pad is not None:
        flags, content = flags | PADDED, padded(content, pad)
    return frame(DATA, flags, stream, content)


def headers(stream, block, end=True, done=True, pad=None, priority=None, flags=0):
    """A HEADERS frame. `done` sets END_HEADERS; `priority` is the five bytes of RFC 7540's priority."""
    flags |= (END_STREAM if end else 0) | (END_HEADERS if done else 0)
    if priority is not None:
        flags, block = flags | PRIORITY_FLAG, priority + block
    if pad is not None:
        flags, block = flags | PADDED, padded(block, pad)
    return frame(HEADERS, flags, stream, block)


def continuation(stream, block, done=True, flags=0):
    return frame(CONTINUATION, flags | (END_HEADERS if done else 0), stream, block)


def weight(depends_on=0, value=15, exclusive=False):
    """The five bytes of a priority, RFC 9113 6.3."""
    return struct.pack(">IB", depends_on | (RESERVED if exclusive else 0), value)


def priority(stream, payload=weight()):
    return frame(PRIORITY, 0, stream, payload)


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def setting(identifier, value):
    return struct.pack(">HI", identifier, value)


def settings(*pairs, flags=0, stream=0):
    """A SETTINGS frame of pairs (identifier, value)."""
    return frame(SETTINGS, flags, stream, b"".join(setting(i, v) for i, v in pairs))


def push_promise(stream, promised, block, flags=END_HEADERS):
    return frame(PUSH_PROMISE, flags, stream, struct.pack(">I", promised) + block)


def ping(payload=b"12345678", flags=0, stream=0):
    return frame(PING, flags, stream, payload)


def goaway(code=NO_ERROR, last=0, debug=b"", stream=0, flags=0):
    return frame(GOAWAY, flags, stream, struct.pack(">II", last, code) + debug)


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def priority_update(prioritized, value=b"u=3", stream=0):
    return frame(PRIORITY_UPDATE, 0, stream, struct.pack(">I", prioritized) + value)
