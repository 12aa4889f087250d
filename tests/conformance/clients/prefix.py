"""A proxy that serves a server below a path, as nginx does with `location /demo/ { proxy_pass http://server/; }`."""

import asyncio
import re


async def relay(reader, writer):
    """Passes bytes on until the sender ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


class PrefixProxy:
    """Removes `prefix` from the path of each request. Any other path is 404."""

    def __init__(self, port, prefix):
        self.port, self.prefix, self.tasks = port, prefix, set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        _, upstream = backend = await asyncio.open_connection("127.0.0.1", self.port)
        answers = asyncio.create_task(relay(backend[0], writer))
        self.tasks.add(answers)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, rest = head.split(" ", 2)
                if not path.startswith(self.prefix + "/"):
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    break
                upstream.write(f"{method} {path[len(self.prefix):]} {rest}".encode("latin-1"))
                if re.search(r"\r\nupgrade:", rest, re.I):
                    await relay(reader, upstream)
                    break
                if length := re.search(r"\r\ncontent-length: *(\d+)", rest, re.I):
                    upstream.write(await reader.readexactly(int(length[1])))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the browser has left, or the test has ended
        finally:
            upstream.close()
            writer.close()
