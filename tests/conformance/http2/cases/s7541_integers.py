"""HPACK: integers, string literals and Huffman codes (RFC 7541 5)."""
import frames as f
from frames import COMPRESSION_ERROR
from hpack import ADD, EOS, HUFFMAN, NEVER, PLAIN, bits, integer, literal, raw_string, string
from messages import field_block, request
from steps import answer, either, goaway, malformed
from suite import case

GET = field_block(request())
POST = field_block(request("POST", "/echo"))
TYPE = 31       # the index of content-type


def ask(more, first=GET):
    return f.headers(1, first + more)


def typed(value):
    """A POST whose content-type comes back; `value` is the encoded string. The field is not indexed."""
    return f.headers(1, POST + integer(TYPE, 4) + value, end=False) + f.data(1, b"x", end=True)


def comes_back(value):
    return answer(content=b"x", fields={"content-type": "".join("\\x%02x" % o for o in value)})


# --- 5.1: integers ---
for length in (0, 1, 10, 126, 127, 128, 129, 200, 254, 255, 256, 300, 1000, 2000):
    case("integer/string-length-%d" % length, "7541 5.1", "the length of a string may need several octets",
         ask(literal(b"x-value", b"v" * length)), answer())
for extra in (1, 2, 3):
    case("integer/needless-zeros-%d" % extra, "7541 5.1",
         "needless octets of an integer are accepted or refused as too long",
         ask(b"\x00\x03x-a" + integer(127, 7, 0, extra) + b"v" * 127), either(answer(), goaway(COMPRESSION_ERROR)))
    case("integer/needless-zeros-index-%d" % extra, "7541 5.1",
         "needless octets of an index are accepted or refused as too long",
         ask(integer(31, 4, 0, extra) + b"\x01v"), either(answer(), goaway(COMPRESSION_ERROR)))
for zeros in (5, 9, 10, 20, 100):
    case("integer/too-many-zeros-%d" % zeros, "7541 5.1", "an integer of too many octets is an error",
         ask(b"\x00\x03x-a\x7f" + b"\x80" * zeros + b"\x00" + b"v" * 127),
         goaway(COMPRESSION_ERROR) if zeros > 9 else either(answer(), goaway(COMPRESSION_ERROR)))
for name, octets in {
    "index-32-bits": b"\xff\xff\xff\xff\xff\x0f", "index-64-bits": b"\xff" + b"\xff" * 9 + b"\x01",
    "index-70-bits": b"\xff" * 10 + b"\x7f",
    "index-endless": b"\xff" * 200, "name-32-bits": b"\x0f\xff\xff\xff\xff\x0f\x01v",
    "name-add-64-bits": b"\x7f" + b"\xff" * 9 + b"\x01\x01v",
    "length-32-bits": b"\x00\x7f\xff\xff\xff\xff\x0f", "length-64-bits": b"\x00\x7f" + b"\xff" * 9 + b"\x01",
    "value-length-32-bits": b"\x00\x03x-a\x7f\xff\xff\xff\xff\x0f",
    "table-size-32-bits": None, "wraps-to-2": b"\xff\x83\xff\xff\xff\x0f",
}.items():
    octets = f.headers(1, b"\x3f\xff\xff\xff\xff\x0f" + GET) if octets is None else ask(octets)
    case("integer/overflow-" + name, "7541 5.1", "an integer that is too large is an error", octets,
         goaway(COMPRESSION_ERROR))

# --- truncated blocks ---
for name, octets in {
    "index": b"\xff", "index-continued": b"\xff\x80", "literal-name-index": b"\x0f", "literal-no-value": b"\x0f\x10",
    "literal-only": b"\x00",
    "add-only": b"\x40", "never-only": b"\x10", "name-length": b"\x00\x7f", "name-short": b"\x00\x05ab",
    "name-then-nothing": b"\x00\x03x-a",
    "value-length": b"\x00\x03x-a\x7f", "value-short": b"\x00\x03x-a\x05ab",
    "value-short-huffman": b"\x00\x03x-a\x85ab", "value-one-short": b"\x00\x03x-a\x03ab",
    "table-size": b"\x3f",
}.items():
    case("truncated/" + name, "7541 5.2, 9113 4.3", "a field block that ends inside a field is an error",
         f.headers(1, octets) if name == "table-size" else ask(octets), goaway(COMPRESSION_ERROR))
for cut in range(1, len(GET), 7):
    case("truncated/request-%d" % cut, "9113 4.3",
         "a field block that ends inside a field is an error, or has fewer fields",
         f.headers(1, GET[:cut]), either(goaway(COMPRESSION_ERROR), malformed()))
case("truncated/in-continuation", "9113 4.3", "a field block that ends inside a field is an error",
     f.headers(1, GET, done=False) + f.continuation(1, b"\x00\x05ab"), goaway(COMPRESSION_ERROR))
case("truncated/in-trailers", "9113 4.3", "a trailer section that ends inside a field is an error",
     f.headers(1, POST, end=False) + f.data(1, b"x") + f.headers(1, b"\x00\x05ab"), goaway(COMPRESSION_ERROR))

