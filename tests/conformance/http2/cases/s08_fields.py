"""Fields and pseudo-header fields of requests (RFC 9113 8.2, 8.3)."""
import frames as f
from messages import SCHEME, echo, field_block, get, post, request
from steps import Expect, answer, either, malformed, refused_field
from suite import case

PSEUDO = [(":method", "GET"), (":scheme", SCHEME), (":path", "/json"), (":authority", "localhost")]


def ask(*pairs):
    """A request without content, of exactly these fields."""
    return f.headers(1, field_block(pairs))


# --- 8.2.1: names ---
for name, field_name in {
    "upper-first": "Accept", "upper-last": "acceptA", "upper-all": "ACCEPT", "upper-middle": "x-Large", "empty": "",
    "space": "x y", "space-first": " x", "space-last": "x ", "tab": "x\ty", "colon": "x:y", "colon-last": "x:",
    "nul": "x\0y", "cr": "x\ry", "lf": "x\ny", "crlf": "x\r\ny", "delete": "x\x7f", "non-ascii": "x\xe9", "ff": "x\xff",
}.items():
    case("name/" + name, "9113 8.2.1", "a forbidden character in a name makes the request malformed",
         get(1, "/json", (field_name, "v")), malformed())
for octet in (*range(1, 0x20), *range(0x80, 0x100, 17)):
    if octet not in (9, 10, 13):
        case("name/octet-%02x" % octet, "9113 8.2.1", "a forbidden character in a name makes the request malformed",
             get(1, "/json", ("x%cy" % octet, "v")), malformed())
# 9110 5.1 does not allow these characters in a token; 9113 8.2.1 does not require that a server refuses them.
for octet in b'"(),/;<=>?@[\\]{}':
    case("name/delimiter-%02x" % octet, "9110 5.1", "a delimiter in a name is refused or ignored",
         get(1, "/json", ("x%cy" % octet, "v")), refused_field())
case("name/every-token-character", "9110 5.6.2", "a name may have every character of a token",
     get(1, "/json", ("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", "v")), answer())
case("name/long", "9113 8.2", "a name of 200 octets is accepted or too long", get(1, "/json", ("n" * 200, "v")),
     answer(1, "200|431|400"))
case("name/upper-in-post", "9113 8.2.1", "the request is malformed before its content arrives",
     post(1, ("Upper", "v")) + f.data(1, b"abc", end=True), malformed())

# --- 8.2.1: values ---
for name, value in {
    "nul": "a\0b", "lf": "a\nb", "cr": "a\rb", "crlf": "a\r\nb", "nul-only": "\0", "lf-last": "a\n", "cr-last": "a\r",
    "lf-first": "\na",
    "request-splitting": "a\r\n\r\nGET / HTTP/1.1\r\n\r\n", "obs-fold": "a\r\n b",
    "space-first": " a", "space-last": "a ", "tab-first": "\ta", "tab-last": "a\t", "space-only": " ",
    "space-both": " a ",
}.items():
    case("value/" + name, "9113 8.2.1", "a forbidden character in a value makes the request malformed",
         get(1, "/json", ("x-value", value)), malformed())
for octet in (*range(1, 9), 0x0b, 0x0c, *range(0x0e, 0x20), 0x7f):
    case("value/control-%02x" % octet, "9110 5.5", "a control character in a value is refused or accepted",
         get(1, "/json", ("x-value", "a%cb" % octet)), refused_field())
for name, value in {
    "empty": "", "tab-inside": "a\tb", "spaces-inside": "a   b", "every-visible": "".join(map(chr, range(0x21, 0x7f))),
    "every-high": "".join(map(chr, range(0x80, 0x100))), "long": "v" * 3000, "one": "x",
}.items():
    case("value/good-" + name, "9110 5.5", "the value is allowed", get(1, "/json", ("x-value", value)), answer())
case("value/comes-back", "9110 5.5", "a value arrives unchanged",
     echo(1, b"x", ("content-type", "text/x-test; a=\"b\tc\"; d=e")),
     answer(content=b"x", fields={"content-type": 'text/x-test; a="b\tc"; d=e'}))

# --- 8.2.2: connection-specific fields ---
for name, value in (
    ("connection", "close"), ("connection", "keep-alive"), ("connection", "x-a"), ("connection", ""),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"), ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"),
    ("upgrade", "websocket"),
    ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, deflate"), ("te", "chunked"), ("te", ""),
):
    case("connection-field/%s-%s" % (name, value.replace(" ", "").replace(",", "-").replace("=", "-") or "empty"),
         "9113 8.2.2",
         "a connection-specific field makes the request malformed",
         get(1, "/json", (name, value)), either(malformed(),
         answer(1, "200")) if name == "te" and not value else malformed())
case("connection-field/te-trailers", "9113 8.2.2", "te may be trailers", get(1, "/json", ("te", "trailers")), answer())
case("connection-field/transfer-encoding-post", "9113 8.2.2", "transfer-encoding makes the request malformed",
     echo(1, b"3\r\nabc\r\n0\r\n\r\n", ("transfer-encoding", "chunked")), malformed())
