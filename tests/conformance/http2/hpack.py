"""HPACK (RFC 7541): the pieces of field blocks, right or wrong, and a strict decoder."""

STATIC = [(n.encode(), v.encode()) for n, _, v in (line.partition(" ") for line in """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate""".split("\n"))]

# The number of bits of each code of RFC 7541 Appendix B, for the bytes 0 to 255 and EOS. The code is canonical: the
# lengths determine it.
LENGTHS = [int(n) for n in """
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 6 10 10 12 13 6 8 11
10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13
14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28 20 22 20 20 22 22 22 23 22 23 23 23 23 23
24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23
22 23 23 20 22 22 22 23 22 22 23 26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26
28 27 27 27 20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30
""".split()]
EOS = 256


def canonical(lengths):
    """Maps each symbol to (code, bits)."""
    codes, code, bits = {}, 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda s: (lengths[s], s)):
        code <<= lengths[symbol] - bits
        bits = lengths[symbol]
        codes[symbol] = code, bits
        code += 1
    return codes


HUFFMAN = canonical(LENGTHS)
SYMBOLS = {(code, bits): symbol for symbol, (code, bits) in HUFFMAN.items()}


class CompressionError(Exception):
    """A field block that RFC 7541 forbids."""


def integer(value, prefix, first=0, extra=0):
    """An integer with this prefix in bits (RFC 7541 5.1). `extra` appends that many needless zero bytes."""
    limit = (1 << prefix) - 1
    if value < limit and not extra:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    assert value >= 0, "a value below the prefix's limit has no needless bytes"
    while value >= 128 or extra and not value >> 7:
        out.append(value & 127 | 128)
        value >>= 7
        if value == 0 and extra:
            out += b"\x80" * (extra - 1) + b"\0"
            return bytes(out)
    return bytes(out) + bytes([value])


def bits(symbols, ending=None):
    """Huffman codes of these symbols. `ending` replaces the padding with ones: a text of 0 and 1."""
    text = "".join(format(code, "0%db" % n) for code, n in (HUFFMAN[s] for s in symbols))
    text += "1" * (-len(text) % 8) if ending is None else ending
    assert len(text) % 8 == 0, len(text) % 8
    return int(text or "0", 2).to_bytes(len(text) // 8, "big")


def string(value, huffman=False, extra=0):
    value = bits(value) if huffman else value
    return integer(len(value), 7, 128 if huffman else 0, extra) + value


def raw_string(encoded, huffman=True):
    """A string literal whose encoded form is given."""
    return integer(len(encoded), 7, 128 if huffman else 0) + encoded


def indexed(index, extra=0):
    return integer(index, 7, 128, extra)


# First byte and prefix of the literal forms, RFC 7541 6.2.
ADD, PLAIN, NEVER = (0x40, 6), (0x00, 4), (0x10, 4)


def literal(name, value, form=PLAIN, huffman=False):
    """A literal field. A name that is a number is an index."""
    first, prefix = form
    start = integer(name, prefix, first) if isinstance(name, int) else bytes([first]) + string(name, huffman)
    return start + string(value, huffman)


def table_size(size, extra=0):
    return integer(size, 5, 32, extra)


def block(fields, form=PLAIN, huffman=False):
    return b"".join(literal(name, value, form, huffman) for name, value in fields)


def decode_huffman(data):
    out, code, length, tail = bytearray(), 0, 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            bit = byte >> shift & 1
            code, length, tail = code << 1 | bit, length + 1, tail + 1
            symbol = SYMBOLS.get((code, length))
            if symbol == EOS:
                raise CompressionError("EOS in a string")
            if symbol is not None:
                out.append(symbol)
                code = length = tail = 0
    if tail > 7 or code != (1 << length) - 1:
        raise CompressionError("invalid padding of a Huffman string")
    return bytes(out)


class Decoder:
    """Decodes field blocks with a dynamic table."""

    def __init__(self):
        self.table, self.limit, self.size = [], 4096, 4096
        self.update_due = False

    def limit_to(self, limit):
        """Applies an acknowledged SETTINGS_HEADER_TABLE_SIZE (RFC 7541 4.2)."""
        if limit < self.size:
            self.update_due = True
        self.limit = limit

    def decode(self, data):
        self.data, self.at = data, 0
        fields, start = [], True
        while self.at < len(data):
            first = data[self.at]
            if first & 0xe0 == 0x20:
                if not start:
                    raise CompressionError("a table size update after a field")
                size = self.integer(5)
                if size > self.limit:
                    raise CompressionError("a table size of %d, the limit is %d" % (size, self.limit))
                self.size, self.update_due = size, False
                self.evict(0)
                continue
            if self.update_due:
                raise CompressionError("the table size update after a smaller SETTINGS_HEADER_TABLE_SIZE is missing")
            start = False
            if first & 0x80:
                fields.append(self.entry(self.integer(7)))
                continue
            adds = first & 0x40
            index = self.integer(6 if adds else 4)
            name = self.entry(index)[0] if index else self.string()
            fields.append((name, self.string()))
            if adds:
                self.evict(len(name) + len(fields[-1][1]) + 32)
                if len(name) + len(fields[-1][1]) + 32 <= self.size:
                    self.table.insert(0, fields[-1])
        return fields

    def evict(self, room):
        while self.table and sum(len(n) + len(v) + 32 for n, v in self.table) + room > self.size:
            self.table.pop()

    def entry(self, index):
        entries = STATIC + self.table
        if not 1 <= index <= len(entries):
            raise CompressionError("index %d" % index)
        return entries[index - 1]

    def byte(self):
        if self.at >= len(self.data):
            raise CompressionError("a truncated field block")
        self.at += 1
        return self.data[self.at - 1]

    def integer(self, prefix):
        value = self.byte() & (1 << prefix) - 1
        if value < (1 << prefix) - 1:
            return value
        for shift in range(0, 35, 7):
            byte = self.byte()
            value += (byte & 127) << shift
            if byte < 128:
                return value
        raise CompressionError("an integer that is too long")

    def string(self):
        huffman = self.at < len(self.data) and self.data[self.at] & 0x80
        length = self.integer(7)
        value = self.data[self.at:self.at + length]
        if len(value) < length:
            raise CompressionError("a truncated string")
        self.at += length
        return decode_huffman(value) if huffman else bytes(value)
