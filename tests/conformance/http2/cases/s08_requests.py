"""Messages: content, content-length, trailers, methods (RFC 9113 8.1, 8.3.1; RFC 9110)."""
import frames as f
from frames import PROTOCOL_ERROR
from messages import SCHEME, echo, field_block, get, post, request, trailers
from steps import (Expect, answer, closed, either, goaway, interim, malformed, not_modified, refused_field, reset,
    stream_error)
from suite import case

HEAD = f.headers(1, field_block(request("HEAD", "/json")))


def ask(method, path, *extra, **options):
    return f.headers(1, field_block(request(method, path, *extra, **options)))


# --- plain requests ---
case("request/get", "9113 8.1", "GET is answered", get(1), answer(fields={"content-type": "application/json.*"}))
case("request/root", "9113 8.3.1", "GET / is answered", get(1, "/"), answer())
case("request/date", "9110 6.6.1", "a 200 has a Date", get(1), answer(fields={
    "date": "(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"}))
case("request/content-length", "9110 8.6", "content-length agrees with the content", get(1),
     answer(fields={"content-length": "27"}, length=27))
case("request/head", "9110 9.3.2", "the response to HEAD has no content", HEAD, answer(content=b""))
case("request/head-root", "9110 9.3.2", "the response to HEAD has no content", ask("HEAD", "/"), answer(content=b""))
case("request/head-not-found", "9110 9.3.2", "a 404 to HEAD has no content", ask("HEAD", "/no-such-thing"),
     answer(1, "404", content=b""))
case("request/head-then-get", "9110 9.3.2", "the connection stays in step after HEAD", HEAD + get(3),
     answer(content=b""), answer(3))
case("request/not-found", "9110 15.5.5", "an unknown path is 404", get(1, "/no-such-thing"), answer(1, "404"))
case("request/method-not-allowed", "9110 15.5.6", "a method that the resource lacks is 405 with Allow",
     ask("DELETE", "/json"), answer(1, "405", fields={"allow": ".*GET.*"}))
case("request/method-unknown", "9110 9.1", "an unknown method is no success", ask("BREW", "/json"),
     answer(1, "405|501|400"))
case("request/method-lower-case", "9110 9.1", "methods are case-sensitive", ask("get", "/json"),
     answer(1, "405|501|400"))
case("request/query", "9110 4.2.2", "a query makes no difference here", get(1, "/json?a=b&c=%20d"), answer())
case("request/long-query", "9110 4.1", "a path of 4000 octets is accepted or 414", get(1, "/json?" + "q" * 4000),
     answer(1, "200|414"))
case("request/options", "9110 9.3.7", "OPTIONS is answered", ask("OPTIONS", "/json"),
     answer(1, "2..", fields={"allow": ".*GET.*"}))
case("request/options-star", "9113 8.3.1", "OPTIONS * is answered", ask("OPTIONS", "*"), answer(1, "2.."))
case("request/no-framing-fields", "9113 8.2.2", "responses have no connection-specific fields", get(1),
     answer(absent=["connection", "transfer-encoding", "keep-alive", "upgrade"]))
case("request/if-none-match", "9110 13.1.2", "a conditional request is answered",
     get(1, "/json", ("if-none-match", "*")), answer(1, "200|304|412"))
case("request/not-modified", "9110 15.4.5", "a 304 has no content", not_modified)
case("request/many", "9113 8.1", "fifty requests in a row are answered",
     *[s for n in range(1, 101, 2) for s in (get(n), answer(n))])
case("request/alternating", "9113 8.1", "different requests in a row are answered",
     get(1) + echo(3, b"3") + get(5, "/no-such-thing") + echo(7, b"7" * 5000) + get(9, "/"),
     answer(), answer(3, content=b"3"), answer(5, "404"), answer(7, content=b"7" * 5000), answer(9))

# --- content ---
for size in (0, 1, 100, 16383, 16384, 16385, 40000):
    case("content/echo-%d" % size, "9113 8.1", "content comes back", echo(1, b"e" * size), answer(content=b"e" * size))
case("content/every-octet", "9113 8.1", "content may have every octet", echo(1, bytes(range(256))),
     answer(content=bytes(range(256))))
case("content/empty-data-end", "9113 8.1", "content may end with an empty DATA",
     post(1) + f.data(1, b"abc") + f.data(1, end=True), answer(content=b"abc"))
case("content/end-on-headers", "9113 8.1", "POST without content ends with HEADERS", post(1, end=True),
     answer(content=b""))
case("content/get-with-content", "9110 9.3.1", "GET with content has no meaning, but is well-formed",
     get(1, end=False) + f.data(1, b"abc", end=True), answer(1, "200|400|413"))
case("content/content-type", "9110 8.3", "the content's type comes back",
     echo(1, b"{}", ("content-type", "application/json")),
     answer(content=b"{}", fields={"content-type": "application/json"}))
