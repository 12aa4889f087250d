"""The list of cases, and what happens before and after the steps of each."""
import re
import struct
import time

import frames
from connection import Connection, Malformed
from steps import Unmet, alive

CASES = []


def case(name, rfc, text, *steps, settings=(), start=True, end="auto", tls=None, receive_buffer=None):
    """Adds a case.

    Each case has its own connection. `start`: the preface and the exchange of settings come first, with `settings` in
    addition to ENABLE_PUSH = 0. `end`: "auto" requires after the last step that the connection serves another request,
    or, if a step has expected the end of the connection, that it has ended; "any" requires neither. `tls`: the case
    runs only with TLS, or only without.
    """
    assert re.fullmatch(r"[a-z0-9-]+/[a-z0-9.-]+", name), name
    assert name not in {c["name"] for c in CASES}, name
    CASES.append({"name": name, "rfc": rfc, "text": text, "steps": steps, "settings": settings, "start": start,
                  "end": end, "tls": tls, "receive_buffer": receive_buffer})


def run(one, address, context):
    """Runs a case. Returns None if it passed, otherwise what was observed."""
    try:
        conn = Connection(address, context, one["receive_buffer"])
    except OSError as problem:
        return "cannot connect: %s" % problem
    at = 0
    try:
        if context and conn.alpn != "h2":
            return "ALPN chose %r" % conn.alpn
        if one["start"]:
            conn.begin([(frames.ENABLE_PUSH, 0), *one["settings"]])
        for at, step in enumerate(one["steps"], 1):
            if isinstance(step, bytes):
                conn.send(step)
            else:
                step(conn)
        at += 1
        if one["end"] == "auto" and not conn.over:
            alive(conn)
        return None
    except Unmet as problem:
        return "step %d: %s, got %s" % (at, problem, conn.summary())
    except Malformed as problem:
        return "step %d: the server sent %s; %s" % (at, problem, conn.summary())
    except (struct.error, LookupError, ValueError) as problem:
        return "step %d: a frame that cannot be read, %r; %s" % (at, problem, conn.summary())
    finally:
        conn.close()


def result(one, address, context):
    begin = time.monotonic()
    got = run(one, address, context)
    return {"name": one["name"], "rfc": one["rfc"], "text": one["text"], "got": got, "passed": got is None,
            "ms": round((time.monotonic() - begin) * 1000)}
