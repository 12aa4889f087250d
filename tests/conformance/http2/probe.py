#!/usr/bin/env python3
"""HTTP/2 conformance probe: sends frames to a server and compares what comes back with RFC 9113, 7541 and 8441.

usage: probe.py HOST:PORT [--tls CERTIFICATE] [--json FILE] [--only GLOB] [--escalate]
                [--list] [--jobs N] [-v]

README.md in this folder describes the server's routes and the cases. Needs only the standard library of Python 3.11
or later.
"""
import argparse
import concurrent.futures
import fnmatch
import importlib
import ipaddress
import json
import pathlib
import socket
import ssl
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import messages                    # noqa: E402
import suite                       # noqa: E402
from connection import Connection  # noqa: E402


def load():
    """Runs the files of cases/, each of which adds to `suite.CASES`."""
    for path in sorted((HERE / "cases").glob("*.py")):
        importlib.import_module("cases." + path.stem)
    return suite.CASES


def resolve(target):
    host, _, port = target.rpartition(":")
    address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][4]
    if not ipaddress.ip_address(address[0]).is_loopback:
        sys.exit("%s is not a loopback address; the probe runs only against loopback addresses" % target)
    return address[:2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", help="HOST:PORT of the server; must be a loopback address")
    parser.add_argument("--tls", metavar="FILE", help="speak TLS, and trust the certificates in this PEM file")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file")
    parser.add_argument("--only", default="*", metavar="GLOB", help="run only the cases whose name matches this glob")
    parser.add_argument("--jobs", type=int, default=16, help="number of concurrent connections (default 16)")
    parser.add_argument("--escalate", action="store_true",
                        help="accept a connection error in place of a stream error (RFC 9113 5.4.1)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for each passed case too")
    args = parser.parse_args()
    if args.tls:
        messages.SCHEME = "https"
    cases = [c for c in load() if fnmatch.fnmatch(c["name"], args.only)
             and c["tls"] in (None, bool(args.tls))]
    if args.list:
        for c in cases:
            print("%-44s %-14s %s" % (c["name"], c["rfc"], c["text"]))
        print("%d cases" % len(cases))
        return 0
    if not args.target:
        parser.error("HOST:PORT is missing")
    address, context = resolve(args.target), None
    Connection.escalation = args.escalate
    if args.tls:
        context = ssl.create_default_context(cafile=args.tls)
        context.set_alpn_protocols(["h2"])
    check = {"name": "-/alive", "rfc": "-", "text": "the server answers before and after all cases", "steps": (),
             "settings": (), "start": True, "end": "auto", "tls": None, "receive_buffer": None}
    problem = suite.run(check, address, context)
    if problem:
        sys.exit("the server at %s does not answer GET /json with 200: %s" % (args.target, problem))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda c: suite.result(c, address, context), cases))
    results.append(suite.result(check, address, context))
    for r in results:
        if not r["passed"]:
            print("FAIL %s (RFC %s): %s: %s" % (r["name"], r["rfc"], r["text"], r["got"]))
        elif args.verbose:
            print("PASS %s (RFC %s), %d ms" % (r["name"], r["rfc"], r["ms"]))
    passed = sum(r["passed"] for r in results)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(
            {"target": args.target, "passed": passed, "failed": len(results) - passed, "cases": results},
            indent=1) + "\n")
    print("%d passed, %d failed" % (passed, len(results) - passed))
    return 0 if cases and passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
