#!/usr/bin/env python3
"""Raw-socket HTTP/1.1 conformance probe: runs a folder of cases against a server.

usage: probe.py CASES_DIR HOST:PORT [--tls CERTIFICATE] [--json FILE] [--only GLOB]
                [--jobs N] [-v]

README.md in this folder describes the server's routes, the case files and the
outcomes. Needs only the standard library of Python 3.11 or later.
"""
import argparse
import concurrent.futures
import fnmatch
import ipaddress
import json
import pathlib
import re
import selectors
import socket
import ssl
import struct
import sys
import time
import tomllib

FOLLOW_UP = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
IDLE = 2.0      # seconds without a byte after which the probe stops waiting for answers
QUIET = 0.4     # seconds of silence that mean "the server waits for more"
CLOSE = 2.0     # seconds that the server has to close a connection
DEADLINE = 20.0  # maximum seconds for one connection


class Malformed(Exception):
    """The server sent something that is not an HTTP/1.1 response."""


class Response:
    def __init__(self, version, status, headers):
        self.version, self.status, self.headers, self.body = version, status, headers, b""

    def all(self, name):
        return [v for n, v in self.headers if n == name]


# Response field names and values as defined in RFC 9110 5.1 and 5.5.
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")


class Reader:
    """Parses a stream of bytes into responses."""

    def __init__(self, methods):
        self.methods, self.data, self.done, self.raw_from = methods, bytearray(), [], None
        self.current = self.need = None   # the response whose body is incomplete, and how it ends
        self.finals = 0

    def busy(self):
        return bool(self.data) or self.current is not None

    def feed(self, data, eof=False):
        self.data += data
        while self.raw_from is None and self.step(eof):
            pass

    def finish(self):
        self.done.append(self.current)
        if self.current.status >= 200:
            self.finals += 1
        if self.current.status == 101:
            self.finals += 1
            self.raw_from = True
        self.current = self.need = None
        return True

    def line(self, at=0):
        end = self.data.find(b"\n", at)
        if end < 0:
            if len(self.data) > 1 << 16 and self.current is None:
                raise Malformed("a line longer than 64 KiB")
            return None, at
        if end == at or self.data[end - 1] != 13:
            raise Malformed("a line that ends with a bare LF")
        line = bytes(self.data[at:end - 1])
        if b"\r" in line or b"\0" in line:
            raise Malformed("CR or NUL inside a line")
        return line, end + 1

    def step(self, eof):
        if self.current is None:
            return self.head(eof)
        r = self.current
        if self.need == "eof":
            if not eof:
                return False
            r.body, self.data = bytes(self.data), bytearray()
            return self.finish()
        if self.need == "chunked":
            return self.chunk()
        if len(self.data) < self.need:
            return False
        r.body = bytes(self.data[:self.need])
        del self.data[:self.need]
        return self.finish()

    def head(self, eof):
        if not self.data:
            return False
        lines, at = [], 0
        while True:
            line, at = self.line(at)
            if line is None:
                return False
            if not line:
                break
            lines.append(line)
        if not lines:
            raise Malformed("an empty line instead of a status line")
        m = STATUS.match(lines[0])
        if not m:
            raise Malformed("invalid status line %r" % lines[0][:60])
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            value = value.strip(b" \t")
            if not colon or not NAME.match(name) or not VALUE.match(value):
                raise Malformed("invalid field line %r" % line[:60])
            headers.append((name.decode().lower(), value.decode("latin-1")))
        del self.data[:at]
        r = self.current = Response(m[1].decode(), int(m[2]), headers)
        te, cl = r.all("transfer-encoding"), r.all("content-length")
        if te and cl:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if cl and (len(cl) > 1 or not re.fullmatch("[0-9]{1,15}", cl[0])):
            raise Malformed("invalid Content-Length %r" % cl)
        if (te or cl) and (r.status < 200 or r.status == 204):
            raise Malformed("framing fields in a %d" % r.status)
        method = self.methods[min(self.finals, len(self.methods) - 1)]
        if r.status < 200 or r.status in (204, 304) or method == "HEAD":
            return self.finish()
        if te:
            if [t.strip().lower() for t in ",".join(te).split(",")] != ["chunked"]:
                raise Malformed("invalid Transfer-Encoding %r" % te)
            self.need = "chunked"
        else:
            self.need = int(cl[0]) if cl else "eof"
        return True

    def chunk(self):
        line, at = self.line()
        if line is None:
            return False
        size = line.split(b";")[0].strip(b" \t")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", size):
            raise Malformed("invalid chunk size %r" % line[:40])
        size = int(size, 16)
        if size:
            if len(self.data) < at + size + 2:
                return False
            if self.data[at + size:at + size + 2] != b"\r\n":
                raise Malformed("no CRLF after a chunk")
            self.current.body += bytes(self.data[at:at + size])
            del self.data[:at + size + 2]
            return True
        while line is not None:
            line, at = self.line(at)
            if line == b"":
                del self.data[:at]
                return self.finish()
        return False


