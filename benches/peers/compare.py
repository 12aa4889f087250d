#!/usr/bin/env python3
"""Compare servers on loopback, in interleaved rounds.

    compare.py SCENARIO[,SCENARIO...] [options] NAME=COMMAND [NAME=COMMAND ...]

COMMAND starts a server in the foreground; '{port}' in it becomes a free port and
'{bin}' the directory of the built peers. A bare NAME means NAME='{bin}/NAME {port}',
and a bare 'ours' the example bench_server of this repository.
Servers run on one core, the load generator on another; the rounds go A B C, A B C.
Only the standard library is used.

The first number to look at is the server's CPU time per request: on two cores the
load generator is often the bottleneck, and then the rates of fast servers are all
the generator's rate. A row whose server was busy less than 95 % of the time is
marked with '*': its rate is a lower bound.
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
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LUA = os.path.join(HERE, "lua")
REPO = os.path.dirname(os.path.dirname(HERE))


def target_dir(crate):
    """Where cargo puts what it builds for the crate in this folder."""
    return os.path.abspath(os.environ.get("CARGO_TARGET_DIR") or os.path.join(crate, "target"))


OURS = os.path.join(target_dir(REPO), "release", "examples", "bench_server")


def command_of(name):
    """What a bare NAME on the command line starts."""
    return shlex.quote(OURS) + " --port {port}" if name == "ours" else "{bin}/" + name + " {port}"


def wrk(path="/", conns=64, lua=None):
    return ("wrk", path, conns, lua)


def ws(*args):
    return ("ws", list(args))


# name: (what a line counts, load)
SCENARIOS = {
    "plain": ("req", wrk()),
    "pipe16": ("req", wrk(lua="pipeline.lua")),
    "one": ("req", wrk(conns=1)),
    "headers": ("req", wrk(lua="headers.lua")),
    "headers16": ("req", wrk(lua="headers_pipeline.lua")),
    "post1k": ("req", wrk(path="/echo", lua="post.lua")),
    "body100k": ("req", wrk(path="/100k")),
    "http-idle": ("conn", ws("--mode", "http-idle", "--conns", "10000")),
    "ws16": ("msg", ws("--size", "16")),
    "ws16x32": ("msg", ws("--size", "16", "--depth", "32")),
    "ws16-one": ("msg", ws("--size", "16", "--conns", "1")),
    "ws1k": ("msg", ws("--size", "1024", "--binary")),
    "ws1kx32": ("msg", ws("--size", "1024", "--binary", "--depth", "32")),
    "ws1k-text": ("msg", ws("--size", "1024")),
    "ws64k": ("msg", ws("--size", "65536", "--binary")),
    "ws1m": ("msg", ws("--size", "1048576", "--binary", "--conns", "16")),
    "ws-deflate1k": ("msg", ws("--size", "1024", "--deflate")),
    "ws-idle": ("conn", ws("--mode", "idle", "--conns", "10000")),
    "pub16": ("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "16")),
    "pub16x16": ("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "16", "--depth", "16")),
    "pub1k": ("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "1024", "--binary")),
    "pub1kx16": ("delivery", ws("--mode", "pubsub", "--conns", "1000", "--size", "1024", "--binary", "--depth", "16")),
}


def fail(msg):
    sys.exit(f"compare: {msg}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    """The process and its descendants (a server may fork workers)."""
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
    """CPU time from the scheduler's nanosecond clock; whole ticks would be too coarse."""
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
    def __init__(self, name, command, cpu, bindir):
        self.name = name
        self.port = free_port()
        argv = [a.replace("{port}", str(self.port)).replace("{bin}", bindir) for a in shlex.split(command)]
        if "/" in argv[0] and not os.access(argv[0], os.X_OK):
            fail(f"{name}: {argv[0]} is not built")
        self.proc = subprocess.Popen(
            ["taskset", "-c", str(cpu)] + argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.pid = self.proc.pid  # taskset replaces itself
        for _ in range(250):
            if self.proc.poll() is not None:
                fail(f"{name} ended at once: {' '.join(argv)}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        fail(f"{name} does not listen on its port")

    def stop(self):
        if self.proc.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGTERM)
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
    # wrk prints 0 where it has no sample, as it may with pipelining.
    return float(m.group(1)) * UNITS[m.group(2)] or None if m else None


def run_wrk(load, s, secs, cpu):
    _, path, conns, lua = load
    cmd = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{conns}", f"-d{secs}s", "--latency"]
    if lua:
        cmd += ["-s", os.path.join(LUA, lua)]
    cmd.append(f"http://127.0.0.1:{s.port}{path}")
    c0, t0 = cpu_us(s.pid), time.monotonic()
    r = subprocess.run(cmd, capture_output=True, text=True, timeout=secs + 30)
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
        "cpu": (c1 - c0) / n,
        "busy": (c1 - c0) / ((t1 - t0) * 1e6),
        "p50": wrk_us(r.stdout, 50),
        "p99": wrk_us(r.stdout, 99),
        "note": bad.group(0) if bad else "",
    }