case("connection-field/http2-settings", "9113 3.1",
     "HTTP2-Settings is a field without a meaning here or connection-specific",
     get(1, "/json", ("http2-settings", "AAMAAABkAAQAAP__")), refused_field())

# --- 8.2.3: cookie ---
case("cookie/one", "9113 8.2.3", "a cookie is accepted", get(1, "/json", ("cookie", "a=b; c=d")), answer())
case("cookie/crumbs", "9113 8.2.3", "a cookie may be split into fields",
     get(1, "/json", ("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")), answer())
case("cookie/crumbs-apart", "9113 8.2.3", "other fields may be between",
     get(1, "/json", ("cookie", "a=b"), ("x-a", "b"), ("cookie", "c=d")), answer())
case("cookie/fifty", "9113 8.2.3", "fifty crumbs are accepted or too many",
     get(1, "/json", *[("cookie", "a%d=b" % i) for i in range(50)]), answer(1, "200|431"))
case("cookie/empty", "9113 8.2.3", "an empty crumb is accepted", get(1, "/json", ("cookie", "a=b"), ("cookie", "")),
     answer())

# --- 8.3: pseudo-header fields ---
for name in (":method", ":scheme", ":path"):
    case("pseudo/missing-" + name[1:], "9113 8.3.1", "the request is malformed",
         ask(*[p for p in PSEUDO if p[0] != name]), malformed())
    case("pseudo/empty-" + name[1:], "9113 8.3.1", "the request is malformed",
         ask(*[(n, "" if n == name else v) for n, v in PSEUDO]), malformed())
for name, value in PSEUDO:
    case("pseudo/twice-" + name[1:], "9113 8.3", "the request is malformed", ask(*PSEUDO, (name, value)), malformed())
    case("pseudo/twice-differing-" + name[1:], "9113 8.3", "the request is malformed",
         ask(*PSEUDO, (name, {":method": "HEAD", ":scheme": "ftp", ":path": "/", ":authority": "other"}[name])),
         malformed())
    case("pseudo/after-regular-" + name[1:], "9113 8.3", "pseudo-header fields come first",
         ask(*[p for p in PSEUDO if p[0] != name], ("accept", "*/*"), (name, value)), malformed())
    case("pseudo/upper-case-" + name[1:], "9113 8.2.1, 8.3", "names are lower case",
         ask(*[(n.upper() if n == name else n, v) for n, v in PSEUDO]), malformed())
for name in (":status", ":unknown", ":", ":version", ":host", ":protocol-x", ":query", "::path"):
    case("pseudo/undefined-" + (name.replace(":", "") or "empty") + ("-colon" if name == "::path" else ""), "9113 8.3",
         "an undefined pseudo-header field makes the request malformed",
         ask(*PSEUDO, (name, "200")), malformed())
case("pseudo/protocol-without-connect", "8441 4", ":protocol belongs to CONNECT",
     ask(*PSEUDO, (":protocol", "websocket")), malformed())
for order in ((3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)):
    case("pseudo/order-%d%d%d%d" % order, "9113 8.3", "pseudo-header fields have no order",
         ask(*[PSEUDO[i] for i in order]), answer())
case("pseudo/in-the-middle", "9113 8.3", "pseudo-header fields come first",
     ask(PSEUDO[0], ("x-a", "b"), *PSEUDO[1:]), malformed())
case("pseudo/only-method", "9113 8.3.1", "the request is malformed", ask(PSEUDO[0]), malformed())
case("pseudo/only-regular", "9113 8.3.1", "the request is malformed", ask(("accept", "*/*")), malformed())

# --- :method, :scheme, :path ---
for name, method in {"space": "GE T", "nul": "G\0", "crlf": "GET\r\n", "slash": "G/T", "high": "G\xe9",
    "request-line": "GET / HTTP/1.1\r\nx:"}.items():
    case("method/bad-" + name, "9110 9.1", "a method is a token", ask((":method", method), *PSEUDO[1:]),
         malformed() if name != "slash" else either(malformed(), answer(1, "501")))
for name, path in {"no-slash": "json", "relative": "../json", "space": "/js on", "nul": "/js\0on",
    "crlf": "/json\r\nx: y", "request-line": "/json HTTP/1.1\r\nx: y",
                   "star-get": "*", "star-more": "*/json", "tab": "/js\ton", "high": "/\xff", "space-last": "/json ",
                   "absolute": SCHEME + "://localhost/json"}.items():
    # An octet above 127 is outside the grammar of URIs, but nothing requires its refusal. Not every server knows "*".
    allowed = {"high": answer(1, "200|4.."), "absolute": either(malformed(), answer()),
        "star-get": either(malformed(), answer(1, "4.."))}
    case("path/bad-" + name, "9113 8.3.1", "the path is malformed", ask(*PSEUDO[:2], (":path", path), PSEUDO[3]),
         either(malformed(), allowed[name]) if name in allowed else malformed())
