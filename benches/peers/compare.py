#!/usr/bin/env python3
"""Compares servers on loopback, in interleaved rounds.

    compare.py SCENARIO[,SCENARIO...] [options] NAME=COMMAND [NAME=COMMAND ...]

COMMAND starts a server in the foreground. '{port}' in it becomes a free port, '{bin}'
the directory of the built peers, '{ours}' the built bench_server, and '{flags}' the flags
that a scenario needs (--routes, --workers); a server whose command has no '{flags}' is left out of such a
scenario. A bare NAME means NAME='{bin}/NAME {port}', and a bare 'ours' the example
bench_server of this repository, which takes flags.
Servers run on one core, the load generator on another; the rounds go A B C, A B C.
A tls scenario is another one over TLS. Its flags name a certificate and a key, which are made for the run; a server
whose command has no '{flags}' runs, and gets the same load, without TLS. '{ours}' is then a build with TLS.
events16 also runs the reference under pub16, in the same rounds, and compares with that.
A sweep (routes, tree, conns, workers) runs the scenarios whose names begin with it, in
one table and in interleaved rounds: each row is compared with the same server's first.
Standard library only.

Look first at the server's CPU time per request: on two cores the load generator is
often the bottleneck, and the rates of all fast servers are then the generator's rate.
A row whose server was busy less than 95 % of the time is marked with '*': its rate is
a lower bound.
"""

import argparse
import json
import os
import re
import resource
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
LUA = os.path.join(HERE, "lua")
REPO = os.path.dirname(os.path.dirname(HERE))


def target_dir(crate):
    """Returns the directory into which cargo builds the crate in this folder."""
    return os.path.abspath(os.environ.get("CARGO_TARGET_DIR") or os.path.join(crate, "target"))


OURS = os.path.join(target_dir(REPO), "release", "examples", "bench_server")
# A directory of its own, because the same example with other features has the same file name.
OURS_TLS = os.path.join(target_dir(REPO), "tls", "release", "examples", "bench_server")


def command_of(name):
    """Returns the command of a bare NAME on the command line."""
    return "{ours} --port {port} {flags}" if name == "ours" else "{bin}/" + name + " {port}"


def wrk(path="/", conns=64, lua=None):
    return ("wrk", path, conns, lua)


def ws(*args):
    return ("ws", list(args))


def browser_fields():
    """Returns the fields of lua/headers.lua that HTTP/2 allows (RFC 9113 section 8.2.2)."""
    with open(os.path.join(LUA, "headers.lua")) as f:
        fields = re.findall(r'^wrk\.headers\["(.+)"\] = "(.*)"$', f.read(), re.M)
    return [f"{name.lower()}: {value}" for name, value in fields if name != "Connection"]


def h2(path="/", streams=16, fields=(), post_bytes=0):
    return ("h2", path, streams, fields, post_bytes)


class Scenario(NamedTuple):
    unit: str  # what the figures are per
    load: tuple
    flags: str = ""  # further flags of the server
    spread: bool = False  # server and load share both cores
    as_is: bool = False  # servers that take no flags run without them
    base: str = ""  # the reference runs under this scenario too, and the ratios are to that
    tls: bool = False  # over TLS, for the servers that take the flags


