"""Requests as lists of fields, and as field blocks."""
import hpack
from frames import data, headers

SCHEME = "http"     # https with TLS; the probe sets it before it loads the cases


def fields(pairs):
    """Converts texts to bytes. Each character of a text is one byte."""
    as_bytes = lambda v: v.encode("latin-1") if isinstance(v, str) else v  # noqa: E731
    return [(as_bytes(name), as_bytes(value)) for name, value in pairs]


def request(method="GET", path="/json", *extra, scheme=None, authority="localhost", drop=()):
    """The fields of a request. `extra` are more fields; `drop` are names to leave out."""
    pairs = [(":method", method), (":scheme", SCHEME if scheme is None else scheme), (":path", path),
             (":authority", authority)]
    return fields([(n, v) for n, v in pairs if v is not None and n not in drop] + list(extra))


def field_block(pairs, form=hpack.PLAIN, huffman=False):
    return hpack.block(fields(pairs), form, huffman)


def get(stream=1, path="/json", *extra, end=True, **options):
    """A HEADERS frame with a GET."""
    return headers(stream, field_block(request("GET", path, *extra, **options)), end)


def post(stream=1, *extra, end=False, path="/echo", **options):
    """A HEADERS frame with a POST, whose content follows."""
    return headers(stream, field_block(request("POST", path, *extra, **options)), end)


def echo(stream, content, *extra):
    """A complete POST whose content comes back."""
    parts = [content[i:i + 16384] for i in range(0, len(content), 16384)] or [b""]
    return post(stream, *extra) + b"".join(data(stream, p, i == len(parts) - 1) for i, p in enumerate(parts))


def trailers(stream, *pairs, end=True):
    return headers(stream, field_block(pairs), end)
