"""HPACK: the static and the dynamic table (RFC 7541 2.3, 4, 6.1, 6.3)."""
import frames as f
from frames import COMPRESSION_ERROR, HEADER_TABLE_SIZE
from hpack import ADD, NEVER, PLAIN, STATIC, indexed, integer, literal, table_size
from messages import SCHEME, field_block, request
from steps import answer, either, goaway, malformed, reset
from suite import case

GET = field_block(request())
POST = field_block(request("POST", "/echo"))
TYPE = 31       # the index of content-type
ENTRY = len(b"content-type") + len(b"a/1") + 32


def ask(more, stream=1, first=GET):
    return f.headers(stream, first + more)


def typed(field, stream=1, before=b""):
    """A POST whose content-type, encoded as `field`, comes back. `before` starts the block."""
    return f.headers(stream, before + POST + field, end=False) + f.data(stream, b"x", end=True)


def comes_back(value, stream=1):
    return answer(stream, content=b"x", fields={"content-type": value.replace(".", "\\.")})


def add(value):
    return literal(TYPE, value.encode(), ADD)


# --- Appendix A: the static table ---
for index, (name, value) in enumerate(STATIC, 1):
    number = "%02d-%s" % (index, name.decode().lstrip(":"))
    if name.startswith(b":"):
        # The entry takes the place of the same pseudo-header field of a request.
        rest = field_block(request(drop=[name.decode()]))
        expected = {b":status": malformed(), b":authority": either(malformed(), answer())}.get(name, answer(1, "200"))
        if value == b"POST":
            expected = answer(1, "405")
        if value == b"/index.html":
            expected = answer(1, "200|404")
        if name == b":scheme" and value.decode() != SCHEME:
            expected = either(malformed(), answer())
        case("static/%s-%s" % (number, value.decode().strip("/").replace(".", "-").lower() or "empty"), "7541 A",
             "the entry is %s: %s" % (name.decode(), value.decode()), f.headers(1, indexed(index) + rest), expected)
        literal_value = {b":method": b"GET", b":scheme": SCHEME.encode(), b":path": b"/json",
            b":authority": b"localhost"}.get(name)
        if literal_value:
            case("static/%s-name-%d" % (number, index), "7541 A", "the name of the entry is %s" % name.decode(),
                 f.headers(1, literal(index, literal_value) + rest), answer())
        continue
    # Entries without a value; some of them mean something in a request, or must not be there.
    expected = answer(1, "200|400|406|412|416|417")
    if name in (b"transfer-encoding", b"content-length"):
        expected = malformed()
    if name == b"host":
        expected = either(malformed(), answer())
    case("static/" + number, "7541 A", "the entry is %s: %s" % (name.decode(), value.decode()), ask(indexed(index)),
         expected)
    good = {b"content-length": b"0", b"host": b"localhost", b"max-forwards": b"1", b"expect": b"100-continue"}.get(name,
        b"x-value")
    case("static/%s-name" % number, "7541 A", "the name of the entry is %s" % name.decode(), ask(literal(index, good)),
         malformed() if name == b"transfer-encoding" else answer(1, "200|304|400|412|416"))
case("static/whole-request", "7541 6.1", "a request may consist of indices",
     f.headers(1, indexed(2) + indexed(7 if SCHEME == "https" else 6) + indexed(4) + literal(1, b"localhost")),
     answer())

# --- 6.1: indices ---
case("index/0", "7541 6.1", "index 0 is an error", ask(b"\x80"), goaway(COMPRESSION_ERROR))
for index in (62, 63, 70, 126, 127, 128, 200, 1000, 100000):
    case("index/%d" % index, "7541 2.3.3", "an index beyond both tables is an error", ask(indexed(index)),
         goaway(COMPRESSION_ERROR))
case("index/one-beyond", "7541 2.3.3", "an index beyond the dynamic table is an error",
     ask(add("a/1")), answer(), ask(indexed(63), 3), goaway(COMPRESSION_ERROR))
case("index/in-trailers", "7541 2.3.3", "an index beyond both tables is an error in trailers too",
     f.headers(1, POST, end=False) + f.data(1, b"x") + f.headers(1, indexed(90)), goaway(COMPRESSION_ERROR))

# --- 2.3.2: the dynamic table ---
case("dynamic/insert-and-use", "7541 2.3.2", "an added field can be indexed", typed(add("a/1")), comes_back("a/1"),
     typed(indexed(62), 3), comes_back("a/1", 3))
