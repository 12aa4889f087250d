"""A tunnel for clients without TLS: it listens on a free port of 127.0.0.1, and connects to a server with TLS.

    tunnel.py CERTIFICATE HOST:PORT

It trusts CERTIFICATE, a PEM file for `localhost`, and nothing else. It prints its port in a line, and runs until it is ended.
"""
import asyncio
import ssl
import sys


async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def main(certificate, host, port):
    context = ssl.create_default_context(cafile=certificate)

    async def serve(reader, writer):
        try:
            there = await asyncio.open_connection(host, port, ssl=context, server_hostname="localhost")
        except OSError as error:
            print("tunnel: %s" % error, file=sys.stderr)
            writer.close()
            return
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    host, _, port = sys.argv[2].rpartition(":")
    asyncio.run(main(sys.argv[1], host, int(port)))