def run_ws(load, s, secs, cpu, wsload):
    args = load[1]
    idle = "idle" in " ".join(args)
    cmd = ["taskset", "-c", str(cpu), wsload, "--port", str(s.port), "--json", "--pid", str(s.pid)] + args
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


def report(scenario, unit, names, data, ref):
    print(f"\n## {scenario}")
    if unit == "conn":
        base = median(data[ref], "bytes") if ref in data else None
        rows = []
        for n in names:
            b = median(data[n], "bytes")
            err = next((r["error"] for r in data[n] if "error" in r), "")
            rows.append([n, fmt(b, 0), fmt(median(data[n], "rss"), 0), fmt(b / base, 2) if b and base else "-", err])
        table(["server", "bytes/conn", "RSS KiB", f"ratio to {ref}", "note"], rows)
        return
    base = median(data[ref], "cpu") if ref in data else None
    brate = median(data[ref], "rate") if ref in data else None
    rows = []
    for n in names:
        d = [r for r in data[n] if "error" not in r]
        errs = [r["error"] for r in data[n] if "error" in r]
        rate, cpu, busy = median(d, "rate"), median(d, "cpu"), median(d, "busy")
        cpus = [r["cpu"] for r in d]
        spread = f"{min(cpus):.2f}-{max(cpus):.2f}" if cpus else "-"
        star = "*" if busy is not None and busy < 0.95 else ""
        note = next((r["note"] for r in d if r["note"]), "") or (errs[0] if errs else "")
        rows.append(
            [
                n,
                fmt(rate, 0) + star,
                fmt(cpu, 3),
                spread,
                fmt(busy and busy * 100, 0),
                fmt(median(d, "p50")),
                fmt(median(d, "p99")),
                fmt(median(data[n], "rss"), 0),
                fmt(base / cpu, 2) if cpu and base else "-",
                fmt(rate / brate, 2) if rate and brate else "-",
                note,
            ]
        )
    table(
        ["server", f"{unit}/s", f"CPU us/{unit}", "min-max", "busy %", "p50 us", "p99 us", "RSS KiB",
         f"CPU vs {ref}", f"rate vs {ref}", "note"],
        rows,
    )


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("scenario", help="comma-separated; one of: " + " ".join(SCENARIOS))
    ap.add_argument("servers", nargs="+", metavar="NAME[=COMMAND]")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--secs", type=int, default=3, help="seconds per measurement")
    ap.add_argument("--ref", help="the server that ratios are taken to (default: the first); above 1 is better than it")
    ap.add_argument("--server-cpu", default="0")
    ap.add_argument("--load-cpu", default="1")
    ap.add_argument("--bin", default=os.path.join(target_dir(HERE), "release"),
                    help="directory of the built peers")
    ap.add_argument("--wsload", default=os.path.join(target_dir(os.path.join(HERE, "..", "wsload")), "release", "wsload"))
    ap.add_argument("--json", metavar="FILE", help="also append every single measurement to FILE, one JSON object a line")
    a = ap.parse_args()
    if not (1 <= a.rounds <= 100 and 1 <= a.secs <= 60):
        fail("--rounds 1..100, --secs 1..60")
    scenarios = a.scenario.split(",")
    for s in scenarios:
        if s not in SCENARIOS:
            fail(f"no scenario {s}; there are: {' '.join(SCENARIOS)}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    specs = [x.split("=", 1) if "=" in x else (x, command_of(x)) for x in a.servers]
    names = [n for n, _ in specs]
    if len(set(names)) != len(names):
        fail("two servers of one name")
    ref = a.ref or names[0]
    for scenario in scenarios:
        unit, load = SCENARIOS[scenario]
        one_shot = unit == "conn"
        servers = []
        data = {n: [] for n in names}
        try:
            if not one_shot:
                for n, c in specs:
                    servers.append(Server(n, c, a.server_cpu, a.bin))
                for s in servers:  # warm up
                    run_wrk(load, s, 1, a.load_cpu) if load[0] == "wrk" else run_ws(load, s, 1, a.load_cpu, a.wsload)
            for rnd in range(1 if one_shot else a.rounds):
                for i, (n, c) in enumerate(specs):
                    if one_shot:  # memory: a fresh process, so that nothing is left from before
                        servers.append(Server(n, c, a.server_cpu, a.bin))
                        s = servers[-1]
                    else:
                        s = servers[i]
                    if load[0] == "wrk":
                        r = run_wrk(load, s, a.secs, a.load_cpu)
                    else:
                        r = run_ws(load, s, a.secs, a.load_cpu, a.wsload)
                    r.setdefault("rss", rss_kib(s.pid))
                    data[n].append(r)
                    if one_shot:
                        s.stop()
                    if a.json:
                        with open(a.json, "a") as f:
                            f.write(json.dumps({"scenario": scenario, "server": n, "round": rnd, **r}) + "\n")
        finally:
            for s in servers:
                s.stop()
        report(scenario, unit, names, data, ref)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