case("dynamic/use-in-same-block", "7541 3.2", "an added field can be indexed in the same block",
     ask(literal(b"x-a", b"v", ADD) + indexed(62) * 3), answer())
case("dynamic/newest-first", "7541 2.3.3", "the newest entry has the lowest index",
     ask(add("a/1") + add("a/2") + add("a/3")), either(answer(), malformed()), typed(indexed(62), 3),
     comes_back("a/3", 3), typed(indexed(63), 5), comes_back("a/2", 5),
     typed(indexed(64), 7), comes_back("a/1", 7))
case("dynamic/duplicates", "7541 2.3.2", "a duplicate is another entry",
     typed(add("a/1")), comes_back("a/1"), typed(add("a/1"), 3), comes_back("a/1", 3), typed(add("a/2"), 5),
     comes_back("a/2", 5), typed(indexed(64), 7), comes_back("a/1", 7))
case("dynamic/name-index", "7541 6.2.1", "the name of an added field can be indexed",
     typed(add("a/1")), comes_back("a/1"), typed(literal(62, b"a/2"), 3), comes_back("a/2", 3))
case("dynamic/name-index-add", "7541 6.2.1", "a field can be added with the name of another",
     typed(add("a/1")), comes_back("a/1"), typed(literal(62, b"a/2", ADD), 3), comes_back("a/2", 3),
     typed(indexed(62), 5), comes_back("a/2", 5))
case("dynamic/huffman", "7541 6.2.1", "an added field may be encoded with Huffman codes",
     typed(literal(TYPE, b"text/x-code", ADD, huffman=True)), comes_back("text/x-code"), typed(indexed(62), 3),
     comes_back("text/x-code", 3))
case("dynamic/plain-does-not-add", "7541 6.2.2", "a literal without indexing is not added",
     typed(literal(TYPE, b"a/1", PLAIN)), comes_back("a/1"), ask(indexed(62), 3), goaway(COMPRESSION_ERROR))
case("dynamic/never-does-not-add", "7541 6.2.3", "a literal never indexed is not added",
     typed(literal(TYPE, b"a/1", NEVER)), comes_back("a/1"), ask(indexed(62), 3), goaway(COMPRESSION_ERROR))
case("dynamic/index-does-not-add", "7541 6.1", "an indexed field is not added", ask(indexed(16)), answer(),
     ask(indexed(62), 3), goaway(COMPRESSION_ERROR))
case("dynamic/whole-request", "7541 2.3.2", "a whole request can be indexed",
     f.headers(1, field_block(request(), ADD)), answer(),
     f.headers(3, indexed(65) + indexed(64) + indexed(63) + indexed(62)), answer(3))
case("dynamic/order-is-that-of-blocks", "9113 4.3", "blocks of several streams share the table",
     f.headers(1, POST + add("a/1"), end=False) + f.headers(3, POST + indexed(62), end=False) + f.data(3, b"x",
     end=True) + f.data(1, b"x", end=True),
     comes_back("a/1", 3), comes_back("a/1", 1))
case("dynamic/trailers-add", "9113 4.3", "a trailer section uses the table too",
     f.headers(1, POST, end=False) + f.data(1, b"x") + f.headers(1, literal(b"content-type", b"a/9", ADD)),
     either(answer(), malformed()),
     typed(indexed(62), 3), comes_back("a/9", 3))
case("dynamic/malformed-adds", "9113 4.3", "a malformed request uses the table too",
     ask(add("a/1") + literal(b"Upper", b"v")), malformed(), typed(indexed(62), 3), comes_back("a/1", 3))
case("dynamic/reset-adds", "9113 4.3", "a block that crosses a reset uses the table too",
     f.headers(1, POST + add("a/1"), end=False) + f.rst_stream(1), typed(indexed(62), 3), comes_back("a/1", 3))
case("dynamic/not-found-adds", "9113 4.3", "a 404 uses the table too",
     f.headers(1, field_block(request("GET", "/no-such-thing")) + add("a/1")), answer(1, "404"), typed(indexed(62), 3),
     comes_back("a/1", 3))
case("dynamic/split-block", "9113 4.3", "a field that is added may be split between frames",
     f.headers(1, POST + add("a/1")[:3], end=False, done=False) + f.continuation(1, add("a/1")[3:]) + f.data(1, b"x",
     end=True), comes_back("a/1"),
     typed(indexed(62), 3), comes_back("a/1", 3))

