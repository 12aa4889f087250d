"""CONNECT (RFC 9113 8.5) and WebSocket over HTTP/2 (RFC 8441)."""
import frames as f
from frames import CANCEL, ENABLE_CONNECT_PROTOCOL, INITIAL_WINDOW_SIZE, PROTOCOL_ERROR, window_update
from messages import SCHEME, field_block, get
from steps import Expect, answer, barrier, content, either, malformed, reset, windows
from suite import case
from websocket import close, message, received, text

WS = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", SCHEME), (":path", "/ws"),
    (":authority", "localhost"),
      ("sec-websocket-version", "13")]


def connect(*extra, stream=1, drop=(), end=False, **replaced):
    """An extended CONNECT. `replaced` are pseudo-header fields by name."""
    pairs = [(n, replaced.get(n[1:], v)) for n, v in WS if n not in drop]
    return f.headers(stream, field_block(pairs + list(extra)), end)


# The server has announced it before an extended CONNECT is sent.
announced = Expect("SETTINGS_ENABLE_CONNECT_PROTOCOL",
    lambda c: None if c.peer.get(ENABLE_CONNECT_PROTOCOL) == 1 else "not announced")
opened = answer(1, "200", ended=False, absent=["content-length", "transfer-encoding", "upgrade", "connection",
    "sec-websocket-accept"])
OPEN = (announced, connect(), opened)

case("connect/announced", "8441 3", "the server announces SETTINGS_ENABLE_CONNECT_PROTOCOL", announced)
case("connect/open", "8441 5", "an extended CONNECT is answered with 200", *OPEN)
case("connect/echo", "8441 5", "a message comes back", *OPEN, f.data(1, text(b"hello")), received(1, (1, b"hello")))
case("connect/echo-binary", "8441 5", "a message comes back", *OPEN, f.data(1, message(2, bytes(range(256)))),
     received(1, (2, bytes(range(256)))))
case("connect/echo-empty", "8441 5", "an empty message comes back", *OPEN, f.data(1, text(b"")), received(1, (1, b"")))
case("connect/echo-three", "8441 5", "messages come back in order",
     *OPEN, f.data(1, text(b"a") + text(b"b") + text(b"c")), received(1, (1, b"a"), (1, b"b"), (1, b"c")))
case("connect/at-once", "8441 5", "a message before the response is accepted or refused (RFC 6455 4.1)",
     announced, connect() + f.data(1, text(b"early")), either(received(1, (1, b"early")), malformed()))
case("connect/octet-by-octet", "8441 5", "a message may arrive in DATA frames of one octet",
     *OPEN, b"".join(f.data(1, b"%c" % o) for o in text(b"split")), received(1, (1, b"split")))
case("connect/empty-data", "8441 5", "empty DATA frames mean nothing",
     *OPEN, f.data(1) + f.data(1, text(b"x")[:3]) + f.data(1) + f.data(1, text(b"x")[3:]), received(1, (1, b"x")))
case("connect/padded", "8441 5", "padding is no part of a message", *OPEN, f.data(1, text(b"padded"), pad=40),
     received(1, (1, b"padded")))
case("connect/fragments", "6455 5.4", "a message may have fragments",
     *OPEN, f.data(1, message(1, b"one ", fin=False)) + f.data(1, message(0, b"two")), received(1, (1, b"one two")))
case("connect/ping", "6455 5.5.2", "a ping is answered", *OPEN, f.data(1, message(9, b"ping")),
     received(1, (10, b"ping")))
case("connect/large", "8441 5", "a message of 50,000 octets comes back",
     *OPEN, *[f.data(1, text(b"L" * 50000)[i:i + 16384]) for i in range(0, 50014, 16384)], windows(1, 60000),
     received(1, (1, b"L" * 50000)))
case("connect/close", "6455 5.5.1", "a close frame is answered, and the stream ends",
     *OPEN, f.data(1, close(1000)), received(1, (8, b"\x03\xe8")), f.data(1, end=True),
     Expect("END_STREAM", lambda c: None if c.stream(1).ended or c.stream(1).reset in (0, CANCEL) else "none"))
case("connect/close-with-end-stream", "8441 5", "END_STREAM may come with the close frame",
     *OPEN, f.data(1, close(1000), end=True), received(1, (8, b"\x03\xe8")),
     Expect("END_STREAM", lambda c: None if c.stream(1).ended or c.stream(1).reset in (0, CANCEL) else "none"))
