"""A client's connection: sends bytes, right or wrong, and reads frames strictly.

Everything that the server sends is checked on arrival; what RFC 9113 forbids raises `Malformed`, in every case.
"""
import re
import select
import socket
import ssl
import struct
import time

from frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADER_TABLE_SIZE, HEADERS,
                    INITIAL_WINDOW_SIZE, LARGEST, MAX_FRAME_SIZE, PADDED, PING, PREFACE, PRIORITY, PRIORITY_FLAG,
                    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, code_name, frame, settings, type_name)
from hpack import CompressionError, Decoder

WAIT = 5.0       # seconds that the server has for each step
DEADLINE = 45.0  # maximum seconds for one connection

# RFC 9113 8.2.1, RFC 9110 5.1 and 5.5.
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+\Z")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
CONNECTION_FIELDS = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}


class Malformed(Exception):
    """The server sent something that RFC 9113 or RFC 7541 forbids."""


class Stream:
    """What the server has sent on a stream."""

    def __init__(self, window):
        self.window = window            # octets that the server may send
        self.sendable = None            # octets that the client may send, set by the connection
        self.informational, self.fields, self.trailers = [], None, None
        self.content, self.frames = bytearray(), 0
        self.ended, self.reset = False, None

    @property
    def status(self):
        return self.fields and dict(self.fields)[b":status"].decode()

    def all(self, name):
        return [value.decode("latin-1") for n, value in self.fields or [] if n == name.encode()]

    def summary(self):
        parts = [dict(f)[b":status"].decode() for f in self.informational]
        parts += [self.status] if self.fields else []
        parts += ["%d octets" % len(self.content)] if self.content else []
        parts += ["END_STREAM"] if self.ended else []
        parts += ["RST_STREAM " + code_name(self.reset)] if self.reset is not None else []
        return " ".join(parts) or "nothing"


