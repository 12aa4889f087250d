"""WebSocket clients for the scripts of this folder: handshakes, frames, and nothing that a server could trip over.

Standard library only. The frames of a client are masked with zeros, which changes no byte (RFC 6455 §5.3).
"""

import os
import socket
import struct
import subprocess
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server process on a port of its own. `command` contains {port}; `before` is called in the process."""

    def __init__(self, command, before=None):
        self.port = free_port()
        words = command.format(port=self.port).split()
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=before)
        for _ in range(500):
            try:
                self.connect().close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise RuntimeError(f"{command} does not listen")

    def connect(self, window_bytes=None):
        s = socket.socket()
        if window_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        s.connect(("127.0.0.1", self.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def websocket(self, path, window_bytes=None):
        """Returns a socket on which the handshake is over, and what has arrived behind it."""
        s = self.connect(window_bytes)
        s.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = s.recv(4096)
            if not piece:
                raise RuntimeError(f"no handshake: {head!r}")
            head += piece
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"no handshake: {head!r}")
        return s, head.split(b"\r\n\r\n", 1)[1]

    def cpu_s(self):
        """Returns the CPU time of the process in seconds."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self):
        self.process.kill()
        self.process.wait()


def frame(payload, opcode=1):
    """Returns a client's frame (RFC 6455 §5.2)."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return head + b"\0\0\0\0" + payload


def next_frame(data, at):
    """Returns where the payload of the server's frame at `at` begins and ends, or None if it is incomplete."""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1], at + 2
    if length == 126:
        begin += 2
    elif length == 127:
        begin += 8
    if len(data) < begin:
        return None
    if length >= 126:
        length = int.from_bytes(data[at + 2 : begin], "big")
    return (begin, begin + length) if len(data) >= begin + length else None