# --- 4.4: eviction ---

def filled(stream=1):
    """Fills the table with 87 entries of 47 octets, 4089 of 4096, in requests of three fields each."""
    return [s for at in range(0, 87, 3) for s in (
        f.headers(stream + 2 * (at // 3), GET + b"".join(literal(b"x-number-012", b"%03d" % (at + i),
        ADD) for i in range(3))),
        answer(stream + 2 * (at // 3)))]


case("dynamic/87-entries", "7541 4.1", "an entry takes its octets and 32", *filled(), ask(indexed(62 + 86), 101),
     answer(101))
case("dynamic/88th-entry", "7541 4.4", "the oldest entry is evicted", *filled(),
     ask(literal(b"x-number-012", b"088", ADD), 101), answer(101),
     ask(indexed(62 + 86), 103), answer(103), ask(indexed(62 + 87), 105), goaway(COMPRESSION_ERROR))
case("dynamic/88-entries-are-too-many", "7541 4.4", "the table has no entry beyond its size", *filled(),
     ask(indexed(62 + 87), 101), goaway(COMPRESSION_ERROR))
case("dynamic/small-entry-evicts-one", "7541 4.4", "entries are evicted until the new one fits",
     *filled(), ask(literal(b"x-a", b"", ADD), 101), answer(101), ask(indexed(62 + 86), 103), answer(103),
     ask(indexed(62 + 87), 105), goaway(COMPRESSION_ERROR))
for size in (4096, 4095, 2000):
    case("dynamic/entry-of-%d" % size, "7541 4.4", "an entry as large as the table fits",
         ask(literal(b"x-a", b"v" * (size - 35), ADD)), answer(), ask(indexed(62), 3), answer(3))
for size in (4097, 5000):
    case("dynamic/entry-of-%d" % size, "7541 4.4", "an entry larger than the table empties it, and is no error",
         typed(add("a/1")), comes_back("a/1"), ask(literal(b"x-a", b"v" * (size - 35), ADD), 3), answer(3),
         ask(indexed(62), 5), goaway(COMPRESSION_ERROR))
case("dynamic/entry-too-large-then-add", "7541 4.4", "the table works on after it was emptied",
     typed(add("a/1")), comes_back("a/1"), ask(literal(b"x-a", b"v" * 4200, ADD), 3), answer(3), typed(add("a/2"), 5),
     comes_back("a/2", 5),
     typed(indexed(62), 7), comes_back("a/2", 7))
case("dynamic/name-of-evicted", "7541 4.4", "a new entry may use the name of the entry that it evicts",
     f.headers(1, table_size(60) + POST + add("a/1"), end=False) + f.data(1, b"x", end=True), comes_back("a/1"),
     typed(literal(62, b"a/22", ADD), 3), comes_back("a/22", 3), typed(indexed(62), 5), comes_back("a/22", 5))

# --- 4.2, 6.3: size updates ---
case("table-size/0", "7541 4.2", "the size may be 0", f.headers(1, table_size(0) + GET), answer())
case("table-size/0-empties", "7541 4.3", "a size of 0 empties the table",
     typed(add("a/1")), comes_back("a/1"), f.headers(3, table_size(0) + GET), answer(3), ask(indexed(62), 5),
     goaway(COMPRESSION_ERROR))
case("table-size/0-then-4096", "7541 4.2", "two updates may start a block; the table was empty between",
     typed(add("a/1")), comes_back("a/1"), f.headers(3, table_size(0) + table_size(4096) + GET), answer(3),
     ask(indexed(62), 5), goaway(COMPRESSION_ERROR))
case("table-size/0-then-add", "7541 4.4", "nothing is added to a table of size 0",
     f.headers(1, table_size(0) + GET + literal(b"x-a", b"v", ADD)), answer(), ask(indexed(62), 3),
     goaway(COMPRESSION_ERROR))
case("table-size/shrinks", "7541 4.3", "a smaller size evicts the oldest entries",
     typed(add("a/1")), comes_back("a/1"), typed(add("a/2"), 3), comes_back("a/2", 3),
     typed(indexed(62), 5, table_size(50)), comes_back("a/2", 5),
     ask(indexed(63), 7), goaway(COMPRESSION_ERROR))
case("table-size/exactly-one-entry", "7541 4.3", "an entry that fits exactly stays",
     typed(add("a/1")), comes_back("a/1"), typed(indexed(62), 3, table_size(ENTRY)), comes_back("a/1", 3))
case("table-size/one-octet-less", "7541 4.3", "an entry that does not fit is evicted",
     typed(add("a/1")), comes_back("a/1"), f.headers(3, table_size(ENTRY - 1) + GET + indexed(62)),
     goaway(COMPRESSION_ERROR))
case("table-size/shrinks-and-grows", "7541 4.2", "the size may grow again",
     f.headers(1, table_size(10) + GET), answer(), typed(add("a/1"), 3, table_size(4096)), comes_back("a/1", 3),
     typed(indexed(62), 5), comes_back("a/1", 5))
for size in (1, 31, 32, 100, 4095, 4096):
    case("table-size/%d" % size, "7541 6.3", "the size may be at most SETTINGS_HEADER_TABLE_SIZE",
         f.headers(1, table_size(size) + GET), answer())


def too_large(conn):
    """A size above the limit that the server has announced, which is 4096 by default."""
    limit = conn.peer.get(HEADER_TABLE_SIZE, 4096)
    conn.send(f.headers(1, table_size(limit + 1) + GET))


case("table-size/one-too-large", "7541 6.3", "a size above SETTINGS_HEADER_TABLE_SIZE is an error", too_large,
     goaway(COMPRESSION_ERROR))
case("table-size/far-too-large", "7541 6.3", "a size above SETTINGS_HEADER_TABLE_SIZE is an error",
     f.headers(1, table_size(1 << 30) + GET), goaway(COMPRESSION_ERROR))
case("table-size/second-too-large", "7541 6.3", "a second size above the limit is an error too",
     f.headers(1, table_size(0) + table_size(1 << 30) + GET), goaway(COMPRESSION_ERROR))
case("table-size/in-the-middle", "7541 4.2", "an update after a field is an error",
     f.headers(1, indexed(2) + table_size(100) + field_block(request(drop=[":method"]))), goaway(COMPRESSION_ERROR))
case("table-size/at-the-end", "7541 4.2", "an update after the last field is an error", ask(table_size(100)),
     goaway(COMPRESSION_ERROR))
case("table-size/in-trailers", "7541 4.2", "an update may start a trailer section",
     f.headers(1, POST, end=False) + f.data(1, b"x") + f.headers(1, table_size(0) + field_block([("x-a", "b")])),
     answer(content=b"x"))
case("table-size/starts-continuation", "7541 4.2",
     "CONTINUATION does not start a block: an update in it after a field is an error",
     f.headers(1, GET, done=False) + f.continuation(1, table_size(0)), goaway(COMPRESSION_ERROR))
case("table-size/split", "7541 4.2", "an update may be split between frames",
     f.headers(1, table_size(100)[:1], done=False) + f.continuation(1, table_size(100)[1:] + GET), answer())
case("table-size/needless-zeros", "7541 5.1", "needless octets are accepted or refused as too long",
     f.headers(1, integer(31, 5, 32, 2) + GET), either(answer(), goaway(COMPRESSION_ERROR)))
case("table-size/only", "7541 4.2, 9113 8.3.1", "a block of an update only has no fields: the request is malformed",
     f.headers(1, table_size(0)), malformed())
case("table-size/three", "7541 4.2",
     "more than two updates are more than an encoder needs; they are accepted or an error",
     f.headers(1, table_size(0) + table_size(10) + table_size(100) + GET), either(answer(), goaway(COMPRESSION_ERROR)))
case("table-size/own-setting-is-other-direction", "9113 6.5.2",
     "the client's SETTINGS_HEADER_TABLE_SIZE does not limit the client's encoder",
     typed(add("a/1")), comes_back("a/1"), typed(indexed(62), 3), comes_back("a/1", 3),
     settings=[(HEADER_TABLE_SIZE, 0)])
case("table-size/reset-between", "9113 4.3", "an update in a refused block counts",
     f.headers(1, table_size(0) + GET + literal(b"Upper", b"v")),
     either(reset(1, f.PROTOCOL_ERROR), answer(1, "4..", ended=False)), ask(literal(b"x-a", b"v", ADD), 3), answer(3),
     ask(indexed(62), 5), goaway(COMPRESSION_ERROR))