case("connect/end-stream", "8441 5", "END_STREAM without a close frame ends the stream",
     *OPEN, f.data(1, end=True), Expect("the end of the stream",
     lambda c: None if c.stream(1).ended or c.stream(1).reset is not None else "open"))
case("connect/rst-stream", "8441 5", "RST_STREAM with CANCEL ends the WebSocket", *OPEN, f.rst_stream(1, CANCEL),
     barrier)
case("connect/unmasked", "6455 5.1", "a frame that is not masked fails the WebSocket, not the connection",
     *OPEN, f.data(1, message(1, b"plain", mask=None)),
     either(received(1, (8, b"\x03\xea"), prefix=True),
     Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none")))
case("connect/invalid-utf-8", "6455 8.1", "a text that is not UTF-8 fails the WebSocket, not the connection",
     *OPEN, f.data(1, text(b"\xff\xfe")),
     either(received(1, (8, b"\x03\xef"), prefix=True),
     Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none")))
case("connect/bad-opcode", "6455 5.2", "a reserved opcode fails the WebSocket, not the connection",
     *OPEN, f.data(1, message(3, b"x")),
     either(received(1, (8, b"\x03\xea"), prefix=True),
     Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none")))
case("connect/with-requests", "8441 1", "requests are answered beside a WebSocket",
     *OPEN, get(3), answer(3), f.data(1, text(b"still")), received(1, (1, b"still")), get(5), answer(5))
case("connect/two", "8441 1", "a connection can have several WebSockets",
     announced, connect() + connect(stream=3), opened, answer(3, ended=False),
     f.data(3, text(b"three")) + f.data(1, text(b"one")),
     received(1, (1, b"one")), received(3, (1, b"three")))
case("connect/flow-control", "8441 5, 9113 6.9", "messages obey the windows",
     announced, connect(), opened, f.data(1, text(b"0123456789")), content(1, 5), window_update(1, 100),
     received(1, (1, b"0123456789")),
     settings=[(INITIAL_WINDOW_SIZE, 5)])
case("connect/window-0", "8441 5, 9113 6.9", "the response needs no window",
     announced, connect(), opened, f.data(1, text(b"x")), content(1, 0), window_update(1, 100), received(1, (1, b"x")),
     settings=[(INITIAL_WINDOW_SIZE, 0)])
case("connect/upload-windows", "9113 5.2", "the server replenishes the windows of a WebSocket",
     *OPEN, windows(1, 1 << 20), *[s for i in range(20) for s in (
         lambda conn: conn.wait(lambda: min(conn.sendable, conn.stream(1).sendable) > 9000),
         f.data(1, message(2, b"%08d" % i * 1000)))],
     received(1, *[(2, b"%08d" % i * 1000) for i in range(20)]))
case("connect/goaway", "9113 6.8", "a WebSocket goes on after the client's GOAWAY",
     *OPEN, f.goaway(), f.data(1, text(b"on")), received(1, (1, b"on")), end="any")

# --- handshakes ---
case("connect/key-is-ignored", "8441 5", "sec-websocket-key is not processed",
     announced, connect(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")), answer(1, "200|400", ended=False))
case("connect/origin", "6455 10.2", "an origin of the same site is accepted",
     announced, connect(("origin", SCHEME + "://localhost")), opened)
case("connect/query", "8441 5", "the path may have a query", announced, connect(path="/ws?a=b"), opened)
case("connect/protocol-upper-case", "8441 4", "the name of the protocol in another case is accepted or refused",
     announced, connect(protocol="WebSocket"), either(answer(1, "200|4..|501", ended=False), reset(1, PROTOCOL_ERROR)))
case("connect/not-found", "8441 5", "another path is 404", announced, connect(path="/no-such-thing"),
     answer(1, "4..|501", ended=False))
case("connect/not-a-websocket", "8441 5", "a path without a WebSocket refuses", announced, connect(path="/json"),
     answer(1, "4..|501", ended=False))
for version in ("12", "8", "0", "", "13, 14", "abc"):
    case("connect/version-" + (version.replace(", ", "-") or "empty"), "6455 4.4",
         "another version is refused, with the right one",
         announced, connect(("sec-websocket-version", version), drop=["sec-websocket-version"]),
         answer(1, "426|400", ended=False))
case("connect/version-advice", "6455 4.4", "a refusal of the version names the right one",
     announced, connect(("sec-websocket-version", "99"), drop=["sec-websocket-version"]),
     answer(1, "426|400", fields={"sec-websocket-version": "13"}, ended=False))
case("connect/version-missing", "6455 4.2.1", "sec-websocket-version is required", announced,
     connect(drop=["sec-websocket-version"]), answer(1, "426|400", ended=False))
for name in (":scheme", ":path"):
    case("connect/missing-" + name[1:], "8441 4", "extended CONNECT has :scheme and :path", announced,
         connect(drop=[name]), malformed())
    case("connect/empty-" + name[1:], "8441 4", "extended CONNECT has :scheme and :path", announced,
         connect(**{name[1:]: ""}), malformed())
case("connect/missing-authority", "8441 4", "extended CONNECT without :authority may be refused",
     announced, connect(drop=[":authority"]), either(malformed(), answer(1, "200", ended=False)))
case("connect/authority-userinfo", "9113 8.3.1", ":authority has no userinfo", announced,
     connect(authority="a@localhost"), malformed())
case("connect/protocol-empty", "8441 4", "an empty :protocol is refused", announced, connect(protocol=""),
     either(malformed(), answer(1, "501", ended=False)))
case("connect/protocol-twice", "9113 8.3", "the request is malformed", announced,
     f.headers(1, field_block([*WS[:2], *WS[1:]]), end=False), malformed())
case("connect/protocol-after-regular", "9113 8.3", "pseudo-header fields come first",
     announced, connect((":protocol", "websocket"), drop=[":protocol"]), malformed())
for name, protocol in {"unknown": "connect-udp", "nonsense": "x-unknown", "two": "websocket, x"}.items():
    case("connect/protocol-" + name, "8441 4, 9220 3", "an unknown protocol is refused",
         announced, connect(protocol=protocol), either(malformed(), answer(1, "501|4..", ended=False)))
case("connect/get-with-protocol", "8441 4", ":protocol belongs to CONNECT", announced, connect(method="GET"),
     malformed())
case("connect/with-end-stream", "8441 5", "END_STREAM on the request ends the WebSocket at once, or is refused",
     announced, connect(end=True), either(answer(1, "200|4..", ended=False), reset(1, PROTOCOL_ERROR, 0, CANCEL)))
case("connect/upgrade-field", "8441 5, 9113 8.2.2", "upgrade and connection are not sent",
     announced, connect(("upgrade", "websocket"), ("connection", "upgrade")), malformed())
case("connect/subprotocol", "6455 4.2.2", "a subprotocol that the server does not know is not chosen",
     announced, connect(("sec-websocket-protocol", "nonsense")),
     answer(1, "200", ended=False, absent=["sec-websocket-protocol"]))
case("connect/get-ws", "8441 5", "GET /ws without an upgrade is refused", get(1, "/ws"),
     answer(1, "4..|5..", ended=False))

# --- 8.5: CONNECT without :protocol. The server is no proxy. ---
for name, pairs in {
    "plain": [(":method", "CONNECT"), (":authority", "localhost:80")],
    "ipv6": [(":method", "CONNECT"), (":authority", "[::1]:80")],
}.items():
    case("connect/" + name, "9113 8.5", "CONNECT is refused by a server that is no proxy",
         f.headers(1, field_block(pairs), end=False),
         either(answer(1, "4..|501", ended=False), reset(1, PROTOCOL_ERROR, f.CONNECT_ERROR, f.REFUSED_STREAM)))
for name, pairs in {
    "with-path": [(":method", "CONNECT"), (":authority", "localhost:80"), (":path", "/")],
    "with-scheme": [(":method", "CONNECT"), (":authority", "localhost:80"), (":scheme", SCHEME)],
    "with-both": [(":method", "CONNECT"), (":authority", "localhost:80"), (":scheme", SCHEME), (":path", "/ws")],
    "without-authority": [(":method", "CONNECT")],
    "host-only": [(":method", "CONNECT"), ("host", "localhost:80")],
    "empty-authority": [(":method", "CONNECT"), (":authority", "")],
}.items():
    case("connect/" + name, "9113 8.5", "CONNECT has :authority and neither :scheme nor :path",
         f.headers(1, field_block(pairs), end=False), either(malformed(), answer(1, "501", ended=False)))
