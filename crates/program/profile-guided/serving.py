"""Runs the program for as long as a load needs it. It knows no load and no compiler."""

import contextlib
import os
import re
import signal
import subprocess

SHUTDOWN_SECS = 60  # valgrind needs some


@contextlib.contextmanager
def serving(program, *options, under=(), **environment):
    """Serves with one worker and gives the port. Ends the program in an orderly way: it writes its counts when it ends.

    `under` is a command that runs the program, such as valgrind.
    """
    command = [*under, program, "serve", "--listen", "127.0.0.1:0", "--workers", "1", *options]
    # Settings of the caller's own server must not change what is measured.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLEETING_")}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**inherited, **environment})
    try:
        for line in server.stdout:
            if address := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            raise RuntimeError(f"{' '.join(command)} ended before it listened")
        yield int(address[1])
        server.send_signal(signal.SIGTERM)
        server.stdout.read()
        if server.wait(SHUTDOWN_SECS):
            raise RuntimeError(f"{' '.join(command)} ended with status {server.returncode}")
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
