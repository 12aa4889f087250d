"""Starting HTTP/2: the connection preface (RFC 9113 3.4) and ALPN (3.2)."""
from frames import (ACK, ENABLE_PUSH, HEADERS, PREFACE, PROTOCOL_ERROR, frame, goaway as goaway_frame, ping, priority,
                    rst_stream, settings, window_update)
from messages import get
from steps import acks, answer, barrier, closed, either, http1, pieces, shut_down
from suite import case

START = PREFACE + settings((ENABLE_PUSH, 0))

case("preface/plain", "9113 3.4", "the preface with an empty SETTINGS is answered with SETTINGS and an acknowledgement",
     PREFACE + settings(), acks(1), start=False)
case("preface/with-request", "9113 3.4", "a request may follow the preface before the server's SETTINGS arrives",
     START + get(1), answer(1), start=False)
case("preface/with-three-requests", "9113 3.4", "requests may follow the preface at once",
     START + get(1) + get(3) + get(5), answer(1), answer(3), answer(5), start=False)
case("preface/with-window-update", "9113 3.4", "WINDOW_UPDATE may follow the preface at once",
     START + window_update(0, 1 << 20) + get(1), answer(1), start=False)
case("preface/byte-by-byte", "9113 3.4", "the preface may arrive in pieces of one octet",
     pieces(START + get(1)), answer(1), start=False)
for at in (1, 3, 4, 14, 16, 18, 20, 22, 23, 24, 27, 32, 33, 39):
    case("preface/cut-at-%d" % at, "9113 3.4", "the preface may arrive in two parts",
         START[:at], lambda conn: conn.pump(0.05), START[at:] + get(1), answer(1), start=False)

# A server that also speaks HTTP/1.1 may take what is no preface as that. The connection ends in any case.
for name, octets in {
    "sm": b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n",
    "last-octet": PREFACE[:-1] + b"x",
    "version": b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
    "lower-case": b"pri * http/2.0\r\n\r\nsm\r\n\r\n",
    "bare-lf": b"PRI * HTTP/2.0\n\nSM\n\n",
    "target": b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(24),
    "frame": settings() * 3,
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
}.items():
    case("preface/wrong-" + name, "9113 3.4", "an invalid preface ends the connection",
         octets + settings() + get(1), shut_down, closed(PROTOCOL_ERROR), start=False)
for at in (0, 1, 10, 18, 23):
    case("preface/ends-at-%d" % at, "9113 3.4", "a connection that ends inside the preface is closed",
         PREFACE[:at], shut_down, closed(), start=False)
case("preface/ends-before-settings", "9113 3.4", "a connection that ends before SETTINGS is closed",
     PREFACE, shut_down, closed(), start=False)
case("preface/ends-inside-settings", "9113 3.4", "a connection that ends inside SETTINGS is closed",
     START[:-3], shut_down, closed(), start=False)
case("preface/twice", "9113 3.4", "a second preface is no frame", START + PREFACE + settings() + get(1),
     shut_down, closed(), start=False)

# SETTINGS must be the first frame. GOAWAY may be omitted.
for name, octets in {
    "headers": get(1), "ping": ping(), "window-update": window_update(0, 1), "priority": priority(1),
    "rst-stream": rst_stream(1), "goaway": goaway_frame(), "data": frame(0, 0, 1, b"x"),
    "continuation": frame(9, 4, 1), "empty-headers": frame(HEADERS, 5, 1),
}.items():
    case("preface/first-" + name, "9113 3.4", "the first frame must be SETTINGS",
         PREFACE + octets, closed(PROTOCOL_ERROR), start=False)
case("preface/first-unknown-type", "9113 3.4, 5.5", "a frame of an unknown type before SETTINGS is an error or ignored",
     PREFACE + frame(0xbb, 0, 0, b"x") + settings(),
     either(closed(PROTOCOL_ERROR), acks(1)), start=False)
case("preface/first-acknowledgement", "9113 3.4, 6.5",
     "an acknowledgement instead of the first SETTINGS is an error or ignored",
     PREFACE + settings(flags=ACK) + settings(), either(closed(PROTOCOL_ERROR), acks(1)), start=False)
case("preface/first-oversized", "9113 3.4, 4.2", "the first SETTINGS obeys the rules of SETTINGS",
     PREFACE + frame(4, 0, 0, bytes(5)), closed(), start=False)
case("preface/server-settings-first", "9113 3.4", "the server's first frame is SETTINGS",
     PREFACE + settings(), acks(1), barrier, start=False)
case("preface/alpn", "9113 3.2", "ALPN chooses h2", lambda conn: None, tls=True)
case("preface/no-upgrade", "9113 3.1", "HTTP/1.1 on the same port is answered with HTTP/1.1, or closed",
     b"GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
     b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", either(closed(), http1()), start=False, end="any", tls=False)