SCENARIOS = {
    "plain": Scenario("req", wrk()),
    "pipe16": Scenario("req", wrk(lua="pipeline.lua")),
    "one": Scenario("req", wrk(conns=1)),
    "one-spin": Scenario("req", wrk(conns=1)),  # the same; `run` has it with servers that never sleep
    "headers": Scenario("req", wrk(lua="headers.lua")),
    "headers16": Scenario("req", wrk(lua="headers_pipeline.lua")),
    "post1k": Scenario("req", wrk(path="/echo", lua="post.lua")),
    "body100k": Scenario("req", wrk(path="/100k")),
    "params3": Scenario("req", wrk(path="/users/ann/posts/7", lua="pipeline.lua")),
    "headers10": Scenario("req", wrk(path="/ten", lua="headers10.lua")),
    "http-idle": Scenario("conn", ws("--mode", "http-idle", "--conns", "10000")),
    "ws16": Scenario("msg", ws("--size", "16")),
    "ws16x32": Scenario("msg", ws("--size", "16", "--depth", "32")),
    "ws16-one": Scenario("msg", ws("--size", "16", "--conns", "1")),
    "ws1k": Scenario("msg", ws("--size", "1024", "--binary")),
    "ws1kx32": Scenario("msg", ws("--size", "1024", "--binary", "--depth", "32")),
    "ws1k-text": Scenario("msg", ws("--size", "1024")),
    "ws64k": Scenario("msg", ws("--size", "65536", "--binary")),
    "ws1m": Scenario("msg", ws("--size", "1048576", "--binary", "--conns", "16")),
    "ws-deflate1k": Scenario("msg", ws("--size", "1024", "--deflate")),
    "ws-idle": Scenario("conn", ws("--mode", "idle", "--conns", "10000")),
    "pub16": Scenario("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "16")),
    "pub16x16": Scenario("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "16", "--depth", "16")),
    "pub1k": Scenario("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "1024", "--binary")),
    "pub1kx16": Scenario("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "1024", "--binary", "--depth", "16")),
    # Only `fleeting serve` understands these.
    "hub16": Scenario("delivery", ws("--mode", "hub", "--conns", "1000", "--size", "16")),
    "hub16x16": Scenario("delivery", ws("--mode", "hub", "--conns", "1000", "--size", "16", "--depth", "16")),
}
BROWSER = browser_fields()
SCENARIOS |= {
    "h2one": Scenario("req", h2(streams=1)),
    "h2m16": Scenario("req", h2()),
    "h2m100": Scenario("req", h2(streams=100)),
    "h2headers16": Scenario("req", h2(fields=BROWSER)),
    "h2post1k": Scenario("req", h2(path="/echo", post_bytes=1024)),
    "h2body100k": Scenario("req", h2(path="/100k", streams=1)),
    "h2-idle": Scenario("conn", ws("--mode", "h2-idle", "--conns", "10000")),
    "h2-idle-headers": Scenario(
        "conn", ws("--mode", "h2-idle", "--conns", "10000", *(arg for field in BROWSER for arg in ("--field", field)))
    ),
}
# The same with event streams in place of the WebSockets that subscribe.
for name in ("16", "16x16"):
    args = ["events" if arg == "pubsub" else arg for arg in SCENARIOS["pub" + name].load[1]]
    SCENARIOS["events" + name] = Scenario("delivery", ws(*args), base="pub" + name)
# Two workers, for servers that support them: subscribers are on both, the publisher is on one.
for name in ("pub16", "pub16x16", "pub1k", "pub1kx16"):
    SCENARIOS[name + "-two"] = SCENARIOS[name]._replace(flags="--workers 2", spread=True, as_is=True)
for n in (1, 100, 10000):
    SCENARIOS[f"routes{n}"] = Scenario("req", wrk(path=f"/r/{n // 2}/x", lua="pipeline.lua"), f"--routes {n}")
    SCENARIOS[f"tree{n}"] = Scenario("req", wrk(path=f"/p/{n // 2}/ann", lua="pipeline.lua"), f"--routes {n}")
# wrk opens its connections within the measured time; that cost is subtracted (see opening_us).
for n in (10, 100, 1000, 10000):
    SCENARIOS[f"conns{n}"] = Scenario("req", wrk(conns=n))
# Each worker gets the same load, so that it finds as much to do at each wake-up: half of the load would cost
# more per request although nothing is shared. Pauses fix the rate far below what either variant can do, so
# that the three threads seldom wait for a core.
for n in (1, 2):
    SCENARIOS[f"workers{n}"] = Scenario("req", wrk(conns=200 * n, lua="think.lua"), f"--workers {n}", spread=True)


def over_tls(scenario):
    """`{tls}` is the directory of the certificate."""
    flags = "--tls-cert {tls}/cert.pem --tls-key {tls}/key.pem"
    return scenario._replace(flags=flags, as_is=True, tls=True)


SCENARIOS["tls-handshake"] = over_tls(Scenario("connection", ws("--mode", "short")))
for name, plain in {
    "tls": "plain",
    "tls-pipe16": "pipe16",
    "tls-100k": "body100k",
    "tls-idle": "http-idle",
    "tls-ws16": "ws16",
    "tls-ws64k": "ws64k",
    "tls-ws-idle": "ws-idle",
    "tls-pub16": "pub16",
    "tls-pub16x16": "pub16x16",
    **{"tls-" + name: name for name in SCENARIOS if name.startswith("h2")},
}.items():
    SCENARIOS[name] = over_tls(SCENARIOS[plain])
SWEEPS = {
    sweep: [s for s in SCENARIOS if re.fullmatch(sweep + r"\d+", s)] for sweep in ("routes", "tree", "conns", "workers")
}

DESCRIPTORS_KEPT = 64  # descriptors that a server or wrk uses besides its connections


def fail(msg):
    sys.exit(f"compare: {msg}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    """Returns the process and its descendants (a server may fork workers)."""
    out = [pid]
    for p in out:
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/children") as f:
                    out += [int(c) for c in f.read().split()]
        except OSError:
            pass
    return out


def cpu_us(pid):
    """Returns the CPU time from the scheduler's nanosecond clock; whole ticks would be too coarse."""
    ns = 0
    for p in tree(pid):
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/schedstat") as f:
                    ns += int(f.read().split()[0])
        except OSError:
            pass
    return ns / 1000.0


def rss_kib(pid):
    kib = 0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/status") as f:
                m = re.search(r"^VmRSS:\s+(\d+)", f.read(), re.M)
                kib += int(m.group(1)) if m else 0
        except OSError:
            pass
    return kib


class Server:
    def __init__(self, name, command, flags, cpus, bindir, ours=OURS):
        self.port = free_port()
        command = command.replace("{flags}", flags)
        values = {"{port}": str(self.port), "{bin}": bindir, "{ours}": ours}
        argv = shlex.split(command)
        for name_of_value, value in values.items():
            argv = [a.replace(name_of_value, value) for a in argv]
        if "/" in argv[0] and not os.access(argv[0], os.X_OK):
            fail(f"{name}: {argv[0]} is not built")
        self.proc = subprocess.Popen(
            ["taskset", "-c", cpus] + argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.pid = self.proc.pid  # taskset replaces itself
        for _ in range(250):
            if self.proc.poll() is not None:
                fail(f"{name} ended before it listened: {' '.join(argv)}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        fail(f"{name} does not listen on port {self.port}")

    def pause(self):
        """Keeps it off the processor: one that spins would take it from the others."""
        os.killpg(self.pid, signal.SIGSTOP)

    def go_on(self):
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self):
        if self.proc.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGTERM)
                self.go_on()
                self.proc.wait(2)
            except (OSError, subprocess.TimeoutExpired):
                try:
                    os.killpg(self.pid, signal.SIGKILL)
                except OSError:
                    pass
                self.proc.wait()


UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


def wrk_us(text, q):
    m = re.search(rf"^\s+{q}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.M)
    # wrk prints 0 if it has no sample, as may happen with pipelining.
    return float(m.group(1)) * UNITS[m.group(2)] or None if m else None


def opening_us(s, conns):
    """Returns the server's CPU time for `conns` connections that open and close without a request."""
    begin = settled_us(s.pid)
    sockets = [socket.create_connection(("127.0.0.1", s.port), 5) for _ in range(conns)]
    settled_us(s.pid)
    for each in sockets:
        each.close()
    return settled_us(s.pid) - begin


def settled_us(pid):
    """Returns the CPU time once it has almost stopped growing."""
    last = cpu_us(pid)
    for _ in range(20):
        time.sleep(0.1)
        now = cpu_us(pid)
        if now - last < 100:
            break
        last = now
    return now


def run_wrk(load, s, secs, cpus, root="/", tls=None):
    _, path, conns, lua = load
    path = root if path == "/" else path
    # The cost of opening few connections is negligible.
    opening = opening_us(s, conns) if conns >= 1000 else 0
    cmd = ["taskset", "-c", cpus, "wrk", "-t1", f"-c{conns}", f"-d{secs}s", "--latency"]
    if lua:
        cmd += ["-s", os.path.join(LUA, lua)]
    cmd.append(f"{'https' if tls else 'http'}://127.0.0.1:{s.port}{path}")
    env = {**os.environ, "OPENSSL_CONF": os.path.join(tls, "openssl.cnf")} if tls else None
    c0, t0 = cpu_us(s.pid), time.monotonic()
    r = subprocess.run(cmd, capture_output=True, text=True, timeout=secs + 30, env=env)
    c1, t1 = cpu_us(s.pid), time.monotonic()
    m = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", r.stdout)
    if r.returncode or not m or int(m.group(1)) == 0:
        return {"error": (r.stderr or r.stdout).strip()[-300:]}
    n = int(m.group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", r.stdout)
    return {
        "requests": n,
        "seconds": float(m.group(2)) * UNITS[m.group(3)] / 1e6,
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", r.stdout).group(1)),
        "cpu": (c1 - c0 - opening) / n,
        "busy": (c1 - c0) / ((t1 - t0) * 1e6),
        "p50": wrk_us(r.stdout, 50),
        "p99": wrk_us(r.stdout, 99),
        "note": bad.group(0) if bad else "",
    }


H2_CONNS = 64


def run_h2(load, s, secs, cpus, root="/", tls=None):
    _, path, streams, fields, post_bytes = load
    path = root if path == "/" else path
    cmd = ["taskset", "-c", cpus, "h2load", f"-c{H2_CONNS}", f"-m{streams}", f"-D{secs}s", "--npn-list=h2"]
    # The same as OPENSSL_CONF, and P-256 for nghttpd, which has no other key exchange.
    cmd += [f"--tls13-ciphers={TLS_SUITE}", "--groups=X25519:P-256"] if tls else []
    for field in fields:
        cmd += ["-H", field]
    with tempfile.NamedTemporaryFile() as body:
        if post_bytes:
            body.write(b"0123456789abcdef" * (post_bytes // 16))
            body.flush()
            cmd += ["-d", body.name, "-H", "content-type: application/octet-stream"]
        cmd.append(f"{'https' if tls else 'http'}://127.0.0.1:{s.port}{path}")
        c0, t0 = cpu_us(s.pid), time.monotonic()
        r = subprocess.run(cmd, capture_output=True, text=True, timeout=secs + 30)
        c1, t1 = cpu_us(s.pid), time.monotonic()
    m = re.search(r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", r.stdout, re.M)
    if r.returncode or not m:
        return {"error": (r.stderr or r.stdout).strip()[-300:]}
    n, *bad = map(int, m.groups())
    if n == 0:
        return {"error": m.group(0)}
    if tls and f"Cipher: {TLS_SUITE}\n" not in r.stdout:
        return {"error": f"not over {TLS_SUITE}"}
    return {
        "requests": n,
        "seconds": float(secs),
        "rate": n / secs,
        "cpu": (c1 - c0) / n,
        "busy": (c1 - c0) / ((t1 - t0) * 1e6),
        "note": m.group(0) if any(bad) else "",
    }


def run_ws(load, s, secs, cpus, wsload, tls=None):
    args = load[1]
    idle = "idle" in " ".join(args)
    cmd = ["taskset", "-c", cpus, wsload, "--port", str(s.port), "--json", "--pid", str(s.pid)] + args
    if tls:
        cmd.append("--tls")
    cmd += ["--secs", "0.2"] if idle else ["--secs", str(secs)]
    r = subprocess.run(cmd, capture_output=True, text=True, timeout=secs + 60)
    if r.returncode:
        return {"error": r.stderr.strip()[-300:]}
    d = json.loads(r.stdout.splitlines()[0])
    if idle:
        return {"bytes": d["bytes_per_conn"], "rss": d["rss_after_kib"]}
    return {
        "rate": d["msgs_per_s"],
        "cpu": d["server_cpu_us"],
        "busy": d["server_cpu_us"] * d["msgs_per_s"] / 1e6,
        "p50": d["p50_us"],
        "p99": d["p99_us"],
        "client": d["client_cpu_us"],
        "wire": d.get("wire_bytes_in"),
        "note": "",
    }


def median(rows, key):
    v = [r[key] for r in rows if r.get(key) is not None]
    return statistics.median(v) if v else None


def fmt(v, digits=1):
    return "-" if v is None else f"{v:,.{digits}f}"


def table(head, rows):
    w = [max(len(str(r[i])) for r in [head] + rows) for i in range(len(head))]
    for k, r in enumerate([head] + rows):
        print("| " + " | ".join(str(c).ljust(w[i]) if i == 0 else str(c).rjust(w[i]) for i, c in enumerate(r)) + " |")
        if k == 0:
            print("|" + "|".join("-" * (x + 1) + (":" if i else "-") for i, x in enumerate(w)) + "|")


class Row(NamedTuple):
    """One server under one scenario."""

    label: str
    server: str
    command: str
    scenario: str
    base: str  # label of the row that this one is compared with

    def is_cleartext(self):
        """Returns whether the server takes no flags, so that the connections of a tls scenario are not over TLS."""
        return SCENARIOS[self.scenario].tls and "{flags}" not in self.command

    def note(self, results):
        """Returns the first complaint of a load generator, or the first error."""
        said = [r[key] for key in ("note", "error") for r in results if r.get(key)]
        return said[0] if said else "without TLS" if self.is_cleartext() else ""


def rows_of(asked, specs, ref):
    """Returns the rows of a scenario or a sweep, and the reference of the ratios."""
    points = SWEEPS.get(asked, [asked])
    rows = []
    base = SCENARIOS[points[0]].base
    if base and ref in dict(specs):
        server, ref = ref, f"{ref} {base}"
        rows.append(Row(ref, server, dict(specs)[server], base, ref))
    for server, command in specs:
        if SCENARIOS[points[0]].flags and not SCENARIOS[points[0]].as_is and "{flags}" not in command:
            print(f"\n{asked}: {server} is left out, because its command has no {{flags}}")
        elif asked in SWEEPS:
            rows += [Row(f"{server} {p}", server, command, p, f"{server} {points[0]}") for p in points]
        else:
            rows.append(Row(server, server, command, asked, ref))
    return rows, points[0] if asked in SWEEPS else ref


def start(row, a):
    scenario = SCENARIOS[row.scenario]
    cpus = both(a) if scenario.spread else a.server_cpu
    flags = scenario.flags.replace("{tls}", a.tls)
    return Server(row.label, row.command, flags, cpus, a.bin, OURS_TLS if scenario.tls else OURS)


def load(row, server, secs, a):
    scenario = SCENARIOS[row.scenario]
    cpus = both(a) if scenario.spread else a.load_cpu
    tls = a.tls if scenario.tls and not row.is_cleartext() else None
    if scenario.load[0] == "wrk":
        return run_wrk(scenario.load, server, secs, cpus, a.root, tls)
    if scenario.load[0] == "h2":
        return run_h2(scenario.load, server, secs, cpus, a.root, tls)
    return run_ws(scenario.load, server, secs, cpus, a.wsload, tls)


# What wrk offers over TLS; `../wsload/src/tls.rs` offers the same.
TLS_SUITE = "TLS_AES_256_GCM_SHA384"
OPENSSL_CONF = f"""
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = {TLS_SUITE}
Groups = X25519
"""


def prepare_tls(folder):
    """Makes a certificate with a P-256 key, and the configuration of wrk."""
    cert, key, conf = (os.path.join(folder, name) for name in ("cert.pem", "key.pem", "openssl.cnf"))
    cmd = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=localhost"
    cmd = cmd.split() + ["-addext", "subjectAltName=IP:127.0.0.1", "-out", cert, "-keyout", key]
    r = subprocess.run(cmd, capture_output=True, text=True)
    if r.returncode:
        fail(f"openssl: {r.stderr.strip()}")
    with open(conf, "w") as f:
        f.write(OPENSSL_CONF)


def both(a):
    return f"{a.server_cpu},{a.load_cpu}"


def measure(rows, a):
    """Runs all rounds and returns the measurements of each row."""
    one_shot = SCENARIOS[rows[0].scenario].unit == "conn"
    servers = []
    data = {row.label: [] for row in rows}
    try:
        if not one_shot:
            for row in rows:  # one after the other: if one does not start, those before it are stopped
                servers.append(start(row, a))
                load(row, servers[-1], 1, a)  # warm up
                servers[-1].pause()
        for rnd in range(1 if one_shot else a.rounds):
            for i, row in enumerate(rows):
                if one_shot:  # memory: a fresh process, without memory from an earlier measurement
                    servers.append(start(row, a))
                servers[i].go_on()
                r = load(row, servers[i], a.secs, a)
                r.setdefault("rss", rss_kib(servers[i].pid))
                data[row.label].append(r)
                if one_shot:
                    servers[i].stop()
                else:
                    servers[i].pause()
                if a.json:
                    with open(a.json, "a") as f:
                        f.write(json.dumps({"scenario": row.scenario, "server": row.server, "round": rnd, **r}) + "\n")
    finally:
        for s in servers:
            s.stop()
    return data


def report(title, rows, data, ref):
    print(f"\n## {title}")
    unit = SCENARIOS[rows[0].scenario].unit
    if unit == "conn":
        lines = []
        for row in rows:
            b, base = median(data[row.label], "bytes"), median(data.get(row.base, []), "bytes")
            note = row.note(data[row.label])
            lines.append([row.label, fmt(b, 0), fmt(median(data[row.label], "rss"), 0), ratio(base, b), note])
        table(["server", "bytes/conn", "RSS KiB", f"ratio to {ref}", "note"], lines)
        return
    lines = []
    for row in rows:
        d = [r for r in data[row.label] if "error" not in r]
        rate, cpu, busy = median(d, "rate"), median(d, "cpu"), median(d, "busy")
        cpus = [r["cpu"] for r in d]
        spread = f"{min(cpus):.2f}-{max(cpus):.2f}" if cpus else "-"
        star = "*" if busy is not None and busy < 0.95 else ""
        base = data.get(row.base, [])
        lines.append(
            [
                row.label,
                fmt(rate, 0) + star,
                fmt(cpu, 3),
                spread,
                fmt(busy and busy * 100, 0),
                fmt(median(d, "p50")),
                fmt(median(d, "p99")),
                fmt(median(d, "rss"), 0),
                ratio(cpu, median(base, "cpu")),
                ratio(median(base, "rate"), rate),
                row.note(data[row.label]),
            ]
        )
    table(
        ["server", f"{unit}/s", f"CPU us/{unit}", "min-max", "busy %", "p50 us", "p99 us", "RSS KiB",
         f"CPU vs {ref}", f"rate vs {ref}", "note"],
        lines,
    )


def ratio(base, value):
    return fmt(value / base, 2) if base and value else "-"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("scenario", help="comma-separated, from: " + " ".join(SCENARIOS) + "; sweeps: " + " ".join(SWEEPS))
    ap.add_argument("servers", nargs="+", metavar="NAME[=COMMAND]")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--secs", type=int, default=3, help="seconds per measurement")
    ap.add_argument("--ref", help="the reference server of the ratios (default: the first); above 1 is better than it")
    ap.add_argument("--root", default="/", metavar="PATH", help="requested in place of /: `fleeting serve` has its page there")
    ap.add_argument("--server-cpu", default="0")
    ap.add_argument("--load-cpu", default="1")
    ap.add_argument("--bin", default=os.path.join(target_dir(HERE), "release"),
                    help="directory of the built peers")
    ap.add_argument("--wsload", default=os.path.join(target_dir(os.path.join(HERE, "..", "wsload")), "release", "wsload"))
    ap.add_argument("--json", metavar="FILE", help="also append every single measurement to FILE, one JSON object a line")
    a = ap.parse_args()
    if not (1 <= a.rounds <= 100 and 1 <= a.secs <= 60):
        fail("--rounds must be 1 to 100, --secs 1 to 60")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asked = a.scenario.split(",")
    for name in asked:
        if name not in SCENARIOS and name not in SWEEPS:
            fail(f"unknown scenario {name}; the scenarios are: {' '.join(SCENARIOS)}; the sweeps are: {' '.join(SWEEPS)}")
        for point in SWEEPS.get(name, [name]):
            generator, *what = SCENARIOS[point].load
            if generator == "wrk" and hard != resource.RLIM_INFINITY and what[1] + DESCRIPTORS_KEPT > hard:
                fail(f"{point} needs more descriptors than the limit of {hard}")

    specs = [x.split("=", 1) if "=" in x else (x, command_of(x)) for x in a.servers]
    names = [n for n, _ in specs]
    if len(set(names)) != len(names):
        fail(f"two servers have the same name: {' '.join(names)}")
    with tempfile.TemporaryDirectory() as a.tls:
        if any(SCENARIOS[point].tls for name in asked for point in SWEEPS.get(name, [name])):
            prepare_tls(a.tls)
        for name in asked:
            rows, ref = rows_of(name, specs, a.ref or names[0])
            if rows:
                report(name, rows, measure(rows, a), ref)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
