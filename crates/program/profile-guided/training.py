"""The load from which the profile is taken: the program's routes, in proportions of everyday use.

It knows no compiler. Each kind of work gets enough of the whole for the compiler to see that it is not rare; the speed of
this client does not matter. Every answer is checked.
Standard library only.
"""

import re
import socket
import zlib

PATIENCE = 20.0  # seconds after which an answer is missing
MASK = bytes.fromhex("a1b2c3d4")
TEXT, BINARY = 0x81, 0x82
COMPRESSED = 0x40

SHORT = ("Host: 127.0.0.1",)
CLIENT = ("Host: 127.0.0.1", "User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*",
          "Connection: keep-alive", "Authorization: Bearer 3f786850e387550fdab836ed7e6dc881de23001b")
BROWSER = ("Host: localhost:8080", "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
           "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: de,en-US;q=0.7,en;q=0.3",
           "Accept-Encoding: gzip, deflate, br, zstd", "DNT: 1", "Connection: keep-alive", "Referer: http://localhost:8080/start",
           "Cookie: id=a3fWa; basket=31d4d96e407aad42; consent=yes", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate",
           "Sec-Fetch-Site: same-origin", "Priority: u=0, i")

FILES = {"index.html": b"<!doctype html><title>Training</title>" + b"<p>Hello, World!</p>" * 60,
         "app.js": b"export const answer = 42;\n" * 1200,
         "picture.png": bytes(range(256)) * 512}