class Connection:
    escalation = False      # accept a connection error in place of a stream error, RFC 9113 5.4.1

    def __init__(self, address, context=None, receive_buffer=None):
        self.end = time.monotonic() + DEADLINE
        self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(5)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.alpn = None
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost", suppress_ragged_eofs=True)
            self.alpn = self.sock.selected_alpn_protocol()
        self.sock.setblocking(False)
        self.data, self.first = bytearray(), True
        # What has been sent of an incomplete frame, and the answers to the server that wait for its end.
        self.partial, self.replies = bytearray(), bytearray()
        self.started = self.framed = False    # the preface has been sent, and a frame after it
        self.eof = self.reset = self.http1 = self.over = self.broken_pipe = False
        self.goaway = self.goaway_last = None
        self.streams, self.pongs, self.acks = {}, [], 0
        self.decoder, self.open_block = Decoder(), None
        # What the server may do, by the settings of this side. Larger values count when they are sent, smaller ones
        # when they are acknowledged.
        self.window, self.initial_window, self.max_frame = 65535, 65535, 16384
        self.pending = []
        # What this side may do, by the settings of the server.
        self.peer, self.sendable = {}, 65535
        self.settings_seen = 0

    def close(self):
        self.sock.close()

    # --- sending ---

    def begin(self, pairs):
        """The connection preface, and what follows: the exchange of settings."""
        self.send(PREFACE + settings(*pairs))
        self.wait(lambda: self.settings_seen and self.acks)
        if not (self.settings_seen and self.acks):
            raise Malformed("no SETTINGS and acknowledgement after the preface")

    def stream(self, number):
        if number not in self.streams:
            stream = self.streams[number] = Stream(self.initial_window)
            stream.sendable = self.peer.get(INITIAL_WINDOW_SIZE, 65535)
        return self.streams[number]

    def send(self, data):
        """Sends bytes, reads meanwhile, and keeps account of the frames among them."""
        self.account(data)
        self.write(data)
        self.pump(0)
        self.reply()

    def write(self, data):
        view, end = memoryview(data), time.monotonic() + WAIT * 2
        while view and not self.broken_pipe and time.monotonic() < min(end, self.end):
            try:
                view = view[self.sock.send(view[:1 << 16]):]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self.pump(0.2, write=True)
            except OSError:
                self.broken_pipe = True

    def reply(self, data=b""):
        """Sends an acknowledgement, or keeps it until no frame is incomplete."""
        self.replies += data
        if self.framed and not self.partial and self.replies:
            data, self.replies = bytes(self.replies), bytearray()
            self.write(data)

    def send_deaf(self, data, seconds):
        """Sends bytes without reading. Returns the number of bytes that were accepted."""
        view, end = memoryview(data), time.monotonic() + seconds
        while view and time.monotonic() < end:
            try:
                view = view[self.sock.send(view[:1 << 16]):]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                select.select([], [self.sock], [], max(0, end - time.monotonic()))
            except OSError:
                self.broken_pipe = True
                break
        return len(data) - len(view)

    def account(self, data):
        """Notes which streams, windows and settings the frames of this side use."""
        self.partial += data
        if not self.started:
            if not self.partial.startswith(PREFACE):
                return
            del self.partial[:len(PREFACE)]
            self.started = True
        while len(self.partial) >= 9:
            size, kind, flags, number = struct.unpack_from(">IBBI", b"\0" + bytes(self.partial[:9]))
            if len(self.partial) < 9 + size:
                return
            payload = bytes(self.partial[9:9 + size])
            del self.partial[:9 + size]
            self.framed = True
            self.sent(kind, flags, number & LARGEST, payload)

    def sent(self, kind, flags, number, payload):
        if kind in (HEADERS, DATA) and number:
            self.stream(number)
        if kind == DATA and number:
            self.sendable -= len(payload)
            self.stream(number).sendable -= len(payload)
        elif kind == WINDOW_UPDATE and len(payload) == 4:
            increment = struct.unpack(">I", payload)[0] & LARGEST
            if number:
                self.stream(number).window += increment
            else:
                self.window += increment
        elif kind == SETTINGS and not flags & ACK and len(payload) % 6 == 0:
            pairs = list(struct.iter_unpack(">HI", payload))
            self.pending.append(pairs)
            for identifier, value in pairs:
                self.apply(identifier, value, acknowledged=False)

    def apply(self, identifier, value, acknowledged):
        if identifier == INITIAL_WINDOW_SIZE and (acknowledged or value > self.initial_window):
            change, self.initial_window = value - self.initial_window, value
            for stream in self.streams.values():
                stream.window += change
        elif identifier == MAX_FRAME_SIZE and (acknowledged or value > self.max_frame):
            self.max_frame = value
        elif identifier == HEADER_TABLE_SIZE and acknowledged:
            self.decoder.limit_to(value)
        elif identifier == HEADER_TABLE_SIZE and value > self.decoder.limit:
            self.decoder.limit = value

    # --- receiving ---

    def pump(self, seconds, write=False):
        """Reads what has arrived, and waits up to this many seconds for more."""
        if self.receive():
            return
        seconds = max(0.0, min(seconds, self.end - time.monotonic()))
        if self.eof:
            return
        select.select([self.sock], [self.sock] if write else [], [], seconds)
        self.receive()

    def receive(self):
        if self.eof:
            return False
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self.reset, data = True, b""
        self.eof = not data
        self.data += data
        self.parse()
        return bool(data)

    def wait(self, until, seconds=WAIT):
        end = min(time.monotonic() + seconds, self.end)
        while not until() and not self.eof and time.monotonic() < end:
            self.pump(end - time.monotonic())
        return until()

    def parse(self):
        if self.first and self.data[:5] == b"HTTP/":
            self.http1 = True       # an answer to something that is no HTTP/2
        while not self.http1 and len(self.data) >= 9:
            size, kind, flags, stream = struct.unpack_from(">IBBI", b"\0" + bytes(self.data[:9]))
            if size > self.max_frame:
                raise Malformed("a frame of %d octets" % size)
            if len(self.data) < 9 + size:
                return
            payload = bytes(self.data[9:9 + size])
            del self.data[:9 + size]
            if self.first and (kind != SETTINGS or flags & ACK):
                raise Malformed("the first frame is %s" % type_name(kind))
            self.first = False
            if self.open_block and kind != CONTINUATION:
                raise Malformed("%s inside a field block" % type_name(kind))
            self.frame(kind, flags, stream & LARGEST, payload)

    def frame(self, kind, flags, number, payload):
        if kind in (DATA, HEADERS, RST_STREAM, PRIORITY, CONTINUATION) and number == 0 or (
                kind in (SETTINGS, PING, GOAWAY) and number):
            raise Malformed("%s on stream %d" % (type_name(kind), number))
        if kind in (DATA, HEADERS):
            if number not in self.streams:
                raise Malformed("%s on the idle stream %d" % (type_name(kind), number))
            stream = self.streams[number]
            if stream.ended or stream.reset is not None:
                raise Malformed("%s after the end of stream %d" % (type_name(kind), number))
        if kind == DATA:
            self.window -= len(payload)
            stream.window -= len(payload)
            if payload and (stream.window < 0 or self.window < 0):
                raise Malformed("DATA beyond the %s window" % ("stream's" if stream.window < 0 else "connection's"))
            if not stream.fields:
                raise Malformed("DATA before HEADERS")
            stream.content += self.unpadded(payload, flags)
            if stream.content and stream.status in ("204", "205", "304"):
                raise Malformed("content in a %s" % stream.status)
            stream.frames += 1
            stream.ended = bool(flags & END_STREAM)
        elif kind == HEADERS:
            content = self.unpadded(payload, flags)
            self.open_block = number, flags, bytearray(content[5 if flags & PRIORITY_FLAG else 0:])
            if flags & END_HEADERS:
                self.block()
        elif kind == CONTINUATION:
            if not self.open_block or self.open_block[0] != number:
                raise Malformed("an unexpected CONTINUATION")
            self.open_block[2].extend(payload)
            if flags & END_HEADERS:
                self.block()
        elif kind == RST_STREAM:
            if len(payload) != 4 or number not in self.streams:
                raise Malformed("RST_STREAM of %d octets on stream %d" % (len(payload), number))
            self.streams[number].reset = struct.unpack(">I", payload)[0]
        elif kind == SETTINGS:
            self.settings(flags, payload)
        elif kind == PING:
            if len(payload) != 8:
                raise Malformed("PING of %d octets" % len(payload))
            if flags & ACK:
                self.pongs.append(payload)
            else:
                self.reply(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            last, code = struct.unpack_from(">II", payload)
            if self.goaway_last is not None and last > self.goaway_last:
                raise Malformed("the last stream of GOAWAY grows from %d to %d" % (self.goaway_last, last))
            self.goaway_last, self.goaway = last, code
        elif kind == WINDOW_UPDATE:
            increment = struct.unpack(">I", payload)[0] & LARGEST
            if increment == 0:
                raise Malformed("WINDOW_UPDATE of 0")
            if number == 0:
                self.sendable += increment
            elif number in self.streams:
                self.streams[number].sendable += increment
            else:
                raise Malformed("WINDOW_UPDATE on the idle stream %d" % number)
            if max(self.sendable, self.streams[number].sendable if number else 0) > LARGEST:
                raise Malformed("a window beyond 2^31-1")
        elif kind == PUSH_PROMISE:
            raise Malformed("PUSH_PROMISE in spite of SETTINGS_ENABLE_PUSH = 0")

    def unpadded(self, payload, flags):
        if not flags & PADDED:
            return payload
        if not payload or payload[0] >= len(payload):
            raise Malformed("padding as long as the frame")
        return payload[1:len(payload) - payload[0]]

    def settings(self, flags, payload):
        if flags & ACK:
            if payload or not self.pending:
                raise Malformed("an unexpected acknowledgement of SETTINGS")
            for identifier, value in self.pending.pop(0):
                self.apply(identifier, value, acknowledged=True)
            self.acks += 1
            return
        if len(payload) % 6:
            raise Malformed("SETTINGS of %d octets" % len(payload))
        for identifier, value in struct.iter_unpack(">HI", payload):
            if identifier == INITIAL_WINDOW_SIZE:
                if value > LARGEST:
                    raise Malformed("SETTINGS_INITIAL_WINDOW_SIZE %d" % value)
                for stream in self.streams.values():
                    stream.sendable += value - self.peer.get(INITIAL_WINDOW_SIZE, 65535)
            if identifier == MAX_FRAME_SIZE and not 16384 <= value < 1 << 24:
                raise Malformed("SETTINGS_MAX_FRAME_SIZE %d" % value)
            self.peer[identifier] = value
        self.settings_seen += 1
        self.reply(frame(SETTINGS, ACK, 0))

    def block(self):
        number, flags, data = self.open_block
        self.open_block = None
        try:
            fields = self.decoder.decode(bytes(data))
        except CompressionError as problem:
            raise Malformed("a field block with %s" % problem) from None
        stream, end = self.streams[number], bool(flags & END_STREAM)
        pseudo = [name for name, _ in fields if name.startswith(b":")]
        for name, value in fields:
            if not NAME.match(name.removeprefix(b":")) or not VALUE.match(value) or name in CONNECTION_FIELDS:
                raise Malformed("the field %r: %r" % (name[:40], value[:40]))
        if stream.fields is not None:
            if pseudo or not end:
                raise Malformed("trailers with pseudo-header fields or without END_STREAM")
            stream.trailers = fields
        elif pseudo != [b":status"] or fields[0][0] != b":status" or not re.fullmatch(rb"[1-5]\d\d", fields[0][1]):
            raise Malformed("a response without a proper :status")
        elif fields[0][1][:1] == b"1":
            if end or fields[0][1] == b"101":
                raise Malformed("%s as an informational response" % fields[0][1].decode())
            stream.informational.append(fields)
        else:
            stream.fields = fields
        stream.ended = end

    def summary(self):
        """What has been seen, for the report of a failed case."""
        parts = ["stream %d: %s" % (number, stream.summary()) for number, stream in list(self.streams.items())[:6]]
        if self.goaway is not None:
            parts.append("GOAWAY %s" % code_name(self.goaway))
        parts.append("HTTP/1 answer" if self.http1 else "reset" if self.reset else "closed" if self.eof else "open")
        return ", ".join(parts)
