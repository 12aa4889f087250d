"""The program under test, and what the tests do with it from outside."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

PROGRAM = os.path.abspath(sys.argv[1])
PATIENCE = 30


class Server:
    def __init__(self, *args, port=0):
        command = [PROGRAM, "serve", "--listen", f"127.0.0.1:{port}", *args]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETING_")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("the program did not say where it listens")
        self.at = f"127.0.0.1:{self.port}"

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, "the program did not end well"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def curl(*args, content=None):
    command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *args]
    done = subprocess.run(command, input=content, stdout=subprocess.PIPE, timeout=2 * PATIENCE, check=False)
    assert done.returncode == 0, f"{args}: curl ends with {done.returncode}"
    return done.stdout


def publish(server, topic, text):
    url = f"http://{server.at}/topics/{topic}"
    status = curl("-o", os.devnull, "-w", "%{http_code}", "-H", "Content-Type: text/plain", "--data-binary", text, url)
    assert status == b"202", status


@contextmanager
def running(command, **options):
    """A program that is ended with the test."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
