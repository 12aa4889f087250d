"""WebSocket frames (RFC 6455 5.2) in DATA frames (RFC 8441 5)."""
import struct

from steps import Expect


def message(opcode, payload, fin=True, mask=b"\x11\x22\x33\x44"):
    first = opcode | (0x80 if fin else 0)
    bit, size = 0 if mask is None else 0x80, len(payload)
    if size < 126:
        head = struct.pack(">BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload))


def text(payload):
    return message(1, payload)


def close(code):
    return message(8, struct.pack(">H", code))


def parse(data):
    """Returns the complete messages as (opcode, payload), or None if the server's frames are wrong."""
    messages, at, parts = [], 0, None
    while at + 2 <= len(data):
        first, size = data[at], data[at + 1]
        extra = {126: 2, 127: 8}.get(size & 127, 0)
        if size & 0x80 or first & 0x70:
            return None     # masked, or reserved bits
        if at + 2 + extra > len(data):
            break
        if extra:
            size = int.from_bytes(data[at + 2:at + 2 + extra], "big")
        at += 2 + extra
        payload = bytes(data[at:at + size])
        if len(payload) < size:
            break
        at += size
        opcode = first & 15
        if opcode >= 8:
            messages.append((opcode, payload))
            continue
        if (opcode == 0) != (parts is not None):
            return None
        parts = (opcode, payload) if parts is None else (parts[0], parts[1] + payload)
        if first & 0x80:
            messages.append(parts)
            parts = None
    return messages


def received(stream, *expected, prefix=False):
    """Exactly these messages have arrived. With `prefix` each payload needs only to begin so."""
    def check(conn):
        got = parse(conn.stream(stream).content)
        if got is None or len(got) != len(expected):
            return "%r" % (got,)
        same = all(o == p and (b.startswith(c) if prefix else b == c) for (o, b), (p, c) in zip(got, expected))
        return None if same else "%r" % (got,)
    return Expect("the messages %s" % ", ".join("%d: %r" % (o, p[:20]) for o, p in expected), check)