case("content/one-octet-frames", "9113 6.1", "content may arrive in frames of one octet",
     post(1) + b"".join(f.data(1, b"%c" % (97 + i % 26)) for i in range(300)) + f.data(1, end=True), answer(length=300))
case("content/to-not-found", "9110 15.5.5", "content for an unknown path",
     post(1, path="/no-such-thing") + f.data(1, b"x" * 100, end=True), answer(1, "404"))
case("content/early-answer", "9113 8.1",
     "an answer before the end of the request may be followed by RST_STREAM NO_ERROR",
     post(1, path="/no-such-thing") + f.data(1, b"x" * 100) + f.data(1, b"y", end=True), answer(1, "404"))
case("content/wrong-method", "9110 15.5.6", "content with a method that the resource lacks",
     post(1, path="/json") + f.data(1, b"abc", end=True), answer(1, "405"))

# --- 8.1.1: content-length ---
for name, declared, sent, end in (
    ("too-much", "3", b"abcd", True), ("too-little", "5", b"abcd", True),
    ("zero-but-content", "0", b"a", True), ("none-of-ten", "10", b"", True),
):
    case("content-length/" + name, "9113 8.1.1", "content-length that differs from the content is malformed",
         post(1, ("content-length", declared)) + f.data(1, sent, end), malformed())
case("content-length/too-much-in-parts", "9113 8.1.1", "content-length that differs from the content is malformed",
     post(1, ("content-length", "5")) + f.data(1, b"abc") + f.data(1, b"def", end=True), malformed())
case("content-length/too-little-with-trailers", "9113 8.1.1",
     "content-length that differs from the content is malformed",
     post(1, ("content-length", "5")) + f.data(1, b"abc") + trailers(1, ("x-a", "b")), malformed())
case("content-length/end-stream-headers", "9113 8.1.1",
     "content-length above 0 with END_STREAM on HEADERS is malformed",
     post(1, ("content-length", "5"), end=True), malformed())
case("content-length/get-end-stream", "9113 8.1.1", "content-length above 0 with END_STREAM on HEADERS is malformed",
     get(1, "/json", ("content-length", "5")), malformed())
case("content-length/get-zero", "9113 8.1.1", "content-length 0 without content is right",
     get(1, "/json", ("content-length", "0")), answer())
case("content-length/right", "9113 8.1.1", "content-length is right", echo(1, b"abcd", ("content-length", "4")),
     answer(content=b"abcd"))
case("content-length/right-in-parts", "9113 8.1.1", "the sum of the DATA frames counts",
     post(1, ("content-length", "6")) + f.data(1, b"abc") + f.data(1, b"") + f.data(1, b"def") + f.data(1, end=True),
     answer(content=b"abcdef"))
case("content-length/padding-does-not-count", "9113 8.1.1", "padding is not content",
     post(1, ("content-length", "3")) + f.data(1, b"abc", end=True, pad=50), answer(content=b"abc"))
case("content-length/only-padding", "9113 8.1.1", "padding is not content",
     post(1, ("content-length", "3")) + f.data(1, b"", end=True, pad=2), malformed())
case("content-length/zero-end-stream", "9113 8.1.1", "content-length 0 with END_STREAM",
     post(1, ("content-length", "0"), end=True), answer(content=b""))
case("content-length/zero-empty-data", "9113 8.1.1", "content-length 0 with an empty DATA",
     post(1, ("content-length", "0")) + f.data(1, end=True), answer(content=b""))
case("content-length/with-trailers", "9113 8.1.1", "content-length is right, trailers follow",
     post(1, ("content-length", "3")) + f.data(1, b"abc") + trailers(1, ("x-a", "b")), answer(content=b"abc"))
case("content-length/two-equal", "9110 8.6", "two equal values may be accepted",
     echo(1, b"abc", ("content-length", "3"), ("content-length", "3")),
     either(answer(content=b"abc"), malformed()))
case("content-length/two-differing", "9110 8.6", "differing values are malformed",
     echo(1, b"abc", ("content-length", "3"), ("content-length", "4")), malformed())
for value in ("-1", "+3", "3x", "0x3", "", "3, 4", "1e1", "99999999999999999999999", "3 3", "\xb3"):
    name = {"": "empty", "3, 4": "list", "3 3": "space", "\xb3": "not-ascii", "+3": "plus"}.get(value, value)
    case("content-length/bad-" + name, "9110 8.6", "a value that is no number, or none that fits, is malformed",
         echo(1, b"abc", ("content-length", value)),
         malformed() if len(value) < 20 else either(malformed(), answer(1, "413", ended=False)))
case("content-length/list-of-equal", "9110 8.6", "a list of equal values may be accepted",
     echo(1, b"abc", ("content-length", "3, 3")), either(answer(content=b"abc"), malformed()))
