"""The program under test: starting it, stopping it, and requests through curl."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

PROGRAM = os.path.abspath(sys.argv[1])
TIMEOUT = 30  # seconds; longer than anything here takes


class Server:
    def __init__(self, *args, port=0):
        command = [PROGRAM, "serve", "--listen", f"127.0.0.1:{port}", *args]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETING_")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stdout:
            if found := re.search(r"https?://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("the program did not print the address it listens on")
        self.address = f"127.0.0.1:{self.port}"
        # The certificate is its own authority, and is for localhost.
        self.authority = args[args.index("--tls-cert") + 1] if "--tls-cert" in args else None
        self.origin = f"https://localhost:{self.port}" if self.authority else f"http://{self.address}"
        self.trust = ["--cacert", self.authority] if self.authority else []

    def stop(self):
        self.terminate()
        self.wait()

    def terminate(self):
        """Begins the orderly end. To do it twice would cut it short."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        status = self.process.wait(TIMEOUT)
        assert status == 0, f"the program ended with status {status} after SIGTERM"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def certificate(folder):
    """Makes a certificate for localhost in the folder, and returns the flags for it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETING_")}
    subprocess.run([PROGRAM, "cert", "localhost"], cwd=folder, stdout=subprocess.DEVNULL, env=environment, check=True)
    return "--tls-cert", f"{folder}/localhost.pem", "--tls-key", f"{folder}/localhost-key.pem"


def curl(*args, content=None):
    command = ["curl", "--silent", "--show-error", "--max-time", str(TIMEOUT), *args]
    done = subprocess.run(command, input=content, stdout=subprocess.PIPE, timeout=2 * TIMEOUT, check=False)
    assert done.returncode == 0, f"curl {args} ended with status {done.returncode}"
    return done.stdout


def publish(server, topic, text):
    url = f"{server.origin}/topics/{topic}"
    fields = ["-H", "Content-Type: text/plain"]
    status = curl(*server.trust, "-o", os.devnull, "-w", "%{http_code}", *fields, "--data-binary", text, url)
    assert status == b"202", status


def subscribed(server, name, count):
    """Waits until the topic has this many subscribers."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        counts = json.loads(curl(*server.trust, f"{server.origin}/topics"))
        if sum(topic["subscribers"] for topic in counts if topic["name"] == name) == count:
            return
        assert time.monotonic() < deadline, f"the topics are {counts}; {name} should have {count} subscribers"


@contextmanager
def running(command, **options):
    """Runs a program, and kills it at the end."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