class Client:
    """A connection whose answers are read completely."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise RuntimeError(f"the server closed the connection after {bytes(self.read[-200:])!r}")
        self.read += piece

    def take(self, length):
        """Returns the next bytes."""
        while len(self.read) < length:
            self.more()
        taken = bytes(self.read[:length])
        del self.read[:length]
        return taken

    def until(self, end, times=1):
        """Returns the next bytes, up to and including this end for the last of several times."""
        at = 0
        for _ in range(times):
            while (found := self.read.find(end, at)) < 0:
                self.more()
            at = found + len(end)
        return self.take(at)

    def answer(self, method="GET"):
        """Returns the next response, head and content as they are on the wire."""
        head = self.until(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if method == "HEAD" or re.match(rb"HTTP/1.1 (1..|204|304) ", head):
            return head
        if length:
            return head + self.take(int(length[1]))
        return head + self.until(b"0\r\n\r\n")

    def frames(self, number):
        """Reads this number of frames."""
        for _ in range(number):
            length = self.take(2)[1]
            self.take(length if length < 126 else int.from_bytes(self.take(2 if length == 126 else 8), "big"))


def request(target, fields=SHORT, method="GET", content=None, **more):
    """Returns a request. Further fields are named in lower case, with `_` for `-`."""
    lines = [f"{method} {target} HTTP/1.1", *fields]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    if content is not None:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + (content or b"")


def frame(payload, first=TEXT):
    """Returns a message as a client sends it."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big") if length < 1 << 16 else \
        b"\xff" + length.to_bytes(8, "big")
    mask = int.from_bytes((MASK * (length // 4 + 1))[:length], "big")
    return bytes([first]) + size + MASK + (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")


def open_all(port, number):
    return [Client(port) for _ in range(number)]


def close_all(clients):
    for client in clients:
        client.socket.close()


def ask(port, one, turns, depth=1, conns=16, status=200):
    """Repeats a request whose answers are all of the same length."""
    clients = open_all(port, conns)
    method = one.split(b" ", 1)[0].decode()
    begin = b"HTTP/1.1 %d " % status
    for client in clients:
        client.send(one)
        answer = client.answer(method)
        if not answer.startswith(begin):
            raise RuntimeError(f"{one[:200]!r} has the answer {answer[:200]!r}")
    for _ in range(turns):
        for client in clients:
            client.send(one * depth)
        for client in clients:
            answers = client.take(len(answer) * depth)
            if answers.count(begin) != depth:
                raise RuntimeError(f"{one[:200]!r} has the answers {answers[:200]!r}")
    close_all(clients)


def upgraded(port, number, path, extension=""):
    """Returns connections that are WebSockets."""
    clients = open_all(port, number)
    fields = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_version": "13",
              "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ=="}
    if extension:
        fields["sec_websocket_extensions"] = extension
    for client in clients:
        client.send(request(path, **fields))
        answer = client.answer()
        if not answer.startswith(b"HTTP/1.1 101 ") or bool(extension) != (b"permessage-deflate" in answer):
            raise RuntimeError(f"{path} is not upgraded: {answer!r}")
    return clients


def close_sockets(clients):
    """Closes WebSockets with a closing handshake."""
    for client in clients:
        client.send(frame(b"\x03\xe8", 0x88))
    for client in clients:
        client.frames(1)
    close_all(clients)


def echo(port, payload, turns, depth=1, first=TEXT, conns=16):
    """Sends messages that come back."""
    clients = upgraded(port, conns, "/ws")
    message, length = frame(payload, first), len(payload)
    head = bytes([first, length]) if length < 126 else bytes([first, 126]) + length.to_bytes(2, "big") if length < 1 << 16 else \
        bytes([first, 127]) + length.to_bytes(8, "big")
    expected = (head + payload) * depth
    for _ in range(turns):
        for client in clients:
            client.send(message * depth)
        for client in clients:
            if client.take(len(expected)) != expected:
                raise RuntimeError(f"a message of {length} bytes came back changed")
    close_sockets(clients)


def echo_compressed(port, payload, turns):
    """The same with compression, each message by itself."""
    deflate = zlib.compressobj(wbits=-15)
    compressed = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    clients = upgraded(port, 8, "/ws", "permessage-deflate; client_no_context_takeover")
    for _ in range(turns):
        for client in clients:
            client.send(frame(compressed, TEXT | COMPRESSED))
        for client in clients:
            client.frames(1)
    close_sockets(clients)


def publish(port, data, turns, depth=1, sockets=100, streams=20, compressed=10):
    """Publishes to WebSockets and event streams, from a WebSocket and with POST."""
    listeners = upgraded(port, sockets, "/hub") + upgraded(port, compressed, "/hub", "permessage-deflate")
    for at, listener in enumerate(listeners):
        listener.send(frame(b'{"subscribe":"%s"}' % (b"prices.*" if at % 2 else b"prices.eur")))
        listener.frames(1)
    readers = open_all(port, streams)
    for reader in readers:
        reader.send(request("/topics/prices.eur", BROWSER))
        reader.until(b"\r\n\r\n")
    (publisher,), poster = upgraded(port, 1, "/hub"), Client(port)
    command = frame(b'{"publish":"prices.eur","data":%s,"id":7}' % data) * depth
    post = request("/topics/prices.eur", CLIENT, "POST", data, content_type="application/json")
    for turn in range(turns):
        posts = turn % 4 == 0
        if posts:
            poster.send(post)
            if not poster.answer().startswith(b"HTTP/1.1 202 "):
                raise RuntimeError("a publication is refused")
        else:
            publisher.send(command)
            publisher.frames(depth)
        for listener in listeners:
            listener.frames(1 if posts else depth)
        for reader in readers:
            reader.until(b'data: {"topic":', 1 if posts else depth)
    close_sockets([*listeners, publisher])
    close_all([*readers, poster])


def register(port, turns):
    """Stores, reads and lists records, as the registry's clients do."""
    with Client(port) as client:
        for turn in range(turns):
            for one in (request("/clients", CLIENT, "POST", b"hello %d" % turn, x_id=f"client-{turn % 50}", content_type="text/plain"),
                        request(f"/clients/client-{turn % 50}", CLIENT)):
                client.send(one)
                if not client.answer().startswith(b"HTTP/1.1 20"):
                    raise RuntimeError("the registry refuses a record")
            if turn % 20 == 0:
                client.send(request("/clients", BROWSER))
                client.answer()


def ask_varied(port, turns):
    """What is asked for now and then: lists, figures, other methods, a head in two pieces, chunks, short connections."""
    for _ in range(turns):
        with Client(port) as client:
            for target in ("/metrics", "/topics", "/healthz", "/census"):
                client.send(request(target, CLIENT))
                client.answer()
            for method in ("HEAD", "OPTIONS", "DELETE"):
                client.send(request("/plaintext", CLIENT, method))
                client.answer(method)
            head = request("/plaintext", BROWSER)
            for piece in (head + head[:200], head[200:]):  # the server has read the first one when it answers
                client.send(piece)
                client.answer()
            client.send(request("/echo", CLIENT, "POST", transfer_encoding="chunked") + b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n")
            client.answer()
    for _ in range(turns * 5):
        with Client(port) as client:
            client.send(request("/", BROWSER))
            client.answer()


def train(port, share=1.0):
    """Puts all kinds of load on the server, which serves FILES, one after the other: all of it, or a share."""

    def turns(number):
        return max(1, round(number * share))

    ask(port, request("/plaintext"), turns(500))
    ask(port, request("/plaintext"), turns(150), depth=16)
    ask(port, request("/plaintext", BROWSER), turns(300))
    ask(port, request("/plaintext", BROWSER), turns(100), depth=16)
    ask(port, request("/json", CLIENT), turns(400))
    ask(port, request("/json", CLIENT), turns(30), depth=8)
    ask(port, request("/echo", CLIENT, "POST", b"x" * 900, content_type="application/octet-stream"), turns(400))
    ask(port, request("/echo", CLIENT, "POST", b"x" * 200_000, content_type="application/octet-stream"), turns(30), conns=4)
    ask(port, request("/nowhere", BROWSER), turns(100), status=404)
    ask(port, request("/", BROWSER), turns(200))
    ask(port, request("/app.js", BROWSER), turns(150))
    ask(port, request("/picture.png", BROWSER), turns(50), conns=8)
    ask(port, request("/picture.png", BROWSER, range="bytes=1000-1999"), turns(50), status=206)
    ask(port, request("/app.js", BROWSER, if_modified_since="Fri, 01 Jan 2100 00:00:00 GMT"), turns(150), status=304)
    echo(port, b"0123456789abcdef", turns(500))
    echo(port, b"0123456789abcdef", turns(150), depth=32)
    echo(port, b'{"kind":"order","id":4711,"symbol":"EUR/USD","price":1.0843,"amount":2500,"note":"caf\xc3\xa9"}' * 3, turns(150), depth=8)
    echo(port, b"The quick brown fox. " * 48, turns(150), depth=4)
    echo(port, bytes(range(256)) * 4, turns(150), depth=4, first=BINARY)
    echo(port, bytes(range(256)) * 256, turns(20), first=BINARY, conns=8)
    echo_compressed(port, b'{"kind":"order","id":4711,"symbol":"EUR/USD","price":1.0843}' * 8, turns(100))
    publish(port, b"1.0843", turns(300))
    publish(port, b'{"bid":1.0841,"ask":1.0843,"at":1730000000}', turns(100), depth=8)
    publish(port, b'"' + b"news " * 200 + b'"', turns(100))
    register(port, turns(1000))
    ask_varied(port, turns(100))