case("content-length/leading-zeros", "9110 8.6", "leading zeros are allowed",
     echo(1, b"abc", ("content-length", "003")),
     either(answer(content=b"abc"), malformed()))
case("content-length/too-large", "9110 15.5.14", "content that is too large is refused before it arrives",
     post(1, ("content-length", str(1 << 40))),
     either(answer(1, "413", ended=False), answer(1, "100"),
     Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none")))

# --- 8.1: trailers ---
case("trailers/good", "9113 8.1", "a trailer section ends a request",
     post(1) + f.data(1, b"abc") + trailers(1, ("x-sum", "1")), answer(content=b"abc"))
case("trailers/without-content", "9113 8.1", "a trailer section may follow without DATA",
     post(1) + trailers(1, ("x-sum", "1")), answer(content=b""))
case("trailers/many-fields", "9113 8.1", "a trailer section may have several fields",
     post(1) + f.data(1, b"abc") + trailers(1, *[("x-%d" % i, "v") for i in range(10)]), answer(content=b"abc"))
case("trailers/empty", "9113 8.1", "a trailer section may be empty", post(1) + f.data(1, b"abc") + f.headers(1, b""),
     answer(content=b"abc"))
case("trailers/announced", "9110 6.6.2", "the field trailer may announce them",
     post(1, ("trailer", "x-sum"), ("te", "trailers")) + f.data(1, b"a") + trailers(1, ("x-sum", "1")),
     answer(content=b"a"))
case("trailers/without-end-stream", "9113 8.1", "a trailer section without END_STREAM is malformed",
     post(1) + f.data(1, b"abc") + trailers(1, ("x-sum", "1"), end=False), stream_error(1, PROTOCOL_ERROR))
case("trailers/data-after", "9113 8.1", "DATA after a trailer section is an error",
     post(1) + f.data(1, b"a") + trailers(1, ("x-a", "b")) + f.data(1, b"b", end=True),
     either(reset(1, f.STREAM_CLOSED), goaway(f.STREAM_CLOSED), answer(content=b"a")), end="any")
for name, field in {
    "status": (":status", "200"), "path": (":path", "/"), "method": (":method", "GET"), "unknown": (":x", "y"),
    "scheme": (":scheme", SCHEME), "authority": (":authority", "localhost"), "upper-case": ("X-Sum", "1"),
    "name-space": ("x sum", "1"),
    "value-nul": ("x-sum", "a\0b"), "value-lf": ("x-sum", "a\nb"), "value-cr": ("x-sum", "a\rb"),
    "empty-name": ("", "1"),
    "connection": ("connection", "close"), "transfer-encoding": ("transfer-encoding", "chunked"),
}.items():
    case("trailers/bad-" + name, "9113 8.1, 8.2, 8.3", "a malformed trailer section makes the request malformed",
         post(1) + f.data(1, b"abc") + trailers(1, field), malformed())
case("trailers/content-length", "9110 6.5.1", "a content-length in a trailer section is no framing",
     post(1) + f.data(1, b"abc") + trailers(1, ("content-length", "99")), refused_field())
case("trailers/too-large", "9113 10.5.1", "a trailer section may be too large",
     post(1) + f.data(1, b"abc") + f.headers(1, field_block([("x-a", "v" * 16000)]), done=False)
     + b"".join(f.continuation(1, field_block([("x-a", "v" * 16000)]),
     done=False) for _ in range(20)) + f.continuation(1, b""),
     either(answer(1, "431|200|400|413", ended=False),
     closed(f.ENHANCE_YOUR_CALM, PROTOCOL_ERROR, f.INTERNAL_ERROR, f.COMPRESSION_ERROR),
            Expect("a reset", lambda c: None if c.stream(1).reset is not None else "none")))

# --- 8.1: expect ---
case("expect/continue", "9110 10.1.1", "100 or the final answer follows; the content may arrive without waiting",
     post(1, ("expect", "100-continue"), ("content-length", "3")) + f.data(1, b"abc", end=True), answer(content=b"abc"))
case("expect/wait-for-continue", "9110 10.1.1", "100 or the final answer arrives before the content",
     post(1, ("expect", "100-continue"), ("content-length", "3")),
     either(interim(1, "100"), answer(1, "[245]..", ended=False)),
     f.data(1, b"abc", end=True), answer(1, "200|4.."))
case("expect/continue-not-found", "9110 10.1.1", "the final answer may come at once",
     post(1, ("expect", "100-continue"), path="/no-such-thing"),
     either(interim(1, "100"), answer(1, "404|417", ended=False)))
case("expect/unknown", "9110 10.1.1", "an unknown expectation is 417 or ignored",
     post(1, ("expect", "200-ok")) + f.data(1, b"abc", end=True), answer(1, "200|417"))