def to_bytes(value):
    """Converts a value of a case file to bytes. Each character of a text is one byte."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, dict):
        return to_bytes(value["repeat"]) * value["times"]
    return b"".join(to_bytes(v) for v in value)


class TlsSocket:
    """A socket with TLS on top, as a non-blocking socket of plaintext.

    A close_notify is an end, in both directions; a connection that ends without one counts as reset.
    """

    def __init__(self, sock, context):
        self.sock, self.unsent = sock, b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(self.outgoing.read())
                self.incoming.write(sock.recv(1 << 16) or self.ended())
        sock.sendall(self.outgoing.read())

    def ended(self):
        raise ConnectionResetError("the connection has ended without close_notify")

    def fileno(self):
        return self.sock.fileno()

    def flush(self):
        self.unsent += self.outgoing.read()
        while self.unsent:
            self.unsent = self.unsent[self.sock.send(self.unsent):]

    def recv(self, _size):
        plain, ended = b"", False
        while not ended:
            try:
                if not (part := self.tls.read(1 << 18)):
                    return plain
                plain += part
            except ssl.SSLZeroReturnError:
                return plain
            except ssl.SSLWantReadError:
                try:
                    ended = not (data := self.sock.recv(1 << 18))
                    self.incoming.write(data)
                except BlockingIOError:
                    if plain:
                        return plain
                    raise
        return plain or self.ended()

    def send(self, data):
        self.flush()
        self.tls.write(data)
        try:
            self.flush()
        except BlockingIOError:
            pass    # the rest is sent before anything else
        return len(data)

    def shutdown(self, _how):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass    # the server may still answer
        self.flush()

    def setsockopt(self, *option):
        self.sock.setsockopt(*option)

    def setblocking(self, blocking):
        self.sock.setblocking(blocking)

    def close(self):
        self.sock.close()


class Connection:
    """One connection: runs a case's steps and reads meanwhile."""

    context = None      # of TLS, if the server speaks it

    def __init__(self, address, methods):
        self.sock = socket.create_connection(address, timeout=5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            self.sock = TlsSocket(self.sock, self.context)
        self.sock.setblocking(False)
        self.reader = Reader(methods)
        self.eof, self.reset, self.error = False, False, None
        self.end = time.monotonic() + DEADLINE
        self.deaf_until = 0.0
        self.can_send = True
        self.last = time.monotonic()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.sock, selectors.EVENT_READ)

    def close(self, abrupt=False):
        if abrupt:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.selector.close()
        self.sock.close()

    def pump(self, seconds, want_write=False):
        """Waits up to this many seconds until the socket is readable (or writable)."""
        now = time.monotonic()
        deaf = now < self.deaf_until
        events = (0 if deaf or self.eof else selectors.EVENT_READ) | (selectors.EVENT_WRITE if want_write else 0)
        seconds = max(0.0, min(seconds, self.end - now))
        if deaf:
            seconds = min(seconds, self.deaf_until - now)
        if not events:
            time.sleep(seconds)
            return False
        self.selector.modify(self.sock, events)
        ready = self.selector.select(seconds)
        if ready and ready[0][1] & selectors.EVENT_READ:
            self.receive()
        return bool(ready)

    def receive(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self.reset, data = True, b""
        if data:
            self.last = time.monotonic()
        else:
            self.eof = True
        try:
            self.reader.feed(data, self.eof)
        except Malformed as problem:
            self.error, self.eof = str(problem), True

    def send(self, data):
        if self.context:
            data = data.replace(b"\r\nOrigin: http://", b"\r\nOrigin: https://")
        view = memoryview(data)
        while view and self.can_send and not self.error and time.monotonic() < self.end:
            try:
                view = view[self.sock.send(view[:1 << 16]):]
                self.last = time.monotonic()
            except BlockingIOError:
                self.pump(0.2, want_write=True)
                continue
            except OSError:
                self.can_send = False
                self.eof or self.receive()
                break
            self.pump(0)

    def wait(self, seconds, until=lambda: False):
        end = time.monotonic() + seconds
        while not until() and not self.eof and time.monotonic() < min(end, self.end):
            self.pump(end - time.monotonic())

    def play(self, steps):
        for step in steps if isinstance(steps, list) else [steps]:
            if isinstance(step, (int, float)):
                self.wait(step)
            elif isinstance(step, dict) and "await" in step:
                seen = len(self.reader.done)
                self.wait(1.5, lambda: any(r.status == step["await"] for r in self.reader.done[seen:]))
            elif isinstance(step, dict) and "answers" in step:
                self.wait(5, lambda: self.reader.finals >= step["answers"])
            elif isinstance(step, dict) and "deaf" in step:
                self.deaf_until = time.monotonic() + step["deaf"]
            elif isinstance(step, dict) and "slowly" in step:
                data, size = to_bytes(step["slowly"]), step.get("size", 1)
                for i in range(0, len(data), size):
                    self.send(data[i:i + size])
                    self.wait(step.get("pause", 0.001))
            elif isinstance(step, dict) and step.get("shutdown"):
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            else:
                self.send(to_bytes(step))


class Outcome:
    """One acceptable outcome of a connection, such as "100? 200 open"."""

    def __init__(self, spec, case):
        table = spec if isinstance(spec, dict) else {"is": spec}
        self.text = table["is"]
        words = self.text.split()
        self.end = words.pop() if words and words[-1] in ("open", "closed", "silent") else None
        self.want = []
        for word in words:
            word, _, times = word.partition("*")
            self.want += [(word.rstrip("?").split("|"), word.endswith("?"))] * int(times or 1)
        self.headers = {**case.get("headers", {}), **table.get("headers", {})}
        self.absent = {**case.get("absent", {}), **table.get("absent", {})}
        self.same = case.get("same", [])
        body = table.get("body", case.get("body"))
        self.body = None if body is None else body if isinstance(body, list) else [body]
        required = [statuses for statuses, optional in self.want if not optional]
        self.least = len(required)
        self.finals = sum(1 for statuses in required if statuses[0] == "101" or statuses[0][0] != "1")

    def mismatch(self, got):
        """Returns why these responses do not match this outcome, or None if they do."""
        i = 0
        for statuses, optional in self.want:
            if i < len(got) and any(fits(s, got[i].status) for s in statuses):
                i += 1
            elif not optional:
                return "statuses"
        if i < len(got):
            return "statuses"
        finals = [r for r in got if r.status >= 200]
        if self.body is not None:
            for r, body in zip(finals, self.body):
                if 200 <= r.status < 300 and body is not False and r.body != to_bytes(body):
                    return "body %s in the %d instead of %s" % (short(r.body), r.status, short(to_bytes(body)))
        for r in got:
            for name, pattern in self.headers.get(str(r.status), {}).items():
                values = r.all(name)
                if not values or not re.fullmatch(pattern, ", ".join(values), re.I | re.S):
                    return "%s in the %d is %r" % (name, r.status, values)
            for name in self.absent.get(str(r.status), []):
                if r.all(name):
                    return "%s is present in the %d" % (name, r.status)
        for name in self.same:
            if len({tuple(r.all(name)) for r in finals}) > 1:
                return "%s differs between answers" % name
        return None


def fits(word, status):
    return str(status) == word or (word.endswith("xx") and status // 100 == int(word[0]))


def short(data):
    return repr(bytes(data[:40])) + ("… (%d bytes)" % len(data) if len(data) > 40 else "")


def play_once(case, steps, address):
    """Runs a case on one connection. Returns None if it passed, otherwise what was observed."""
    outcomes = [Outcome(s, case) for s in (case["expect"] if isinstance(case["expect"], list) else [case["expect"]])]
    methods = case.get("methods", ["GET"])
    try:
        conn = Connection(address, methods)
    except OSError as problem:
        return "cannot connect: %s" % problem
    try:
        conn.play(steps)
        reader = conn.reader
        least, finals = max(o.least for o in outcomes), max(o.finals for o in outcomes)

        def complete():
            return len(reader.done) >= least and reader.finals >= finals and not reader.busy()

        def candidates():
            return [o for o in outcomes if o.mismatch(reader.done) is None]

        if not any(o.want for o in outcomes):
            conn.wait(QUIET if any(o.end == "silent" for o in outcomes) else CLOSE)
        while not conn.eof and not complete():
            if time.monotonic() - conn.last > IDLE or time.monotonic() > conn.end:
                break
            conn.wait(0.25, complete)
        state = "open?"
        ends = {o.end for o in candidates()}
        if conn.reader.raw_from:
            state = "switched"
        elif conn.eof:
            state = "closed"
        elif "closed" in ends and "open" not in ends:
            conn.wait(CLOSE)
        elif "closed" in ends:
            conn.wait(0.15)
        elif "silent" in ends:
            conn.wait(0.1)
        if conn.eof:
            state = "closed"
        if conn.error:
            return "%s, then %s" % (seen(reader), conn.error)
        if reader.busy() and not reader.raw_from:
            return "%s, then an incomplete response" % seen(reader)
        ends = {o.end for o in candidates()}
        if state == "open?" and "silent" in ends:
            return None
        if state == "open?" and "open" in ends:
            count = len(reader.done)
            reader.methods = ["GET"]
            conn.send(FOLLOW_UP)
            conn.wait(IDLE, lambda: len(reader.done) > count and not reader.busy())
            after = reader.done[count:]
            del reader.done[count:]
            state = "open" if [r.status for r in after] == [200] and not conn.error else (
                "closed" if conn.eof and not after else "out of step")
        for o in candidates():
            if o.end is None or o.end == state:
                return None
        why = [w for w in (o.mismatch(reader.done) for o in outcomes) if w and w != "statuses"]
        return seen(reader) + " " + state.replace("open?", "left open") + (" (%s)" % why[0] if why else "")
    finally:
        conn.close()


def seen(reader):
    return " ".join(str(r.status) for r in reader.done[:24]) or "no response"


def run_case(case, address):
    begin = time.monotonic()
    if case.get("split") == "every":
        data, got = to_bytes(case["send"]), None
        for i in range(1, len(data)):
            got = play_once(case, [data[:i].decode("latin-1"), case.get("pause", 0.004), data[i:].decode("latin-1")], address)
            if got:
                got = "split before byte %d: %s" % (i, got)
                break
    else:
        got = play_once(case, case["send"], address)
    expected = case["expect"] if isinstance(case["expect"], list) else [case["expect"]]
    return {
        "id": case["id"], "rfc": case["rfc"], "text": case["text"], "file": case["file"],
        "expected": " or ".join(e if isinstance(e, str) else e["is"] for e in expected),
        "got": got, "passed": got is None, "ms": round((time.monotonic() - begin) * 1000),
    }


def load(folder):
    cases, ids = [], set()
    for path in sorted(pathlib.Path(folder).glob("*.toml")):
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]:
            unknown = set(case) - {"id", "rfc", "text", "send", "expect", "body", "headers", "absent", "methods", "same", "split", "pause"}
            if unknown or case["id"] in ids:
                sys.exit("%s: case %s: %s" % (path.name, case["id"], "unknown keys %s" % unknown if unknown else "duplicate id"))
            ids.add(case["id"])
            for o in case["expect"] if isinstance(case["expect"], list) else [case["expect"]]:
                for statuses, _ in Outcome(o, case).want:
                    if not all(re.fullmatch("[1-5]([0-9][0-9]|xx)", s) for s in statuses):
                        sys.exit("%s: case %s: bad outcome %r" % (path.name, case["id"], o))
            cases.append({**case, "file": path.name})
    return cases


def resolve(target):
    host, _, port = target.rpartition(":")
    address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][4]
    if not ipaddress.ip_address(address[0]).is_loopback:
        sys.exit("%s is not a loopback address; the probe runs only against loopback addresses" % target)
    return address[:2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", help="folder with *.toml case files")
    parser.add_argument("target", help="HOST:PORT of the server; must be a loopback address")
    parser.add_argument("--tls", metavar="FILE", help="speak TLS, and trust the certificates in this PEM file")
    parser.add_argument("--json", help="write the results to this file")
    parser.add_argument("--only", default="*", help="run only the cases whose id matches this glob")
    parser.add_argument("--jobs", type=int, default=8, help="number of concurrent connections (default 8)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for each passed case too")
    args = parser.parse_args()
    address = resolve(args.target)
    if args.tls:
        Connection.context = ssl.create_default_context(cafile=args.tls)
    cases = [c for c in load(args.cases) if fnmatch.fnmatch(c["id"], args.only)]
    baseline = {"expect": "200 open"}
    problem = play_once(baseline, FOLLOW_UP.decode(), address)
    if problem:
        sys.exit("the server at %s does not answer GET / with 200: %s" % (args.target, problem))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda c: run_case(c, address), cases))
    problem = play_once(baseline, FOLLOW_UP.decode(), address)
    results.append({"id": "alive-afterwards", "rfc": "-", "text": "the server still answers after all cases",
                    "file": "-", "expected": "200 open", "got": problem, "passed": problem is None, "ms": 0})
    for r in results:
        if not r["passed"]:
            print("FAIL %s (RFC %s): %s: expected %s, got %s" % (r["id"], r["rfc"], r["text"], r["expected"], r["got"]))
        elif args.verbose:
            print("PASS %s (RFC %s)" % (r["id"], r["rfc"]))
    passed = sum(r["passed"] for r in results)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(
            {"target": args.target, "passed": passed, "failed": len(results) - passed, "cases": results}, indent=1) + "\n")
    print("%d passed, %d failed" % (passed, len(results) - passed))
    return 0 if cases and passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