# --- 5.2: Huffman codes ---
for octet in (9, *range(0x20, 0x7f), *range(0x80, 0x100)):
    # Every octet that a value may have, between two letters.
    value = b"a%cb" % octet
    case("huffman/octet-%02x" % octet, "7541 5.2, B", "the code of the octet is understood",
         typed(string(value, huffman=True)) if octet < 0x80 else ask(b"\x00\x03x-a" + string(value, huffman=True)),
         comes_back(value) if octet < 0x80 else answer())
for octet in (0, 10, 13):
    case("huffman/forbidden-%02x" % octet, "9113 8.2.1",
         "an octet that values must not have is malformed in a code too",
         ask(b"\x00\x03x-a" + string(b"a%cb" % octet, huffman=True)), malformed())
case("huffman/upper-case-name", "9113 8.2.1", "a name in upper case is malformed in a code too",
     ask(b"\x00" + string(b"X-A", huffman=True) + b"\x01v"), malformed())
for name, value in {
    "all": bytes(range(0x21, 0x7f)), "zeros": b"0" * 100, "long-codes": b"\\" * 50, "text": b"text/html; charset=utf-8",
    "one-5-bits": b"a",
    "one-8-bits": b"&", "eight-5-bits": b"aaaaaaaa", "large": bytes(range(0x21, 0x7f)) * 20,
}.items():
    case("huffman/string-" + name, "7541 5.2", "the string is understood", typed(string(value, huffman=True)),
         comes_back(value))
for length in range(1, 9):
    value = b"o" * length
    case("huffman/padding-%d-bits" % (-5 * length % 8), "7541 5.2", "padding of fewer than 8 ones is right",
         typed(string(value, huffman=True)), comes_back(value))
case("huffman/empty", "7541 5.2", "an empty string may be a code", ask(b"\x00\x03x-a\x80"), answer())
case("huffman/name", "7541 5.2", "a name may be a code", ask(b"\x00" + string(b"x-a-name", huffman=True) + b"\x01v"),
     answer())
case("huffman/pseudo-names", "7541 5.2", "the names of pseudo-header fields may be codes",
     f.headers(1, field_block(request(), huffman=True)), answer())
case("huffman/mixed", "7541 5.2", "name and value may differ in form",
     ask(b"\x00" + string(b"x-a", huffman=True) + string(b"plain") + b"\x00" + string(b"x-b") + string(b"code",
     huffman=True)), answer())
for name, encoded in {
    "padding-8-ones": bits(b"aaaaaaaa") + b"\xff", "padding-16-ones": bits(b"aaaaaaaa") + b"\xff\xff",
    "padding-11-ones": bits(b"a", "1" * 11),
    "padding-15-ones": bits(b"&a", "1" * 11), "padding-zeros": bits(b"a", "000"),
    "padding-last-zero": bits(b"a", "110"),
    "padding-first-zero": bits(b"a", "011"), "padding-one-zero": bits(b"aaaaa", "1111110"), "only-ones": b"\xff",
    "only-ones-4": b"\xff" * 4,
    "eos": bits([EOS], "11"), "eos-inside": bits([*b"a", EOS, *b"b"]), "eos-last": bits([*b"abc", EOS]),
    "eos-first": bits([EOS, *b"abc"]),
    "eos-truncated": bits(b"a", format(HUFFMAN[EOS][0], "030b")[:27]), "ends-inside-code": bits(b"aaaa")[:-1] + b"\xfe",
}.items():
    case("huffman/bad-" + name, "7541 5.2", "wrong padding, or EOS, is an error",
         ask(b"\x00\x03x-a" + raw_string(encoded)), goaway(COMPRESSION_ERROR))
    case("huffman/bad-name-" + name, "7541 5.2", "wrong padding, or EOS, is an error in a name too",
         ask(b"\x00" + raw_string(encoded) + b"\x01v"), goaway(COMPRESSION_ERROR))

# --- 6.2: literal forms ---
for name, form in {"add": ADD, "plain": PLAIN, "never": NEVER}.items():
    for huffman in (False, True):
        suffix = "-huffman" if huffman else ""
        case("literal/%s%s" % (name, suffix), "7541 6.2", "a request in this form is answered",
             f.headers(1, field_block(request(), form, huffman)), answer())
        case("literal/%s-indexed-name%s" % (name, suffix), "7541 6.2", "a literal with an indexed name",
             f.headers(1, POST + literal(TYPE, b"text/x-indexed", form, huffman), end=False) + f.data(1, b"x",
             end=True), comes_back(b"text/x-indexed"))
        case("literal/%s-empty-name%s" % (name, suffix), "9113 8.2.1", "an empty name is malformed",
             ask(literal(b"", b"v", form, huffman)), malformed())
        case("literal/%s-empty-value%s" % (name, suffix), "7541 6.2", "a value may be empty",
             ask(literal(b"x-a", b"", form, huffman)), answer())
        for index in (62, 100, 1000):
            case("literal/%s-name-index-%d%s" % (name, index, suffix), "7541 2.3.3",
                 "a name's index beyond the tables is an error",
                 ask(literal(index, b"v", form, huffman)), goaway(COMPRESSION_ERROR))