for name, path in {"fragment": "/json#x", "double-slash": "//json", "dot": "/./json", "percent": "/%6ason",
    "bad-percent": "/%zz", "backslash": "/js\\on", "quote": "/js\"on", "pipe": "/js|on"}.items():
    case("path/odd-" + name, "9110 4", "the path is answered somehow", ask(*PSEUDO[:2], (":path", path), PSEUDO[3]),
         either(malformed(), answer(1, "[2345]..")))
for name, scheme in {"other": "https" if SCHEME == "http" else "http", "ftp": "ftp", "upper": SCHEME.upper(),
    "digits": "h2"}.items():
    case("scheme/" + name, "9113 8.3.1", ":scheme is not restricted; another one may be refused",
         ask(PSEUDO[0], (":scheme", scheme), *PSEUDO[2:]), either(malformed(), answer(1, "2..")))
for name, scheme in {"space": "ht tp", "colon": "http:", "nul": "ht\0tp", "slashes": "http://",
    "crlf": "http\r\n"}.items():
    case("scheme/bad-" + name, "9110 4.2",
         "a scheme with a forbidden character is refused, or the answer is none of a success",
         ask(PSEUDO[0], (":scheme", scheme), *PSEUDO[2:]),
         malformed() if name in ("nul", "crlf") else either(malformed(), answer(1, "2..")))

# --- :authority and host ---
case("authority/host-only", "9113 8.3.1", "host may take the place of :authority",
     ask(*PSEUDO[:3], ("host", "localhost")), answer())
case("authority/host-equal", "9113 8.3.1", "host may be equal to :authority", ask(*PSEUDO, ("host", "localhost")),
     answer())
case("authority/host-differing", "9113 8.3.1", "host that differs from :authority may be refused; :authority counts",
     ask(*PSEUDO, ("host", "other.example")), either(malformed(), answer()))
case("authority/none", "9113 8.3.1", "a request without :authority and host may be refused", ask(*PSEUDO[:3]),
     either(malformed(), answer()))
case("authority/empty", "9113 8.3.1", "an empty :authority is malformed for http and https",
     ask(*PSEUDO[:3], (":authority", "")), either(malformed(), answer()))
case("authority/userinfo", "9113 8.3.1", ":authority has no userinfo",
     ask(*PSEUDO[:3], (":authority", "user@localhost")), malformed())
case("authority/userinfo-password", "9113 8.3.1", ":authority has no userinfo",
     ask(*PSEUDO[:3], (":authority", "user:pass@localhost")), malformed())
case("authority/two-hosts", "9110 7.2", "two host fields are malformed or one of them counts",
     ask(*PSEUDO[:3], ("host", "localhost"), ("host", "other")), either(malformed(), answer()))
for name, authority in {"port": "localhost:8080", "ipv4": "127.0.0.1", "ipv4-port": "127.0.0.1:80", "ipv6": "[::1]",
    "ipv6-port": "[::1]:8443", "upper": "LOCALHOST"}.items():
    case("authority/" + name, "9110 4.2", ":authority may have this form", ask(*PSEUDO[:3], (":authority", authority)),
         answer())
for name, authority in {"space": "local host", "slash": "localhost/x", "nul": "local\0host",
    "crlf": "localhost\r\nx: y", "comma": "a, b", "bad-port": "localhost:x", "query": "localhost?x",
    "hash": "localhost#x", "backslash": "a\\b"}.items():
    strict = name in ("nul", "crlf")
    case("authority/bad-" + name, "9110 4.2", "a malformed :authority is refused",
         ask(*PSEUDO[:3], (":authority", authority)), malformed() if strict else either(malformed(), answer(1, "2..")))

# --- 10.5.1: limits ---
big = field_block(request("GET", "/json", *[("x-%d" % i, "v" * 1000) for i in range(15)]))
case("limits/15-kilobytes", "9113 10.5.1", "a large field section is answered or refused", f.headers(1, big),
     answer(1, "200|431"))
for count in (5, 20, 70):
    parts = [field_block([("x-%d" % i, "v" * 16000)]) for i in range(count)]
    case("limits/%d-kilobytes" % (16 * count), "9113 10.5.1", "a field section that is too large is refused",
         f.headers(1, field_block(request()), done=False) + b"".join(f.continuation(1, p,
         done=False) for p in parts) + f.continuation(1, b""),
         either(answer(1, "200|431" if count == 5 else "431", ended=False),
                Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none"),
                Expect("the end", lambda c: None if c.eof else "open", over=True)), end="any")
case("limits/many-fields", "9113 10.5.1", "a thousand fields are accepted or too many",
     f.headers(1, field_block(request("GET", "/json", *[("x-%d" % i, "v") for i in range(1000)]))),
     either(answer(1, "200|431|400"), malformed()))
case("limits/list-size-by-reference", "9113 10.5.1", "a large field that is repeated by its index is bounded",
     f.headers(1, field_block(request()) + b"\x40\x03x-a\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 5000),
     either(answer(1, "431", ended=False), malformed(),
            Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none"),
            Expect("the end", lambda c: None if c.eof else "open", over=True)), end="any")
